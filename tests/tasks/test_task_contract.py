"""Everything but the loss: registry, labels, decoding, geometry, pictures."""

import math

import numpy as np
import pytest
import torch

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.tasks import TASKS, make_tasks
from mtlrepro.tasks.base import Task
from mtlrepro.tasks.maps import StandardisedMap
from mtlrepro.tasks.semseg import SemSeg, voc_palette

PALETTE = ((10, 20, 30), (40, 50, 60), (70, 80, 90))
INFO = DatasetInfo("toy", tuple(TASKS), class_names=("floor", "wall", "chair"), palette=PALETTE, max_depth=10.0)
TOY = make_tasks(TASKS, INFO)
H, W = 4, 6
MAPS = ("occlusion", "reshading", "keypoints", "texture")
CLASSES = ("semseg", "parts")
BINARY = ("saliency", "edges")
every_task = pytest.mark.parametrize("name", list(TASKS))


def label(name, seed=0):
    """A sample's label with an invalid corner."""
    g = torch.Generator().manual_seed(seed)
    if name == "normals":
        value = torch.nn.functional.normalize(torch.randn(3, H, W, generator=g), dim=0)
        value[:, 0, 0] = 0
        return value
    if name == "depth":
        value = torch.rand(H, W, generator=g) * 9 + 0.5
        value[0, 0] = 0
        return value
    if name in MAPS:
        value = torch.randn(H, W, generator=g)
        value[0, 0] = math.nan
        return value
    value = torch.randint(0, 2 if name in BINARY else 3, (H, W), generator=g, dtype=torch.uint8)
    value[0, 0] = 255
    return value


def same(a, b):
    """Equal, NaN to NaN."""
    return a.dtype == b.dtype and torch.equal(a.double().nan_to_num(777), b.double().nan_to_num(777))


def test_the_registry_names_the_classes_and_the_contract_is_complete():
    assert list(TASKS) == ["semseg", "parts", "saliency", "depth", "normals", "edges", *MAPS]
    for name, task in TOY.items():
        assert isinstance(task, Task)
        assert task.name == name
        assert task.resampling == {"normals": "bilinear", "edges": "boundary"}.get(task.name, "nearest")


def test_main_metrics_and_directions():
    main = {name: (task.main_metric, task.better) for name, task in TOY.items()}
    assert main == {
        "semseg": ("miou", "higher"),
        "parts": ("miou", "higher"),
        "saliency": ("miou", "higher"),
        "depth": ("rmse", "lower"),
        "normals": ("mean", "lower"),
        "edges": ("f", "higher"),
        **dict.fromkeys(MAPS, ("abs_err", "lower")),
    }


def test_make_tasks_keeps_order_and_drops_repeats():
    assert list(make_tasks(["depth", "semseg", "depth"], INFO)) == ["depth", "semseg"]


def test_make_tasks_errors_name_the_mend():
    with pytest.raises(SpecError, match="Did you mean 'normals'"):
        make_tasks(["normal"], INFO)
    with pytest.raises(SpecError, match=r"'poor' has no labels for task 'depth'.*It has semseg"):
        make_tasks(["depth"], DatasetInfo("poor", ("semseg",), ("a",)))
    with pytest.raises(SpecError, match="names 0 classes"):
        make_tasks(["semseg"], DatasetInfo("nameless", ("semseg",)))
    with pytest.raises(SpecError, match="names 256 classes"):
        SemSeg(DatasetInfo("many", ("semseg",), tuple(str(i) for i in range(256))))


@every_task
def test_protocols_of_a_task_are_distinct_and_the_first_has_the_main_metric(name):
    metrics = TOY[name].metrics()
    protocols = [m.protocol for m in metrics]
    assert len(protocols) == len(set(protocols)) > 0
    assert set(protocols) <= set(PROTOCOLS["error maps" if name in MAPS else name])
    assert TOY[name].main_metric in metrics[0].better
    assert TOY[name].better == metrics[0].better[TOY[name].main_metric]
    assert TOY[name].metrics()[0] is not metrics[0]


@every_task
def test_collate_gives_the_documented_target(name):
    target = TOY[name].collate(label(name))
    shape = (H, W) if name in CLASSES else (3 if name == "normals" else 1, H, W)
    assert tuple(target.shape) == shape
    assert target.dtype == (torch.int64 if name in CLASSES else torch.float32)
    assert same(target.reshape(-1, H, W).double(), label(name).reshape(-1, H, W).double())


@every_task
def test_collate_refuses_other_shapes_and_dtypes(name):
    with pytest.raises(DataError, match=f"{name}: label is.*Provide"):
        TOY[name].collate(label(name).unsqueeze(0))
    with pytest.raises(DataError, match="float64"):
        TOY[name].collate(label(name).double())


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("semseg", 3, "class id 3 of 3 classes.*0 to 2, or 255"),
        ("semseg", 254, "class id 254"),
        ("parts", 7, "parts: label holds class id 7 of 7 classes.*0 to 6, or 255"),
        ("saliency", 2, "the value 2.*0, 1, or 255"),
        ("edges", 2, "the value 2.*0, 1, or 255"),
        ("depth", -1.0, "negative or non-finite"),
        ("depth", math.nan, "negative or non-finite"),
        ("normals", 1.0, "neither unit nor zero"),
        ("normals", math.inf, "neither unit nor zero"),
        *((name, math.inf, "holds infinity.*NaN") for name in MAPS),
    ],
)
def test_collate_refuses_unknown_values(name, value, match):
    bad = label(name)
    bad[..., 1, 1] = value
    with pytest.raises(DataError, match=match):
        TOY[name].collate(bad)


@every_task
def test_a_decoded_output_fits_every_metric_of_the_task(name):
    raw = torch.randn(2, TOY[name].channels, H, W, generator=torch.Generator().manual_seed(0))
    target = torch.stack([TOY[name].collate(label(name, seed)) for seed in (0, 1)])
    for metric in TOY[name].metrics():
        metric.update(TOY[name].decode(raw), target)
        assert all(math.isfinite(v) for v in metric.compute().values())


def test_decode_values():
    raw = torch.tensor([0.0, 2.0, -1.0]).view(1, 3, 1, 1)
    assert TOY["semseg"].decode(raw).tolist() == [[[1]]]
    torch.testing.assert_close(TOY["normals"].decode(raw), raw / math.sqrt(5))
    assert TOY["parts"].decode(raw).tolist() == [[[1]]]
    for name in BINARY:
        assert TOY[name].decode(raw[:, :1]).item() == 0.5
    for name in ("depth", *MAPS):
        assert torch.equal(TOY[name].decode(raw[:, 1:2]), raw[:, 1:2])
        assert TOY[name].decode(raw[:, :1].bfloat16()).dtype == torch.float32


@every_task
def test_flip_twice_is_the_identity_and_once_mirrors(name):
    value, task = label(name), TOY[name]
    assert same(task.flip(task.flip(value)), value)
    once = task.flip(value)
    if name == "normals":
        assert torch.equal(once[1:], value[1:].flip(-1))
        assert torch.equal(once[0], -value[0].flip(-1))
    else:
        assert same(once, value.flip(-1))
    task.collate(once)  # still a valid label


@every_task
def test_zoom_values_touch_depth_only(name):
    value = label(name)
    got = TOY[name].zoom_values(value, 1.5)
    assert same(got, value / 1.5 if name == "depth" else value)


@every_task
def test_pictures_of_predictions_and_targets(name):
    task = TOY[name]
    raw = torch.randn(1, task.channels, H, W, generator=torch.Generator().manual_seed(0))
    for decoded in (task.decode(raw)[0], task.collate(label(name))):
        picture = task.picture(decoded)
        assert picture.shape == (H, W, 3)
        assert picture.dtype == np.uint8
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1
    invalid = task.picture(task.collate(label(name)))[0, 0].tolist()
    assert invalid == ([128] * 3 if name in BINARY else [0] * 3)


def test_picture_colours():
    semseg = TOY["semseg"].picture(torch.tensor([[0, 2, 255]]))
    assert semseg.tolist() == [[[10, 20, 30], [70, 80, 90], [0, 0, 0]]]
    for name in BINARY:
        assert TOY[name].picture(torch.tensor([[[0.0, 0.5, 1.0]]]))[0, :, 0].tolist() == [0, 128, 255]
    assert TOY["parts"].picture(torch.tensor([[0, 1, 255]])).tolist() == [[[0, 0, 0], [128, 0, 0], [0, 0, 0]]]
    normals = TOY["normals"].picture(torch.tensor([0.0, 0.0, -1.0]).view(3, 1, 1))
    assert normals.tolist() == [[[128, 128, 0]]]
    depth = TOY["depth"].picture(torch.tensor([[[0.01, 5.0, 10.0, 99.0, 0.0, -1.0, math.nan]]]))
    brightness = depth[0].sum(-1).tolist()
    assert brightness[0] < brightness[1] < brightness[2] == brightness[3]  # far is bright, beyond max_depth saturates
    assert brightness[4:] == [0, 0, 0]


@pytest.mark.parametrize("name", MAPS)
def test_maps_are_shown_in_grey_from_minus_three_to_three(name):
    picture = TOY[name].picture(torch.tensor([[[-4.0, -3.0, 0.0, 3.0, 9.0, math.nan]]]))
    assert picture[0].tolist() == [[v] * 3 for v in (0, 0, 128, 255, 255, 0)]


def test_the_maps_share_one_class_and_differ_in_name():
    assert all(isinstance(TOY[name], StandardisedMap) for name in MAPS)
    assert {name for name, task in TOY.items() if isinstance(task, StandardisedMap)} == set(MAPS)


@every_task
def test_valid_pixels_are_those_with_a_label(name):
    target = torch.stack([TOY[name].collate(label(name, seed)) for seed in (0, 1)])
    valid = TOY[name].valid(target)
    assert valid.dtype == torch.bool
    want = torch.ones(2, 1, H, W, dtype=torch.bool)
    want[:, :, 0, 0] = False
    assert torch.equal(valid, want)


def test_inverse_depth_is_measured_by_its_own_protocol_alone():
    inverse = make_tasks(["depth"], DatasetInfo("street", ("depth",), max_depth=0.5, inverse_depth=True))["depth"]
    assert [m.protocol for m in inverse.metrics()] == ["depth/inverse@1"]
    assert (inverse.main_metric, inverse.better) == ("rmse", "lower")
    assert "depth/inverse@1" not in [m.protocol for m in TOY["depth"].metrics()]
    value = torch.full((2, 2), 0.25)
    assert torch.equal(inverse.collate(value), value[None])
    assert inverse.trivial([value]).item() == 0.25
    half, full = inverse.picture(torch.tensor([[[0.25, 0.5]]]))[0].tolist()
    assert TOY["depth"].picture(torch.tensor([[[5.0, 10.0]]]))[0].tolist() == [half, full]


def test_without_a_palette_classes_get_the_pascal_voc_colours():
    task = SemSeg(DatasetInfo("bare", ("semseg",), tuple("abc")))
    assert task.picture(torch.tensor([[1, 2]])).tolist() == [[[128, 0, 0], [0, 128, 0]]]
    assert voc_palette(16)[15] == (192, 128, 128)
    assert len(set(voc_palette(255))) == 255
