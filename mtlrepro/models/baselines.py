"""The baselines of the MTI-Net paper (ECCV 2020, section 3.1): a backbone with one head of its family a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from mtlrepro.errors import SpecError
from mtlrepro.models.base import Backbone
from mtlrepro.models.heads import task_head
from mtlrepro.models.layers import resize
from mtlrepro.models.outputs import Outputs


class MultiTask(nn.Module):
    """The multi-task baseline "MTL": one shared backbone, one head a task.

    Args:
        backbone: the shared encoder.
        main: the tasks.
        channels: output channels of every task.
    """

    front_end: ClassVar[bool] = False
    single_task: ClassVar[bool] = False

    def __init__(self, backbone: Backbone, main: Sequence[str], channels: Mapping[str, int]):
        super().__init__()
        self.backbone = backbone
        self.heads = nn.ModuleDict({task: task_head(backbone, channels[task]) for task in main})

    def forward(self, image: Tensor) -> Outputs:
        """Predictions of an image (B, 3, H, W); there are no intermediate stages."""
        features = self.backbone(image)
        final = {task: resize(head(features), image.shape[-2:]) for task, head in self.heads.items()}
        return Outputs(final, features=features)


class SingleTask(MultiTask):
    """The single-task baseline "STL": a network of its own for one task.

    Raises:
        SpecError: for more than one task.
    """

    single_task: ClassVar[bool] = True

    def __init__(self, backbone: Backbone, main: Sequence[str], channels: Mapping[str, int]):
        if len(main) != 1:
            mend = "Use one spec a task, or architecture 'mtl'"
            raise SpecError(f"a single-task network cannot predict {tuple(main)}", field="model.main", mend=mend)
        super().__init__(backbone, main, channels)
