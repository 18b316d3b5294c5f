"""What the best constant prediction scores: the bar that any trained network must clear."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from mtlrepro.tasks.base import Task


def trivial_figures(task: Task, train_labels: Iterable[Tensor], val_targets: Iterable[Tensor]) -> dict[str, float]:
    """Every figure of the task's metrics for its constant prediction.

    Args:
        task: the task.
        train_labels: labels in sample form; the constant is fitted to them.
        val_targets: batch targets (with the batch axis); the constant is judged on them.

    Returns:
        "<protocol>.<figure>" -> value, of the metrics that are not costly.

    Raises:
        DataError: if no training label has a valid pixel.

    Example:
        >>> import torch
        >>> from mtlrepro.data.sample import DatasetInfo
        >>> from mtlrepro.tasks.depth import Depth
        >>> train, val = torch.tensor([[1.0, 3.0]]), torch.tensor([[[[2.0, 4.0]]]])
        >>> trivial_figures(Depth(DatasetInfo("toy", ("depth",))), [train], [val])["depth/pooled@1.abs_err"]
        1.0
    """
    constant, metrics = task.trivial(train_labels), [m for m in task.metrics() if not m.costly]
    for target in val_targets:
        for metric in metrics:
            metric.update(constant.to(target.device).expand_as(target), target)
    return {f"{m.protocol}.{figure}": value for m in metrics for figure, value in m.compute().items()}
