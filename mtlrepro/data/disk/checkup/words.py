"""A check-up in words: plain text for a terminal, JSON for tools."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mtlrepro.data.disk.checkup.statistics import Problem, Summary
from mtlrepro.data.disk.checkup.survey import SHOWN, Files
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.data.scenes.classes import PARTS

if TYPE_CHECKING:
    from mtlrepro.data.disk.checkup import Checkup, SplitCheck

BAR = 30
WIDTH = 110
SCHEMA = 1


def class_names(task: str, info: DatasetInfo) -> tuple[str, ...]:
    """Names of the classes of a task whose labels are class ids, in id order; none for other tasks."""
    named = {"semseg": info.class_names, "parts": PARTS, "edges": ("none", "edge"), "saliency": ("none", "salient")}
    return named.get(task, ())


def text(checkup: Checkup) -> str:
    """The whole report."""
    lines = [f"{checkup.name}: {checkup.root}"]
    lines += [f"  note: {note}" for note in checkup.notes]
    for split in checkup.splits:
        lines += ["", *_split(split, checkup.info)]
    if checkup.surplus:
        spare = [f"{folder}/{name}".lstrip("/") for folder, names in checkup.surplus.items() for name in names]
        lines += ["", *_wrapped(_some(spare, "files beside these that no split uses"), "")]
    for split in checkup.splits:
        failed = split.statistics.failed
        if failed:
            lines += ["", f"{split.name}: {_count(failed, 'sample')} cannot be used:"]
            lines += _problems(split.statistics.problems, failed)
    if checkup.problems:
        lines += [
            "",
            f"{_count(len(checkup.problems), 'problem')}:",
            *_problems(checkup.problems, len(checkup.problems)),
        ]
    for finding in checkup.findings:
        where = f" ({finding.split})" if finding.split else ""
        lines += ["", *_wrapped(f"suspicious{where}: {finding.what} [{finding.rule}]", "")]
        lines += [f"    {example}" for example in finding.examples]
        lines += _wrapped(f"{_sentence(finding.why)} {finding.mend}.", "  ")
        lines += _wrapped(f"Evidence: {finding.evidence}.", "  ")
    lines += ["", f"{checkup.name}: {_verdict(checkup)}"]
    return "\n".join(lines) + "\n"


def _verdict(checkup: Checkup) -> str:
    if checkup.ok:
        return "complete, nothing suspicious"
    missing = sum(f.expected - f.found for s in checkup.splits for f in s.files if f.found < f.expected)
    more = sum(f.found - f.expected for s in checkup.splits for f in s.files if f.found > f.expected)
    problems = len(checkup.problems) + sum(s.statistics.failed for s in checkup.splits)
    counts = {
        f"{_count(missing, 'file')} missing": missing,
        f"{_count(more, 'file')} too many": more,
        _count(problems, "problem"): problems,
        f"suspicious in {_count(len(checkup.findings), 'way')}": len(checkup.findings),
    }
    return ", ".join(words for words, n in counts.items() if n)


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _split(split: SplitCheck, info: DatasetInfo) -> Iterator[str]:
    statistics = split.statistics
    n = len(statistics.names) + statistics.failed
    reader = split.reader
    expected = f"about {reader.about}" if reader.about else str(reader.wanted)
    yield f"{split.name}: {_count(len(reader.listed), 'sample')}, {expected} expected, {n} read"
    for why, count in reader.left_out.items():
        yield from _wrapped(f"{count} left out: {why}", "  ") if count else ()
    width = max(len(f.what) for f in split.files)
    for files in split.files:
        yield f"  {files.what:<{width}}  {_files(files)}"
        yield from (f"  {'':<{width}}    {path}" for path in files.missing)
        if files.hint:
            yield f"  {'':<{width}}    {files.hint}"
    for task, summary in statistics.tasks.items():
        yield f"  {task}: {_summary(summary)}"
        yield from (f"    {line}" for line in _classes(task, summary, info))
    if statistics.failed:
        yield f"  {_count(statistics.failed, 'sample')} cannot be used (see below)"


def _files(files: Files) -> str:
    state = f"{files.found} of {files.expected} files"
    return (
        state
        if files.complete
        else f"{state}, {abs(files.expected - files.found)} "
        + ("missing:" if files.found < files.expected else "too many")
    )


def _summary(summary: Summary) -> str:
    forms = _some([f"{form} ({n})" for form, n in summary.forms.most_common()], "forms", 3)
    forms = next(iter(summary.forms)) if len(summary.forms) == 1 else forms
    parts = [forms, f"values {summary.low:.6g} to {summary.high:.6g}"]
    invalid = summary.figure("invalid")
    if invalid.any():
        parts.append(f"{invalid.mean():.2%} invalid (at most {invalid.max():.1%} of one)")
    if "median" in summary.figures:
        parts.append(f"median {np.nanmedian(summary.figure('median')):.4g}")
    if "away" in summary.figures:
        parts.append(f"n_z > 0 in {np.nanmean(summary.figure('away')):.1%}")
    return ", ".join(parts)


def _classes(task: str, summary: Summary, info: DatasetInfo) -> Iterator[str]:
    names = class_names(task, info)
    if not names or summary.counts is None or not summary.counts.sum():
        return
    share = summary.counts / summary.counts.sum()
    width = max(map(len, names))
    top = share.max()
    for i in sorted(range(len(names)), key=lambda i: -share[i]):
        if share[i]:
            yield f"{i:>3} {names[i]:<{width}} {share[i]:>7.3%} {'#' * max(1, round(BAR * share[i] / top))}"
    unseen = [f"{i} {name}" for i, name in enumerate(names) if not share[i]]
    if unseen:
        yield from textwrap.wrap(f"never seen: {', '.join(unseen)}", WIDTH - 8)


def _problems(problems: Sequence[Problem], total: int) -> Iterator[str]:
    for problem in problems[:SHOWN]:
        yield from _wrapped(f"{problem.file}: {problem.problem}. {problem.mend}", "  ")
    if total > SHOWN:
        yield f"  and {total - SHOWN} more"


def _some(values: Sequence[str], what: str, shown: int = 5) -> str:
    rest = f" and {len(values) - shown} more" if len(values) > shown else ""
    return f"{len(values)} {what}: {', '.join(values[:shown])}{rest}"


def _wrapped(line: str, indent: str) -> list[str]:
    options = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", **options)  # type: ignore[arg-type]


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."


def as_json(checkup: Checkup) -> dict[str, Any]:
    """The report as JSON values; numbers that are not finite become null."""
    return {
        "schema": SCHEMA,
        "dataset": checkup.name,
        "root": str(checkup.root),
        "ok": checkup.ok,
        "synthetic": checkup.synthetic,
        "notes": list(checkup.notes),
        "splits": {split.name: _split_json(split, checkup.info) for split in checkup.splits},
        "surplus": {folder: _first(names) for folder, names in checkup.surplus.items()},
        "problems": [vars(problem) for problem in checkup.problems],
        "findings": [{**vars(f), "examples": list(f.examples)} for f in checkup.findings],
    }


def _split_json(split: SplitCheck, info: DatasetInfo) -> dict[str, Any]:
    statistics = split.statistics
    return {
        "listed": len(split.reader.listed),
        "expected": split.reader.wanted,
        "about": split.reader.about or None,
        "left_out": dict(split.reader.left_out),
        "read": len(statistics.names),
        "failed": statistics.failed,
        "files": {
            f.what: {"expected": f.expected, "found": f.found, "missing": list(f.missing), "hint": f.hint}
            for f in split.files
        },
        "labels": {task: _summary_json(task, summary, info) for task, summary in statistics.tasks.items()},
        "problems": [vars(problem) for problem in statistics.problems],
    }


def _summary_json(task: str, summary: Summary, info: DatasetInfo) -> dict[str, Any]:
    names = class_names(task, info)
    counts = {} if summary.counts is None else {str(i): int(n) for i, n in enumerate(summary.counts) if n}
    return {
        "forms": dict(summary.forms),
        "low": _finite(summary.low),
        "high": _finite(summary.high),
        "figures": {name: _spread(summary.figure(name)) for name in summary.figures},
        "pixels": counts,
        "classes": list(names),
    }


def _spread(values: np.ndarray) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    if not known.size:
        return {"least": None, "mean": None, "median": None, "greatest": None}
    quantities = {"least": known.min(), "mean": known.mean(), "median": np.median(known), "greatest": known.max()}
    return {name: float(value) for name, value in quantities.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _first(names: Iterable[str]) -> dict[str, Any]:
    names = list(names)
    return {"count": len(names), "first": names[:SHOWN]}
