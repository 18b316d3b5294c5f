"""Which of a run's evaluations a table reads: the last, the best on the test set, or the mean of the last few."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mtlrepro.engine.evaluate import record_key
from mtlrepro.expected.load import MEAN_OF_LAST
from mtlrepro.metrics.delta import delta_m

Figures = dict[str, float]
"""Figures of one evaluation as a record holds them."""


@dataclass(frozen=True)
class Selection:
    """A table's rule with what it needs.

    "best on test" is the rule of papers that judge the best epoch on the test set, by the mean relative gain over
    the baseline's figures (JTR's public training scripts). It is what a reproduction of their numbers must do, and
    it flatters every method; figures of the last evaluation are reported beside it.

    Attributes:
        rule: "last", "best on test", "mean of last <k>" or "unknown", which is read as "last".
        protocols: metric id -> protocol of the figures that the gain averages.
        baseline: metric id -> the printed baseline's figure; what is not printed is taken relative to the run's own
            last evaluation.
        signs: metric id -> "higher" or "lower".
    """

    rule: str = "last"
    protocols: Mapping[str, str] = field(default_factory=dict)
    baseline: Mapping[str, float] = field(default_factory=dict)
    signs: Mapping[str, str] = field(default_factory=dict)

    def figures(self, record: Mapping[str, Any], tasks: Sequence[str]) -> Figures:
        """The figures of a record that count.

        Args:
            record: a run's result, with its `evaluations` before the last one.
            tasks: the main tasks that the run is judged by.
        """
        every: list[Figures] = [*(e["metrics"] for e in record["evaluations"]), record["metrics"]]
        kind = MEAN_OF_LAST if self.rule.startswith(MEAN_OF_LAST) else self.rule
        return RULES[kind](self, every, tasks)

    def _mean(self, every: list[Figures], tasks: Sequence[str]) -> Figures:
        last = every[-int(self.rule.removeprefix(MEAN_OF_LAST)) :]
        return {k: sum(e[k] for e in last) / len(last) for k in every[-1] if all(k in e for e in last)}

    def _best(self, every: list[Figures], tasks: Sequence[str]) -> Figures:
        keys = {m: record_key("final", m, p) for m, p in self.protocols.items() if m.partition(".")[0] in tasks}
        keys = {m: key for m, key in keys.items() if all(key in e for e in every)}
        base = {m: self.baseline.get(m, every[-1][key]) for m, key in keys.items()}
        if not keys or any(not 0 < abs(v) < math.inf for v in base.values()):
            return every[-1]
        gains = [delta_m({m: e[key] for m, key in keys.items()}, base, {m: self.signs[m] for m in keys}) for e in every]
        gains = [g if math.isfinite(g) else -math.inf for g in gains]
        best = every[gains.index(max(gains))]
        return {**every[-1], **best}  # a costly metric is computed once, at the end

    def _last(self, every: list[Figures], tasks: Sequence[str]) -> Figures:
        return every[-1]


RULES: dict[str, Callable[[Selection, list[Figures], Sequence[str]], Figures]] = {
    "last": Selection._last,
    "unknown": Selection._last,
    "best on test": Selection._best,
    MEAN_OF_LAST: Selection._mean,
}
