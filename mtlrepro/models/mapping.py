"""The mapping network of MTPSL (Li et al., CVPR 2022): maps of two tasks into one space, conditioned on their pair.

A task's map goes through the task's own input layer, then through one encoder that all tasks and pairs share. FiLM
after every norm of that encoder, with a column of scales and shifts for each ordered pair (source, target), makes the
result the pair's. The encoder is of the model's own kind, so that the result can be compared with the model's
bottleneck: SegNet's in the public reference implementation, ResNet-50's for the rows of JTR with that backbone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mtlrepro.data.sample import moved
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models.norms import FiLMNorm, instance_norm, replace_norms
from mtlrepro.models.resnet import RESNET50_OS8, RESNET_NANO, ResNetConfig
from mtlrepro.models.segnet import SEGNET, SEGNET_NANO, SegNetConfig, conv_stage, xavier

ENCODERS: dict[str, SegNetConfig | ResNetConfig] = {
    "segnet": SEGNET,
    "segnet_nano": SEGNET_NANO,
    "resnet50_os8": RESNET50_OS8,
    "resnet_nano": RESNET_NANO,
}
"""Shared encoders by the name of the backbone whose bottleneck they match."""


class MappingNet(nn.Module):
    """Input layers a task and a shared encoder with FiLM, normalised per sample.

    Args:
        channels: task -> channels of its maps; the order of the tasks is that of the pairs' columns.
        encoder: configuration of the shared encoder, one of `ENCODERS` or like them.

    Attributes:
        tasks: the tasks in order.
        channels: width of the result.

    Raises:
        SpecError: for fewer than two tasks.
    """

    def __init__(self, channels: Mapping[str, int], encoder: SegNetConfig | ResNetConfig = SEGNET):
        super().__init__()
        if len(channels) < 2:
            mend = "Map between two tasks or more"
            raise SpecError(f"there is no pair of tasks in {tuple(channels)}", field="model.main", mend=mend)
        self.tasks = tuple(channels)
        self.pairs = len(channels) * (len(channels) - 1)
        self.inputs = nn.ModuleDict({task: conv_stage(width, encoder.stem, 1) for task, width in channels.items()})
        self.encoder = encoder.build(encoder.stem)
        self.channels = self.encoder.channels[-1]
        replace_norms(self.inputs, instance_norm)
        replace_norms(self.encoder, partial(FiLMNorm, columns=self.pairs))
        xavier(self)

    def _film(self) -> list[FiLMNorm]:
        return [layer for layer in self.encoder.modules() if isinstance(layer, FiLMNorm)]

    def film_parameters(self) -> Iterator[nn.Parameter]:
        """Scales and shifts of the pairs; they have a learning rate of their own."""
        for layer in self._film():
            yield from (layer.gamma, layer.beta)

    def column(self, source: str, target: str) -> int:
        """Column of an ordered pair: with K tasks, s(K - 1) + t, less 1 where t > s.

        Raises:
            SpecError: for an unknown task, or for a task paired with itself.
        """
        for task in (source, target):
            if task not in self.tasks:
                raise unknown("task", task, self.tasks)
        if source == target:
            raise SpecError(f"task {source!r} cannot be mapped to itself", mend="Name two different tasks")
        s, t = self.tasks.index(source), self.tasks.index(target)
        return s * (len(self.tasks) - 1) + t - (t > s)

    def forward(self, maps: Tensor, task: str, columns: Sequence[int]) -> Tensor:
        """Maps of one task in the spaces of pairs, each sample in that of its own pair.

        Args:
            maps: (B, C, H, W) predictions or labels of the task, H and W multiples of 32.
            task: whose input layer they go through, the source or the target of their pairs.
            columns: the column of every sample's pair (see `column`).

        Returns:
            (B, channels, H / s, W / s), s = 32 for SegNet's encoder, 8 for ResNet's.

        Raises:
            SpecError: for an unknown task, for a number of columns other than B, for a column that does not exist, or
                for an H or W that does not fit.
        """
        if task not in self.tasks:
            raise unknown("task", task, self.tasks)
        if len(columns) != len(maps) or not all(0 <= column < self.pairs for column in columns):
            mend = f"Give one of the columns 0 to {self.pairs - 1} for every map"
            raise SpecError(f"{len(maps)} maps cannot have the pairs {list(columns)}", field="columns", mend=mend)
        layers, selected = self._film(), moved(torch.as_tensor(columns, dtype=torch.int64), maps.device)
        try:
            for layer in layers:
                layer.selected = selected
            return self.encoder(self.inputs[task](maps))[-1]
        finally:
            for layer in layers:
                del layer.selected
