"""Task weights over epochs: what is read of a run, and what is drawn of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from report_fakes import note_figures, own_session, write_run

from mtlrepro.report import weights as module
from mtlrepro.report import write_report
from mtlrepro.report.rundir import RunFiles, read_run
from mtlrepro.report.weights import weights
from mtlrepro.suite.results import RowResult

Series = Mapping[str, Mapping[str, Sequence[float]]]
PRIORITIES = {"semseg": [1.6, 0.84, 0.72, 0.60], "depth": [3.6, 1.0, 1.23, 1.37], "normals": [10.7, 1.3, 1.23, 1.28]}
"""Section 3.5's scheme, epoch by epoch: the first are inverse shares of the losses."""
NEAR = {"semseg": [1.0, 0.4, 0.0, 0.0], "depth": [1.0, 0.9, 1.6, 2.0], "normals": [1.0, 1.9, 1.6, 1.7]}


def lines(series: Series) -> list[dict[str, Any]]:
    """What a run logs, ten steps an epoch."""
    epochs = len(next(iter(next(iter(series.values())).values())))
    return [
        {
            "step": 10 * (e + 1),
            "epoch": e + 1,
            "weighting": {name: {t: v[e] for t, v in of.items()} for name, of in series.items()},
        }
        for e in range(epochs)
    ]


def files(**logs: Series) -> dict[str, RunFiles]:
    return {
        key: RunFiles(Path(key), weightings=[(line["epoch"], line["weighting"]) for line in lines(series)])
        for key, series in logs.items()
    }


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn."""
    return note_figures(monkeypatch, module)


def test_weights_are_read_beside_losses_and_evaluations(tmp_path: Path) -> None:
    plain = read_run(Path(write_run(tmp_path, "a" * 16).directory))
    file = plain.directory / "metrics.jsonl"
    good = "".join(json.dumps(line) + "\n" for line in lines({"priority": PRIORITIES, "weight": NEAR}))
    file.write_text(file.read_text() + good)
    run = read_run(plain.directory)
    assert (run.steps, run.losses, run.problems) == (plain.steps, plain.losses, plain.problems)
    assert [step for step, _ in run.evaluations] == [step for step, _ in plain.evaluations]
    assert [epoch for epoch, _ in run.weightings] == [1, 2, 3, 4]
    assert run.weightings[2][1] == {
        "priority": {"semseg": 0.72, "depth": 1.23, "normals": 1.23},
        "weight": {"semseg": 0.0, "depth": 1.6, "normals": 1.6},
    }
    assert not plain.weightings


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 50, "weighting": {"weight": {"semseg": 1}}}',
        '{"step": 50, "epoch": 5, "weighting": [1, 2]}',
        '{"step": 50, "epoch": 5, "weighting": {"weight": 1}}',
        '{"step": 50, "epoch": 5, "weighting": {"weight": {"semseg": 1, "depth": null}}}',
        '{"step": 50, "epoch": "five", "weighting": {"weight": {"semseg": 1}}}',
        '{"step": 50, "epoch": 5, "weighting": {"weight": {"sem',
    ],
)
def test_a_damaged_line_of_weights_is_said_and_left_out_whole(line: str, tmp_path: Path) -> None:
    folder = Path(write_run(tmp_path, "a" * 16).directory)
    file = folder / "metrics.jsonl"
    file.write_text(file.read_text() + json.dumps(lines({"weight": NEAR})[0]) + "\n" + line)
    run = read_run(folder)
    assert run.weightings == [(1, {"weight": {"semseg": 1.0, "depth": 1.0, "normals": 1.0}})]
    assert run.problems == ["metrics.jsonl has 1 unreadable line"]


@pytest.mark.parametrize(
    "logs",
    [
        {},
        {"a": {"weight": {"semseg": [0.5, 0.5, 0.5], "depth": [0.5, 0.5, 0.5]}}},  # equal weights
        {"a": {"weight": {"semseg": [1.6], "depth": [3.6]}}},  # one epoch
        {"a": {"weight": {"semseg": [math.nan] * 3}}},
        {"a": {"ratio": NEAR}},
    ],
)
def test_a_row_without_weights_that_change_gives_no_picture(logs: dict[str, Series]) -> None:
    assert weights("w", "T", [RowResult("MTL", runs=["a"])], files(**logs)) is None


def test_a_panel_a_row_and_a_colour_a_task(drawn: list[Figure]) -> None:
    swapped = dict(reversed(NEAR.items()))
    found = files(
        a={"weight": NEAR, "priority": PRIORITIES}, b={"priority": swapped}, c={"weight": {"depth": [1.0, 2.0]}}
    )
    names = {"LPS": "a", "κ = 7.5": "b", "fixed": "none", "DWA": "c"}
    picture = weights("w", "Task weights, T", [RowResult(n, runs=[k]) for n, k in names.items()], found)
    assert picture is not None
    assert picture.alt.endswith("LPS (priority), κ = 7.5 (priority), DWA (weight)")
    (figure,) = drawn
    panels = figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == ["LPS", "κ = 7.5", "DWA"]
    colours = [{line.get_label(): to_hex(line.get_color()) for line in axes.get_lines()} for axes in panels]
    assert colours[0] == colours[1]
    assert len(set(colours[0].values())) == 3
    assert colours[2] == {"depth": colours[0]["depth"]}
    first = {line.get_label(): line.get_xydata().tolist() for line in panels[0].get_lines()}
    assert first == {task: [[1 + e, v] for e, v in enumerate(values)] for task, values in PRIORITIES.items()}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["semseg", "depth", "normals"]


def test_priorities_share_an_axis_and_weights_have_their_own(drawn: list[Figure]) -> None:
    found = files(a={"priority": NEAR}, b={"priority": {"depth": [1.0, 1.1]}}, c={"weight": {"depth": [30.0, 31.0]}})
    weights("w", "T", [RowResult(key, runs=[key]) for key in found], found)
    one, two, other = drawn[0].axes
    assert one.get_ylim() == two.get_ylim()
    assert one.get_ylim()[0] < 0 < 2 < one.get_ylim()[1] < 3
    assert other.get_ylim()[0] > 20
    assert [axes.get_yscale() for axes in drawn[0].axes] == ["linear"] * 3


def test_a_first_epoch_far_above_the_others_leaves_them_their_room(drawn: list[Figure]) -> None:
    found = files(a={"priority": PRIORITIES}, b={"priority": NEAR})
    weights("w", "T", [RowResult(key, runs=[key]) for key in found], found)
    for axes in drawn[0].axes:
        assert axes.get_yscale() == "symlog"
        assert axes.get_ylabel() == "priority, log above 2"
        low, one, later, top = axes.transAxes.inverted().transform(
            axes.transData.transform([(1, y) for y in (0.0, 1.0, 2.0, 10.7)])
        )[:, 1]
        assert 0 < low < top < 1
        assert one - low == pytest.approx(later - one)  # linear where the epochs after the first are
        assert later - low > 0.5


def test_every_run_of_a_row_is_drawn(drawn: list[Figure]) -> None:
    found = files(a={"priority": NEAR}, b={"priority": NEAR})
    weights("w", "T", [RowResult("LPS", runs=["a", "b", "gone"])], found)
    labels = [str(line.get_label()) for line in drawn[0].axes[0].get_lines()]
    assert sorted(labels) == sorted([*NEAR, *NEAR])
    assert len(drawn[0].legends[0].get_texts()) == len(NEAR)


def test_a_report_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    result = own_session()
    result.runs = [write_run(tmp_path / "runs", key * 16) for key in "ab"]
    for row, run in zip(result.tables[0].rows, result.runs, strict=True):
        row.runs = [run.key]
    with (tmp_path / "runs" / ("b" * 16) / "metrics.jsonl").open("a") as stream:
        stream.write("".join(json.dumps(line) + "\n" for line in lines({"priority": PRIORITIES})))
    paths = write_report(result, tmp_path / "runs", tmp_path / "report")
    (picture,) = [path for path in paths if path.stem.endswith("-weights")]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"(figures/{picture.name})" in (tmp_path / "report" / "report.md").read_text()
    html = (tmp_path / "report" / "report.html").read_text()
    assert "<summary>Task weights <small>(1)</small></summary>" in html
    assert 'aria-label="mtl (priority) over epochs: semseg, depth, normals"' in html
