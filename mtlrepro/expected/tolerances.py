"""`expected/tolerances.toml`: practical tolerances and margins, each with its evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mtlrepro.errors import SpecError, unknown
from mtlrepro.expected.protocols import load_vocabulary
from mtlrepro.expected.tomlfile import check_known, read_toml, take_all

SPEED = ("step_ms", "vram_bytes")
"""Figures of a run's speed that are recorded and compared."""


@dataclass(frozen=True)
class Tolerance:
    """A practical tolerance for every figure whose protocol starts with `protocol`.

    Attributes:
        protocol: prefix of a protocol id.
        evidence: where the figure comes from.
        relative: fraction of the printed value.
        absolute: amount in the column's unit, for figures whose zero means something (Δ_m).
    """

    protocol: str
    evidence: str
    relative: float = 0.0
    absolute: float = 0.0

    def band(self, amount: float) -> float:
        """Accepted deviation from a printed amount, in its unit."""
        return self.absolute + self.relative * abs(amount)


@dataclass(frozen=True)
class Margin:
    """How much better than the best constant predictor a smoke run must be, as a fraction of the trivial error.

    `figure` is a metric id. For lower-is-better figures: measured <= (1 - margin)·trivial; for higher-is-better ones:
    measured >= trivial + margin·(1 - trivial).
    """

    figure: str
    margin: float
    evidence: str


@dataclass(frozen=True)
class Regression:
    """By what factor a time or an amount of memory may differ from this machine's own record."""

    figure: str
    ratio: float
    evidence: str


@dataclass(frozen=True)
class Tolerances:
    """`expected/tolerances.toml`."""

    tolerances: tuple[Tolerance, ...]
    margins: tuple[Margin, ...]
    regressions: tuple[Regression, ...] = ()

    def of(self, protocol: str) -> Tolerance:
        """The tolerance of a protocol: the longest matching prefix, or none at all."""
        hits = [t for t in self.tolerances if protocol.startswith(t.protocol)]
        return max(hits, key=lambda t: len(t.protocol)) if hits else Tolerance(protocol, "none stated")

    def margin(self, figure: str) -> float | None:
        """The margin demanded of a figure at smoke, None where none is stated."""
        return next((m.margin for m in self.margins if m.figure == figure), None)

    def regression(self, figure: str) -> float | None:
        """The factor accepted of a time or memory figure, None where none is stated."""
        return next((r.ratio for r in self.regressions if r.figure == figure), None)


@cache
def load_tolerances(path: Path) -> Tolerances:
    """Read `tolerances.toml` (SpecError as for tables)."""
    raw = read_toml(path)
    tolerances, margins = take_all(Tolerance, raw, "tolerance", path), take_all(Margin, raw, "margin", path)
    regressions = take_all(Regression, raw, "regression", path)
    check_known("key", raw, ("tolerance", "margin", "regression"), path, None)
    vocabulary = load_vocabulary(path.with_name("protocols.toml"))
    for i, entry in enumerate(tolerances):
        if not any(p.startswith(entry.protocol) for p in vocabulary.protocols):
            raise unknown("protocol", entry.protocol, vocabulary.protocols, file=path, field=f"tolerance[{i}].protocol")
        if not (0 <= entry.relative < math.inf and 0 <= entry.absolute < math.inf):
            mend = "Give finite amounts of 0 or more"
            raise SpecError("no amount", file=path, field=f"tolerance[{i}]", mend=mend)
    for i, margin in enumerate(margins):
        task, _, figure = margin.figure.partition(".")
        check_known("task", [task], vocabulary.tasks, path, f"margin[{i}].figure")
        check_known("figure", [figure], vocabulary.figures(), path, f"margin[{i}].figure")
        if not 0 <= margin.margin < 1:
            raise SpecError(f"{margin.margin}", file=path, field=f"margin[{i}].margin", mend="Give a fraction below 1")
    for i, limit in enumerate(regressions):
        check_known("figure", [limit.figure], SPEED, path, f"regression[{i}].figure")
        if not 1 < limit.ratio < math.inf:
            raise SpecError(f"ratio {limit.ratio}", file=path, field=f"regression[{i}]", mend="Give a factor above 1")
    for kind, names in (
        ("tolerance", [t.protocol for t in tolerances]),
        ("margin", [m.figure for m in margins]),
        ("regression", [r.figure for r in regressions]),
    ):
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise SpecError(f"{twice[0]!r} is there twice", file=path, field=kind, mend="Remove one")
    return Tolerances(tuple(tolerances), tuple(margins), tuple(regressions))
