"""MTPSL: predictions and labels of two tasks agree in a space of their pair (Li et al., CVPR 2022).

For a sample x with labelled tasks T_x and unlabelled tasks U_x, and every pair s in U_x, t in T_x, a mapping network
m with a FiLM column a pair (`mtlrepro.models.mapping`) gives a = m_st(ŷ_s), b = m_st(y_t), and

    l(s, t) = d(a, b) + regularisation · (d(a, f) + d(b, f)),

with d the cosine distance and f the model's own bottleneck, detached. Pairs are summed up, not averaged over U_x as in
JTR's equation 3, and maps are scaled as `PAIR_FORMS` says: both follow the public reference implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mtlrepro.data.sample import Batch, moved
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.layers import resize
from mtlrepro.models.mapping import ENCODERS, MappingNet
from mtlrepro.models.segnet import SegNetConfig, stage_widths
from mtlrepro.objectives.consistency import MAPS, Reading, decoded
from mtlrepro.objectives.latent import cosine_distance, hard_gumbel, normal_cdf, one_hot
from mtlrepro.objectives.losses import Group, Losses
from mtlrepro.objectives.numbers import check_numbers
from mtlrepro.objectives.supervised import PartialSupervised, unlabelled
from mtlrepro.tasks.base import Task, full_precision

PEAK_EPS = 1e-12
"""Added to a map's maximum before the map is divided by it."""


def drawn_classes(task: Task, raw: Tensor) -> Tensor:
    """Logits (B, C, H, W) to a one-hot map drawn from them, with gradient."""
    return hard_gumbel(full_precision(raw))


def label_classes(task: Task, target: Tensor) -> Tensor:
    """Class ids (B, H, W) to a one-hot map (B, C, H, W), all zeros where ignored."""
    return one_hot(target, task.channels)


def label_values(task: Task, target: Tensor) -> Tensor:
    """A target (B, C, H, W) as it is, with 0 where it is invalid."""
    return torch.where(task.valid(target), target, 0.0)


def over_peak(maps: Tensor) -> Tensor:
    """Maps (B, 1, H, W) divided by the maximum of each."""
    return maps / (maps.amax((1, 2, 3), keepdim=True) + PEAK_EPS)


@dataclass(frozen=True)
class Form:
    """How a task's predictions and labels become maps of the same kind.

    Attributes:
        prediction: raw predictions to maps of the task's channels.
        label: targets to the same; nothing invalid is left.
        scale: applied to both.
    """

    prediction: Reading = decoded
    label: Callable[[Task, Tensor], Tensor] = label_values
    scale: Callable[[Tensor], Tensor] = lambda maps: maps


PAIR_FORMS: dict[str, Form] = {
    **dict.fromkeys(("semseg", "parts"), Form(drawn_classes, label_classes)),
    **dict.fromkeys(("saliency", "edges"), Form()),
    "normals": Form(scale=lambda maps: (maps + 1) / 2),
    **dict.fromkeys(MAPS, Form(scale=normal_cdf)),
    "depth": Form(scale=over_peak),
}
"""Inputs of the mapping network; for the standardised maps, where nothing is published, the normal law's CDF."""


class Pair(NamedTuple):
    """A cross-task term: sample `row`'s prediction of task `source` against its label of task `target`."""

    row: int
    source: str
    target: str


class MTPSL(PartialSupervised):
    """L_SL on the first view + weight · (1/B) Σ_x Σ_{s, t} l(s, t) on the second (module's docstring).

    Both views pass through the model together. All pairs of a batch are mapped in one call a task. A sample without
    any label has no pair. With a single task there is neither a pair nor a mapping network.

    Args:
        tasks: see `Objective`; their order is that of the FiLM columns.
        weights: see `Objective`.
        features: see `Objective`; the last one is the width of f, and a SegNet-like encoder is made to end with it.
        weight: of the cross-task terms: 2 on NYUv2, 1 on Cityscapes.
        regularisation: weight of the distances from f within a term.
        pairs: `"partial"` for s in U_x and t in T_x, `"full"` for t in T_x and any other s.
        encoder: key of `mtlrepro.models.mapping.ENCODERS`. Where its result has another size than f, f is resized.
        film_lr_factor: learning rate of the FiLM columns over the recipe's: 10 on NYUv2, 0.1 on Cityscapes.
        film_period: share of the training after which that learning rate halves, again and again; None follows the
            recipe's schedule.
        ramp: share of the training over which the cross-task terms' weight rises from 0, in proportion.

    Raises:
        SpecError: for an unknown `pairs`, `encoder` or task, for an encoder whose width cannot be that of f, or for a
            number out of range.
    """

    views = 2

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        weight: float = 2.0,
        regularisation: float = 0.5,
        pairs: str = "partial",
        encoder: str = "segnet",
        film_lr_factor: float = 10.0,
        film_period: float | None = 0.15,
        ramp: float = 0.0,
    ):
        super().__init__(tasks, weights, features)
        if pairs not in SOURCES:
            raise unknown("choice of pairs", pairs, SOURCES, field="objective.options.pairs")
        for task in tasks:
            if task not in PAIR_FORMS:
                raise unknown("task of MTPSL:", task, PAIR_FORMS, field="tasks")
        check_numbers(weight=weight, regularisation=regularisation, film_lr_factor=film_lr_factor, ramp=ramp)
        if film_period is not None and film_period <= 0:
            mend = "Use a share above 0, or None"
            raise SpecError(f"film_period {film_period!r}", field="objective.options.film_period", mend=mend)
        self.weight, self.regularisation, self.ramp = weight, regularisation, ramp
        self.is_source = SOURCES[pairs]
        self.film_lr_factor, self.film_period = film_lr_factor, film_period
        self.mapping = mapping_net(self.tasks, encoder, self.features) if len(tasks) > 1 else None

    def groups(self) -> list[Group]:
        """The FiLM columns."""
        if self.mapping is None:
            return []
        return [Group(list(self.mapping.film_parameters()), self.film_lr_factor, self.film_period)]

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        """Terms are those of the supervised loss and `"cross_task"`, the mean over samples."""
        (view,) = batch.others
        size = len(batch.image)
        first, second = model(torch.cat((batch.image, view.image))).split(2)
        losses = self.losses(first, batch)
        pairs = self.pairs(second.final, batch)
        if not pairs:
            return losses
        term = self.cross_task(second.final, view.targets, pairs, second.features[-1]).sum() / size
        weight = self.weight * (min(1.0, progress / self.ramp) if self.ramp else 1.0)
        return losses.plus(weight * term, {"cross_task": term.detach()})

    def pairs(self, predicted: Iterable[str], batch: Batch) -> list[Pair]:
        """The cross-task terms of a batch, sample by sample, for a model that predicts these tasks."""
        hidden = {task: unlabelled(task, batch).tolist() for task in self.tasks if task in set(predicted)}
        return [
            Pair(row, source, target)
            for row in range(len(batch.image))
            for source in hidden
            for target in hidden
            if source != target and not hidden[target][row] and self.is_source(hidden[source][row])
        ]

    def cross_task(
        self, predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor], pairs: Sequence[Pair], features: Tensor
    ) -> Tensor:
        """l(s, t) of every pair, (len(pairs),).

        Args:
            predictions: task -> raw predictions (B, C, H, W).
            targets: task -> batch target; read only for samples and tasks that `pairs` names as targets.
            pairs: at least one.
            features: (B, width, h, w) bottleneck of the model for the same view.
        """
        assert self.mapping is not None  # there are pairs, hence two tasks
        device, dtype = features.device, next(self.mapping.parameters()).dtype
        mapped, done = [], 0
        sources, goals = [0] * len(pairs), [0] * len(pairs)  # where in `mapped` a pair's a and b are
        for task in self.mapping.tasks:
            predicted = [i for i, pair in enumerate(pairs) if pair.source == task]
            labelled = [i for i, pair in enumerate(pairs) if pair.target == task]
            if not predicted and not labelled:
                continue
            form, subject, maps = PAIR_FORMS[task], self.tasks[task], []
            if predicted:
                raw = predictions[task][rows(pairs, predicted, device)]
                maps.append(form.scale(form.prediction(subject, raw)))
            if labelled:
                known = targets[task][rows(pairs, labelled, device)]
                maps.append(form.scale(form.label(subject, known)))
            columns = [self.mapping.column(pairs[i].source, pairs[i].target) for i in (*predicted, *labelled)]
            mapped.append(self.mapping(torch.cat(maps).to(dtype), task, columns))
            for place, i in enumerate(predicted, done):
                sources[i] = place
            for place, i in enumerate(labelled, done + len(predicted)):
                goals[i] = place
            done += len(columns)
        latent = torch.cat(mapped)
        a, b = (latent[moved(torch.tensor(places), device)] for places in (sources, goals))
        distance = cosine_distance(a, b)
        if self.regularisation:
            f = resize(features.detach(), latent.shape[-2:])[rows(pairs, range(len(pairs)), device)].to(dtype)
            distance = distance + self.regularisation * (cosine_distance(a, f) + cosine_distance(b, f))
        return distance


SOURCES: dict[str, Callable[[bool], bool]] = {"partial": lambda hidden: hidden, "full": lambda hidden: True}
"""Whether a task is mapped from, given whether its label is missing."""


def mapping_net(tasks: Mapping[str, Task], encoder: str, features: Sequence[int]) -> MappingNet:
    """The mapping network between these tasks, as wide at its end as the model's last encoder map.

    Raises:
        SpecError: for an unknown encoder, or one that cannot have that width.
    """
    if encoder not in ENCODERS:
        raise unknown("encoder of the mapping network", encoder, ENCODERS, field="objective.options.encoder")
    config = ENCODERS[encoder]
    if isinstance(config, SegNetConfig) and features:
        config = replace(config, widths=(*stage_widths(features)[:-1], features[-1]))
    net = MappingNet({name: task.channels for name, task in tasks.items()}, config)
    if features and net.channels != features[-1]:
        raise SpecError(
            f"encoder {encoder!r} ends with {net.channels} channels, the model's with {features[-1]}",
            field="objective.options.encoder",
            mend="Name the encoder of the model's kind, or one of SegNet's",
        )
    return net


def rows(pairs: Sequence[Pair], chosen: Iterable[int], device: torch.device) -> Tensor:
    """The samples of some of the pairs, as an index."""
    return moved(torch.tensor([pairs[i].row for i in chosen], dtype=torch.long), device)
