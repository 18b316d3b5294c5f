"""InvPT (Ye and Xu, ECCV 2022): a vision transformer, preliminary decoders, then `mtlrepro.models.up_transformer`.

Sizes and wiring are those of the public reference implementation: its stages have 576, 288 and 144 channels, and the
first gets no map of the encoder, although a layer for it exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from mtlrepro.errors import SpecError
from mtlrepro.models.base import Backbone
from mtlrepro.models.deeplab import conv_norm
from mtlrepro.models.layers import resize
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.up_transformer import HEADS, STAGES, UpTransformer, widths

MAPS = STAGES + 1
"""Maps that are asked of the backbone: one a stage, and the last one for the preliminary decoders."""


class InvPT(nn.Module):
    """The whole network.

    The preliminary decoders work at half of the resolution of the backbone's last map; their features and predictions
    (without activation) are what the transformer stages start from. Its unused layers are kept, since published
    parameter counts include them: `taps[2]`, and in the decoder `norm`, `widen[0]` and `blocks[0].attention.fuse`.

    Args:
        backbone: the shared encoder, of four maps of one stride.
        main: the tasks, in order of concatenation.
        channels: output channels of every task.
        width: channels of the preliminary features.
        prediction_width: channels that the first stage has beside them, for the preliminary predictions.

    Raises:
        SpecError: for a backbone of other maps, and for widths that cannot be halved twice and dealt to two heads.
    """

    front_end: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        main: Sequence[str],
        channels: Mapping[str, int],
        *,
        width: int = 512,
        prediction_width: int = 64,
    ):
        super().__init__()
        if len(backbone.strides) != MAPS or len(set(backbone.strides)) > 1:
            problem = f"InvPT needs {MAPS} maps of one stride, got strides {backbone.strides}"
            raise SpecError(problem, field="model.backbone", mend="Name 'vit_l16', 'vit_b16' or 'vit_nano'")
        divisor, given = HEADS * 2 ** (STAGES - 1), (width, prediction_width)
        whole = all(isinstance(value, int) and not isinstance(value, bool) for value in given)
        if not whole or width < 1 or prediction_width < 0 or sum(given) % divisor:
            problem = f"no stages start from {width!r} + {prediction_width!r} channels"
            raise SpecError(problem, field="width", mend=f"Give widths whose sum is a multiple of {divisor}")
        first = width + prediction_width
        self.backbone = backbone
        deep = backbone.channels[-1]
        self.preliminary = nn.ModuleDict(
            {task: nn.Sequential(conv_norm(deep, deep, 3), conv_norm(deep, width, 3)) for task in main}
        )
        self.predictions = nn.ModuleDict({task: nn.Conv2d(width, channels[task], 1) for task in main})
        self.mix = nn.ModuleDict({task: nn.Conv2d(width + channels[task], first, 1) for task in main})
        self.taps = nn.ModuleList(
            [
                nn.ConvTranspose2d(backbone.channels[0], widths(first)[2], 3, stride=2, padding=1, output_padding=1),
                nn.Conv2d(backbone.channels[1], widths(first)[1], 3, padding=1),
                nn.Conv2d(backbone.channels[2], widths(first)[0], 3, padding=1),
            ]
        )
        self.decoder = UpTransformer(main, first)
        self.heads = nn.ModuleDict({task: _head(first, channels[task]) for task in main})

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W); stage `"initial"` holds those of the preliminary decoders.

        Raises:
            SpecError: if the backbone's maps cannot be halved.
        """
        maps = self.backbone(image)
        height, width = maps[-1].shape[-2:]
        if height % 2 or width % 2:
            mend = f"Choose multiples of {2 * self.backbone.strides[-1]}"
            problem = f"cannot halve maps of {height}x{width}"
            raise SpecError(problem, field="data.size", mend=mend)
        coarse = resize(maps[-1], (height // 2, width // 2))
        features = {task: decode(coarse) for task, decode in self.preliminary.items()}
        initial = {task: predict(features[task]) for task, predict in self.predictions.items()}
        mixed = {task: mix(torch.cat([features[task], initial[task]], dim=1)) for task, mix in self.mix.items()}
        decoded = self.decoder(mixed, [self.taps[1](maps[1]), self.taps[0](maps[0])])
        final = {task: resize(head(decoded[task]), image.shape[-2:]) for task, head in self.heads.items()}
        return Outputs(final, {"initial": initial}, maps)


def _head(inputs: int, outputs: int) -> nn.Sequential:
    """A task's last layers: 3x3 convolution with bias, batch norm, ReLU, 1x1 convolution to the prediction."""
    conv = nn.Conv2d(inputs, inputs, 3, padding=1)
    nn.init.trunc_normal_(conv.weight, std=0.02)
    return nn.Sequential(conv, nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), nn.Conv2d(inputs, outputs, 1))
