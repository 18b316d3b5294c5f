"""Training curves: losses as minimised, figures by the table's protocols, one legend for all panels."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from report_fakes import COLUMNS, note_figures, own_session, write_run

from mtlrepro.report import curves as module
from mtlrepro.report.content import build
from mtlrepro.report.curves import curves
from mtlrepro.report.illustrate import WEIGHED
from mtlrepro.report.rundir import RunFiles, read_run
from mtlrepro.suite.results import RowResult, RunInfo, Value

NAMES = ("A row with a name that is far longer than a panel is wide, as the released code has it", "MTL")
STEPS = (20, 40)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn."""
    return note_figures(monkeypatch, module)


def rows(*names: str) -> list[RowResult]:
    metrics = {"semseg.miou": Value(0.1), "depth.rmse": Value(1.0)}
    return [RowResult(name, runs=[name], metrics=metrics) for name in names]


def infos(*keys: str) -> dict[str, RunInfo]:
    return {key: RunInfo(key, key, "mtl", "smoke", 1.0, False, seed) for seed, key in enumerate(keys)}


def run(weighting: str = "") -> RunFiles:
    """A run that is evaluated twice, by two protocols of depth."""
    usual, near = "final.depth.depth/pooled@1.rmse", "final.depth.depth/cap655@1.rmse"
    figures = [(s, {"final.semseg.miou/dataset@1.miou": s / 100, usual: 2.0, near: 1.0}) for s in STEPS]
    return RunFiles(Path("x"), steps=[1, 2, 3], losses=[3.0, 2.0, 1.0], evaluations=figures, weighting=weighting)


@pytest.mark.parametrize(("asked", "value"), [("depth/pooled@1", 2.0), ("depth/cap655@1", 1.0), ("params@1", 2.0)])
def test_a_figure_is_drawn_by_the_protocol_that_the_table_reports(
    asked: str, value: float, drawn: list[Figure]
) -> None:
    columns = [dataclasses.replace(column, protocol=asked) for column in COLUMNS[1:2]]
    curves("c", "T", rows("MTL"), columns, infos("MTL"), {"MTL": run()})
    protocol = asked if asked.startswith("depth") else "depth/pooled@1"  # else the usual one
    titles = [axes.get_title(loc="left").replace("\n", " ") for axes in drawn[0].axes]
    assert titles[1:] == [
        "semseg.miou (miou/dataset@1), evaluation split",
        f"depth.rmse ({protocol}), evaluation split",
    ]
    assert drawn[0].axes[2].get_lines()[0].get_xydata().tolist() == [[s, value] for s in STEPS]


def test_one_legend_below_the_panels_and_a_colour_a_row(drawn: list[Figure]) -> None:
    files = {name: run() for name in NAMES}
    files["MTL"] = dataclasses.replace(files["MTL"], evaluations=[])
    shown = [*rows(*NAMES), *rows("Third")]
    curves("c", "T", shown, COLUMNS, infos(*NAMES, "Third"), {**files, "Third": run()})
    (figure,) = drawn
    long, plain, third, miou, _ = figure.axes
    colours = [to_hex(axes.get_lines()[0].get_color()) for axes in (long, plain, third)]
    assert len(set(colours)) == 3
    assert [to_hex(line.get_color()) for line in miou.get_lines()] == [colours[0], colours[2]]
    assert not [axes for axes in figure.axes if axes.get_legend()]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [NAMES[0], "Third"]
    figure.draw_without_rendering()
    box = legend.get_window_extent()
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= min(axes.get_tightbbox().y0 for axes in figure.axes)


def test_a_table_of_one_row_needs_no_legend_and_several_runs_have_their_own(drawn: list[Figure]) -> None:
    (row,) = rows("MTL")
    row.runs = ["a", "b"]
    curves("c", "T", [row], COLUMNS, infos("a", "b"), {"a": run(), "b": run()})
    assert not drawn[0].legends
    loss, *metrics = drawn[0].axes
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["seed 0", "seed 1"]
    assert not [axes for axes in metrics if axes.get_legend()]


def test_a_weighed_loss_is_named_so(drawn: list[Figure]) -> None:
    logged = dataclasses.replace(run(), weightings=[(1, {"weight": {"depth": 1.0}})])
    files = {"plain": run(), "equal": run("equal"), "logged": logged}
    curves("c", "T", rows(*files), COLUMNS, infos(*files), files)
    assert [axes.get_ylabel() for axes in drawn[0].axes[:3]] == ["loss", "loss (weighed)", "loss (weighed)"]


@pytest.mark.parametrize(
    ("spec", "weighting", "problems"),
    [
        ({"spec": {"objective": {"weighting": {"name": "log", "options": []}}}}, "log", []),
        ({"spec": {"objective": {"weighting": {"name": "fixed", "options": []}}}}, "", []),
        ({"spec": {"objective": {"weighting": None}}}, "", []),
        ([], "", []),
        ("{", "", ["spec.json cannot be read"]),
        (None, "", ["spec.json is missing"]),
    ],
)
def test_the_weighting_of_a_run_is_read(spec: object, weighting: str, problems: list[str], tmp_path: Path) -> None:
    folder = Path(write_run(tmp_path, "a" * 16).directory)
    if spec is None:
        (folder / "spec.json").unlink()
    else:
        (folder / "spec.json").write_text(spec if isinstance(spec, str) else json.dumps(spec))
    found = read_run(folder)
    assert (found.weighting, found.weighed, found.problems) == (weighting, bool(weighting), problems)


@pytest.mark.parametrize("weighting", ["fixed", "lps"])
def test_a_report_says_how_to_read_weighed_losses(weighting: str, tmp_path: Path) -> None:
    result = own_session()
    result.runs = [write_run(tmp_path, "a" * 16)]
    result.tables[0].rows[0].runs = ["a" * 16]
    spec = {"spec": {"objective": {"weighting": {"name": weighting}}}}
    (tmp_path / ("a" * 16) / "spec.json").write_text(json.dumps(spec))
    (section,) = build(result, tmp_path).sections
    assert section.curves is not None
    assert section.curves_note == (WEIGHED if weighting == "lps" else "")
