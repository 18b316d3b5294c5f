"""What a rule is, what it looks at, and the ways to measure: per sample, per class, between splits."""

from __future__ import annotations

import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mtlrepro.data.disk.checkup.statistics import Statistics
from mtlrepro.data.sample import DatasetInfo

EXAMPLES = 5
"""Samples that a finding names."""


@dataclass(frozen=True)
class Split:
    """One split as rules see it.

    Attributes:
        name: "train" or "val".
        listed: samples that there are.
        expected: samples that there should be.
        statistics: of the samples that were read.
        images: id -> path of the image, for all samples.
        about: roughly how many samples there should be, where nobody knows the number; else 0.
        left_out: why samples that are there do not count -> how many.
    """

    name: str
    listed: int
    expected: int
    statistics: Statistics
    images: Mapping[str, str] = field(default_factory=dict)
    about: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def found(self) -> int:
        """Samples that there are, whether they count or not."""
        return self.listed + sum(self.left_out.values())

    @property
    def whole(self) -> bool:
        """Whether every sample was read."""
        return bool(self.listed) and len(self.statistics.names) == self.listed


@dataclass(frozen=True)
class Case:
    """What rules judge.

    Attributes:
        dataset: its key.
        info: what it predicts.
        splits: in the description's order.
        synthetic: a synthetic copy.
        overlapping: the published splits share samples.
        sizes: (height, width) that images of the release have; none if they vary or nothing is known.
        absent: class ids that the release has by name alone.
        twins: pairs of paths that differ in upper and lower case alone.
    """

    dataset: str
    info: DatasetInfo
    splits: tuple[Split, ...]
    synthetic: bool = False
    overlapping: bool = False
    sizes: tuple[tuple[int, int], ...] = ()
    absent: frozenset[int] = frozenset()
    twins: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Rule:
    """When to be suspicious.

    Attributes:
        name: of the rule.
        measure: (case, rule) -> what it found: split or "", a sentence, examples.
        why: what it may mean.
        mend: what to do.
        evidence: where the bound comes from.
        task: the label it looks at.
        figure: the figure of a sample it looks at.
        above: a figure greater than this is out of bounds.
        below: a figure less than this is out of bounds.
        tolerated: share of a split's samples (or classes) that may be out of bounds.
        usual: dataset -> `tolerated` in its place, where the release differs.
        unit: (case) -> what figures are divided by first.
        at_least: samples a split must have for the rule to speak.
    """

    name: str
    measure: Callable[[Case, Rule], Iterable[tuple[str, str, tuple[str, ...]]]]
    why: str
    mend: str
    evidence: str
    task: str = ""
    figure: str = ""
    above: float = float("inf")
    below: float = float("-inf")
    tolerated: float = 0.0
    usual: Mapping[str, float] = field(default_factory=dict)
    unit: Callable[[Case], float] = lambda case: 1.0
    at_least: int = 1


@dataclass(frozen=True)
class Finding:
    """One thing that is suspicious.

    Attributes:
        rule: name of the rule.
        split: where, "" if it is about all splits.
        what: a sentence with figures.
        examples: samples or files.
        why: what it may mean.
        mend: what to do.
        evidence: where the bound comes from.
    """

    rule: str
    split: str
    what: str
    examples: tuple[str, ...]
    why: str
    mend: str
    evidence: str


def judge(case: Case, rules: Iterable[Rule]) -> tuple[Finding, ...]:
    """What all rules find, in their order."""
    return tuple(
        Finding(rule.name, split, what, examples[:EXAMPLES], rule.why, rule.mend, rule.evidence)
        for rule in rules
        for split, what, examples in rule.measure(case, rule)
    )


Found = Iterator[tuple[str, str, tuple[str, ...]]]


def out_of_bounds(case: Case, rule: Rule) -> Found:
    """Splits of which more samples than tolerated have a figure beyond the rule's bounds."""
    for split in case.splits:
        summary = split.statistics.tasks.get(rule.task)
        if summary is None or len(split.statistics.names) < rule.at_least:
            continue
        yield from _beyond(case, rule, split, summary.figure(rule.figure) / rule.unit(case))


def contrary(case: Case, rule: Rule) -> Found:
    """Splits with normals of both signs of n_z: per sample, the share that differs from most of the split."""
    for split in case.splits:
        summary = split.statistics.tasks.get(rule.task)
        if summary is not None:
            away = summary.figure(rule.figure)
            mostly = np.nanmean(away) > 0.5 if np.isfinite(away).any() else False
            yield from _beyond(case, rule, split, 1 - away if mostly else away)


def _beyond(case: Case, rule: Rule, split: Split, values: np.ndarray) -> Found:
    with np.errstate(invalid="ignore"):
        wrong = (values > rule.above) | (values < rule.below)
    tolerated = rule.usual.get(case.dataset, rule.tolerated)
    if wrong.sum() > tolerated * len(values):
        order = np.flatnonzero(wrong)
        names = tuple(f"{split.statistics.names[i]} ({values[i]:.3g})" for i in order[:EXAMPLES])
        bound = f"above {rule.above:g}" if np.isfinite(rule.above) else f"below {rule.below:g}"
        share = f"; up to {tolerated:.0%} are usual" if tolerated else ""
        yield (
            split.name,
            f"{rule.task}: {len(order)} of {len(values)} samples {_SAID[rule.figure]} {bound}{share}",
            names,
        )


def nothing_valid(statistics: Statistics, task: str) -> tuple[str, ...]:
    """Ids of the samples of which no pixel of a label is valid."""
    summary = statistics.tasks.get(task)
    if summary is None:
        return ()
    return tuple(statistics.names[i] for i in np.flatnonzero(summary.figure("invalid") == 1))


def blank(case: Case, rule: Rule) -> Found:
    """Splits with more samples than tolerated of which no pixel of a label is valid."""
    for split in case.splits:
        names, n = nothing_valid(split.statistics, rule.task), len(split.statistics.names)
        if len(names) > rule.usual.get(case.dataset, rule.tolerated) * n:
            yield split.name, f"{rule.task}: {len(names)} of {n} samples have no valid pixel", names


def mixed(case: Case, rule: Rule) -> Found:
    """Splits whose samples differ by more than a factor, `tolerated` of them left aside at either end."""
    for split in case.splits:
        summary = split.statistics.tasks.get(rule.task)
        values = summary.figure(rule.figure) if summary else np.empty(0)
        positive = np.flatnonzero(values > 0)
        if len(positive) < 2:
            continue
        aside = rule.usual.get(case.dataset, rule.tolerated)
        low, high = np.exp(np.quantile(np.log(values[positive]), (aside, 1 - aside)))
        if high / low > rule.above:
            order = positive[np.argsort(values[positive])]
            names = tuple(f"{split.statistics.names[i]} ({values[i]:.3g})" for i in (*order[:2], *order[:-3:-1]))
            what = f"{rule.task}: the {rule.figure}s of samples lie between {low:.3g} and {high:.3g}"
            yield split.name, f"{what} ({aside:.0%} left aside at either end): a factor above {rule.above:g}", names


_SAID = {
    "invalid": "have a share of invalid pixels",
    "median": "have a median over the dataset's far end",
    "spread": "have a range over the greatest value",
    "away": "have a share of normals on the other side",
    "classes": "have a number of classes",
    "positive": "have a share of marked pixels",
    "thick": "have a share of edge pixels amid edges",
    "high": "have a brightest value",
    "deviation": "have a standard deviation",
    "colour": "have a greatest difference between channels",
}


def never_seen(case: Case, rule: Rule) -> Found:
    """Classes without a pixel in a whole split of enough samples."""
    for split in case.splits:
        summary = split.statistics.tasks.get(rule.task)
        if case.synthetic or summary is None or summary.counts is None:
            continue
        if split.whole and split.listed >= rule.at_least:
            names = case.info.class_names
            gone = [f"{i} {n}" for i, n in enumerate(names) if not summary.counts[i] and i not in case.absent]
            if len(gone) > rule.usual.get(case.dataset, rule.tolerated) * len(names):
                yield split.name, f"{rule.task}: {len(gone)} of {len(names)} classes have no pixel", tuple(gone)


def too_few(case: Case, rule: Rule) -> Found:
    """Splits with a smaller share than the rule's of the samples that there should roughly be."""
    for split in case.splits:
        if split.about and split.found < rule.below * split.about:
            yield split.name, f"{split.found} samples, {split.found / split.about:.0%} of about {split.about}", ()


def much_left_out(case: Case, rule: Rule) -> Found:
    """Splits of which more samples than tolerated are there and do not count; synthetic copies have some on purpose."""
    for split in () if case.synthetic else case.splits:
        n = split.found - split.listed
        if n > rule.tolerated * split.found:
            reasons = tuple(f"{count}: {textwrap.shorten(why, 100)}" for why, count in split.left_out.items() if count)
            yield split.name, f"{n} of {split.found} samples are left out, {n / split.found:.0%}", reasons


def swapped(case: Case, rule: Rule) -> Found:
    """Two splits that have each other's number of samples."""
    for a in case.splits:
        for b in case.splits:
            if a.name < b.name and a.expected != b.expected and (a.listed, b.listed) == (b.expected, a.expected):
                yield "", f"{a.name} has {a.listed} samples and {b.name} {b.listed}: each the other's number", ()


def shared(case: Case, rule: Rule) -> Found:
    """Image files that two splits name."""
    if len(case.splits) < 2 or case.overlapping:
        return
    both = set.intersection(*(set(split.images.values()) for split in case.splits))
    if both:
        yield (
            "",
            f"{len(both)} image files belong to {' and to '.join(s.name for s in case.splits)}",
            tuple(sorted(both)),
        )


def same_pixels(case: Case, rule: Rule) -> Found:
    """Images of two splits that lie in different files and have the same pixels."""
    if len(case.splits) < 2 or case.overlapping:
        return
    seen: dict[bytes, list[tuple[str, str]]] = defaultdict(list)
    for split in case.splits:
        for name, digest in zip(split.statistics.names, split.statistics.digests, strict=True):
            seen[digest].append((split.name, split.images.get(name, name)))
    pairs = [places for places in seen.values() if len({s for s, _ in places}) > 1 and len({p for _, p in places}) > 1]
    if pairs:
        examples = tuple(" = ".join(path for _, path in places[:2]) for places in pairs[:EXAMPLES])
        yield "", f"{len(pairs)} pictures are in more than one split, in files of other names", examples


def repeated(case: Case, rule: Rule) -> Found:
    """Images of one split that have the same pixels."""
    for split in case.splits:
        statistics = split.statistics
        count = Counter(statistics.digests)
        twice = [name for name, d in zip(statistics.names, statistics.digests, strict=True) if count[d] > 1]
        if len(twice) > rule.tolerated * len(statistics.names):
            yield split.name, f"{len(twice)} of {len(statistics.names)} samples share their picture", tuple(twice)


def odd_size(case: Case, rule: Rule) -> Found:
    """Images of another size than the release has."""
    for split in case.splits if case.sizes else ():
        sizes = split.statistics.sizes
        wrong = [i for i, size in enumerate(sizes) if size not in case.sizes]
        if wrong:
            known = " or ".join(f"{h}x{w}" for h, w in case.sizes)
            names = tuple(f"{split.statistics.names[i]} ({sizes[i][0]}x{sizes[i][1]})" for i in wrong[:EXAMPLES])
            yield split.name, f"{len(wrong)} of {len(sizes)} images are not {known}", names


def same_but_case(case: Case, rule: Rule) -> Found:
    """Names that differ in upper and lower case alone."""
    if case.twins:
        examples = tuple(f"{a} and {b}" for a, b in case.twins[:EXAMPLES])
        yield "", f"{len(case.twins)} names differ in upper and lower case alone", examples
