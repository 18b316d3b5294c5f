"""A small network, batches with second frames, and what the 3D-aware regularizer adds, written down plainly."""

import torch
from numpy.random import RandomState
from torch import nn
from torch.nn import functional as F

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.data.warp import motion_matrix
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.volume import reference_render
from mtlrepro.objectives import build_objective
from mtlrepro.spec import ObjectiveSpec, options
from mtlrepro.tasks import make_tasks

TASKS = ("semseg", "depth", "normals", "edges")
INFO = DatasetInfo("toy", (*TASKS, "saliency"), class_names=("wall", "floor", "chair", "bed", "lamp"))
WEIGHTS = {"semseg": 1.0, "depth": 2.0, "normals": 10.0, "edges": 5.0}
SIZE = (24, 32)
WIDTHS = (5, 7)
SMALL = {"stride": 4, "channels": 6, "hidden": 9, "field_hidden": 5, "samples": 8}


class Tiny(nn.Module):
    """A network with batch norm, dropout, two encoder maps (strides 4 and 8), one stage and final predictions."""

    def __init__(self, tasks, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.fine, self.coarse = nn.Conv2d(3, WIDTHS[0], 4, 4), nn.Conv2d(WIDTHS[0], WIDTHS[1], 2, 2)
        self.norm, self.drop = nn.BatchNorm2d(WIDTHS[0]), nn.Dropout(0.2)
        self.side, self.last = (
            nn.ModuleDict({name: nn.Conv2d(width, task.channels, 1) for name, task in tasks.items()})
            for width in WIDTHS[::-1]
        )

    def forward(self, image):
        fine = self.drop(self.norm(self.fine(image)).relu())
        coarse = self.coarse(fine)
        stage = {name: head(coarse) for name, head in self.side.items()}
        final = {name: F.interpolate(head(fine), scale_factor=4) for name, head in self.last.items()}
        return Outputs(final, {"initial": stage}, [fine, coarse])


def make(name="aware3d", names=TASKS, seed=1, losses=(), features=WIDTHS, **chosen):
    """A small objective of that name in training mode, its weights drawn with the seed."""
    torch.manual_seed(seed)
    weights = options(**{task: WEIGHTS[task] for task in names if task in WEIGHTS})
    spec = ObjectiveSpec(name, weights, options(**{**(SMALL if name == "aware3d" else {}), **chosen}), losses)
    return build_objective(spec, make_tasks(names, INFO, losses), features).train()


def labels(samples, seed=0, size=SIZE):
    rs = RandomState(seed)
    normals = F.normalize(torch.from_numpy(rs.randn(samples, 3, *size)), dim=1)
    normals[:, :, :3] = 0
    depth = rs.uniform(1, 8, (samples, 1, *size)) * (rs.rand(samples, 1, *size) > 0.2)
    return {
        "semseg": torch.from_numpy(rs.choice([0, 1, 2, 3, 4, 255], (samples, *size))),
        "depth": torch.from_numpy(depth),
        "normals": normals,
        "edges": torch.from_numpy(rs.choice([0.0, 1.0, 255.0], (samples, 1, *size))),
    }


def camera(samples, size=SIZE, dtype=torch.float64):
    height, width = size
    k = [[0.8 * width, 0, 0.48 * width], [0, 1.1 * height, 0.53 * height], [0, 0, 1]]
    return torch.tensor(k, dtype=dtype).expand(samples, 3, 3)


def small_motion(samples, seed=0, turn=0.05, shift=0.2):
    rs = RandomState(seed)
    drawn = (torch.from_numpy(scale * rs.randn(samples, 3)) for scale in (turn, shift))
    return motion_matrix(*drawn)


def a_batch(samples=2, extra=0, seed=0, motion=None, dtype=torch.float32, names=TASKS):
    """Labelled samples, then `extra` ones with depth alone, whose other labels are poison, and a second frame each."""
    count, rs = samples + extra, RandomState(seed + 1)
    targets = {name: t.to(dtype) if t.is_floating_point() else t for name, t in labels(count, seed).items()}
    mask = torch.arange(count) < samples
    for name in ("semseg", "normals", "edges"):
        targets[name][samples:] = 254 if name == "semseg" else float("nan")
    beside = {}
    if extra:
        depth = rs.uniform(1, 8, (extra, 1, *SIZE)) * (rs.rand(extra, 1, *SIZE) > 0.2)
        motion = small_motion(extra, seed) if motion is None else motion.expand(extra, 4, 4)
        beside = {"intrinsics": camera(extra), "frame_depth": torch.from_numpy(depth), "motion": motion[:, None]}
    return Batch(
        torch.from_numpy(rs.randn(count, 3, *SIZE)).to(dtype),
        {name: targets[name] for name in names},
        {name: mask.clone() for name in names if name != "depth"} if extra else {},
        extra=extra,
        beside={key: value.to(dtype) for key, value in beside.items()},
    )


def straight_points(samples, grid, count):
    """(B, h, w, N, 3) midpoints of rays along z."""
    x, y, z = ((2 * torch.arange(n, dtype=torch.float64) + 1) / n - 1 for n in (grid[1], grid[0], count))
    y, x, z = torch.meshgrid(y, x, z, indexing="ij")
    return torch.stack([x, y, z], -1).expand(samples, *grid, count, 3)


def plain_planes(objective, maps, size):
    """Planes of encoder maps, layer by layer, in evaluation mode."""
    inputs = torch.cat([F.interpolate(one, size, mode="bilinear", align_corners=False) for one in maps], 1)
    convolutions = [layer for layer in objective.encoder.modules() if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in objective.encoder.modules() if isinstance(layer, nn.BatchNorm2d)]
    for convolution, norm in zip(convolutions, norms, strict=True):
        inputs = F.conv2d(inputs, convolution.weight, padding=1)
        inputs = F.batch_norm(inputs, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5).relu()
    return torch.stack(inputs.chunk(3, 1), 1)


def plain_maps(objective, planes, grid, points=None, offsets=None):
    """Rendered maps at the render grid, along z unless `points` say otherwise."""
    count = objective.volume.samples
    points = straight_points(len(planes), grid, count) if points is None else points
    maps, _ = reference_render(objective.volume, planes, points, 2 / count, offsets)
    if "normals" in maps:
        maps["normals"] = maps["normals"] / maps["normals"].norm(dim=1, keepdim=True)
    return maps


def plain_loss(task, prediction, target):
    """A task's loss at the label's size, as the papers write it."""
    prediction = F.interpolate(prediction, target.shape[-2:], mode="bilinear", align_corners=False)
    if task == "semseg":
        return F.cross_entropy(prediction, target, ignore_index=255)
    if task == "edges":
        keep = target != 255
        y, p = target[keep], prediction.sigmoid()[keep]
        rare, usual = (torch.tensor(share).double() for share in (0.95, 0.05))  # which are single numbers
        return -(rare * y * p.log() + usual * (1 - y) * (1 - p).log()).mean()
    if task == "depth":
        keep = target > 0
        return (prediction - target).abs()[keep].mean()
    keep = (target != 0).any(1, keepdim=True).expand_as(target)
    return (F.normalize(prediction, dim=1) - target).abs()[keep].mean()
