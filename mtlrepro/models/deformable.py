"""Multi-scale deformable attention (Deformable DETR, Zhu et al., ICLR 2021, section 4.1) with repeatable gradients.

Every place of a few maps looks at a few points of each of them, bilinearly, and takes their weighted sum. The
module of `transformers` samples each map with `grid_sample`, whose gradient adds in no fixed order on CUDA. Here all
maps are rows of one table and a place's result is one weighted sum of rows, as for the tri-planes, whose gradient has a
fixed order: the same seed gives the same bits. Nothing of the size of (points x channels) is kept for the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtlrepro.data.sample import moved
from mtlrepro.models.exact import at_least_float32
from mtlrepro.models.triplane import weighted_rows


def attend(values: Tensor, shapes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of what lies at some points of some maps.

    Args:
        values: (B, S, heads, C), the cells of all maps row by row, map after map.
        shapes: (height, width) of every map; S is the sum of their areas.
        locations: (B, Q, heads, maps, points, 2), x and y in parts of a map's width and height: the centre of its first
            cell is at (0.5 / width, 0.5 / height). Beyond the border there are zeros.
        weights: (B, Q, heads, maps, points).

    Returns:
        (B, Q, heads · C), in float32 at least.
    """
    values, weights = at_least_float32(values), at_least_float32(weights)
    batch, cells, heads, channels = values.shape
    index, share = _corners(shapes, locations)
    # A table's row is one head of one cell of one image.
    image = torch.arange(batch, device=values.device).view(-1, *[1] * 6) * cells
    head = torch.arange(heads, device=values.device).view(-1, *[1] * 4)
    index = (index + image) * heads + head
    share = share * weights[..., None, None]
    found = weighted_rows(values.reshape(-1, channels), index.flatten(3).flatten(0, 2), share.flatten(3).flatten(0, 2))
    return found.view(batch, -1, heads * channels)


def _corners(shapes: Sequence[tuple[int, int]], locations: Tensor) -> tuple[Tensor, Tensor]:
    """The four cells around points (..., maps, points, 2), counted through all maps, and their bilinear shares.

    Returns:
        Cells (..., maps, points, 2, 2) int64, rows by columns, and shares of the same shape, 0 beyond the border.
    """
    device, areas = locations.device, [height * width for height, width in shapes]
    extent = moved(torch.tensor([[width, height] for height, width in shapes]), device)[:, None]
    start = moved(torch.tensor([sum(areas[:i]) for i in range(len(areas))]), device).view(-1, 1, 1, 1)
    place = locations * extent - 0.5
    low = place.floor()
    part = place - low
    cell = torch.stack((low, low + 1), dim=-1).long()  # (..., maps, points, axis, neighbour)
    there = torch.minimum(cell.clamp(min=0), extent[..., None] - 1)
    share = torch.stack((1 - part, part), dim=-1) * (cell == there)
    across, down = there.unbind(dim=-2)
    across_share, down_share = share.unbind(dim=-2)
    index = start + down[..., :, None] * extent[..., :1, None] + across[..., None, :]
    return index, down_share[..., :, None] * across_share[..., None, :]


class DeformableAttention(nn.Module):
    """The attention of Mask2Former's pixel decoder, in the place of the library's module and with its layers.

    Args:
        replaced: the library's module; its four linear layers become this module's, under the same names.
    """

    def __init__(self, replaced: Any):
        super().__init__()
        self.grid = replaced.n_heads, replaced.n_levels, replaced.n_points
        self.sampling_offsets = replaced.sampling_offsets
        self.attention_weights = replaced.attention_weights
        self.value_proj = replaced.value_proj
        self.output_proj = replaced.output_proj

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        position_embeddings: Tensor,
        reference_points: Tensor,
        spatial_shapes_list: Sequence[tuple[int, int]],
        **unread: object,
    ) -> tuple[Tensor, None]:
        """Attend from all places to points near them, called as the library calls its own module.

        Args:
            hidden_states: (B, Q, C), of the places that attend.
            encoder_hidden_states: (B, S, C), what they attend to.
            position_embeddings: (B or 1, Q, C), added to the places' states before offsets and weights are computed.
            reference_points: (B, Q, maps, 2), where the places lie, as `attend` has locations.
            spatial_shapes_list: (height, width) of every map.
            unread: what else the library passes: masks for padding, which images of one size have none of.

        Returns:
            (B, Q, C), and None in the place of the weights, which nobody asks for.
        """
        heads, maps, _ = self.grid
        places = hidden_states + position_embeddings
        offsets = self.sampling_offsets(places).unflatten(-1, (*self.grid, 2))
        weights = self.attention_weights(places).unflatten(-1, (heads, -1)).softmax(-1).unflatten(-1, (maps, -1))
        values = self.value_proj(encoder_hidden_states).unflatten(-1, (heads, -1))
        extent = moved(torch.tensor([[width, height] for height, width in spatial_shapes_list]), offsets.device)
        locations = reference_points[:, :, None, :, None] + offsets / extent[:, None]
        return self.output_proj(attend(values, spatial_shapes_list, locations, weights)), None
