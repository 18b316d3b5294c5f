"""PAD-Net (Xu et al., CVPR 2018), as the MTI-Net paper (ECCV 2020) rebuilds it on a multi-scale backbone.

Facts that neither paper prints come from the public reference implementation of MTI-Net: the joined HRNet maps keep
their number of channels (270 for HRNet-18), and heads are pairs of bottlenecks of 256 channels. Initial predictions
stay at stride 4; how they meet their labels is up to the objective.

On an FPN, which the MTI-Net paper compares on and does not describe (Table S3), the finest map is used as it is; what
smooths the pyramid's other maps is counted and never learnt then.

DenseMTL (WACV 2023, section 4.1) compares against the same network on a dilated ResNet-101. There, as its public
reference implementation shows, everything happens at the resolution of the backbone's last map, which is used as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.base import Backbone
from mtlrepro.models.distillation import Distillation
from mtlrepro.models.heads import HRNetFuse
from mtlrepro.models.layers import bottleneck, resize
from mtlrepro.models.outputs import Outputs


class OneMap(nn.Module):
    """Takes one of a backbone's maps as it is.

    Args:
        widths: channels of the maps, finest first.
        index: which map.

    Attributes:
        channels: width of the result.
    """

    def __init__(self, widths: Sequence[int], index: int):
        super().__init__()
        self.channels, self.index = widths[index], index

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(B, channels, h, w) at the size of that map."""
        return maps[self.index]


MAPS: dict[str, Callable[[Sequence[int]], HRNetFuse | OneMap]] = {
    "fused": HRNetFuse,
    "first": partial(OneMap, index=0),
    "last": partial(OneMap, index=-1),
}


class PADNet(nn.Module):
    """Initial predictions, distillation between their features, final predictions.

    Args:
        backbone: the shared encoder.
        main: tasks with a final prediction.
        aux: tasks with an initial prediction, the main ones among them.
        channels: output channels of every task.
        width: channels of a task's features, a multiple of 4; the bottlenecks inside are a quarter as wide.
        maps: what the initial heads read: "fused", all maps of the backbone joined at the finest scale, or its "first"
            or "last" map alone.

    Raises:
        SpecError: for a `width` that is not a positive multiple of 4 and for an unknown choice of `maps`.
    """

    front_end: ClassVar[bool] = True

    def __init__(
        self,
        backbone: Backbone,
        main: Sequence[str],
        aux: Sequence[str],
        channels: Mapping[str, int],
        *,
        width: int = 256,
        maps: str = "fused",
    ):
        super().__init__()
        if not isinstance(width, int) or width < 4 or width % 4:
            raise SpecError(f"cannot build features of width {width!r}", field="width", mend="Give a multiple of 4")
        if maps not in MAPS:
            raise unknown("choice of maps", maps, MAPS, field="maps")
        self.backbone = backbone
        self.fuse = MAPS[maps](backbone.channels)
        self.initial_features = nn.ModuleDict({task: self._blocks(self.fuse.channels, width) for task in aux})
        self.initial_predictions = nn.ModuleDict({task: nn.Conv2d(width, channels[task], 1) for task in aux})
        self.distillation = Distillation(main, aux, width)
        self.heads = nn.ModuleDict(
            {task: nn.Sequential(self._blocks(width, width), nn.Conv2d(width, channels[task], 1)) for task in main}
        )

    @staticmethod
    def _blocks(inputs: int, width: int) -> nn.Sequential:
        return nn.Sequential(bottleneck(inputs, width), bottleneck(width, width))

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W); stage `"initial"` holds every front-end task at its own stride.

        That is 4 for joined maps of an HRNet and the first of an FPN, 16 for the last of a ResNet of output stride 16.
        """
        maps = self.backbone(image)
        fused = self.fuse(maps)
        features = {task: blocks(fused) for task, blocks in self.initial_features.items()}
        initial = {task: predict(features[task]) for task, predict in self.initial_predictions.items()}
        distilled = self.distillation(features)
        final = {task: resize(head(distilled[task]), image.shape[-2:]) for task, head in self.heads.items()}
        return Outputs(final, stages={"initial": initial}, features=maps)
