import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics import normals
from mtlrepro.metrics.depth import PooledDepth
from mtlrepro.metrics.normals import (
    PooledNormals,
    add_histograms,
    angle_bins,
    angle_degrees,
    histogram_median,
    valid_angles,
)


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


def wanted(mean, median, rmse, w11, w22, w30):
    return {"mean": mean, "median": median, "rmse": rmse, "within_11": w11, "within_22": w22, "within_30": w30}


N0 = wanted(21.298394, 19.827276, 24.064930, 18.75, 60.0, 80.625)
N1 = wanted(21.269560, 19.726528, 24.684482, 23.076923, 61.538462, 80.341880)
N2 = wanted(21.915070, 20.120193, 26.014678, 23.076923, 60.683761, 79.487179)


def small_images(seed, images=5):
    g = torch.Generator().manual_seed(seed)
    p, t = torch.randn(2, images, 3, 4, 5, generator=g)
    return p, torch.nn.functional.normalize(t, dim=1) * (torch.rand(images, 1, 4, 5, generator=g) < 0.7)


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
    want = wanted(20.6665643, 20.9425111, 23.8786737, 23.6111111, 54.1666667, 83.3333333)
    got = metric.compute()
    assert got.pop("median") == pytest.approx(want.pop("median"), abs=2**-17)
    assert got == pytest.approx(want, rel=1e-6)


def test_vector_of_the_jtr_normals_meter():
    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    p, g = (unit(RandomState(seed).standard_normal((1, 3, 4, 6))) for seed in (6, 7))
    g = np.where(RandomState(8).rand(1, 1, 4, 6) < 0.2, 0, g)
    want = wanted(85.643962, None, 93.068732, 0.0, 0.0, 4.761905)
    got = figures(p, g)
    del got["median"], want["median"]
    assert got == pytest.approx(want, rel=1e-7)


@pytest.mark.parametrize("bits", [0, 8])
def test_vector_of_mt_cp(bits):
    rs = RandomState(32)
    metric = PooledNormals()
    for _ in range(2):
        g = rs.standard_normal((2, 3, 30, 40))
        g /= np.linalg.norm(g, axis=1, keepdims=True)
        p = g + 0.3 * rs.standard_normal(g.shape)
        g = np.where(rs.uniform(size=(2, 1, 30, 40)) < 0.1, 0, g)
        p, g = torch.from_numpy(p.astype("float32")), torch.from_numpy(g.astype("float32"))
        stored = torch.trunc((torch.nn.functional.normalize(p, dim=1) + 1) * 255 / 2)
        metric.update(2 * stored / 255 - 1 if bits else p, g)
    assert int(metric.state["pixels"]) == 4347
    got = metric.compute()
    if bits:
        assert got["mean"] == pytest.approx(21.730636, abs=5e-6)
        return
    del got["rmse"]
    want = wanted(21.732087, 19.905234, None, 20.0368, 58.2701, 77.8928)
    assert got == pytest.approx({name: want[name] for name in got}, abs=5e-5)
    assert got["mean"] == pytest.approx(want["mean"], abs=5e-7)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_against_brute_force(seed, pixels):
    rs = RandomState(seed)
    p, g = rs.randn(2, pixels, 3)
    g[rs.rand(pixels) < 0.2] = 0
    angles = []
    for a, b in zip(p.tolist(), g.tolist(), strict=True):
        if any(b):
            cosine = sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
            angles.append(math.degrees(math.acos(max(-1, min(1, cosine)))))
    got = figures(*(x.T.reshape(1, 3, 1, pixels) for x in (p, g)))
    if not angles:
        assert all(math.isnan(v) for v in got.values())
        return
    angles = np.array(angles)
    shares = [100 * (angles < limit).mean() for limit in (11.25, 22.5, 30)]
    want = wanted(angles.mean(), np.median(angles), np.sqrt((angles**2).mean()), *shares)
    assert got == pytest.approx(want, rel=1e-9, abs=2e-5)
    assert got["median"] == pytest.approx(want["median"], abs=2**-17 + 1e-9)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(5)), cut=st.integers(0, 5))
def test_the_histogram_depends_on_neither_batches_nor_order_nor_merging(seed, order, cut):
    p, t = small_images(seed)
    want = torch.unique(angle_bins(valid_angles(p, t)), return_counts=True)
    parts = PooledNormals(), PooledNormals()
    for i, image in enumerate(order):
        parts[i >= cut].update(p[image][None], t[image][None])
        if i == 2:
            parts[0].state["counts"]  # reading in between counts what is there, and no more
    merged = parts[0].merge(parts[1])
    assert torch.equal(merged.state["angles"], want[0])
    assert torch.equal(merged.state["counts"], want[1])
    assert int(merged.state["counts"].sum()) == int(merged.state["pixels"])
    assert merged.compute()["median"] == pytest.approx(float(np.median(valid_angles(p, t))), abs=2**-17)


def test_state_is_never_behind(monkeypatch):
    p, t = small_images(1)
    metric = PooledNormals()
    assert metric.state["angles"].dtype == torch.int32
    for i in range(5):
        metric.update(p[i : i + 1], t[i : i + 1])
        assert int(metric.state["counts"].sum()) == int(metric.state["pixels"]) == int((t[: i + 1] != 0).any(1).sum())
    monkeypatch.setattr(normals, "_PENDING", 10)
    capped = PooledNormals()
    for i in range(5):
        capped.update(p[i : i + 1], t[i : i + 1])
        assert sum(bins.numel() for bins in capped._pending) <= 10
    assert all(torch.equal(value, metric.state[name]) for name, value in capped.state.items())


def test_state_that_is_set_replaces_everything():
    p, t = small_images(3)
    metric, other = PooledNormals(), PooledNormals()
    metric.update(p, t)
    other.update(p[:1], t[:1])
    metric.state = {name: value.clone() for name, value in other.state.items()}
    assert metric.compute() == other.compute()


def test_a_copy_with_another_state_leaves_the_first_alone():
    p, t = small_images(4)
    metric = PooledNormals()
    metric.update(p, t)
    other = copy.copy(metric)
    other.state = PooledNormals().state
    other.update(p[:2], t[:2])
    assert metric.compute() == figures(p, t)
    assert other.compute() == figures(p[:2], t[:2])


def test_units():
    assert {name: PooledNormals().unit(name) for name in PooledNormals.better} == {
        "mean": "deg",
        "median": "deg",
        "rmse": "deg",
        "within_11": "%",
        "within_22": "%",
        "within_30": "%",
    }


def test_many_entries_are_counted_as_few_are(monkeypatch):
    fresh = torch.randint(0, 50, (400,), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
    fresh[:3] = 180 * 2**16  # opposite vectors
    old = add_histograms(fresh[200:] + 25)
    few = add_histograms(fresh, old, old)
    monkeypatch.setattr(normals, "_FEW", 0)
    many = add_histograms(fresh, old, old)
    for a, b in zip(few, many, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    assert int(few[1].sum()) == 400 + 2 * 200
    empty = add_histograms(fresh[:0])
    assert [x.numel() for x in empty] == [0, 0]


def test_median_of_odd_and_even_counts():
    def median(*degrees):
        return histogram_median(*add_histograms(angle_bins(torch.tensor(degrees, dtype=torch.float64))))

    assert median(3.0, 1.0, 2.0) == 2.0
    assert median(3.0, 1.0, 2.0, 2.5) == 2.25
    assert median(7.0, 7.0, 7.0, 1.0) == 7.0
    assert median(180.0) == 180.0
    assert math.isnan(median())


def test_maps_higher_than_a_strip():
    p, t = small_images(2, images=30)
    tall = [x.movedim(0, 1).reshape(1, 3, 120, 5) for x in (p, t)]
    assert figures(*tall) == pytest.approx(figures(p, t), rel=1e-12)


def test_merging_another_protocol_is_refused():
    with pytest.raises(SpecError, match="cannot merge depth/pooled@1 into normals/pooled@1"):
        PooledNormals().merge(PooledDepth())


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
    hole[0, 1, 0, 0] = np.inf  # one component of one valid pixel
    assert (g[0, :, 0, 0] != 0).all()
    assert all(math.isnan(v) for v in figures(hole, g).values())
    hole[:] = np.nan
    assert all(math.isnan(v) for v in figures(hole, g).values())


def test_bad_input():
    p, g = (torch.from_numpy(a) for a in vector(6, invalid=True))
    with pytest.raises(SpecError, match=r"should both be \(B, 3, H, W\)"):
        PooledNormals().update(p[:, :2], g[:, :2])
    with pytest.raises(DataError, match="normals"):
        PooledNormals().update(p, g * math.nan)
