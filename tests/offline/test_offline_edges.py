"""`mtlrepro eval edges` end to end: figures against the metric, against scipy's matching, and against themselves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from offline_maps import SIZE, Caller, fill, save, save_bsds
from scipy.io import savemat
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from mtlrepro.metrics.boundary import summary
from mtlrepro.metrics.boundary.truth import READINGS
from mtlrepro.metrics.protocols import PROTOCOLS

Maps = dict[str, np.ndarray]
BOUNDARY = ("odsf/png@1", "odsf/nms@1", "odsf/bsds@1")
PIXELS = ("edges/pixels@1", "edges/f1-macro@1", "edges/bce@1")


def segments(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.kron(random.integers(0, 4, (5, 7)), np.ones((8, 8), int)).astype(np.uint8)


def soft(seed: int) -> np.ndarray:
    """Bright near the borders of `segments(seed)`, with noise everywhere."""
    random = np.random.default_rng(seed)
    near = READINGS["contour"](segments(seed)) > 0
    near = np.roll(near, 1, axis=1) | near
    return np.clip(110 * near + random.integers(0, 120, SIZE), 0, 255).astype(np.uint8)


@pytest.fixture
def maps() -> tuple[Maps, Maps]:
    names = ("a", "b", "sub/c")
    return {n: soft(k) for k, n in enumerate(names)}, {n: segments(k) for k, n in enumerate(names)}


def directly(protocol: str, predictions: Maps, truths: Maps, **how: Any) -> dict[str, float]:
    """The metric fed without files; truths as the protocol reads them by itself."""
    metric = PROTOCOLS["edges"][protocol](**how)
    for name, stored in predictions.items():
        truth = torch.from_numpy(truths[name].astype(np.float32))[None, None]
        metric.update(torch.from_numpy(stored / 255)[None, None], truth)
    return metric.compute()


@pytest.mark.parametrize("protocol", ["odsf/png@1", "odsf/nms@1"])
def test_png_npy_and_mat_give_the_metrics_own_figures(
    protocol: str, maps: tuple[Maps, Maps], call: Caller, tmp_path: Path
) -> None:
    predictions, truths = maps
    expected = {protocol: directly(protocol, predictions, truths)}
    assert 0.2 < expected[protocol]["odsf"] < 1
    fractions = {n: p / 255 for n, p in predictions.items()}
    fill(tmp_path / "png", predictions)
    for suffix in (".npy", ".mat"):
        fill(tmp_path / f"p{suffix}", fractions, suffix)
    for suffix in (".png", ".npy", ".mat"):
        fill(tmp_path / f"g{suffix}", truths, suffix)
    ways = [("png", "g.png"), ("p.npy", "g.npy"), ("p.mat", "g.mat")]
    found = [call("edges", tmp_path / p, tmp_path / g, "--protocol", protocol) for p, g in ways]
    assert [f.figures() for f in found] == [expected] * 3


@pytest.mark.parametrize("protocol", ["odsf/bsds@1", *PIXELS])
def test_drawn_truths_are_taken_as_they_are(
    protocol: str, maps: tuple[Maps, Maps], call: Caller, tmp_path: Path
) -> None:
    predictions, labels = maps
    truths = {n: (READINGS["contour"](v) > 0).astype(np.uint8) for n, v in labels.items()}
    pred, gt = fill(tmp_path / "p", predictions), fill(tmp_path / "g", {n: 255 * t for n, t in truths.items()})
    done = call("edges", pred, gt, "--protocol", protocol)
    assert done.figures()[protocol] == pytest.approx(directly(protocol, predictions, truths), rel=1e-12)


def test_pixel_figures_by_hand(call: Caller, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 2, SIZE).astype(np.uint8)
    stored = np.where(truth, random.integers(60, 256, SIZE), random.integers(0, 200, SIZE)).astype(np.uint8)
    done = call("edges", fill(tmp_path / "p", {"a": stored}), fill(tmp_path / "g", {"a": truth}), "--protocol", *PIXELS)
    figures, p = done.figures(), stored / 255
    f = [2 * ((p >= k / 100) & (truth == 1)).sum() / ((p >= k / 100).sum() + truth.sum()) for k in range(1, 100)]
    assert figures["edges/pixels@1"]["f"] == pytest.approx(max(f))
    called = p > 0.5
    own = [2 * ((called == c) & (truth == c)).sum() / ((called == c).sum() + (truth == c).sum()) for c in (1, 0)]
    expected = {"f1_edge": own[0], "f1_background": own[1], "f1": sum(own) / 2}
    assert figures["edges/f1-macro@1"] == pytest.approx(expected)
    inside = p.clip(2.0**-24, 1 - 2.0**-24)
    loss = np.where(truth, -0.95 * np.log(inside), -0.05 * np.log(1 - inside)).mean()
    assert figures["edges/bce@1"]["bce"] == pytest.approx(loss, rel=1e-6)


def dots(seed: int, spread: int) -> np.ndarray:
    """Points that touch no other, so that thinning leaves them alone."""
    random = np.random.default_rng(seed)
    drawn = np.zeros(SIZE, np.uint8)
    for y in range(1, SIZE[0] - 3, 4):
        for x in range(1, SIZE[1] - 3, 4):
            if random.random() < 0.6:
                drawn[y + random.integers(spread), x + random.integers(spread)] = random.integers(1, 256)
    return drawn


def test_odsf_oisf_and_ap_of_dots_by_scipys_matching(call: Caller, tmp_path: Path) -> None:
    reach = 0.03
    predictions = {f"i{k}": dots(k, 3) for k in range(3)}
    truths = {f"i{k}": (dots(k + 50, 3) > 0).astype(np.uint8) for k in range(3)}
    counts = np.zeros((3, 3, 99))  # image; matched, true, predicted; threshold
    for i, name in enumerate(predictions):
        for k in range(99):
            p, t = (np.argwhere(m) for m in (predictions[name] / 255 >= (k + 1) / 100, truths[name]))
            near = np.hypot(*(p[:, None] - t[None]).transpose(2, 0, 1)) <= reach * np.hypot(*SIZE)
            matched = (maximum_bipartite_matching(csr_matrix(near)) >= 0).sum() if near.size else 0
            counts[i, :, k] = matched, len(t), len(p)

    def f(c: np.ndarray) -> np.ndarray:
        return 2 * c[0] / (c[1] + c[2])

    pooled = counts.sum(0)
    own = sum(c[:, f(c).argmax()] for c in counts)
    recall = pooled[0] / pooled[1]
    precision = np.where(pooled[2] > 0, pooled[0] / pooled[2].clip(1), 1)
    first = {r: precision[k] for k, r in reversed(list(enumerate(recall)))}
    levels = np.array(sorted(first))
    samples = np.arange(101) / 100
    reached = np.where((samples >= levels[0]) & (samples <= levels[-1]), 1, 0)
    ap = (np.interp(samples, levels, [first[r] for r in levels]) * reached).sum() / 100
    pred, gt = fill(tmp_path / "p", predictions), fill(tmp_path / "g", truths)
    chosen = ["--protocol", "odsf/png@1", "--truth", "as-is", "--mode", "exact", "--max-dist", reach]
    figures = call("edges", pred, gt, *chosen).figures()["odsf/png@1"]
    assert figures == pytest.approx({"odsf": f(pooled).max(), "oisf": f(own[:, None])[0], "ap": ap})
    expected = call("edges", pred, gt, *chosen[:4], "--max-dist", reach).figures()["odsf/png@1"]
    assert 0 < figures["odsf"] - expected["odsf"] < 0.005


@pytest.mark.parametrize("protocol", BOUNDARY)
def test_exact_is_never_below_expected(protocol: str, maps: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    pred, gt = fill(tmp_path / "p", maps[0]), fill(tmp_path / "g", {n: v % 2 for n, v in maps[1].items()})
    chosen = ["--protocol", protocol, "--truth", "thin", "--max-dist", 0.03]
    exact, expected = (call("edges", pred, gt, *chosen, "--mode", mode) for mode in ("exact", "expected"))
    high, low = (o.figures()[protocol] for o in (exact, expected))
    assert 0 < high["odsf"] - low["odsf"] < 0.005
    many, few = (np.load(o.out / "edges_counts.npz")[protocol.replace("/", "_")] for o in (exact, expected))
    assert (many >= few).all()
    assert (many == many.round()).all()
    assert (many[:, [1, 3]] == few[:, [1, 3]]).all()
    assert exact.json()["settings"][protocol]["mode"] == "exact"
    assert "mode exact" in exact.text


def test_workers_do_not_change_a_byte(maps: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    pred, gt = fill(tmp_path / "p", maps[0]), fill(tmp_path / "g", maps[1])
    chosen = ["--protocol", "odsf/png@1", "odsf/nms@1"]
    one, three, nine = (call("edges", pred, gt, *chosen, "--workers", n) for n in (1, 3, 9))
    for name in ("figures", "curves", "per_image", "settings"):
        assert one.json()[name] == three.json()[name] == nine.json()[name]
    assert (one.out / "edges_counts.npz").read_bytes() == (three.out / "edges_counts.npz").read_bytes()


def test_the_json_and_the_counts_hold_everything(maps: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    predictions, truths = maps
    pred, gt = fill(tmp_path / "p", predictions), fill(tmp_path / "g", truths)
    done = call("edges", pred, gt, "--protocol", "odsf/png@1", "odsf/nms@1", "--max-dist", 0.02)
    result = done.json()
    assert (result["task"], result["images"], result["schema_version"]) == ("edges", 3, 1)
    assert (result["predictions"], result["truths"]) == (str(pred), str(gt))
    with np.load(done.out / "edges_counts.npz") as file:
        saved = dict(file)
    assert set(saved) == {"names", "odsf_png@1", "odsf_nms@1"}
    assert saved["names"].tolist() == sorted(predictions) == list(result["per_image"])
    for protocol in ("odsf/png@1", "odsf/nms@1"):
        counts, curve = saved[protocol.replace("/", "_")], result["curves"][protocol]
        assert counts.shape == (3, 4, len(curve["thresholds"]))
        c = summary.curve(counts.sum(0))
        assert curve["f"] == pytest.approx(c.f.tolist(), rel=1e-12)
        own = summary.curve(sum(summary.at_own_best(image) for image in counts)[:, None]).f[0]
        again = {"odsf": c.f.max(), "oisf": own, "ap": summary.average_precision(c)}
        assert result["figures"][protocol] == pytest.approx(again, rel=1e-12)
        assert result["figures"][protocol]["odsf"] == max(curve["f"])
        for name, image in zip(saved["names"], counts, strict=True):
            assert result["per_image"][name][protocol]["odsf"] == pytest.approx(summary.curve(image).f.max())
            alone = directly(protocol, {name: predictions[name]}, truths, max_dist=0.02)
            assert result["per_image"][name][protocol] == pytest.approx(alone, rel=1e-12)
        assert result["settings"][protocol]["truth"] == "contour"
        assert result["settings"][protocol]["max_dist"] == 0.02
        assert set(result["units"][protocol].values()) == {"fraction"}


def test_annotators_of_bsds(call: Caller, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    predictions, annotations = {}, {}
    for k, count in enumerate((3, 1, 5)):
        drawn = [READINGS["contour"](segments(10 * k + a)) > 0 for a in range(count)]
        predictions[f"i{k}"] = (random.random(SIZE) * 150 + 100 * drawn[0]).astype(np.uint8)
        annotations[f"i{k}"] = drawn
        save_bsds(tmp_path / "truth" / "test" / f"i{k}.mat", drawn)
    metric = PROTOCOLS["edges"]["odsf/bsds@1"](max_dist=0.02)
    for name, drawn in annotations.items():
        stacked = torch.from_numpy(np.stack(drawn).astype(np.float32))[None]
        metric.update(torch.from_numpy(predictions[name].astype(np.float32) / 255)[None, None], stacked)
    pred, gt = fill(tmp_path / "p", predictions), tmp_path / "truth" / "test" / "{id}.mat"
    done = call("edges", pred / "{id}.png", gt, "--protocol", "odsf/bsds@1", "--max-dist", 0.02)
    assert done.figures() == {"odsf/bsds@1": metric.compute()}
    with np.load(done.out / "edges_counts.npz") as file:
        true = [sum(int(d.sum()) for d in drawn) for drawn in annotations.values()]
        assert file["odsf_bsds@1"][:, 1, 0].tolist() == true


def test_label_maps_of_pascal_context(maps: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    pred, gt = fill(tmp_path / "p", maps[0]), tmp_path / "g"
    for name, labels in maps[1].items():
        save(gt / f"{name}.mat", labels.astype(np.uint16) * 100, name="LabelMap")
        save(tmp_path / "two" / f"{name}.mat", labels)
        savemat(tmp_path / "two" / f"{name}.mat", {"other": labels * 0, "LabelMap": labels})
    plain = call("edges", pred, fill(tmp_path / "png", maps[1])).figures()
    assert call("edges", pred, gt).figures() == plain
    assert call("edges", pred, tmp_path / "two").figures() == plain
    assert call("edges", pred, tmp_path / "two", "--gt-key", "other").figures() != plain


@pytest.mark.parametrize(("width", "doubled"), [(1, False), (2, True)])
def test_contours_of_wide_lines_are_doubted(width: int, doubled: bool, call: Caller, tmp_path: Path) -> None:
    drawn = np.zeros(SIZE, np.uint8)
    drawn[10 : 10 + width, 4:50] = drawn[30 : 30 + width, 4:50] = 1
    pred = fill(tmp_path / "p", {"a": 255 * drawn, "b": 255 * drawn})
    gt = fill(tmp_path / "g", {"a": drawn, "b": 255 * drawn})
    done = call("edges", pred, gt, "--protocol", "odsf/png@1")
    assert bool(done.json()["warnings"]) == doubled
    assert ("warning:" in done.text and "--truth thin" in done.text) == doubled
    for reading in ("thin", "as-is"):
        other = call("edges", pred, gt, "--protocol", "odsf/png@1", "--truth", reading)
        assert other.json()["warnings"] == []
        assert other.json()["settings"]["odsf/png@1"]["truth"] == reading
    assert call("edges", pred, gt, "--truth", "thin").figures()["odsf/nms@1"]["odsf"] > 0.9


def test_contours_of_regions_are_not_doubted(call: Caller, tmp_path: Path) -> None:
    region = np.zeros(SIZE, np.uint8)
    region[8:30, 10:40] = 1
    done = call("edges", fill(tmp_path / "p", {"a": soft(0)}), fill(tmp_path / "g", {"a": region}))
    assert done.json()["warnings"] == []


def test_contours_of_wide_lines_are_doubted_beside_ignored_pixels(call: Caller, tmp_path: Path) -> None:
    drawn = np.zeros(SIZE, np.uint8)
    drawn[10:12, 4:50], drawn[0] = 1, 255
    pred, gt = fill(tmp_path / "p", {"a": soft(0)}), fill(tmp_path / "g", {"a": drawn})
    assert call("edges", pred, gt, "--ignore", 255).json()["warnings"]


def test_the_border_of_ignored_pixels_is_none(call: Caller, tmp_path: Path) -> None:
    found = []
    for void in (np.s_[:20], np.s_[20:], np.s_[:, :20], np.s_[:, 20:]):
        labels = np.ones(SIZE, np.uint8)
        labels[void] = 255
        gt = fill(tmp_path / "g", {"a": labels})
        done = call("edges", fill(tmp_path / "p", {"a": soft(0)}), gt, "--ignore", 255)
        with np.load(done.out / "edges_counts.npz") as file:
            found.append(int(file["odsf_nms@1"][0, 1, 0]))
    assert found == [0] * 4


def test_readings_differ_as_they_should(call: Caller, tmp_path: Path) -> None:
    drawn = np.zeros(SIZE, np.uint8)
    drawn[12:15, 6:46] = 1
    gt, counts = fill(tmp_path / "g", {"a": drawn}), {}
    for reading in READINGS:
        done = call("edges", fill(tmp_path / "p", {"a": 255 * drawn}), gt, "--truth", reading)
        assert done.code == 0
        with np.load(done.out / "edges_counts.npz") as file:
            counts[reading] = int(file["odsf_nms@1"][0, 1, 0])
    assert counts["as-is"] == 120
    assert 36 <= counts["thin"] <= 40
    assert counts["contour"] > 76


def test_ignored_pixels_never_matter(call: Caller, tmp_path: Path) -> None:
    drawn = (READINGS["contour"](segments(1)) > 0).astype(np.uint8)
    drawn[:12] = 7
    low, high = soft(1) / 255, soft(1) / 255
    low[:12], high[:12] = 0, 1
    high[3, 3] = np.nan
    gt = fill(tmp_path / "g", {"a": drawn})
    chosen = ["--protocol", "odsf/bsds@1", *PIXELS, "--ignore", 7]
    found = [call("edges", fill(tmp_path / k, {"a": v}, ".npy"), gt, *chosen) for k, v in (("l", low), ("h", high))]
    assert found[0].figures() == found[1].figures()


def test_an_image_without_a_valid_pixel_is_undefined_by_itself_alone(call: Caller, tmp_path: Path) -> None:
    drawn = (READINGS["contour"](segments(1)) > 0).astype(np.uint8)
    void = np.full(SIZE, 9, np.uint8)
    pred = fill(tmp_path / "p", {"a": soft(1), "b": soft(2)})
    gt = fill(tmp_path / "g", {"a": drawn, "b": void})
    done = call("edges", pred, gt, "--protocol", "odsf/bsds@1", "--ignore", 9)
    alone = directly("odsf/bsds@1", {"a": soft(1)}, {"a": drawn})
    assert done.figures()["odsf/bsds@1"] == pytest.approx(alone, rel=1e-12)
    assert done.json()["per_image"]["b"]["odsf/bsds@1"] == {"odsf": None, "oisf": None, "ap": None}


def test_thresholds_by_number(maps: tuple[Maps, Maps], call: Caller, tmp_path: Path) -> None:
    pred, gt = fill(tmp_path / "p", maps[0]), fill(tmp_path / "g", maps[1])
    usual, same, few, one = (
        call("edges", pred, gt, "--protocol", "odsf/png@1", *more)
        for more in ([], ["--thresholds", 99], ["--thresholds", 9], ["--thresholds", 1])
    )
    assert usual.figures() == same.figures()
    curve = usual.json()["curves"]["odsf/png@1"]
    assert few.json()["curves"]["odsf/png@1"]["f"] == pytest.approx(curve["f"][9::10])
    assert one.json()["curves"]["odsf/png@1"]["thresholds"] == [0.5]
    assert one.json()["settings"]["odsf/png@1"]["thresholds"] == 1


def test_a_mask_of_0_and_1_in_8_bits_is_doubted(call: Caller, tmp_path: Path) -> None:
    """As a map of probabilities it never exceeds 1 / 255, and every figure is near 0."""
    drawn = np.zeros(SIZE, np.uint8)
    drawn[10, 4:50] = 1
    gt = fill(tmp_path / "g", {"a": drawn})
    for top, doubted in ((1, True), (255, False)):
        pred = fill(tmp_path / "p", {"a": drawn * top})
        warnings = call("edges", pred, gt, "--truth", "as-is").json()["warnings"]
        assert any("no prediction exceeds 1/255" in w for w in warnings) == doubted


@pytest.mark.parametrize("value", [math.nan, 0.25])
def test_numbers_that_are_no_labels(value: float, call: Caller, tmp_path: Path) -> None:
    labels = np.ones(SIZE)
    labels[3, 4] = value
    pred, gt = fill(tmp_path / "p", {"a": soft(0)}), fill(tmp_path / "g", {"a": labels}, ".npy")
    call.refused(gt / "a.npy", "holds numbers that are no labels")("edges", pred, gt)


def test_a_soft_map_in_place_of_labels_is_doubted(call: Caller, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 250, SIZE).astype(np.uint8)
    warnings = call("edges", *(fill(tmp_path / k, {"a": noise}) for k in "pg")).json()["warnings"]
    assert any("are these label maps or masks?" in w for w in warnings)


def test_what_was_there_before_stays_unless_it_is_of_an_earlier_evaluation(call: Caller, tmp_path: Path) -> None:
    folder, out = fill(tmp_path / "m", {"a": np.eye(40, 56).astype(np.uint8)}), tmp_path / "out"
    out.mkdir()
    (out / "edges_counts.npz").write_bytes(b"mine")
    assert call("edges", folder, folder, "--protocol", "edges/pixels@1", "--out", out).code == 0
    assert (out / "edges_counts.npz").read_bytes() == b"mine"
    assert call("edges", folder, folder, "--protocol", "edges/pixels@1", "--out", out).code == 0
    assert not (out / "edges_counts.npz").exists()
