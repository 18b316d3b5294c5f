"""DeepLab on a dilated backbone: one atrous spatial pyramid a task (Chen et al., 2017).

JTR (CVPR 2024, section 6.4, table 15) names "DeepLabV3+ with ResNet-50" and describes it no further. This is the
network that multi-task libraries call so: a dilated ResNet-50, and a DeepLabV3 head a task, without low-level branch.
DenseMTL (WACV 2023, section 4.1) has the same heads on a ResNet-101 for its STL and MTL baselines, the authors of
MTI-Net (ECCV 2020) on ResNet-50 and ResNet-18 for the encoder-focused baselines of their public code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtlrepro.errors import SpecError
from mtlrepro.models.base import Backbone
from mtlrepro.models.outputs import Outputs

RATES = (12, 24, 36)
DROPOUT = 0.5


def conv_norm(inputs: int, outputs: int, size: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolution without bias that keeps the resolution, batch norm, ReLU."""
    conv = nn.Conv2d(inputs, outputs, size, padding=dilation * (size // 2), dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class AtrousPyramid(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1, dilated 3x3 convolutions and the image's mean, joined by a 1x1.

    Args:
        inputs: channels of the backbone's last map.
        width: channels of every branch and of the result.
        rates: dilations of the 3x3 convolutions.
    """

    def __init__(self, inputs: int, width: int, rates: Sequence[int] = RATES):
        super().__init__()
        dilated = [conv_norm(inputs, width, 3, rate) for rate in rates]
        self.branches = nn.ModuleList([conv_norm(inputs, width), *dilated])
        self.pooled = conv_norm(inputs, width)
        self.project = nn.Sequential(conv_norm((len(rates) + 2) * width, width), nn.Dropout(DROPOUT))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, width, h, w) of (B, inputs, h, w).

        Raises:
            SpecError: for a single image in training mode, where the batch norm of the image's mean has one value.
        """
        if self.training and len(maps) == 1:
            mend = "Train with at least two images a batch, and a last batch of two or more"
            raise SpecError("the image pooling of DeepLab cannot be normalised", field="recipe.batch", mend=mend)
        mean = self.pooled(maps.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *maps.shape[-2:])
        return self.project(torch.cat([*[branch(maps) for branch in self.branches], mean], dim=1))


def deeplab_head(inputs: int, outputs: int, width: int) -> nn.Sequential:
    """The head of one task: a pyramid, a 3x3 and a 1x1 convolution, from maps (B, inputs, h, w) to (B, outputs, h, w).

    Args:
        inputs: channels of the backbone's last map.
        outputs: channels of the prediction.
        width: channels in between.

    Raises:
        SpecError: for a width below 1.
    """
    if type(width) is not int or width < 1:
        raise SpecError(f"no head has {width!r} channels", field="width", mend="Give a positive integer")
    pyramid = AtrousPyramid(inputs, width)
    return nn.Sequential(pyramid, conv_norm(width, width, 3), nn.Conv2d(width, outputs, 1))


class DeepLab(nn.Module):
    """One shared dilated backbone; a task's head is a pyramid, a 3x3 and a 1x1 convolution.

    Args:
        backbone: the shared encoder; the heads read its last map.
        main: the tasks.
        channels: output channels of every task.
        width: channels inside the heads.
        aligned: how predictions are resized, with aligned corners or with half-pixel centres (DenseMTL).

    Raises:
        SpecError: for a width below 1.
    """

    front_end: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        main: Sequence[str],
        channels: Mapping[str, int],
        *,
        width: int = 256,
        aligned: bool = True,
    ):
        super().__init__()
        self.backbone = backbone
        self.aligned = aligned
        self.heads = nn.ModuleDict({task: deeplab_head(backbone.channels[-1], channels[task], width) for task in main})

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W), resized bilinearly, and the backbone's maps."""
        features = self.backbone(image)
        size = image.shape[-2:]
        final = {
            task: F.interpolate(head(features[-1]), size=size, mode="bilinear", align_corners=self.aligned)
            for task, head in self.heads.items()
        }
        return Outputs(final, features=features)


class SingleDeepLab(DeepLab):
    """A DeepLab of its own for one task, as cross-stitch networks are made of; its checkpoint is that of `DeepLab`.

    Args:
        backbone: the encoder.
        main: the one task.
        channels: output channels of every task.
        width: channels inside the head.
        aligned: see `DeepLab`; by default half-pixel centres, as in the public code of MTI-Net's authors.

    Raises:
        SpecError: for more than one task, and for a width below 1.
    """

    single_task: ClassVar[bool] = True

    def __init__(
        self,
        backbone: Backbone,
        main: Sequence[str],
        channels: Mapping[str, int],
        *,
        width: int = 256,
        aligned: bool = False,
    ):
        if len(main) != 1:
            mend = "Use one spec a task, or architecture 'deeplab'"
            raise SpecError(f"a single-task network cannot predict {tuple(main)}", field="model.main", mend=mend)
        super().__init__(backbone, main, channels, width=width, aligned=aligned)
