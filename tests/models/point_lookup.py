"""Features of any points of a box, one lookup for all: what rays find for their samples."""

import torch
from torch import Tensor

from mtlrepro.models.triplane import aggregated, corners, table, weighted_rows


def look_up(planes: Tensor, points: Tensor, aggregate: str = "sum") -> Tensor:
    """Features of points: bilinear, with half-pixel centres, and with the border's value beyond the centres.

    Args:
        planes: (B, 3, C, H, W).
        points: (B, ..., 3), x, y and z in [-1, 1]; no gradient reaches them. Points outside get what lies nearest in
            the box: see `inside`.
        aggregate: `"sum"` or `"mean"` of the three planes' vectors.

    Returns:
        (B, ..., C).

    Raises:
        SpecError: as `aggregated`.
    """
    planes = aggregated(planes, aggregate)
    rows = table(planes)
    index, weight = corners(points.detach().to(planes.dtype), *planes.shape[-2:])
    index = index + rows.shape[1] * torch.arange(len(rows), device=rows.device).view(-1, *[1] * (index.ndim - 1))
    found = weighted_rows(rows.flatten(0, 1), index.flatten(0, -2), weight.flatten(0, -2))
    return found.view(*points.shape[:-1], -1)
