"""Tables of time and memory: measured at bench, extrapolated to the printed training, compared as ratios of rows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from evidence_fakes import check_of, claims_of, row_named, table
from jtr_session import jtr, open_session
from suite_fakes import body

from mtlrepro.data import dataset_length
from mtlrepro.expected.cells import parse
from mtlrepro.expected.schema import Column
from mtlrepro.expected.tolerances import Tolerance
from mtlrepro.spec import RunSpec
from mtlrepro.suite.evidence import Evidence, RowEvidence, training_length
from mtlrepro.suite.figures import protocol_of
from mtlrepro.suite.judge import judge_table
from mtlrepro.suite.results import Check, TableResult
from mtlrepro.suite.shrink import TWINS
from mtlrepro.suite.table import BoundTable
from mtlrepro.suite.tiers import Service
from mtlrepro.suite.verdict import ratio

OURS, THEIRS = "Ours (JTR)", "MTPSL [33]"
HOURS, GIB = 3600.0, 2.0**30
STEPS = 300 * 186
"""300 epochs over 2,975 images in batches of 16, the last one with 15."""
IMAGES = 300 * 500
"""The test set is evaluated after every epoch."""
FORWARD_MS = 2.0
FIRST = "the others are held to their ratio to this row"


def timed(bound: BoundTable, speeds: dict[str, dict[str, float]], tier: str | None = "bench") -> TableResult:
    """The panel with these speeds of the rows named."""
    return judge_table(evidence(bound, speeds, tier))


def evidence(bound: BoundTable, speeds: dict[str, dict[str, float]], tier: str | None = "bench") -> Evidence:
    rows = {}
    for name, speed in speeds.items():
        row = bound.row(name)
        specs = tuple(TWINS[tier](s) for s in row.specs) if tier else ()
        why = "" if tier in ("bench", "full") else "bench: no CUDA GPU is visible"
        records = [[{**body(), "key": name, "reused": False, "speed": speed}] for _ in specs]
        rows[name] = RowEvidence(row, Service(tier, specs, why), records, [])
    return Evidence(bound, rows)


def speed(hours: float, gib: float) -> dict[str, float]:
    """The speed that amounts to so many hours of training, five minutes of which are evaluation."""
    step_ms = (1e3 * hours * HOURS - IMAGES * FORWARD_MS) / STEPS
    return {"step_ms": step_ms, "forward_ms": FORWARD_MS, "images_per_s": 1.0, "vram_bytes": gib * GIB}


def city() -> BoundTable:
    return jtr("cityscapes_7", "7", "Cityscapes")


# --- the length of a training -----------------------------------------------------------------------------------------


def with_recipe(spec: RunSpec, **changes: Any) -> RunSpec:
    return dataclasses.replace(spec, recipe=dataclasses.replace(spec.recipe, **changes))


def test_steps_and_evaluated_images_come_from_the_dataset_the_batch_and_the_printed_epochs() -> None:
    (spec,) = city().row(OURS).specs
    assert [dataset_length("cityscapes_7", split) for split in ("train", "val")] == [2975, 500]
    assert (spec.recipe.epochs, spec.recipe.batch, spec.recipe.drop_last) == (400, 16, False)
    assert city().row(OURS).epochs == 300
    assert training_length(spec) == (400 * 186, 400 * 500)
    assert training_length(spec, 300) == (STEPS, IMAGES)
    assert training_length(with_recipe(spec, drop_last=True), 300) == (300 * 185, IMAGES)
    assert training_length(with_recipe(spec, steps=40_000, evaluate_every=0)) == (40_000, 500)


@pytest.mark.parametrize(("every", "evaluations"), [(0, 1), (1, 300), (7, 43), (300, 1), (400, 1)])
def test_as_many_images_are_evaluated_as_the_recipe_says(every: int, evaluations: int) -> None:
    (spec,) = city().row(OURS).specs
    assert training_length(with_recipe(spec, evaluate_every=every), 300) == (STEPS, evaluations * 500)


def test_a_dataset_of_unknown_length_has_no_steps_and_a_row_on_it_memory_alone(tiny_spec: RunSpec) -> None:
    assert training_length(tiny_spec) is None
    row = dataclasses.replace(city().row(OURS), specs=(tiny_spec,))
    record = {**body(), "speed": speed(2.0, 5.0)}
    assert RowEvidence(row, Service("bench", row.specs, ""), [[record]], []).timed() == {"vram": 5.0 * GIB}


def test_hours_of_the_printed_training_and_the_memory_of_its_steps() -> None:
    result = timed(city(), {THEIRS: speed(10.0, 14.0), OURS: speed(11.0, 19.0)})
    ours = row_named(result, OURS)
    assert ours.measured["city_time"].mean == pytest.approx(11.0)
    assert ours.measured["city_vram"].mean == pytest.approx(19.0)
    assert ours.resources["train_s"] == pytest.approx(11.0 * HOURS)
    assert ours.resources["vram_bytes"] == 19.0 * GIB
    assert ours.metrics == {}
    slower = {**speed(11.0, 19.0), "forward_ms": FORWARD_MS + 24.0}  # 24 ms more for each of 150,000 images: an hour
    ours = row_named(timed(city(), {THEIRS: speed(10.0, 14.0), OURS: slower}), OURS)
    assert ours.measured["city_time"].mean == pytest.approx(12.0)
    plain = row_named(timed(table("2a"), {"MTL": speed(1.0, 1.0)}), "MTL")
    assert "train_s" not in plain.resources  # its table prints no time


def test_several_networks_are_trained_one_after_the_other() -> None:
    bound = jtr("nyuv2_13", "11", "NYU-v2 onelabel")
    row = dataclasses.replace(bound.row("STL"), epochs=100)
    steps, images = training_length(row.specs[0], 100) or (0, 0)
    assert (steps, images) == (100 * 199, 100 * 654)
    each = [
        {"step_ms": ms, "forward_ms": ms / 10, "images_per_s": 1.0, "vram_bytes": ms * GIB} for ms in (10.0, 20.0, 30.0)
    ]
    records = [[{**body(), "speed": s}, {**body(), "speed": {**s, "step_ms": s["step_ms"] + 2}}] for s in each]
    found = RowEvidence(row, Service("bench", row.specs, ""), records, []).timed()
    assert found == {
        "vram": 30 * GIB,
        "train_time": pytest.approx((steps * (11 + 21 + 31) + images * (1 + 2 + 3)) / 1e3),
    }


# --- ratios -----------------------------------------------------------------------------------------------------------


def test_rows_are_held_to_their_ratio_to_the_first_measured_one() -> None:
    """The paper prints 22h 10m and 23h 45m, 14.4 and 19.2 GiB: 1.07 and 1.33 times."""
    result = timed(city(), {THEIRS: speed(2.0, 5.0), OURS: speed(2.14, 6.5)})  # another GPU, the same ratios
    first, ours = row_named(result, THEIRS), row_named(result, OURS)
    for key in ("city_time", "city_vram"):
        check = check_of(first, key, "resource")
        assert (check.verdict, check.tier, check.band) == ("SKIPPED", "bench", None)
        assert check.reason == FIRST
        assert check.measured == pytest.approx({"city_time": 2.0, "city_vram": 5.0}[key])
        assert check.expected == first.printed[key]
    check = check_of(ours, "city_time", "resource")
    assert (check.verdict, check.tier, check.expected) == ("PASS", "bench", "23h 45m")
    assert check.measured == pytest.approx(2.14)
    assert check.difference == pytest.approx(2.14 / 2.0 - 23.75 / (22 + 10 / 60))
    assert check.reason.startswith("1.07 times 'MTPSL [33]' (print 1.07, band ±0.2")
    assert check_of(ours, "city_vram", "resource").verdict == "PASS"


@pytest.mark.parametrize(
    ("hours", "gib", "verdicts"),
    [(4.0, 12.0, ["FAIL", "FAIL"]), (1.0, 3.0, ["IMPROVED", "IMPROVED"]), (2.2, 12.0, ["PASS", "FAIL"])],
)
def test_another_ratio_fails_and_a_cheaper_method_improves(hours: float, gib: float, verdicts: list[str]) -> None:
    ours = row_named(timed(city(), {THEIRS: speed(2.0, 5.0), OURS: speed(hours, gib)}), OURS)
    assert [check_of(ours, k, "resource").verdict for k in ("city_time", "city_vram")] == verdicts


def test_a_row_alone_has_nothing_to_be_held_to() -> None:
    ours = row_named(timed(city(), {OURS: speed(99.0, 99.0)}), OURS)
    assert {(c.verdict, c.reason, round(c.measured or 0, 6)) for c in ours.checks} == {("SKIPPED", FIRST, 99.0)}


def test_a_cell_that_is_set_aside_is_neither_judged_nor_a_reference() -> None:
    """Table 19 prints 10.9 GiB for the two cheaper methods, which nobody can explain; their hours are compared."""
    bound = jtr("cityscapes_7", "19", "Cityscapes")
    cheap = {"Supervised MTL": speed(1.0, 2.0), "Consistency Reg.": speed(9.0, 2.5)}
    result = timed(bound, {**cheap, THEIRS: speed(5.3, 5.0), OURS: speed(5.6, 6.5)})
    for name, gib in (("Supervised MTL", 2.0), ("Consistency Reg.", 2.5)):
        check = check_of(row_named(result, name), "city_vram", "resource")
        assert (check.verdict, check.reason) == ("SKIPPED", bound.expected.row(name).set_aside["city_vram"])
        assert "3.8 times" in check.reason
        assert (check.expected, check.measured) == ("10.9GiB", pytest.approx(gib))
    first = check_of(row_named(result, THEIRS), "city_vram", "resource")
    assert (first.verdict, first.reason) == ("SKIPPED", FIRST)
    memory = check_of(row_named(result, OURS), "city_vram", "resource")
    assert memory.verdict == "PASS"
    assert memory.reason.startswith("1.30 times 'MTPSL [33]' (print 1.33")
    times = [check_of(row, "city_time", "resource") for row in result.rows]
    assert [c.verdict for c in times] == ["SKIPPED", "FAIL", "PASS", "PASS"]
    assert times[0].reason == FIRST
    assert all("'Supervised MTL'" in c.reason for c in times[1:])


def test_what_is_set_aside_is_said_without_a_measurement_too() -> None:
    bound = jtr("cityscapes_7", "19", "Cityscapes")
    row = row_named(timed(bound, {"Supervised MTL": {}}, "smoke"), "Supervised MTL")
    memory, hours = (check_of(row, key, "resource") for key in ("city_vram", "city_time"))
    assert (memory.verdict, memory.measured) == ("SKIPPED", None)
    assert memory.reason == bound.expected.row("Supervised MTL").set_aside["city_vram"]
    assert (hours.verdict, hours.reason) == ("SKIPPED", "bench: no CUDA GPU is visible")


def one_ratio(cell: str, base: str, measured: float, measured_base: float, relative: float = 0.0) -> Check:
    printed, printed_base = parse(cell), parse(base)
    assert printed
    assert printed_base
    column = Column("t", "Time", "train_time", "time/training@1", "h", "lower")
    tolerance = Tolerance("time/", "e", relative)
    return ratio(column, printed, measured, printed_base, measured_base, tolerance, "Base", "bench")


def test_what_the_print_was_rounded_by_is_part_of_the_band() -> None:
    # 4 and 16 GiB, each up to half a unit off: 3.44 to 4.71 times
    check = one_ratio("16GiB", "4GiB", 4.6, 1.0)
    assert (check.verdict, check.band) == ("PASS", pytest.approx(4 * (0.5 / 16 + 0.5 / 4)))
    assert one_ratio("16GiB", "4GiB", 4.65, 1.0).verdict == "FAIL"
    assert one_ratio("16GiB", "4GiB", 3.3, 1.0).verdict == "IMPROVED"
    assert one_ratio("16GiB", "4GiB", 5.2, 1.0, relative=0.2).verdict == "PASS"
    assert one_ratio("8h 20m", "4h 10m", 2.0, 1.0).band == pytest.approx(
        2 * (1 / 60) * (0.5 / 8.3333 + 0.5 / 4.1667), rel=1e-3
    )


def test_without_a_gpu_cells_are_skipped_with_the_reason_and_no_smoke_step_is_extrapolated() -> None:
    for tier, figures in (("smoke", {}), ("smoke", speed(1.0, 1.0))):  # a GPU machine times its smoke runs too
        result = timed(city(), {THEIRS: figures, OURS: figures}, tier)
        for row in result.rows:
            assert row.measured == {}
            assert "train_s" not in row.resources
            assert {(c.verdict, c.reason) for c in row.checks} == {("SKIPPED", "bench: no CUDA GPU is visible")}
        assert {(c.verdict, c.reason) for c in result.claims} == {("SKIPPED", "bench: no CUDA GPU is visible")}


# --- claims -----------------------------------------------------------------------------------------------------------

CLAIM = "MTPSL needs less time and memory than JTR on Cityscapes"


@pytest.mark.parametrize(
    ("ours", "verdict", "says"),
    [
        ((3.0, 8.0), "PASS", ""),
        ((1.5, 8.0), "FAIL", "not so on Time ↓: -0.5"),
        ((3.0, 4.5), "FAIL", "not so on VRAM ↓: -0.5"),
    ],
)
@pytest.mark.parametrize("tier", ["bench", "full"])
def test_claims_on_time_and_memory_are_judged_from_steps(
    tier: str, ours: tuple[float, float], verdict: str, says: str
) -> None:
    claims = claims_of(timed(city(), {THEIRS: speed(2.0, 5.0), OURS: speed(*ours)}, tier))
    assert (claims[CLAIM].verdict, claims[CLAIM].tier, claims[CLAIM].reason) == (verdict, tier, says)
    assert claims[CLAIM].expected
    assert claims[CLAIM].n == 1


def test_claims_need_both_rows_and_one_kind_of_evidence() -> None:
    both = evidence(city(), {THEIRS: speed(2.0, 5.0), OURS: speed(3.0, 8.0)})
    alone = Evidence(both.bound, {THEIRS: both.rows[THEIRS]})
    check = claims_of(judge_table(alone))[CLAIM]
    assert (check.verdict, check.reason) == ("SKIPPED", f"row {OURS!r} was not selected")
    failed = dataclasses.replace(both.rows[OURS], records=[], error="the memory of cuda:0 is full")
    check = claims_of(judge_table(Evidence(both.bound, {**both.rows, OURS: failed})))[CLAIM]
    assert (check.verdict, check.reason) == ("MISSING", f"no figure of row {OURS!r}: the memory of cuda:0 is full")
    weaker = evidence(city(), {OURS: speed(3.0, 8.0)}, "smoke").rows[OURS]
    check = claims_of(judge_table(Evidence(both.bound, {**both.rows, OURS: weaker})))[CLAIM]
    assert (check.verdict, check.reason) == ("SKIPPED", "bench: no CUDA GPU is visible")


# --- through a session ------------------------------------------------------------------------------------------------


def test_a_session_never_trains_a_timed_table_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = city()
    for tier in ("auto", "full"):
        one, launcher = open_session(monkeypatch, tmp_path / tier, lambda spec: {}, gpus=1, data=True, tier=tier)
        one.plan([(bound, r) for r in bound.rows])
        assert {r.tier for r in launcher.runs} == {"bench"}
        assert {r.spec.data.name for r in launcher.runs} == {"streets"}
        assert {r.spec.recipe.batch for r in launcher.runs} == {16}
    assert not jtr("cityscapes_7", "2", "onelabel").expected.timed


# --- protocols --------------------------------------------------------------------------------------------------------


def test_a_figure_that_is_not_printed_is_read_by_the_protocol_of_its_task_s_column() -> None:
    city = {"depth.abs_err": "depth/inverse@1", "semseg.miou": "miou/strict@1"}
    assert protocol_of("depth.abs_err", city) == "depth/inverse@1"
    assert protocol_of("depth.rmse", city) == "depth/inverse@1"
    assert protocol_of("depth.delta1", city) == "depth/pooled@1"  # inverse depth has no such figure
    assert protocol_of("semseg.pixel_acc", city) == "miou/strict@1"
    assert protocol_of("normals.mean", city) == "normals/pooled@1"
    assert protocol_of("depth.rmse", {}) == "depth/pooled@1"
