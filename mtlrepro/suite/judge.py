"""From evidence to a judged panel: every printed cell, margin, recorded result and claim becomes a `Check`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mtlrepro.audit.run import audit_panel
from mtlrepro.engine.evaluate import record_key
from mtlrepro.expected.cells import Printed
from mtlrepro.expected.findings import load_findings
from mtlrepro.expected.schema import COUNTED, RESOURCES, TIMED, Column, PrintedRow
from mtlrepro.expected.tolerances import SPEED
from mtlrepro.profiling.speed import MEMORY
from mtlrepro.suite import verdict
from mtlrepro.suite.claims import judge_claim
from mtlrepro.suite.evidence import RUN_WITH, Evidence, RowEvidence, own_reference, value_of
from mtlrepro.suite.figures import better, main_figure, protocol_of
from mtlrepro.suite.results import CONFORMANCE, Check, ColumnInfo, RowResult, TableResult
from mtlrepro.suite.tiers import REHEARSAL

OVER_CLASSES = ("semseg", "parts")
"""Tasks whose figures are means over classes, which few samples may not hold."""


def judge_table(evidence: Evidence) -> TableResult:
    """Judge every selected row and claim of a panel, in its rows' order; Holm's adjustment is made over the panel."""
    panel = evidence.panel
    judge = _PanelJudge(evidence)
    result = TableResult(
        paper=panel.paper,
        table=panel.table,
        dataset=panel.dataset,
        caption=panel.caption,
        columns=[ColumnInfo(c.key, c.title, c.unit, c.better, c.protocol) for c in panel.columns],
        rows=[judge.row(evidence.bound.line(r.name)) for r in evidence.bound.rows if r.name in evidence.rows],
        baseline=panel.baseline,
        claims=[judge_claim(c, evidence) for c in panel.claims if c.row in evidence.rows],
        notes=[*panel.notes, *_memory_note(evidence), *(r.row.own for r in evidence.rows.values() if r.row.own)],
        row_names=[r.name for r in evidence.bound.rows],
        panel=panel.key,
        findings=[f for f in load_findings(panel.file.parent.parent, panel.paper) if f.about(panel.table)],
        audit=[i for i in audit_panel(panel) if i.status in ("open", "explained")],
    )
    adjust_together([result])
    return result


def adjust_together(panels: Sequence[TableResult]) -> None:
    """Make Holm's adjustment over all panels of one printed table."""
    checks = iter(verdict.adjust([c for t in panels for r in t.rows for c in r.checks])[0])
    for table in panels:
        for row in table.rows:
            row.checks = [next(checks) for _ in row.checks]
        table.chance_failures = verdict.chance_failures([c for r in table.rows for c in r.checks])


class _PanelJudge:
    def __init__(self, evidence: Evidence):
        self.evidence, self.bound, self.panel = evidence, evidence.bound, evidence.panel
        delta = [c for c in self.panel.columns if c.metric == "delta_m"]
        self.headline = max(delta, key=lambda c: len(c.over), default=None)
        """The Δ_m that stands for a row in pictures: the one over most metrics, the first printed of several such."""

    def _last(self, name: str) -> dict[str, list[float]]:
        """What the row's figures are after the last step; nothing where that is what the table reads anyway."""
        if self.panel.printed.selection in ("last", "unknown"):
            return {}
        return {m: v for m, v in self.evidence.last(name).items() if m in self.evidence.protocols}

    def row(self, line: PrintedRow) -> RowResult:
        name, row, cells = line.name, self.evidence.rows[line.name], self.panel.cells(line)
        records = [r for by_seed in row.records for r in by_seed]
        measured = {c.key: v for c in self.panel.columns if (v := self.evidence.measured(name, c)) is not None}
        return RowResult(
            name=name,
            origin=line.origin,
            tier=row.service.tier,
            runs=[r["key"] for r in records],
            printed={key: cell.text for key, cell in cells.items()},
            measured=measured,
            metrics={m: value_of(v) for m, v in self.evidence.series(name).items()},
            last={m: value_of(v) for m, v in self._last(name).items()},
            trivial={m: v for r in records for m, v in self._trivial_figures(r).items()},
            delta=self._delta(line),
            resources=_resources(row, self.panel.timed),
            checks=[*_failure(row), *self._uncounted(row), *self._cells(line, row), *self._own(row)],
            reused=bool(records) and all(r["reused"] for r in records),
            not_run=row.service.not_run,
            view=row.row.view,
            varied=row.service.varied,
            source=line.source,
            beside=self._beside(name),
        )

    def _uncounted(self, row: RowEvidence) -> list[Check]:
        """A row that is only counted has no figures where its baseline row cannot be counted."""
        base = self.evidence.rows.get(self.panel.baseline)
        if not row.row.counted or row.error or base is None or not base.error:
            return []
        reason = f"no figure: the baseline row {base.row.name!r} failed: {base.error}"
        return [Check("run", "counting", "ERROR", row.service.tier, reason=reason)]

    def _beside(self, name: str) -> dict[str, str]:
        """Of another reading: the print of the row that it reads otherwise, where ours can be read beside it.

        That is what the printed row is held to: exact counts, and trained figures at full of the printed experiment.
        """
        line, row = self.bound.counterpart(name), self.evidence.rows[name]
        found = {}
        for column in self.panel.columns if line.name != name else ():
            cell = self.panel.cell(line, column)
            if cell is None or cell.reasoned or column.key in line.set_aside or column.metric in TIMED:
                continue
            counted = column.metric in COUNTED
            full = row.service.tier == "full" and not self.evidence.another(name, column)
            same = self.panel.relative(name, column) == self.panel.relative(line.name, column)
            if same and (counted or full) and self.evidence.measured(name, column) is not None:
                found[column.key] = cell.text
        return found

    def _delta(self, line: PrintedRow) -> dict[str, float]:
        if self.headline is None:
            return {}
        delta = {kind: value_of(v).mean for kind, v in self.evidence.deltas(line.name, self.headline).items()}
        service = self.evidence.rows[line.name].service
        if service.tier != "full" or service.varied:  # other data than the paper's
            delta.pop("printed", None)
        paper = self.panel.cell(line, self.headline)
        return {**delta, "paper": paper.value} if paper is not None else delta

    def _cells(self, line: PrintedRow, row: RowEvidence) -> list[Check]:
        columns = [c for c in self.panel.columns if self.panel.cell(line, c) is not None]
        return [self._cell(line, row, c) for c in columns]

    def _cell(self, line: PrintedRow, row: RowEvidence, column: Column) -> Check:
        cell, value = self.panel.cell(line, column), self.evidence.measured(line.name, column)
        assert cell is not None
        tolerance = self.bound.tolerances.of(column.protocol)
        kind = "resource" if column.metric in RESOURCES else "printed"
        full = row.service.tier == "full"

        def without(word: str, reason: str) -> Check:
            return Check(kind, column.key, word, expected=cell.text, reason=reason)

        def aside(reason: str) -> Check:
            return replace(without("SKIPPED", reason), measured=value.mean if value is not None else None)

        if line.origin != "run":
            return without("QUOTED", line.source)
        if column.key in line.set_aside:
            return aside(line.set_aside[column.key])
        if cell.reasoned:
            return without("SKIPPED", "the print is lost in the available text; this value was reasoned out")
        if not row.row.specs:
            return without("MISSING", row.service.not_run)
        if column.metric in COUNTED and value is not None:
            known = next((d for d in self.panel.deviations if (d.row, d.column) == (line.id, column.key)), None)
            relative = self.panel.relative(line.name, column)
            return verdict.resource(column, cell, value.mean, relative, tolerance, known)
        judged = full if kind == "printed" else column.metric in TIMED and value is not None
        another = self.evidence.another(line.name, column) if judged and not row.error else ""
        if column.metric in TIMED and value is not None and not another:
            return self._ratio(line, column, cell, value.mean)
        if full and value is not None and not another:
            spread, source = self.evidence.cell_spread(line.name, column)
            return verdict.printed(column, cell, value, spread, self.panel.runs, tolerance, source)
        if (failure := self._failed_reference(line, column)) and not row.error:
            return without("MISSING", failure)
        if another:
            return aside(another)
        if full and not row.error:
            baseline = own_reference(self.bound, line.name, column)
            what = repr(baseline[1]) if baseline else "is not in this table and"
            why = f"the baseline row {what} has none" if column.over else f"its runs have none by {column.protocol}"
            return without("MISSING", f"no figure: {why}")
        return without("SKIPPED", row.error or row.service.not_run or f"tier {row.service.tier} was asked for")

    def _failed_reference(self, line: PrintedRow, column: Column) -> str:
        """Why Δ_m has no reference; one that the table does not show has no row of its own to say so."""
        reference = self.bound.reference.name if self.bound.reference and column.over else ""
        row = self.evidence.rows.get(reference)
        refers = own_reference(self.bound, line.name, column) == (self.panel.key, reference)
        return f"no figure: the reference {reference!r} failed: {row.error}" if row and row.error and refers else ""

    def _ratio(self, line: PrintedRow, column: Column, cell: Printed, value: float) -> Check:
        """Time or memory as a multiple of the first measured row's, in print and here."""
        for first in self.panel.rows:
            base, printed = self.evidence.rows.get(first.name), self.panel.cell(first, column)
            amount = self.evidence.value(first.name, column) if base else None
            if base is None or printed is None or amount is None or column.key in first.set_aside:
                continue
            tier = self.evidence.rows[line.name].service.tier or ""
            if first is line:
                return Check(
                    "resource",
                    column.key,
                    "SKIPPED",
                    tier,
                    expected=cell.text,
                    measured=value,
                    reason="the others are held to their ratio to this row",
                )
            tolerance = self.bound.tolerances.of(column.protocol)
            return verdict.ratio(column, cell, value, printed, amount.mean, tolerance, first.name, tier)
        raise AssertionError("a measured row is among the panel's rows")

    def _own(self, row: RowEvidence) -> list[Check]:
        """Against the best constant predictor, and against what was recorded here before; a rehearsal to its end."""
        return [*self._rehearsed(row), *self._trivial(row), *self._recorded(row), *self._speed(row)]

    def _rehearsed(self, row: RowEvidence) -> list[Check]:
        """A rehearsal holds if figures came out, whatever they are; a mean over classes needs each in the labels."""
        if row.service.tier != REHEARSAL or not row.records:
            return []
        series = self.evidence.series(row.row.name)
        odd = sorted(figure for figure, values in series.items() if not all(map(math.isfinite, values)))
        wrong = [figure for figure in odd if figure.partition(".")[0] not in OVER_CLASSES] if series else ["no figure"]
        reason = f"not a number: {', '.join(wrong)}" if wrong else ""
        reason = reason or (f"not a number on so few samples: {', '.join(odd)}" if odd else "")
        word = "FAIL" if wrong else "PASS"
        return [Check("run", "figures came out", word, REHEARSAL, n=len(row.records[0]), reason=reason)]

    def _trivial(self, row: RowEvidence) -> list[Check]:
        """Every task of the row against the best constant predictor on the same data."""
        checks = []
        if row.service.tier not in ("smoke", "own"):
            return []  # a few bench steps at full size promise nothing, and full runs have the paper to meet
        series = self.evidence.series(row.row.name)
        for figure, reference in self._against_trivial(row).items():
            value = value_of(series[figure])
            usual = row.service.tier == "smoke" and not row.row.own  # what the methods here are known to reach
            margin = self.bound.tolerances.margin(figure) if usual else 0.0
            checks.append(
                verdict.trivial(
                    figure, better(figure), value.mean, reference, margin or 0.0, row.service.tier or "", value.n
                )
            )
        return checks

    def _trivial_figures(self, record: dict[str, Any]) -> dict[str, float]:
        """Metric id -> the trivial predictor's figure, by the same protocol as the network's."""
        found = {}
        for key, value in record["trivial"].items():
            task, protocol, figure = key.split(".")
            metric = f"{task}.{figure}"
            if protocol == protocol_of(metric, self.evidence.protocols):
                found[metric] = value
        return found

    def _against_trivial(self, row: RowEvidence) -> dict[str, float]:
        """Main figure of every task the row is judged on -> the trivial predictor's."""
        series = self.evidence.series(row.row.name)
        return {
            metric: reference
            for by_seed in row.records
            for metric, reference in self._trivial_figures(by_seed[0]).items()
            if metric == main_figure(metric.partition(".")[0]) and metric in series
        }

    def _recorded(self, row: RowEvidence) -> list[Check]:
        reference = self.evidence.recorded.get(row.service.tier or "")
        if reference is None or row.row.own:
            return []
        checks = []
        figures = self.evidence.protocols
        # other readings share the false alarms among all rows that are trained; printed rows keep the band they have
        # without them
        trained = [r for r in self.evidence.rows.values() if not (r.row.counted or r.row.own)]
        beside = [r for r in trained if row.row.reading_of or not r.row.reading_of]
        family = len(figures) * len(beside)
        for spec, by_seed in row.by_spec():
            for metric, protocol in figures.items():
                if metric.partition(".")[0] not in spec.model.main:
                    continue
                figure = record_key(row.row.view, metric, protocol)
                if figure not in by_seed[0]["metrics"]:
                    continue
                known = reference.values(spec, figure)
                if not known and row.service.varied:
                    reason = f"{RUN_WITH} {row.service.varied}: another experiment than the recorded one"
                    checks.append(Check("recorded", metric, "SKIPPED", row.service.tier, reason=reason))
                    continue
                if not known:
                    reason = "no recorded result for this spec: record one with `mtlrepro expected update`"
                    checks.append(Check("recorded", metric, "MISSING", row.service.tier, reason=reason))
                    continue
                value = value_of([r["metrics"][figure] for r in by_seed])
                check = verdict.recorded(
                    figure, better(metric), value, known, reference.spread(figure), family, row.service.tier or ""
                )
                checks.append(replace(check, subject=metric))
        return checks

    def _speed(self, row: RowEvidence) -> list[Check]:
        """Step time and memory against what this very machine recorded, as ratios; smoke twins are no measure."""
        reference = self.evidence.recorded.get(row.service.tier or "")
        if reference is None or row.service.tier not in ("bench", "full"):
            return []
        checks = []
        for spec, by_seed in row.by_spec():
            for figure in SPEED:
                known = reference.speed(spec, figure)
                limit = self.bound.tolerances.regression(figure)
                if known and limit is not None and all(figure in r["speed"] for r in by_seed):
                    value = value_of([r["speed"][figure] for r in by_seed])
                    subject = f"{spec.label} {figure}"
                    checks.append(verdict.regression(subject, value, known, limit, row.service.tier))
        return checks


def _failure(row: RowEvidence) -> list[Check]:
    if row.error:
        what = "counting" if row.service.tier == CONFORMANCE else "training"
        return [Check("run", what, "ERROR", row.service.tier, reason=row.error)]
    views = {figure.partition(".")[0] for r in row.records for record in r for figure in record["metrics"]}
    if views and row.row.view not in views:
        reason = f"its runs have no view {row.row.view!r}, only {', '.join(sorted(views))}"
        return [Check("run", "view", "ERROR", row.service.tier, reason=reason)]
    return []


def _memory_note(evidence: Evidence) -> list[str]:
    """Which of the measured amounts of memory stands beside the print, where any does."""
    columns = any(c.metric == "vram" for c in evidence.panel.columns)
    if not columns or not any(row.timed() for row in evidence.rows.values()):
        return []
    return [
        f"The paper does not say how memory was read. Compared is {MEMORY[evidence.memory]}: the nearest to what "
        "nvidia-smi shows, which is what the printed figures look like. Rows are held to their ratio."
    ]


def _resources(row: RowEvidence, timed: bool) -> dict[str, float]:
    """Sums over the row's networks; the step time of several networks is that of training them one after the other.

    A row of a table of times has what is trained besides the network, and the time of its whole training too.
    """
    counted = (*COUNTED, "train_params", "train_macs")
    total: dict[str, float] = {m: sum(c[m] for c in row.costs) for m in counted if row.costs and m in row.costs[0]}
    speeds = [[r["speed"] for r in by_seed if r["speed"]] for by_seed in row.records]
    small = row.service.tier in ("smoke", REHEARSAL)  # the steps of a small twin are not those of the paper's model
    if not small and speeds and all(speeds):
        total["step_ms"] = sum(sum(s["step_ms"] for s in group) / len(group) for group in speeds)
        if all("vram_bytes" in s for group in speeds for s in group):
            total["images_per_s"] = 1 / sum(len(group) / sum(s["images_per_s"] for s in group) for group in speeds)
        for figure in MEMORY:
            if all(figure in s for group in speeds for s in group):
                total[figure] = max(s[figure] for group in speeds for s in group)
    if timed and "train_time" in (found := row.timed()):
        total["train_s"] = found["train_time"]
    return total
