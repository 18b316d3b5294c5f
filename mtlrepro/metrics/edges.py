"""Edge detection by the pixel: F without spatial tolerance, and the training loss pooled over the data set.

The papers' odsF matches thinned edges within a tolerance (Martin et al., PAMI 2004); the protocols here do
without, so they are cheap, exact, and comparable only with themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.base import Metric, check_finite, check_pair

IGNORE = 255
THRESHOLDS = torch.arange(1, 100, dtype=torch.float64) / 100
"""The 99 operating points 0.01, 0.02 ... 0.99 of MTI-Net's edge protocol."""

POSITIVE_WEIGHT = 0.95
"""Share of an edge pixel in the loss, against 0.05 of any other (MTI-Net, sec. 3.1; Maninis et al., CVPR 2019)."""

_TINY = 2.0**-24
"""Half the float32 spacing below 1: a sigmoid in float32 cannot come closer to 1, so logarithms stop there."""


def _valid(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The valid pixels' probabilities (float64) and whether they are edges (bool)."""
    check_pair("edges", prediction, target, 1)
    check_finite("edges", target)
    valid = target != IGNORE
    p = prediction.masked_select(valid).double()  # a third of the time of prediction[valid] on a CPU
    if bool(((p < 0) | (p > 1)).any()):
        raise SpecError("prediction is not in [0, 1]", field="edges", mend="Pass probabilities, not logits")
    label = target.masked_select(valid)
    edge = label == 1
    wrong = ~edge & (label != 0)
    if bool(wrong.any()):
        mend = "Labels are 0, 1, or 255 where ignored"
        raise DataError(f"label holds the value {float(label[wrong][0]):g}", field="edges", mend=mend)
    return p, edge


def edge_histograms(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Histograms over the operating points, from which every threshold's counts follow.

    Args:
        prediction: (B, 1, H, W) edge probability.
        target: (B, 1, H, W), 1 edge, 0 none, 255 ignored.

    Returns:
        int64: positive (100,) and negative (100,), where bin k counts the (non-)edge pixels whose probability
        reaches exactly k of the 99 thresholds (compared in float64, p >= t); non_finite, a scalar.

    Raises:
        SpecError: on a shape mismatch or a prediction outside [0, 1].
        DataError: on a label other than 0, 1 and 255.
    """
    p, edge = _valid(prediction, target)
    bins = torch.bucketize(p, THRESHOLDS.to(p.device), right=True)
    count = len(THRESHOLDS) + 1
    return {
        "positive": torch.bincount(bins.masked_select(edge), minlength=count),
        "negative": torch.bincount(bins.masked_select(~edge), minlength=count),
        "non_finite": torch.isnan(p).sum(),
    }


def f_curve(positive: Tensor, negative: Tensor) -> Tensor:
    """F = 2 TP / (2 TP + FP + FN) at each of the 99 thresholds, float64; NaN everywhere without an edge label.

    Example:
        >>> positive, negative = torch.zeros(100, dtype=torch.int64), torch.zeros(100, dtype=torch.int64)
        >>> positive[50], negative[20] = 3, 1
        >>> f = f_curve(positive, negative)
        >>> [round(float(v), 4) for v in (f[0], f[49], f[50])]
        [0.8571, 1.0, 0.0]
    """
    reached = [h.cpu().flip(0).cumsum(0).flip(0)[1:].double() for h in (positive, negative)]
    total = float(positive.sum())
    if not total:
        return torch.full_like(reached[0], math.nan)
    return 2 * reached[0] / (reached[0] + reached[1] + total)


class PixelEdges(Metric):
    """`edges/pixels@1`: the best F over 99 thresholds of pixel counts pooled over the data set, in [0, 1].

    All counts are integers, so batching cannot change a bit. NaN if no label pixel is an edge, or if a
    prediction at a valid pixel was NaN.

    Example:
        >>> metric = PixelEdges()
        >>> metric.update(torch.tensor([[[[0.9, 0.6, 0.2]]]]), torch.tensor([[[[1.0, 0.0, 0.0]]]]))
        >>> metric.compute(), round(metric.best_threshold(), 2)
        ({'f': 1.0}, 0.61)
    """

    protocol = "edges/pixels@1"
    better: ClassVar[dict[str, str]] = {"f": "higher"}

    def __init__(self) -> None:
        super().__init__()
        for name in ("positive", "negative"):
            self._zeros(name, len(THRESHOLDS) + 1, dtype=torch.int64)
        self._zeros("non_finite", dtype=torch.int64)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 1, H, W) probabilities and labels (255 ignored)."""
        self._add(edge_histograms(prediction, target))

    def compute(self) -> dict[str, float]:
        """Figure f."""
        return {"f": float(self._curve().max())}

    def curve(self) -> dict[str, list[float]]:
        """F at each of the thresholds; empty where the figure is NaN."""
        f = self._curve()
        return {} if f.isnan().any() else {"thresholds": THRESHOLDS.tolist(), "f": f.tolist()}

    def best_threshold(self) -> float:
        """The lowest threshold that reaches `f`; NaN where f is."""
        curve = self._curve()
        return math.nan if curve.isnan().all() else float(THRESHOLDS[int(curve.argmax())])

    def _curve(self) -> Tensor:
        curve = f_curve(self.state["positive"], self.state["negative"])
        return torch.full_like(curve, math.nan) if int(self.state["non_finite"]) else curve


def edge_bce_sums(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Weighted cross-entropy (nats, edges 0.95, others 0.05) summed over the valid pixels, and their number.

    Args:
        prediction: (B, 1, H, W) edge probability; clamped to 2^-24 from 0 and 1, where float32 sigmoids saturate,
            so a pixel adds at most 0.95 * 16.6.
        target: (B, 1, H, W), 1 edge, 0 none, 255 ignored.

    Raises:
        SpecError: on a shape mismatch or a prediction outside [0, 1].
        DataError: on a label other than 0, 1 and 255.
    """
    p, edge = _valid(prediction, target)
    p = p.clamp(_TINY, 1 - _TINY)
    loss = torch.where(edge, -POSITIVE_WEIGHT * p.log(), -(1 - POSITIVE_WEIGHT) * torch.log1p(-p))
    return {"loss": loss.sum(), "pixels": torch.tensor(loss.numel(), device=p.device)}


def edge_bce_figures(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """Figure bce of `edge_bce_sums`; NaN without a valid pixel."""
    pixels = int(sums["pixels"])
    return {"bce": float(sums["loss"]) / pixels if pixels else math.nan}


class EdgeBCE(Metric):
    """`edges/bce@1`: the training loss (positive weight 0.95) per pixel, pooled over the data set.

    Example:
        >>> metric = EdgeBCE()
        >>> metric.update(torch.full((1, 1, 2, 2), 0.5), torch.ones(1, 1, 2, 2))
        >>> round(metric.compute()["bce"], 4)  # 0.95 ln 2
        0.6585
    """

    protocol = "edges/bce@1"
    better: ClassVar[dict[str, str]] = {"bce": "lower"}
    units: ClassVar[dict[str, str]] = {"bce": ""}

    def __init__(self) -> None:
        super().__init__()
        self._zeros("loss")
        self._zeros("pixels", dtype=torch.int64)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 1, H, W) probabilities and labels (255 ignored)."""
        self._add(edge_bce_sums(prediction, target))

    def compute(self) -> dict[str, float]:
        """Figure bce; NaN without a valid pixel."""
        return edge_bce_figures(self.state)


def edge_confusion(prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Count the valid pixels by label and by decision, p > 0.5 (the arg-max of two channels; a tie is no edge).

    Args:
        prediction: (B, 1, H, W) edge probability.
        target: (B, 1, H, W), 1 edge, 0 none, 255 ignored.

    Returns:
        int64: confusion (2, 2), rows are labels and columns decisions, background first; non_finite, a scalar.

    Raises:
        SpecError: on a shape mismatch or a prediction outside [0, 1].
        DataError: on a label other than 0, 1 and 255.
    """
    p, edge = _valid(prediction, target)
    cells = torch.bincount(2 * edge.long() + (p > 0.5), minlength=4)
    return {"confusion": cells.view(2, 2), "non_finite": torch.isnan(p).sum()}


def edge_f1(confusion: Tensor) -> dict[str, float]:
    """F1 of both classes, 2 n_cc / (row_c + column_c), and their mean, all in [0, 1].

    A class in neither label nor decision is NaN and left out of the mean, which is NaN if both are.

    Args:
        confusion: (2, 2) counts, rows are labels, background first.

    Example:
        >>> edge_f1(torch.tensor([[6, 2], [0, 1]]))
        {'f1': 0.6785714285714286, 'f1_edge': 0.5, 'f1_background': 0.8571428571428571}
    """
    counts = confusion.double()
    f1 = 2 * counts.diagonal() / (counts.sum(0) + counts.sum(1))
    return {"f1": float(f1.nanmean()), "f1_edge": float(f1[1]), "f1_background": float(f1[0])}


class MacroF1(Metric):
    """`edges/f1-macro@1`: mean F1 of edge and background pixels, and each of them, pooled over the data set.

    DenseMTL's evaluation (its public reference implementation; the paper says F1 only). Background is easy, so the
    mean is far above the F1 of edges. No spatial tolerance, no thinning; fractions in [0, 1]. All counts are
    integers, so batching cannot change a bit. NaN if a prediction at a valid pixel was NaN.

    Example:
        >>> metric = MacroF1()
        >>> metric.update(torch.tensor([[[[0.9, 0.6, 0.2]]]]), torch.tensor([[[[1.0, 0.0, 0.0]]]]))
        >>> {name: round(value, 4) for name, value in metric.compute().items()}
        {'f1': 0.6667, 'f1_edge': 0.6667, 'f1_background': 0.6667}
    """

    protocol = "edges/f1-macro@1"
    better: ClassVar[dict[str, str]] = dict.fromkeys(("f1", "f1_edge", "f1_background"), "higher")

    def __init__(self) -> None:
        super().__init__()
        self._zeros("confusion", 2, 2, dtype=torch.int64)
        self._zeros("non_finite", dtype=torch.int64)

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 1, H, W) probabilities and labels (255 ignored)."""
        self._add(edge_confusion(prediction, target))

    def compute(self) -> dict[str, float]:
        """The three figures; NaN without a valid pixel."""
        if int(self.state["non_finite"]):
            return dict.fromkeys(self.better, math.nan)
        return edge_f1(self.state["confusion"])
