import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mtlrepro.errors import SpecError
from mtlrepro.metrics.edges import THRESHOLDS, EdgeBCE, PixelEdges, f_curve


def sample(seed, shape=(2, 1, 9, 8), grid=False):
    rs = np.random.RandomState(seed)
    p = rs.rand(*shape)
    p = np.round(p, 2) if grid else p.astype("float32")  # on the grid, many values tie with a threshold
    y = (rs.rand(*shape) < 0.3).astype("float32")
    y[rs.rand(*shape) < 0.2] = 255
    return torch.from_numpy(p), torch.from_numpy(y)


def brute_force(p, y):
    p, y = p.double().numpy().ravel(), y.numpy().ravel()
    p, y = p[y != 255], y[y != 255] == 1
    curve = []
    for k in range(1, 100):
        called = p >= k / 100
        tp, fp, fn = (called & y).sum(), (called & ~y).sum(), (~called & y).sum()
        curve.append(2 * tp / (2 * tp + fp + fn))
    return np.array(curve)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.booleans())
def test_curve_against_brute_force(seed, grid):
    p, y = sample(seed, grid=grid)
    metric = PixelEdges()
    metric.update(p, y)
    want = brute_force(p, y)
    np.testing.assert_allclose(f_curve(metric.state["positive"], metric.state["negative"]), want, rtol=1e-14)
    assert metric.compute()["f"] == pytest.approx(want.max())
    assert metric.best_threshold() == (want.argmax() + 1) / 100


def test_thresholds_are_the_99_hundredths():
    assert THRESHOLDS.tolist() == [k / 100 for k in range(1, 100)]


def test_all_positive_prediction_gives_the_prior_f():
    y = sample(3)[1]
    n, edges = int((y != 255).sum()), int((y == 1).sum())
    metric = PixelEdges()
    metric.update(torch.full_like(y, 0.5), y)
    assert metric.compute()["f"] == pytest.approx(2 * edges / (n + edges))
    assert metric.best_threshold() == 0.01


@pytest.mark.parametrize(("p", "y"), [(0.5, 0.0), (0.0, 0.0), (0.5, 255.0)], ids=["no edge", "both empty", "ignored"])
def test_undefined_is_nan(p, y):
    metric = PixelEdges()
    metric.update(torch.full((1, 1, 2, 2), p), torch.full((1, 1, 2, 2), y))
    assert math.isnan(metric.compute()["f"])
    assert math.isnan(metric.best_threshold())


def test_nan_prediction_is_not_the_highest_probability():
    p, y = sample(4)
    broken = torch.where(y == 1, math.nan, p)
    for metric in (PixelEdges(), EdgeBCE()):
        metric.update(broken, y)
        assert all(math.isnan(v) for v in metric.compute().values())
    metric = PixelEdges()
    metric.update(torch.where(y == 255, math.nan, p), y)
    assert metric.compute()["f"] == pytest.approx(brute_force(p, y).max())


def test_bce_is_the_weighted_loss_over_valid_pixels():
    logits = torch.randn(2, 1, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 4
    y = sample(5)[1]
    valid = y != 255
    edge = (y == 1).double()
    loss = F.binary_cross_entropy_with_logits(logits, edge, reduction="none") * (0.95 * edge + 0.05 * (1 - edge))
    metric = EdgeBCE()
    metric.update(logits.sigmoid(), y)
    assert metric.compute()["bce"] == pytest.approx(float(loss[valid].mean()), rel=1e-9)


def test_bce_of_a_certain_mistake_is_bounded():
    metric = EdgeBCE()
    metric.update(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
    assert metric.compute()["bce"] == pytest.approx(0.95 * 24 * math.log(2))
    assert math.isnan(EdgeBCE().compute()["bce"])


def test_logits_are_refused():
    p, y = sample(6)
    with pytest.raises(SpecError, match="not logits"):
        PixelEdges().update(p * 4 - 2, y)
    with pytest.raises(SpecError, match=r"\(B, 1, H, W\)"):
        EdgeBCE().update(p[:, 0], y[:, 0])
