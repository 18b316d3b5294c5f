"""The embedded drives as a dataset: labels, depth and normals as contracted, and styles worth adapting between."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mtlrepro.data import dataset_info
from mtlrepro.data.disk.encodings import IGNORE
from mtlrepro.data.sample import Dataset
from mtlrepro.data.scenes.drives.classes import class_set
from mtlrepro.data.scenes.drives.dataset import Drives
from mtlrepro.data.scenes.drives.style import Finish
from mtlrepro.data.scenes.drives.worlds import STYLES
from mtlrepro.data.scenes.primitives import Material
from mtlrepro.data.scenes.streets.capture import FARTHEST
from mtlrepro.data.scenes.streets.classes import THINGS
from mtlrepro.data.scenes.textures import TEXTURES
from mtlrepro.data.surface import batch_normals, normals_from_depth
from mtlrepro.errors import SpecError
from mtlrepro.spec import options
from mtlrepro.tasks import make_tasks

SIZE = (32, 64)
COUNT, FITTED = 48, 32
NATIVE = {"photo": 16, "game": 16, "kitti": 14}
"""The set of classes of the dataset that a style stands for."""
PAIRS = [(a, b) for a in STYLES for b in STYLES if a != b]
Things = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def drives() -> dict[str, Drives]:
    """48 of each style; what is asked of their things is derived from labels in several sets of classes."""
    return {name: Drives("train", SIZE, COUNT, style=name, classes=classes) for name, classes in NATIVE.items()}


@pytest.fixture(scope="module")
def stacked(drives: dict[str, Drives]) -> Things:
    """Style -> pictures, depth and labels in its own classes and in the 8 that all share."""
    eight = {name: torch.tensor([*_to_eight(classes), *[IGNORE] * (256 - classes)]) for name, classes in NATIVE.items()}
    out = {}
    for name, dataset in drives.items():
        samples = [dataset[i] for i in range(COUNT)]
        found = {key: torch.stack([s[key] for s in samples]) for key in ("image", "semseg", "depth", "normals")}
        found["semseg"] = found["semseg"].long()
        out[name] = {**found, "eight": eight[name][found["semseg"]]}
    return out


def _to_eight(classes: int) -> list[int]:
    """Class -> the class among 8 of the first thing that it consists of (of 14, walls go with buildings)."""
    own, eight = class_set(classes).of, class_set(8).of
    return [next(eight.get(t, IGNORE) for t in THINGS if own.get(t) == c) for c in range(classes)]


@pytest.mark.parametrize("style", STYLES)
def test_shapes_dtypes_and_targets(style: str, drives: dict[str, Drives]) -> None:
    dataset = Drives("train", SIZE, 1, style=style, classes=NATIVE[style], frames=True)
    expected = {
        "image": (torch.uint8, (3, *SIZE)),
        "semseg": (torch.uint8, SIZE),
        "depth": (torch.float32, SIZE),
        "normals": (torch.float32, (3, *SIZE)),
        "intrinsics": (torch.float32, (3, 3)),
        "placement": (torch.float32, (3, 3)),
        "frames": (torch.uint8, (2, 3, *SIZE)),
        "frame_depth": (torch.float32, (2, *SIZE)),
        "motion": (torch.float32, (2, 4, 4)),
    }
    assert {k: (v.dtype, tuple(v.shape)) for k, v in dataset[0].items()} == expected
    assert isinstance(dataset, Dataset)
    plain = drives[style][0]
    assert all(torch.equal(plain[k], dataset[0][k]) for k in plain), "frames change nothing in the rest"
    assert set(expected) - set(plain) == {"frames", "frame_depth", "motion"}
    for name, task in make_tasks(dataset.info.tasks, dataset.info).items():
        assert task.collate(dataset[0][name]).shape[-2:] == SIZE


@pytest.mark.parametrize(
    ("classes", "first", "last"), [(16, "road", "bicycle"), (14, "Terrain", "Van"), (8, "road", "vehicle")]
)
def test_info_is_that_of_the_datasets(classes: int, first: str, last: str) -> None:
    info = dataset_info("drives", options(classes=classes, style="kitti", normals="metric"))
    assert (info.class_names[0], info.class_names[-1], len(info.class_names)) == (first, last, classes)
    assert len(info.palette) == classes
    assert (info.tasks, info.max_depth, info.surface) == (("semseg", "depth", "normals"), 80.0, "metric")
    assert Drives("val", (32, 48), 1).info.full_size == (64, 96)


def test_sets_of_classes_agree_with_each_other() -> None:
    """Every thing of the 8 classes is of one class, of a like name, in the set of its dataset."""
    sixteen, fourteen, eight = (class_set(n) for n in (16, 14, 8))
    assert set(THINGS) - set(sixteen.of) == {"terrain", "guard rail", "truck"}
    assert set(THINGS) - set(fourteen.of) == {"person", "rider", "motorcycle", "bicycle"}
    vehicles = {thing for thing in THINGS if eight.of.get(thing) == eight.names.index("vehicle")}
    assert vehicles == {"car", "van", "truck", "bus"}
    for thing in set(THINGS) & set(eight.of) - vehicles:
        assert eight.names[eight.of[thing]] == sixteen.names[sixteen.of[thing]]
    assert {thing for thing in THINGS if thing not in eight.of} == {
        *("sidewalk", "wall", "fence", "guard rail", "terrain", "person", "rider", "motorcycle", "bicycle")
    }


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"style": "foto"}, "unknown style 'foto'. Did you mean 'photo'"),
        ({"classes": 19}, "no set of 19 classes"),
        ({"normals": "real"}, "unknown rule for normals"),
    ],
)
def test_unknown_choices_are_named(bad: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Drives("train", SIZE, 1, **bad)


def test_the_same_drive_is_the_same_bits_in_any_order_and_with_any_thread_count(drives: dict[str, Drives]) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            torch.set_num_threads(threads)
            again = Drives("train", SIZE, 2, style="game")
            for i in (1, 0):
                assert all(torch.equal(again[i][k], drives["game"][i][k]) for k in drives["game"][i])
    finally:
        torch.set_num_threads(before)


def test_splits_seeds_and_styles_share_no_street() -> None:
    sets = [Drives(split, (8, 16), 2, style=s) for s in STYLES for split in ("train", "val")]
    sets.append(Drives("train", (8, 16), 2, seed=1))
    assert len({tuple(d[i]["depth"].flatten().tolist()) for d in sets for i in range(2)}) == 14
    sets += [
        Drives("train", (8, 16), 2, classes=8),
        Drives("train", (8, 16), 2, normals="metric"),
        Drives("train", (8, 16), 2, frames=True),
    ]
    assert len({d.digest() for d in sets}) == len(sets)


@pytest.mark.parametrize("style", STYLES)
def test_every_class_is_common_enough_and_none_dominates(style: str, stacked: Things) -> None:
    labels, classes = stacked[style]["semseg"], NATIVE[style]
    counts = torch.stack([torch.bincount(ids.flatten(), minlength=256)[:classes] for ids in labels])
    share = counts.sum(0) / labels.numel()
    assert float(share.max()) < 0.45
    assert float(share.min()) > 0.0012, "8 of 8192 pixels are 0.001"
    assert float((counts > 0).double().mean(0).min()) > 0.35, "share of the pictures"
    assert float((labels == IGNORE).double().mean()) < 0.05
    eight = torch.bincount(stacked[style]["eight"].flatten(), minlength=256)[:8] / labels.numel()
    assert 0.0012 < float(eight.min()) <= float(eight.max()) < 0.45


@pytest.mark.parametrize("key", ["semseg", "eight"])
@pytest.mark.parametrize("style", STYLES)
def test_neither_position_nor_colour_alone_gives_the_labels(style: str, key: str, stacked: Things) -> None:
    """The majority class by position and by colour, fitted on 32 drives and tried on 16 others."""
    labels, classes = stacked[style][key], 8 if key == "eight" else NATIVE[style]
    votes = torch.stack([(labels[:FITTED] == c).sum(0) for c in range(classes)])
    assert _miou(votes.argmax(0).expand(COUNT - FITTED, *SIZE), labels[FITTED:], classes) < (
        0.33 if classes == 8 else 0.2
    )
    table = _colours(stacked[style]["image"][:FITTED], labels[:FITTED], classes)
    assert _tried(table, stacked[style], key, classes) < (0.48 if classes == 8 else 0.3)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_colours_learnt_in_one_style_do_worse_in_another(source: str, target: str, stacked: Things) -> None:
    table = _colours(stacked[source]["image"][:FITTED], stacked[source]["eight"][:FITTED], 8)
    at_home, abroad = (_tried(table, stacked[name], "eight", 8) for name in (source, target))
    assert at_home > 0.3, "colour tells something"
    assert abroad < 0.75 * at_home


@pytest.mark.parametrize("style", STYLES)
def test_depth_is_not_given_by_the_row(style: str, stacked: Things) -> None:
    """What the mean of each row leaves of the error of one constant, in inverse depth: on a road some must go."""
    depth = stacked[style]["depth"]
    valid = (depth > 0) & (depth < 80)
    inverse = torch.where(valid, depth.clamp_min(1e-3).reciprocal(), 0.0)
    rows = inverse[:FITTED].sum((0, 2)) / valid[:FITTED].sum((0, 2)).clamp_min(1)
    constant = inverse[:FITTED].sum() / valid[:FITTED].sum()
    left = [
        float((inverse - guess)[FITTED:][valid[FITTED:]].square().mean().sqrt()) for guess in (rows[:, None], constant)
    ]
    assert 0.4 < left[0] / left[1] < 0.85
    assert 5 < float(depth[valid].median()) < 20
    assert float(depth[valid].quantile(0.9)) > 25


def test_photos_have_the_holes_of_a_stereo_camera_and_renderings_have_none(stacked: Things) -> None:
    for style, found in stacked.items():
        sky = found["eight"] == 6
        depth = found["depth"]
        if STYLES[style].stereo:
            assert not (depth[sky] > 0).any()
            assert 0.05 < float((depth[~sky] == 0).float().mean()) < 0.25
            assert float(depth.max()) <= 200.0
        else:
            assert torch.equal(depth[sky], torch.full_like(depth[sky], FARTHEST))
            assert float(depth.min()) > 0.5
            assert float(depth[~sky].max()) <= FARTHEST


@pytest.mark.parametrize("style", STYLES)
def test_released_normals_are_of_the_full_resolution_camera(style: str, drives: dict[str, Drives]) -> None:
    sample, metric = drives[style][0], Drives("train", SIZE, 1, style=style, normals="metric")[0]
    full = torch.linalg.inv(sample["placement"].double()) @ sample["intrinsics"].double()
    assert tuple(full[:2, 2].tolist()) == pytest.approx((SIZE[1], SIZE[0]))
    expected = normals_from_depth(sample["depth"], full, "released")
    torch.testing.assert_close(sample["normals"], expected, rtol=0, atol=1e-5)
    for rule, found in (("released", sample), ("metric", metric)):
        geometry = {key: found[key][None] for key in ("intrinsics", "placement")}
        again = batch_normals(found["depth"][None, None], geometry, rule, drives[style].info.full_size)[0]
        torch.testing.assert_close(again, found["normals"], rtol=0, atol=1e-4)
    assert float((sample["normals"] - metric["normals"]).abs().max()) > 0.5
    lens = STYLES[style].lens
    assert float(metric["intrinsics"][0, 0]) == pytest.approx(lens.focal / lens.width * SIZE[1])


def test_metric_normals_of_roads_point_up_and_far_ones_do_not_count_in_val() -> None:
    for style in STYLES:
        dataset = Drives("val", SIZE, 4, style=style, normals="metric")
        samples = [dataset[i] for i in range(4)]
        up = torch.cat([-s["normals"][1][(s["semseg"] == 0) & (s["normals"][2] > 0)] for s in samples])
        assert float(up.quantile(0.3)) > 0.97, "kerbs, cars and bumps in depth aside"
        far = torch.cat([s["normals"].norm(dim=0)[s["depth"] >= 80] for s in samples])
        assert float(far.sum()) == 0.0
        near = torch.cat([s["normals"].norm(dim=0)[s["depth"] > 0] for s in samples])
        assert 0.4 < float(near.mean()) < 0.95


def test_a_finish_dyes_then_turns_then_scales() -> None:
    grey = Material(TEXTURES["asphalt"], ((0.4, 0.4, 0.4), (0.2, 0.2, 0.2), (0.8, 0.8, 0.8)), 4.0, gloss=0.5)
    blue = Finish(dye=(0.0, 0.25, 0.5), strength=0.5, value=1.5, textures={"": "plain", "wood": "tiles"}, repeat=0.5)
    found = blue.cover(grey)
    assert (found.texture, found.repeat, found.gloss) == (TEXTURES["plain"], 2.0, 0.5)
    np.testing.assert_allclose(found.colours, [(0.3, 0.45, 0.6), (0.15, 0.225, 0.3), (0.45, 0.675, 0.9)])
    red = Material(TEXTURES["wood"], ((0.4, 0.2, 0.2),) * 3)
    np.testing.assert_allclose(Finish(hue=1 / 3, saturation=1.5).cover(red).colours[0], (0.1, 0.4, 0.1))
    np.testing.assert_allclose(Finish(saturation=9.0).cover(red).colours[0], (0.4, 0.0, 0.0))
    assert Finish().cover(red) == red


def _miou(guess: Tensor, truth: Tensor, classes: int) -> float:
    """Mean over the classes that occur; ignored pixels do not count."""
    counted, found = truth < classes, []
    for c in range(classes):
        union = ((guess == c) | (truth == c)) & counted
        if union.any():
            found.append(float(((guess == c) & (truth == c)).sum() / union.sum()))
    return float(np.mean(found))


def _bins(image: Tensor) -> Tensor:
    """(B, H, W) number of the colour, of 8 × 8 × 8."""
    r, g, b = (image.long() // 32).unbind(1)
    return r * 64 + g * 8 + b


def _colours(image: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(512,) the usual class of each colour; that of all pixels for a colour not seen."""
    known = labels < classes
    joint = torch.bincount(_bins(image)[known] * classes + labels[known], minlength=512 * classes).view(512, classes)
    return torch.where(joint.sum(1) > 0, joint.argmax(1), joint.sum(0).argmax())


def _tried(table: Tensor, found: dict[str, Tensor], key: str, classes: int) -> float:
    """mIoU on the drives that no table is fitted on."""
    return _miou(table[_bins(found["image"][FITTED:])], found[key][FITTED:], classes)
