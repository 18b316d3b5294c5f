"""Neural task fields of the 3D-aware regularizer (ICLR 2024, section 3.2) and their rendering as task maps.

There is a field for each task, and one for the density that all tasks share (figure 2, section 4.4). Section 3.2
speaks of a density in each task's own field instead: `density="per_task"`. Maps are composited along rays
(`mtlrepro.models.compositing`).

`reference_render` is the rendering as it is written down. `Volume` computes the same numbers in less time and memory:
the first layers are applied to the planes instead of the samples (`mtlrepro.models.fields`), the last layers to
the composited hidden values, once a ray, because compositing is linear, too; and where rays run along z, that is the
one axis left to look up (`mtlrepro.models.rays`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.compositing import LAST, compositing_weights, midpoints, refined, steps, stratified
from mtlrepro.models.exact import exact
from mtlrepro.models.fields import Field
from mtlrepro.models.rays import Rays, aligned, free
from mtlrepro.models.triplane import AGGREGATES, aggregated, inside

DENSITIES = ("shared", "per_task")
JITTERS = ("per_ray", "per_image")
MOVED = "depth"
"""The task whose values `offsets` are added to."""


class Volume(nn.Module):
    """Fields of the tasks and of the density, rendered from planes.

    Args:
        outputs: task -> channels n of its map.
        channels: C, width of the planes.
        hidden: units of each field's hidden layer.
        slope: of the LeakyReLU; the paper prints -0.2, the work that it refers to has 0.2.
        density: `"shared"` by all tasks, or `"per_task"`: each field has one output more, its first, the density that
            its task is rendered with.
        density_bias: added before the softplus that makes densities of raw ones (EG3D).
        aggregate: see `mtlrepro.models.triplane.aggregated`.
        samples: N of a ray; of each pass, where there are two.
        jitter: whether the draws of training are made `"per_ray"` or `"per_image"`, for all its rays at once.
        last: see `compositing_weights`.
        two_pass: whether as many samples are added where the first ones found weight (EG3D has 48 and 48).

    Raises:
        SpecError: for an unknown choice, no task, or fewer samples than 1 (3 in two passes).
    """

    def __init__(
        self,
        outputs: Mapping[str, int],
        channels: int = 64,
        hidden: int = 64,
        slope: float = 0.2,
        density: str = "shared",
        density_bias: float = -1.0,
        aggregate: str = "sum",
        samples: int = 64,
        jitter: str = "per_ray",
        last: str = "finite",
        two_pass: bool = False,
    ):
        super().__init__()
        choices = (density, DENSITIES), (jitter, JITTERS), (aggregate, AGGREGATES), (last, LAST)
        for kind, (name, known) in zip(("density", "jitter", "aggregate", "last"), choices, strict=True):
            if str(name) not in known:
                raise unknown(kind, str(name), known, field=f"objective.options.{kind}")
        if samples < (least := 3 if two_pass else 1):
            mend = f"Take {least} or more"
            raise SpecError(f"{samples} samples are too few", field="objective.options.samples", mend=mend)
        if not outputs:
            raise SpecError("there is nothing to render", field="objective.options.render", mend="Name a task")
        own = density == "per_task"
        self.density_bias, self.aggregate, self.last = density_bias, aggregate, last
        self.samples, self.jitter, self.two_pass = samples, jitter, two_pass
        self.density = None if own else Field(channels, hidden, 1, slope)
        self.fields = nn.ModuleDict({task: Field(channels, hidden, n + own, slope) for task, n in outputs.items()})

    def forward(self, planes: Tensor, size: tuple[int, int], only: Collection[str] = ()) -> dict[str, Tensor]:
        """Maps seen along z, orthographically, on a grid over the box's front.

        Samples are the centres of N equal intervals of z; in training mode random places in them, drawn from PyTorch's
        global generator.

        Args:
            planes: (B, 3, C, H, W).
            size: (h, w) of the grid.
            only: tasks to render, () for all.

        Returns:
            task -> (B, n, h, w) raw composited values, in float32 at least, also under autocast.

        Raises:
            SpecError: for an unknown task, or see `mtlrepro.models.triplane.aggregated`.
        """
        with exact(planes.device):
            planes, delta = aggregated(planes, self.aggregate), 2 / self.samples
            depths = self.depths(planes, size).flatten(1, 2)
            rays = aligned(planes, size, depths)
            if not self.two_pass:
                return self._render(rays, size, self._of(only), delta)
            depths = self._refined(rays, depths, delta)
            return self._render(aligned(planes, size, depths), size, self._of(only), steps(depths))

    def depths(self, planes: Tensor, size: tuple[int, int]) -> Tensor:
        """Where the rays of a grid of (height, width) sample the boxes of planes: z (B, h, w, N), ascending.

        The centres of N equal intervals in evaluation, a place drawn in each of them in training.
        """
        shape = (len(planes), *size, self.samples)
        if not self.training:
            return midpoints(self.samples, planes.dtype, planes.device).expand(shape)
        rays = size if self.jitter == "per_ray" else (1, 1)
        return stratified((len(planes), *rays, self.samples), planes.dtype, planes.device).expand(shape)

    def seen(
        self, planes: Tensor, points: Tensor, offsets: Tensor | None = None, only: Collection[str] = ()
    ) -> dict[str, Tensor]:
        """Maps along any rays.

        Args:
            planes: (B, 3, C, H, W).
            points: (B, h, w, N, 3), each ray's samples in their order, (x, y, z) in the box. Those outside have density
                and weight 0, also where they are not finite: a ray that ends outside is not opaque in the end. Every
                step is 2 / N. No gradient reaches the points.
            offsets: (B, h, w, N), added to the values of the task "depth" before compositing; or None.
            only: tasks to render, () for all.

        Returns:
            task -> (B, n, h, w) raw composited values, in float32 at least, also under autocast.

        Raises:
            SpecError: as `forward`, or for points or offsets of another shape.
        """
        fits = points.ndim == 5 and len(points) == len(planes) and points.shape[-1] == 3
        if not fits or (offsets is not None and offsets.shape != points.shape[:-1]):
            shapes = f"points {tuple(points.shape)}" + (
                f", offsets {tuple(offsets.shape)}" if offsets is not None else ""
            )
            mend = "Give points (B, h, w, N, 3) and offsets (B, h, w, N)"
            raise SpecError(f"no rays through {len(planes)} boxes: {shapes}", field="points", mend=mend)
        with exact(planes.device):
            planes = aggregated(planes, self.aggregate)
            there = points.detach().to(planes.dtype).flatten(1, 2)
            within, added = inside(there), None
            if offsets is not None:
                added = torch.where(within, offsets.detach().to(planes.dtype).flatten(1, 2), 0)
            rays, size = free(planes, there), (points.shape[1], points.shape[2])
            return self._render(rays, size, self._of(only), 2 / points.shape[3], within, added)

    def _of(self, tasks: Collection[str]) -> dict[str, Field]:
        for task in tasks:
            if task not in self.fields:
                raise unknown("task", task, self.fields, field="objective.options.render")
        return {task: cast(Field, field) for task, field in self.fields.items() if not tasks or task in tasks}

    def _refined(self, rays: Rays, depths: Tensor, delta: float) -> Tensor:
        """z of the samples of both passes, (B, R, 2N); of several densities, the mean of the weights counts."""
        with torch.no_grad():
            densities = self._of(()).values() if self.density is None else [self.density]
            weights = torch.stack([self._weights(rays, field, delta) for field in densities]).mean(dim=0)
            draws = torch.linspace(0, 1, self.samples, dtype=depths.dtype, device=depths.device).expand_as(weights)
            if self.training:
                draws = torch.rand_like(weights)
            return refined(depths, weights, draws)

    def _weights(self, rays: Rays, field: Field, delta: Tensor | float, within: Tensor | None = None) -> Tensor:
        """Weights (B, R, N) of the samples by a field whose first output is the density."""
        sigma = F.softplus(field.march(rays) + (field.last.bias[0] + self.density_bias))
        if within is None:
            return compositing_weights(sigma, delta, self.last)
        weights = compositing_weights(torch.where(within, sigma, 0), delta, self.last)
        return torch.where(within, weights, 0)  # an opaque last interval needs no density

    def _render(
        self,
        rays: Rays,
        size: tuple[int, int],
        fields: Mapping[str, Field],
        delta: Tensor | float,
        within: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Maps of the tasks; `within` and `offsets` are (B, R, N)."""
        shared = None if self.density is None else self._weights(rays, self.density, delta, within)
        maps, own = {}, shared is None
        for task, field in fields.items():
            weights = self._weights(rays, field, delta, within) if shared is None else shared
            sums, total = field.march(rays, weights), weights.sum(dim=-1, keepdim=True)
            values = F.linear(sums, field.last.weight[own:]) + total * field.last.bias[own:]
            if task == MOVED and offsets is not None:
                values = values + (weights * offsets).sum(dim=-1, keepdim=True)
            maps[task] = values.mT.unflatten(-1, size)
        return maps


def look_up_plainly(planes: Tensor, points: Tensor, aggregate: str = "sum") -> Tensor:
    """Features of points as three samplings of a plane by PyTorch, whose gradient has no fixed order on CUDA."""
    x, y, z = points.unbind(dim=-1)
    found = []
    for plane, (column, row) in zip(planes.unbind(1), ((x, y), (x, z), (z, y)), strict=True):
        places = torch.stack((column, row), dim=-1).flatten(1, -2)[:, :, None]
        found.append(F.grid_sample(plane, places, padding_mode="border", align_corners=False)[..., 0])
    return AGGREGATES[aggregate] * (found[0] + found[1] + found[2]).mT.unflatten(1, points.shape[1:-1])


def reference_render(
    volume: Volume, planes: Tensor, points: Tensor, delta: Tensor | float, offsets: Tensor | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The rendering as the paper writes it: every field at every point, then sums along the rays. All tasks.

    Args:
        volume: whose fields are rendered.
        planes: (B, 3, C, H, W).
        points: (B, h, w, N, 3), see `Volume.seen`; finite.
        delta: steps (B, h, w, N), or one for all.
        offsets: see `Volume.seen`.

    Returns:
        task -> (B, n, h, w), and task -> the weights (B, h, w, N) that its values were composited with.
    """
    features, within = look_up_plainly(planes, points, volume.aggregate), inside(points)
    shared = None if volume.density is None else volume.density(features)
    maps, weights = {}, {}
    for task, field in volume.fields.items():
        values = field(features)
        raw, values = (values[..., :1], values[..., 1:]) if shared is None else (shared, values)
        sigma = torch.where(within, F.softplus(raw[..., 0] + volume.density_bias), 0)
        if offsets is not None and task == MOVED:
            values = values + offsets[..., None]
        weights[task] = torch.where(within, compositing_weights(sigma, delta, volume.last), 0)
        maps[task] = torch.einsum("bhwk,bhwkn->bnhw", weights[task], values)
    return maps, weights
