"""Tri-planes of the 3D-aware regularizer (ICLR 2024, section 3.2): features of a box on three planes, and their lookup.

The box is [-1, 1]³ with x to the right, y down and z away from the camera. Plane 0 is xy (columns x, rows y), plane 1
is xz (columns x, rows z), plane 2 is yz (columns z, rows y): x is horizontal and y vertical wherever they occur, and z
takes the axis that is free. The feature of a point is the sum over the planes of what lies where the point projects to.
The code of the tri-plane's inventors (EG3D) has a plane zx in place of yz and takes the mean; this paper does neither.

A lookup is a weighted sum of rows of a table. `torch.nn.functional.embedding_bag` makes it in one pass over the points,
and its gradient on CUDA sorts the indices and adds the rows of equal ones in that order, so that the same seed gives
the same bits, which the atomic additions of `grid_sample`'s gradient do not. Along regular grids it is a product with
a matrix.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtlrepro.errors import SpecError, unknown

PLANES = 3
AGGREGATES = {"sum": 1.0, "mean": 1.0 / PLANES}
"""How the vectors of the three planes become one: what their sum is multiplied by."""


def _norm(width: int, dropout: float) -> list[nn.Module]:
    return [nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Dropout(dropout)]


def _per_conv(hidden: int, width: int, dropout: float) -> tuple[list[nn.Module], list[nn.Module]]:
    return _norm(hidden, dropout), _norm(width, dropout)


def _single(hidden: int, width: int, dropout: float) -> tuple[list[nn.Module], list[nn.Module]]:
    return [], _norm(width, dropout)


NORMS: dict[str, Callable[[int, int, float], tuple[list[nn.Module], list[nn.Module]]]] = {
    "per_conv": _per_conv,
    "single": _single,
}
"""What follows the first convolution and the second one; the paper lists the layers without their order."""


class TriplaneEncoder(nn.Module):
    """Two convolutions that turn a feature map into three planes of its size (section 3.2 and appendix A).

    Args:
        inputs: channels of the feature map.
        channels: C, width of each plane.
        hidden: width between the convolutions.
        dropout: share of elements that are dropped while training.
        norm: `"per_conv"`, batch norm, ReLU and dropout after each convolution, or `"single"`, after the second alone.
        kernel: width and height of both convolutions' kernels, odd.

    Raises:
        SpecError: for an unknown `norm`, or for a `kernel` that is not odd.
    """

    def __init__(
        self,
        inputs: int,
        channels: int = 64,
        hidden: int = 192,
        dropout: float = 0.15,
        norm: str = "per_conv",
        kernel: int = 3,
    ):
        super().__init__()
        if str(norm) not in NORMS:
            raise unknown("order of the encoder's layers", str(norm), NORMS, field="objective.options.norm")
        if not isinstance(kernel, int) or isinstance(kernel, bool) or kernel < 1 or kernel % 2 == 0:
            problem = f"a kernel of {kernel!r} cells has no centre"
            raise SpecError(problem, field="objective.options.kernel", mend="Give an odd number of 1 or more")
        width = PLANES * channels
        first, second = NORMS[norm](hidden, width, dropout)
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, hidden, kernel, padding=kernel // 2, bias=False),
            *first,
            nn.Conv2d(hidden, width, kernel, padding=kernel // 2, bias=False),
            *second,
        )

    def forward(self, features: Tensor) -> Tensor:
        """Planes (B, 3, C, H, W), in the order xy, xz, yz, of a feature map (B, inputs, H, W)."""
        return self.layers(features).unflatten(1, (PLANES, -1))


def aggregated(planes: Tensor, aggregate: str) -> Tensor:
    """Planes whose looked-up vectors are to be summed, in float32 at least.

    Args:
        planes: (B, 3, C, H, W).
        aggregate: one of `AGGREGATES`.

    Raises:
        SpecError: for planes of another shape, or for an unknown aggregate.
    """
    if planes.ndim != 5 or planes.shape[1] != PLANES:
        mend = f"Give (B, {PLANES}, C, H, W), in the order xy, xz, yz"
        raise SpecError(f"{tuple(planes.shape)} is no tri-plane", field="planes", mend=mend)
    if str(aggregate) not in AGGREGATES:
        raise unknown("aggregate", str(aggregate), AGGREGATES, field="objective.options.aggregate")
    planes = planes if planes.dtype == torch.float64 else planes.float()
    return planes if aggregate == "sum" else planes * AGGREGATES[aggregate]


def inside(points: Tensor) -> Tensor:
    """Which of the points (..., 3) lie in the box, its faces included: (...,) bool; NaN does not."""
    return (points.abs() <= 1).all(dim=-1)


def neighbours(coordinate: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The two cells along an axis that a coordinate lies between, and their shares.

    Args:
        coordinate: (...) in [-1, 1]; beyond it, the border's cell counts.
        size: cells of the axis; the centre of cell p is at (2p + 1) / size - 1.

    Returns:
        Cells (..., 2) int64 and shares (..., 2), which sum to 1.
    """
    place = ((coordinate + 1) * (size / 2) - 0.5).clamp(0, size - 1)
    low = place.floor()
    share = place - low
    cells = torch.stack((low, (low + 1).clamp(max=size - 1)), dim=-1).long()
    return cells, torch.stack((1 - share, share), dim=-1)


def corners(points: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows of `table` and their weights for points (..., 3): (..., 12) each, four corners a plane."""
    x, y, z = points.unbind(dim=-1)
    rows, weights = [], []
    for plane, (column, row) in enumerate(((x, y), (x, z), (z, y))):
        across, across_share = neighbours(column, width)
        down, down_share = neighbours(row, height)
        cells = down[..., :, None] * width + across[..., None, :] + plane * height * width
        rows.append(cells.flatten(-2))
        weights.append((down_share[..., :, None] * across_share[..., None, :]).flatten(-2))
    return torch.cat(rows, dim=-1), torch.cat(weights, dim=-1)


def table(planes: Tensor) -> Tensor:
    """Planes (B, 3, C, H, W) as the rows (B, 3 · H · W, C) that `corners` counts."""
    return planes.movedim(2, -1).flatten(1, 3)


def weighted_rows(rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """Σ_m weight[p, m] · rows[index[p, m]]: (P, C) of rows (R, C) and of index and weight (P, M)."""
    return F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)


def resampled(maps: Tensor, dim: int, size: int) -> Tensor:
    """Maps looked up at the centres of `size` cells along one dimension, exactly as they are where sizes agree.

    Args:
        maps: (..., S, ...).
        dim: which dimension S is.
        size: new size of that dimension.
    """
    cells = maps.shape[dim]
    if cells == size:
        return maps
    centres = (torch.arange(size, dtype=maps.dtype, device=maps.device) + 0.5) * (cells / size) - 0.5
    centres = centres.clamp(0, cells - 1)
    share = 1 - (centres[:, None] - torch.arange(cells, dtype=maps.dtype, device=maps.device)).abs()
    return (share.clamp(min=0) @ maps.movedim(dim, -2)).movedim(-2, dim)
