"""The auto-encoder of JTR (CVPR 2024, section 3.3): a SegNet over the stacked maps of all tasks.

Its bottleneck is the space in which stacks of predictions and of labels are compared; its output keeps that space from
collapsing. Sizes and initialisation are those of the public reference implementation, whose second, unused batch norm
over the stack is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mtlrepro.models.norms import instance_norm, replace_norms
from mtlrepro.models.segnet import WIDTHS, SegNetDecoder, SegNetEncoder, SegNetHead


class AutoEncoder(nn.Module):
    """SegNet from a stack of task maps to the same stack, without output activation, normalised per sample.

    Args:
        channels: channels C of the stack, the sum over the tasks.
        widths: channels of the five stages; the last one is the width of the latent map (table 17 varies it).

    Attributes:
        encoder: its last map is the latent map.

    Raises:
        SpecError: if `widths` are not five positive numbers.
    """

    def __init__(self, channels: int, widths: Sequence[int] = WIDTHS):
        super().__init__()
        self.encoder = SegNetEncoder(channels, widths)
        self.decoder = SegNetDecoder(widths)
        self.head = SegNetHead(self.decoder.channels, channels)
        replace_norms(self, instance_norm)

    def latent(self, stack: Tensor) -> Tensor:
        """The latent map (B, widths[-1], H / 32, W / 32) of a stack (B, C, H, W); the decoder does not run.

        Raises:
            SpecError: if H or W is not a multiple of 32.
        """
        return self.encoder(stack)[-1]

    def forward(self, stack: Tensor) -> tuple[Tensor, Tensor]:
        """The latent map and the reconstruction (B, C, H, W) of a stack (B, C, H, W).

        Raises:
            SpecError: if H or W is not a multiple of 32.
        """
        maps, indices = self.encoder.encode(stack)
        return maps[-1], self.head(self.decoder(maps[-1], indices))
