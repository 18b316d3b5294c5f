"""Depth learnt from neighbouring frames beside supervised tasks (DenseMTL, section 4.4 and appendix B.2; table 5).

The paper takes the method from Hoyer et al. (CVPR 2021) and Godard et al. (ICCV 2019): a disparity and the motion of
the camera are right if the frames before and after, warped by them, look like this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtlrepro import collective
from mtlrepro.data.sample import Batch, restored, scaled
from mtlrepro.data.surface import CAMERAS
from mtlrepro.data.warp import back_project, inverse_motion, warp
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.layers import resize
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.pose import POSES, PoseNetwork
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.objectives.multi_scale import MultiScale
from mtlrepro.objectives.numbers import check_numbers, check_positive
from mtlrepro.objectives.photometric import least_error, photometric_error, smoothness, still_errors, without_ties
from mtlrepro.tasks.base import Task, full_precision

DEPTH = "depth"
"""The task that is learnt from frames; all others are supervised."""

LOSS = "disparity"
"""Its loss, which says that the network's output is a disparity in (0, 1)."""

SMOOTHNESS = 1e-3
"""Weight of the smoothness of a disparity at full resolution."""


class Footage(NamedTuple):
    """What the frames of a batch tell about depth.

    Attributes:
        target: (B, 3, H, W) this frame, RGB in [0, 1].
        frames: (B, 2, 3, H, W) the frames before and after.
        motions: camera coordinates of this frame to those of each of the two, (B, 4, 4).
        camera: (B, 3, 3) intrinsics of all three.
        still: (B, 2, H, W) photometric errors of the two frames as they are.
    """

    target: Tensor
    frames: Tensor
    motions: Sequence[Tensor]
    camera: Tensor
    still: Tensor


class Found(NamedTuple):
    """The loss of one disparity map and what it is made of, all scalars."""

    loss: Tensor
    photometric: Tensor
    smoothness: Tensor
    automask: Tensor


class SelfSupervised(MultiScale):
    """w_depth · mean over stages of (photometric + 10⁻³ / 2ˢ · smoothness), and `MultiScale` for all other tasks.

    The network predicts disparities in (0, 1) at stage 0 and at any further stages s, of 1/2ˢ of the resolution. For
    the photometric loss each is brought to full size (bilinear, half-pixel centres), turned into metres and used to
    warp the frames before and after at full resolution; the least error of both, and of both as they are, counts
    (`mtlrepro.objectives.photometric`). Smoothness is that of the disparity at its own resolution, against the
    picture averaged over the same areas (the public reference implementation shrinks it by a Lanczos filter).

    A pose network sees two frames in the order of time; for the frame before this one its motion is turned round.
    It is trained with the network and vanishes at inference. The noise that breaks ties is drawn for every stage.

    The camera follows the rule by which the dataset makes normals of depth (`DatasetInfo.surface`): "released" is the
    public implementation's, whose focal lengths are those of the full-resolution picture. Otherwise it is the true one.

    Args:
        tasks: see `Objective`; with "depth", whose loss is "disparity".
        weights: see `Objective`.
        features: see `Objective`.
        pose: key of `mtlrepro.models.pose.POSES`.
        pose_weights: pinned timm tag of the pose network's initial weights, None for random ones.
        pose_lr_factor: the pose network's learning rate as a multiple of the recipe's.
        feature_weight: weight of the L2 distance between the encoder's last map of the whole batch and that of the
            one run that the spec then needs.

    Raises:
        SpecError: for an unknown name, a number out of range, or without a task "depth" of loss "disparity".
        DataError: if the pose network's weights cannot be found or do not fit.
    """

    refused: ClassVar[frozenset[str]] = frozenset()
    prerequisite: ClassVar[str] = "neighbouring frames, and a network whose depth ends in a sigmoid"

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        pose: str = "resnet18",
        pose_weights: str | None = None,
        pose_lr_factor: float = 1.0,
        feature_weight: float = 0.0,
    ):
        super().__init__(tasks, weights, features)
        check_numbers(feature_weight=feature_weight)
        check_positive(pose_lr_factor=pose_lr_factor)
        if pose not in POSES:
            raise unknown("pose network", pose, POSES, field="objective.options.pose")
        if DEPTH not in tasks or tasks[DEPTH].loss_name != LOSS:
            mend = f"Predict {DEPTH!r}, and choose loss {LOSS!r} for it"
            raise SpecError("depth is learnt from frames as a disparity", field="objective.losses", mend=mend)
        self.pose_lr_factor, self.feature_weight = pose_lr_factor, feature_weight
        self.pose = PoseNetwork(POSES[pose])
        if pose_weights is not None:
            self.pose.load(pose_weights)
        self.origins: list[nn.Module] = []  # a plain list: they are neither trained nor checkpointed
        self.looked_at = False

    def adopt(self, teachers: Sequence[nn.Module]) -> None:
        """Take the run whose features the encoder is to stay near, in evaluation mode.

        Raises:
            SpecError: unless there is one where `feature_weight` is above 0, and none where it is 0.
        """
        if not self.feature_weight:
            return super().adopt(teachers)
        if len(teachers) != 1:
            mend = "Name in `needs` the one run whose encoder's features count, or leave feature_weight at 0"
            raise SpecError(f"a distance of features takes 1 other run, got {len(teachers)}", field="needs", mend=mend)
        self.origins = [teacher.eval() for teacher in teachers]

    def groups(self) -> list[Group]:
        """The pose network."""
        return [Group(list(self.pose.parameters()), self.pose_lr_factor)]

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        """The losses of one step.

        Terms are those of `MultiScale` for the supervised tasks; `"final/depth"` and `"<stage>/depth"`, what counts of
        each disparity; `"photometric/depth"` and `"smoothness/depth"`, unweighted means over the stages;
        `"automask/depth"`, the share of pixels that are not masked at stage 0; and `"features"`, where it is weighted.

        Raises:
            SpecError: if the batch lacks frames or a camera, the network gives no disparity, or a supervised task's
                prediction has no target.
        """
        footage = self.footage(batch)
        outputs = model(batch.image)
        disparities = self.disparities(outputs)
        found = {stage: self.compare(disparity, footage) for stage, disparity in disparities.items()}
        supervised = self.supervised(outputs, batch)
        losses, photometric, smooth, automask = (list(values) for values in zip(*found.values(), strict=True))
        share = self.weights[DEPTH] * torch.stack(losses).mean()
        terms = supervised.terms | {f"{stage}/{DEPTH}": one.loss.detach() for stage, one in found.items()}
        terms |= {
            f"photometric/{DEPTH}": torch.stack(photometric).detach().mean(),
            f"smoothness/{DEPTH}": torch.stack(smooth).detach().mean(),
            f"automask/{DEPTH}": automask[0],
        }
        tasks = supervised.tasks | {DEPTH: share}
        together = replace(supervised, total=supervised.total + share, terms=terms, tasks=tasks)
        if not self.feature_weight:
            return together
        distance = self.feature_distance(outputs, batch.image)
        return together.plus(self.feature_weight * distance, {"features": distance.detach()})

    def supervised(self, outputs: Outputs, batch: Batch) -> Losses:
        """The losses of all tasks but depth; 0 if there are none."""
        apart = Outputs(_without_depth(outputs.final), {s: _without_depth(p) for s, p in outputs.stages.items()})
        if not apart.final and not any(apart.stages.values()):
            return Losses(batch.image.new_zeros(()), {})
        return self.losses(apart, batch)

    def disparities(self, outputs: Outputs) -> dict[str, Tensor]:
        """Disparities (B, 1, h, w) by stage, "final" first, in float32 at least.

        Raises:
            SpecError: if there is no final one, or the first batch shows that they are not in [0, 1].
        """
        mend = f"Use an architecture whose decoder ends in a sigmoid for {DEPTH!r} (option `sigmoid`)"
        if DEPTH not in outputs.final:
            raise SpecError("the network gives no disparity", field="final", mend=mend)
        predicted = {stage: p[DEPTH] for stage, p in outputs.stages.items() if DEPTH in p}
        maps = {stage: full_precision(p) for stage, p in {"final": outputs.final[DEPTH], **predicted}.items()}
        if not self.looked_at:  # once, because the host waits for a GPU
            for stage, disparity in maps.items():
                low, high = (float(bound) for bound in torch.aminmax(disparity.detach()))
                if low < 0 or high > 1:
                    problem = f"the network gives no disparity in [0, 1], but values from {low:.3g} to {high:.3g}"
                    raise SpecError(problem, field=f"{stage}/{DEPTH}", mend=mend)
            self.looked_at = True
        return maps

    def footage(self, batch: Batch) -> Footage:
        """What the frames of a batch tell about depth.

        Raises:
            SpecError: if the batch lacks frames or a camera, its frames are not two, or it does not say how its images
                were normalised.
        """
        if not batch.normalise:
            mend = "Use the package's loader, or give the batch the name of what was done to its images"
            raise SpecError("the batch does not say how its images are normalised", field="batch.normalise", mend=mend)
        target, camera = restored(batch.image, batch.normalise), self.camera(batch)
        frames = scaled(_wanted(batch, "frames"))
        if frames.shape[1:] != (2, *target.shape[1:]):
            problem = f"frames are {tuple(frames.shape)}, images {tuple(target.shape)}"
            raise SpecError(problem, field="batch.geometry.frames", mend="Give the frame before and the one after")
        before, after = frames.unbind(1)
        motions = [inverse_motion(self.pose(before, target)), self.pose(target, after)]
        return Footage(target, frames, motions, camera, still_errors(frames, target))

    def camera(self, batch: Batch) -> Tensor:
        """(B, 3, 3) intrinsics that depth is learnt with."""
        info, intrinsics = self.tasks[DEPTH].info, _wanted(batch, "intrinsics")
        if not info.surface:
            return intrinsics
        return CAMERAS[info.surface](intrinsics, _wanted(batch, "placement"), info.full_size)

    def compare(self, disparity: Tensor, footage: Footage) -> Found:
        """The loss of disparities (B, 1, h, w) of one stage."""
        size = footage.target.shape[-2:]
        points = back_project(self.tasks[DEPTH].decode(resize(disparity, size)), footage.camera)
        errors = [
            photometric_error(warp(frame, points, footage.camera, motion), footage.target)
            for frame, motion in zip(footage.frames.unbind(1), footage.motions, strict=True)
        ]
        photometric, automask = least_error(torch.cat(errors, 1), without_ties(footage.still))
        smooth = smoothness(disparity, F.interpolate(footage.target, size=disparity.shape[-2:], mode="area"))
        share = disparity.shape[-2] / size[0]
        return Found(photometric + SMOOTHNESS * share * smooth, photometric, smooth, automask)

    def feature_distance(self, outputs: Outputs, image: Tensor) -> Tensor:
        """The length of the difference of two encoders' last maps of the whole batch, as of one vector.

        Raises:
            SpecError: if there is nothing to compare, or the maps are not of one shape.
        """
        if not self.origins:
            raise SpecError("no run was adopted", field="needs", mend="Name one, or leave feature_weight at 0")
        with torch.no_grad():
            known = self.origins[0].get_submodule("backbone")(image)[-1]
        shapes = [tuple(maps.shape) for maps in (*outputs.features[-1:], known)]
        if len(set(shapes)) != 1 or not outputs.features:
            raise SpecError(f"last encoder maps are {shapes}", field="features", mend="Use one backbone in both runs")
        return collective.norm(full_precision(outputs.features[-1]) - full_precision(known))


def _without_depth(predictions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {task: maps for task, maps in predictions.items() if task != DEPTH}


def _wanted(batch: Batch, key: str) -> Tensor:
    if key not in batch.geometry:
        mend = "Use a dataset that gives neighbouring frames and their camera, such as 'drives' with frames=True"
        raise SpecError("depth is learnt from frames, and the batch has none of this", field=key, mend=mend)
    return batch.geometry[key]
