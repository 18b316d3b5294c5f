"""What is known about a panel's rows, and the figures that follow from it: per seed, as values, Δ_m, resources."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from mtlrepro.data import dataset_length
from mtlrepro.engine.evaluate import FINAL
from mtlrepro.expected.panel import Located, Panel, trained
from mtlrepro.expected.schema import COUNTED, TIMED, Column, PrintedRow
from mtlrepro.expected.spread import printed_spread
from mtlrepro.metrics.delta import delta_m
from mtlrepro.profiling.speed import PRINTED_MEMORY
from mtlrepro.spec import RunSpec
from mtlrepro.suite import stats
from mtlrepro.suite.figures import better, figures_of, protocol_of
from mtlrepro.suite.recorded import Recorded
from mtlrepro.suite.results import Value
from mtlrepro.suite.selection import Selection
from mtlrepro.suite.table import BoundTable, Row
from mtlrepro.suite.tiers import Service

FINEST_STAGES = ("scale_0", "initial")
"""Where auxiliary tasks, which have no final prediction, are read."""

TIMING_TIERS = ("bench", "full")
"""Tiers that train the paper's exact model on a GPU, so that its time and memory are measured."""


RUN_WITH = "run with"
"""Begins what is said of data that were read otherwise than declared."""


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

    def series(self, protocols: Mapping[str, str], selection: Selection) -> dict[str, list[float]]:
        """Metric id -> value per seed: main tasks from the row's view, auxiliary ones from the finest stage.

        Args:
            protocols: metric id -> the protocol that is asked for; for others see `protocol_of`.
            selection: which of a run's evaluations count.
        """
        series: dict[str, list[float]] = {}
        for spec, by_seed in self.by_spec():
            chosen = [selection.figures(record, spec.model.main) for record in by_seed]
            main, aux = spec.model.main, [t for t in spec.model.aux if t not in spec.model.main]
            views = {self.row.view: main} | ({v: aux for v in FINEST_STAGES} if self.row.view == FINAL else {})
            for view, tasks in views.items():
                for key in chosen[0]:
                    v, task, protocol, figure = key.split(".")
                    metric = f"{task}.{figure}"
                    if v == view and task in tasks and protocol == protocol_of(metric, protocols):
                        series[metric] = [figures[key] for figures in chosen if key in figures]
        return series

    def speeds(self) -> list[list[dict[str, float]]]:
        """What steps cost, by spec and seed, from a tier and a machine that measure it; else empty."""
        found = [[r["speed"] for r in by_seed] for _, by_seed in self.by_spec()]
        measured = self.service.tier in TIMING_TIERS and all("vram_bytes" in s for group in found for s in group)
        return found if measured else []

    def timed(self, memory: str = "vram_bytes") -> dict[str, float]:
        """Seconds of the row's printed training and bytes of memory, from steps on a GPU; empty without them.

        The seconds are those of all optimizer steps and of a forward pass over the test set after every epoch,
        without loading. A smoke twin's steps are not the paper's model's.

        Args:
            memory: which figure of `mtlrepro.profiling.speed.MEMORY` the bytes are.
        """
        speeds = self.speeds()
        if not speeds:
            return {}
        used = {"vram": max(s[memory] for group in speeds for s in group)}
        seconds = 0.0
        for spec, group in zip(self.row.specs, speeds, strict=True):
            length = training_length(spec, self.row.epochs)
            if length is None:
                return used
            steps, images = length
            seconds += sum(steps * s["step_ms"] + images * s["forward_ms"] for s in group) / (1e3 * len(group))
        return {**used, "train_time": seconds}


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

    @cached_property
    def memory(self) -> str:
        """The memory figure that is compared: the first of `PRINTED_MEMORY` that every timed row has."""
        known = [s for row in self.rows.values() for group in row.speeds() for s in group]
        return next((name for name in PRINTED_MEMORY if known and all(name in s for s in known)), "vram_bytes")

    def at(self, panel: str) -> Evidence | None:
        """The evidence of a panel of this table, by its key; None where none of its rows was selected."""
        return self if panel == self.panel.key else self.siblings.get(panel)

    def value(self, name: str, column: Column) -> Value | None:
        """A row's figure in the column's unit: resources as amounts, Δ_m against our own baseline row."""
        if column.metric in COUNTED:
            costs = self.rows[name].costs
            return Value(sum(c[column.metric] for c in costs) * column.scale) if costs else None
        if column.metric in TIMED:
            amount = self.rows[name].timed(self.memory).get(column.metric)
            return None if amount is None else Value(amount * column.scale)
        series = self.column_series(name, column)
        return value_of(series) if series else None

    def another(self, name: str, column: Column) -> str:
        """Why a figure is not of the printed experiment: how it was run, or its reference."""
        place = own_reference(self.bound, name, column) if column.over else None
        there = self.at(place[0]) if place else None
        rows = [self.rows[name], *([there.rows[place[1]]] if place and there and place[1] in there.rows else [])]
        varied = next((row.service.varied for row in rows if row.service.varied), "")
        return f"{RUN_WITH} {varied}: another experiment than the printed one" if varied else ""

    def measured(self, name: str, column: Column) -> Value | None:
        """As `value`, but a resource relative to the baseline row where the paper prints it so."""
        return self.relative(name, column) if self.panel.relative(name, column) else self.value(name, column)

    def relative(self, name: str, column: Column) -> Value | None:
        """A resource as the percentage by which it exceeds the baseline row's."""
        own = self.value(name, column)
        base = self.value(self.panel.baseline, column) if self.panel.baseline in self.rows else None
        return Value(100.0 * (own.mean / base.mean - 1)) if own and base else None

    def column_series(self, name: str, column: Column) -> list[float]:
        """A trained figure or Δ_m per seed, in the column's unit; empty where there is none."""
        if column.metric == "delta_m":
            deltas = self.deltas(name, column)
            return deltas.get("own") or (deltas.get("printed", []) if self._against_quoted(name, column) else [])
        return [v * column.scale for v in self.series(name).get(column.metric, [])]

    def draws(self, name: str, column: Column) -> list[float]:
        """As `column_series`, but varying as much as a figure does that is held to a number.

        Every seed's Δ_m refers to that seed of our own baseline row; to its mean, it would hide what that row varies.
        """
        values, column = self.column_series(name, column), self._averaging(name, column)
        base = self._own_baseline_series(name, column) if values and column.metric == "delta_m" else None
        if base is None:
            return values
        series, signs = self.series(name), {m: better(m) for m in column.over}
        seeds = range(min(len(found[m]) for found in (series, base) for m in column.over))
        pairs = [({m: series[m][i] for m in column.over}, {m: base[m][i] for m in column.over}) for i in seeds]
        usable = all(0 < v < math.inf for _, other in pairs for v in other.values())
        deltas = [delta_m(own, other, signs) if usable else math.nan for own, other in pairs]
        shift = value_of(values).mean - value_of(deltas).mean  # the figure itself is that against the mean
        return [d + shift for d in deltas]

    def series(self, name: str) -> dict[str, list[float]]:
        """A row's figures per seed by metric id, by the protocols of the panel's columns."""
        if name not in self._series:
            self._series[name] = self.rows[name].series(self.protocols, self.selection)
        return self._series[name]

    def last(self, name: str) -> dict[str, list[float]]:
        """As `series`, of the evaluation after the last step, whatever the table's rule."""
        return self.rows[name].series(self.protocols, Selection())

    @cached_property
    def protocols(self) -> dict[str, str]:
        """Metric id -> protocol, of the trained figures that the panel prints or averages."""
        return figures_of(self.panel)

    @cached_property
    def selection(self) -> Selection:
        """The table's rule, with the printed baseline that "best" is measured against at full.

        A row whose metrics are printed in another table is selected as it is there: one run, one evaluation. Scenes
        have nothing to do with printed figures, so below full a run is measured against its own last evaluation.
        """
        full = any(row.service.tier == "full" for row in self.rows.values())
        place = next((p for line in self.panel.rows if (p := self._judged_against(line))), None) if full else None
        printed = trained(place.metrics()) if place else {}
        metrics = self.protocols
        return Selection(self.panel.printed.selection, metrics, printed, {m: better(m) for m in metrics})

    def _judged_against(self, line: PrintedRow) -> Located | None:
        there = self.panel.elsewhere(line)
        panel, row = (Panel(there.table, there.group, there.set), there.row) if there else (self.panel, line)
        return panel.reference(row)

    def deltas(self, name: str, column: Column) -> dict[str, list[float]]:
        """Δ_m of a column per seed, against our own baseline's mean ("own") and against the printed one ("printed")."""
        series, column = self.series(name), self._averaging(name, column)
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

    def _against_quoted(self, name: str, column: Column) -> bool:
        """Does the figure refer to a row that nobody runs? Then at full the printed one is what ours refers to too."""
        service, place = self.rows[name].service, self.panel.reference(self.bound.counterpart(name), column)
        return service.tier == "full" and not service.varied and place is not None and place.row.origin != "run"

    def _averaging(self, name: str, column: Column) -> Column:
        """The column over the metrics that the row's Δ_m averages."""
        return replace(column, over=self.panel.averaged(self.bound.counterpart(name), column))

    def _own_baseline(self, name: str, column: Column) -> dict[str, float] | None:
        """Means of our own baseline row; None where it was not run at the row's tier."""
        series = self._own_baseline_series(name, column)
        return {m: value_of(values).mean for m, values in series.items()} if series is not None else None

    def _own_baseline_series(self, name: str, column: Column) -> dict[str, list[float]] | None:
        """Figures per seed of our own baseline row; None without them, or without means that Δ_m can refer to."""
        place = own_reference(self.bound, name, column)
        there = self.at(place[0]) if place else None
        if place is None or there is None or place[1] not in there.rows:
            return None
        base = there.rows[place[1]].series(self.protocols, self.selection)
        same_tier = there.rows[place[1]].service.tier == self.rows[name].service.tier
        if not same_tier or any(m not in base for m in column.over):
            return None
        found = {m: base[m] for m in column.over}
        return found if all(0 < value_of(values).mean < math.inf for values in found.values()) else None

    def _printed_baseline(self, name: str, column: Column) -> dict[str, float] | None:
        place = self.panel.reference(self.bound.counterpart(name), column)
        values = trained(place.metrics()) if place else {}
        return {m: values[m] for m in column.over} if all(m in values for m in column.over) else None

    # --- spread ---------------------------------------------------------------------------------------------------

    def spread(self, column: Column) -> tuple[tuple[float, int] | None, str]:
        """Deviation of one run in the column's unit with its degrees of freedom, and where it comes from.

        Pooled over the seeds of this panel's printed rows at the full tier and over the standard deviations that the
        paper prints for the same figure on the same dataset.
        """
        shown = [r.name for r in self.panel.rows if r.name in self.rows]  # no reference, nor another reading: no line
        series = [self.column_series(n, column) for n in shown if self.rows[n].service.tier == "full"]
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
        if spread is None or column.metric != "delta_m" or self._against_quoted(name, column):
            return spread, source  # a quoted baseline is one and the same number in the paper and here
        if own_reference(self.bound, name, column) == (self.panel.key, name):
            return None, ""  # zero by definition, in the paper and here
        return (spread[0] * math.sqrt(2), spread[1]), source


def own_reference(bound: BoundTable, name: str, column: Column) -> tuple[str, str] | None:
    """Panel key and row name that a row's own Δ_m refers to: in this table, or a reference declared beside it."""
    panel, row = bound.expected, bound.counterpart(name)
    places: list[Located | None] = [panel.reference(row, column), panel.reference(row)]
    for place in places:
        if place is not None and place.table is panel.printed:
            return place.panel, place.row.name
    return (panel.key, bound.reference.name) if bound.reference else None


def training_length(spec: RunSpec, epochs: int = 0) -> tuple[int, int] | None:
    """Optimizer steps of a paper-exact training, and images it evaluates once an epoch.

    Args:
        spec: the training.
        epochs: its length where it is not the recipe's.

    Returns:
        Both numbers; None where the length of its training set is not known. No image is counted where that of the
        test set is not.
    """
    data, recipe, passes = spec.data, spec.recipe, epochs or spec.recipe.epochs
    train, val = dataset_length(data.name, "train"), dataset_length(data.val_name or data.name, "val") or 0
    if recipe.steps:
        return recipe.steps, val
    if train is None:
        return None
    steps = train // recipe.batch if recipe.drop_last else -(-train // recipe.batch)
    evaluations = -(-passes // recipe.evaluate_every) if recipe.evaluate_every else 1  # the end is always evaluated
    return passes * steps, evaluations * val


def value_of(values: list[float]) -> Value:
    """Mean, number and deviation of the values of several seeds."""
    mean, s = stats.mean_and_s(values)
    return Value(mean, len(values), s)
