import pytest
import torch

from mtlrepro.data.sample import IMAGENET_MEAN, IMAGENET_STD, Batch, DatasetInfo, collate, normalise
from mtlrepro.errors import DataError
from mtlrepro.tasks import TASKS, make_tasks

TOY = make_tasks(TASKS, DatasetInfo("toy", tuple(TASKS), class_names=tuple("abc")))


def sample(value):
    return {
        "image": torch.full((3, 4, 5), value, dtype=torch.uint8),
        "semseg": torch.full((4, 5), value % 3, dtype=torch.uint8),
        "depth": torch.full((4, 5), float(value)),
        "normals": torch.tensor([0.0, 0.0, -1.0]).view(3, 1, 1).expand(3, 4, 5).clone(),
        "edges": torch.full((4, 5), value % 2, dtype=torch.uint8),
    }


def test_batch_has_the_documented_shapes_and_dtypes():
    batch = collate([sample(1), sample(2)], TOY, [7, 3])
    table = {k: (tuple(v.shape), v.dtype) for k, v in batch.targets.items()}
    assert table == {
        "semseg": ((2, 4, 5), torch.int64),
        "depth": ((2, 1, 4, 5), torch.float32),
        "normals": ((2, 3, 4, 5), torch.float32),
        "edges": ((2, 1, 4, 5), torch.float32),
    }
    assert batch.image.shape == (2, 3, 4, 5)
    assert batch.image.dtype == torch.float32
    assert batch.index.tolist() == [7, 3]
    assert all(v.tolist() == [True, True] for v in batch.labelled.values())
    assert batch.targets["depth"][:, 0, 0, 0].tolist() == [1.0, 2.0]


def test_only_the_asked_tasks_become_targets():
    batch = collate([sample(1)], {"depth": TOY["depth"]}, [0])
    assert list(batch.targets) == list(batch.labelled) == ["depth"]


def test_a_bad_label_is_named():
    bad = sample(1)
    bad["semseg"][0, 0] = 3
    with pytest.raises(DataError, match="semseg: label holds class id 3"):
        collate([sample(1), bad], TOY, [0, 1])


def test_normalise_maps_the_imagenet_statistics_to_zero_and_one():
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    levels = torch.tensor([0, 128, 255], dtype=torch.uint8)
    image = levels.view(1, 1, 3).expand(3, 1, 3).contiguous()
    want = (levels.double() / 255 - mean.double()[:, None]) / std.double()[:, None]
    torch.testing.assert_close(normalise(image)[:, 0].double(), want, rtol=1e-6, atol=1e-6)
    assert torch.equal(image, levels.view(1, 1, 3).expand(3, 1, 3))  # the input is left alone


def test_to_moves_without_changing():
    batch = collate([sample(1), sample(2)], TOY, [0, 1])
    moved = batch.to("cpu")
    assert isinstance(moved, Batch)
    assert torch.equal(moved.image, batch.image)
    assert all(torch.equal(moved.targets[k], v) for k, v in batch.targets.items())
    assert all(torch.equal(moved.labelled[k], v) for k, v in batch.labelled.items())
    on_meta = batch.to("meta")
    assert {v.device.type for v in (on_meta.image, *on_meta.targets.values())} == {"meta"}
