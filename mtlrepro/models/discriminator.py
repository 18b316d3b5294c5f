"""The patch discriminator of DenseMTL's domain adaptation (section 4.5, appendix B.3).

The paper says no more than "small" and "patch"; layers, spectral normalisation and mirroring are those of the public
reference implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from mtlrepro.errors import SpecError

WIDTHS = (64, 128, 256, 512)
"""Channels of the hidden layers."""


class Discriminator(nn.Module):
    """Tells of every patch of a map which domain it comes from: 4×4 convolutions of stride 2, LeakyReLU 0.2 between.

    Every convolution's weight is divided by its largest singular value, which one power iteration a call in training
    mode follows. In training mode, too, a call mirrors its whole input with probability 1/2, which it draws from
    the CPU's generator.

    Args:
        inputs: channels of the map.
        widths: channels of the hidden layers; one more layer makes the logits.

    Raises:
        SpecError: if there is no hidden layer, or a width is not a whole number above 0.
    """

    def __init__(self, inputs: int, widths: Sequence[int] = WIDTHS):
        super().__init__()
        if not widths or not all(isinstance(width, int) and width > 0 for width in widths):
            mend = "Use whole numbers above 0, one for each hidden layer"
            raise SpecError(f"unexpected value {widths!r}", field="objective.options.widths", mend=mend)
        self.convs = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, kernel_size=4, stride=2, padding=1))
            for a, b in pairwise((inputs, *widths, 1))
        )
        self.activation = nn.LeakyReLU(0.2)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (B, 1, H // 2^k, W // 2^k) of maps (B, inputs, H, W), k the number of convolutions: 5 by default.

        Raises:
            SpecError: if H or W is below 2^k.
        """
        stride = 2 ** len(self.convs)
        if min(maps.shape[-2:]) < stride:
            problem = f"a map of {tuple(maps.shape[-2:])} is below the discriminator's stride of {stride}"
            raise SpecError(problem, field="objective.options.widths", mend="Use larger images, or fewer widths")
        if self.training and float(torch.rand((), device="cpu")) < 0.5:
            maps = maps.flip(-1)
        *hidden, last = self.convs
        for conv in hidden:
            maps = self.activation(conv(maps))
        return last(maps)
