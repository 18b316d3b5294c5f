"""Whatever is wrong ends in one line that names the file, exit code 2, and an untouched --out."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from offline_maps import SIZE, Caller, fill, save, save_bsds
from PIL import Image
from scipy.io import savemat

MASK = (np.random.default_rng(0).random(SIZE) < 0.3).astype(np.uint8)
SOFT = np.random.default_rng(1).integers(0, 256, SIZE).astype(np.uint8)
METRES = np.random.default_rng(2).uniform(1.5, 6, SIZE)
VECTORS = np.random.default_rng(3).normal(size=(*SIZE, 3))
BSDS = ["--protocol", "odsf/bsds@1"]
TWO = ["--classes", 2]


def with_value(array: np.ndarray, value: float, at: tuple[int, ...] = (7, 9)) -> np.ndarray:
    changed = array.astype(float)
    changed[at] = value
    return changed


@pytest.fixture
def good(tmp_path: Path) -> dict[str, tuple[Path, Path, list[Any]]]:
    """Task -> folders of sound predictions and truths, "a" and "b", and the options they need."""

    def both(name: str, pred: np.ndarray, gt: np.ndarray, suffix: str, more: list[Any]) -> tuple[Path, Path, list[Any]]:
        folders = [fill(tmp_path / name / s, {"a": m, "b": m}, suffix) for s, m in (("pred", pred), ("gt", gt))]
        return folders[0], folders[1], more

    return {
        "edges": both("edges", SOFT, MASK, ".png", BSDS),
        "saliency": both("saliency", SOFT, MASK, ".png", []),
        "semseg": both("semseg", MASK, MASK, ".png", TWO),
        "parts": both("parts", MASK, MASK, ".png", []),
        "depth": both("depth", METRES, METRES, ".npy", []),
        "normals": both("normals", VECTORS, VECTORS, ".npy", []),
    }


TASKS = ("edges", "saliency", "semseg", "parts", "depth", "normals")
Good = dict[str, tuple[Path, Path, list[Any]]]


@pytest.mark.parametrize("task", TASKS)
def test_the_good_ones_are_good(task: str, good: Good, call: Caller) -> None:
    pred, gt, more = good[task]
    done = call(task, pred, gt, *more)
    assert done.code == 0, done.error
    assert done.error == ""


def _write(content: bytes) -> Callable[[Path], None]:
    return lambda file: file.write_bytes(content)


def _cut(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 2 // 3])


def _numpy(array: np.ndarray) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        with file.open("wb") as stream:
            np.save(stream, array)

    return write


V73 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 schema 1.00 ."
V73 = V73.ljust(124) + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n\x1a\n" + bytes(200)

PNG: list[tuple[str, Callable[[Path], Any], str]] = [
    ("cut", _cut, "truncated or damaged"),
    ("empty", _write(b""), "truncated or damaged"),
    ("text", _write(b"no picture"), "truncated or damaged"),
    ("rgba", lambda file: Image.new("RGBA", SIZE[::-1]).save(file), "PNG mode is RGBA"),
    ("grey-alpha", lambda file: Image.new("LA", SIZE[::-1]).save(file), "PNG mode is LA"),
]
ARRAYS: list[tuple[str, Callable[[Path], Any], str]] = [
    ("cut", _cut, "truncated or damaged"),
    ("empty", _write(b""), "not an npy file"),
    ("pickle", _write(b"\x80\x04K\x01."), "not an npy file"),
    ("objects", _numpy(np.array([[1, None]], dtype=object)), "pickled"),
    ("1d", _numpy(np.zeros(5)), "(5,)"),
    ("4d", _numpy(np.zeros((2, 2, 2, 2))), "(2, 2, 2, 2)"),
    ("complex", _numpy(np.zeros(SIZE, complex)), "complex128"),
    ("text", _numpy(np.full(SIZE, "x")), "<U1"),
    ("struct", _numpy(np.zeros(SIZE, [("x", float)])), "('x', '<f8')"),
    ("no-pixel", _numpy(np.zeros((0, 56))), "(0, 56)"),
]


@pytest.mark.parametrize("side", ["pred", "gt"])
@pytest.mark.parametrize("task", ["edges", "saliency", "semseg", "parts"])
@pytest.mark.parametrize(("what", "spoil", "says"), PNG, ids=[p[0] for p in PNG])
def test_a_bad_png(what: str, spoil: Any, says: str, task: str, side: str, good: Good, call: Caller) -> None:
    pred, gt, more = good[task]
    file = (pred if side == "pred" else gt) / "b.png"
    spoil(file)
    call.refused(file, says)(task, pred, gt, *more)


@pytest.mark.parametrize("side", ["pred", "gt"])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("what", "spoil", "says"), ARRAYS, ids=[a[0] for a in ARRAYS])
def test_a_bad_npy(what: str, spoil: Any, says: str, task: str, side: str, good: Good, call: Caller) -> None:
    if (task, what) == ("normals", "no-pixel"):
        return  # has a test of its own
    pred, gt, more = good[task]
    folder = pred if side == "pred" else gt
    (old,) = folder.glob("b.*")
    old.unlink()
    file = save(folder / "b.npy", SOFT)
    spoil(file)
    call.refused(file, says)(task, pred, gt, *more)


@pytest.mark.parametrize("task", TASKS)
def test_a_mat_of_version_7_3(task: str, good: Good, call: Caller) -> None:
    pred, gt, more = good[task]
    (old,) = gt.glob("b.*")
    old.unlink()
    (gt / "b.mat").write_bytes(V73)
    call.refused(gt / "b.mat", "7.3 (HDF5)", "-v7")(task, pred, gt, *more)


@pytest.mark.parametrize("content", [b"", b"hello", V73[:90], b"\x89HDF\r\n\x1a\n" + bytes(300)])
def test_a_mat_that_is_none(content: bytes, good: Good, call: Caller) -> None:
    pred, gt, more = good["edges"]
    (gt / "b.png").unlink()
    (gt / "b.mat").write_bytes(content)
    call.refused(gt / "b.mat", "cannot be read")("edges", pred, gt, *more)


def test_mats_that_hold_something_else(good: Good, call: Caller) -> None:
    pred, gt, more = good["saliency"]
    (gt / "b.png").unlink()
    file = gt / "b.mat"
    contents = [({"x": MASK, "y": MASK}, "--gt-key"), ({"x": {"y": 1}}, "a struct"), ({"x": "text"}, "text")]
    for variables, says in contents:
        savemat(file, variables)
        call.refused(file, says)("saliency", pred, gt, *more)


def test_a_mat_without_a_variable(good: Good, call: Caller) -> None:
    pred, gt, more = good["saliency"]
    (gt / "b.png").unlink()
    savemat(gt / "b.mat", {})
    assert "more than one" not in call.refused(gt / "b.mat")("saliency", pred, gt, *more)


def test_normals_in_a_struct(good: Good, call: Caller) -> None:
    pred, gt, more = good["normals"]
    (gt / "b.npy").unlink()
    savemat(gt / "b.mat", {"normals": {"x": VECTORS, "y": VECTORS}})
    call.refused(gt / "b.mat")("normals", pred, gt, *more)


def test_normals_without_a_pixel(good: Good, call: Caller, tmp_path: Path) -> None:
    empty = fill(tmp_path / "empty", {"a": np.zeros((0, 56, 3))}, ".npy")
    call.refused(empty / "a.npy")("normals", empty, empty)


def test_normals_of_another_shape(good: Good, call: Caller) -> None:
    pred, gt, more = good["normals"]
    for array, says in ((VECTORS[..., :2], "(40, 56, 2)"), (VECTORS[None], "(1, 40, 56, 3)"), (METRES, "(40, 56)")):
        np.save(pred / "b.npy", array)
        call.refused(pred / "b.npy", says, "(H, W, 3)")("normals", pred, gt, *more)


@pytest.mark.parametrize("task", TASKS)
def test_sizes_that_differ(task: str, good: Good, call: Caller) -> None:
    pred, gt, more = good[task]
    (file,) = pred.glob("b.*")
    maps = {"normals": VECTORS, "depth": METRES, "edges": SOFT, "saliency": SOFT}
    save(file, maps.get(task, MASK)[:30].copy())
    call.refused(file, "30x56", "40x56", "Resize")(task, pred, gt, *more)


# Folders and lists.


def test_folders_that_are_missing_or_empty(good: Good, call: Caller, tmp_path: Path) -> None:
    pred, gt, more = good["saliency"]
    nowhere, empty = tmp_path / "nowhere", tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("no map")
    for place in (nowhere, nowhere / "{id}.png"):
        call.refused(nowhere, "no such folder")("saliency", place, gt, *more)
        call.refused(nowhere, "no such folder")("saliency", pred, place, *more)
    for place in (empty, empty / "{id}.png"):
        call.refused(place, "no maps there")("saliency", place, gt, *more)
        call.refused(place, "no maps there")("saliency", pred, place, *more)


def test_names_that_do_not_match(good: Good, call: Caller, tmp_path: Path) -> None:
    pred, gt, more = good["saliency"]
    save(gt / "c.png", MASK)
    call.refused(pred, "1 of 3 names have no prediction", "'c'", "--ids")("saliency", pred, gt, *more)
    save(pred / "c.png", SOFT)
    save(pred / "d.png", SOFT)
    call.refused(gt, "1 of 4 predictions have no truth", "'d'")("saliency", pred, gt, *more)
    ids = tmp_path / "ids.txt"
    ids.write_text("a\nd\n")
    call.refused(gt, "1 of 2 names have no truth", "'d'")("saliency", pred, gt, *more, "--ids", ids)
    ids.write_text("e\na\nf\ng\nh\n")
    error = call.refused(pred, "4 of 5 names have no prediction", "'e', 'f', 'g'")(
        "saliency", pred, gt, *more, "--ids", ids
    )
    assert "'h'" not in error


def test_two_files_of_one_name(good: Good, call: Caller) -> None:
    for side in (0, 1):
        folder, more = good["saliency"][side], good["saliency"][2]
        np.save(folder / "a.npy", MASK)
        call.refused(folder, "a.npy", "a.png", "'a'", "{id}")("saliency", *good["saliency"][:2], *more)
        (folder / "a.npy").unlink()


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "names nothing"), (b" \n\n", "names nothing"), (b"a\n\xff\xfe\n", "cannot be read")]
)
def test_bad_lists(content: bytes, says: str, good: Good, call: Caller, tmp_path: Path) -> None:
    pred, gt, more = good["saliency"]
    (tmp_path / "ids.txt").write_bytes(content)
    call.refused(tmp_path / "ids.txt", says)("saliency", pred, gt, *more, "--ids", tmp_path / "ids.txt")


def test_a_list_that_is_missing_or_a_folder(good: Good, call: Caller, tmp_path: Path) -> None:
    pred, gt, more = good["saliency"]
    for place in (tmp_path / "none.txt", tmp_path):
        call.refused(place, "cannot be read")("saliency", pred, gt, *more, "--ids", place)


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_an_out_that_cannot_be_written(below: str, good: Good, call: Caller, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    out = tmp_path / "taken" / below
    done = call("edges", *good["edges"][:2], *good["edges"][2], "--out", out)
    assert done.code == 2
    assert done.error.count("\n") == 1
    assert f"{out}: cannot write" in done.error
    assert (tmp_path / "taken").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["taken"]


# Values.


@pytest.mark.parametrize("task", ["semseg", "parts"])
def test_class_ids_out_of_range(task: str, good: Good, call: Caller) -> None:
    pred, gt, more = good[task]
    wrong = MASK.copy()
    wrong[3, 4] = 9
    for side, what in ((pred, "prediction"), (gt, "label")):
        save(side / "b.png", wrong)
        call.refused(side / "b.png", f"{what} holds class id 9")(task, pred, gt, *more)
        save(side / "b.png", MASK)
    save(pred / "b.png", np.where(MASK, 255, 0).astype(np.uint8))
    call.refused(pred / "b.png", "holds class id 255", "--ignore")(task, pred, gt, *more)
    save(pred / "b.png", MASK)
    save(gt / "b.png", np.where(MASK, 255, 0).astype(np.uint8))
    call.refused(gt / "b.png", "holds class id 255", "--ignore")(task, pred, gt, *more, "--ignore")


def test_scores_instead_of_ids(good: Good, call: Caller) -> None:
    pred, gt, more = good["semseg"]
    (pred / "b.png").unlink()
    np.save(pred / "b.npy", METRES)
    call.refused(pred / "b.npy", "no class ids", "arg-max")("semseg", pred, gt, *more)


@pytest.mark.parametrize("task", ["edges", "saliency"])
@pytest.mark.parametrize("value", [-3.5, 1.5])
def test_logits_instead_of_probabilities(value: float, task: str, good: Good, call: Caller) -> None:
    pred, gt, more = good[task]
    (pred / "b.png").unlink()
    np.save(pred / "b.npy", with_value(SOFT / 255, value))
    call.refused(pred / "b.npy", "not in [0, 1]", "logits")(task, pred, gt, *more)


@pytest.mark.parametrize("task", ["edges", "saliency"])
def test_masks_with_other_values(task: str, good: Good, call: Caller) -> None:
    pred, gt, more = good[task]
    for value, top in ((2, 1), (254, 1), (255, 255)):
        wrong = MASK.copy()
        wrong[2, 2] = value
        save(gt / "b.png", wrong)
        error = call.refused(gt / "b.png", f"in a mask of 0 and {top}", "--ignore")(task, pred, gt, *more)
        assert f"value {1 if value == 255 else value} " in error


def test_annotations_of_two_sizes(call: Caller, tmp_path: Path) -> None:
    pred, file = fill(tmp_path / "p", {"a": SOFT}), save_bsds(tmp_path / "g" / "a.mat", [MASK, MASK[:30]])
    call.refused(file, "different sizes")("edges", pred, tmp_path / "g", *BSDS)


BROKEN = [
    ("edges", ["odsf/bsds@1"], SOFT / 255, (math.nan,)),
    ("edges", ["edges/pixels@1"], SOFT / 255, (math.nan,)),
    ("edges", ["edges/f1-macro@1"], SOFT / 255, (math.nan,)),
    ("saliency", ["saliency/f03@1", "saliency/jaccard@1"], SOFT / 255, (math.nan,)),
    ("saliency", ["saliency/f03-image@1"], SOFT / 255, (math.nan,)),
    ("saliency", ["saliency/f1-image@1"], SOFT / 255, (math.nan,)),
    ("depth", ["depth/pooled@1"], METRES, (math.nan, math.inf)),
    ("depth", ["depth/inverse@1", "depth/cap655@1"], METRES, (math.nan, math.inf)),
    ("edges", ["edges/bce@1"], SOFT / 255, (math.nan,)),
    ("depth", ["depth/image-mean@1"], METRES, (math.nan, math.inf)),
    ("depth", ["depth/images@1"], METRES, (math.nan, math.inf, -math.inf)),
    ("depth", ["depth/images-median@1"], METRES, (math.nan, math.inf)),
    ("normals", ["normals/pooled@1"], VECTORS, (math.nan, math.inf, -math.inf)),
]


@pytest.mark.parametrize(
    ("task", "protocols", "sound", "values"),
    [
        *BROKEN,
        *(("depth", [p], METRES, (-math.inf,)) for p in ("depth/pooled@1", "depth/image-mean@1")),
    ],
)
def test_a_prediction_that_is_not_finite(
    task: str, protocols: list[str], sound: np.ndarray, values: tuple[float, ...], good: Good, call: Caller
) -> None:
    pred, gt, _ = good[task]
    next(iter(pred.glob("b.*"))).unlink()
    chosen = ["--protocol", *protocols]
    for value in values:
        np.save(pred / "b.npy", with_value(sound, value))
        call.refused(pred / "b.npy", "holds NaN or infinity at a pixel that counts")(task, pred, gt, *chosen)


@pytest.mark.parametrize(("task", "protocols", "sound", "values"), BROKEN)
def test_it_is_harmless_at_an_invalid_pixel(
    task: str, protocols: list[str], sound: np.ndarray, values: tuple[float, ...], good: Good, call: Caller
) -> None:
    pred, gt, _ = good[task]
    for folder in (pred, gt):
        next(iter(folder.glob("b.*"))).unlink()
    invalid = 0 if task in ("depth", "normals") else 7
    truth = {"depth": METRES, "normals": VECTORS}.get(task, MASK)
    np.save(gt / "b.npy", with_value(truth, invalid))
    chosen = ["--protocol", *protocols, *(["--ignore", 7] if invalid else [])]
    found = []
    for value in (0.5, *values):
        np.save(pred / "b.npy", with_value(sound, value))
        found.append(call(task, pred, gt, *chosen).figures())
    assert all(f == found[0] for f in found)


@pytest.mark.parametrize("value", [math.inf, -3.5])
def test_no_probability_at_an_invalid_pixel(value: float, good: Good, call: Caller, tmp_path: Path) -> None:
    gt = fill(tmp_path / "g", {"a": with_value(MASK, 7).astype(np.uint8)})
    pred = fill(tmp_path / "p", {"a": with_value(SOFT / 255, value)}, ".npy")
    assert call("edges", pred, gt, *BSDS, "--ignore", 7).code == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_truths_that_are_not_finite(value: float, good: Good, call: Caller) -> None:
    for task, sound in (("depth", METRES), ("normals", VECTORS)):
        pred, gt, more = good[task]
        np.save(gt / "b.npy", with_value(sound, value))
        call.refused(gt / "b.npy", "label holds NaN or infinity")(task, pred, gt, *more)


@pytest.mark.parametrize("task", TASKS)
def test_nothing_that_counts(task: str, good: Good, call: Caller) -> None:
    pred, gt, more = good[task]
    for file in gt.iterdir():
        save(file, np.zeros_like(VECTORS if task == "normals" else METRES if task == "depth" else MASK))
    ignore = [] if task in ("depth", "normals") else ["--ignore", 0]
    call.refused(gt, "no truth has a pixel that counts", "--ignore")(task, pred, gt, *more, *ignore)


def test_no_edge_is_not_no_pixel(good: Good, call: Caller, tmp_path: Path) -> None:
    gt = fill(tmp_path / "none", {"a": 0 * MASK, "b": 0 * MASK})
    done = call("edges", good["edges"][0], gt, "--protocol", "edges/pixels@1")
    assert "no truth has a pixel that counts, or what is looked for" in done.error


# Options.


@pytest.mark.parametrize(
    ("task", "more", "words"),
    [
        ("edges", ["--protocol", "odsf/nsm@1"], ["unknown protocol of edges 'odsf/nsm@1'", "mean 'odsf/nms@1'"]),
        ("depth", ["--protocol", "odsf/nms@1"], ["unknown protocol of depth", "depth/pooled@1"]),
        ("edges", ["--max-dist", 0], ["--max-dist: 0", "0.0075"]),
        ("edges", ["--max-dist", "nan"], ["--max-dist: nan", "0.0075"]),
        ("edges", ["--max-dist", 4.3], ["4.3", "fraction of the diagonal"]),
        ("edges", ["--thresholds", 0], ["--thresholds", "1 or more"]),
        ("edges", ["--thresholds", -5], ["--thresholds", "-5"]),
        ("edges", ["--thresholds", 0, "--protocol", "edges/pixels@1"], ["--thresholds", "1 or more"]),
        ("depth", ["--pred-unit", 0], ["--pred-unit", "0.001"]),
        ("depth", ["--gt-unit", "nan"], ["--gt-unit", "0.001"]),
        ("semseg", ["--classes", 3, "--class-names", "a", "b"], ["--class-names", "2 names of 3 classes"]),
        ("edges", ["--workers", 0], ["--workers", "1 or more"]),
        ("semseg", ["--classes", 0], ["--classes", "1 to 255"]),
        ("semseg", ["--classes", 256], ["--classes", "1 to 255"]),
        ("parts", ["--classes", -1], ["--classes"]),
        ("semseg", ["--classes", 1, "--protocol", "miou/foreground@1"], ["miou/foreground@1", "2 or more"]),
        ("edges", ["--protocol", "odsf/bsds@1", "odsf/nms@1"], ["--protocol", "as-is and contour", "--truth"]),
        ("edges", ["--protocol", "edges/bce@1", "odsf/png@1"], ["--protocol", "as-is and contour", "--truth"]),
    ],
)
def test_bad_options(task: str, more: list[Any], words: list[str], good: Good, call: Caller) -> None:
    pred, gt, _ = good[task]
    call.refused(*words)(task, pred, gt, *more)


def test_one_reading_for_all_makes_them_agree(good: Good, call: Caller) -> None:
    pred, gt, _ = good["edges"]
    chosen = ["--protocol", "odsf/bsds@1", "odsf/nms@1", "edges/f1-macro@1", "--truth", "thin"]
    assert len(call("edges", pred, gt, *chosen).figures()) == 3


@pytest.mark.parametrize(
    "more", [["edgs"], ["edges", "--mode", "exakt"], ["semseg"], ["edges", "--truth", "countour"], []]
)
def test_what_argparse_refuses(more: list[str], good: Good, capsys: pytest.CaptureFixture[str]) -> None:
    from mtlrepro.cli import main

    task, *rest = more or [""]
    places = ["--pred", str(good["edges"][0]), "--gt", str(good["edges"][1])]
    with pytest.raises(SystemExit) as done:
        main(["eval", *([task] if task else []), *(places if task else []), *rest])
    assert done.value.code == 2
    assert "error:" in capsys.readouterr().err
