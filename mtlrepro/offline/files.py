"""Which prediction belongs to which truth: two folders, or two path patterns, joined by name."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mtlrepro.errors import DataError

FORMATS = (".png", ".npy", ".mat")


@dataclass(frozen=True)
class Pair:
    """One image's files; the name is what the paths have in common."""

    name: str
    prediction: Path
    truth: Path


def find_pairs(predictions: str, truths: str, ids: Path | None = None) -> list[Pair]:
    """Pairs in the order of their names.

    Args:
        predictions, truths: a folder, whose files' paths without suffix are the names, or a path with `{id}` in it.
        ids: a text file with the names to evaluate, one a line; without it all of both must have a partner.

    Raises:
        DataError: a folder or list is missing or empty, a name has no file, no partner, or two files.
    """
    found = {"prediction": find(predictions), "truth": find(truths)}
    names = sorted(found["truth"]) if ids is None else _names(ids)
    for what, place in (("prediction", predictions), ("truth", truths)):
        _complain(f"{len(names)} names have no {what}", [n for n in names if n not in found[what]], place)
    if ids is None:
        spare = [n for n in sorted(found["prediction"]) if n not in found["truth"]]
        _complain(f"{len(found['prediction'])} predictions have no truth", spare, truths)
    return [Pair(name, found["prediction"][name], found["truth"][name]) for name in names]


def find(place: str) -> dict[str, Path]:
    """Name -> file of a folder or pattern.

    Raises:
        DataError: nothing there, or two files of one name.
    """
    base, pattern = _pattern(place)
    if not base.is_dir():
        problem = "is a file" if base.exists() else "no such folder"
        raise DataError(problem, file=base, mend="Give a folder of maps, or a path with {id} in it")
    found: dict[str, Path] = {}
    for file in sorted(base.rglob("*")):
        path = file.relative_to(base)
        match = pattern.fullmatch(path.as_posix())
        if match is None or not file.is_file() or any(part.startswith(".") for part in path.parts):
            continue
        name = match["id"]
        if name in found:
            both = f"{found[name].name} and {file.name} are both {name!r}"
            raise DataError(
                both, file=file.parent, mend="Keep one, or give a path with {id} in it, such as DIR/{id}.png"
            )
        found[name] = file
    if not found:
        raise DataError("no maps there", file=place, mend=f"Maps are {', '.join(FORMATS)} files")
    return found


def _pattern(place: str) -> tuple[Path, re.Pattern[str]]:
    """Folder to search, and what a path below it looks like."""
    before, mark, after = place.partition("{id}")
    if "{id}" in after:
        raise DataError("holds {id} more than once", file=place, mend="Write it where the name differs")
    if not mark:
        return Path(place), re.compile(rf"(?P<id>.+)({'|'.join(map(re.escape, FORMATS))})", re.IGNORECASE)
    folder, _, start = before.rpartition("/")
    return Path(folder or ("/" if before.startswith("/") else ".")), re.compile(
        re.escape(start) + "(?P<id>.+)" + re.escape(after)
    )


def _names(ids: Path) -> list[str]:
    try:
        lines = [line.strip() for line in ids.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", file=ids, mend="Give a text file with one name a line") from error
    names = list(dict.fromkeys(line for line in lines if line))
    if not names:
        raise DataError("names nothing", file=ids, mend="Write one name a line")
    return names


def _complain(problem: str, names: Collection[str], place: str) -> None:
    if names:
        some = ", ".join(repr(n) for n in list(names)[:3])
        count, rest = problem.split(" ", 1)
        mend = "Add the files, or name those to evaluate with --ids"
        raise DataError(f"{len(names)} of {count} {rest}, such as {some}", file=place, mend=mend)
