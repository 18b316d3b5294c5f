"""From records to a judged table: figures per cell, Δ_m, resources, checks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import unknown
from mtlrepro.metrics.delta import delta_m
from mtlrepro.spec import RunSpec
from mtlrepro.suite import stats, verdict
from mtlrepro.suite.expected import RESOURCES, Claim, Column, ExpectedRow
from mtlrepro.suite.recorded import Recorded
from mtlrepro.suite.results import Check, ColumnInfo, RowResult, TableResult, Value
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


@dataclass
class Evidence:
    """What is known about a table's selected rows, and the recorded references by tier."""

    bound: BoundTable
    rows: dict[str, RowEvidence]
    recorded: dict[str, Recorded | None] = field(default_factory=dict)


def judge_table(evidence: Evidence) -> TableResult:
    """Judge every selected row and claim of a table, in printed order."""
    expected = evidence.bound.expected
    judge = _TableJudge(evidence)
    rows = [judge.row(r) for r in expected.rows if r.name in evidence.rows]
    claims = [judge.claim(c) for c in expected.claims if c.row in evidence.rows and c.over in evidence.rows]
    flat = [c for r in rows for c in r.checks]
    adjusted, chance = verdict.adjust(flat)
    position = 0
    for row in rows:
        row.checks = adjusted[position : position + len(row.checks)]
        position += len(row.checks)
    columns = [ColumnInfo(c.key, c.title, c.unit, c.better, c.protocol) for c in expected.columns]
    return TableResult(
        expected.paper,
        expected.table,
        expected.dataset,
        expected.caption,
        columns,
        rows,
        expected.baseline,
        claims,
        [*expected.notes, *(f"{r.name}: {r.doubt}" for r in expected.rows if r.doubt)],
        [r.name for r in expected.rows],
        chance,
    )


class _TableJudge:
    def __init__(self, evidence: Evidence):
        self.bound, self.expected = evidence.bound, evidence.bound.expected
        self.rows, self.recorded = evidence.rows, evidence.recorded
        self.series = {name: _series(r) for name, r in evidence.rows.items()}
        self.values = {name: {m: _value(v) for m, v in s.items()} for name, s in self.series.items()}
        self.columns = {c.key: c for c in self.expected.columns}
        over = next((c.over for c in self.expected.columns if c.metric == "delta_m"), ())
        self.deltas = {name: self._deltas(name, over) for name in self.rows}
        self.measured = {name: self._measured(name) for name in self.rows}

    # --- figures --------------------------------------------------------------------------------------------------

    def _deltas(self, name: str, over: tuple[str, ...]) -> dict[str, list[float]]:
        """Δ_m per seed against our own baseline's mean ("own") and the printed one ("printed")."""
        series = self.series[name]
        own = {m: self.values.get(self.expected.baseline, {}).get(m) for m in over}
        baselines: dict[str, dict[str, float]] = {}
        same_tier = (
            self.expected.baseline in self.rows
            and self.rows[self.expected.baseline].service.tier == self.rows[name].service.tier
        )
        if over and same_tier and all(v is not None and 0 < v.mean < math.inf for v in own.values()):
            baselines["own"] = {m: v.mean for m, v in own.items() if v is not None}
        if over and all(m in self.bound.printed_baseline for m in over):
            baselines["printed"] = {m: self.bound.printed_baseline[m] for m in over}
        if not over or any(m not in series for m in over):
            return {}
        seeds = range(min(len(series[m]) for m in over))
        signs = {m: better(m) for m in over}
        return {
            kind: [delta_m({m: series[m][i] for m in over}, base, signs) for i in seeds]
            for kind, base in baselines.items()
        }

    def _measured(self, name: str) -> dict[str, Value]:
        measured: dict[str, Value] = {}
        for key, column in self.columns.items():
            if column.metric in RESOURCES:
                if (amount := self._amount(name, column)) is not None:
                    measured[key] = Value(amount)
            elif column.metric == "delta_m":
                if "own" in self.deltas[name]:
                    measured[key] = _value(self.deltas[name]["own"])
            elif column.metric in self.values[name]:
                measured[key] = _scaled(self.values[name][column.metric], column.scale)
        return measured

    def _amount(self, name: str, column: Column) -> float | None:
        """A resource in the column's unit, or in percent relative to the baseline row where the column prints it so."""
        costs = self.rows[name].costs
        if not costs:
            return None
        total = sum(c[column.metric] for c in costs)
        if not self.expected.relative(name, column):
            return total * column.scale
        base = sum(c[column.metric] for c in self.rows[self.expected.baseline].costs)
        return 100.0 * (total / base - 1)

    def _spread(self, key: str) -> tuple[float, int] | None:
        """Deviation over seeds in the column's unit, pooled over this table's rows of the full tier."""
        column, groups = self.columns[key], []
        for name, row in self.rows.items():
            if row.service.tier == "full":
                series = (
                    self.deltas[name].get("own") if column.metric == "delta_m" else self.series[name].get(column.metric)
                )
                groups.append([v * column.scale for v in series or []])
        return stats.pooled(groups)

    def _cell_spread(self, name: str, key: str) -> tuple[float, int] | None:
        """Deviation of one run's figure in a cell; that of Δ_m comes from its row and from the baseline row alike."""
        spread = self._spread(key)
        if spread is None or self.columns[key].metric != "delta_m":
            return spread
        if name == self.expected.baseline:  # zero by definition, in the paper and here
            return None
        return spread[0] * math.sqrt(2), spread[1]

    # --- rows -----------------------------------------------------------------------------------------------------

    def row(self, expected: ExpectedRow) -> RowResult:
        name, row = expected.name, self.rows[expected.name]
        records = [r for by_seed in row.records for r in by_seed]
        delta = {kind: _value(v).mean for kind, v in self.deltas[name].items()}
        paper = next((c for k, c in expected.cells.items() if self.columns[k].metric == "delta_m"), None)
        if paper is not None:
            delta["paper"] = paper.value
        return RowResult(
            name=name,
            origin="run" if expected.origin == "run" else f"quoted: {expected.source}",
            tier=row.service.tier,
            runs=[r["key"] for r in records],
            printed={k: c.text for k, c in expected.cells.items() if c is not None},
            measured=self.measured[name],
            metrics=self.values[name],
            trivial={m: v for r in records for m, v in r["trivial"].items()},
            delta=delta,
            resources=_resources(row),
            checks=[*_failure(row), *self._cells(expected, row), *self._trivial(row), *self._recorded(row)],
            reused=bool(records) and all(r["reused"] for r in records),
            not_run=row.service.not_run,
            view=row.row.view,
        )

    def _cells(self, expected: ExpectedRow, row: RowEvidence) -> list[Check]:
        checks = []
        for key, cell in expected.cells.items():
            column = self.columns[key]
            if cell is None:
                continue
            tolerance = self.bound.tolerances.of(column.protocol)
            value = self.measured[expected.name].get(key)
            kind = "resource" if column.metric in RESOURCES else "printed"
            if expected.origin != "run":
                checks.append(Check(kind, key, "QUOTED", expected=cell.text, reason=expected.source))
            elif kind == "resource" and value is not None:
                known = next((d for d in self.expected.deviations if (d.row, d.column) == (expected.name, key)), None)
                relative = self.expected.relative(expected.name, column)
                checks.append(verdict.resource(column, cell, value.mean, relative, tolerance, known))
            elif not row.row.specs:
                checks.append(Check(kind, key, "MISSING", expected=cell.text, reason=row.service.not_run))
            elif row.service.tier == "full" and value is not None:
                spread = self._cell_spread(expected.name, key)
                checks.append(verdict.printed(column, cell, value, spread, self.expected.runs, tolerance))
            elif row.service.tier == "full" and not row.error:
                why = f"the baseline row {self.expected.baseline!r} has none" if column.over else "its runs have none"
                checks.append(Check(kind, key, "MISSING", expected=cell.text, reason=f"no figure: {why}"))
            else:
                reason = row.error or row.service.not_run or f"tier {row.service.tier} was asked for"
                checks.append(Check(kind, key, "SKIPPED", expected=cell.text, reason=reason))
        return checks

    def _trivial(self, row: RowEvidence) -> list[Check]:
        """Every task of the row against the best constant predictor on the same data."""
        checks = []
        if row.service.tier not in ("smoke", "own"):
            return []  # a few bench steps at full size promise nothing, and full runs have the paper to meet
        for figure, (values, reference) in _against_trivial(row).items():
            value = _value(values)
            margin = self.bound.tolerances.margin(figure) if row.service.tier == "smoke" else 0.0
            checks.append(
                verdict.trivial(
                    figure, better(figure), value.mean, reference, margin or 0.0, row.service.tier or "", value.n
                )
            )
        return checks

    def _recorded(self, row: RowEvidence) -> list[Check]:
        reference = self.recorded.get(row.service.tier or "")
        if reference is None:
            return []
        checks = []
        family = sum("." in c.metric for c in self.expected.columns) * len(self.rows)
        for spec, by_seed in _recorded_specs(row):
            for metric in dict.fromkeys(c.metric for c in self.expected.columns):
                figure = f"{row.row.view}.{metric}"
                if figure not in by_seed[0]["metrics"] or metric.partition(".")[0] not in spec.model.main:
                    continue
                known = reference.values(spec, figure)
                if not known:
                    reason = "no recorded result for this spec: record one with `mtlrepro run --record`"
                    checks.append(Check("recorded", metric, "MISSING", row.service.tier, reason=reason))
                    continue
                value = _value([r["metrics"][figure] for r in by_seed])
                check = verdict.recorded(
                    figure, better(metric), value, known, reference.spread(figure), family, row.service.tier or ""
                )
                checks.append(replace(check, subject=metric))
        return checks

    # --- claims ---------------------------------------------------------------------------------------------------

    def claim(self, entry: Claim) -> Check:
        """An ordering: resources are compared at once, trained figures at the full tier alone."""
        pair = (entry.row, entry.over)
        resource = all(self.columns[k].metric in RESOURCES for k in entry.columns)
        tier, expected = "conformance" if resource else "full", entry.quote or None
        if not resource and {self.rows[n].service.tier for n in pair} != {"full"}:
            reason = next((r for n in pair if (r := self.rows[n].service.not_run)), "no full-tier result")
            return Check("claim", entry.text, "SKIPPED", expected=expected, reason=reason)
        figures = {n: {k: v for k in entry.columns if (v := self._figure(n, k)) is not None} for n in pair}
        lacking = [n for n in pair if len(figures[n]) < len(set(entry.columns))]
        if lacking:
            reason = ": ".join(filter(None, (f"no figure of row {lacking[0]!r}", self.rows[lacking[0]].error)))
            return Check("claim", entry.text, "MISSING", expected=expected, reason=reason)
        spreads = {k: s for k in entry.columns if (s := self._spread(k)) is not None}
        return replace(verdict.claim(entry, self.columns, figures[entry.row], figures[entry.over], spreads), tier=tier)

    def _figure(self, name: str, key: str) -> Value | None:
        """A measured figure; resources as amounts, since relative ones leave the baseline row without a figure."""
        column = self.columns[key]
        if column.metric not in RESOURCES:
            return self.measured[name].get(key)
        costs = self.rows[name].costs
        return Value(sum(c[column.metric] for c in costs) * column.scale) if costs else None


def _failure(row: RowEvidence) -> list[Check]:
    return [Check("run", "training", "ERROR", row.service.tier, reason=row.error)] if row.error else []


def _series(row: RowEvidence) -> dict[str, list[float]]:
    """Metric id -> value per seed: main tasks from the row's view, auxiliary ones from the finest stage."""
    series: dict[str, list[float]] = {}
    for spec, by_seed in _recorded_specs(row):
        main, aux = spec.model.main, [t for t in spec.model.aux if t not in spec.model.main]
        views = {row.row.view: main} | ({v: aux for v in FINEST_STAGES} if row.row.view == "final" else {})
        for view, tasks in views.items():
            for figure in by_seed[0]["metrics"]:
                v, task, name = figure.split(".")
                if v == view and task in tasks:
                    series[f"{task}.{name}"] = [r["metrics"][figure] for r in by_seed]
    return series


def _recorded_specs(row: RowEvidence) -> list[tuple[RunSpec, list[dict[str, Any]]]]:
    return [] if row.error else list(zip(row.service.specs, row.records, strict=True))


def _against_trivial(row: RowEvidence) -> dict[str, tuple[list[float], float]]:
    """Main figure of every task the row is judged on -> (value per seed, the trivial predictor's)."""
    series = _series(row)
    found: dict[str, tuple[list[float], float]] = {}
    for by_seed in row.records:
        for metric, reference in by_seed[0]["trivial"].items():
            if metric == main_figure(metric.partition(".")[0]) and metric in series:
                found[metric] = (series[metric], reference)
    return found


def _resources(row: RowEvidence) -> dict[str, float]:
    """Sums over the row's networks; the step time of several networks is that of training them one after the other."""
    total: dict[str, float] = {m: sum(c[m] for c in row.costs) for m in RESOURCES if row.costs}
    speeds = [[r["speed"] for r in by_seed if r["speed"]] for by_seed in row.records]
    if row.service.tier != "smoke" and speeds and all(speeds):  # a smoke twin's steps are not the paper model's
        total["step_ms"] = sum(sum(s["step_ms"] for s in group) / len(group) for group in speeds)
        if all("vram_bytes" in s for group in speeds for s in group):
            total["images_per_s"] = 1 / sum(len(group) / sum(s["images_per_s"] for s in group) for group in speeds)
            total["vram_bytes"] = max(s["vram_bytes"] for group in speeds for s in group)
    return total


def _value(values: list[float]) -> Value:
    mean, s = stats.mean_and_s(values)
    return Value(mean, len(values), s)


def _scaled(value: Value, factor: float) -> Value:
    return Value(value.mean * factor, value.n, None if value.s is None else value.s * factor)


@cache
def _task(name: str) -> Any:
    return TASKS[name](DatasetInfo("any", (name,), class_names=("a", "b"), palette=((0, 0, 0), (255, 255, 255))))


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
