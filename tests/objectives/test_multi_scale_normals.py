"""Labels of normals that DenseMTL's objective makes of depth: a vector, partial labels, what must be there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from torch import nn
from torch.nn import functional as F

from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.data.scenes.drives.dataset import Drives
from mtlrepro.data.streams import Stream
from mtlrepro.errors import SpecError
from mtlrepro.metrics.normals import PooledNormals
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.multi_scale import MultiScale, aligned
from mtlrepro.tasks import make_tasks

PAIR = ("depth", "normals")
INFO = DatasetInfo("street", PAIR, surface="released", full_size=(6, 8))
LOSSES = (("depth", "inverse_berhu"), ("normals", "cosine"))
CAMERA = ("intrinsics", "placement")


def t32(array):
    return torch.from_numpy(np.asarray(array, dtype="float32"))


def make(info=INFO, names=PAIR, **weights):
    tasks = make_tasks(names, info, [loss for loss in LOSSES if loss[0] in names])
    return MultiScale(tasks, {**dict.fromkeys(names, 1.0), **weights})


def street(stored=None, labelled=None):
    """A batch of depth (2, 1, 6, 8) with a hole and the vector's camera, pictures neither resized nor moved."""
    v, u = np.mgrid[:6, :8].astype(float)
    d = 10 + 0.5 * u + 0.25 * v + 0.3 * np.sin(1.3 * u) * np.cos(0.7 * v)
    depth = np.stack([d, 1.5 * d[::-1]])[:, None]
    depth[0, 0, 2, 6] = 0
    k = torch.tensor([[20, 0, 4], [0, 20, 3], [0, 0, 1.0]])  # 0.5 more than where the first pixel's centre is at 0
    geometry = {"intrinsics": k.expand(2, 3, 3), "placement": torch.eye(3).expand(2, 3, 3)}
    targets = {"depth": t32(depth), "normals": torch.zeros(2, 3, 6, 8) if stored is None else stored}
    return Batch(torch.zeros(2, 3, 6, 8), targets, labelled or {}, geometry=geometry)


def random_normals(seed=0):
    return F.normalize(t32(RandomState(seed).randn(2, 3, 6, 8)))


class Fixed(nn.Module):
    def __init__(self, **final):
        super().__init__()
        self.final = final

    def forward(self, image):
        return Outputs(self.final)


def test_vector_of_normals_made_of_depth():
    rs, batch, objective = RandomState(4), street(), make(normals=100.0)
    raw = [t32(rs.randn(2, 3, 6, 8)), t32(rs.randn(2, 3, 3, 4))]
    losses = objective.losses(Outputs({"normals": raw[0]}, {"stage1": {"normals": raw[1]}}), batch)
    want = {"final/normals": 1.017852, "stage1/normals": 1.086749}
    assert {k: v.item() for k, v in losses.terms.items()} == pytest.approx(want, rel=2e-6)
    assert losses.total.item() == pytest.approx(105.230064, rel=2e-6)
    label = objective.targets(batch)["normals"]
    assert (label != 0).any(1).sum() == 14
    assert not batch.targets["normals"].any()  # the batch is left as it is
    means = []
    for prediction in raw:
        metric = PooledNormals()
        metric.update(objective.tasks["normals"].decode(aligned(prediction, label)), label)
        means.append(metric.compute()["mean"])
    assert means == pytest.approx([91.2424, 98.3271], rel=2e-6)


def test_a_rule_makes_them_and_without_one_they_are_those_of_the_batch():
    batch = street(random_normals())
    assert make(DatasetInfo("stored", PAIR)).targets(batch) is batch.targets
    made = make().targets(batch)
    assert made["depth"] is batch.targets["depth"]
    assert not torch.equal(made["normals"], batch.targets["normals"])
    metric = make(replace(INFO, surface="metric")).targets(batch)["normals"]
    both = (metric != 0).any(1) & (made["normals"] != 0).any(1)
    assert (metric * made["normals"]).sum(1)[both].mean() < 0.5  # x and y have the other sign


# labels that training may not see


def test_samples_whose_depth_is_hidden_keep_the_stored_label():
    """A loader erases what is hidden, and of no depth no normals can be made."""
    whole = make().targets(street(random_normals()))["normals"]
    batch = street(random_normals(), {"depth": torch.tensor([True, False]), "normals": torch.tensor([True, True])})
    batch.targets["depth"][1] = 0
    got = make().targets(batch)["normals"]
    assert torch.equal(got[0], whole[0])
    assert torch.equal(got[1], batch.targets["normals"][1])


def test_a_sample_labelled_for_normals_alone_teaches():
    batch = street(random_normals(), {"depth": torch.tensor([True, False]), "normals": torch.tensor([False, True])})
    batch.targets["depth"][1] = 0
    raw = random_normals(1).requires_grad_()
    losses = make()(Fixed(normals=raw), batch, 0.0)
    losses.total.backward()
    assert losses.total.item() > 0.1
    assert raw.grad[1].abs().sum() > 0
    assert not raw.grad[0].any()
    alone = make(DatasetInfo("stored", PAIR)).task_loss("normals", raw[1:], batch.targets["normals"][1:], 2)
    assert losses.total.item() == pytest.approx(alone.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("seen", "remade"),
    [(lambda i, task: True, 2), (lambda i, task: task == "normals", 0), (lambda i, task: i == 0 or task != "depth", 1)],
)
def test_depth_that_is_loaded_beside_follows_the_label_setting(seen, remade):
    """A network for normals alone: depth is no task of it, but comes in its batches, hidden or not."""
    drives = Drives("train", (32, 64), 2)
    objective = make(drives.info, ("normals",))
    assert MultiScale.beside(objective.tasks) == ("depth",)
    assert MultiScale.beside(make(drives.info).tasks) == ()
    loaded = {**objective.tasks, **make_tasks(("depth",), drives.info)}
    batch = TrainLoader((Stream(drives, range(2), seen, 2), None), loaded, (32, 64), "flip", 0).batch_at(0)
    batch.targets["normals"] = batch.targets["normals"].roll(
        1, 1
    )  # other labels, or those of upright pictures are equal
    targets = objective.targets(batch)["normals"]
    kept = [torch.equal(a, b) for a, b in zip(targets, batch.targets["normals"], strict=True)]
    assert kept.count(False) == remade
    assert (targets != 0).any(1).float().mean((1, 2)).min() > 0.2
    raw = torch.ones(2, 3, 32, 64, requires_grad=True)
    objective(Fixed(normals=raw), batch, 0.0).total.backward()
    assert all(gradient.any() for gradient in raw.grad)


# what must be there


@pytest.mark.parametrize("missing", ["depth", *CAMERA])
def test_a_batch_without_depth_camera_or_placement_is_refused(missing):
    """Stored labels of mirrored pictures are 7 to 11 degrees from those that the objective is to make."""
    batch = street()
    for kept in (batch.targets, batch.geometry):
        kept.pop(missing, None)
    match = rf"batch\.{missing}: labels of normals are made of depth by 'released', and the batch lacks {missing}"
    with pytest.raises(SpecError, match=match) as caught:
        make()(Fixed(normals=torch.zeros(2, 3, 6, 8)), batch, 0.0)
    assert missing in caught.value.mend


def test_where_no_normals_are_predicted_none_are_made():
    batch = street()
    batch.geometry.clear()
    losses = make()(Fixed(depth=torch.ones(2, 1, 6, 8)), batch, 0.0)
    assert set(losses.terms) == {"final/depth"}
