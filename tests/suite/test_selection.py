"""Selection rules: which of a run's evaluations a table reads, and how that reaches its cells."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from evidence_fakes import TWO_SETS, check_of, row_named, row_of, two_sets
from hypothesis import given
from hypothesis import strategies as st
from jtr_session import jtr

from mtlrepro.engine.evaluate import record_key
from mtlrepro.expected.panel import trained
from mtlrepro.metrics.delta import delta_m
from mtlrepro.suite.evidence import Evidence, RowEvidence
from mtlrepro.suite.judge import judge_table
from mtlrepro.suite.selection import Selection
from mtlrepro.suite.table import BoundTable
from mtlrepro.suite.tiers import Service

PROTOCOLS = {"semseg.miou": "miou/dataset@1", "depth.rmse": "depth/pooled@1"}
SIGNS = {"semseg.miou": "higher", "depth.rmse": "lower"}
SEG, DEP = (record_key("final", m, p) for m, p in PROTOCOLS.items())
COSTLY = "final.edges.odsf/png@1.odsf"
BOTH = ("semseg", "depth")


def record(*evaluations: tuple[float, float], **last: float) -> dict[str, Any]:
    """A run with these (mIoU, depth error) on its way, the last ones at its end."""
    every = [{SEG: seg, DEP: dep} for seg, dep in evaluations]
    return {
        "evaluations": [{"step": i, "metrics": e} for i, e in enumerate(every[:-1])],
        "metrics": {**every[-1], **last},
    }


def best(baseline: dict[str, float] | None = None) -> Selection:
    return Selection("best on test", PROTOCOLS, baseline or {}, SIGNS)


def chosen(rule: Selection, one: dict[str, Any], tasks: tuple[str, ...] = BOTH) -> tuple[float, float]:
    figures = rule.figures(one, tasks)
    return figures[SEG], figures[DEP]


@pytest.mark.parametrize("rule", ["last", "unknown"])
def test_the_last_evaluation_whatever_came_before(rule: str) -> None:
    assert chosen(Selection(rule), record((0.5, 0.1), (0.3, 0.6))) == (0.3, 0.6)


def test_the_best_mean_gain_counts_for_all_tasks_at_once() -> None:
    # against 0.25 and 0.60: -10, +25, +20.8, and +16.7 at the end
    one = record((0.20, 0.60), (0.35, 0.54), (0.25, 0.35), (0.30, 0.52))
    printed = {"semseg.miou": 0.25, "depth.rmse": 0.60}
    assert chosen(best(printed), one) == (0.35, 0.54)


def test_the_printed_baseline_decides_what_a_gain_is_worth() -> None:
    one = record((0.30, 0.50), (0.32, 0.60))  # the first is better in depth, the second in mIoU
    assert chosen(best({"semseg.miou": 0.30, "depth.rmse": 0.60}), one) == (0.30, 0.50)
    assert chosen(best({"semseg.miou": 0.02, "depth.rmse": 0.60}), one) == (0.32, 0.60)


def test_without_a_printed_baseline_gains_are_over_the_run_s_own_end() -> None:
    assert chosen(best(), record((0.31, 0.50), (0.30, 0.50))) == (0.31, 0.50)
    assert chosen(best(), record((0.29, 0.50), (0.30, 0.50))) == (0.30, 0.50)
    only = {"semseg.miou": 0.30}  # and where half of it is printed, the other half is
    assert chosen(best(only), record((0.30, 0.40), (0.33, 0.50))) == (0.30, 0.40)


def test_a_single_task_run_is_judged_by_its_own_task() -> None:
    one = record((0.9, 0.7), (0.1, 0.5), (0.2, 0.6))
    assert chosen(best(), one, ("depth",)) == (0.1, 0.5)
    assert chosen(best(), one, ("semseg",)) == (0.9, 0.7)
    assert chosen(best(), one, ("normals",)) == (0.2, 0.6)  # nothing to judge it by


def test_the_first_of_equals_is_read() -> None:
    assert chosen(best(), record((0.3, 0.5), (0.3, 0.5), (0.2, 0.6), (0.3, 0.5))) == (0.3, 0.5)
    one = record((0.3, 0.5), (0.3, 0.5))
    one["evaluations"][0]["metrics"]["mark"] = 1.0
    assert best().figures(one, BOTH)["mark"] == 1.0


def test_an_evaluation_that_is_not_a_number_is_never_the_best() -> None:
    printed = {"semseg.miou": 0.25, "depth.rmse": 0.60}
    assert chosen(best(printed), record((math.nan, 0.1), (0.30, 0.50), (0.20, 0.55))) == (0.30, 0.50)
    assert chosen(best(printed), record((0.30, 0.50), (math.nan, 0.1))) == (0.30, 0.50)
    nothing = chosen(best(printed), record((math.nan, 0.1), (0.2, math.nan)))
    assert nothing == (pytest.approx(math.nan, nan_ok=True), 0.1)  # and never a figure that looks well


def test_a_run_that_diverged_without_a_baseline_is_read_at_its_end() -> None:
    assert chosen(best(), record((0.3, 0.5), (math.nan, 0.5)))[0] == pytest.approx(math.nan, nan_ok=True)
    assert chosen(best({"semseg.miou": 0.0}), record((0.3, 0.5), (0.2, 0.6))) == (0.2, 0.6)


def test_what_is_computed_at_the_end_alone_stays_and_does_not_choose() -> None:
    rule = Selection("best on test", {**PROTOCOLS, "edges.odsf": "odsf/png@1"}, {}, {**SIGNS, "edges.odsf": "higher"})
    one = record((0.4, 0.4), (0.3, 0.5), **{COSTLY: 0.7})
    assert rule.figures(one, (*BOTH, "edges")) == {SEG: 0.4, DEP: 0.4, COSTLY: 0.7}


@pytest.mark.parametrize(("count", "expected"), [(1, 0.4), (2, 0.3), (3, 0.8 / 3), (10, 0.8 / 3)])
def test_the_mean_of_the_last_few(count: int, expected: float) -> None:
    one = record((0.2, 1.0), (0.2, 2.0), (0.4, 3.0), **{COSTLY: 0.7})
    figures = Selection(f"mean of last {count}").figures(one, BOTH)
    assert figures[SEG] == pytest.approx(expected)
    assert (COSTLY in figures) == (count == 1)  # it has no mean over evaluations that lack it


pairs = st.tuples(st.floats(0.1, 0.9), st.floats(0.1, 2.0))


@given(st.lists(pairs, min_size=1, max_size=6), pairs)
def test_no_evaluation_beats_the_best_one(evaluations: list[tuple[float, float]], base: tuple[float, float]) -> None:
    printed = dict(zip(PROTOCOLS, base, strict=True))

    def gain(figures: tuple[float, float]) -> float:
        return delta_m(dict(zip(PROTOCOLS, figures, strict=True)), printed, SIGNS)

    assert gain(chosen(best(printed), record(*evaluations))) == max(map(gain, evaluations))


# --- through a table --------------------------------------------------------------------------------------------------


def panel(tmp_path: Path, rule: str) -> BoundTable:
    return two_sets(tmp_path, text=TWO_SETS.replace('selection = "last"', f'selection = "{rule}"'))["S-D"]


def with_records(bound: BoundTable, name: str, *records: dict[str, Any], tier: str = "full") -> RowEvidence:
    row = row_of(bound, name, {"semseg.miou": [0.0] * len(records), "depth.rmse": [0.0] * len(records)}, tier)
    for known, new in zip(row.records[0], records, strict=True):
        known |= new
    return row


def test_a_table_s_rule_is_applied_run_by_run_and_what_came_last_is_kept_beside(tmp_path: Path) -> None:
    bound = panel(tmp_path, "best on test")
    # the two seeds have their best evaluation at different times, against the printed 30.00 and 0.700
    seeds = record((0.33, 0.66), (0.30, 0.70)), record((0.30, 0.70), (0.35, 0.64))
    rows = {"Base": with_records(bound, "Base", *[record((0.30, 0.70), (0.29, 0.71))] * 2)}
    rows["Method"] = with_records(bound, "Method", *seeds)
    method = row_named(judge_table(Evidence(bound, rows)), "Method")
    assert method.measured["sd_seg"].mean == pytest.approx(34)
    assert method.metrics["depth.rmse"].mean == pytest.approx(0.65)
    assert method.last["semseg.miou"].mean == pytest.approx(0.325)
    assert method.last["depth.rmse"].mean == pytest.approx(0.67)
    assert method.delta["own"] == pytest.approx(100 * ((0.34 / 0.30 - 1) - (0.65 / 0.70 - 1)) / 2)  # both at their best
    assert check_of(method, "sd_seg").measured == pytest.approx(34)


@pytest.mark.parametrize(
    ("tier", "expected", "baseline"),
    [
        ("full", 33.0, {"semseg.miou": 0.30, "depth.rmse": 0.70}),
        ("bench", 30.0, {}),
        ("smoke", 30.0, {}),
        ("own", 30.0, {}),
    ],
)
def test_printed_figures_say_nothing_about_scenes(
    tier: str, expected: float, baseline: dict[str, float], tmp_path: Path
) -> None:
    """mIoU falls by a tenth, depth improves by 15 % of the run's own end, but by 2 % of the printed baseline alone."""
    bound = panel(tmp_path, "best on test")
    row = with_records(bound, "Method", record((0.33, 0.115), (0.30, 0.10)), tier=tier)
    evidence = Evidence(bound, {"Method": row})
    assert evidence.selection.rule == "best on test"
    assert evidence.selection.baseline == pytest.approx(baseline)
    value = evidence.value("Method", bound.expected.column("sd_seg"))
    assert value is not None
    assert value.mean == pytest.approx(expected)


def base_of(table: str, panel: str) -> dict[str, float]:
    """The printed figures that "best" is measured against in a panel of JTR, at full."""
    bound = jtr("cityscapes_7", table, panel)
    row = RowEvidence(bound.row("Ours (JTR)"), Service("full", bound.row("Ours (JTR)").specs, ""), [], [], "not run")
    return dict(Evidence(bound, {"Ours (JTR)": row}).selection.baseline)


def test_a_run_whose_metrics_are_printed_elsewhere_is_selected_as_it_is_there() -> None:
    """Table 12 prints gains over Table 11 of the runs of Table 10, whose Supervised MTL they are selected by."""
    there = jtr("cityscapes_7", "10", "Cityscapes onelabel").expected
    supervised = trained(there.metrics(there.row("Supervised MTL")))
    assert supervised.keys() == {"semseg.miou", "depth.abs_err"}
    assert base_of("12", "Cityscapes onelabel") == base_of("10", "Cityscapes onelabel") == supervised
    refers = jtr("cityscapes_7", "12", "Cityscapes onelabel").expected
    place = refers.reference(refers.row("Ours (JTR)"))
    assert place is not None
    assert (place.table.table, place.row.name) == ("11", "STL")
    assert trained(place.metrics()) != supervised  # what the gain refers to is another matter


# --- the constant predictor -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evaluations", "best_seg", "verdict"),
    [(((0.40, 0.10), (0.30, 0.10)), 40.0, "PASS"), (((0.20, 0.10), (0.34, 0.10)), 34.0, "FAIL")],
)
def test_the_constant_predictor_is_beaten_at_the_evaluation_that_the_table_reads(
    evaluations: tuple[tuple[float, float], ...], best_seg: float, verdict: str, tmp_path: Path
) -> None:
    bound = panel(tmp_path, "best on test")
    row = with_records(bound, "Method", record(*evaluations), tier="smoke")
    row.records[0][0]["trivial"] = {"semseg.miou/dataset@1.miou": 0.35, "depth.depth/pooled@1.rmse": 0.5}
    result = row_named(judge_table(Evidence(bound, {"Method": row})), "Method")
    assert result.measured["sd_seg"].mean == pytest.approx(best_seg)
    check = check_of(result, "semseg.miou", "trivial")
    assert (check.verdict, check.measured) == (verdict, pytest.approx(best_seg / 100))
    assert check_of(result, "depth.rmse", "trivial").verdict == "PASS"


# --- of several networks, and of the end ------------------------------------------------------------------------------


def test_each_network_of_a_row_is_selected_by_itself(tmp_path: Path) -> None:
    bound = panel(tmp_path, "best on test")
    evidence = Evidence(bound, {"Method": with_records(bound, "Method", record((0.4, 0.9), (0.1, 0.1)))})
    row = evidence.rows["Method"]
    (spec,) = row.service.specs
    by_task = [type(spec)(spec.data, type(spec.model)("stl", "hrnet18", (t,)), spec.recipe) for t in BOTH]
    row.service = type(row.service)("full", tuple(by_task), "")
    row.records = [row.records[0], row.records[0]]
    series = row.series(evidence.protocols, evidence.selection)
    assert series == {"semseg.miou": [0.4], "depth.rmse": [0.1]}


@pytest.mark.parametrize("rule", ["last", "unknown"])
def test_a_table_that_reads_the_end_has_nothing_beside_it(rule: str, tmp_path: Path) -> None:
    bound = panel(tmp_path, rule)
    rows = {"Method": with_records(bound, "Method", record((0.9, 0.1), (0.33, 0.65)))}
    row = row_named(judge_table(Evidence(bound, rows)), "Method")
    assert row.measured["sd_seg"].mean == pytest.approx(33)
    assert row.last == {}


def test_the_mean_of_the_last_few_reaches_the_cells(tmp_path: Path) -> None:
    bound = panel(tmp_path, "mean of last 2")
    rows = {"Method": with_records(bound, "Method", record((0.9, 0.1), (0.31, 0.60), (0.35, 0.70)))}
    row = row_named(judge_table(Evidence(bound, rows)), "Method")
    assert row.measured["sd_seg"].mean == pytest.approx(33)
    assert row.last["semseg.miou"].mean == pytest.approx(0.35)
