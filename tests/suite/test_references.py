"""What Δ_m refers to where the paper does not print it in the table: a run of ours beside it, or a quoted row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evidence_fakes import check_of, row_named
from jtr_session import jtr, open_session

from mtlrepro.engine.evaluate import record_key
from mtlrepro.errors import SpecError, TrainingError
from mtlrepro.spec import RunSpec
from mtlrepro.suite.evidence import own_reference
from mtlrepro.suite.figures import figures_of
from mtlrepro.suite.table import BoundTable, Row, Table, bind

TASKONOMY = {
    "semseg.miou": ("miou/dataset@1", 0.40),
    "depth.abs_err": ("depth/pooled@1", 0.50),
    "normals.mean": ("normals/pooled@1", 20.0),
    **{f"{t}.abs_err": ("errors/l1@1", 0.50) for t in ("occlusion", "reshading", "keypoints", "texture")},
}
NYU = {
    "semseg.miou": ("miou/strict@1", 0.30),
    "depth.abs_err": ("depth/pooled@1", 0.60),
    "normals.mean": ("normals/pooled@1", 32.0),
}
CITY = {"semseg.miou": ("miou/strict@1", 0.70), "depth.abs_err": ("depth/inverse@1", 0.02)}


def figures(plain: dict[str, tuple[str, float]], gains: dict[str, float]) -> Any:
    """Figures of every run of an objective whose gain over `plain`, in percent, is given; other runs have `plain`'s."""

    def of(spec: RunSpec) -> dict[str, float]:
        gain = gains.get(spec.objective.name, 0.0) / 100
        mine = {m: pv for m, pv in plain.items() if m.partition(".")[0] in spec.model.main}
        signs = {m: 1 if m == "semseg.miou" else -1 for m in mine}
        return {record_key("final", m, p): v * (1 + signs[m] * gain) for m, (p, v) in mine.items()}

    return of


def planned(one: Any, bound: BoundTable, *rows: str) -> Any:
    one.plan([(bound, bound.row(name)) for name in rows])
    return one.table(bound)


# --- a reference that is run and not printed --------------------------------------------------------------------------


def test_gains_over_a_run_that_the_paper_does_not_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = jtr("taskonomy", "3", "onelabel")
    assert "Supervised MTL" not in [r.name for r in bound.rows]
    assert bound.reference is not None
    assert own_reference(bound, "Ours (JTR)", bound.expected.column("delta")) == ("onelabel", "Supervised MTL")
    one, launcher = open_session(monkeypatch, tmp_path, figures(TASKONOMY, {"jtr": 5.0}))
    result = planned(one, bound, "Ours (JTR)")
    assert {r.spec.objective.name for r in launcher.runs} == {"jtr", "partial"}
    assert one.total_runs == 2
    assert [r.name for r in result.rows] == ["Ours (JTR)"]  # the reference is neither shown nor judged
    assert "Supervised MTL" not in result.row_names
    (row,) = result.rows
    assert {k: v.mean for k, v in row.measured.items()} == pytest.approx(dict.fromkeys(row.printed, 5.0))
    assert row.delta["own"] == pytest.approx(5.0)
    mean = check_of(row, "delta")  # the print averages wrongly: what is measured is shown and held to nothing
    assert (mean.verdict, mean.reason) == ("SKIPPED", bound.expected.row("Ours (JTR)").set_aside["delta"])
    assert "divided by 16" in mean.reason
    assert (mean.expected, mean.measured) == ("+3.512", pytest.approx(5.0))
    assert {c.verdict for c in row.checks if c is not mean} <= {"PASS", "FAIL", "IMPROVED"}
    assert not [line for line in one.failures() if "Supervised MTL" in line]
    part = one.part(bound, "Ours (JTR)")
    assert [r.label for r in part.runs] == [bound.row("Ours (JTR)").specs[0].label]


@pytest.mark.parametrize(
    ("dataset", "panel", "plain", "networks"),
    [("nyuv2_13", "NYU-v2 onelabel", NYU, 3), ("cityscapes_7", "Cityscapes onelabel", CITY, 2)],
)
def test_gains_over_single_task_models_are_read_by_the_protocols_of_the_table_that_prints_the_metrics(
    dataset: str, panel: str, plain: Any, networks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = jtr(dataset, "12", panel)
    assert figures_of(bound.expected) == {m: p for m, (p, _) in plain.items()}
    of = figures(plain, {"jtr": 12.0})

    def with_decoys(spec: RunSpec) -> dict[str, float]:
        decoys = {"final.semseg.miou/dataset@1.miou": 0.9, "final.depth.depth/cap655@1.abs_err": 0.1}
        return {**{k: v for k, v in decoys.items() if k.split(".")[1] in spec.model.main}, **of(spec)}

    one, launcher = open_session(monkeypatch, tmp_path, with_decoys)
    row = row_named(planned(one, bound, "Ours (JTR)"), "Ours (JTR)")
    assert sorted(len(r.spec.model.main) for r in launcher.runs) == [1] * networks + [networks]
    assert row.delta["own"] == pytest.approx(12.0)
    assert [v.mean for v in row.measured.values()] == pytest.approx([12.0])
    assert row.delta["printed"] != pytest.approx(12.0)  # against Table 11


def test_a_reference_s_failure_is_told_where_it_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = jtr("taskonomy", "3", "onelabel")
    of = figures(TASKONOMY, {})

    def broken(spec: RunSpec) -> Any:
        return TrainingError("loss is not finite", mend="Lower lr") if spec.objective.name == "partial" else of(spec)

    for gpus, data, tier in ((1, True, "full"), (1, False, "bench"), (0, False, "smoke")):
        one, _ = open_session(monkeypatch, tmp_path / tier, broken, gpus, data)
        (row,) = planned(one, bound, "Ours (JTR)").rows
        assert row.tier == tier
        reason = "no figure: the reference 'Supervised MTL' failed: loss is not finite. Lower lr"
        aside = check_of(row, "delta")
        assert (aside.verdict, aside.measured) == ("SKIPPED", None)
        cells = [c for c in row.checks if c.kind == "printed" and c is not aside]
        assert len(cells) == 7
        assert {(c.verdict, c.reason) for c in cells} == {("MISSING", reason)}
        assert "own" not in row.delta
        told = [line for line in one.failures() if "MISSING printed" in line]
        assert len(told) == len(cells)  # a crash is never green
        assert not [line for line in one.failures() if "[Supervised MTL]" in line]


def test_a_reference_in_a_panel_that_is_not_there_is_told(tmp_path: Path) -> None:
    bound = jtr("taskonomy", "3", "onelabel")
    file = bound.expected.file.parent.parent.parent / "suites" / "jtr" / "test_taskonomy_table_3.py"
    reference = Row("Supervised MTL", bound.row("Supervised MTL").specs, panel="nolabel")
    with pytest.raises(SpecError, match="unknown panel 'nolabel'") as caught:
        bind(Table("jtr", "taskonomy", "3", missing="x", references=[reference]), file)
    assert (caught.value.file, caught.value.field) == (file, "Supervised MTL")


# --- a quoted baseline ------------------------------------------------------------------------------------------------


def test_gains_over_a_quoted_row_are_compared_through_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table 1 onelabel: nobody runs Supervised MTL*, whose figures MTPSL's authors printed."""
    bound = jtr("nyuv2_13", "1", "onelabel")
    paper = {"semseg.miou": ("miou/strict@1", 0.3196), "depth.abs_err": ("depth/pooled@1", 0.5919)}
    one, launcher = open_session(
        monkeypatch, tmp_path, figures({**paper, "normals.mean": ("normals/pooled@1", 30.80)}, {})
    )
    row = row_named(planned(one, bound, "Ours (JTR)"), "Ours (JTR)")
    assert {r.spec.objective.name for r in launcher.runs} == {"jtr"}
    check = check_of(row, "delta")
    assert check.measured == pytest.approx(13.97, abs=0.01)
    assert (check.verdict, check.expected) == ("PASS", "+13.97")
    assert "own" not in row.delta
    assert row.delta["printed"] == pytest.approx(13.97, abs=0.01)
    worse, _ = open_session(monkeypatch, tmp_path, figures({**paper, "normals.mean": ("normals/pooled@1", 36.0)}, {}))
    check = check_of(row_named(planned(worse, bound, "Ours (JTR)"), "Ours (JTR)"), "delta")
    assert check.verdict == "FAIL"


def test_a_quoted_baseline_does_not_vary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = jtr("nyuv2_13", "1", "onelabel")
    one, launcher = open_session(monkeypatch, tmp_path, figures(NYU, {}), seeds=3)
    launcher.step = 0.01
    planned(one, bound, "Ours (JTR)")
    evidence, column = one._evidence(bound), bound.expected.column("delta")
    assert evidence.spread(column)[0] is not None
    assert evidence.cell_spread("Ours (JTR)", column) == evidence.spread(column)


def test_synthetic_scenes_are_never_set_against_a_quoted_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = jtr("nyuv2_13", "1", "onelabel")
    one, _ = open_session(monkeypatch, tmp_path, figures(NYU, {}), gpus=0, data=False)
    row = row_named(planned(one, bound, "Ours (JTR)"), "Ours (JTR)")
    assert "delta" not in row.measured
    assert "printed" not in row.delta
    assert check_of(row, "delta").verdict == "SKIPPED"
