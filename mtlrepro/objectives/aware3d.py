"""The 3D-aware regularizer (ICLR 2024): the shared features also have to explain the scene as a volume.

An encoder map becomes three planes of features of a box, small networks turn a point's feature into its density and
into every task's values, and rays through the box render a low-resolution map of every task, which is compared with the
labels. All that vanishes at inference. No code of the paper is public: what it leaves open is an option here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.layers import resize
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.triplane import TriplaneEncoder
from mtlrepro.models.volume import Volume
from mtlrepro.objectives.cross_view import DEPTH, check_second_view, second_view
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.multi_scale import NORMALS, MultiScale, check_learnt
from mtlrepro.objectives.numbers import check, check_finite, check_numbers, check_positive, check_whole
from mtlrepro.objectives.ramped import Ramped
from mtlrepro.tasks.base import Task, full_precision
from mtlrepro.tasks.normals import unit_vectors

WORDS = {
    "maps": ("last", "all"),
    "planes": ("render", "native"),
    "supervise": ("upsample", "downsample"),
    "cross_view": ("", "raw", "corrected"),
}
"""What an option of words can be, where it is not a layer's."""

FINISH: dict[str, Callable[[Tensor], Tensor]] = {NORMALS: unit_vectors}
"""What is done to a task's map after rendering (section 3.2). Softmax and sigmoid are part of the losses."""


class Aware3D(Ramped):
    """Losses of the network's predictions + α Σ_t λ_t L_t(rendered) [+ α λ_depth L_depth(rendered from a second view)].

    α grows linearly from 0 to 4 over the first half of the training (appendix A) and weighs the second view, too. Every
    task has the weight λ_t and the loss of its final prediction. Below, [P] marks what the paper says and [choice] what
    it leaves open.

    A second view needs neighbouring frames in the second stream (`Batch.extra`, `Batch.beside`): each of its samples is
    rendered as its neighbour's camera sees it and compared with the neighbour's depth.

    Args:
        tasks: see `Objective`; main and auxiliary ones are rendered.
        weights: see `Objective`.
        features: see `Objective`; at least one.
        base: objective of the network's own predictions, also asked for the rendered ones' losses: "supervised" (the
            default) [P, eq. 2], or the host's own, such as "multi_scale".
        maps: "last" encoder map (default), or "all" of them, resized and concatenated. [choice: the last one of a
            transformer is normalised; "all" for HRNet, whose decoders read them all]
        stride: of the rendered maps, the input's size over theirs, rounded up; 8. [P, appendix A: 56×72 of 448×576]
        planes: size of the planes: "render" (default), that of the rendered maps, to which encoder maps are resized
            before they are encoded; or "native", that of the encoder maps, all of one size. [choice]
        channels: width of each plane; 64. [P, appendix A]
        hidden: width between the two convolutions that make the planes; 192. [choice: that of three planes]
        kernel: cells a side of both; 3, or any odd number. [choice: as blocks of the hosts have it]
        dropout: share of elements dropped after batch norm and ReLU while training; 0.15. [P, appendix A]
        norm: batch norm, ReLU and dropout after each convolution, "per_conv" (default), or after the second alone,
            "single". [choice]
        aggregate: "sum" (default) [P, section 3.2] or "mean" of a point's three features.
        samples: points a ray; 64. [choice: about one for each cell of the planes]
        jitter: samples are drawn in their intervals in training, "per_ray" (default) or "per_image". [choice]
        last: a ray's last interval is "finite" (default) or "opaque". [choice: an opaque one took all weight in trials]
        density: "shared" by all tasks (default) [P, section 4.4] or "per_task". [P, section 3.2, read otherwise]
        density_bias: added before the softplus that makes densities of raw ones; -1. [choice: EG3D's]
        field_hidden: width of the two-layer networks of density and tasks; 64. [P, appendix A]
        slope: of their leaky ReLU below 0; 0.2. [choice: the paper prints -0.2]
        two_pass: whether a second pass samples where the first one found density; False. [choice] Not with a second
            view, whose samples are the first pass's alone.
        supervise: "upsample" rendered maps bilinearly to the labels (default), or "downsample" labels to them, by the
            nearest. [choice]
        alpha: α in the end; 4. [P, appendix A]
        ramp: share of the training over which α grows; 0.5. [P, appendix A: 20 of 40 thousand steps]
        render: tasks that are rendered; () for all (default). [P, table 6]
        cross_view: depth of a second view [P, eq. 3]: "" has none (default); "raw" renders the field, whose values are
            depths as the first camera sees them; "corrected" adds to these the metres by which a sample lies deeper for
            the second camera. [choice; the paper's words are those of "raw"]
        near: metres of the box's front face, for a second view; 0.5. [choice]
        far: metres of its back face, for a second view; 10. [choice]

    Raises:
        SpecError: for an unknown word or task, a number out of range, a network without encoder maps, a rendered task
            whose loss cannot be learnt from labels, or a second view in two passes or of depth that is not rendered or
            not in metres.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        base: str = "supervised",
        maps: str = "last",
        stride: int = 8,
        planes: str = "render",
        channels: int = 64,
        hidden: int = 192,
        kernel: int = 3,
        dropout: float = 0.15,
        norm: str = "per_conv",
        aggregate: str = "sum",
        samples: int = 64,
        jitter: str = "per_ray",
        last: str = "finite",
        density: str = "shared",
        density_bias: float = -1.0,
        field_hidden: int = 64,
        slope: float = 0.2,
        two_pass: bool = False,
        supervise: str = "upsample",
        alpha: float = 4.0,
        ramp: float = 0.5,
        render: Sequence[str] = (),
        cross_view: str = "",
        near: float = 0.5,
        far: float = 10.0,
    ):
        super().__init__(tasks, weights, features, base=base, alpha=alpha, ramp=ramp)
        _check_words(maps=maps, planes=planes, supervise=supervise, cross_view=cross_view)
        check_whole(stride=stride, channels=channels, hidden=hidden, samples=samples, field_hidden=field_hidden)
        check_numbers(dropout=dropout)
        check_positive(near=near, far=far)
        check_finite(slope=slope, density_bias=density_bias)
        check("dropout", dropout, dropout < 1, "a share below 1")
        check("two_pass", two_pass, isinstance(two_pass, bool), "True or False")
        check("far", far, far > near, f"metres above near, {near}")
        names = isinstance(render, tuple | list) and all(isinstance(task, str) for task in render)
        check("render", render, names, "names of tasks, such as ('depth',)")
        for task in render:
            if task not in tasks:
                raise unknown("task", task, tasks, field="objective.options.render")
        made = isinstance(self.base, MultiScale) and NORMALS in tasks and tasks[NORMALS].info.surface
        if supervise == "downsample" and made:
            problem = f"objective {base!r} makes labels of normals of depth at its own size"
            raise SpecError(problem, field="objective.options.supervise", mend="Use 'upsample'")
        if not features:
            mend = "Use a network whose backbone tells the widths of its maps"
            raise SpecError("there is no encoder map to make planes of", field="features", mend=mend)
        rendered = {name: task for name, task in tasks.items() if not render or name in render}
        check_learnt(rendered, MultiScale.refused)
        if cross_view and two_pass:
            problem, mend = "the rays of a second view have one pass", "Use one pass with a second view"
            raise SpecError(problem, field="objective.options.two_pass", mend=mend)
        if cross_view:
            check_second_view(cross_view, rendered)
        self.maps, self.stride, self.planes, self.supervise = maps, stride, planes, supervise
        self.cross_view, self.near, self.far = cross_view, near, far
        self.encoder = TriplaneEncoder(sum(self._chosen(features)), channels, hidden, dropout, norm, kernel=kernel)
        self.volume = Volume(
            {name: task.channels for name, task in rendered.items()},
            channels,
            field_hidden,
            slope=slope,
            density=density,
            density_bias=density_bias,
            aggregate=aggregate,
            samples=samples,
            jitter=jitter,
            last=last,
            two_pass=two_pass,
        )

    def further(self, outputs: Outputs, batch: Batch) -> Losses:
        """The losses of the rendered maps, `"rendered/<task>"`, and of a second view's depth, `"cross/depth"`.

        Raises:
            SpecError: if encoder maps do not fit, or the batch lacks what a second view is compared with.
        """
        grid = self.grid(batch.image.shape[-2:])
        planes = self.encode(outputs, grid)
        losses = self.compare("rendered", finished(self.volume(planes, grid)), batch)
        if not self.cross_view:
            return losses
        cross = self.cross(planes, grid, batch)
        return losses.plus(cross.total, cross.terms)

    def predictions(self, outputs: Outputs, size: tuple[int, int]) -> dict[str, dict[str, Tensor]]:
        """Views "regularizer", the rendered maps, and "average", their mean with the final predictions (table 5)."""
        grid = self.grid(size)
        maps = finished(self.volume(self.encode(outputs, grid), grid))
        own = {task: resize(prediction, size) for task, prediction in maps.items()}
        both = {task: (outputs.final[task], prediction) for task, prediction in own.items() if task in outputs.final}
        return {"regularizer": own, "average": {task: self.tasks[task].average(pair) for task, pair in both.items()}}

    def grid(self, size: Sequence[int]) -> tuple[int, int]:
        """(height, width) of the rendered maps of an input of that (height, width)."""
        return -(-size[0] // self.stride), -(-size[1] // self.stride)

    def encode(self, outputs: Outputs, grid: tuple[int, int]) -> Tensor:
        """The planes of a network's encoder maps.

        Raises:
            SpecError: without encoder maps, or if planes of their size are wanted and they have several.
        """
        maps = [full_precision(one) for one in self._chosen(outputs.features)]
        sizes = {(one.shape[-2], one.shape[-1]) for one in maps}
        if not sizes or (self.planes == "native" and len(sizes) > 1):
            problem, mend = f"planes of the size of encoder maps of sizes {sorted(sizes)}", "Use planes='render'"
            raise SpecError(problem, field="objective.options.planes", mend=mend)
        size = grid if self.planes == "render" else sizes.pop()
        return self.encoder(torch.cat([resize(one, size) for one in maps], 1))

    def compare(self, stage: str, predictions: Mapping[str, Tensor], batch: Batch) -> Losses:
        """The losses of predictions at the rendered maps' size, where `supervise` says; terms are "<stage>/<task>"."""
        if self.supervise == "upsample":
            size = batch.image.shape[-2:]
            maps = {task: resize(prediction, size) for task, prediction in predictions.items()}
        else:
            maps, grid = dict(predictions), next(iter(predictions.values())).shape[-2:]
            targets = {task: nearest(target, grid) for task, target in batch.targets.items()}
            batch = replace(batch, targets=targets)
        return self.base.losses(Outputs({}, {stage: maps}), batch)

    def cross(self, planes: Tensor, grid: tuple[int, int], batch: Batch) -> Losses:
        """The loss of depth that the second stream's second cameras see in the planes of its samples."""
        planes = planes[-batch.extra :]
        view = second_view(batch, self.volume.depths(planes, grid), self.near, self.far)
        offsets = view.deeper if self.cross_view == "corrected" else None
        depth = self.volume.seen(planes, view.points, offsets, only=(DEPTH,))
        return self.compare("cross", depth, Batch(batch.image[-batch.extra :], {DEPTH: view.target}))

    def _chosen(self, maps: Sequence) -> Sequence:
        return maps[-1:] if self.maps == "last" else maps


def finished(rendered: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Raw predictions of rendered values (B, C_task, h, w): unit vectors of normals, others as they are."""
    return {task: FINISH[task](values) if task in FINISH else values for task, values in rendered.items()}


def nearest(target: Tensor, size: Sequence[int]) -> Tensor:
    """Batch targets (B, ..., H, W) at a smaller (height, width): of each of its cells, what lies at the centre."""
    rows, columns = (
        ((torch.arange(n, device=target.device) + 0.5) * (m / n)).long()
        for n, m in zip(size, target.shape[-2:], strict=True)
    )
    return target[..., rows[:, None], columns]


def _check_words(**options: Any) -> None:
    for name, word in options.items():
        if word not in WORDS[name]:
            raise unknown(f"choice of {name}:", str(word), WORDS[name], field=f"objective.options.{name}")
