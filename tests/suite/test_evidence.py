"""Evidence: figures per seed, Δ_m and what it refers to, resources, views, and the spread of a figure."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from evidence_fakes import (
    TWO_SETS,
    check_of,
    evidence_of,
    judged,
    printed,
    reprinted,
    row_named,
    row_of,
    siblings,
    table,
    two_sets,
)
from suite_fakes import body

from mtlrepro.engine.evaluate import record_key
from mtlrepro.errors import SpecError
from mtlrepro.suite.evidence import Evidence, RowEvidence, own_reference, value_of
from mtlrepro.suite.figures import better, main_figure
from mtlrepro.suite.judge import judge_table
from mtlrepro.suite.selection import Selection
from mtlrepro.suite.tiers import Service

# --- figures ----------------------------------------------------------------------------------------------------------


def test_values_are_in_the_column_s_unit_with_their_seeds() -> None:
    bound = table("2a")
    evidence = evidence_of(bound, {"MTL": {"semseg.miou": [0.31, 0.32, 0.33], "depth.rmse": [0.6, 0.7, 0.8]}})
    seg, dep = (bound.expected.column(k) for k in ("seg", "dep"))
    assert evidence.column_series("MTL", seg) == pytest.approx([31, 32, 33])
    value = evidence.value("MTL", seg)
    assert value is not None
    assert (value.mean, value.n, value.s) == (pytest.approx(32), 3, pytest.approx(1))
    assert evidence.value("MTL", dep) == value_of([0.6, 0.7, 0.8])
    assert evidence.value("MTL", bound.expected.column("delta")) is None  # its baseline was not selected


def test_a_failed_row_has_no_figures() -> None:
    bound = table("2a")
    row = dataclasses.replace(row_of(bound, "MTL", printed(bound, "MTL")), records=[], error="disk full")
    assert row.by_spec() == []
    assert row.series(bound.expected.protocols, Selection()) == {}
    assert Evidence(bound, {"MTL": row}).value("MTL", bound.expected.column("seg")) is None


def test_rows_of_table_4_read_views_of_one_run() -> None:
    bound = table("4")
    views = {r.name: r.view for r in bound.rows if r.view != "final"}
    assert sorted(views.values()) == ["scale_0", "scale_1", "scale_2", "scale_3"]
    figures = {}
    for name, view in {**views, "Final output": "final"}.items():
        protocols = bound.expected.protocols
        figures |= {record_key(view, m, protocols[m]): v[0] for m, v in printed(bound, name).items()}
    record = {**body(), "key": "one run", "reused": True, "metrics": figures}
    rows = {"ST": row_of(bound, "ST", printed(bound, "ST"))}
    for name in [*views, "Final output"]:
        row = bound.row(name)
        rows[name] = RowEvidence(row, Service("full", row.specs, ""), [[record]], [])
    result = judge_table(Evidence(bound, rows))
    for row in result.rows[1:]:
        assert row.runs == ["one run"]
        assert row.reused
        assert row.view == views.get(row.name, "final")
        # the one Δ_m that does not follow from its printed figures is 0.26 off, inside the tolerance of 1 point
        assert {c.verdict for c in row.checks} == {"PASS"}
        assert f"{row.measured['seg'].mean:.2f}" == bound.expected.row(row.name).cells["seg"]


def test_auxiliary_tasks_are_read_from_the_finest_stage_and_not_averaged() -> None:
    bound = table("2a")
    name = "Ours (w/ FPM) (N+E)"
    figures = printed(bound, name) | {"normals.mean": [21.0], "edges.f": [0.7]}
    evidence = evidence_of(bound, {name: figures, "Single task": printed(bound, "Single task")})
    row = row_named(judge_table(evidence), name)
    assert row.metrics["normals.mean"].mean == 21.0
    assert row.delta["own"] == pytest.approx(10.99, abs=0.01)
    assert {c.subject for c in row.checks} == {"seg", "dep", "delta"}


def test_counted_resources_are_sums_and_relative_to_the_baseline_where_the_print_is() -> None:
    bound = table("7a")
    costs = {"Single Task": [{"params": 4e6, "macs": 1e9}] * 2, "PAD-Net": [{"params": 6e6, "macs": 3e9}]}
    rows = {n: row_of(bound, n, {}, None, c) for n, c in costs.items()}
    evidence = Evidence(bound, rows)
    params = bound.expected.column("params")
    amounts = [evidence.value(n, params) for n in costs]
    assert [v.mean for v in amounts if v] == pytest.approx([8.0, 6.0])
    shown = [evidence.measured(n, params) for n in costs]
    assert [v.mean for v in shown if v] == pytest.approx([8.0, -25.0])
    alone = Evidence(bound, {"PAD-Net": rows["PAD-Net"]})
    assert alone.measured("PAD-Net", params) is None


# --- Δ_m --------------------------------------------------------------------------------------------------------------


def test_delta_against_our_own_and_against_the_printed_baseline() -> None:
    bound = table("2a")
    worse = {"Single task": 0.9}  # our single-task runs fall short: own and printed Δ must part
    result = judged(bound, lambda name: printed(bound, name, worse.get(name, 1.0)))
    delta = row_named(result, "MTL").delta
    assert delta["paper"] == -1.71
    assert delta["printed"] == pytest.approx(100 * ((32.09 / 33.18 - 1) - (0.668 / 0.667 - 1)) / 2)
    assert delta["own"] == pytest.approx(100 * ((32.09 / (0.9 * 33.18) - 1) - (0.668 / (0.9 * 0.667) - 1)) / 2)
    assert row_named(result, "Single task").delta["own"] == pytest.approx(0, abs=1e-9)
    assert row_named(result, "MTL").measured["delta"].mean == pytest.approx(delta["own"])


def test_delta_may_refer_to_metrics_that_are_printed_in_another_table() -> None:
    bound = table("7a")
    figures = {"semseg.miou": [0.3512], "depth.rmse": [0.620]}
    deltas = evidence_of(bound, {"MTI-Net (Ours)": figures}).deltas("MTI-Net (Ours)", bound.expected.column("delta"))
    assert deltas == {"printed": [pytest.approx(6.4, abs=0.1)]}  # Table 2a has the single-task figures


def test_a_metric_printed_as_a_dash_is_not_averaged() -> None:
    bound = table("2a")
    rows = tuple(dataclasses.replace(r, cells={**r.cells, "seg": "-"}) for r in bound.expected.rows)
    one = reprinted(bound, rows=rows)
    figures = {"Single task": {"semseg.miou": [0.3], "depth.rmse": [0.5]}, "MTL": {"depth.rmse": [0.4]}}
    assert evidence_of(one, figures).deltas("MTL", one.expected.column("delta"))["own"] == [pytest.approx(20.0)]


SETS = {
    ("S-D", "Base"): {"semseg.miou": [0.30, 0.301, 0.299], "depth.rmse": [0.70, 0.701, 0.699]},
    ("S-D", "Method"): {"semseg.miou": [0.33, 0.331, 0.329], "depth.rmse": [0.65, 0.651, 0.649]},
    ("S-D-N", "Base"): {"semseg.miou": [0.305, 0.306, 0.304], "depth.rmse": [0.69, 0.691, 0.689]},
    ("S-D-N", "Method"): {"semseg.miou": [0.34, 0.341, 0.339], "depth.rmse": [0.64, 0.641, 0.639]},
}


def test_delta_against_a_row_of_a_sibling_panel(tmp_path: Path) -> None:
    panels = two_sets(tmp_path)
    there = panels["S-D-N"].expected
    column = there.column("sdn_delta")
    assert there.baseline == ""  # not a line of this panel
    assert own_reference(panels["S-D-N"], "Method", column) == ("S-D", "Base")
    evidence = siblings(panels, SETS)["S-D-N"]
    deltas = evidence.deltas("Method", column)
    wanted = 100 * ((0.34 / 0.30 - 1) - (0.64 / 0.70 - 1)) / 2
    assert value_of(deltas["own"]).mean == pytest.approx(wanted)
    assert len(deltas["own"]) == 3
    assert value_of(deltas["printed"]).mean == pytest.approx(wanted)  # the figures are the printed ones
    row = row_named(judge_table(evidence), "Method")
    assert row.delta == {"own": pytest.approx(wanted), "printed": pytest.approx(wanted), "paper": 10.95}
    assert check_of(row, "sdn_delta").verdict == "PASS"


def test_without_the_sibling_s_row_there_is_no_delta_of_our_own(tmp_path: Path) -> None:
    panels = two_sets(tmp_path)
    found = siblings(panels, {k: v for k, v in SETS.items() if k != ("S-D", "Base")})
    evidence = found["S-D-N"]
    assert evidence.at("S-D") is found["S-D"]
    assert "own" not in evidence.deltas("Method", panels["S-D-N"].expected.column("sdn_delta"))
    check = check_of(row_named(judge_table(evidence), "Method"), "sdn_delta")
    assert (check.verdict, check.reason) == ("MISSING", "no figure: the baseline row 'Base' has none")
    alone = siblings(panels, {k: v for k, v in SETS.items() if k[0] == "S-D-N"})["S-D-N"]
    assert alone.at("S-D") is None
    assert alone.at("S-D-N") is alone


def test_a_baseline_of_another_tier_or_that_diverged_is_none() -> None:
    bound = table("2a")
    column = bound.expected.column("delta")
    rows = {n: row_of(bound, n, printed(bound, n), t) for n, t in (("Single task", "smoke"), ("MTL", "full"))}
    assert "own" not in Evidence(bound, rows).deltas("MTL", column)
    bad = {"semseg.miou": [math.nan], "depth.rmse": [0.6]}
    assert "own" not in evidence_of(bound, {"Single task": bad, "MTL": printed(bound, "MTL")}).deltas("MTL", column)


# --- spread -----------------------------------------------------------------------------------------------------------


def test_spread_is_pooled_over_rows_in_the_column_s_unit() -> None:
    bound = table("s2b")
    result = judged(bound, lambda name: {m: [v[0] - 0.01, v[0], v[0] + 0.01] for m, v in printed(bound, name).items()})
    check = check_of(result.rows[0], "iou")
    assert check.s == pytest.approx(1.0)  # 0.01 in fractions is 1 point
    assert check.s_from == "the seeds of 11 rows, 22 degrees of freedom"
    assert (check.n, check.bound_by, check.verdict) == (3, "spread", "PASS")
    assert check.band == pytest.approx(1.0 * 2.0739 * math.sqrt(4 / 3), rel=1e-3)  # df 22
    assert result.chance_failures == pytest.approx(0.05 * 33)
    assert all(c.holm == "PASS" for r in result.rows for c in r.checks)


def test_the_paper_s_printed_deviations_serve_a_single_seed(tmp_path: Path) -> None:
    panels = two_sets(tmp_path)
    one = {k: {m: v[:1] for m, v in f.items()} for k, f in SETS.items()}
    evidence = siblings(panels, one)["S-D"]
    seg, dep = (panels["S-D"].expected.column(k) for k in ("sd_seg", "sd_dep"))
    # 0.30 and 0.40, of three runs each, in the two sets of the same table
    assert evidence.spread(seg) == ((pytest.approx(math.sqrt(0.125)), 4), "the paper's printed deviations")
    assert evidence.spread(dep) == (None, "")
    check = check_of(row_named(judge_table(evidence), "Method"), "sd_seg")
    assert (check.n, check.bound_by) == (1, "spread")
    assert check.band == pytest.approx(math.sqrt(0.125) * 2.7764 * math.sqrt(1 + 1 / 3), rel=1e-3)  # df 4, 1 and 3 runs
    assert check.s_from == "the paper's printed deviations, 4 degrees of freedom"


def test_our_seeds_and_the_printed_deviations_are_weighted_by_their_degrees_of_freedom(tmp_path: Path) -> None:
    panels = two_sets(tmp_path)
    evidence = siblings(panels, SETS)["S-D"]
    spread, source = evidence.spread(panels["S-D"].expected.column("sd_seg"))
    # ours: two rows of three seeds, 0.1 points; the paper: 0.125 with 4 degrees of freedom
    assert spread == (pytest.approx(math.sqrt((0.01 * 4 + 0.125 * 4) / 8)), 8)
    assert source == "the seeds of 2 rows and the paper's printed deviations"


def test_seeds_of_weaker_tiers_say_nothing_about_the_spread() -> None:
    bound = table("2a")
    rows = {"MTL": row_of(bound, "MTL", {"semseg.miou": [0.3, 0.4], "depth.rmse": [0.6, 0.7]}, "smoke")}
    assert Evidence(bound, rows).spread(bound.expected.column("seg")) == (None, "")


def test_delta_varies_with_its_baseline_too_and_the_baseline_s_own_not_at_all() -> None:
    bound = table("2a")
    figures = {n: {"semseg.miou": [0.30, 0.32], "depth.rmse": [0.6, 0.7]} for n in ("Single task", "MTL")}
    evidence, column = evidence_of(bound, figures), bound.expected.column("delta")
    plain, _ = evidence.spread(column)
    of_row, _ = evidence.cell_spread("MTL", column)
    assert plain is not None
    assert of_row == (pytest.approx(plain[0] * math.sqrt(2)), plain[1])
    assert evidence.cell_spread("Single task", column) == (None, "")
    assert evidence.cell_spread("MTL", bound.expected.column("seg")) == evidence.spread(bound.expected.column("seg"))


def test_the_same_result_printed_twice_counts_once(tmp_path: Path) -> None:
    repeated = TWO_SETS.replace('sdn_seg = "30.50 ± 0.40"', 'sdn_seg = "30.00 ± 0.30"')
    panels = two_sets(tmp_path, text=repeated)
    one = siblings(panels, {("S-D", "Base"): {"semseg.miou": [0.3], "depth.rmse": [0.7]}})["S-D"]
    assert one.spread(panels["S-D"].expected.column("sd_seg"))[0] == (pytest.approx(0.3), 2)


# --- directions -------------------------------------------------------------------------------------------------------


def test_directions_come_from_the_metrics() -> None:
    assert [main_figure(t) for t in ("semseg", "depth", "normals", "edges")] == [
        "semseg.miou",
        "depth.rmse",
        "normals.mean",
        "edges.f",
    ]
    assert [better(m) for m in ("semseg.miou", "depth.rmse", "depth.delta1")] == ["higher", "lower", "higher"]


@pytest.mark.parametrize(
    ("metric", "says"), [("semseg.miuo", "unknown figure of semseg"), ("semsge.miou", "unknown task")]
)
def test_an_unknown_metric_is_told(metric: str, says: str) -> None:
    with pytest.raises(SpecError, match=says) as caught:
        better(metric)
    assert caught.value.mend
