"""From records to a judged table, with figures chosen so that the right verdict is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from suite_fakes import SUITES, body

from mtlrepro.errors import SpecError
from mtlrepro.spec import RunSpec
from mtlrepro.suite.expected import Claim, ExpectedRow
from mtlrepro.suite.judge import Evidence, RowEvidence, better, judge_table, main_figure
from mtlrepro.suite.recorded import Recorded
from mtlrepro.suite.results import Check, RowResult, TableResult
from mtlrepro.suite.table import BoundTable, Row, bind, load_suite_file
from mtlrepro.suite.tiers import Service, smoke
from mtlrepro.suite.tolerances import Margin, Tolerances

Figures = dict[str, list[float]]
"""Metric id -> one value a seed, in the metric's own unit."""


def table(name: str) -> BoundTable:
    file = SUITES / "mti_net" / f"test_nyuv2_table_{name}.py"
    return bind(load_suite_file(file), file)


def printed(bound: BoundTable, row: str, factor: float = 1.0) -> Figures:
    return {m: [v * factor] for m, v in bound.expected.printed_metrics(row).items()}


def row_of(
    bound: BoundTable, name: str, figures: Figures, tier: str | None = "full", costs: list[dict[str, int]] | None = None
) -> RowEvidence:
    """Evidence of one row whose view holds these figures; every spec holds those of its own main tasks."""
    row = bound.row(name)
    records = []
    for i, spec in enumerate(row.specs):
        mine = {m: v for m, v in figures.items() if m.partition(".")[0] in (*spec.model.main, *spec.model.aux)}
        seeds = len(next(iter(mine.values()), [0]))
        by_seed = []
        for seed in range(seeds):
            metrics = {f"{view_of(spec, m, row)}.{m}": v[seed] for m, v in mine.items()}
            by_seed.append({**body(), "key": f"{name}/{i}/{seed}", "reused": False, "metrics": metrics})
        records.append(by_seed)
    specs = row.specs if tier == "full" else tuple(smoke(s) for s in row.specs)
    service = Service(tier, specs if tier else (), "" if tier == "full" else "full: no dataset")
    return RowEvidence(row, service, records if tier else [], costs or [])


def view_of(spec: RunSpec, metric: str, row: Row) -> str:
    return row.view if metric.partition(".")[0] in spec.model.main else "scale_0"


def judged(bound: BoundTable, figures: Callable[[str], Figures], tier: str | None = "full", **more: Any) -> TableResult:
    rows = {r.name: row_of(bound, r.name, figures(r.name), tier) for r in bound.table.rows}
    return judge_table(Evidence(bound, rows, **more))


def check_of(row: RowResult, subject: str, kind: str = "printed") -> Check:
    return next(c for c in row.checks if (c.kind, c.subject) == (kind, subject))


def row_named(result: TableResult, name: str) -> RowResult:
    return next(r for r in result.rows if r.name == name)


# --- trained figures against the print --------------------------------------------------------------------------------


def test_the_paper_s_own_figures_pass_everywhere() -> None:
    bound = table("2a")
    result = judged(bound, lambda name: printed(bound, name))
    assert [r.name for r in result.rows] == [r.name for r in bound.expected.rows]
    assert {c.verdict for r in result.rows for c in r.checks} == {"PASS"}
    assert {c.verdict for c in result.claims} == {"PASS"}
    assert len(result.claims) == len(bound.expected.claims)
    assert sum(len(r.checks) for r in result.rows) == 11 * 3
    ours = row_named(result, "Ours (w/ FPM) (N+E)")
    assert ours.measured["seg"].mean == pytest.approx(37.49)
    assert ours.measured["dep"].mean == pytest.approx(0.607)
    assert ours.metrics["semseg.miou"].mean == pytest.approx(0.3749)


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


def test_a_short_fall_fails_its_cells_and_no_others() -> None:
    bound = table("2a")
    result = judged(bound, lambda name: printed(bound, name, 0.9 if name == "PAD-Net" else 1.0))
    assert [c.verdict for c in row_named(result, "PAD-Net").checks] == ["FAIL", "IMPROVED", "PASS"]
    assert {c.verdict for r in result.rows if r.name != "PAD-Net" for c in r.checks} == {"PASS"}
    failed = {c.subject for c in result.claims if c.verdict == "FAIL"}
    assert failed == {"MTI-Net without the FPM beats PAD-Net"}  # its depth error fell below MTI-Net's


def test_spread_is_pooled_over_rows_in_the_column_s_unit() -> None:
    bound = table("s2b")
    result = judged(bound, lambda name: {m: [v[0] - 0.01, v[0], v[0] + 0.01] for m, v in printed(bound, name).items()})
    check = check_of(result.rows[0], "iou")
    assert check.s == pytest.approx(1.0)  # 0.01 in fractions is 1 point
    assert (check.n, check.bound_by, check.verdict) == (3, "spread", "PASS")
    assert check.band == pytest.approx(1.0 * 2.0739 * math.sqrt(4 / 3), rel=1e-3)  # df 22
    assert result.chance_failures == pytest.approx(0.05 * 33)
    assert all(c.holm == "PASS" for r in result.rows for c in r.checks)


def test_delta_has_the_false_alarm_rate_it_states() -> None:
    """Δ_m varies with its row and with the baseline row, here and in the paper: the band must hold all four."""
    bound = table("7a")
    names = [r.name for r in bound.table.rows]
    truth = {"semseg.miou": 0.33, "depth.rmse": 0.66}
    random = np.random.default_rng(11)
    alarms, tables = 0, 400
    for _ in range(tables):
        draws = {n: {m: list(random.normal(t, 0.02 * t, 3)) for m, t in truth.items()} for n in names}
        paper = {n: {m: random.normal(t, 0.02 * t) for m, t in truth.items()} for n in names}
        base = paper[names[0]]
        rows = tuple(
            dataclasses.replace(r, cells={"delta": dataclasses.replace(_cell(r), value=_delta(paper[r.name], base))})
            for r in bound.expected.rows
        )
        expected = dataclasses.replace(bound.expected, rows=rows, claims=())
        one = dataclasses.replace(bound, expected=expected, tolerances=Tolerances((), ()))
        evidence = {n: row_of(one, n, draws[n]) for n in names}
        result = judge_table(Evidence(one, evidence))
        checks = [check_of(r, "delta") for r in result.rows[1:]]
        assert all(c.bound_by == "spread" for c in checks)
        alarms += sum(c.verdict != "PASS" for c in checks)
        assert check_of(result.rows[0], "delta").p is None  # zero by definition: no evidence, no chance failure
    assert alarms / (3 * tables) == pytest.approx(0.05, abs=0.02)


def _cell(row: ExpectedRow) -> Any:
    return row.cells["delta"]


def _delta(figures: dict[str, float], base: dict[str, float]) -> float:
    gains = {m: 100 * (figures[m] / base[m] - 1) for m in figures}
    return (gains["semseg.miou"] - gains["depth.rmse"]) / 2


def test_a_run_that_diverged_fails_and_leaves_the_others_their_band() -> None:
    bound = table("2a")
    bad = {"semseg.miou": [math.nan, 0.32], "depth.rmse": [0.66, 0.67]}
    figures = {r.name: {m: [v[0], v[0] * 1.01] for m, v in printed(bound, r.name).items()} for r in bound.table.rows}
    result = judged(bound, lambda name: bad if name == "MTL" else figures[name])
    assert check_of(row_named(result, "MTL"), "seg").verdict == "FAIL"
    assert check_of(row_named(result, "MTL"), "delta").verdict == "FAIL"
    other = check_of(row_named(result, "PAD-Net"), "seg")
    assert (other.bound_by, other.verdict) == ("spread", "PASS")
    assert next(c for c in result.claims if c.subject.startswith("The multi-task baseline")).verdict == "FAIL"


# --- views ------------------------------------------------------------------------------------------------------------


def test_rows_of_table_4_read_views_of_one_run() -> None:
    bound = table("4")
    views = {r.name: r.view for r in bound.table.rows if r.view != "final"}
    assert sorted(views.values()) == ["scale_0", "scale_1", "scale_2", "scale_3"]
    figures = {}
    for name, view in {**views, "Final output": "final"}.items():
        figures |= {f"{view}.{m}": v[0] for m, v in printed(bound, name).items()}
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
        cell = bound.expected.row(row.name).cells["seg"]
        assert cell is not None
        assert row.measured["seg"].mean == pytest.approx(cell.value)
    assert {c.verdict for c in result.claims} == {"PASS"}


def test_auxiliary_tasks_are_read_from_the_finest_stage_and_not_averaged() -> None:
    bound = table("2a")
    name = "Ours (w/ FPM) (N+E)"
    figures = printed(bound, name) | {"normals.mean": [21.0], "edges.f": [0.7]}
    rows = {n: row_of(bound, n, f) for n, f in ((name, figures), ("Single task", printed(bound, "Single task")))}
    row = row_named(judge_table(Evidence(bound, rows)), name)
    assert row.metrics["normals.mean"].mean == 21.0
    assert row.delta["own"] == pytest.approx(10.99, abs=0.01)
    assert {c.subject for c in row.checks} == {"seg", "dep", "delta"}


# --- resources --------------------------------------------------------------------------------------------------------

COSTS = {
    "Single Task": [(3_945_270, 11.367e9), (3_934_701, 11.165e9)],
    "Multi-Task": [(4_019_251, 12.772e9)],
    "PAD-Net": [(7_019_056, 70.245e9)],
    "MTI-Net (Ours)": [(8_578_179, 17.142e9)],
}
"""Parameters and MACs of the public reference implementation at 480x640."""


def resources(costs: dict[str, list[tuple[float, float]]] = COSTS) -> TableResult:
    bound = table("7a")
    rows = {
        n: row_of(bound, n, {}, None, [{"params": p, "macs": m} for p, m in costs[n]])  # type: ignore[dict-item]
        for n in costs
    }
    return judge_table(Evidence(bound, rows))


def test_table_7a_from_the_counts_of_the_reference() -> None:
    result = resources()
    verdicts = {r.name: (check_of(r, "params", "resource"), check_of(r, "flops", "resource")) for r in result.rows}
    single = verdicts["Single Task"]
    assert [round(c.measured or 0, 3) for c in single] == [7.880, 22.532]
    assert [c.verdict for c in single] == ["PASS", "PASS"]
    relative = {n: [round(c.measured or 0, 1) for c in v] for n, v in verdicts.items()}
    assert relative["Multi-Task"] == [-49.0, -43.3]
    assert relative["PAD-Net"] == [-10.9, 211.8]
    assert relative["MTI-Net (Ours)"] == [8.9, -23.9]
    assert [c.verdict for c in verdicts["Multi-Task"]] == ["PASS", "PASS"]
    assert [c.verdict for c in verdicts["PAD-Net"]] == ["XFAIL", "PASS"]
    assert [c.verdict for c in verdicts["MTI-Net (Ours)"]] == ["XFAIL", "XFAIL"]
    assert {c.tier for v in verdicts.values() for c in v} == {"conformance"}
    assert row_named(result, "Single Task").resources == {"params": 7_879_971, "macs": 22.532e9}


def test_another_fpm_is_news_even_where_it_comes_closer() -> None:
    unreduced = COSTS | {"MTI-Net (Ours)": [(12_125_835, 19.573e9)]}  # +53.9 % / -13.1 %
    row = row_named(resources(unreduced), "MTI-Net (Ours)")
    assert check_of(row, "params", "resource").verdict == "IMPROVED"  # within 3 % of 157 %, the entry is out of date
    assert check_of(row, "flops", "resource").verdict == "IMPROVED"
    row = row_named(resources(COSTS | {"MTI-Net (Ours)": [(9_500_000, 16e9)]}), "MTI-Net (Ours)")
    assert [check_of(row, k, "resource").verdict for k in ("params", "flops")] == ["FAIL", "FAIL"]


def test_resource_claims_need_no_training_and_are_made_on_amounts() -> None:
    claims = {c.subject: c for c in resources().claims}
    fewer = claims["MTI-Net needs fewer FLOPS than the single-task models"]
    assert (fewer.verdict, fewer.tier) == ("PASS", "conformance")
    trained = claims["MTI-Net has a higher multi-task performance than PAD-Net"]
    assert (trained.verdict, trained.reason) == ("SKIPPED", "full: no dataset")
    more = resources(COSTS | {"MTI-Net (Ours)": [(8_578_179, 23e9)]})
    check = next(c for c in more.claims if "single-task" in c.subject)
    assert (check.verdict, check.reason) == ("FAIL", "not so on FLOPS (G): +0.468")


def test_a_resource_claim_about_a_row_that_nobody_counted_is_missing() -> None:
    result = resources({**COSTS, "PAD-Net": []})
    check = next(c for c in result.claims if c.subject == "MTI-Net needs fewer FLOPS than PAD-Net")
    assert (check.verdict, check.reason) == ("MISSING", "no figure of row 'PAD-Net'")


def test_step_times_of_several_networks_add_up_and_memory_is_the_largest() -> None:
    bound = table("2a")
    row = row_of(bound, "Single task", {"semseg.miou": [0.3, 0.3], "depth.rmse": [0.6, 0.6]})
    for by_seed, ms, gigabytes in zip(row.records, (10.0, 30.0), (4e9, 3e9), strict=True):
        for record, more in zip(by_seed, (0.0, 2.0), strict=True):
            record["speed"] = {"step_ms": ms + more, "images_per_s": 6e3 / (ms + more), "vram_bytes": gigabytes}
    resources = judge_table(Evidence(bound, {"Single task": row})).rows[0].resources
    assert resources["step_ms"] == pytest.approx(11 + 31)
    assert resources["vram_bytes"] == 4e9
    assert resources["images_per_s"] == pytest.approx(6e3 / (11 + 31), rel=0.02)


# --- what cannot be compared ------------------------------------------------------------------------------------------


def test_at_smoke_printed_cells_are_skipped_with_the_reason_and_claims_too() -> None:
    bound = table("2a")
    result = judged(bound, lambda name: printed(bound, name), "smoke")
    cells = [c for r in result.rows for c in r.checks if c.kind == "printed"]
    assert {(c.verdict, c.reason, c.measured) for c in cells} == {("SKIPPED", "full: no dataset", None)}
    assert {(c.verdict, c.reason) for c in result.claims} == {("SKIPPED", "full: no dataset")}
    assert row_named(result, "MTL").measured["seg"].mean == pytest.approx(32.09)  # shown, at its tier
    assert {r.tier for r in result.rows} == {"smoke"}


def test_a_tier_asked_for_by_name_says_so() -> None:
    bound = table("2a")
    row = row_of(bound, "MTL", printed(bound, "MTL"), "smoke")
    row.service = dataclasses.replace(row.service, not_run="")
    result = judge_table(Evidence(bound, {"MTL": row}))
    assert {c.reason for c in result.rows[0].checks} == {"tier smoke was asked for"}


def test_rows_of_different_tiers_are_never_set_against_each_other() -> None:
    bound = table("2a")
    rows = {n: row_of(bound, n, printed(bound, n), t) for n, t in (("Single task", "smoke"), ("MTL", "full"))}
    mtl = row_named(judge_table(Evidence(bound, rows)), "MTL")
    assert "own" not in mtl.delta
    check = check_of(mtl, "delta")
    assert (check.verdict, check.reason) == ("MISSING", "no figure: the baseline row 'Single task' has none")


def test_quoted_and_undeclared_rows() -> None:
    bound = table("2a")
    rows = list(bound.expected.rows)
    rows[1] = dataclasses.replace(rows[1], origin="quoted", source="Some other paper, Table 3", doubt="smudged")
    declared = list(bound.table.rows)
    declared[1] = Row("MTL")
    declared[2] = Row("PAD-Net", missing="PAD-Net is not here yet")
    one = dataclasses.replace(
        bound,
        table=dataclasses.replace(bound.table, rows=declared),
        expected=dataclasses.replace(bound.expected, rows=tuple(rows)),
    )
    reasons = {"MTL": "quoted", "PAD-Net": "PAD-Net is not here yet"}
    nothing = {n: RowEvidence(one.row(n), Service(None, (), r), [], []) for n, r in reasons.items()}
    result = judge_table(Evidence(one, nothing))
    quoted, missing = result.rows
    assert quoted.origin == "quoted: Some other paper, Table 3"
    assert {(c.verdict, c.reason) for c in quoted.checks} == {("QUOTED", "Some other paper, Table 3")}
    assert {(c.verdict, c.reason) for c in missing.checks} == {("MISSING", "PAD-Net is not here yet")}
    assert result.notes[-1] == "MTL: smudged"


def test_a_failed_run_is_an_error_of_its_row_and_its_claims_have_no_figure() -> None:
    bound = table("2a")
    rows = {r.name: row_of(bound, r.name, printed(bound, r.name)) for r in bound.table.rows}
    rows["PAD-Net"] = dataclasses.replace(rows["PAD-Net"], records=[], error="loss is not finite at step 12")
    result = judge_table(Evidence(bound, rows))
    failed = row_named(result, "PAD-Net")
    assert (failed.checks[0].kind, failed.checks[0].verdict) == ("run", "ERROR")
    assert failed.checks[0].reason == "loss is not finite at step 12"
    assert failed.measured == {}
    claims = {c.subject: c for c in result.claims}
    check = claims["MTI-Net without the FPM beats PAD-Net"]
    assert (check.verdict, check.reason) == ("MISSING", "no figure of row 'PAD-Net': loss is not finite at step 12")
    assert claims["The FPM improves MTI-Net"].verdict == "PASS"
    assert {c.verdict for r in result.rows if r.name != "PAD-Net" for c in r.checks} == {"PASS"}


def test_without_its_baseline_a_delta_is_missing_and_never_quietly_skipped() -> None:
    bound = table("2a")
    rows = {r.name: row_of(bound, r.name, printed(bound, r.name)) for r in bound.table.rows}
    rows["Single task"] = dataclasses.replace(rows["Single task"], records=[], error="disk full")
    check = check_of(row_named(judge_table(Evidence(bound, rows)), "MTL"), "delta")
    assert check.verdict == "MISSING"
    assert "Single task" in check.reason


def test_dashes_are_not_compared() -> None:
    bound = table("2a")
    rows = tuple(dataclasses.replace(r, cells={**r.cells, "seg": None}) for r in bound.expected.rows)
    one = dataclasses.replace(bound, expected=dataclasses.replace(bound.expected, rows=rows))
    result = judged(one, lambda name: printed(bound, name))
    assert all("seg" not in r.printed and "seg" not in {c.subject for c in r.checks} for r in result.rows)


# --- trivial predictors and recorded results --------------------------------------------------------------------------


def test_every_task_is_held_against_the_constant_predictor_with_the_tier_s_margin() -> None:
    bound = dataclasses.replace(table("2a"), tolerances=Tolerances((), (Margin("depth.rmse", 0.5, "e"),)))
    row = row_of(bound, "MTL", {"semseg.miou": [0.3], "depth.rmse": [0.6]}, "smoke")
    row.records[0][0]["trivial"] = {"semseg.miou": 0.1, "semseg.pixel_acc": 0.9, "depth.rmse": 1.0}
    result = judge_table(Evidence(bound, {"MTL": row})).rows[0]
    checks = {c.subject: c for c in result.checks if c.kind == "trivial"}
    assert {k: c.verdict for k, c in checks.items()} == {"semseg.miou": "PASS", "depth.rmse": "FAIL"}
    assert checks["depth.rmse"].expected == "<= 0.5 (trivial 1)"
    assert result.trivial["depth.rmse"] == 1.0
    for tier, expected in (("own", {"depth.rmse": "PASS"}), ("bench", {}), ("full", {})):
        other = row_of(bound, "MTL", {"semseg.miou": [0.3], "depth.rmse": [0.6]}, tier)
        other.records[0][0]["trivial"] = {"depth.rmse": 1.0}
        judged = judge_table(Evidence(bound, {"MTL": other})).rows[0].checks
        assert {c.subject: c.verdict for c in judged if c.kind == "trivial"} == expected


def recorded_checks(reference: Recorded, value: float) -> dict[str, Check]:
    bound = table("2a")
    row = row_of(bound, "MTL", {"semseg.miou": [0.3], "depth.rmse": [value]}, "smoke")
    result = judge_table(Evidence(bound, {"MTL": row}, {"smoke": reference}))
    return {c.subject: c for c in result.rows[0].checks if c.kind == "recorded"}


def test_recorded_results_of_the_same_spec_are_held_up() -> None:
    spec = smoke(table("2a").row("MTL").specs[0])
    reference = Recorded({spec.hash(): {"metrics": {"final.depth.rmse": [0.60, 0.62, 0.61]}}})
    checks = recorded_checks(reference, 0.615)
    assert checks["depth.rmse"].verdict == "PASS"
    assert checks["depth.rmse"].tier == "smoke"
    assert checks["semseg.miou"].verdict == "MISSING"
    assert "--record" in checks["semseg.miou"].reason
    assert recorded_checks(reference, 1.5)["depth.rmse"].verdict == "FAIL"
    assert recorded_checks(reference, 0.1)["depth.rmse"].verdict == "IMPROVED"


def test_a_changed_recipe_has_no_recorded_result() -> None:
    checks = recorded_checks(Recorded({"another": {"metrics": {"final.depth.rmse": [0.6]}}}), 0.6)
    assert {c.verdict for c in checks.values()} == {"MISSING"}


def test_without_any_reference_nothing_is_held_up() -> None:
    bound = table("2a")
    row = row_of(bound, "MTL", printed(bound, "MTL"), "smoke")
    assert not [
        c for c in judge_table(Evidence(bound, {"MTL": row}, {"smoke": None})).rows[0].checks if c.kind == "recorded"
    ]


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


def test_claims_about_rows_that_were_not_selected_are_left_out() -> None:
    bound = table("2a")
    rows = {n: row_of(bound, n, printed(bound, n)) for n in ("Single task", "MTL")}
    claims = judge_table(Evidence(bound, rows)).claims
    assert [c.subject for c in claims] == ["The multi-task baseline is worse than the single-task models"]
    assert isinstance(bound.expected.claims[0], Claim)
