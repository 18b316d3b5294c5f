"""MTI-Net (Vandenhende et al., ECCV 2020): task interaction at several scales.

What the paper leaves open follows the public reference implementation: the feature propagation module reads the initial
task features, not the distilled ones, and none works at the finest scale. Ablations that were published as numbers only
are derived: without the module a head sees the backbone's map alone; with fewer scales the coarsest kept one starts the
propagation. On an FPN (not released) all is as on HRNet but for the widths and the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from mtlrepro.errors import SpecError
from mtlrepro.models.base import Backbone
from mtlrepro.models.distillation import Distillation
from mtlrepro.models.fpm import FeaturePropagation
from mtlrepro.models.heads import task_head
from mtlrepro.models.layers import basic_block, resize
from mtlrepro.models.outputs import Outputs


class InitialHeads(nn.Module):
    """The front-end at one scale: two basic blocks and a 1x1 prediction per task (sections 2.3 and 3.1).

    Args:
        tasks: front-end tasks.
        backbone: channels of the backbone's map at this scale.
        coarser: channels of the features that the next coarser scale passes on to each task, 0 for none.
        width: channels of a task's features.
        channels: output channels of every task.
    """

    def __init__(self, tasks: Sequence[str], backbone: int, coarser: int, width: int, channels: Mapping[str, int]):
        super().__init__()
        inputs = backbone + coarser
        self.features = nn.ModuleDict(
            {task: nn.Sequential(basic_block(inputs, width), basic_block(width, width)) for task in tasks}
        )
        self.predictions = nn.ModuleDict({task: nn.Conv2d(width, channels[task], 1) for task in tasks})

    def forward(
        self, backbone: Tensor, coarser: Mapping[str, Tensor] | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Task features (B, width, h, w) and initial predictions (B, C_task, h, w) at the size of `backbone`."""
        features = {}
        for task, blocks in self.features.items():
            inputs = backbone
            if coarser is not None:
                inputs = torch.cat([backbone, resize(coarser[task], backbone.shape[-2:])], dim=1)
            features[task] = blocks(inputs)
        return features, {task: predict(features[task]) for task, predict in self.predictions.items()}


class MTINet(nn.Module):
    """Multi-scale multi-modal distillation with feature propagation and aggregation (figure 1, right).

    From the coarsest kept scale to the finest: initial heads see the backbone's map and, per task, what the feature
    propagation module passed on from the next coarser kept scale, resized. Then, at each scale by itself, distillation
    (equation 1), and per main task a head of the backbone's family over the distilled features of all kept scales. A
    task's features are as wide as the backbone's map at their scale, or as the backbone says (an FPN's maps are wider).

    Dropping a scale removes its heads, propagation, distillation and share in the aggregation; the backbone stays
    whole, so that some layers of its last fusion feed nothing and get no gradient.

    Args:
        backbone: the shared encoder.
        main: tasks with a final prediction.
        aux: tasks with initial predictions, the main ones among them, in order of concatenation.
        channels: output channels of every task.
        scales: which scales to use, 0 the finest: a number n for the finest n, or increasing indices that start at 0,
            such as (0, 2, 3).
        fpm: whether features propagate between scales.
        fpm_reduction: channel reduction inside the propagation module; 1 leaves f unreduced.
        fpm_softmax: axis of its attention, "channels" or "tasks" (see `FeaturePropagation`).
        widths: channels of a task's features at every kept scale, finest first, in place of the backbone's.

    Raises:
        SpecError: for `scales` the backbone does not have or that leave out the finest, for other than one width of at
            least 1 a kept scale, and for bad module options.
    """

    front_end: ClassVar[bool] = True

    def __init__(
        self,
        backbone: Backbone,
        main: Sequence[str],
        aux: Sequence[str],
        channels: Mapping[str, int],
        *,
        scales: int | Sequence[int] = 4,
        fpm: bool = True,
        fpm_reduction: int = 4,
        fpm_softmax: str = "channels",
        widths: Sequence[int] = (),
    ):
        super().__init__()
        self.backbone = backbone
        self.scales = _kept_scales(scales, len(backbone.channels))
        usual = getattr(backbone, "task_widths", backbone.channels)
        widths = _checked_widths(widths, len(self.scales)) or [usual[s] for s in self.scales]
        self.initial, self.fpm, self.distillation = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for position, (scale, width) in enumerate(zip(self.scales, widths, strict=True)):
            coarser = widths[position + 1] if fpm and scale != self.scales[-1] else 0
            self.initial[str(scale)] = InitialHeads(aux, backbone.channels[scale], coarser, width, channels)
            if fpm and position > 0:
                self.fpm[str(scale)] = FeaturePropagation(aux, width, reduction=fpm_reduction, softmax=fpm_softmax)
            self.distillation[str(scale)] = Distillation(main, aux, width)
        self.heads = nn.ModuleDict({task: task_head(backbone, channels[task], widths, self.scales) for task in main})

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W).

        Stages `"scale_0"` (stride 4) to `"scale_3"` (stride 32), the kept ones, hold every front-end task's initial
        prediction at that scale.
        """
        maps = self.backbone(image)
        features, stages = {}, {}
        coarser: dict[str, Tensor] | None = None
        for scale in reversed(self.scales):
            features[scale], stages[scale] = self.initial[str(scale)](maps[scale], coarser)
            if str(scale) in self.fpm:
                coarser = self.fpm[str(scale)](features[scale])
        distilled = [self.distillation[str(scale)](features[scale]) for scale in self.scales]
        final = {
            task: resize(head([at_scale[task] for at_scale in distilled]), image.shape[-2:])
            for task, head in self.heads.items()
        }
        return Outputs(final, stages={f"scale_{s}": stages[s] for s in self.scales}, features=maps)


def _kept_scales(scales: int | Sequence[int], available: int) -> tuple[int, ...]:
    kept = tuple(range(scales)) if type(scales) is int else tuple(scales) if isinstance(scales, Sequence) else ()
    known = set(range(available))
    if not kept or kept[0] != 0 or not set(kept) <= known or list(kept) != sorted(set(kept)):
        mend = f"Give a number from 1 to {available}, or increasing indices below {available} that start at 0"
        raise SpecError(f"cannot keep scales {scales!r} of a backbone with {available}", field="scales", mend=mend)
    return kept


def _checked_widths(widths: Sequence[int], scales: int) -> Sequence[int]:
    fits = isinstance(widths, Sequence) and len(widths) in (0, scales)
    if not fits or not all(type(width) is int and width > 0 for width in widths):
        mend = f"Give {scales} positive integers, finest scale first, or leave it out for the backbone's"
        raise SpecError(f"cannot build features of widths {widths!r}", field="widths", mend=mend)
    return widths
