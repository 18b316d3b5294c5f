"""Neural task fields of the 3D-aware regularizer (ICLR 2024, section 3.2): small perceptrons on the features of points.

A field's first layer is linear, as the lookup in the planes is. Where a field is evaluated on rays (`Field.march`), the
layer is applied to the planes, which have far fewer cells than there are samples. The hidden values, the one thing that
takes as much memory as there are samples, are there for some rays at a time, and once more for the gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mtlrepro.models.rays import Rays
from mtlrepro.models.triplane import weighted_rows

HELD = {"cpu": 2**20, "cuda": 2**24}
"""Hidden values that are held at a time: on a CPU 4 MiB in float32, which caches have room for; on a GPU 64 MiB, an
image's at the published size, which kernels are long enough with."""


class Field(nn.Module):
    """A perceptron with one hidden layer of LeakyReLU units (appendix A): (..., channels) to (..., outputs).

    Layers are initialised as PyTorch does.

    Args:
        channels: width of the features.
        hidden: units.
        outputs: raw values of a point.
        slope: of the LeakyReLU.
    """

    def __init__(self, channels: int, hidden: int, outputs: int, slope: float):
        super().__init__()
        self.first, self.last, self.slope = nn.Linear(channels, hidden), nn.Linear(hidden, outputs), slope

    def forward(self, features: Tensor) -> Tensor:
        """Raw values of features."""
        return self.last(F.leaky_relu(self.first(features), self.slope))

    def march(self, rays: Rays, weights: Tensor | None = None) -> Tensor:
        """The field along rays.

        Args:
            rays: of B images, R an image, N samples a ray.
            weights: (B, R, N), of the samples; or None.

        Returns:
            With weights, Σ_k w_k · hidden values: (B, R, hidden). Else the first raw value, without its bias, of every
            sample: (B, R, N).
        """
        rows = F.linear(rays.rows, self.first.weight)
        images, count, samples = rays.shape
        base = F.linear(rays.base, self.first.weight, self.first.bias).expand(images, count, -1)
        held = HELD.get(rows.device.type, HELD["cuda"]) // (samples * rows.shape[-1])
        parts = max(1, held // count), min(max(1, held), count)

        def part_of(rows: Tensor, base: Tensor, weights: Tensor | None, i: int, j: int) -> Tensor:
            index, share = rays.corners(slice(i, i + parts[0]), slice(j, j + parts[1]))
            start = rows.shape[1] * torch.arange(len(rows), device=rows.device)[:, None, None, None]
            hidden = weighted_rows(rows.flatten(0, 1), (index + start).flatten(0, -2), share.flatten(0, -2))
            hidden = F.leaky_relu(hidden.view(*index.shape[:-1], -1) + base[:, :, None], self.slope)
            return hidden @ self.last.weight[0] if weights is None else (weights[:, :, None] @ hidden).squeeze(2)

        # Split beforehand: the gradient of a slice is as large as the whole, for each of them.
        bases, tables = _split(base, *parts), rows.split(parts[0])
        heavy = None if weights is None else _split(weights, *parts)
        found = []
        for i, table in enumerate(tables):
            row = []
            for j, there in enumerate(bases[i]):
                inputs = table, there, None if heavy is None else heavy[i][j], i * parts[0], j * parts[1]
                if torch.is_grad_enabled():
                    # Nothing is drawn in there: the state of generators need not be kept.
                    row.append(checkpoint(part_of, *inputs, use_reentrant=False, preserve_rng_state=False))
                else:
                    row.append(part_of(*inputs))
            found.append(torch.cat(row, dim=1))
        return torch.cat(found)


def _split(values: Tensor, images: int, rays: int) -> list[tuple[Tensor, ...]]:
    """Values (B, R, ...) in parts of so many images and so many rays."""
    return [group.split(rays, dim=1) for group in values.split(images)]
