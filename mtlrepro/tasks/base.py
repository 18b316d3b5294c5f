"""What a task is: channels, loss, decoding, averaging, metrics, geometry of labels, trivial predictor, picture."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from mtlrepro import collective
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import DataError, SpecError, unknown
from mtlrepro.metrics.base import Metric

ElementwiseLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(raw prediction (B, C, H, W), batch target, valid (B, 1, H, W) bool) -> loss values (B, K, H, W), K a pixel.

Values and their gradients are 0 where a pixel is not valid, whatever the target holds there.
"""


@dataclass(frozen=True)
class Loss:
    """One of a task's losses, and what a network that is trained by it means by its raw output.

    Attributes:
        values: of every pixel or component. The loss is their sum over that of `counted`.
        counted: (batch target, valid (B, 1, H, W) bool) -> how much a pixel counts, (B, 1, H, W), bool or float, 0
            or more; None counts the valid ones.
        channels: of the raw output; None has the task's usual number.
        decode: raw output (B, C, H, W) to physical units; None decodes as is usual in the task.
        average: several raw outputs to the one that stands for their mean (`Task.average`); None averages as is usual
            in the task.
    """

    values: ElementwiseLoss
    counted: Callable[[Tensor, Tensor], Tensor] | None = None
    channels: int | None = None
    decode: Callable[[Tensor], Tensor] | None = None
    average: Callable[[Sequence[Tensor]], Tensor] | None = None


class Task(ABC):
    """One dense prediction task on one dataset. Everything the rest of the package asks about a task is here.

    Class attributes:
        name: the task's key in samples, targets and outputs.
        resampling: how a *label* is resized: `"nearest"`, `"bilinear"` (unit vectors) or `"boundary"` (thin lines);
            see `mtlrepro.data.transforms.basic.resize_sample`.
        main_metric: the figure that Δ_m and the trivial-predictor check use.
        LOSSES: the task's losses by name; the first is the one it uses unless told otherwise. Which one it is also says
            what a network's raw output means: see `Loss`.
    """

    name: ClassVar[str]
    resampling: ClassVar[str] = "nearest"
    main_metric: ClassVar[str]
    LOSSES: ClassVar[dict[str, Loss]]

    def __init__(self, info: DatasetInfo):
        self.info = info
        self.loss_name = next(iter(self.LOSSES))

    @property
    def chosen(self) -> Loss:
        """The loss that the task uses."""
        return self.LOSSES[self.loss_name]

    @property
    def channels(self) -> int:
        """Number of output channels of a head for this task, as its loss wants it."""
        channels = self.chosen.channels
        return self.usual_channels if channels is None else channels

    @property
    @abstractmethod
    def usual_channels(self) -> int:
        """Number of output channels of a head for this task where its loss does not say otherwise."""

    @abstractmethod
    def collate(self, label: Tensor) -> Tensor:
        """A sample's label in the dtype and shape of a batch target (without the batch axis).

        Raises:
            DataError: on a label of another shape or dtype, or with values that the task does not know.
        """

    def settle(self, target: Tensor) -> Tensor:
        """Batch targets (B, ..., H, W) under the rules that look at a whole label; there are none by default."""
        return target

    @abstractmethod
    def valid(self, target: Tensor) -> Tensor:
        """(B, 1, H, W) bool, True where a batch target holds a label."""

    def using(self, loss: str) -> Self:
        """The same task with another of its `LOSSES`, and with the channels and the decoding that go with it.

        Raises:
            SpecError: on an unknown loss, with the nearest known ones.
        """
        if loss not in self.LOSSES:
            raise unknown("loss", loss, self.LOSSES, field=f"objective.losses.{self.name}")
        task = copy.copy(self)
        task.loss_name = loss
        return task

    def errors(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Elementwise loss of raw predictions (B, C, H, W) against a batch target of the same H, W.

        Returns:
            Values (B, K, H, W), float32 at least, K a pixel and 0 where invalid; and how much each counts, of that
            shape: bool, True where valid, unless the loss says otherwise (`Loss.counted`).

        Raises:
            SpecError: if prediction and target do not fit.
        """
        self._check_loss(prediction, target)
        valid = self.valid(target)
        values = self.chosen.values(full_precision(prediction), target, valid)
        counted = valid if self.chosen.counted is None else self.chosen.counted(target, valid)
        return values, counted.expand_as(values)

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar mean of `errors` over all elements of the batch that count; arguments and errors as there.

        A batch without a valid pixel gives exactly 0 with zero gradient. Of a batch that processes share, the mean over
        them of what they get is the whole batch's loss.
        """
        values, counted = self.errors(prediction, target)
        # Summed here: the "mean" and "sum" of some kernels add up in no fixed order on a GPU.
        return batch_mean(values, counted)

    def sample_losses(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B,) means of `errors` over each sample's own elements that count; arguments and errors as there.

        A sample without a valid pixel gives exactly 0 with zero gradient. Where the values of a pixel depend on the
        other samples of the batch (the shares of `balanced_cross_entropy`, the threshold of `inverse_berhu`), they do
        so here, too.
        """
        values, counted = self.errors(prediction, target)
        return _ratio(values.sum((1, 2, 3)), counted.sum((1, 2, 3)))

    @abstractmethod
    def unlabelled(self, size: tuple[int, int]) -> Tensor:
        """A sample's label of (height, width) without a valid pixel, for samples that carry none."""

    def decode(self, prediction: Tensor) -> Tensor:
        """Raw network output (B, C, H, W) to physical units: what metrics and pictures take, whatever the loss."""
        decode = self.chosen.decode
        return self.usual_decode(prediction) if decode is None else decode(full_precision(prediction))

    @abstractmethod
    def usual_decode(self, prediction: Tensor) -> Tensor:
        """What `decode` does where the loss does not say otherwise."""

    def average(self, predictions: Sequence[Tensor]) -> Tensor:
        """The raw prediction that stands for the mean of what several mean, in float32 at least.

        Means are taken of probabilities (those of a softmax or a sigmoid), of unit vectors and of physical units, not
        of logits or of inverse depth. So `decode` of the result is the mean of the decoded predictions, or what follows
        from it: the class of the largest mean probability, the mean vector at unit length. (3D-aware regularizer,
        table 5, "avg"; the paper does not say what is averaged.)

        Args:
            predictions: one or more raw network outputs (B, C, H, W), in the form that the task's loss takes.
        """
        average = self.chosen.average or self.usual_average
        return average([full_precision(prediction) for prediction in predictions])

    @abstractmethod
    def usual_average(self, predictions: Sequence[Tensor]) -> Tensor:
        """What `average` does where the loss does not say otherwise."""

    @abstractmethod
    def metrics(self) -> list[Metric]:
        """Fresh accumulators, one a protocol; the first defines the main metric."""

    @abstractmethod
    def trivial(self, labels: Iterable[Tensor]) -> Tensor:
        """The best constant prediction given training labels (sample form), in decoded form (1, C', 1, 1) or (1, 1, 1).

        Raises:
            DataError: if no label has a valid pixel.
        """

    @abstractmethod
    def picture(self, decoded: Tensor) -> np.ndarray:
        """(H, W, 3) uint8 picture of one decoded prediction or of one batch target without the batch axis."""

    def flip(self, label: Tensor) -> Tensor:
        """A sample's label, or those of a batch (..., H, W), mirrored left to right."""
        return self.mirror_values(label.flip(-1))

    def mirror_values(self, label: Tensor) -> Tensor:
        """What mirroring does to label *values* (normals turn); positions are not touched here."""
        return label

    def zoom_values(self, label: Tensor, scale: float | Tensor) -> Tensor:
        """What zooming by `scale` does to label *values* (depth shrinks); positions are not touched here.

        Args:
            label: of a sample, or those of a batch.
            scale: one number, or a tensor that holds each sample's and fits the batch.
        """
        return label

    @property
    def better(self) -> str:
        """Direction of `main_metric`: `"higher"` or `"lower"`."""
        return self.metrics()[0].better[self.main_metric]

    def _check_label(self, label: Tensor, dtype: torch.dtype, layout: str) -> None:
        """Raise a `DataError` unless a sample's label has this dtype and layout, `"(H, W)"` or `"(3, H, W)"`."""
        fits = label.ndim == 2 if layout == "(H, W)" else label.ndim == 3 and label.shape[0] == 3
        if not fits or label.dtype != dtype:
            raise DataError(
                f"label is {tuple(label.shape)} {label.dtype}",
                field=self.name,
                mend=f"Provide {layout} {str(dtype).removeprefix('torch.')}",
            )

    def _check_loss(self, prediction: Tensor, target: Tensor) -> None:
        """Raise a `SpecError` unless raw predictions (B, C, H, W) fit a batch target in B, H and W."""
        want = (target.shape[0], self.channels, *target.shape[-2:])
        if tuple(prediction.shape) != want:
            raise SpecError(f"prediction is {tuple(prediction.shape)}, the label asks for {want}", field=self.name)


def batch_mean(values: Tensor, counted: Tensor) -> Tensor:
    """The sum of values over the number that counts in the whole batch; 0 where nothing does.

    Args:
        values: of this process's share of the batch, 0 where they do not count.
        counted: how much each counts, bool or float.
    """
    return _ratio(values.sum(), collective.shared(counted.sum()))


def _ratio(values: Tensor, counted: Tensor) -> Tensor:
    """One over the other; where nothing counts, the values, which are 0."""
    return values / torch.where(counted > 0, counted, 1)


def full_precision(prediction: Tensor) -> Tensor:
    """Raw predictions in float32 at least: losses of half-precision outputs are computed in float32."""
    return prediction.float() if prediction.dtype in (torch.float16, torch.bfloat16) else prediction


def absolute_error(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """|ŷ - y| of every element; an `ElementwiseLoss`."""
    # Masked before anything that is not linear: an invalid NaN is in no derivative.
    return torch.where(valid, prediction - target, 0.0).abs()


def average_values(predictions: Sequence[Tensor]) -> Tensor:
    """The mean of predictions that are what they mean."""
    return torch.stack(tuple(predictions)).mean(0)


def average_softmax(predictions: Sequence[Tensor]) -> Tensor:
    """Logits (B, C, H, W) whose softmax over the channels is the mean of the predictions' softmaxes."""
    # Of logarithms: a probability of 1 - 1e-9 would be 1 in float32.
    return torch.stack([logits.log_softmax(1) for logits in predictions]).logsumexp(0)


def to_picture(values: Tensor) -> np.ndarray:
    """(H, W) grey or (3, H, W) colour values in [0, 1] to (H, W, 3) uint8; values outside are clamped, NaN is black."""
    colour = values.detach().cpu().double().nan_to_num(0.0).clamp(0, 1)
    colour = colour.expand(3, *colour.shape) if colour.ndim == 2 else colour
    return (colour * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
