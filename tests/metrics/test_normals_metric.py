import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.normals import PooledNormals, angle_degrees


def vector(seed, invalid):
    rs = RandomState(seed)
    g = rs.randn(2, 3, 8, 10)
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    p = g + 0.3 * rs.randn(2, 3, 8, 10)
    p /= np.linalg.norm(p, axis=1, keepdims=True)
    if invalid:
        inv = rs.rand(2, 8, 10) < np.array([0.1, 0.4])[:, None, None]
        g = np.where(inv[:, None], 0, g)
    return p, g


def figures(p, g):
    metric = PooledNormals()
    metric.update(torch.as_tensor(p), torch.as_tensor(g))
    return metric.compute()


def wanted(mean, rmse, w11, w22, w30):
    return {"mean": mean, "rmse": rmse, "within_11": w11, "within_22": w22, "within_30": w30}


N0 = wanted(21.298394, 24.064930, 18.75, 60.0, 80.625)
N1 = wanted(21.269560, 24.684482, 23.076923, 61.538462, 80.341880)
N2 = wanted(21.915070, 26.014678, 23.076923, 60.683761, 79.487179)


def test_vectors_n0_n1_n2():
    assert figures(*vector(0, invalid=False)) == pytest.approx(N0, rel=1e-6)
    p, g = vector(6, invalid=True)
    assert ((g != 0).any(1).sum(), g.sum(), p.sum()) == pytest.approx((117, 2.21733320, -2.57610808), rel=1e-8)
    assert figures(p, g) == pytest.approx(N1, rel=1e-6)
    assert figures(p.astype("float32"), g.astype("float32")) == pytest.approx(N1, rel=1e-6)
    p[0, :, 0, 0] = 0  # a zero prediction is 90 degrees off
    assert figures(p, g) == pytest.approx(N2, rel=1e-6)


def test_vector_m3_from_8_bit_maps():
    rs = RandomState(105)
    metric = PooledNormals()
    for _ in range(2):
        g = rs.randn(6, 7, 3)
        g /= np.linalg.norm(g, axis=2, keepdims=True)
        g[rs.rand(6, 7) < 0.2] = 0
        q = g + 0.3 * rs.randn(6, 7, 3)
        q /= np.linalg.norm(q, axis=2, keepdims=True)
        stored = ((q + 1) * 255 / 2).astype("uint8")
        pred = 2 * stored.astype("float64") / 255 - 1
        metric.update(*(torch.from_numpy(a.transpose(2, 0, 1)[None]) for a in (pred, g)))
    want = wanted(20.6665643, 23.8786737, 23.6111111, 54.1666667, 83.3333333)
    assert metric.compute() == pytest.approx(want, rel=1e-6)


@given(st.floats(1e-9, math.pi - 1e-9), st.floats(0.01, 100))
def test_angle_is_exact_down_to_tiny_angles(theta, length):
    a = torch.tensor([length, 0.0, 0.0], dtype=torch.float64)
    b = torch.tensor([math.cos(theta), math.sin(theta), 0.0], dtype=torch.float64)
    assert float(angle_degrees(a, b, 0)) == pytest.approx(math.degrees(theta), rel=1e-6)


def test_limits_are_strict():
    theta = math.radians(30)
    p = torch.tensor([math.sin(theta), 0.0, -math.cos(theta)], dtype=torch.float64).view(1, 3, 1, 1)
    g = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64).view(1, 3, 1, 1)
    metric = PooledNormals()
    metric.update(p, g)
    exact = float(angle_degrees(p, g, 1))
    assert metric.compute()["within_30"] == (100.0 if exact < 30 else 0.0)
    assert metric.compute()["within_22"] == 0.0


def test_a_valid_normal_whose_components_cancel_counts():
    g = torch.tensor([1.0, -1.0, 0.0]).view(1, 3, 1, 1) / math.sqrt(2)
    assert figures(g, g)["mean"] == pytest.approx(0.0, abs=1e-9)


def test_nothing_valid_and_non_finite():
    p, g = vector(6, invalid=True)
    assert all(math.isnan(v) for v in figures(p, np.zeros_like(g)).values())
    hole = np.where((g != 0).any(1, keepdims=True), p, np.nan)
    assert figures(hole, g) == figures(p, g)
    hole[:] = np.nan
    assert all(math.isnan(v) for v in figures(hole, g).values())


def test_bad_input():
    p, g = (torch.from_numpy(a) for a in vector(6, invalid=True))
    with pytest.raises(SpecError, match=r"should both be \(B, 3, H, W\)"):
        PooledNormals().update(p[:, :2], g[:, :2])
    with pytest.raises(DataError, match="normals"):
        PooledNormals().update(p, g * math.nan)
