"""Multi-task unsupervised domain adaptation on output maps (DenseMTL, section 4.5 and appendix B.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from mtlrepro import collective
from mtlrepro.data.sample import Batch
from mtlrepro.data.surface import inverse_normalised
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.discriminator import WIDTHS, Discriminator
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.objectives.multi_scale import MultiScale, aligned
from mtlrepro.objectives.numbers import check_numbers, check_positive
from mtlrepro.objectives.supervised import labelled_rows
from mtlrepro.tasks.base import Task
from mtlrepro.tasks.depth import UNIT

SOURCE, TARGET = 0.0, 1.0
"""What a discriminator is taught to say: as in the public implementation; eq. 7 and 8 print them the other way."""


def self_information(logits: Tensor, label: Tensor) -> Tensor:
    """-p log2(p) / log2(C) of every class's probability p: (B, C, H, W), a pixel's sum in [0, 1].

    Equation 10 prints the natural logarithm and no divisor; this is the public implementation's form.

    Args:
        logits: (B, C, H, W).
        label: not used.
    """
    p = logits.softmax(1)
    return -p * torch.log2(p + 1e-30) / math.log2(max(2, logits.shape[1]))


def relative_inverse_depth(prediction: Tensor, label: Tensor) -> Tensor:
    """(relu(ẑ) - m) / (M - m), m and M the extremes of the source labels' inverse depth: (B, 1, H, W), not clamped.

    The paper speaks of the source domain's extremes; those of the current batch are the public implementation's.
    Where the labels show no range at all, as without a valid pixel, the map is 0.

    Args:
        prediction: (B, 1, H, W) inverse-normalised depth ẑ.
        label: (N, 1, H, W) targets of the source's labelled samples, metres, 0 invalid; N may be 0.
    """
    if not collective.somewhere(len(label) > 0):
        return torch.zeros_like(prediction)
    z, valid = inverse_normalised(label), label > 0
    none = z.new_full((1,), math.inf)
    low = torch.cat([torch.where(valid, z, math.inf).flatten(), none]).amin()
    high = torch.cat([torch.where(valid, z, -math.inf).flatten(), -none]).amax()
    low, high = -collective.greatest(-low), collective.greatest(high)
    # No branch on the values: the host would have to wait for a GPU.
    some = high > low
    return (prediction.relu() - torch.where(some, low, 0.0)) / torch.where(some, high - low, math.inf)


MAPS: dict[tuple[str, str], Callable[[Tensor, Tensor], Tensor]] = {
    ("semseg", "cross_entropy"): self_information,
    ("depth", "inverse_berhu"): relative_inverse_depth,
    ("depth", "inverse_berhu_64"): lambda prediction, label: relative_inverse_depth(UNIT * prediction, label),
}
"""(task, its loss, which says what raw predictions mean) -> what is seen of (raw predictions, source label)."""


class Adaptation(MultiScale):
    """L_supervised(source) + λ · mean BCE(D(map of target), source) + mean BCE(D(map), its domain).

    The means are over all maps, one a task and scale, and each has a discriminator D of its own. The second term
    trains the network alone, the third one the discriminators alone, so that one gradient step is one of both players.
    Equation 9 sums over maps where the public implementation, which is followed, takes the mean.

    A batch mixes both domains: the samples of the main stream are the source's, labelled or not, those of the second
    stream (`Batch.extra`) the target's, whose labels are never read. The network runs on each domain apart, source
    first, so that batch norm sees one domain at a time; both feed its running averages. Predictions are brought to the
    image's size (bilinear, corners aligned) before they become maps.

    The contract asks for one total, hence one backward call, until which what both passes saved stays in memory:
    9.2 GiB a pass of DenseMTL on two tasks at 512x1024 with two images, so that a step takes as much more than with a
    backward call after each pass, as in the public implementation. Gradients are the same.

    Args:
        tasks: see `Objective`; each must be among `MAPS`, and the model predict it at all scales.
        weights: see `Objective`.
        features: see `Objective`.
        weight: λ.
        scales: names of the stages that are adapted beside the final predictions.
        widths: of the discriminators' hidden layers.
        lr: the discriminators' first learning rate, whatever the recipe's is; it follows the poly schedule.

    Raises:
        SpecError: for a task without a map, or a number out of range.
    """

    prerequisite: ClassVar[str] = "a second stream of images of another dataset"

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        weight: float = 5e-3,
        scales: Sequence[str] = (),
        widths: Sequence[int] = WIDTHS,
        lr: float = 1e-4,
    ):
        super().__init__(tasks, weights, features)
        check_numbers(weight=weight)
        check_positive(lr=lr)
        for name, task in tasks.items():
            if (name, task.loss_name) not in MAPS:
                known = ("/".join(key) for key in MAPS)
                raise unknown("task/loss of domain adaptation:", f"{name}/{task.loss_name}", known, field="tasks")
        self.weight, self.scales, self.lr = weight, tuple(dict.fromkeys((*scales, "final"))), lr
        self.discriminators = nn.ModuleDict(
            {f"{s}/{name}": Discriminator(task.channels, widths) for s in self.scales for name, task in tasks.items()}
        )

    def groups(self) -> list[Group]:
        """The discriminators."""
        return [Group(list(self.discriminators.parameters()), lr=self.lr, optimizer="adam_b99", schedule="poly")]

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        """The losses of one step.

        Terms are the supervised ones and, unweighted, for every map `"adversarial/<scale>/<task>"` and
        `"discriminator/<scale>/<task>"`, the latter a sum over both domains: 2 log 2 where they cannot be told apart.

        Raises:
            SpecError: if the batch has fewer than two samples of a domain, the model does not predict a task at a
                scale, or predictions cannot be supervised.
        """
        source, target = domains(batch)
        outputs = model(source.image)
        supervised = self.losses(outputs, source)
        with torch.no_grad():
            known = self.maps(outputs, source)
        other = self.maps(model(target.image), source)
        nets = self.discriminators.items()
        fooled = {key: domain_loss(frozen(net, other[key]), SOURCE) for key, net in nets}
        told = {key: domain_loss(net(known[key]), SOURCE) for key, net in nets}
        told = {key: told[key] + domain_loss(net(other[key].detach()), TARGET) for key, net in nets}
        terms: dict[str, Tensor] = {}
        for kind, values in (("adversarial", fooled), ("discriminator", told)):
            terms |= {f"{kind}/{key}": value.detach() for key, value in values.items()}
        return supervised.plus(self.weight * mean(fooled)).plus(mean(told), terms)

    def maps(self, outputs: Outputs, source: Batch) -> dict[str, Tensor]:
        """What the discriminators see of predictions of either domain: `"<scale>/<task>"` -> (B, C, H, W).

        Args:
            outputs: of the model.
            source: the source domain's samples; its labels tell the range of depth.
        """
        everywhere = {"final": outputs.final} | outputs.stages
        rows, maps = {name: labelled_rows(name, source) for name in self.tasks}, {}
        for scale in self.scales:
            for name, task in self.tasks.items():
                if name not in everywhere.get(scale, {}):
                    there = ", ".join(sorted(place for place, predicted in everywhere.items() if name in predicted))
                    problem, mend = f"the model does not predict {name} at {scale!r}", f"It does at: {there or 'none'}"
                    raise SpecError(problem, field="objective.options.scales", mend=mend)
                raw = aligned(everywhere[scale][name], source.image)
                label, seen = source.targets[name], rows[name]
                maps[f"{scale}/{name}"] = MAPS[name, task.loss_name](raw, label if seen is None else label[seen])
        return maps


def domains(batch: Batch) -> tuple[Batch, Batch]:
    """The source's samples, with the labels that they have, and the target's, without any.

    Raises:
        SpecError: if either are fewer than two, whose pooled features batch norm cannot normalise.
    """
    first = len(batch.image) - batch.extra
    if not batch.extra:
        mend = "Give images of the target as second stream (data.extra), and samples a step of it (recipe.extra)"
        raise SpecError("the batch has no sample of the target domain", field="recipe.extra", mend=mend)
    for name, count, field in (("source", first, "recipe.batch"), ("target", batch.extra, "recipe.extra")):
        if count < 2:
            problem = f"batch norm of pooled features needs two samples of the {name} domain, got {count}"
            raise SpecError(problem, field=field, mend="Take at least two a step, in each process")
    source = Batch(
        batch.image[:first],
        {task: target[:first] for task, target in batch.targets.items()},
        {task: mask[:first] for task, mask in batch.labelled.items()},
        batch.index[:first],
        geometry={key: value[:first] for key, value in batch.geometry.items()},
        normalise=batch.normalise,
    )
    return source, Batch(batch.image[first:], {}, index=batch.index[first:], normalise=batch.normalise)


def frozen(net: nn.Module, maps: Tensor) -> Tensor:
    """A network's answer through which `maps`, but no parameter of the network, get a gradient."""
    return functional_call(net, {name: parameter.detach() for name, parameter in net.named_parameters()}, (maps,))


def domain_loss(logits: Tensor, domain: float) -> Tensor:
    """Mean binary cross-entropy of logits with one label everywhere."""
    # Averaged here: the "mean" of some kernels adds up in no fixed order on a GPU.
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, domain), reduction="none").mean()


def mean(values: Mapping[str, Tensor]) -> Tensor:
    """Mean of scalars."""
    return torch.stack(list(values.values())).mean()
