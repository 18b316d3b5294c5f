"""`mtlrepro eval` of the tasks without boundaries: figures recomputed in numpy, and by the metrics without files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from offline_maps import SIZE, Caller, fill, save
from scipy.io import savemat

from mtlrepro.metrics.protocols import PROTOCOLS

Maps = dict[str, np.ndarray]


def directly(task: str, protocol: str, predictions: Maps, truths: Maps, **how: Any) -> dict[str, float]:
    """The metric fed with arrays that are as it takes them but for the batch axis."""
    metric = PROTOCOLS[task][protocol](**how)
    for name, p in predictions.items():
        metric.update(torch.from_numpy(p)[None], torch.from_numpy(truths[name])[None])
    return metric.compute()


def same(found: dict[str, float | None], expected: dict[str, float]) -> None:
    """Equal, with None for NaN."""
    assert {k: v is None for k, v in found.items()} == {k: math.isnan(v) for k, v in expected.items()}
    known = {k: v for k, v in expected.items() if not math.isnan(v)}
    assert {k: v for k, v in found.items() if v is not None} == pytest.approx(known, rel=1e-12)


# Segmentation.


@pytest.fixture
def classes() -> tuple[Maps, Maps]:
    """Ids 0 to 4 of six classes, with 255 in the truth; the second image has no label."""
    random = np.random.default_rng(0)
    truths = {n: random.integers(0, 5, SIZE).astype(np.uint8) for n in "abc"}
    predictions = {n: np.where(random.random(SIZE) < 0.7, t, (t + 1) % 5).astype(np.uint8) for n, t in truths.items()}
    for t in truths.values():
        t[:4] = 255
    truths["b"][:] = 255
    return predictions, truths


def confusion(predictions: Maps, truths: Maps, count: int) -> np.ndarray:
    table = np.zeros((count, count), int)
    for name, t in truths.items():
        for label, guess in zip(t.ravel().tolist(), predictions[name].ravel().tolist(), strict=True):
            if label != 255:
                table[label, guess] += 1
    return table


def test_semseg_by_every_protocol(classes: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    predictions, truths = classes
    pred, gt = fill(tmp_path / "p", predictions), fill(tmp_path / "g", truths)
    done = call("semseg", pred, gt, "--classes", 6, "--protocol", *PROTOCOLS["semseg"])
    figures, table = done.figures(), confusion(predictions, truths, 6)
    union = table.sum(0) + table.sum(1) - table.diagonal()
    iou = table.diagonal() / np.where(union, union, 1)
    assert figures["miou/dataset@1"]["miou"] == pytest.approx(iou.sum() / 6)
    assert figures["miou/present@1"]["miou"] == pytest.approx(iou.sum() / 5)
    assert figures["miou/foreground@1"]["miou"] == pytest.approx(iou[1:].sum() / 4)
    assert figures["miou/strict@1"]["miou"] is None
    assert figures["miou/dataset@1"]["pixel_acc"] == pytest.approx(table.trace() / table.sum())
    recalls = table.diagonal()[:5] / table.sum(1)[:5]
    assert figures["miou/strict@1"]["mean_acc"] == pytest.approx(recalls.mean())
    own = [figures["iou/class@1"][f"iou_class_{i}"] for i in range(6)]
    assert own == [pytest.approx(v) for v in iou[:5]] + [None]
    assert done.text.count("undefined") == 2
    assert f"{100 * iou[3]:.3f}" in done.text
    for protocol in PROTOCOLS["semseg"]:
        if protocol != "iou/class@1":
            wide = ({n: v.astype(np.int64) for n, v in maps.items()} for maps in classes)
            same(figures[protocol], directly("semseg", protocol, *wide, classes=6))
    assert set(done.json()["per_image"]["b"]["miou/dataset@1"].values()) == {None}
    assert (done.out / "semseg.png").exists()


def test_class_names_name_the_figures(classes: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    pred, gt = fill(tmp_path / "p", classes[0]), fill(tmp_path / "g", classes[1])
    names = ["Wall", "floor", "night stand", "bed", "$x$", "sky"]
    done = call("semseg", pred, gt, "--classes", 6, "--class-names", *names, "--protocol", "iou/class@1")
    assert set(done.figures()["iou/class@1"]) == {
        "iou_wall",
        "iou_floor",
        "iou_night_stand",
        "iou_bed",
        "iou_$x$",
        "iou_sky",
    }
    call.refused("5 names of 6 classes", "--class-names")(
        "semseg", pred, gt, "--classes", 6, "--class-names", *names[1:], "--protocol", "iou/class@1"
    )


@pytest.mark.parametrize(
    ("suffix", "dtype"), [(".npy", np.int32), (".npy", np.float32), (".mat", np.uint8), (".mat", np.float64)]
)
def test_ids_are_stored_as_you_like(
    suffix: str, dtype: type, classes: tuple[Maps, Maps], call: Caller, tmp_path: Path
) -> None:
    pred, gt = (fill(tmp_path / side, maps) for side, maps in zip("pg", classes, strict=True))
    cast = [{n: v.astype(dtype)[None] for n, v in maps.items()} for maps in classes]
    other = [fill(tmp_path / f"{side}2", maps, suffix) for side, maps in zip("pg", cast, strict=True)]
    expected = call("semseg", pred, gt, "--classes", 5).figures()
    assert call("semseg", *other, "--classes", 5).figures() == expected
    assert call("semseg", pred, other[1], "--classes", 5).figures() == expected


def test_nyud_40_as_it_is_stored(classes: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    """The truth from 1 on with 0 for no label; predictions from 0 on, or from 1 on as well."""
    predictions, truths = classes
    stored = {n: np.where(t == 255, 0, t + 1).astype(np.uint8) for n, t in truths.items()}
    expected = call("semseg", fill(tmp_path / "p", predictions), fill(tmp_path / "g", truths), "--classes", 5).figures()
    gt, chosen = fill(tmp_path / "s", stored), ["--classes", 5, "--gt-offset", -1, "--ignore", 0, 255]
    assert call("semseg", tmp_path / "p", gt, *chosen).figures() == expected
    shifted = fill(tmp_path / "p1", {n: p + 1 for n, p in predictions.items()})
    assert call("semseg", shifted, gt, *chosen, "--pred-offset", -1).figures() == expected
    call.refused("a.png", "label holds class id -1")(
        "semseg", tmp_path / "p", gt, "--classes", 5, "--gt-offset", -1, "--ignore", 255
    )
    call.refused("a.png", "prediction holds class id 5")("semseg", shifted, gt, *chosen)


def test_an_offset_does_not_make_labels_of_ignored_ids(call: Caller, tmp_path: Path) -> None:
    stored = np.array([[255, 1], [2, 255]], np.uint8)
    pred, gt = fill(tmp_path / "p", {"a": np.array([[0, 0], [1, 1]], np.uint8)}), fill(tmp_path / "g", {"a": stored})
    figures = call("semseg", pred, gt, "--classes", 2, "--gt-offset", -1).figures()["miou/dataset@1"]
    assert figures == {"miou": 1.0, "pixel_acc": 1.0, "mean_acc": 1.0}


def test_ignored_ids_may_be_nan(call: Caller, tmp_path: Path) -> None:
    stored = np.array([[0, 1], [1, math.nan]])
    pred, gt = (
        fill(tmp_path / "p", {"a": np.array([[0, 1], [1, 1]], np.uint8)}),
        fill(tmp_path / "g", {"a": stored}, ".npy"),
    )
    assert call("semseg", pred, gt, "--classes", 2, "--ignore", "nan").code == 0


def test_parts_leave_out_images_without_a_person(classes: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    predictions, truths = classes
    truths["b"][5:] = 0
    pred, gt = fill(tmp_path / "p", predictions), fill(tmp_path / "g", truths)
    figures = call("parts", pred, gt).figures()["parts/dataset@1"]
    kept = [{n: maps[n] for n in "ac"} for maps in classes]
    table = confusion(*kept, 7)
    iou = table.diagonal() / (table.sum(0) + table.sum(1) - table.diagonal()).clip(1)
    assert figures["miou"] == pytest.approx(iou.mean())
    assert figures["pixel_acc"] == pytest.approx(table.trace() / table.sum())
    five = call("parts", pred, gt, "--classes", 5).figures()["parts/dataset@1"]
    assert five["miou"] == pytest.approx(iou[:5].mean())


# Depth.


@pytest.fixture
def depths() -> tuple[Maps, Maps]:
    """Whole millimetres, (1, H, W) metres; some labels are 0, the second image has few."""
    random = np.random.default_rng(1)
    truths = {n: random.integers(1100, 9000, (1, *SIZE)) / 1000 for n in "ab"}
    predictions = {n: (t * random.uniform(0.7, 1.5, t.shape)).round(3) for n, t in truths.items()}
    truths["a"][:, :5], truths["b"][:, 3:] = 0, 0
    return predictions, truths


def test_depth_by_hand(depths: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    predictions, truths = depths
    pred, gt = fill(tmp_path / "p", predictions, ".npy"), fill(tmp_path / "g", truths, ".npy")
    done = call("depth", pred, gt, "--protocol", *PROTOCOLS["depth"])
    figures = done.figures()
    for protocol in PROTOCOLS["depth"]:
        same(figures[protocol], directly("depth", protocol, predictions, truths))
    guess, true = (np.concatenate([maps[n].ravel() for n in "ab"]) for maps in depths)
    guess, true = guess[true > 0], true[true > 0]
    ratio, log = np.maximum(guess / true, true / guess), np.log(guess / true)
    expected = {
        "rmse": np.sqrt(np.mean((guess - true) ** 2)),
        "log_rmse": np.sqrt(np.mean(log**2)),
        "abs_err": np.mean(abs(guess - true)),
        "rel": np.mean(abs(guess - true) / true),
        "sq_rel": np.mean((guess - true) ** 2 / true),
        "log10": np.mean(abs(log)) / math.log(10),
    } | {f"delta{k}": np.mean(ratio < 1.25**k) for k in (1, 2, 3)}
    assert figures["depth/pooled@1"] == pytest.approx(expected, rel=1e-9)
    near = true < 6.5535
    assert figures["depth/cap655@1"]["rmse"] == pytest.approx(np.sqrt(np.mean((guess - true)[near] ** 2)))
    errors = [abs(predictions[n] - truths[n])[truths[n] > 0].mean() for n in "ab"]
    assert figures["depth/image-mean@1"]["abs_err"] == pytest.approx(np.mean(errors))
    assert done.json()["per_image"]["b"]["depth/pooled@1"]["abs_err"] == pytest.approx(errors[1])
    assert done.json()["units"]["depth/pooled@1"]["rmse"] == "m"
    assert f"{expected['rmse']:.5f}" in done.text
    assert f"{100 * expected['delta1']:.3f}" in done.text
    assert not (done.out / "depth.png").exists()


def test_units_of_stored_depth(depths: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    metres = [fill(tmp_path / side, maps, ".npy") for side, maps in zip("pg", depths, strict=True)]
    expected = call("depth", *metres).figures()["depth/pooled@1"]
    whole = [{n: (1000 * v[0]).round().astype(np.uint16) for n, v in maps.items()} for maps in depths]
    pngs = [fill(tmp_path / f"{side}png", maps) for side, maps in zip("pg", whole, strict=True)]
    both = ["--pred-unit", 0.001, "--gt-unit", 0.001]
    assert call("depth", *pngs, *both).figures()["depth/pooled@1"] == pytest.approx(expected, rel=1e-9)
    mixed = call("depth", metres[0], pngs[1], "--gt-unit", 0.001).figures()["depth/pooled@1"]
    assert mixed == pytest.approx(expected, rel=1e-9)
    mats = [
        fill(tmp_path / f"{side}mat", {n: 10 * v[0] for n, v in maps.items()}, ".mat")
        for side, maps in zip("pg", depths, strict=True)
    ]
    tenths = call("depth", *mats, "--pred-unit", 0.1, "--gt-unit", 0.1).figures()["depth/pooled@1"]
    assert tenths == pytest.approx(expected, rel=1e-9)
    call.refused("a.png", "a PNG does not say what its depths mean", "--pred-unit")("depth", *pngs, "--gt-unit", 0.001)
    call.refused("a.png", "--gt-unit")("depth", metres[0], pngs[1])


def test_depth_labels_to_ignore(depths: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    predictions, truths = depths
    pred = fill(tmp_path / "p", predictions, ".npy")
    expected = call("depth", pred, fill(tmp_path / "g", truths, ".npy")).figures()
    void = fill(tmp_path / "v", {n: np.where(t == 0, math.nan, t) for n, t in truths.items()}, ".npy")
    assert call("depth", pred, void, "--ignore", "nan").figures() == expected
    high = fill(tmp_path / "h", {n: np.where(t == 0, 99.5, t) for n, t in truths.items()}, ".npy")
    assert call("depth", pred, high, "--ignore", 99.5, "nan").figures() == expected
    minus = fill(tmp_path / "m", {n: np.where(t == 0, -1, t) for n, t in truths.items()}, ".npy")
    assert call("depth", pred, minus).figures() == call("depth", pred, minus, "--ignore", "-1").figures() == expected
    call.refused("a.npy", "label holds NaN")("depth", pred, void)


# Normals.


@pytest.fixture
def normals() -> tuple[Maps, Maps]:
    """(H, W, 3) unit vectors; zero where there is no label."""
    random = np.random.default_rng(2)
    truths = {n: random.normal(size=(*SIZE, 3)) for n in "ab"}
    predictions = {n: t + 0.3 * random.normal(size=t.shape) for n, t in truths.items()}
    for maps in (truths, predictions):
        for name, v in maps.items():
            maps[name] = v / np.linalg.norm(v, axis=-1, keepdims=True)
    truths["a"][:6] = 0
    return predictions, truths


def angles(predictions: Maps, truths: Maps) -> np.ndarray:
    found = []
    for name, t in truths.items():
        valid = (t != 0).any(-1)
        p = predictions[name] / np.linalg.norm(predictions[name], axis=-1, keepdims=True)
        u = t / np.linalg.norm(t, axis=-1, keepdims=True).clip(1e-9)
        found.append(np.degrees(np.arccos((p * u).sum(-1).clip(-1, 1)))[valid])
    return np.concatenate(found)


def test_normals_by_hand(normals: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    pred, gt = (fill(tmp_path / side, maps, ".npy") for side, maps in zip("pg", normals, strict=True))
    done = call("normals", pred, gt, "--protocol", *PROTOCOLS["normals"])
    figures, angle = done.figures(), angles(*normals)
    pooled = figures["normals/pooled@1"]
    expected = {"mean": angle.mean(), "rmse": np.sqrt((angle**2).mean())}
    expected |= {f"within_{int(k)}": 100 * (angle < k).mean() for k in (11.25, 22.5, 30)}
    assert {k: pooled[k] for k in expected} == pytest.approx(expected, rel=1e-6)
    assert pooled["median"] == pytest.approx(np.median(angle), abs=1e-4)
    planes = [{n: v.transpose(2, 0, 1).copy() for n, v in maps.items()} for maps in normals]
    for protocol in PROTOCOLS["normals"]:
        same(figures[protocol], directly("normals", protocol, *planes))
    assert f"{expected['within_11']:.3f}" in done.text
    alone = angles({"b": normals[0]["b"]}, {"b": normals[1]["b"]})
    assert done.json()["per_image"]["b"]["normals/pooled@1"]["mean"] == pytest.approx(alone.mean())


def test_normals_are_stored_as_you_like(normals: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    pred, gt = (fill(tmp_path / side, maps, ".npy") for side, maps in zip("pg", normals, strict=True))
    expected = call("normals", pred, gt).figures()
    first = fill(tmp_path / "first", {n: v.transpose(2, 0, 1) for n, v in normals[0].items()}, ".npy")
    mat = fill(tmp_path / "mat", normals[1], ".mat")
    assert call("normals", first, mat).figures() == expected
    longer = fill(tmp_path / "longer", {n: 7 * v for n, v in normals[0].items()}, ".npy")
    assert call("normals", longer, gt).figures()["normals/pooled@1"] == pytest.approx(expected["normals/pooled@1"])


def test_normals_in_pngs(normals: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    """Black, white and mid-grey are no labels; every other colour is a vector."""
    stored = [{n: ((v + 1) / 2 * 255).round().astype(np.uint8) for n, v in maps.items()} for maps in normals]
    for k, grey in enumerate((0, 255, 127, 128)):
        stored[1]["b"][k] = grey
    pred, gt = (fill(tmp_path / side, maps) for side, maps in zip("pg", stored, strict=True))
    back = [{n: 2 * v.astype(float) / 255 - 1 for n, v in maps.items()} for maps in stored]
    back[1]["a"][:6] = back[1]["b"][:4] = 0
    mean = call("normals", pred, gt).figures()["normals/pooled@1"]["mean"]
    assert mean == pytest.approx(angles(*back).mean(), rel=1e-6)


# Saliency.


@pytest.fixture
def salient() -> tuple[Maps, Maps]:
    """Stored 0 to 255, and masks of 0 and 1."""
    random = np.random.default_rng(4)
    truths = {n: (random.random(SIZE) < share).astype(np.uint8) for n, share in (("a", 0.3), ("b", 0.6))}
    values = {n: random.integers(0, 200, SIZE) + 56 * t.astype(int) for n, t in truths.items()}
    return {n: v.astype(np.uint8) for n, v in values.items()}, truths


def test_saliency_by_hand(salient: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    predictions, truths = salient
    pred, gt = fill(tmp_path / "p", predictions), fill(tmp_path / "g", {n: 255 * t for n, t in truths.items()})
    done = call("saliency", pred, gt, "--protocol", *PROTOCOLS["saliency"])
    figures = done.figures()
    soft = {n: (v / 255)[None] for n, v in predictions.items()}
    hard = {n: t.astype(np.float32)[None] for n, t in truths.items()}
    for protocol in PROTOCOLS["saliency"]:
        same(figures[protocol], directly("saliency", protocol, soft, hard))
    p, t = (np.concatenate([maps[n].ravel() for n in "ab"]) for maps in (soft, hard))
    f = [1.3 * (p[t == 1] >= k).sum() / (0.3 * t.sum() + (p >= k).sum()) for k in np.arange(1, 20) / 20]
    assert figures["saliency/f03@1"]["maxf"] == pytest.approx(max(f))
    ious = [
        np.mean([((soft[n] > k) & (hard[n] == 1)).sum() / ((soft[n] > k) | (hard[n] == 1)).sum() for n in "ab"])
        for k in np.linspace(0.2, 0.9, 15)
    ]
    assert figures["saliency/jaccard@1"]["miou"] == pytest.approx(max(ious))
    curves = done.json()["curves"]
    assert curves["saliency/f03@1"]["f"] == pytest.approx(f)
    assert curves["saliency/jaccard@1"]["jaccard"] == pytest.approx(ious)
    assert set(curves) == set(PROTOCOLS["saliency"]) - {"saliency/f03-image@1"}
    for protocol, name in (("saliency/f03@1", "f"), ("saliency/f1-image@1", "f"), ("saliency/jaccard@1", "jaccard")):
        assert max(curves[protocol][name]) in figures[protocol].values()
    alone = done.json()["per_image"]["a"]["saliency/jaccard@1"]["miou"]
    same({"miou": alone}, directly("saliency", "saliency/jaccard@1", {"a": soft["a"]}, hard))
    assert (done.out / "saliency.png").exists()


@pytest.mark.parametrize("suffix", [".npy", ".mat"])
def test_saliency_in_fractions_or_bytes(suffix: str, salient: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    predictions, truths = salient
    expected = call("saliency", fill(tmp_path / "p", predictions), fill(tmp_path / "g", truths)).figures()
    fractions = fill(tmp_path / "f", {n: v / 255 for n, v in predictions.items()}, suffix)
    masks = fill(tmp_path / "m", {n: t.astype(bool) for n, t in truths.items()}, suffix)
    stored = fill(tmp_path / "s", predictions, suffix)
    assert call("saliency", fractions, masks).figures() == expected
    assert call("saliency", stored, masks).figures() == expected


def test_one_bit_masks(salient: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    predictions, truths = salient
    bits = fill(tmp_path / "b", {n: t.astype(bool) for n, t in truths.items()})
    pred = fill(tmp_path / "p", predictions)
    assert call("saliency", pred, bits).figures() == call("saliency", pred, fill(tmp_path / "g", truths)).figures()


def test_one_bit_predictions(salient: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    bits = fill(tmp_path / "b", {n: t.astype(bool) for n, t in salient[1].items()})
    assert call("saliency", bits, bits).figures()["saliency/f03@1"]["maxf"] == pytest.approx(1)


def test_variables_of_mat_files(salient: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    predictions, truths = salient
    for name in "ab":
        (tmp_path / "p").mkdir(exist_ok=True)
        soft = predictions[name] / 255
        savemat(tmp_path / "p" / f"{name}.mat", {"worse": soft * 0, "mine": soft})
        save(tmp_path / "g" / f"{name}.mat", truths[name])
    expected = call("saliency", fill(tmp_path / "png", predictions), fill(tmp_path / "gpng", truths)).figures()
    assert call("saliency", tmp_path / "p", tmp_path / "g", "--pred-key", "mine").figures() == expected
    call.refused("a.mat", "more than one variable", "--pred-key", "mine, worse")(
        "saliency", tmp_path / "p", tmp_path / "g"
    )
    call.refused("a.mat", "no variable 'your'", "mine, worse")(
        "saliency", tmp_path / "p", tmp_path / "g", "--pred-key", "your"
    )


@pytest.mark.parametrize(
    ("task", "more"),
    [
        ("semseg", ["--classes", 5]),
        ("depth", []),
        ("normals", []),
        ("saliency", ["--protocol", *PROTOCOLS["saliency"]]),
    ],
)
def test_workers_do_not_change_a_byte(
    task: str, more: list[Any], request: pytest.FixtureRequest, call: Caller, tmp_path: Path
) -> None:
    fixture = {"semseg": "classes", "depth": "depths", "normals": "normals", "saliency": "salient"}[task]
    maps = request.getfixturevalue(fixture)
    suffix = ".npy" if task in ("depth", "normals") else ".png"
    pred, gt = (fill(tmp_path / side, m, suffix) for side, m in zip("pg", maps, strict=True))
    results = [call(task, pred, gt, *more, "--workers", n).json() for n in (1, 3)]
    for name in ("figures", "curves", "per_image", "units", "better"):
        assert results[0][name] == results[1][name]


def test_8_bit_levels_that_meet_a_threshold_are_not_above_it(call: Caller, tmp_path: Path) -> None:
    """51 / 255 is 0.2, the lowest threshold: a set pixel of that level is never called salient."""
    drawn = np.zeros((6, 8), np.uint8)
    drawn[2:4, 3:6] = 1
    gt, chosen = fill(tmp_path / "g", {"a": drawn}), ["--protocol", "saliency/jaccard@1"]
    found = [
        call("saliency", fill(tmp_path / "p", {"a": drawn * np.uint8(n)}), gt, *chosen).figures() for n in (51, 52)
    ]
    assert [f["saliency/jaccard@1"]["miou"] for f in found] == [0.0, 1.0]


@pytest.mark.parametrize("value", [255.0, math.nan])
def test_invalid_normals_by_a_value_of_their_own(value: float, call: Caller, tmp_path: Path) -> None:
    truth = np.random.default_rng(0).normal(size=(*SIZE, 3))
    guess = truth.copy()
    truth[3:9] = value
    guess[3:9] = 1.0
    pred, gt = fill(tmp_path / "p", {"a": guess}, ".npy"), fill(tmp_path / "g", {"a": truth}, ".npy")
    figures = call("normals", pred, gt, "--ignore", value).figures()["normals/pooled@1"]
    assert figures["mean"] == pytest.approx(0, abs=1e-6)


def test_one_undefined_protocol_does_not_take_the_others_along(call: Caller, tmp_path: Path) -> None:
    far = np.full(SIZE, 9.0)  # beyond the cap of 6.5535 m
    folder = fill(tmp_path / "d", {"a": far}, ".npy")
    done = call("depth", folder, folder, "--protocol", "depth/pooled@1", "depth/cap655@1")
    assert done.figures()["depth/pooled@1"]["rmse"] == 0.0
    assert set(done.figures()["depth/cap655@1"].values()) == {None}
    assert any("depth/cap655@1 finds no pixel that counts" in w for w in done.json()["warnings"])


def test_long_doubles(call: Caller, tmp_path: Path) -> None:
    folder = fill(tmp_path / "d", {"a": np.full(SIZE, 2.0, np.longdouble)}, ".npy")
    assert call("depth", folder, folder).figures()["depth/pooled@1"]["rmse"] == 0.0
