"""From evidence to a judged panel, with figures chosen so that the right verdict is known."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from evidence_fakes import (
    check_of,
    evidence_of,
    judged,
    printed,
    reprinted,
    row_named,
    row_of,
    table,
    two_sets,
    write_expected,
)
from suite_fakes import SUITES

from mtlrepro.expected import spread
from mtlrepro.expected.panel import Panel
from mtlrepro.expected.schema import Column, PrintedRow, PrintedTable
from mtlrepro.expected.tolerances import Margin, Regression, Tolerances
from mtlrepro.report import tables
from mtlrepro.suite.evidence import Evidence, RowEvidence
from mtlrepro.suite.judge import judge_table
from mtlrepro.suite.recorded import Recorded
from mtlrepro.suite.results import Check, TableResult
from mtlrepro.suite.shrink import bench, smoke
from mtlrepro.suite.table import BoundTable, Row, Table, bind, load_suite_file
from mtlrepro.suite.tiers import Service

# --- trained figures against the print --------------------------------------------------------------------------------


def test_the_paper_s_own_figures_pass_everywhere() -> None:
    bound = table("2a")
    result = judged(bound, lambda name: printed(bound, name))
    assert [r.name for r in result.rows] == [r.name for r in bound.expected.rows]
    assert {c.verdict for r in result.rows for c in r.checks} == {"PASS"}
    assert len(result.claims) == len(bound.expected.claims)
    assert result.row_names == [r.name for r in bound.expected.rows]
    assert sum(len(r.checks) for r in result.rows) == 11 * 3
    ours = row_named(result, "Ours (w/ FPM) (N+E)")
    assert ours.measured["seg"].mean == pytest.approx(37.49)
    assert ours.measured["dep"].mean == pytest.approx(0.607)
    assert ours.metrics["semseg.miou"].mean == pytest.approx(0.3749)


def test_a_short_fall_fails_its_cells_and_no_others() -> None:
    bound = table("2a")
    result = judged(bound, lambda name: printed(bound, name, 0.9 if name == "PAD-Net" else 1.0))
    assert [c.verdict for c in row_named(result, "PAD-Net").checks] == ["FAIL", "IMPROVED", "PASS"]
    assert {c.verdict for r in result.rows if r.name != "PAD-Net" for c in r.checks} == {"PASS"}


def test_delta_has_the_false_alarm_rate_it_states() -> None:
    """Δ_m varies with its row and with the baseline row, here and in the paper: the band must hold all four."""
    bound = table("7a")
    names = [r.name for r in bound.rows]
    truth = {"semseg.miou": 0.33, "depth.rmse": 0.66}
    random = np.random.default_rng(11)
    alarms, tables = 0, 400
    for _ in range(tables):
        draws = {n: {m: list(random.normal(t, 0.02 * t, 3)) for m, t in truth.items()} for n in names}
        paper = {n: {m: random.normal(t, 0.02 * t) for m, t in truth.items()} for n in names}
        base = paper[names[0]]
        rows = tuple(
            dataclasses.replace(r, cells={"delta": f"{_delta(paper[r.name], base):.6f}"}) for r in bound.expected.rows
        )
        one = dataclasses.replace(reprinted(bound, rows=rows, claims=()), tolerances=Tolerances((), ()))
        evidence = {n: row_of(one, n, draws[n]) for n in names}
        result = judge_table(Evidence(one, evidence))
        checks = [check_of(r, "delta") for r in result.rows[1:]]
        assert all(c.bound_by == "spread" for c in checks)
        alarms += sum(c.verdict != "PASS" for c in checks)
        assert check_of(result.rows[0], "delta").p is None  # zero by definition: no evidence, no chance failure
    assert alarms / (3 * tables) == pytest.approx(0.05, abs=0.02)


def _delta(figures: dict[str, float], base: dict[str, float]) -> float:
    gains = {m: 100 * (figures[m] / base[m] - 1) for m in figures}
    return (gains["semseg.miou"] - gains["depth.rmse"]) / 2


def test_a_run_that_diverged_fails_and_leaves_the_others_their_band() -> None:
    bound = table("2a")
    bad = {"semseg.miou": [math.nan, 0.32], "depth.rmse": [0.66, 0.67]}
    figures = {r.name: {m: [v[0], v[0] * 1.01] for m, v in printed(bound, r.name).items()} for r in bound.rows}
    result = judged(bound, lambda name: bad if name == "MTL" else figures[name])
    assert check_of(row_named(result, "MTL"), "seg").verdict == "FAIL"
    assert check_of(row_named(result, "MTL"), "delta").verdict == "FAIL"
    other = check_of(row_named(result, "PAD-Net"), "seg")
    assert (other.bound_by, other.verdict) == ("spread", "PASS")
    claim = next(c for c in result.claims if c.subject.startswith("The multi-task baseline"))
    assert (claim.verdict, claim.reason) == ("SKIPPED", "row 'MTL' diverged and cannot be compared with")
    assert not any(check_of(row_named(result, "MTL"), k).holm for k in ("seg", "delta"))  # no part of the family
    assert {c.holm for r in result.rows if r.name != "MTL" for c in r.checks if c.p is not None} == {"PASS"}


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
    lines = list(bound.expected.rows)
    lines[1] = dataclasses.replace(
        lines[1], origin="quoted", source="Some other paper, Table 3", doubts={"seg": "smudged"}
    )
    rows = list(bound.rows)
    rows[1] = Row("MTL")
    rows[2] = Row("PAD-Net", missing="PAD-Net is not here yet")
    one = dataclasses.replace(reprinted(bound, rows=tuple(lines)), rows=tuple(rows))
    reasons = {"MTL": "quoted", "PAD-Net": "PAD-Net is not here yet"}
    nothing = {n: RowEvidence(one.row(n), Service(None, (), r), [], []) for n, r in reasons.items()}
    result = judge_table(Evidence(one, nothing))
    quoted, missing = result.rows
    assert (quoted.origin, quoted.source) == ("quoted", "Some other paper, Table 3")
    assert {(c.verdict, c.reason) for c in quoted.checks} == {("QUOTED", "Some other paper, Table 3")}
    assert {(c.verdict, c.reason) for c in missing.checks} == {("MISSING", "PAD-Net is not here yet")}
    assert result.notes[-1] == "MTL, Seg ↑: smudged"


def test_a_failed_run_is_an_error_of_its_row_alone() -> None:
    bound = table("2a")
    rows = {r.name: row_of(bound, r.name, printed(bound, r.name)) for r in bound.rows}
    rows["PAD-Net"] = dataclasses.replace(rows["PAD-Net"], records=[], error="loss is not finite at step 12")
    result = judge_table(Evidence(bound, rows))
    failed = row_named(result, "PAD-Net")
    assert (failed.checks[0].kind, failed.checks[0].verdict) == ("run", "ERROR")
    assert failed.checks[0].reason == "loss is not finite at step 12"
    assert failed.measured == {}
    assert {c.verdict for r in result.rows if r.name != "PAD-Net" for c in r.checks} == {"PASS"}


def test_without_its_baseline_a_delta_is_missing_and_never_quietly_skipped() -> None:
    bound = table("2a")
    rows = {r.name: row_of(bound, r.name, printed(bound, r.name)) for r in bound.rows}
    rows["Single task"] = dataclasses.replace(rows["Single task"], records=[], error="disk full")
    check = check_of(row_named(judge_table(Evidence(bound, rows)), "MTL"), "delta")
    assert check.verdict == "MISSING"
    assert "Single task" in check.reason


def test_dashes_are_not_compared() -> None:
    bound = table("2a")
    rows = tuple(dataclasses.replace(r, cells={**r.cells, "seg": "-"}) for r in bound.expected.rows)
    result = judged(reprinted(bound, rows=rows), lambda name: printed(bound, name))
    assert all("seg" not in r.printed and "seg" not in {c.subject for c in r.checks} for r in result.rows)


# --- trivial predictors and recorded results --------------------------------------------------------------------------


def test_every_task_is_held_against_the_constant_predictor_with_the_tier_s_margin() -> None:
    bound = dataclasses.replace(table("2a"), tolerances=Tolerances((), (Margin("depth.rmse", 0.5, "e"),)))
    row = row_of(bound, "MTL", {"semseg.miou": [0.3], "depth.rmse": [0.6]}, "smoke")
    trivial = {"semseg.miou/dataset@1.miou": 0.1, "semseg.miou/dataset@1.pixel_acc": 0.9}
    other = {
        "semseg.miou/present@1.miou": 0.9,
        "depth.depth/cap655@1.rmse": 0.2,
    }  # of protocols that no column asks for
    row.records[0][0]["trivial"] = {**trivial, **other, "depth.depth/pooled@1.rmse": 1.0}
    result = judge_table(Evidence(bound, {"MTL": row})).rows[0]
    checks = {c.subject: c for c in result.checks if c.kind == "trivial"}
    assert {k: c.verdict for k, c in checks.items()} == {"semseg.miou": "PASS", "depth.rmse": "FAIL"}
    assert checks["depth.rmse"].expected == "< 0.5 (trivial 1)"
    assert result.trivial["depth.rmse"] == 1.0
    for tier, expected in (("own", {"depth.rmse": "PASS"}), ("bench", {}), ("full", {})):
        weaker = row_of(bound, "MTL", {"semseg.miou": [0.3], "depth.rmse": [0.6]}, tier)
        weaker.records[0][0]["trivial"] = {"depth.depth/pooled@1.rmse": 1.0}
        judged = judge_table(Evidence(bound, {"MTL": weaker})).rows[0].checks
        assert {c.subject: c.verdict for c in judged if c.kind == "trivial"} == expected


def recorded_checks(reference: Recorded, value: float) -> dict[str, Check]:
    bound = table("2a")
    row = row_of(bound, "MTL", {"semseg.miou": [0.3], "depth.rmse": [value]}, "smoke")
    result = judge_table(Evidence(bound, {"MTL": row}, {"smoke": reference}))
    return {c.subject: c for c in result.rows[0].checks if c.kind == "recorded"}


def test_recorded_results_of_the_same_spec_are_held_up() -> None:
    spec = smoke(table("2a").row("MTL").specs[0])
    reference = Recorded({spec.hash(): {"metrics": {"final.depth.depth/pooled@1.rmse": [0.60, 0.62, 0.61]}}})
    checks = recorded_checks(reference, 0.615)
    assert checks["depth.rmse"].verdict == "PASS"
    assert checks["depth.rmse"].tier == "smoke"
    assert checks["semseg.miou"].verdict == "MISSING"
    assert "mtlrepro expected update" in checks["semseg.miou"].reason
    assert recorded_checks(reference, 1.5)["depth.rmse"].verdict == "FAIL"
    assert recorded_checks(reference, 0.1)["depth.rmse"].verdict == "IMPROVED"


def test_a_changed_recipe_has_no_recorded_result() -> None:
    checks = recorded_checks(Recorded({"another": {"metrics": {"final.depth.depth/pooled@1.rmse": [0.6]}}}), 0.6)
    assert {c.verdict for c in checks.values()} == {"MISSING"}


def test_without_any_reference_nothing_is_held_up() -> None:
    bound = table("2a")
    row = row_of(bound, "MTL", printed(bound, "MTL"), "smoke")
    assert not [
        c for c in judge_table(Evidence(bound, {"MTL": row}, {"smoke": None})).rows[0].checks if c.kind == "recorded"
    ]


# --- time and memory --------------------------------------------------------------------------------------------------

LIMITS = Tolerances((), (), (Regression("step_ms", 1.2, "e"), Regression("vram_bytes", 1.05, "e")))


def speed_checks(tier: str, step_ms: float, vram: float, own: bool = True) -> dict[str, Check]:
    """Checks of MTL's speed where 100 ms and 4 GB were recorded, by this machine or by another one."""
    bound = dataclasses.replace(table("2a"), tolerances=LIMITS)
    row = row_of(bound, "MTL", {"semseg.miou": [0.3, 0.3], "depth.rmse": [0.6, 0.6]}, tier)
    twin = bench(bound.row("MTL").specs[0]) if tier == "bench" else row.service.specs[0]
    row.service = dataclasses.replace(row.service, specs=(twin,))
    for i, record in enumerate(row.records[0]):
        record["speed"] = {"step_ms": step_ms + 2 * i - 1, "vram_bytes": vram, "images_per_s": 1.0}
    known = {"metrics": {}, "speed": {"step_ms": [95.0, 105.0], "vram_bytes": [4e9, 4e9]}}
    reference = Recorded({twin.hash(): known}, [twin.hash()] if own else [])
    result = judge_table(Evidence(bound, {"MTL": row}, {tier: reference}))
    return {c.subject.split()[-1]: c for c in result.rows[0].checks if c.kind == "recorded" and "_" in c.subject}


@pytest.mark.parametrize("tier", ["bench", "full"])
@pytest.mark.parametrize(
    ("step_ms", "vram", "verdicts"),
    [
        (119, 4.19e9, ["PASS", "PASS"]),
        (121, 4.21e9, ["FAIL", "FAIL"]),
        (84, 3.82e9, ["PASS", "PASS"]),
        (83, 3.80e9, ["IMPROVED", "IMPROVED"]),
    ],
)
def test_time_and_memory_against_this_machine_s_record(
    tier: str, step_ms: float, vram: float, verdicts: list[str]
) -> None:
    checks = speed_checks(tier, step_ms, vram)
    assert [checks[k].verdict for k in ("step_ms", "vram_bytes")] == verdicts
    assert checks["step_ms"].n == 2
    assert checks["step_ms"].tier == tier
    assert checks["step_ms"].expected == "100 (2 runs)"
    assert ("limit 1.2" in checks["step_ms"].reason) == (verdicts[0] != "PASS")


def test_speed_is_not_compared_with_another_machine_s_nor_at_smoke() -> None:
    assert speed_checks("bench", 500, 9e9, own=False) == {}
    assert speed_checks("smoke", 500, 9e9) == {}


# --- data read otherwise than declared -------------------------------------------------------------------------------

DISJOINT = "policy=disjoint in place of released"
ANOTHER = f"run with {DISJOINT}: another experiment than the printed one"


def read_otherwise(row: RowEvidence) -> RowEvidence:
    return dataclasses.replace(row, service=dataclasses.replace(row.service, varied=DISJOINT))


def test_another_experiment_is_shown_but_not_held_to_the_print() -> None:
    """Whatever its figures: neither those of the paper confirm it, nor far ones refute it."""
    bound = table("2a")
    base = bound.expected.baseline
    for factor in (1.0, 0.5):
        rows = {r.name: read_otherwise(row_of(bound, r.name, printed(bound, r.name, factor))) for r in bound.rows}
        result = judge_table(Evidence(bound, rows))
        checks = [c for r in result.rows for c in r.checks]
        assert {(c.kind, c.verdict, c.reason) for c in checks} == {("printed", "SKIPPED", ANOTHER)}
        assert all(c.measured is not None and c.difference is None for c in checks)
        assert {c.verdict for c in result.claims} == {"SKIPPED"}
        assert {c.reason for c in result.claims} == {ANOTHER}
        assert {r.varied for r in result.rows} == {DISJOINT}
        own = row_named(result, "PAD-Net")
        assert own.measured["seg"].mean == pytest.approx(printed(bound, "PAD-Net", factor)["semseg.miou"][0] * 100)
        assert {"own", "paper"} == set(own.delta)
        assert row_named(result, base).delta["own"] == 0
        assert result.chance_failures is None or result.chance_failures == 0


def test_delta_against_another_experiment_is_not_held_to_the_print() -> None:
    bound = table("2a")
    base = bound.expected.baseline
    rows = {r.name: row_of(bound, r.name, printed(bound, r.name)) for r in bound.rows}
    rows[base] = read_otherwise(rows[base])
    result = judge_table(Evidence(bound, rows))
    for row in result.rows:
        verdicts = {c.subject: (c.verdict, c.reason) for c in row.checks}
        assert verdicts["delta"] == ("SKIPPED", ANOTHER)
        assert verdicts["seg"] == (("SKIPPED", ANOTHER) if row.name == base else ("PASS", ""))


def test_counts_of_another_experiment_are_judged_and_errors_stay_errors() -> None:
    bound = table("7a")
    name = bound.rows[-1].name
    rows = {
        n: read_otherwise(
            row_of(bound, n, printed(bound, n), costs=[{"params": 1, "macs": 1}] * len(bound.row(n).specs))
        )
        for n in (bound.expected.baseline, name)
    }
    row = rows[name]
    result = row_named(judge_table(Evidence(bound, rows)), name)
    assert {c.verdict for c in result.checks if c.kind == "resource"} == {"FAIL"}
    failed = dataclasses.replace(row, records=[], error="disk full")
    result = row_named(judge_table(Evidence(bound, {name: failed})), name)
    assert [c.verdict for c in result.checks if c.kind == "run"] == ["ERROR"]
    assert {c.reason for c in result.checks if c.kind == "printed"} == {"disk full"}


def test_an_unrecorded_variant_is_not_a_missing_record(tmp_path: Path) -> None:
    bound = two_sets(tmp_path)["S-D"]
    figures = {"semseg.miou": [0.3], "depth.rmse": [0.7]}
    for varied, word in ((False, "MISSING"), (True, "SKIPPED")):
        row = row_of(bound, "Base", figures, "smoke")
        rows = {"Base": read_otherwise(row) if varied else row}
        result = judge_table(Evidence(bound, rows, recorded={"smoke": Recorded({})}))
        assert {c.verdict for c in result.rows[0].checks if c.kind == "recorded"} == {word}


# --- panels -----------------------------------------------------------------------------------------------------------


def test_a_panel_is_judged_with_its_own_lines_columns_and_name(tmp_path: Path) -> None:
    panels = two_sets(tmp_path, missing=("Method",))
    first, second = panels["S-D"], panels["S-D-N"]
    rows = {"Base": row_of(first, "Base", {"semseg.miou": [0.3], "depth.rmse": [0.7]})}
    for name, reason in (("Method", first.row("Method").missing), ("Copied", "quoted")):
        rows[name] = RowEvidence(first.row(name), Service(None, (), reason), [], [])
    result = judge_table(Evidence(first, rows))
    assert (result.panel, result.baseline) == ("S-D", "Base")
    assert result.caption.endswith("['S-D']")
    assert [c.key for c in result.columns] == ["sd_seg", "sd_dep", "sd_delta"]
    assert result.row_names == ["Base", "Method", "Copied"]
    method, copied = result.rows[1:]
    assert {(c.verdict, c.reason) for c in method.checks} == {("MISSING", "the method is not written")}
    assert {(c.verdict, c.reason) for c in copied.checks} == {("QUOTED", "another paper")}
    other = judge_table(evidence_of(second, {"Base": {"semseg.miou": [0.3], "depth.rmse": [0.7]}}))
    assert (other.panel, other.baseline, other.row_names) == ("S-D-N", "", ["Base", "Method"])


# --- the rates of false alarms that the bands promise -----------------------------------------------------------------

ROWS, SEEDS, TABLES, ALPHA = 5, 3, 2000, 0.05
SEG = Column("seg", "Seg ↑", "semseg.miou", "miou/dataset@1", "%", "higher")


def simulated(folder: Path, random: np.random.Generator, runs: int) -> BoundTable:
    """A table as a paper with these runs a cell would print it, whose every row has the same true figure."""
    cells = []
    for _ in range(ROWS):
        theirs = random.normal(33, 0.4, runs)
        cells.append(f"{theirs.mean():.6f}" + (f" ± {theirs.std(ddof=1):.6f}" if runs > 1 else ""))
    said = {"caption": "", "source": "", "selection": "last", "file": folder / "mini" / "table_1.toml"}
    lines = tuple(PrintedRow(f"row {i}", {"seg": c}) for i, c in enumerate(cells))
    declared = table("2a").row("MTL")
    rows = tuple(dataclasses.replace(declared, name=line.name) for line in lines)
    print_ = PrintedTable("mini", "1", "nyuv2", runs=runs, columns=(SEG,), rows=lines, **said)  # type: ignore[arg-type]
    return BoundTable(Table("mini", "nyuv2", "1", rows), Panel(print_), rows, Tolerances((), ()))


@pytest.mark.parametrize("runs", [1, 3])
def test_faithful_tables_fail_as_often_as_they_say(runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and the paper's runs come from one distribution; with three runs a cell the print gives deviations too."""
    folder = write_expected(tmp_path)
    random = np.random.default_rng(5 + runs)
    outside = tables_plain = tables_holm = told = 0.0
    for _ in range(TABLES):
        bound = simulated(folder, random, runs)
        monkeypatch.setattr(spread, "load_table", lambda file, b=bound: b.expected.printed)
        ours = {r.name: {"semseg.miou": list(random.normal(0.33, 0.004, SEEDS))} for r in bound.rows}
        result = judge_table(evidence_of(bound, ours))
        checks = [c for r in result.rows for c in r.checks]
        assert {c.bound_by for c in checks} == {"spread"}
        assert checks[0].s_from.endswith(f"{ROWS * (SEEDS - 1 + runs - 1)} degrees of freedom")
        assert ("the paper's printed deviations" in checks[0].s_from) == (runs > 1)
        failed = [c.verdict != "PASS" for c in checks]
        outside += sum(failed)
        tables_plain += any(failed)
        tables_holm += any(c.holm != "PASS" for c in checks)
        told += result.chance_failures or 0.0
    assert outside / (ROWS * TABLES) == pytest.approx(ALPHA, abs=0.01)
    assert outside == pytest.approx(told, rel=0.2)
    assert tables_plain / TABLES > 0.15
    assert 0.02 < tables_holm / TABLES <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / TABLES)


def test_a_view_that_the_runs_do_not_have_is_an_error_of_the_row() -> None:
    bound = table("2a")
    row = row_of(bound, "MTL", printed(bound, "MTL"), "smoke")
    row.row = dataclasses.replace(row.row, view="fianl")
    checks = judge_table(Evidence(bound, {"MTL": row})).rows[0].checks
    assert [(c.kind, c.verdict, c.reason) for c in checks[:1]] == [
        ("run", "ERROR", "its runs have no view 'fianl', only final")
    ]


def test_a_delta_against_the_printed_baseline_is_given_at_full_alone() -> None:
    bound = table("2a")
    for tier in ("smoke", "full"):
        result = judged(bound, lambda name: printed(bound, name), tier)
        assert ("printed" in row_named(result, "MTL").delta) == (tier == "full")


# --- several Δ_m in one panel -----------------------------------------------------------------------------------------


def panel_with(file: str, key: str, failed: tuple[str, str] | None = None) -> TableResult:
    """A panel whose table's rows repeat the print; the runs of the row `failed`, given with its panel, did not."""
    path = SUITES / file
    found: dict[str, Evidence] = {}
    for bound in bind(load_suite_file(path), path):
        names = [r.name for r in bound.expected.rows if bound.row(r.name).specs]
        rows = {name: row_of(bound, name, printed(bound, name)) for name in names}
        for name in names:
            if (bound.expected.key, name) == failed:
                rows[name] = dataclasses.replace(rows[name], records=[], error="loss is not finite at step 12")
        found[bound.expected.key] = Evidence(bound, rows, siblings=found)
    return judge_table(found[key])


@pytest.mark.parametrize(
    ("file", "key", "row", "column", "title"),
    [  # of two over as many metrics the first; else the one over most, wherever it stands
        ("mti_net/test_pascal_context_table_5.py", "Ours/MT", "R18-FPN", "delta_st", "Δ_m of 'Δ_m ↑ (ST)'"),
        ("mti_net/test_pascal_context_table_5.py", "PAD-Net [47]/MT", "HRNet-18", "delta_st", "Δ_m of 'Δ_m ↑ (ST)'"),
        ("dense_mtl/test_nyuv2_table_2.py", "S-D-N", "Ours", "sdn_delta", "Δ_m of 'Delta ↑ Δ_SDN %'"),
    ],
)
def test_the_delta_that_stands_for_a_row(file: str, key: str, row: str, column: str, title: str) -> None:
    result = panel_with(file, key)
    line = row_named(result, row)
    assert line.delta["own"] == line.measured[column].mean
    assert float(line.printed[column].replace(" ", "").split("±")[0]) == line.delta["paper"]
    assert f"{title} against the printed baseline [%]" in tables.deltas(result).columns


def test_a_delta_without_a_baseline_is_not_filled_from_another_column() -> None:
    """Table 5 with R18-FPN's single-task networks lost: its Δ_m against those of R50-FPN stays where it belongs."""
    lost = ("Ours/ST", "R18-FPN")
    result = panel_with("mti_net/test_pascal_context_table_5.py", "Ours/MT", lost)
    assert check_of(row_named(result, "R18-FPN"), "delta_st").verdict == "MISSING"
    frame = tables.measured_figures(result)["full"].set_index("Row")
    texts = {c: str(frame.loc["R18-FPN", c]) for c in frame.columns if c.startswith("Δ_m")}
    assert texts == {"Δ_m ↑ (ST) [%]": "–", "Δ_m ↑ (R50-FPN) [%]": "0.28 (−0.006721, band ± 1.005) PASS"}
    assert "own" not in row_named(result, "R18-FPN").delta
    other = panel_with("mti_net/test_pascal_context_table_5.py", "Ours/MT", ("Ours/ST", "R50-FPN"))
    frame = tables.measured_figures(other)["full"].set_index("Row")
    assert str(frame.loc["R50-FPN", "Δ_m ↑ (ST) [%]"]) == "–"
    assert str(frame.loc["R18-FPN", "Δ_m ↑ (ST) [%]"]) != "–"
