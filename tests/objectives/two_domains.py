"""Batches of two domains, and a network for them."""

import math

import torch
from numpy.random import RandomState
from torch import nn
from torch.nn import functional as F

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.adaptation import Adaptation
from mtlrepro.tasks import make_tasks

INFO = DatasetInfo("toy", ("semseg", "depth", "normals"), class_names=("road", "sky", "car", "tree"))
LOSSES = {"depth": "inverse_berhu"}
WEIGHTS = {"semseg": 50.0, "depth": 1.0, "normals": 100.0}
SIZE = (16, 24)


def toy_tasks(*names):
    names = names or ("semseg", "depth")
    return make_tasks(names, INFO, [(name, LOSSES[name]) for name in names if name in LOSSES])


class Net(nn.Module):
    """A network with batch norm, final predictions and those of one stage at half the size, in float64."""

    def __init__(self, tasks):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6)
        self.side, self.last = (
            nn.ModuleDict({name: nn.Conv2d(6, task.channels, 3, 1, 1) for name, task in tasks.items()})
            for _ in range(2)
        )
        self.double()

    def forward(self, image):
        coarse = self.norm(self.stem(image)).relu()
        fine = F.interpolate(coarse, scale_factor=2)
        sides, finals = (
            {name: head(maps) * (50 if name == "depth" else 1) for name, head in heads.items()}
            for heads, maps in ((self.side, coarse), (self.last, fine))
        )
        return Outputs(finals, {"stage1": sides})


def make(tasks, scales=("stage1",), widths=(4, 5), seed=0, **chosen):
    torch.manual_seed(seed)
    weights = {name: WEIGHTS[name] for name in tasks}
    return Adaptation(tasks, weights, scales=scales, widths=widths, **chosen).double().train()


def net_of(tasks, seed=1):
    torch.manual_seed(seed)
    return Net(tasks).train()


def mixed(source, target=2, seed=0):
    """A batch of so many samples of the source and of the target, whose labels are poison."""
    rs, count = RandomState(seed), source + target
    image = torch.from_numpy(rs.randn(count, 3, *SIZE))
    classes = torch.from_numpy(rs.choice([0, 1, 2, 3, 255], (count, *SIZE)))
    depth = torch.from_numpy((1 + 60 * rs.rand(count, 1, *SIZE)) * (rs.rand(count, 1, *SIZE) > 0.1))
    mask = torch.arange(count) < source
    classes[~mask], depth[~mask] = 254, math.nan  # a class that there is not
    return Batch(
        image, {"semseg": classes, "depth": depth}, {task: mask.clone() for task in ("semseg", "depth")}, extra=target
    )


def part(batch, rows):
    """Some samples, as a batch in which all is labelled."""
    return Batch(batch.image[rows], {task: target[rows] for task, target in batch.targets.items()})
