"""Weighted sum of task losses, on the final and on every intermediate prediction (MTI-Net, sec. 2 and 3.1)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.base import Losses, Objective
from mtlrepro.tasks.base import full_precision


class Supervised(Objective):
    """Σ_main w_t L_t(final) + Σ_stages Σ_aux w_t L_t(stage prediction, upsampled bilinearly to the label's size).

    Initial predictions use "the same loss weighing as the final task predictions" (MTI-Net, sec. 3.1) and there
    is no down-weighting of scales. Without stages it is the multi-task baseline's sum, with one task and no
    weights the single-task loss, with one stage PAD-Net's. That predictions are brought to the label's size, not
    labels to the prediction's, follows the public reference implementation.

    Samples whose `labelled` is False are left out before the loss sees prediction or target.
    """

    def forward(self, model: nn.Module, outputs: Outputs, batch: Batch, step: int) -> Losses:
        """Terms are `"final/<task>"` and `"<stage>/<task>"`, unweighted.

        Raises:
            SpecError: if the model predicts a task without a target or one the objective was not built for, or
                predicts nothing.
        """
        everywhere = {"final": outputs.final} | outputs.stages
        predicted = sorted({task for predictions in everywhere.values() for task in predictions})
        rows = {task: _labelled_rows(task, batch) for task in predicted}
        terms: dict[str, Tensor] = {}
        weighted: list[Tensor] = []
        for stage, predictions in everywhere.items():
            for task, prediction in predictions.items():
                if task not in self.tasks:
                    raise unknown("task", task, self.tasks, field=stage)
                loss = self._loss(task, prediction, batch.targets[task], rows[task])
                terms[f"{stage}/{task}"] = loss.detach()
                weighted.append(self.weights[task] * loss)
        if not weighted:
            raise SpecError("the model predicts nothing", field="final")
        return Losses(sum(weighted[1:], weighted[0]), terms)

    def _loss(self, task: str, prediction: Tensor, target: Tensor, rows: Tensor | None) -> Tensor:
        if rows is not None:
            prediction, target = prediction[rows], target[rows]
        prediction = full_precision(prediction)
        if prediction.shape[-2:] != target.shape[-2:]:
            prediction = F.interpolate(prediction, size=target.shape[-2:], mode="bilinear", align_corners=False)
        return self.tasks[task].loss(prediction, target)


def _labelled_rows(task: str, batch: Batch) -> Tensor | None:
    """Positions of the samples that carry a label, None if all do."""
    if task not in batch.targets:
        raise SpecError("the model predicts a task without a target", field=task, mend="Load its labels too")
    mask = batch.labelled.get(task)
    return None if mask is None or bool(mask.all()) else mask.nonzero().flatten().to(batch.targets[task].device)
