import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.normals import PooledNormals
from mtlrepro.metrics.normals_columns import ColumnNormals, column_angles


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def vector(seed, invalid):
    rs = RandomState(seed)
    g = unit(rs.randn(2, 3, 8, 10))
    p = unit(g + 0.3 * rs.randn(2, 3, 8, 10))
    if invalid:
        inv = rs.rand(2, 8, 10) < np.array([0.1, 0.4])[:, None, None]
        g = np.where(inv[:, None], 0, g)
    return p, g


def figures(p, g, make=ColumnNormals):
    metric = make()
    metric.update(torch.as_tensor(p), torch.as_tensor(g))
    return metric.compute()


def wanted(mean, median, rmse, *sixtieths):
    names = ("within_11", "within_22", "within_30")
    shares = {name: 100 * n / 60 for name, n in zip(names, sixtieths, strict=True)}  # 2 images, 30 values each
    return {"mean": mean, "median": median, "rmse": rmse} | shares


def test_vectors_n0_n1_n2():
    n0 = wanted(24.272223, 22.452662, 25.854202, 1, 28, 48)
    assert figures(*vector(0, invalid=False)) == pytest.approx(n0, rel=1e-6)
    p, g = vector(6, invalid=True)
    n1 = wanted(40.689552, 38.603087, 44.466291, 0, 10, 18)
    assert figures(p, g) == pytest.approx(n1, rel=1e-6)
    assert figures(p.astype("float32"), g.astype("float32")) == pytest.approx(n1, rel=1e-6)
    p[0, :, 0, 0] = 0
    assert figures(p, g) == pytest.approx(wanted(41.158018, 38.793060, 44.774448, 0, 9, 17), rel=1e-6)


def test_it_is_not_the_angular_error():
    p, g = vector(0, invalid=False)
    assert figures(p, g)["mean"] > figures(p, g, PooledNormals)["mean"] + 2.5


def test_vectors_of_released_code_on_whole_normals():
    rs = RandomState(5)
    g, p = (unit(rs.randn(2, 3, 6, 8)) for _ in range(2))
    assert figures(p, g)["mean"] == pytest.approx(94.49020, rel=1e-6)
    v, u = np.mgrid[:48, :64]
    g = unit(np.stack([np.sin(u / 9), np.cos(v / 7), 1 + 0.3 * np.sin((u + v) / 11)])[None])
    g = np.concatenate([g, g[:, :, ::-1]])
    p = g + 0.25 * RandomState(10).randn(2, 3, 48, 64)
    assert figures(p, g)["mean"] == pytest.approx(28.02180, rel=1e-6)  # the length of a prediction matters
    assert figures(unit(p), g)["mean"] == pytest.approx(24.62900, rel=1e-6)


def brute_force(p, g):
    """Figures from Python numbers: a value per component and column, of each image by itself."""
    rows = []
    for a, b in zip(p, g, strict=True):
        values = []
        for c in range(3):
            for x in range(a.shape[2]):
                near = math.hypot(*(a[c, :, x] - b[c, :, x]).tolist())
                far = math.hypot(*(a[c, :, x] + b[c, :, x]).tolist())
                values.append(math.degrees(2 * math.atan2(near, far)))
        values = np.array(values)
        lower = np.sort(values)[(values.size - 1) // 2]
        shares = [100 * (values < limit).mean() for limit in (11.25, 22.5, 30)]
        rows.append([values.mean(), lower, (values**2).mean(), *shares])
    mean = np.mean(rows, axis=0)
    mean[2] = math.sqrt(mean[2])
    return dict(zip(ColumnNormals.better, mean.tolist(), strict=True))


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), width=st.integers(1, 6), order=st.permutations(range(4)), cut=st.integers(0, 4))
def test_against_brute_force_in_any_order_and_split(seed, width, order, cut):
    rs = RandomState(seed)
    g = unit(rs.randn(4, 3, 5, width)) * (rs.rand(4, 1, 5, width) < 0.8)
    p = g + 0.3 * rs.randn(4, 3, 5, width)
    want = brute_force(p, g)
    assert figures(p, g) == pytest.approx(want, rel=1e-10, abs=1e-10)
    halves = ColumnNormals(), ColumnNormals()
    for i, image in enumerate(order):
        halves[i >= cut].update(torch.from_numpy(p[image][None]), torch.from_numpy(g[image][None]))
    assert halves[0].merge(halves[1]).compute() == pytest.approx(want, rel=1e-10, abs=1e-10)
    assert figures(p[..., ::-1].copy(), g[..., ::-1].copy()) == pytest.approx(want, rel=1e-10, abs=1e-10)
    assert figures(p[:, :, ::-1].copy(), g[:, :, ::-1].copy()) == pytest.approx(want, rel=1e-10, abs=1e-10)


def test_maps_higher_than_a_strip():
    rs = RandomState(0)
    p, g = rs.randn(2, 1, 3, 150, 4)
    assert figures(p, g) == pytest.approx(brute_force(p, g), rel=1e-12)


def test_images_weigh_the_same_whatever_is_invalid():
    p, g = vector(6, invalid=True)
    each = [figures(p[i : i + 1], g[i : i + 1])["mean"] for i in range(2)]
    assert figures(p, g)["mean"] == pytest.approx(sum(each) / 2)
    empty = np.zeros_like(g[:1])  # no mask: an image without a label counts with 90 degrees throughout
    assert figures(p[:1], empty)["mean"] == pytest.approx(90.0)


def test_a_perfect_prediction():
    g = vector(0, invalid=False)[1]
    assert figures(g, g) == pytest.approx(wanted(0, 0, 0, 60, 60, 60))


def test_nothing_seen_and_non_finite():
    assert list(ColumnNormals().compute()) == list(ColumnNormals.better)
    assert all(math.isnan(v) for v in ColumnNormals().compute().values())
    for bad in (math.nan, math.inf):
        p, g = vector(6, invalid=True)
        p[0, 2, 3, 1] = bad
        values = column_angles(torch.as_tensor(p), torch.as_tensor(g))
        assert values.isnan().nonzero().tolist() == [[0, 2, 1]]
        assert all(math.isnan(v) for v in figures(p, g).values())


def test_bad_input():
    p, g = vector(6, invalid=True)
    with pytest.raises(SpecError, match=r"should both be \(B, 3, H, W\)"):
        figures(p[:, :2], g[:, :2])
    with pytest.raises(DataError, match="normals"):
        figures(p, g * math.nan)
