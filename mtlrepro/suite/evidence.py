"""What is known about a panel's rows, and the figures that follow from it: per seed, as values, Δ_m, resources."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.engine.evaluate import FINAL
from mtlrepro.errors import unknown
from mtlrepro.expected.panel import Located, Panel, trained
from mtlrepro.expected.schema import COUNTED, Column, PrintedRow
from mtlrepro.expected.spread import printed_spread
from mtlrepro.metrics.delta import delta_m
from mtlrepro.spec import RunSpec
from mtlrepro.suite import stats
from mtlrepro.suite.recorded import Recorded
from mtlrepro.suite.results import Value
from mtlrepro.suite.table import BoundTable, Row
from mtlrepro.suite.tiers import Service
from mtlrepro.tasks import TASKS

FINEST_STAGES = ("scale_0", "initial")
"""Where auxiliary tasks, which have no final prediction, are read."""


@dataclass
class RowEvidence:
    """What is known about a row: its service, records per spec and seed, and counted costs per paper-exact spec."""

    row: Row
    service: Service
    records: list[list[dict[str, Any]]]
    costs: list[dict[str, Any]]
    error: str = ""
    """Why its runs failed; there are no records then."""

    def by_spec(self) -> list[tuple[RunSpec, list[dict[str, Any]]]]:
        """Specs as they were run, each with its records, seed by seed."""
        return [] if self.error else list(zip(self.service.specs, self.records, strict=True))

    def series(self, protocols: Mapping[str, str]) -> dict[str, list[float]]:
        """Metric id -> value per seed: main tasks from the row's view, auxiliary ones from the finest stage.

        Args:
            protocols: metric id -> the protocol that is asked for; others are read by the task's usual one.
        """
        series: dict[str, list[float]] = {}
        for spec, by_seed in self.by_spec():
            main, aux = spec.model.main, [t for t in spec.model.aux if t not in spec.model.main]
            views = {self.row.view: main} | ({v: aux for v in FINEST_STAGES} if self.row.view == FINAL else {})
            for view, tasks in views.items():
                for key in by_seed[0]["metrics"]:
                    v, task, protocol, figure = key.split(".")
                    metric = f"{task}.{figure}"
                    if v == view and task in tasks and protocol == (protocols.get(metric) or usual_protocol(metric)):
                        series[metric] = [r["metrics"][key] for r in by_seed]
        return series


@dataclass
class Evidence:
    """What is known about a panel's selected rows, and the recorded references by tier.

    Attributes:
        bound: the panel as declared and printed.
        rows: its selected rows by name.
        recorded: this project's own recorded results, by tier.
        siblings: the same for the other panels of the table, by panel key.
    """

    bound: BoundTable
    rows: dict[str, RowEvidence]
    recorded: dict[str, Recorded | None] = field(default_factory=dict)
    siblings: Mapping[str, Evidence] = field(default_factory=dict)
    _series: dict[str, dict[str, list[float]]] = field(default_factory=dict, init=False, repr=False)

    @property
    def panel(self) -> Panel:
        """What is printed."""
        return self.bound.expected

    def at(self, panel: str) -> Evidence | None:
        """The evidence of a panel of this table, by its key; None where none of its rows was selected."""
        return self if panel == self.panel.key else self.siblings.get(panel)

    def value(self, name: str, column: Column) -> Value | None:
        """A row's figure in the column's unit: resources as amounts, Δ_m against our own baseline row."""
        if column.metric in COUNTED:
            costs = self.rows[name].costs
            return Value(sum(c[column.metric] for c in costs) * column.scale) if costs else None
        series = self.column_series(name, column)
        return value_of(series) if series else None

    def measured(self, name: str, column: Column) -> Value | None:
        """As `value`, but a resource relative to the baseline row where the paper prints it so."""
        own = self.value(name, column)
        if own is None or not self.panel.relative(name, column):
            return own
        base = self.value(self.panel.baseline, column) if self.panel.baseline in self.rows else None
        return Value(100.0 * (own.mean / base.mean - 1)) if base else None

    def column_series(self, name: str, column: Column) -> list[float]:
        """A trained figure or Δ_m per seed, in the column's unit; empty where there is none."""
        if column.metric == "delta_m":
            return self.deltas(name, column).get("own", [])
        return [v * column.scale for v in self.series(name).get(column.metric, [])]

    def series(self, name: str) -> dict[str, list[float]]:
        """A row's figures per seed by metric id, by the protocols of the panel's columns."""
        if name not in self._series:
            self._series[name] = self.rows[name].series(self.panel.protocols)
        return self._series[name]

    def deltas(self, name: str, column: Column) -> dict[str, list[float]]:
        """Δ_m of a column per seed, against our own baseline's mean ("own") and against the printed one ("printed")."""
        series, row = self.series(name), self.panel.row(name)
        column = replace(column, over=self.panel.averaged(row, column))
        if any(m not in series for m in column.over):
            return {}
        baselines = {"own": self._own_baseline(name, column), "printed": self._printed_baseline(name, column)}
        signs = {m: better(m) for m in column.over}
        seeds = range(min(len(series[m]) for m in column.over))
        return {
            kind: [delta_m({m: series[m][i] for m in column.over}, base, signs) for i in seeds]
            for kind, base in baselines.items()
            if base is not None
        }

    def _own_baseline(self, name: str, column: Column) -> dict[str, float] | None:
        """Means of our own baseline row; None where it was not run at the row's tier."""
        place = own_reference(self.panel, self.panel.row(name), column)
        there = self.at(place[0]) if place else None
        if place is None or there is None or place[1] not in there.rows:
            return None
        base = there.rows[place[1]].series(self.panel.protocols)
        same_tier = there.rows[place[1]].service.tier == self.rows[name].service.tier
        if not same_tier or any(m not in base for m in column.over):
            return None
        means = {m: value_of(base[m]).mean for m in column.over}
        return means if all(0 < v < math.inf for v in means.values()) else None

    def _printed_baseline(self, name: str, column: Column) -> dict[str, float] | None:
        place = self.panel.reference(self.panel.row(name), column)
        values = trained(place.metrics()) if place else {}
        return {m: values[m] for m in column.over} if all(m in values for m in column.over) else None

    # --- spread ---------------------------------------------------------------------------------------------------

    def spread(self, column: Column) -> tuple[tuple[float, int] | None, str]:
        """Deviation of one run in the column's unit with its degrees of freedom, and where it comes from.

        Pooled over the seeds of this panel's rows at the full tier and over the standard deviations that the paper
        prints for the same figure on the same dataset.
        """
        series = [self.column_series(n, column) for n, r in self.rows.items() if r.service.tier == "full"]
        own = stats.pooled(series)
        paper = printed_spread(self.panel, column)
        rows = sum(len(values) > 1 for values in series)
        sources = [f"the seeds of {rows} rows"] * (own is not None) + ["the paper's printed deviations"] * (
            paper is not None
        )
        return stats.combine([own, paper]), " and ".join(sources)

    def cell_spread(self, name: str, column: Column) -> tuple[tuple[float, int] | None, str]:
        """Deviation of one run's figure in a cell; that of Δ_m comes from its row and from the baseline row alike."""
        spread, source = self.spread(column)
        if spread is None or column.metric != "delta_m":
            return spread, source
        if own_reference(self.panel, self.panel.row(name), column) == (self.panel.key, name):
            return None, ""  # zero by definition, in the paper and here
        return (spread[0] * math.sqrt(2), spread[1]), source


def own_reference(panel: Panel, row: PrintedRow, column: Column) -> tuple[str, str] | None:
    """Panel key and row name that our own Δ_m refers to: what the column refers to where that is in this table."""
    places: list[Located | None] = [panel.reference(row, column), panel.reference(row)]
    for place in places:
        if place is not None and place.table is panel.printed:
            return place.panel, place.row.name
    return None


def value_of(values: list[float]) -> Value:
    """Mean, number and deviation of the values of several seeds."""
    mean, s = stats.mean_and_s(values)
    return Value(mean, len(values), s)


@cache
def _task(name: str) -> Any:
    return TASKS[name](DatasetInfo("any", (name,), class_names=("a", "b"), palette=((0, 0, 0), (255, 255, 255))))


@cache
def usual_protocol(metric: str) -> str:
    """The protocol a figure is read by where no column asks for another: the first of the task's that defines it."""
    task, figure = metric.split(".")
    return next((m.protocol for m in _task(task).metrics() if figure in m.better), "")


def main_figure(task: str) -> str:
    """The metric id a task is judged by, for example "semseg.miou"."""
    return f"{task}.{_task(task).main_metric}"


@cache
def better(metric: str) -> str:
    """Direction of a metric id: "higher" or "lower" (SpecError for an unknown task or figure)."""
    task, figure = metric.split(".")
    directions = {f: d for m in _task(task).metrics() for f, d in m.better.items()}
    if figure not in directions:
        raise unknown(f"figure of {task}", figure, directions, field=metric)
    return directions[figure]
