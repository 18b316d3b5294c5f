"""Direct and perceptual cross-task maps, baselines of MTPSL's paper (CVPR 2022) after Zamir et al. (CVPR 2020).

JTR quotes their figures ("Direct Map", "Perceptual Map", table 1). No recipe for them is public, and its authors could
not reproduce them under RandAugment. What stands here is one plain reading: its results are not comparable with the
quoted rows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import permutations

from torch import Tensor, nn
from torch.func import functional_call

from mtlrepro import collective
from mtlrepro.data.sample import Batch, moved
from mtlrepro.errors import unknown
from mtlrepro.models.norms import instance_norm, replace_norms
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.segnet import SegNetDecoder, SegNetEncoder, SegNetHead
from mtlrepro.objectives.consistency import MAPS, probabilities, squared
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.mtpsl import Form, label_classes
from mtlrepro.objectives.numbers import check_numbers
from mtlrepro.objectives.supervised import PartialSupervised, unlabelled
from mtlrepro.tasks.base import Task

MAP_FORMS: dict[str, Form] = {
    **dict.fromkeys(("semseg", "parts"), Form(probabilities, label_classes)),
    **dict.fromkeys(("saliency", "normals", "edges", *MAPS), Form()),
}
"""Inputs of the maps: class probabilities, unit normals, and other decoded predictions; labels likewise."""


class TaskMap(nn.Module):
    """A SegNet from one task's map to another's raw prediction, normalised per sample.

    Args:
        inputs: channels of the first task.
        outputs: channels of the second task.
        widths: channels of the five stages.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]):
        super().__init__()
        self.encoder = SegNetEncoder(inputs, widths)
        self.decoder = SegNetDecoder(widths)
        self.head = SegNetHead(self.decoder.channels, outputs)
        replace_norms(self, instance_norm)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W), H and W multiples of 32."""
        features, indices = self.encoder.encode(maps)
        return self.head(self.decoder(features[-1], indices))


class TaskMaps(PartialSupervised):
    """L_SL and losses through a network m_st for every ordered pair of tasks; the networks learn with the model.

    Args:
        tasks: see `Objective`.
        weights: see `Objective`.
        features: see `Objective`.
        weight: of the terms that regularise the model.
        widths: channels of the five stages of each m_st.

    Raises:
        SpecError: for a task without a form as input, widths that are no SegNet's, or a negative weight.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        weight: float = 1.0,
        widths: Sequence[int] = (16, 32, 64, 128, 128),
    ):
        super().__init__(tasks, weights, features)
        for task in tasks:
            if task not in MAP_FORMS:
                raise unknown("task of a cross-task map:", task, MAP_FORMS, field="tasks")
        check_numbers(weight=weight)
        self.weight = weight
        self.maps = nn.ModuleDict(
            {f"{s}_{t}": TaskMap(tasks[s].channels, tasks[t].channels, widths) for s, t in permutations(tasks, 2)}
        )

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        """Terms are those of the supervised loss and one a pair, `"<kind>/<source>/<target>"`, means over samples."""
        outputs = model(batch.image)
        losses = self.losses(outputs, batch)
        hidden = {task: unlabelled(task, batch) for task in outputs.final}
        for source, target in permutations(hidden, 2):
            for kind, (weight, values) in self.pair(source, target, outputs, batch, hidden).items():
                term = values.sum() / len(batch.image)
                losses = losses.plus(weight * term, {f"{kind}/{source}/{target}": term.detach()})
        return losses

    @abstractmethod
    def pair(
        self, source: str, target: str, outputs: Outputs, batch: Batch, hidden: Mapping[str, Tensor]
    ) -> dict[str, tuple[float, Tensor]]:
        """What one pair adds: kind -> its weight and its values, one for each sample that has them; none may have."""

    def prediction(self, task: str, outputs: Outputs, rows: Tensor) -> Tensor:
        """A task's predictions for some samples as input of a map, (len(rows), C, H, W)."""
        return MAP_FORMS[task].prediction(self.tasks[task], outputs.final[task][rows])

    def label(self, task: str, outputs: Outputs, batch: Batch, rows: Tensor) -> Tensor:
        """A task's labels of some samples as input of a map, (len(rows), C, H, W)."""
        return MAP_FORMS[task].label(self.tasks[task], batch.targets[task][rows]).to(outputs.final[task].dtype)

    def reach(self, source: str, target: str, maps: Tensor, batch: Batch, rows: Tensor) -> Tensor:
        """Losses (len(rows),) of what m_st makes of maps of the source against the target's labels."""
        task, goal = self.tasks[target], batch.targets[target][rows]
        empty = maps.new_zeros(0, task.channels, *goal.shape[-2:])
        return task.sample_losses(self.maps[f"{source}_{target}"](maps) if len(rows) else empty, goal)


class DirectMap(TaskMaps):
    """L_SL + weight · (1/B) Σ_x Σ_{s unlabelled, t labelled in x} L_t(m_st(ŷ_s), y_t); not comparable, see the module.

    The model and m_st learn from the same terms.
    """

    def pair(
        self, source: str, target: str, outputs: Outputs, batch: Batch, hidden: Mapping[str, Tensor]
    ) -> dict[str, tuple[float, Tensor]]:
        """Kind `"direct"`, for samples that lack the source's label and have the target's."""
        rows = index(hidden[source] & ~hidden[target], batch)
        if not collective.somewhere(len(rows) > 0):
            return {}
        maps = self.prediction(source, outputs, rows)
        return {"direct": (self.weight, self.reach(source, target, maps, batch, rows))}


class PerceptualMap(TaskMaps):
    """L_SL + weight · (1/B) Σ_x Σ_{s labelled in x, t ≠ s} |e_st(ŷ_s) - e_st(y_s)|²; not comparable, see the module.

    e_st is the encoder of m_st, the square a mean over its last map. The model learns through a copy of it that does
    not learn; m_st itself learns L_t(m_st(y_s), y_t) from samples that carry both labels. Where none does, as with one
    label a sample, the networks stay as they were drawn.
    """

    def pair(
        self, source: str, target: str, outputs: Outputs, batch: Batch, hidden: Mapping[str, Tensor]
    ) -> dict[str, tuple[float, Tensor]]:
        """Kinds `"perceptual"`, for samples with the source's label, and `"map"`, for samples with both."""
        values: dict[str, tuple[float, Tensor]] = {}
        rows = index(~hidden[source], batch)
        if len(rows):
            prediction = self.prediction(source, outputs, rows)
            label = self.label(source, outputs, batch, rows)
            seen, wanted = (self.encoded(source, target, maps) for maps in (prediction, label))
            values["perceptual"] = self.weight, squared(seen, wanted)
        both = index(~hidden[source] & ~hidden[target], batch)
        if collective.somewhere(len(both) > 0):
            maps = self.label(source, outputs, batch, both)
            values["map"] = 1.0, self.reach(source, target, maps, batch, both)
        return values

    def encoded(self, source: str, target: str, maps: Tensor) -> Tensor:
        """The last encoder map of m_st, whose parameters get no gradient from it."""
        encoder: nn.Module = self.maps[f"{source}_{target}"].get_submodule("encoder")
        frozen = {name: parameter.detach() for name, parameter in encoder.named_parameters()}
        return functional_call(encoder, frozen, (maps,))[-1]


def index(mask: Tensor, batch: Batch) -> Tensor:
    """Positions where a (B,) mask on the host is True, on the batch's device."""
    return moved(mask.nonzero().flatten(), batch.image.device)
