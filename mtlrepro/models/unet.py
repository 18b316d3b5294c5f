"""The task decoder of 3-ways and DenseMTL: atrous pyramid, then a U-Net with side predictions (WACV 2023, section 3.2).

The paper borrows it from Hoyer et al. (CVPR 2021) and prints no layer of it; the layers are those of the public
reference implementation. Decoder stages 4, 3, 2, 1, 0 work at 1/16, 1/8, 1/4, 1/2 and 1/1 of the image's resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.deeplab import AtrousPyramid

STAGES = (4, 3, 2, 1, 0)
"""Stages in the order in which they run."""

WIDTHS = (64, 128, 128, 256, 256)
"""Published channels of the stages, stage 0 first."""

RATES = (6, 12, 18)


def reflect_conv(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution with bias that keeps the resolution, the border padded by reflection."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")


def conv_elu(inputs: int, outputs: int) -> nn.Sequential:
    """Reflection-padded 3x3 convolution and ELU, without batch norm."""
    return nn.Sequential(reflect_conv(inputs, outputs), nn.ELU(inplace=True))


class Decoder(nn.Module):
    """One task's decoder, run stage by stage so that tasks can meet in between.

    Stage 4 is an atrous pyramid of the last map, every other stage starts with a convolution of the stage before it.
    Where that is coarser than the stage's skip map, and always at stage 0, its pixels are repeated twice in height and
    width. The skip map is concatenated behind it (stage 0 has none), and a second convolution follows.

    Args:
        inputs: channels of the encoder's five maps, finest first; stage s > 0 reads map s - 1.
        outputs: channels of a prediction.
        sides: stages with a prediction, 0 among them.
        widths: channels of the stages, stage 0 first.
        sigmoid: predictions are a reflection-padded 3x3 convolution and a sigmoid, in (0, 1), as self-supervised
            disparity needs; else a 1x1 convolution.

    Raises:
        SpecError: for a backbone with other than five maps, widths that are not five positive numbers, and sides that
            are no stages or miss stage 0.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        outputs: int,
        sides: Sequence[int],
        widths: Sequence[int] = WIDTHS,
        sigmoid: bool = False,
    ):
        super().__init__()
        _check(inputs, sides, widths)
        before = dict(zip((3, 2, 1, 0), widths[:0:-1], strict=True))
        skips = dict(zip(STAGES, (*inputs[3::-1], 0), strict=True))
        self.start = nn.ModuleDict({"4": AtrousPyramid(inputs[4], widths[4], RATES)})
        self.start.update({str(stage): conv_elu(before[stage], widths[stage]) for stage in STAGES[1:]})
        self.join = nn.ModuleDict({str(s): conv_elu(widths[s] + skips[s], widths[s]) for s in STAGES})

        def side(width: int) -> nn.Module:
            return (
                nn.Sequential(reflect_conv(width, outputs), nn.Sigmoid()) if sigmoid else nn.Conv2d(width, outputs, 1)
            )

        self.sides = nn.ModuleDict({str(stage): side(widths[stage]) for stage in sides})

    def run(self, stage: int, maps: Sequence[Tensor], features: Tensor | None = None) -> Tensor:
        """Features (B, widths[stage], h, w) of one stage.

        Args:
            stage: the stage.
            maps: the encoder's five maps, finest first.
            features: what stage + 1 gave, refined or not; None for stage 4, which reads the last map.
        """
        features = self.start[str(stage)](maps[-1] if features is None else features)
        skip = [maps[stage - 1]] if stage else []
        if not skip or features.shape[-1] < skip[0].shape[-1]:
            features = F.interpolate(features, scale_factor=2, mode="nearest")
        return self.join[str(stage)](torch.cat([features, *skip], dim=1))

    def predict(self, stage: int, features: Tensor) -> Tensor:
        """(B, outputs, h, w), at their own resolution, of the features (B, widths[stage], h, w) of a side's stage."""
        return self.sides[str(stage)](features)


class TaskDecoders(nn.ModuleDict):
    """One independent decoder a task, which run stage by stage, so that a stage's features of all tasks can meet.

    Args:
        inputs: channels of the encoder's five maps, finest first.
        tasks: the tasks, in their order.
        channels: channels of every task's predictions.
        widths: channels of the stages, stage 0 first.
        default: stages beside 0 at which a task has a prediction.
        sides: (task, stages) pairs for the tasks where these are others.
        sigmoid: tasks whose predictions are in (0, 1).

    Raises:
        SpecError: for a task in `sides` or `sigmoid` that is not among `tasks`, and where `Decoder` raises it.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        tasks: Sequence[str],
        channels: Mapping[str, int],
        widths: Sequence[int],
        default: Sequence[int],
        sides: Sequence[tuple[str, Sequence[int]]] = (),
        sigmoid: Sequence[str] = (),
    ):
        for field, named in (("sides", [task for task, _ in sides]), ("sigmoid", sigmoid)):
            for task in named:
                if task not in tasks:
                    raise unknown("task", task, tasks, field=field)
        stages = {task: (*default, 0) for task in tasks} | {task: (*others, 0) for task, others in sides}
        super().__init__({t: Decoder(inputs, channels[t], stages[t], widths, t in sigmoid) for t in tasks})

    def forward(
        self, maps: Sequence[Tensor], exchange: Mapping[int, Callable[[dict[str, Tensor]], dict[str, Tensor]]]
    ) -> dict[str, dict[str, Tensor]]:
        """Every task's predictions.

        Args:
            maps: the encoder's five maps, finest first.
            exchange: stage -> what refines the features (B, widths[stage], h, w) of all tasks after that stage. A
                stage's predictions are made of its features before they are refined.

        Returns:
            "stage4" … "stage0" -> task -> prediction, for stages that have any; stage 0's are the final ones.
        """
        features: dict[str, Tensor] = {}
        predictions: dict[str, dict[str, Tensor]] = {}
        for stage in STAGES:
            for task, module in self.items():
                decoder = cast(Decoder, module)
                features[task] = decoder.run(stage, maps, features.get(task))
                if str(stage) in decoder.sides:
                    predictions.setdefault(f"stage{stage}", {})[task] = decoder.predict(stage, features[task])
            if stage in exchange:
                features = exchange[stage](features)
        return predictions


def _check(inputs: Sequence[int], sides: Sequence[int], widths: Sequence[int]) -> None:
    if len(inputs) != len(STAGES):
        mend = "Name a backbone that delivers its stem too, for example resnet101_os16"
        raise SpecError(f"a backbone with {len(inputs)} maps does not fit", field="model.backbone", mend=mend)
    if len(widths) != len(STAGES) or not all(isinstance(width, int) and width > 0 for width in widths):
        raise SpecError(f"no decoder has widths {tuple(widths)}", field="widths", mend="Give five positive numbers")
    if 0 not in sides or len(set(sides)) < len(sides) or not set(sides) <= set(STAGES):
        mend = "Name stages from 1 to 4 once each; stage 0 always has one"
        raise SpecError(f"no decoder predicts at stages {tuple(sides)}", field="sides", mend=mend)
