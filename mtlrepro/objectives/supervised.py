"""Weighted sum of task losses, on the final and on every intermediate prediction (MTI-Net, sec. 2 and 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtlrepro import collective
from mtlrepro.data.sample import Batch, moved
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.base import Objective
from mtlrepro.objectives.losses import Losses
from mtlrepro.tasks.base import full_precision

FINAL = "final"


class Supervised(Objective):
    """Σ_main w_t L_t(final) + Σ_stages Σ_aux w_t L_t(stage prediction, upsampled bilinearly to the label's size).

    Initial predictions use "the same loss weighing as the final task predictions" (MTI-Net, sec. 3.1) and there
    is no down-weighting of scales. Without stages it is the multi-task baseline's sum, with one task and no
    weights the single-task loss, with one stage PAD-Net's. That predictions are brought to the label's size, not
    labels to the prediction's, follows the public reference implementation.

    Samples whose `labelled` is False are left out before the loss sees prediction or target.

    Attributes:
        intermediate: factor of the losses of all stages.
    """

    intermediate: float = 1.0

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        """Terms are `"final/<task>"` and `"<stage>/<task>"`, unweighted.

        Raises:
            SpecError: if the model predicts a task without a target or one the objective was not built for, or
                predicts nothing.
        """
        return self.losses(model(batch.image), batch)

    def losses(self, outputs: Outputs, batch: Batch) -> Losses:
        """The losses of what a model predicted for the batch's first view."""
        everywhere = {FINAL: outputs.final} | outputs.stages
        predicted = sorted({task for predictions in everywhere.values() for task in predictions})
        rows = {task: labelled_rows(task, batch) for task in predicted}
        known = {task: has_labels(task, batch) for task in predicted}
        terms: dict[str, Tensor] = {}
        weighted: list[Tensor] = []
        tasks: dict[str, Tensor] = {}
        for stage, predictions in everywhere.items():
            for task, prediction in predictions.items():
                if task not in self.tasks:
                    raise unknown("task", task, self.tasks, field=stage)
                found, wanted = prediction.shape[1], self.tasks[task].channels
                if found != wanted:
                    problem = f"the network predicts {found} channels, the task has {wanted}"
                    mend = "Choose the objective, or the `base` of one, that knows this stage, such as 'atrc' for ATRC"
                    raise SpecError(problem, field=f"{stage}/{task}", mend=mend)
                target, chosen = batch.targets[task], rows[task]
                if chosen is not None:
                    prediction, target = prediction[chosen], target[chosen]
                loss = self.task_loss(task, upsample(prediction, target), target, len(batch.image))
                terms[f"{stage}/{task}"] = loss.detach()
                if known[task]:
                    weighted.append(self.weights[task] * (1.0 if stage == FINAL else self.intermediate) * loss)
                    if stage == FINAL:
                        tasks[task] = weighted[-1]
        if not terms:
            raise SpecError("the model predicts nothing", field="final")
        stages = weighted[len(tasks) :]
        rest = sum(stages[1:], stages[0]) if stages else None
        return Losses(sum(weighted[1:], weighted[0]) if weighted else batch.image.new_zeros(()), terms, tasks, rest)

    def task_loss(self, task: str, prediction: Tensor, target: Tensor, samples: int) -> Tensor:
        """One task's loss over its labelled samples: here a mean over all their valid pixels.

        Args:
            task: its name.
            prediction: (N, C, H, W) raw predictions of the labelled samples.
            target: their targets.
            samples: size of the batch, labelled or not.
        """
        return self.tasks[task].loss(prediction, target)


class PartialSupervised(Supervised):
    """L_SL = (1/B) Σ_x Σ_{t labelled in x} w_t L_t(x): every sample's loss is a mean of its own (JTR, eq. 1).

    The paper divides a sample's sum by its number of labels too; its public implementation does not, and that is
    what is built here. The divisor is the number of all samples of the batch, those without labels included.
    """

    def task_loss(self, task: str, prediction: Tensor, target: Tensor, samples: int) -> Tensor:
        """The sum of the labelled samples' own losses over the size of the batch."""
        return self.tasks[task].sample_losses(prediction, target).sum() / samples


def upsample(prediction: Tensor, target: Tensor) -> Tensor:
    """Raw predictions in float32 at least, bilinearly at the target's size."""
    prediction = full_precision(prediction)
    if prediction.shape[-2:] == target.shape[-2:]:
        return prediction
    return F.interpolate(prediction, size=target.shape[-2:], mode="bilinear", align_corners=False)


def labelled_rows(task: str, batch: Batch) -> Tensor | None:
    """Positions of the samples that carry a label, None if all do.

    Raises:
        SpecError: if the batch has no target of that task.
    """
    if task not in batch.targets:
        raise SpecError("the model predicts a task without a target", field=task, mend="Load its labels too")
    mask = batch.labelled.get(task)
    return None if mask is None or bool(mask.all()) else moved(mask.nonzero().flatten(), batch.targets[task].device)


def has_labels(task: str, batch: Batch) -> bool:
    """Whether any sample of the whole batch carries a label, this process's share or another's."""
    mask = batch.labelled.get(task)
    own = len(batch.image) > 0 if mask is None else bool(mask.any())
    return collective.somewhere(own)


def unlabelled(task: str, batch: Batch) -> Tensor:
    """(B,) bool on the host, True where a sample carries no label for the task."""
    mask = batch.labelled.get(task)
    return torch.zeros(len(batch.image), dtype=torch.bool) if mask is None else ~mask
