"""Joint-Task Regularization (JTR, CVPR 2024, section 3.3): one latent space for the stacked maps of all tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mtlrepro.data.sample import Batch, View, moved
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.autoencoder import AutoEncoder
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.segnet import stage_widths
from mtlrepro.objectives.latent import cosine_distance
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.numbers import check_numbers, check_positive
from mtlrepro.objectives.reconstruction import (
    Goal,
    make_parts,
    noisy_goals,
    reconstruction_loss,
    stack_goals,
    target_goals,
)
from mtlrepro.objectives.stacks import Law, Scene, choose, make_forms, stack_predictions, stack_targets
from mtlrepro.objectives.supervised import PartialSupervised, unlabelled, upsample
from mtlrepro.tasks.base import Task, full_precision

NYU_DEPTH = Law(2.3618, 1.5876)
"""Metres of the NYU-v2 training set. The public implementation squashes Cityscapes' inverse depth with it too."""

Goals = Mapping[str, Goal]
"""Task -> what its part of the auto-encoder's output is compared with."""


class Addend(NamedTuple):
    """One addend of L_JTR: its factor, and its value for every sample, (B,)."""

    weight: float
    values: Tensor


class JTR(PartialSupervised):
    """L_SL + (1/B) Σ_x L_JTR(x), with an auto-encoder g over the stack of all tasks' maps.

    Ŷ stacks a sample's predictions; Y its labels, and its predictions where it has none. Variant "code" is the public
    implementation, which made the printed tables. A sample has three views; the first is supervised, and

        L_JTR = c_dist (D_model + c_recon D_enc) + c_recon (R_Y + R_Ŷ)

    where D_model is the distance between the latent maps of Y and Ŷ of the second view, with gradient to the
    predictions of unlabelled tasks only; D_enc that of the third view, with gradient to the encoder only; and R
    the reconstruction losses of the third view. Variant "paper" is eq. 5 as printed: one distance, on the second view,
    with gradient to the encoder and to all predictions, and the stacks themselves as what is to be reconstructed.

    A sample without any label (section 4.4; not released) is compared with itself: Ŷ is of its second view, Y of its
    third, without gradient, which the loader cut at the same window; in all terms.

    The network sees all views in one pass. The auto-encoder sees all samples in one pass, each normalised by itself,
    as the public implementation, which loops over samples, does in effect.

    Args:
        tasks: every task, main and auxiliary.
        weights: task -> fixed weight, of the supervised losses only.
        features: not used.
        over: the tasks of the stack, in its order; all tasks if empty. The model must predict them at the end.
        variant: key of `VARIANTS`.
        distance: key of `DISTANCES` (table 16).
        reconstruct: whether the reconstruction losses are there; the distances stay as they are (table 8).
        widths: of the auto-encoder's stages; the last one is the latent width (table 17). Empty for what suits
            the model (`mtlrepro.models.segnet.stage_widths`).
        distance_weight: c_dist, >= 0.
        reconstruction_weight: c_recon, >= 0.
        depth_mean: mean of the normal law whose distribution function squashes depth.
        depth_std: its deviation, > 0.

    Raises:
        SpecError: on an option that is unknown or out of range, or a task that cannot be stacked.
    """

    views = 3

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        over: Sequence[str] = (),
        variant: str = "code",
        distance: str = "cosine",
        reconstruct: bool = True,
        widths: Sequence[int] = (),
        distance_weight: float = 4.0,
        reconstruction_weight: float = 2.0,
        depth_mean: float = NYU_DEPTH.mean,
        depth_std: float = NYU_DEPTH.std,
    ):
        super().__init__(tasks, weights, features)
        check_numbers(distance_weight=distance_weight, reconstruction_weight=reconstruction_weight)
        check_positive(depth_std=depth_std)
        for task in over:
            if task not in tasks:
                raise unknown("task", task, tasks, field="objective.options.over")
        for kind, key, known in (("variant", variant, VARIANTS), ("distance", distance, DISTANCES)):
            if key not in known:
                raise unknown(kind, key, known, field=f"objective.options.{kind}")
        stacked = {task: tasks[task] for task in over or tasks}
        self.forms = make_forms(stacked, {"depth": Law(depth_mean, depth_std)})
        self.parts = make_parts(self.forms)
        self.variant, self.distance, self.reconstruct = variant, DISTANCES[distance], reconstruct
        self.distance_weight, self.reconstruction_weight = distance_weight, reconstruction_weight
        self.autoencoder = AutoEncoder(
            sum(task.channels for task in stacked.values()), widths or stage_widths(features)
        )

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        """Terms are those of `PartialSupervised`, and `"jtr/<addend>"`, unweighted means over the batch.

        Raises:
            SpecError: if the model does not predict a task of the stack, or the batch's views are not as needed.
        """
        alone = moved(without_labels(batch), batch.image.device)
        outputs = model(torch.cat([batch.image, *(view.image for view in batch.others)]))
        first, second, third = outputs.split(self.views)
        supervised = self.losses(first, batch)
        one, two = (self.scene(o, view, batch) for o, view in zip((second, third), batch.others, strict=True))
        addends = VARIANTS[self.variant](self, one, two, alone)
        losses = supervised
        for name, addend in addends.items():
            mean = addend.values.mean()
            losses = losses.plus(addend.weight * mean, {f"jtr/{name}": mean.detach()})
        return losses

    def scene(self, outputs: Outputs, view: View, batch: Batch) -> Scene:
        """What the stacks of one view are made of.

        Raises:
            SpecError: if a task of the stack is not predicted.
        """
        raw, labelled = {}, {}
        for task in self.forms:
            if task not in outputs.final:
                mend = "Name in the option `over` of objective 'jtr' the tasks that are"
                raise SpecError("the model does not predict this task at its end", field=task, mend=mend)
            raw[task] = upsample(outputs.final[task], view.targets[task])
            labelled[task] = moved(~unlabelled(task, batch), view.image.device)
        return Scene.of(self.forms, raw, view.targets, labelled)

    def code_addends(self, one: Scene, two: Scene, alone: Tensor) -> dict[str, Addend]:
        """The addends of variant "code".

        Args:
            one: the second view, whose predictions are trained.
            two: the third view.
            alone: (B,) bool, samples whose two views are compared with each other.
        """
        one, two = one.detached_where_labelled(), two.detached()
        noisy_1 = stack_predictions(self.forms, one)
        target_1 = stack_targets(self.forms, one, stack_predictions(self.forms, one))
        noisy_2 = stack_predictions(self.forms, two, hard=False)
        target_2 = stack_targets(self.forms, two, stack_predictions(self.forms, two))
        target_1, noisy_2 = choose(alone, target_2, target_1), choose(alone, noisy_1.detach(), noisy_2)
        model = self.distance(*self.frozen_latent(torch.cat([target_1, noisy_1])).chunk(2))
        stack = torch.cat([target_2, noisy_2])
        latent, output = self.autoencoder(stack) if self.reconstruct else (self.autoencoder.latent(stack), None)
        encoder = self.distance(*full_precision(latent).chunk(2))
        addends = {
            "model": Addend(self.distance_weight, model),
            "encoder": Addend(self.distance_weight * self.reconstruction_weight, encoder),
        }
        if output is not None:
            goals = target_goals(self.parts, two), noisy_goals(self.parts, two.with_values_of(one, alone))
            addends["reconstruction"] = self.reconstruction(output, *goals, two.mask)
        return addends

    def paper_addends(self, one: Scene, two: Scene, alone: Tensor) -> dict[str, Addend]:
        """The addends of variant "paper"; arguments as in `code_addends`."""
        noisy = stack_predictions(self.forms, one)
        other = stack_predictions(self.forms, two.detached())
        target = choose(alone, other, stack_targets(self.forms, one, noisy))
        stack = torch.cat([target, noisy])
        distance = self.distance(*full_precision(self.autoencoder.latent(stack)).chunk(2))
        addends = {"distance": Addend(self.distance_weight, distance)}
        if self.reconstruct:
            _, output = self.autoencoder(stack.detach())
            goals = stack_goals(self.parts, target, one.mask), stack_goals(self.parts, noisy, one.mask)
            addends["reconstruction"] = self.reconstruction(output, *goals, one.mask)
        return addends

    def reconstruction(self, output: Tensor, target: Goals, noisy: Goals, mask: Tensor) -> Addend:
        """R_Y + R_Ŷ from the auto-encoder's output (2B, ΣC, H, W) for Y and Ŷ."""
        first, second = full_precision(output).chunk(2)
        losses = reconstruction_loss(self.parts, first, target, mask)
        return Addend(self.reconstruction_weight, losses + reconstruction_loss(self.parts, second, noisy, mask))

    def frozen_latent(self, stack: Tensor) -> Tensor:
        """The latent map of a stack, with gradient to the stack and none to the auto-encoder."""
        encoder = self.autoencoder.encoder
        frozen = {name: parameter.detach() for name, parameter in encoder.named_parameters()}
        return full_precision(functional_call(encoder, frozen, (stack,))[-1])


VARIANTS: dict[str, Callable[[JTR, Scene, Scene, Tensor], dict[str, Addend]]] = {
    "code": JTR.code_addends,
    "paper": JTR.paper_addends,
}
"""Which reading of L_JTR is built: that of the public implementation, or eq. 5."""


def absolute_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean of |a - b| over all elements of a sample's latent map, (B,)."""
    return (first - second).abs().mean((1, 2, 3))


def squared_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean of (a - b)² over all elements of a sample's latent map, (B,)."""
    return (first - second).square().mean((1, 2, 3))


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": cosine_distance,
    "l1": absolute_distance,
    "l2": squared_distance,
}
"""Distances between latent maps (B, C, h, w), one a sample."""


def without_labels(batch: Batch) -> Tensor:
    """(B,) bool on the host: samples that carry no label at all.

    Raises:
        SpecError: unless there are three views, of which the last two show the same of every such sample.
    """
    if len(batch.others) != JTR.views - 1:
        raise SpecError(f"JTR needs {JTR.views} views of a sample, got {len(batch.others) + 1}", field="batch.others")
    alone = torch.stack([unlabelled(task, batch) for task in batch.targets]).all(0)
    one, two = (view.windows for view in batch.others)
    for row in alone.nonzero().flatten().tolist():
        if one[row] != two[row]:
            problem = f"the second and third view of sample {row}, which has no label, show {one[row]} and {two[row]}"
            raise SpecError(problem, field="batch.others", mend="Cut them at the same window")
    return alone
