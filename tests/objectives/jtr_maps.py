"""Formula inputs of JTR's published vectors, in this package's coding of labels, and weights from a layer's shape."""

from __future__ import annotations

import math

import torch
from numpy.random import RandomState
from torch import Tensor, nn

from mtlrepro.data.sample import Batch, DatasetInfo, View
from mtlrepro.data.transforms.crop import Window
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.jtr import NYU_DEPTH
from mtlrepro.objectives.stacks import Law
from mtlrepro.tasks import TASKS, make_tasks

NYU = ("semseg", "depth", "normals")
CITYSCAPES = ("semseg", "depth")
TASKONOMY = ("semseg", "depth", "normals", "occlusion", "reshading", "keypoints", "texture")

LAW = Law(*(torch.tensor(v, dtype=torch.float32).item() for v in NYU_DEPTH))
"""The published constants as the public implementation holds them, in single precision, in all its computations."""


def tasks_of(names, classes=13):
    info = DatasetInfo("formula", tuple(TASKS), tuple(str(c) for c in range(classes)))
    return make_tasks(names, info)


def rand(seed, *shape):
    return torch.from_numpy(RandomState(seed).rand(*shape))


def randn(seed, *shape):
    return torch.from_numpy(RandomState(seed).standard_normal(shape))


def unit(vectors):
    return vectors / vectors.norm(dim=1, keepdim=True)


def class_ids(seed, classes, *shape):
    """Ids from -1, which becomes 255, to classes - 1."""
    ids = torch.from_numpy(RandomState(seed).randint(-1, classes, shape)).long()
    return torch.where(ids < 0, 255, ids)


def clear(values, below):
    return torch.where(values < below, 0.0, values)


def small_maps():
    """Predictions and labels of 4×6 pixels."""
    predictions = {"semseg": 2 * randn(2, 1, 13, 4, 6), "depth": 4 * rand(4, 1, 1, 4, 6)}
    predictions["normals"] = unit(randn(6, 1, 3, 4, 6))
    labels = {"semseg": class_ids(3, 13, 1, 4, 6), "depth": clear(4 * rand(5, 1, 1, 4, 6), 0.8)}
    labels["normals"] = torch.where(rand(8, 1, 1, 4, 6) < 0.2, 0.0, unit(randn(7, 1, 3, 4, 6)))
    return predictions, labels


def nyu_predictions(seed):
    size = (64, 96)
    maps = {"semseg": 2 * randn(seed, 1, 13, *size), "depth": 4 * rand(seed + 1, 1, 1, *size)}
    return maps | {"normals": unit(randn(seed + 2, 1, 3, *size))}


def nyu_labels(seed):
    size = (64, 96)
    maps = {"semseg": class_ids(seed, 13, 1, *size), "depth": clear(4 * rand(seed + 1, 1, 1, *size), 0.4)}
    vectors = unit(randn(seed + 2, 1, 3, *size))
    return maps | {"normals": torch.where(rand(seed + 3, 1, 1, *size) < 0.1, 0.0, vectors)}


def cityscapes_predictions(seed):
    return {"semseg": 2 * randn(seed, 1, 7, 64, 96), "depth": 0.5 * rand(seed + 1, 1, 1, 64, 96)}


def cityscapes_labels(seed):
    return {"semseg": class_ids(seed, 7, 1, 64, 96), "depth": clear(0.5 * rand(seed + 1, 1, 1, 64, 96), 0.05)}


def fill(module: nn.Module) -> nn.Module:
    """Float64 weights (o, i, k, k) RandomState(131 o + 17 i + k).standard_normal · √(2 / ((i + o) k²)), biases 0."""
    with torch.no_grad():
        for layer in module.double().modules():
            if isinstance(layer, nn.Conv2d):
                o, i, k = layer.weight.shape[:3]
                layer.weight.copy_(randn(131 * o + 17 * i + k, *layer.weight.shape) * math.sqrt(2 / ((i + o) * k * k)))
                layer.bias.zero_()
    return module


class Table(nn.Module):
    """A "network" that predicts what it is given, for all views one below the other."""

    def __init__(self, *views, stages=None):
        super().__init__()
        self.final = {task: torch.cat([view[task] for view in views]) for task in views[0]}
        self.stages = stages or {}

    def forward(self, image: Tensor) -> Outputs:
        assert len(image) == len(next(iter(self.final.values())))
        return Outputs(self.final, self.stages)


def noise(seed, tasks, samples, size=(32, 32)):
    """Raw predictions of any tasks."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 2 * torch.randn(samples, task.channels, *size, generator=generator, dtype=torch.float64)
        for name, task in tasks.items()
    }


CLASSES = ("semseg", "parts")

DRAWN = {
    **dict.fromkeys(
        CLASSES, lambda g, b, h, w, classes: _some(g, torch.randint(0, classes, (b, h, w), generator=g), 255)
    ),
    **dict.fromkeys(
        ("saliency", "edges"),
        lambda g, b, h, w, classes: _some(g, torch.randint(0, 2, (b, 1, h, w), generator=g).double(), 255.0),
    ),
    "depth": lambda g, b, h, w, classes: _some(g, 0.1 + 4 * torch.rand(b, 1, h, w, generator=g).double(), 0.0),
    "normals": lambda g, b, h, w, classes: _some(g, unit(torch.randn(b, 3, h, w, generator=g).double()), 0.0),
}


def _some(generator, labels, invalid):
    """Labels, one pixel in ten invalid."""
    where = torch.rand(len(labels), 1, *labels.shape[-2:], generator=generator) < 0.1
    return torch.where(where.squeeze(1) if labels.ndim == 3 else where, invalid, labels)


def drawn_labels(seed, tasks, samples, size=(32, 32)):
    """Labels of any tasks, of which a tenth is invalid."""
    generator = torch.Generator().manual_seed(seed)

    def a_map(g, b, h, w, classes):
        return _some(g, torch.randn(b, 1, h, w, generator=g).double(), math.nan)

    return {t: DRAWN.get(t, a_map)(generator, samples, *size, task.channels) for t, task in tasks.items()}


def batch_of(targets, labelled=None, windows=None) -> Batch:
    """A batch of blank images with the targets of its views."""
    samples, *_ = next(iter(targets[0].values())).shape
    size = next(iter(targets[0].values())).shape[-2:]
    image = torch.zeros(samples, 3, *size, dtype=torch.float64)
    windows = windows or [(Window.whole(size),) * samples for _ in targets]
    others = tuple(View(image, seen, cut) for seen, cut in zip(targets[1:], windows[1:], strict=True))
    return Batch(image, targets[0], labelled or {}, torch.arange(samples), others)
