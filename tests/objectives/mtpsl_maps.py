"""Inputs and weights of MTPSL's published figures, and batches and models for the objectives JTR is compared with."""

import math
from functools import cache

import numpy as np
import torch
from numpy.random import RandomState
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.data.sample import Batch, DatasetInfo, View
from mtlrepro.data.transforms.crop import Window
from mtlrepro.models import build_model
from mtlrepro.models.norms import FiLMNorm
from mtlrepro.models.outputs import Outputs
from mtlrepro.spec import ModelSpec
from mtlrepro.tasks import make_tasks

SEVEN = ("semseg", "depth", "normals", "occlusion", "reshading", "keypoints", "texture")
INFO = DatasetInfo("toy", (*SEVEN, "edges"), class_names=tuple(str(c) for c in range(13)))


def toy_tasks(*names, loss="cosine"):
    tasks = make_tasks(names or SEVEN[:3], INFO)
    return {name: task.using(loss) if name == "normals" else task for name, task in tasks.items()}


def t64(a):
    return torch.from_numpy(np.asarray(a, dtype="float64"))


def unit(a):
    return a / np.linalg.norm(a, axis=1, keepdims=True)


@cache
def drawn(seed, *shape):
    return t64(RandomState(seed).standard_normal(shape))


def predictions(a=100):
    maps = {"semseg": 2 * drawn(a, 1, 13, 64, 96), "depth": t64(4 * RandomState(a + 1).rand(1, 1, 64, 96))}
    return maps | {"normals": t64(unit(drawn(a + 2, 1, 3, 64, 96).numpy()))}


def targets(b=200):
    label = torch.from_numpy(RandomState(b).randint(-1, 13, (1, 64, 96)))
    depth = 4 * RandomState(b + 1).rand(1, 1, 64, 96)
    normals = unit(drawn(b + 2, 1, 3, 64, 96).numpy()) * (RandomState(b + 3).rand(1, 1, 64, 96) >= 0.1)
    return {
        "semseg": torch.where(label < 0, 255, label),
        "depth": t64(np.where(depth < 0.4, 0, depth)),
        "normals": t64(normals),
    }


def fill(module):
    """Weights that depend on a layer's shape alone (the figures' own rule), in float64."""
    module.double()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                o, i, k = layer.weight.shape[:3]
                layer.weight.copy_(drawn(131 * o + 17 * i + k, *layer.weight.shape) * math.sqrt(2 / ((i + o) * k * k)))
                if layer.bias is not None:
                    layer.bias.zero_()
            elif isinstance(layer, FiLMNorm):
                c, pairs = layer.gamma.shape
                seed = 7 * c + round((1 + math.sqrt(1 + 4 * pairs)) / 2)
                layer.gamma.copy_(1 + 0.1 * drawn(seed, c, pairs))
                layer.beta.copy_(0.1 * drawn(seed + 1, c, pairs))
    return module


def labels_like(task, shape, generator):
    """A batch target of float32 with some invalid pixels."""
    b, h, w = shape
    gone = torch.rand(b, h, w, generator=generator) < 0.2
    if task == "semseg":
        return torch.where(gone, 255, torch.randint(0, 13, shape, generator=generator))
    if task == "normals":
        vectors = nn.functional.normalize(torch.randn(b, 3, h, w, generator=generator), dim=1)
        return torch.where(gone[:, None], 0.0, vectors)
    values = torch.rand(b, 1, h, w, generator=generator) * 4 + 0.1
    if task == "edges":
        return torch.where(gone[:, None], 255.0, (values > 3).float())
    return torch.where(gone[:, None], 0.0 if task == "depth" else float("nan"), values)


def batch_of(names, patterns, size=(64, 64), seed=0, windows=None):
    """Two views of as many samples as there are patterns; a pattern holds a 0 or 1 for each task."""
    generator = torch.Generator().manual_seed(seed)
    b, shape = len(patterns), (len(patterns), *size)
    views = [
        (torch.rand(b, 3, *size, generator=generator), {t: labels_like(t, shape, generator) for t in names})
        for _ in range(2)
    ]
    marks = {task: torch.tensor([p[i] == "1" for p in patterns]) for i, task in enumerate(names)}
    seen = windows or tuple(Window(i % 2 == 1, 1.2, 3, 5, 53, 50) for i in range(b))
    (image, first), (other, second) = views
    return Batch(image, first, marks, torch.arange(b), (View(other, second, seen),))


def poison(batch):
    """What no label says becomes a trap: NaN, and class ids that no class has."""
    for targets in (batch.targets, *(view.targets for view in batch.others)):
        for task, mask in batch.labelled.items():
            targets[task] = targets[task].clone()
            targets[task][~mask] = 200 if task == "semseg" else float("nan")
    return batch


def one(batch, i):
    """The i-th sample alone."""
    others = tuple(
        View(v.image[i : i + 1], {k: t[i : i + 1] for k, t in v.targets.items()}, v.windows[i : i + 1])
        for v in batch.others
    )
    targets = {k: t[i : i + 1] for k, t in batch.targets.items()}
    return Batch(
        batch.image[i : i + 1], targets, {k: m[i : i + 1] for k, m in batch.labelled.items()}, batch.index[:1], others
    )


def in_double(batch):
    """The batch with images and float targets in float64."""

    def views(image, targets):
        return image.double(), {t: v.double() if v.is_floating_point() else v for t, v in targets.items()}

    others = tuple(View(*views(v.image, v.targets), v.windows) for v in batch.others)
    return Batch(*views(batch.image, batch.targets), batch.labelled, batch.index, others)


class Pointwise(nn.Module):
    """A model without statistics over the batch: raw maps are a function of the pixel, the bottleneck a mean."""

    def __init__(self, channels, width=32, stride=32):
        super().__init__()
        self.heads = nn.ModuleDict({task: nn.Conv2d(3, c, 1) for task, c in channels.items()})
        self.bottleneck = nn.Conv2d(3, width, stride, stride)

    def forward(self, image):
        final = {task: head(image * 4 - 2) for task, head in self.heads.items()}
        return Outputs(final, features=[self.bottleneck(image)])


def model_of(arch, backbone, names, tasks):
    channels = {name: tasks[name].channels for name in names}
    aux = tuple(names) if arch in ("mti_net", "padnet") else ()
    return build_model(ModelSpec(arch, backbone, tuple(names), aux), channels)


class _Norms(TorchDispatchMode):
    """Multiply-accumulates of batch and instance norms as fvcore counts them: two an element."""

    macs = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._overloadpacket.__name__ == "native_batch_norm":
            self.macs += 2 * args[0].numel()
        return func(*args, **(kwargs or {}))


def giga_macs(objective, model, batch):
    """Of convolutions and norms in one forward pass of an objective."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), _Norms() as norms:
        objective(model, batch, 0.0)
    return (counter.get_total_flops() / 2 + norms.macs) / 1e9
