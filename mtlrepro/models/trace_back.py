"""Trace-back of MT-CP (WACV 2025, section 3.4): fused features go back through the stages of their task's decoder.

A chain of spatial refinement modules runs from the coarsest stage to the finest. Each makes two maps: one that is
predicted from, and one that is carried on to the next module (figure 4 draws one map for both; the public reference
implementation, which is followed here, has two). Nothing reads what the last module could carry: it is not made.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from mtlrepro.errors import SpecError
from mtlrepro.models.cbam import CBAM
from mtlrepro.models.layers import resize


class SpatialRefinement(nn.Module):
    """What is carried meets the features of a stage: both gated, put together at the stage's size, and projected.

    Layers are initialised as PyTorch does.

    Args:
        inputs: width of what is carried here.
        stage: width of the stage's features, and of what is carried on.
        width: width C of what is predicted from.
        last: whether nothing is carried on.
    """

    def __init__(self, inputs: int, stage: int, width: int, *, last: bool = False):
        super().__init__()
        self.gate, self.stage_gate = CBAM(inputs), CBAM(stage)
        self.prediction = _projection(inputs + stage, width)
        self.carry = None if last else _projection(inputs + stage, stage)

    def forward(self, carried: Tensor, stage: Tensor) -> tuple[Tensor, Tensor | None]:
        """One refinement.

        Args:
            carried: (B, inputs, h', w') of any size.
            stage: (B, stage, h, w).

        Returns:
            What is predicted from (B, width, h, w), and what is carried on (B, stage, h, w) or None; none below 0.
        """
        joined = torch.cat((resize(self.gate(carried), stage.shape[-2:]), self.stage_gate(stage)), dim=1)
        return self.prediction(joined), None if self.carry is None else self.carry(joined)


def _projection(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU())


class TraceBack(nn.Module):
    """The chain of refinements of one task.

    Args:
        channels: width C of the fused features and of every map that is predicted from.
        widths: of the decoder's stages, finest first.

    Raises:
        SpecError: if there is no stage.
    """

    def __init__(self, channels: int, widths: Sequence[int]):
        super().__init__()
        if not widths:
            mend = "Give the decoder at least one stage, or leave the trace-back out"
            raise SpecError("there is no stage to trace back through", field="widths", mend=mend)
        steps = enumerate(pairwise((channels, *reversed(widths))), 1)
        self.refinements = nn.ModuleList(
            SpatialRefinement(inputs, stage, channels, last=number == len(widths)) for number, (inputs, stage) in steps
        )

    def forward(self, start: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps that are predicted from.

        Args:
            start: fused features (B, C, h, w).
            maps: of the decoder's stages, (B, widths[s], h_s, w_s), finest first.

        Returns:
            One map (B, C, h_s, w_s) a stage, coarsest first; none below 0.
        """
        found, carried = [], start
        for refine, stage in zip(self.refinements, reversed(maps), strict=True):
            prediction, carried = refine(carried, stage)
            found.append(prediction)
        return found
