from dataclasses import replace

import pytest
import torch

from mtlrepro.data.sample import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    NORMALISE,
    Batch,
    DatasetInfo,
    View,
    normalise,
    normaliser,
    scaled,
    stack,
)
from mtlrepro.data.transforms.crop import Window
from mtlrepro.errors import DataError, SpecError
from mtlrepro.tasks import TASKS, make_tasks

TOY = make_tasks(TASKS, DatasetInfo("toy", tuple(TASKS), class_names=tuple("abc")))


def sample(value):
    return {
        "image": torch.full((3, 4, 5), value, dtype=torch.uint8),
        "semseg": torch.full((4, 5), value % 3, dtype=torch.uint8),
        "parts": torch.full((4, 5), value, dtype=torch.uint8),
        "saliency": torch.full((4, 5), value % 2, dtype=torch.uint8),
        "depth": torch.full((4, 5), float(value)),
        "normals": torch.tensor([0.0, 0.0, -1.0]).view(3, 1, 1).expand(3, 4, 5).clone(),
        "edges": torch.full((4, 5), value % 2, dtype=torch.uint8),
        **{name: torch.full((4, 5), value - 1.5) for name in MAPS},
    }


MAPS = ("occlusion", "reshading", "keypoints", "texture")


def made(samples, tasks, index):
    image, targets = stack(samples, tasks, normalise)
    view = View(image.flip(-1), {k: v.flip(-1) for k, v in targets.items()}, (Window.whole((4, 5), True),) * len(index))
    labelled = {name: torch.ones(len(index), dtype=torch.bool) for name in tasks}
    return Batch(image, targets, labelled, torch.tensor(index), (view,))


def test_batch_has_the_documented_shapes_and_dtypes():
    batch = made([sample(1), sample(2)], TOY, [7, 3])
    table = {k: (tuple(v.shape), v.dtype) for k, v in batch.targets.items()}
    assert table == {
        "semseg": ((2, 4, 5), torch.int64),
        "parts": ((2, 4, 5), torch.int64),
        "saliency": ((2, 1, 4, 5), torch.float32),
        "depth": ((2, 1, 4, 5), torch.float32),
        "normals": ((2, 3, 4, 5), torch.float32),
        "edges": ((2, 1, 4, 5), torch.float32),
        **{name: ((2, 1, 4, 5), torch.float32) for name in MAPS},
    }
    assert batch.image.shape == (2, 3, 4, 5)
    assert batch.image.dtype == torch.float32
    assert batch.targets["depth"][:, 0, 0, 0].tolist() == [1.0, 2.0]


def test_only_the_asked_tasks_become_targets():
    _, targets = stack([sample(1)], {"depth": TOY["depth"]}, normalise)
    assert list(targets) == ["depth"]


def test_a_bad_label_is_named():
    bad = sample(1)
    bad["semseg"][0, 0] = 3
    with pytest.raises(DataError, match="semseg: label holds class id 3"):
        stack([sample(1), bad], TOY, normalise)


def test_normalise_maps_the_imagenet_statistics_to_zero_and_one():
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    levels = torch.tensor([0, 128, 255], dtype=torch.uint8)
    image = levels.view(1, 1, 3).expand(3, 1, 3).contiguous()
    want = (levels.double() / 255 - mean.double()[:, None]) / std.double()[:, None]
    torch.testing.assert_close(normalise(image)[:, 0].double(), want, rtol=1e-6, atol=1e-6)
    assert torch.equal(image, levels.view(1, 1, 3).expand(3, 1, 3))  # the input is left alone


@pytest.mark.parametrize("name", NORMALISE)
def test_a_float_image_is_the_uint8_image_over_255(name):
    levels = torch.arange(256, dtype=torch.uint8).expand(2, 3, 1, 256).contiguous()
    floats = levels.float() / 255
    before = floats.clone()
    prepare = normaliser(name)
    torch.testing.assert_close(prepare(floats), prepare(levels), rtol=1e-6, atol=1e-6)
    assert torch.equal(floats, before)  # the input is left alone
    assert prepare(levels).dtype == prepare(floats).dtype == torch.float32
    assert levels[0, 0, 0].tolist() == list(range(256))


def test_no_normalisation_leaves_values_between_0_and_1():
    levels = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 1, 3).expand(3, 1, 3)
    assert scaled(levels)[0, 0].tolist() == pytest.approx([0.0, 0.2, 1.0])
    floats = torch.rand(3, 2, 2)
    assert torch.equal(NORMALISE["none"](floats), floats)
    assert not torch.equal(NORMALISE["imagenet"](floats), floats)


def test_an_unknown_normalisation_is_told():
    with pytest.raises(SpecError, match=r"data\.normalise: unknown normalisation 'imagnet'\. Did you mean 'imagenet'"):
        normaliser("imagnet")


def test_a_stack_holds_what_the_normalisation_gives():
    samples = [sample(1), sample(2)]
    for prepare in NORMALISE.values():
        image, _ = stack(samples, TOY, prepare)
        assert torch.equal(image, prepare(torch.stack([s["image"] for s in samples])))


def test_to_moves_without_changing():
    batch = replace(made([sample(1), sample(2)], TOY, [0, 1]), normalise="imagenet", extra=1)
    moved = batch.to("cpu")
    assert isinstance(moved, Batch)
    assert torch.equal(moved.image, batch.image)
    assert all(torch.equal(moved.targets[k], v) for k, v in batch.targets.items())
    assert all(torch.equal(moved.labelled[k], v) for k, v in batch.labelled.items())
    on_meta = batch.to("meta")
    assert (moved.normalise, moved.extra) == (on_meta.normalise, on_meta.extra) == ("imagenet", 1)
    assert {v.device.type for v in (on_meta.image, *on_meta.targets.values())} == {"meta"}
    assert {v.device.type for v in (*on_meta.labelled.values(), on_meta.index)} == {"cpu"}  # read on the host
    ((view,), (there,), (elsewhere,)) = batch.others, moved.others, on_meta.others
    assert torch.equal(there.image, view.image)
    assert all(torch.equal(there.targets[k], v) for k, v in view.targets.items())
    assert view.windows == there.windows == elsewhere.windows
    assert {v.device.type for v in (elsewhere.image, *elsewhere.targets.values())} == {"meta"}
