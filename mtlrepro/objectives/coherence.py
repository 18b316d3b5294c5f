"""Final and intermediate predictions, and tasks' features drawn together (MT-CP, sec. 3.3 and 3.5, eq. 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError
from mtlrepro.models.coherence import CoherenceFusion, branch_distance
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.numbers import check_numbers
from mtlrepro.objectives.supervised import Supervised
from mtlrepro.tasks.base import Task


class Coherence(Supervised):
    """Σ_t w_t L_t(final) + ½ Σ_t Σ_stages w_t L_t(stage) [+ cosine · Σ_t L_cos,t].

    Equation 7 of the paper adds the intermediate losses in full, and over K = 3 stages; its public reference
    implementation, which is followed, predicts at two and halves them. A weighting changes the final losses alone.

    L_cos,t is the mean cosine distance between the two branches of task t's coherence fusion module
    (`mtlrepro.models.coherence.branch_distance`), over all images of the batch, for it needs no label. The paper says
    that it is minimised (sec. 3.3), yet equation 7 and the public reference implementation do without it: by default it
    is off.

    Samples whose `labelled` is False are left out before a task's loss sees prediction or target.

    Args:
        tasks: see `Objective`.
        weights: see `Objective`.
        features: see `Objective`.
        intermediate: factor of the losses of all stages; equation 7 has 1.
        cosine: factor of the cosine distances, 0.01 for instance.

    Raises:
        SpecError: for a number out of range.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        weights: Mapping[str, float],
        features: Sequence[int] = (),
        *,
        intermediate: float = 0.5,
        cosine: float = 0.0,
    ):
        super().__init__(tasks, weights, features)
        check_numbers(intermediate=intermediate, cosine=cosine)
        self.intermediate, self.cosine = float(intermediate), float(cosine)

    def attach(self, decoder: Callable[[], nn.Module]) -> None:
        """Look whether there are branches to draw together, where that is asked for; nothing is taken.

        Raises:
            SpecError: if the cosine distances count and the model has no fusion modules.
        """
        if not self.cosine:
            return
        modules: list[nn.Module] = []
        # On the meta device, so that no random number is drawn; a decoder that cannot stand alone has no branches.
        with suppress(SpecError), torch.device("meta"):
            modules = list(decoder().modules())
        if not any(isinstance(module, CoherenceFusion) for module in modules):
            raise _no_branches()

    def losses(self, outputs: Outputs, batch: Batch) -> Losses:
        """The losses of what a model predicted for the batch's first view.

        Terms are `"final/<task>"`, `"<stage>/<task>"` and, where the cosine distances count, `"cosine/<task>"`, all
        unweighted.

        Raises:
            SpecError: if the cosine distances count and the model's outputs hold no branches; or see `Supervised`.
        """
        losses = super().losses(outputs, batch)
        if not self.cosine:
            return losses
        distances = cosine_distances(outputs)
        terms = {f"cosine/{task}": distance.detach() for task, distance in distances.items()}
        return losses.plus(self.cosine * torch.stack(list(distances.values())).sum(), terms)


def cosine_distances(outputs: Outputs) -> dict[str, Tensor]:
    """Task -> mean cosine distance between its own branch and those of the other tasks, in float32 at least.

    Raises:
        SpecError: if the model's outputs hold no such branches.
    """
    if not outputs.pairs:
        raise _no_branches()
    return {task: branch_distance(own, others) for task, (own, others) in outputs.pairs.items()}


def _no_branches() -> SpecError:
    problem = "the model has no coherence fusion modules whose branches could be drawn together"
    mend = "Leave it 0, or choose the network 'mt_cp' with its option cfm=true"
    return SpecError(problem, field="objective.options.cosine", mend=mend)
