"""Pictures and text of a result, and the line that shows how far an evaluation is."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from offline_maps import SIZE, Caller, fill
from PIL import Image

from mtlrepro.errors import DataError
from mtlrepro.offline.pictures import draw
from mtlrepro.offline.result import Result, write
from mtlrepro.progress import ProgressLine, track

THRESHOLDS = [0.25, 0.5, 0.75]
PR = {"thresholds": THRESHOLDS, "precision": [0.5, 0.7, 1.0], "recall": [0.9, 0.6, 0.0], "f": [0.64, 0.65, 0.0]}
ONE = {"thresholds": THRESHOLDS, "jaccard": [0.2, 0.5, 0.4]}
NOTHING = {"thresholds": THRESHOLDS, "precision": [1.0] * 3, "recall": [0.0] * 3, "f": [0.0] * 3}


def result(curves: dict[str, Any] | None = None, figures: dict[str, Any] | None = None, **more: Any) -> Result:
    figures = figures or {"p@1": {"f": 0.5}}
    units = {p: dict.fromkeys(f, "fraction") for p, f in figures.items()}
    better = {p: dict.fromkeys(f, "higher") for p, f in figures.items()}
    return Result("t", "pred", "gt", "mtlrepro eval t", 3, figures, units, better, {}, curves=curves or {}, **more)


@pytest.mark.parametrize(
    "curves",
    [
        {"a@1": PR},
        {"a@1": PR, "b@1": NOTHING},
        {"a@1": ONE},
        {"a@1": ONE, "b@1": ONE},
        {"a@1": PR, "b@1": ONE},
        {f"p{k}@1": PR for k in range(12)},
        {"odsf/nms@1": {"f": [0.5], "thresholds": [0.5]}},
    ],
)
def test_curves_make_a_picture(curves: dict[str, Any]) -> None:
    picture = draw(result(curves))
    assert picture is not None
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    assert 300 <= image.width <= 900
    assert 250 <= image.height <= 900
    assert len(np.unique(np.asarray(image.convert("L")))) > 20
    assert draw(result(curves)) == picture


def test_pictures_show_what_differs() -> None:
    shifted = {**PR, "precision": [0.4, 0.5, 1.0]}
    edges = [dataclasses.replace(result({"a@1": curve}), task="edges") for curve in (PR, shifted)]
    assert draw(edges[0]) != draw(edges[1])  # precision against recall
    assert draw(edges[0]) != draw(result({"a@1": PR}))  # F against thresholds
    assert draw(result({"a@1": ONE})) != draw(result({"a@1": {**ONE, "jaccard": [0.2, 0.1, 0.4]}}))


def test_every_curve_is_drawn() -> None:
    assert draw(result({"saliency/f03@1": PR, "saliency/jaccard@1": ONE})) != draw(result({"saliency/f03@1": PR}))


@pytest.mark.parametrize("count", [1, 3, 40, 150])
def test_classes_make_bars(count: int) -> None:
    ious = {f"iou_$c_{k}^": None if k % 5 == 2 else k / count for k in range(count)}
    picture = draw(result(figures={"miou/dataset@1": {"miou": 0.5}, "iou/class@1": ious}))
    assert picture is not None
    image = Image.open(io.BytesIO(picture))
    assert image.width > 300
    assert image.height == pytest.approx(60 + 20 * count, abs=2)


def test_nothing_to_draw() -> None:
    assert draw(result()) is None
    assert draw(result(figures={"depth/pooled@1": {"rmse": 0.5, "rel": 0.1}})) is None


def test_which_tasks_have_pictures(call: Caller, tmp_path: Path) -> None:
    mask = (np.random.default_rng(0).random(SIZE) < 0.3).astype(np.uint8)
    m, d, n = (
        fill(tmp_path / k, {"a": v}, ".npy") for k, v in (("m", mask), ("d", mask + 1.0), ("n", np.ones((*SIZE, 3))))
    )
    pictures = {}
    for task, folder, more in (
        ("edges", m, ["--protocol", "odsf/bsds@1"]),
        ("edges", m, ["--protocol", "odsf/bsds@1", "--odsf-only"]),
        ("edges", m, ["--protocol", "edges/pixels@1"]),
        ("saliency", m, ["--protocol", "saliency/jaccard@1"]),
        ("saliency", m, ["--protocol", "saliency/f03-image@1"]),
        ("semseg", m, ["--classes", 2]),
        ("semseg", m, ["--classes", 2, "--protocol", "iou/class@1"]),
        ("parts", m, []),
        ("depth", d, []),
        ("normals", n, []),
    ):
        done = call(task, folder, folder, *more)
        assert done.code == 0, done.error
        drawn = done.out / f"{task}.png"
        pictures[" ".join(map(str, [task, *more[1:]]))] = drawn.exists()
        listed = done.text.strip().splitlines()
        written = sorted(map(str, done.out.iterdir()))
        assert sorted(line for line in listed if line in written) == written
    assert [name for name, there in pictures.items() if there] == [
        "edges odsf/bsds@1",
        "edges odsf/bsds@1 --odsf-only",
        "edges edges/pixels@1",
        "saliency saliency/jaccard@1",
        "semseg 2 --protocol iou/class@1",
    ]


# Text and JSON.


def test_the_table_says_units_directions_and_what_is_undefined() -> None:
    r = result(
        figures={
            "a@1": {"miou": 0.4321, "none": None},
            "b@1": {"rmse": 0.5, "mean": 21.5, "within": 33.25, "log": 2.0},
        },
        warnings=["look twice", "and again"],
        seconds=12.34,
    )
    r.units["b@1"] = {"rmse": "m", "mean": "deg", "within": "%", "log": ""}
    r.better["b@1"]["rmse"] = "lower"
    r.settings = {"a@1": {"mode": "exact", "max_dist": 0.011}, "b@1": {}}
    lines = r.text().splitlines()
    cells = [line.split() for line in lines]
    for row in (
        ["a@1", "miou", "↑", "43.210", "%"],
        ["a@1", "none", "↑", "undefined", "%"],
        ["b@1", "rmse", "↓", "0.50000", "m"],
        ["b@1", "mean", "↑", "21.500", "deg"],
        ["b@1", "within", "↑", "33.250", "%"],
        ["b@1", "log", "↑", "2.00000"],
    ):
        assert row in cells
    assert lines[0] == "3 images, 12.3 s"
    assert "a@1: mode exact, max_dist 0.011" in lines
    assert not [line for line in lines if line.startswith("b@1:")]
    assert [line for line in lines if line.startswith("warning: ")] == ["warning: look twice", "warning: and again"]


def test_the_json_is_the_result(tmp_path: Path) -> None:
    r = result({"a@1": PR}, warnings=["ünïcode"])
    (file,) = write(r, {}, None, tmp_path / "new")
    assert file == tmp_path / "new" / "t.json"
    assert json.loads(file.read_text()) == asdict(r)


# Progress.


class Terminal:
    def __init__(self, enabled: bool = True):
        self.written: list[str] = []
        self.line = ProgressLine(self.written.append, enabled, 80)
        self.line.INTERVAL = 0  # type: ignore[misc]


def test_track_shows_how_far_how_fast_and_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    terminal, seen = Terminal(), []

    def slow() -> Iterator[int]:
        for k in range(4):
            now[0] += 30
            yield k

    for item in track(slow(), 4, "images", terminal.line):
        seen.append((item, terminal.written[-1].strip()))
    assert seen == [
        (0, "1/4 images 0.0/s ETA 1:30"),
        (1, "2/4 images 0.0/s ETA 1:00"),
        (2, "3/4 images 0.0/s ETA 0:30"),
        (3, "4/4 images 0.0/s ETA 0:00"),
    ]
    assert terminal.written[-1].strip() == ""
    assert terminal.written[-1].endswith("\r")


def test_track_is_silent_where_no_line_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(enabled=False)
    assert list(track(range(5), 5, "images", terminal.line)) == list(range(5))
    assert terminal.written == []
    assert list(track(range(5), 5, "images")) == list(range(5))
    assert capsys.readouterr() == ("", "")


def test_track_clears_its_line_whatever_happens() -> None:
    for ending in ("raise inside", "raise outside", "break"):
        terminal = Terminal()

        def items(ending: str = ending) -> Iterator[int]:
            yield 1
            if ending == "raise inside":
                raise DataError("damaged", file="b.png")
            yield 2

        shown = track(items(), 3, "images", terminal.line)
        if ending == "break":
            next(shown)
            shown.close()  # type: ignore[attr-defined]
        elif ending == "raise inside":
            with pytest.raises(DataError, match="damaged"):
                list(shown)
        else:
            next(shown)
            with pytest.raises(RuntimeError):
                shown.throw(RuntimeError())  # type: ignore[attr-defined]
        assert "1/3 images" in terminal.written[0]
        assert terminal.written[-1].strip() == ""


def test_track_of_nothing() -> None:
    terminal = Terminal()
    assert list(track([], 0, "images", terminal.line)) == []
    assert terminal.written == []


def test_an_evaluation_on_a_terminal(call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.delenv("CI", raising=False)
    maps = fill(tmp_path / "m", {k: np.eye(9, dtype=np.uint8) for k in "abc"})
    done = call("semseg", maps, maps, "--classes", 2)
    assert done.code == 0
    assert "1/3 images" in done.error
    assert done.error.endswith("\r")
    (maps / "c.png").write_bytes(b"")
    gt = fill(tmp_path / "g", {k: np.eye(9, dtype=np.uint8) for k in "abc"})
    done = call("semseg", maps, gt, "--classes", 2)
    assert done.code == 2
    assert done.error.rpartition("\r")[2].startswith("mtlrepro: error: ")
    assert "c.png" in done.error
