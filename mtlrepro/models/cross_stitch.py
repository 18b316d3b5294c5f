"""Cross-stitch networks (Misra et al., CVPR 2016): a network a task, whose maps are mixed after every stage.

As in the public code of MTI-Net's authors, which their survey (Vandenhende et al., TPAMI 2021) compares with: dilated
ResNets with DeepLab heads, a unit after each of the four stages, the first of which has the stem in it. Every task's
network starts from the one that was trained for its task alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtlrepro.errors import SpecError
from mtlrepro.models.deeplab import deeplab_head
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.resnet import STAGES, STEM, ResNet, check_size

if TYPE_CHECKING:
    from mtlrepro.models.weights import WeightsReport


class CrossStitchUnit(nn.Module):
    """out_i = Σ_j a_ij ⊙ x_j: every task's map is a sum of all tasks' maps, each scaled channel by channel.

    Args:
        tasks: number of tasks T.
        channels: channels C of every task's map.
        alpha: start of a_ii, a task's share of its own map.
        beta: start of a_ij, j ≠ i, its share of each of the other maps.

    Attributes:
        scales: a, (T, T, C): task that gets, task that gives, channel.
    """

    def __init__(self, tasks: int, channels: int, alpha: float, beta: float):
        super().__init__()
        shares = torch.full((tasks, tasks), float(beta)).fill_diagonal_(alpha)
        self.scales = nn.Parameter(shares[:, :, None].repeat(1, 1, channels))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """T maps (B, C, h, w) of T maps (B, C, h, w), in the same order."""
        return [self._mixed(row, maps) for row in self.scales[..., None, None].unbind()]

    @staticmethod
    def _mixed(row: Tensor, maps: Sequence[Tensor]) -> Tensor:
        mixed = row[0] * maps[0]
        for scale, one in zip(row[1:], maps[1:], strict=True):
            mixed = torch.addcmul(mixed, scale, one)
        return mixed


class StitchedResNets(nn.Module):
    """A ResNet a task with a cross-stitch unit after every stage, as one backbone.

    Args:
        backbone: a ResNet of any output stride, which every task gets a copy of, its weights and all.
        tasks: their names.
        alpha: see `CrossStitchUnit`.
        beta: see `CrossStitchUnit`.

    Attributes:
        channels: width of every map, finest first: that of one ResNet times the number of tasks.
        strides: of one ResNet.
        weights_report: which pretrained weights every copy started from, None for random initialisation.

    Raises:
        SpecError: for a backbone of another family.
    """

    def __init__(self, backbone: ResNet, tasks: Sequence[str], alpha: float, beta: float):
        super().__init__()
        if not isinstance(backbone, ResNet):
            problem = f"cross-stitch units stand between the stages of ResNets, got {type(backbone).__name__}"
            mend = "Name 'resnet50_os8', 'resnet18_os8', 'resnet_nano' or another ResNet"
            raise SpecError(problem, field="model.backbone", mend=mend)
        first, *others = tasks
        self.encoders = nn.ModuleDict({first: backbone, **{task: copy.deepcopy(backbone) for task in others}})
        widths = backbone.channels[-len(STAGES) :]
        self.units = nn.ModuleDict(
            {
                stage: CrossStitchUnit(len(tasks), width, alpha, beta)
                for stage, width in zip(STAGES, widths, strict=True)
            }
        )
        self.channels = tuple(len(tasks) * width for width in widths)
        self.strides = backbone.strides[-len(STAGES) :]
        self.weights_report: WeightsReport | None = backbone.weights_report

    def stages(self, image: Tensor) -> list[list[Tensor]]:
        """What the units give for an image (B, 3, H, W): of every stage, finest first, the map of every task.

        Raises:
            SpecError: if H or W is not a multiple of 32.
        """
        check_size(image)
        maps, found = [image] * len(self.encoders), []
        for name in STEM + STAGES:
            maps = [encoder.get_submodule(name)(one) for encoder, one in zip(self.encoders.values(), maps, strict=True)]
            if name in self.units:
                maps = self.units[name](maps)
                found.append(maps)
        return found

    def forward(self, image: Tensor) -> list[Tensor]:
        """Four maps (B, channels[s], H / strides[s], W / strides[s]): of every stage, those of all tasks joined."""
        return [torch.cat(maps, 1) for maps in self.stages(image)]


class CrossStitch(nn.Module):
    """The multi-task network: the units and, for every task, a `mtlrepro.models.deeplab.SingleDeepLab`.

    A run of it that `start`s from its `needs` takes one run of `PARTS` a task (`mtlrepro.engine.begin`).

    Args:
        backbone: a ResNet of output stride 8; every task gets a copy.
        main: the tasks.
        channels: output channels of every task.
        alpha: start of a task's share of its own map: 0.9 on NYUD-v2 (two tasks), 0.8 on PASCAL-Context (five).
        beta: start of its share of each of the others, by default what `alpha` leaves, in equal parts: the published
            0.1 and 0.05.
        unit_lr_factor: learning rate of the units as a multiple of the recipe's. The public code means it to be 100 and
            overwrites that with its schedule before the first step: 1 is what it does in effect. They are part of the
            backbone, and frozen with it.
        width: channels inside the heads.
        aligned: how predictions are resized, with aligned corners or (published) with half-pixel centres.

    Raises:
        SpecError: for a single task, a backbone that is no ResNet, a width below 1, or numbers that are not finite.
    """

    front_end: ClassVar[bool] = False

    PARTS: ClassVar[str] = "deeplab_single"
    """Architecture key of a task's network; its options have the same names here."""

    def __init__(
        self,
        backbone: ResNet,
        main: Sequence[str],
        channels: Mapping[str, int],
        *,
        alpha: float = 0.9,
        beta: float | None = None,
        unit_lr_factor: float = 1.0,
        width: int = 256,
        aligned: bool = False,
    ):
        super().__init__()
        if len(main) < 2:
            mend = f"Name two or more tasks, or choose architecture {self.PARTS!r}"
            raise SpecError(f"a cross-stitch unit needs other tasks, got {tuple(main)}", field="model.main", mend=mend)
        _check_number("alpha", alpha)
        beta = (1 - alpha) / (len(main) - 1) if beta is None else beta
        _check_number("beta", beta)
        _check_number("unit_lr_factor", unit_lr_factor, least=0.0)
        self.aligned, self.unit_lr_factor = aligned, unit_lr_factor
        self.backbone = StitchedResNets(backbone, main, alpha, beta)
        self.heads = nn.ModuleDict({task: deeplab_head(backbone.channels[-1], channels[task], width) for task in main})

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W), resized bilinearly.

        There are no intermediate stages; `features` are the maps of all tasks joined, as the backbone gives them.
        """
        stages = self.backbone.stages(image)
        size = image.shape[-2:]
        final = {
            task: F.interpolate(head(maps), size=size, mode="bilinear", align_corners=self.aligned)
            for (task, head), maps in zip(self.heads.items(), stages[-1], strict=True)
        }
        return Outputs(final, features=[torch.cat(maps, 1) for maps in stages])

    def part(self, task: str) -> nn.Module:
        """A task's own network as a view: named like a network of `PARTS`, with the very tensors of this one."""
        heads = nn.ModuleDict({task: self.heads[task]})
        return nn.ModuleDict({"backbone": self.backbone.encoders[task], "heads": heads})

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """Parameters that learn at a rate of their own, with that as a multiple of the recipe's: the units."""
        return [(list(self.backbone.units.parameters()), self.unit_lr_factor)]


def _check_number(name: str, value: float, least: float = -math.inf) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < least:
        mend = "Give a finite number" if least == -math.inf else f"Give a finite number of at least {least:g}"
        raise SpecError(f"cannot be {value!r}", field=name, mend=mend)
