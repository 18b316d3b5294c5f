"""Angular error of surface normals, pooled over the valid pixels of the data set (Fouhey et al., ICCV 2013, sec. 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor

from mtlrepro.errors import SpecError
from mtlrepro.metrics.base import Metric, check_finite, check_pair

LIMITS = {"within_11": 11.25, "within_22": 22.5, "within_30": 30.0}
"""Figure name -> angle in degrees; the comparison is strict."""

UNITS = dict.fromkeys(("mean", "median", "rmse"), "deg") | dict.fromkeys(LIMITS, "%")
"""Figure name -> unit."""

STEPS = 2**16
"""Histogram steps a degree: a median is off by 8e-6 degrees at most."""

_EPS = 1e-12
"""Length below which a vector is not stretched to unit length."""

_ROWS = 64
"""Rows of an image taken at a time, few enough for the cache: a whole map takes twice as long on a CPU."""

_BINS = 180 * STEPS + 1
_FEW = 2**20
"""Entries up to which sorting them is quicker than counting in a table of all bins (94 MB)."""

_PENDING = 2**23
"""Angles that an accumulator keeps uncounted (32 MB), so that the price of a table is shared by 27 images."""


def angle_degrees(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Angle between vectors along `dim`, in degrees, float64, 0 to 180.

    2 atan2(|u - v|, |u + v|) of the unit vectors u, v: well conditioned at every angle, where the arc cosine of
    the dot product loses half the digits near 0. A zero vector is at 90 degrees to every other.

    Example:
        >>> x, y = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])
        >>> round(float(angle_degrees(x, y, 0)), 6)
        45.0
    """
    u, v = _unit(a.double(), dim), _unit(b.double(), dim)
    far = (u + v).square_().sum(dim).sqrt_()
    near = u.sub_(v).square_().sum(dim).sqrt_()
    return torch.atan2(near, far).mul_(360 / math.pi)


def _unit(vectors: Tensor, dim: int) -> Tensor:
    # The same as F.normalize, whose norm over a strided axis takes ten times as long on a CPU.
    return vectors * vectors.square().sum(dim, keepdim=True).clamp_min_(_EPS**2).rsqrt_()


def valid_angles(prediction: Tensor, target: Tensor) -> Tensor:
    """Angular error of the valid pixels (target vector not zero).

    Args:
        prediction: (B, 3, H, W), any length.
        target: (B, 3, H, W), (0, 0, 0) where invalid.

    Returns:
        (N,) degrees, float64; NaN where the prediction is not finite.

    Raises:
        SpecError: on a shape mismatch.
        DataError: on a label that is not finite.
    """
    check_pair("normals", prediction, target, 3)
    check_finite("normals", target)
    # JTR and MTPSL drop a pixel whose components sum to 0, hence a few valid normals too: a slip not followed here.
    strips = zip(prediction.split(_ROWS, dim=2), target.split(_ROWS, dim=2), strict=True)
    x, y, z = target.unbind(1)
    valid = (x != 0) | (y != 0) | (z != 0)
    return torch.cat([angle_degrees(p, t, 1) for p, t in strips], dim=1).masked_select(valid)


def angle_sums(angle: Tensor) -> dict[str, Tensor]:
    """Sums of (N,) angles in degrees.

    Returns:
        float64 scalars angle (degrees) and squared (degrees^2); int64 scalars pixels, non_finite (NaN angles) and
        within_11, within_22, within_30.
    """
    sums = {
        "angle": angle.sum(),
        "squared": angle.square().sum(),
        "pixels": torch.tensor(angle.numel(), device=angle.device),
        "non_finite": angle.isnan().sum(),
    }
    return sums | {name: (angle < limit).sum() for name, limit in LIMITS.items()}


def angle_bins(angle: Tensor) -> Tensor:
    """Histogram bins of (N,) angles in degrees: the nearest multiple of 2^-16 degree, int32 (N,); NaN goes to 0."""
    return (angle * STEPS).nan_to_num_(0.0).round_().int()


def add_histograms(fresh: Tensor, *histograms: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Count bins and add sparse histograms to them.

    Args:
        fresh: (N,) int32, what `angle_bins` returns.
        histograms: (bins, their counts) pairs, int32 and int64; no bin occurs twice within a pair.

    Returns:
        Such a pair, its bins ascending, on the device of `fresh`.

    Example:
        >>> bins, counts = add_histograms(torch.tensor([7, 3, 7], dtype=torch.int32))
        >>> bins.tolist(), counts.tolist()
        ([3, 7], [1, 2])
    """
    pairs = [(bins.to(fresh.device), counts.to(fresh.device)) for bins, counts in histograms]
    if fresh.numel() + sum(bins.numel() for bins, _ in pairs) > _FEW:
        table = torch.bincount(fresh, minlength=_BINS)
        for bins, counts in pairs:
            table[bins] += counts
        used = table.nonzero().squeeze(1)
        return used.int(), table[used]
    once = torch.ones(fresh.shape, dtype=torch.int64, device=fresh.device)
    entries = torch.cat([once, *(counts for _, counts in pairs)])
    used, place = torch.cat([fresh, *(bins for bins, _ in pairs)]).unique(return_inverse=True)
    return used, torch.zeros(used.shape, dtype=torch.int64, device=fresh.device).index_add_(0, place, entries)


def histogram_median(bins: Tensor, counts: Tensor) -> float:
    """Median in degrees, of an even number of angles the mean of the two middle ones; NaN of an empty histogram.

    Example:
        >>> histogram_median(torch.tensor([65536, 3 * 65536]), torch.tensor([1, 1]))
        2.0
    """
    reached = counts.cpu().cumsum(0)
    if not reached.numel():
        return math.nan
    total = int(reached[-1])
    middle = torch.searchsorted(reached, torch.tensor([(total - 1) // 2, total // 2]), right=True)
    return int(bins.cpu()[middle].sum()) / (2 * STEPS)


def normal_figures(sums: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures of `angle_sums` with the histogram's angles and counts; all NaN without a pixel or with a NaN angle."""
    pixels = int(sums["pixels"])
    if not pixels or int(sums["non_finite"]):
        return dict.fromkeys(PooledNormals.better, math.nan)
    figures = {
        "mean": float(sums["angle"]) / pixels,
        "median": histogram_median(sums["angles"], sums["counts"]),
        "rmse": math.sqrt(float(sums["squared"]) / pixels),
    }
    return figures | {name: 100 * int(sums[name]) / pixels for name in LIMITS}


class PooledNormals(Metric):
    """`normals/pooled@1`: mean, median and rmse of the angle in degrees; percent of pixels below 11.25, 22.5, 30.

    The protocol of MTI-Net, InvPT, ATRC, MT-CP and JTR (their public reference implementations). The median is that
    of the angles rounded to 2^-16 degree, from a sparse histogram that merges like the sums: `state["angles"]` holds
    the bins that occur, ascending (int32, in 2^-16 degree), `state["counts"]` how often (int64). An update only sets
    its angles aside; they are counted when there are millions or when `state` is read.

    Example:
        >>> metric = PooledNormals()
        >>> truth = torch.tensor([0.0, 0.0, -1.0]).view(1, 3, 1, 1)
        >>> metric.update(torch.tensor([0.0, -1.0, -1.0]).view(1, 3, 1, 1), truth)
        >>> round(metric.compute()["mean"], 6), round(metric.compute()["median"], 4), metric.compute()["within_30"]
        (45.0, 45.0, 0.0)
    """

    protocol = "normals/pooled@1"
    better: ClassVar[dict[str, str]] = dict.fromkeys(("mean", "median", "rmse"), "lower") | dict.fromkeys(
        LIMITS, "higher"
    )
    units: ClassVar[dict[str, str]] = UNITS

    def __init__(self) -> None:
        self._pending: list[Tensor] = []  # bins that are not counted yet
        self._merged: list[tuple[Tensor, Tensor]] = []  # other accumulators' histograms that are not added yet
        super().__init__()
        for name in ("angle", "squared"):
            self._zeros(name)
        for name in ("pixels", "non_finite", *LIMITS):
            self._zeros(name, dtype=torch.int64)
        self._zeros("angles", 0, dtype=torch.int32)
        self._zeros("counts", 0, dtype=torch.int64)

    @property
    def state(self) -> dict[str, Tensor]:
        """Sums and histogram of everything added so far."""
        self._count()
        return self._counted

    @state.setter
    def state(self, value: dict[str, Tensor]) -> None:
        self._pending, self._merged = [], []
        self._counted = value

    @torch.no_grad()
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add (B, 3, H, W) predicted and true normals ((0, 0, 0) invalid)."""
        angle = valid_angles(prediction, target)
        for name, value in angle_sums(angle).items():
            self._counted[name] = self._counted[name].to(value.device) + value
        self._pending.append(angle_bins(angle))
        self._count_many()

    def merge(self, other: Self) -> Self:
        """Add another accumulator's sums and histogram to this one and return it.

        Raises:
            SpecError: if the other one follows another protocol.
        """
        if other.protocol != self.protocol:
            raise SpecError(
                f"cannot merge {other.protocol} into {self.protocol}", mend="Merge accumulators built the same way"
            )
        theirs = other.state
        for name in self._counted.keys() - {"angles", "counts"}:
            self._counted[name] = self._counted[name] + theirs[name].to(self._counted[name].device)
        self._merged.append((theirs["angles"], theirs["counts"]))
        self._count_many()
        return self

    def compute(self) -> dict[str, float]:
        """The six figures; NaN without a valid pixel."""
        return normal_figures(self.state)

    def _count_many(self) -> None:
        if sum(bins.numel() for bins in [*self._pending, *(bins for bins, _ in self._merged)]) > _PENDING:
            self._count()

    def _count(self) -> None:
        if self._pending or self._merged:
            counted = self._counted
            device = self._pending[-1].device if self._pending else counted["angles"].device
            fresh = torch.cat([counted["angles"][:0].to(device), *(bins.to(device) for bins in self._pending)])
            pairs = [(counted["angles"], counted["counts"]), *self._merged]
            counted["angles"], counted["counts"] = add_histograms(fresh, *pairs)
            self._pending, self._merged = [], []
