import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchmetrics import F1Score

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.edges import THRESHOLDS, EdgeBCE, MacroF1, PixelEdges, f_curve


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


def macro(p, y):
    metric = MacroF1()
    metric.update(p, y)
    return metric.compute(), metric.state["confusion"].tolist()


def vector_f1():
    rs = np.random.RandomState(7)
    y = rs.rand(2, 16, 16) < 0.12
    p = y ^ (rs.rand(2, 16, 16) < 0.08)
    return torch.from_numpy(p)[:, None].float(), torch.from_numpy(y)[:, None].float()


F1_VECTORS = {
    "F1a": (1, 1, 0.83535534, 0.72151899, 0.94919169, [[411, 38], [6, 57]]),
    "F1b": (0, 1, 0.46722164, 0.0, 0.93444329, [[449, 0], [63, 0]]),
    "F1c": (1, 0, 0.44886975, 0.0, 0.89773950, [[417, 95], [0, 0]]),
    "F1d": (0, 0, 1.0, math.nan, 1.0, [[512, 0], [0, 0]]),
}


@pytest.mark.parametrize(("p", "y", "f1", "edge", "background", "confusion"), F1_VECTORS.values(), ids=F1_VECTORS)
def test_macro_f1_vectors(p, y, f1, edge, background, confusion):
    decided, label = vector_f1()
    got, counts = macro(p * decided, y * label)
    want = {"f1": f1, "f1_edge": edge, "f1_background": background}
    assert got == pytest.approx(want, rel=1e-7, nan_ok=True)
    assert counts == confusion


def test_macro_f1_of_two_channels_is_the_arg_max():
    rs = np.random.RandomState(3)
    logits = [torch.from_numpy(rs.randn(2, 2, *size)) for size in ((8, 12), (4, 6))]
    y = torch.from_numpy(rs.rand(2, 8, 12) > 0.8)[:, None].float()
    logits[1] = F.interpolate(logits[1], size=(8, 12), mode="bilinear", align_corners=True)
    want = [(0.3762183, 0.1228070, 0.6296296), (0.4519766, 0.1836735, 0.7202797)]
    confusions = [[[85, 78], [22, 7]], [[103, 60], [20, 9]]]
    for x, figures, confusion in zip(logits, want, confusions, strict=True):
        got, counts = macro(x.softmax(1)[:, 1:], y)
        assert tuple(got.values()) == pytest.approx(figures, rel=1e-6)
        assert counts == confusion


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(0, 1))
def test_macro_f1_against_torchmetrics_whatever_is_ignored(seed, junk):
    p, y = sample(seed)
    valid = y != 255
    got, counts = macro(torch.where(valid, p, junk), y)
    each = F1Score(task="multiclass", num_classes=2, average="none")((p > 0.5).long()[valid], y.long()[valid])
    assert (got["f1_background"], got["f1_edge"]) == pytest.approx(tuple(each.tolist()), rel=1e-6)
    assert got["f1"] == pytest.approx(float(each.mean()), rel=1e-6)
    assert 0 <= min(got.values()) <= max(got.values()) <= 1
    assert sum(map(sum, counts)) == int(valid.sum())
    assert macro(p.flip(0, -1), y.flip(0, -1)) == (got, counts)


def test_macro_f1_calls_a_tie_background():
    got, counts = macro(torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[1.0, 0.0]]]]))
    assert counts == [[1, 0], [1, 0]]
    assert got["f1_edge"] == 0.0


def test_macro_f1_of_nothing_and_of_broken_input():
    p, y = sample(7)
    ignored, broken = torch.full_like(y, 255), torch.where(y == 1, math.nan, p)
    for got in (MacroF1().compute(), macro(p, ignored)[0], macro(broken, y)[0]):
        assert list(got) == list(MacroF1.better)
        assert all(math.isnan(v) for v in got.values())
    assert macro(torch.where(y == 255, math.nan, p), y) == macro(p, y)
    with pytest.raises(SpecError, match="not logits"):
        macro(p * 4 - 2, y)
    with pytest.raises(DataError, match="NaN"):
        macro(p, y * math.nan)
    with pytest.raises(SpecError, match=r"\(B, 1, H, W\)"):
        macro(p[:, 0], y[:, 0])


@pytest.mark.parametrize("make", [PixelEdges, EdgeBCE, MacroF1])
@pytest.mark.parametrize("value", [2.0, -1.0, 0.5, 254.0])
def test_labels_that_are_none(make, value):
    target = torch.zeros(1, 1, 3, 3)
    target[..., 1, 1] = value
    with pytest.raises(DataError, match=rf"edges: label holds the value {value:g}\. Labels are 0, 1, or 255"):
        make().update(torch.zeros(1, 1, 3, 3), target)
