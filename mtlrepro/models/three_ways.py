"""3-ways PAD-Net (Hoyer et al., CVPR 2021), as DenseMTL (WACV 2023, section 4.1) rebuilds it for any set of tasks.

Neither paper prints a layer; the layers are those of the public reference implementation of DenseMTL. Hoyer et al. let
the attention masks start at one half everywhere, DenseMTL at random, which is what happens here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from mtlrepro.models.base import Backbone
from mtlrepro.models.distillation import Distillation
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.unet import WIDTHS, TaskDecoders

DISTILLATION_STAGE = 2
"""Stage after which the tasks attend to one another."""


class ThreeWays(nn.Module):
    """One shared backbone, a U-Net decoder a task, PAD-Net's distillation between the decoders at 1/4 resolution.

    Args:
        backbone: the shared encoder, of five maps.
        main: the tasks; a single one has nobody to attend to.
        channels: output channels of every task.
        widths: channels of the decoders' stages, stage 0 first.
        sides: (task, stages) pairs, at which stages beside 0 a task has a prediction; for other tasks that is stage 2.
        sigmoid: tasks whose predictions are in (0, 1), for self-supervised disparity.

    Raises:
        SpecError: for tasks in `sides` and `sigmoid` that are not among `main`, and for a backbone, widths and stages
            that no decoder can have.
    """

    front_end: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        main: Sequence[str],
        channels: Mapping[str, int],
        *,
        widths: Sequence[int] = WIDTHS,
        sides: Sequence[tuple[str, Sequence[int]]] = (),
        sigmoid: Sequence[str] = (),
    ):
        super().__init__()
        self.backbone = backbone
        self.decoders = TaskDecoders(backbone.channels, main, channels, widths, (DISTILLATION_STAGE,), sides, sigmoid)
        self.distillation = Distillation(main, main, widths[DISTILLATION_STAGE])

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W).

        Stage `"stage2"` holds those of features that have not passed the distillation, at stride 4.
        """
        maps = self.backbone(image)
        predictions = self.decoders(maps, {DISTILLATION_STAGE: self.distillation})
        return Outputs(predictions.pop("stage0"), predictions, maps)
