import math

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from torchmetrics import MeanAbsoluteError, MeanSquaredError

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.depth import PooledDepth


def vector_d1():
    rs = RandomState(5)
    gt = 0.5 + 9.5 * rs.rand(3, 10, 14)
    pred = gt * np.exp(0.2 * rs.randn(3, 10, 14))
    invalid = rs.rand(3, 10, 14) < np.array([0.1, 0.3, 0.5])[:, None, None]
    return pred, np.where(invalid, 0, gt)


def figures(pred, gt):
    metric = PooledDepth()
    metric.update(torch.as_tensor(pred)[:, None], torch.as_tensor(gt)[:, None])
    return metric.compute()


def pick(values, want):
    return {k: values[k] for k in want}


D1 = {
    "rmse": 1.1876495,
    "log_rmse": 0.1899152,
    "rel": 0.1526421,
    "abs_err": 0.8208269,
    "delta1": 0.7611465,
    "delta2": 0.9745223,
    "delta3": 1.0,
}


def test_vector_d1():
    pred, gt = vector_d1()
    assert ((gt > 0).sum(), gt.sum(), pred.sum()) == pytest.approx((314, 1676.04421, 2272.34585), rel=1e-8)
    assert figures(pred, gt) == pytest.approx(D1, rel=1e-6)
    assert figures(pred.astype("float32"), gt.astype("float32")) == pytest.approx(D1, rel=2e-6)


def test_vector_d2_nan_at_invalid_pixels_is_harmless():
    pred, gt = vector_d1()
    want = figures(pred, gt)
    pred[0][gt[0] == 0] = np.nan
    assert figures(pred, gt) == want


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_at_a_valid_pixel_is_never_dropped(bad):
    pred, gt = vector_d1()
    pred[0, 0, 0] = bad
    got = figures(pred, gt)
    if bad == -np.inf:  # not above zero, so the floor takes it
        assert got["rmse"] == pytest.approx(1.1961460, rel=1e-6)
    else:
        assert all(math.isnan(v) for v in got.values())


def test_vector_d4_negative_prediction():
    pred, gt = vector_d1()
    assert gt[0, 0, 0] == pytest.approx(2.608935, rel=1e-6)
    pred[0, 0, 0] = -1
    want = {"rmse": 1.1961460, "log_rmse": 1.2381817, "rel": 0.1550109, "abs_err": 0.8270068}
    assert pick(figures(pred, gt), want) == pytest.approx(want, rel=3e-7)


def test_vector_m5():
    rs = RandomState(107)
    metric = PooledDepth()
    valid = floored = 0
    for _ in range(2):
        gt = (9 * rs.rand(6, 7) + 0.5).astype("float32")
        gt[rs.rand(6, 7) < 0.2] = 0
        pred = gt + (0.6 * rs.randn(6, 7)).astype("float32")
        valid += (gt > 0).sum()
        floored += ((pred <= 0) & (gt > 0)).sum()
        metric.update(torch.from_numpy(pred)[None, None], torch.from_numpy(gt)[None, None])
    assert (valid, floored) == (68, 1)
    want = {"rmse": 0.59990093, "log_rmse": 2.54404833, "rel": 0.13885188}
    want |= {"delta1": 0.80882353, "delta2": 0.94117647, "delta3": 0.95588235}
    assert pick(metric.compute(), want) == pytest.approx(want, rel=1e-6)


def test_no_valid_pixel_is_nan():
    assert all(math.isnan(v) for v in figures(np.ones((1, 2, 2)), np.zeros((1, 2, 2))).values())
    assert all(math.isnan(v) for v in PooledDepth().compute().values())


def test_against_torchmetrics():
    pred, gt = (torch.from_numpy(a) for a in vector_d1())
    valid = gt > 0
    got = figures(pred, gt)
    assert got["rmse"] == pytest.approx(float(MeanSquaredError(squared=False)(pred[valid], gt[valid])), rel=1e-6)
    assert got["abs_err"] == pytest.approx(float(MeanAbsoluteError()(pred[valid], gt[valid])), rel=1e-6)


def test_a_prediction_of_exactly_zero_takes_the_floor():
    got = figures(np.zeros((1, 1, 1)), np.ones((1, 1, 1)))
    assert got["log_rmse"] == pytest.approx(9 * math.log(10))


def test_delta_is_strict():
    got = figures(np.full((1, 1, 1), 1.25), np.ones((1, 1, 1)))
    assert (got["delta1"], got["delta2"]) == (0.0, 1.0)


def test_bad_input():
    pred, gt = (torch.from_numpy(a) for a in vector_d1())
    with pytest.raises(SpecError, match=r"should both be \(B, 1, H, W\)"):
        PooledDepth().update(pred, gt)
    with pytest.raises(DataError, match="depth: label holds NaN"):
        figures(pred, torch.where(gt > 5, math.nan, gt))
