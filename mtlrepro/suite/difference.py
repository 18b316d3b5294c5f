"""Two nights compared: what repeats bit by bit, what moves within the spread of seeds, what is worse, better, gone.

On one machine the same program repeats its figures exactly; another program or machine rounds otherwise, and a short
training then diverges like another seed. So a difference counts only outside the band of a new draw, which is adjusted
over all figures that differ, as in `mtlrepro.suite.verdict.recorded`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mtlrepro.errors import SpecError
from mtlrepro.expected.tolerances import SPEED
from mtlrepro.suite import stats
from mtlrepro.suite.evidence import TIMING_TIERS
from mtlrepro.suite.figures import better
from mtlrepro.suite.nights import FINE, Entry, Night, Place
from mtlrepro.suite.results import Value
from mtlrepro.suite.verdict import RECORDED_FAMILY_ALPHA

KINDS = ("worse", "better", "within", "identical")
"""What a figure is against the last night's, most urgent first."""

ROUNDING = 1e-6
"""Relative difference that is no more than rounding, where no spread is known."""

Spread = tuple[float, int] | None
"""Deviation of one run, and its degrees of freedom."""


@dataclass(frozen=True)
class Change:
    """One figure in both nights.

    Attributes:
        figure: its name.
        last, now: mean over the seeds that both nights have.
        kind: one of `KINDS`.
        band: half-width of what a new draw gives, None where no spread is known; 0 for identical figures.
    """

    figure: str
    last: Value
    now: Value
    kind: str
    band: float | None = 0.0

    @property
    def difference(self) -> float:
        """Tonight's minus the last night's."""
        return self.now.mean - self.last.mean


@dataclass(frozen=True)
class Ratio:
    """A time or an amount of memory as a multiple of the last night's.

    Attributes:
        name: "train_s", "step_ms" or "vram_bytes".
        last, now: mean over the seeds that both nights have.
        kind: "worse" or "better" beyond the stated limit on one machine, else "within".
    """

    name: str
    last: float
    now: float
    kind: str

    @property
    def ratio(self) -> float:
        """Tonight's over the last night's."""
        return self.now / self.last


@dataclass(frozen=True)
class Pair:
    """A spec (or a row) that both nights finished.

    Attributes:
        label, tier: what it is.
        seeds: those that both have; [0] for a row.
        changes: the figures that it is judged by.
        others: how many other figures differ in some bit, and how many there are.
        ratios: time and memory.
        causes: what is not the same behind it: program, data, weights, machine or versions of packages.
        entries: the first seed of each night.
    """

    label: str
    tier: str
    seeds: list[int]
    changes: list[Change]
    others: tuple[int, int]
    ratios: list[Ratio]
    causes: list[str]
    entries: tuple[Entry, Entry]

    @property
    def kind(self) -> str:
        """The most urgent of its figures; one that is not judged and differs makes it "within"."""
        kinds = {change.kind for change in self.changes} | ({"within"} if self.others[0] else set())
        return next((kind for kind in KINDS if kind in kinds), "identical")


@dataclass(frozen=True)
class Move:
    """A run (or a row) that is not done in both nights.

    Attributes:
        label, tier, seed: what it is.
        last, now: its state; "" where the night does not have it.
        reason: why it is not done tonight.
    """

    label: str
    tier: str
    seed: int
    last: str
    now: str
    reason: str

    @property
    def worse(self) -> bool:
        """Did it end better the last time? One that is not there at all was perhaps not asked for."""
        return self.now == "failed" or (self.last == "done" and self.now == "unfinished")


@dataclass(frozen=True)
class Turn:
    """A check whose verdict is another one tonight."""

    where: str
    kind: str
    subject: str
    last: str
    now: str
    reason: str

    @property
    def worse(self) -> bool:
        """Does it fail a row that it did not fail the last time?"""
        return self.last in FINE and self.now not in FINE


@dataclass
class Difference:
    """Everything that a comparison found.

    Attributes:
        last, now: the nights' names.
        pairs: what both finished, most urgent first.
        moves: what is not done in both of them.
        turns: checks of reports whose verdict changed.
        superseded: older runs of the same spec, tier and seed that the stores hold besides.
        checks: how many checks both reports have.
    """

    last: str
    now: str
    pairs: list[Pair] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    superseded: int = 0
    checks: int = 0

    @property
    def worse(self) -> bool:
        """Is anything worse: a figure, a time, an amount of memory, a run's end, a verdict?"""
        figures = [change.kind for pair in self.pairs for change in pair.changes]
        amounts = [ratio.kind for pair in self.pairs for ratio in pair.ratios]
        return (
            "worse" in (*figures, *amounts)
            or any(move.worse for move in self.moves)
            or any(turn.worse for turn in self.turns)
        )

    @property
    def changed(self) -> bool:
        """Does anything but time differ at all?"""
        return self.worse or bool(self.moves or self.turns) or any(pair.kind != "identical" for pair in self.pairs)


def compare(
    last: Night,
    now: Night,
    known: Callable[[str, str], Spread] = lambda figure, tier: None,
    limits: Mapping[str, float] | None = None,
) -> Difference:
    """Match and compare two nights.

    Args:
        last: the reference.
        now: tonight.
        known: spread of a figure at a tier that was recorded earlier, for figures of which neither night has several
            seeds.
        limits: figure of `SPEED` -> ratio that it may have on one machine at tiers that run the paper's exact model;
            others are told and not judged.
    """
    matched: dict[Place, list[tuple[Entry, Entry]]] = {}
    for key, entry in sorted(now.entries.items(), key=lambda item: item[0]):
        before = last.entries.get(key)
        if before is not None and before.state == entry.state == "done":
            matched.setdefault(key[0], []).append((before, entry))
    differ = sum(
        not _same(name, both) for both in matched.values() for name in _judged(both) if name in both[0][0].figures
    )
    spreads = _spreads([last, now])
    alpha = RECORDED_FAMILY_ALPHA / max(differ, 1)

    def spread(name: str, entry: Entry) -> Spread:
        return spreads.get((name, entry.tier, entry.dataset)) or known(name, entry.tier)

    pairs = [_pair(both, spread, alpha, limits or {}) for both in matched.values()]
    pairs.sort(key=lambda pair: (KINDS.index(pair.kind), pair.tier, pair.label))
    turns, checks = _turns(last, now)
    return Difference(last.name, now.name, pairs, _moves(last, now), turns, last.superseded + now.superseded, checks)


def judge(name: str, last: Value, now: Value, spread: Spread, alpha: float) -> tuple[str, float | None]:
    """Which of `KINDS` a figure is that differs in some bit, and the band it was held to.

    A figure that is no number any more is worse, one that has become a number better.

    Args:
        name: the figure, by which it is known whether higher is better.
        last, now: means, with the number of seeds behind them.
        spread: deviation of one run.
        alpha: probability to leave the band by chance.
    """
    finite = math.isfinite(last.mean), math.isfinite(now.mean)
    if not all(finite):
        return "within" if not any(finite) else "better" if finite[1] else "worse", None
    difference = now.mean - last.mean
    if spread is None and math.isclose(now.mean, last.mean, rel_tol=ROUNDING):
        return "within", None
    band = None if spread is None else stats.half_width(*spread, n=now.n, m=last.n, alpha=alpha)
    if band is not None and abs(difference) <= band:
        return "within", band
    return "better" if (difference > 0) == (_better(name) == "higher") else "worse", band


def _pair(
    both: Sequence[tuple[Entry, Entry]],
    spread: Callable[[str, Entry], Spread],
    alpha: float,
    limits: Mapping[str, float],
) -> Pair:
    first = both[0]
    changes = []
    names = [name for name in first[0].figures if all(name in e.figures for one in both for e in one)]
    judged = [name for name in _judged(both) if name in names]
    for name in judged:
        before, after = (_mean([one[i].figures[name] for one in both]) for i in (0, 1))
        kind: str = "identical"
        band: float | None = 0.0
        if not _same(name, both):
            kind, band = judge(name, before, after, spread(name, first[1]), alpha)
        changes.append(Change(name, before, after, kind, band))
    others = [name for name in names if name not in judged]
    return Pair(
        first[1].label,
        first[1].tier,
        [entry.part for _, entry in both],
        sorted(changes, key=lambda change: KINDS.index(change.kind)),
        (sum(not _same(name, both) for name in others), len(others)),
        list(_ratios(both, limits)),
        _causes(both),
        first,
    )


def _ratios(both: Sequence[tuple[Entry, Entry]], limits: Mapping[str, float]) -> Iterator[Ratio]:
    held = all(one.machine == other.machine and other.tier in TIMING_TIERS for one, other in both)
    for name in ("train_s", *SPEED):
        series = [[one[i].speed.get(name, 0.0) for one in both] for i in (0, 1)]
        if not all(value > 0 for values in series for value in values):
            continue
        last, now = (sum(values) / len(values) for values in series)
        limit = limits.get(name, math.inf) if held else math.inf
        yield Ratio(name, last, now, "worse" if now / last > limit else "better" if last / now > limit else "within")


def _causes(both: Sequence[tuple[Entry, Entry]]) -> list[str]:
    """What is not the same behind a pair; empty where it should have repeated itself bit by bit."""
    marks = dict.fromkeys(name for one in both for entry in one for name in entry.marks)
    found = [name for name in marks if any(one.marks.get(name) != other.marks.get(name) for one, other in both)]
    found = [name for name in found if name != "needs" or len(found) == 1]  # they change with the program, too
    machines = {(one.machine, other.machine) for one, other in both if one.machine != other.machine}
    found += [f"machine {one} → {other}" for one, other in sorted(machines)]
    seen = {"cpu", "gpu", "cores", "os", "commit", "mtlrepro"}  # told as the machine, or as the program
    names = dict.fromkeys(name for one in both for entry in one for name in entry.environment if name not in seen)
    for name in names:
        told = {(one.environment.get(name, "none"), other.environment.get(name, "none")) for one, other in both}
        found += [f"{name} {before} → {after}" for before, after in sorted(told) if before != after]
    return found


def _moves(last: Night, now: Night) -> list[Move]:
    moves = []
    for key in dict.fromkeys([*now.entries, *last.entries]):
        before, after = last.entries.get(key), now.entries.get(key)
        states = (before.state if before else "", after.state if after else "")
        if states != ("done", "done"):
            entry = after or before
            assert entry is not None
            moves.append(Move(entry.label, entry.tier, key[1], *states, reason=after.reason if after else ""))
    return sorted(moves, key=lambda move: (not move.worse, move.now, move.label, move.seed))


def _turns(last: Night, now: Night) -> tuple[list[Turn], int]:
    shared = [key for key in now.verdicts if key in last.verdicts]
    found = []
    for key in shared:
        before, after = last.verdicts[key], now.verdicts[key]
        if before.verdict != after.verdict:
            found.append(Turn(*key, before.verdict, after.verdict, after.reason))
    return sorted(found, key=lambda turn: not turn.worse), len(shared)


def _spreads(nights: Sequence[Night]) -> dict[tuple[str, str, str], tuple[float, int]]:
    """(figure, tier, dataset) -> deviation over seeds, pooled over everything of which a night has several."""
    series: dict[tuple[str, str, str], dict[tuple[int, Place], list[float]]] = {}
    told: dict[tuple[str, str, str], list[tuple[float, int]]] = {}
    for i, night in enumerate(nights):
        for entry in night.entries.values():
            for name in entry.main:
                value, key = entry.figures[name], (name, entry.tier, entry.dataset)
                if value.s is not None and value.n > 1 and math.isfinite(value.s):
                    told.setdefault(key, []).append((value.s, value.n - 1))
                else:
                    series.setdefault(key, {}).setdefault((i, entry.place), []).append(value.mean)
    keys = dict.fromkeys([*series, *told])
    pools = {key: stats.combine([stats.pooled(list(series.get(key, {}).values())), *told.get(key, [])]) for key in keys}
    return {key: pool for key, pool in pools.items() if pool is not None}


def _judged(both: Sequence[tuple[Entry, Entry]]) -> list[str]:
    return list(dict.fromkeys(name for _, entry in both for name in entry.main))


def _same(name: str, both: Sequence[tuple[Entry, Entry]]) -> bool:
    """Bit by bit, in every seed; NaN is itself."""
    return all(_bits(one.figures.get(name)) == _bits(other.figures.get(name)) for one, other in both)


def _bits(value: Value | None) -> tuple[str, ...]:
    return () if value is None else (value.mean.hex(), str(value.n), "" if value.s is None else float(value.s).hex())


def _mean(values: Sequence[Value]) -> Value:
    if len(values) == 1:
        return values[0]
    mean, s = stats.mean_and_s([value.mean for value in values])
    return Value(mean, len(values), s)


def _better(name: str) -> str:
    """Direction of a figure by its name in a record or in a row; an unknown one is an error rate or a distance."""
    parts = name.split(".")
    task = parts[1] if len(parts) > 2 else parts[0]
    try:
        return better(f"{task}.{parts[-1]}")
    except (SpecError, KeyError):
        return "lower"
