import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import MeanAbsoluteError, MeanSquaredError

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.absolute import AbsoluteError


def sample(seed, images=4):
    g = torch.Generator().manual_seed(seed)
    p, t = torch.randn(2, images, 1, 5, 7, generator=g)
    t[torch.rand(t.shape, generator=g) < 0.1] = 0.0
    t[torch.rand(t.shape, generator=g) < 0.3] = math.nan
    return p, t


def figures(p, t, chunks=None):
    metric = AbsoluteError()
    for rows in chunks or [slice(None)]:
        metric.update(p[rows], t[rows])
    return metric.compute()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([math.nan, math.inf, -5.0]))
def test_against_brute_force_whatever_is_at_invalid_pixels(seed, junk):
    p, t = sample(seed)
    pairs = zip(p.flatten().tolist(), t.flatten().tolist(), strict=True)
    errors = [abs(a - b) for a, b in pairs if not math.isnan(b)]
    n = len(errors)
    want = {"abs_err": math.fsum(errors) / n, "rmse": math.sqrt(math.fsum(e * e for e in errors) / n)}
    p = torch.where(t.isnan(), junk, p)
    assert figures(p, t) == pytest.approx(want, rel=1e-13)
    assert figures(p.flip(-1), t.flip(-1)) == pytest.approx(want, rel=1e-13)
    assert want["abs_err"] <= want["rmse"]


def test_against_torchmetrics():
    p, t = sample(0)
    valid = ~t.isnan()
    got = figures(p, t)
    assert got["abs_err"] == pytest.approx(float(MeanAbsoluteError()(p[valid], t[valid])), rel=1e-6)
    assert got["rmse"] == pytest.approx(float(MeanSquaredError(squared=False)(p[valid], t[valid])), rel=1e-6)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)), cut=st.integers(0, 4))
def test_batches_order_and_merging_change_nothing(seed, order, cut):
    p, t = sample(seed)
    want = figures(p, t)
    assert figures(p, t, [[i] for i in order]) == pytest.approx(want, rel=1e-12)
    halves = AbsoluteError(), AbsoluteError()
    for metric, rows in zip(halves, (order[:cut], order[cut:]), strict=True):
        metric.update(p[rows], t[rows])
    assert halves[0].merge(halves[1]).compute() == pytest.approx(want, rel=1e-12)


def test_zero_is_a_value():
    t = torch.tensor([0.0, math.nan]).view(1, 1, 1, 2)
    assert figures(torch.full_like(t, 3.0), t) == {"abs_err": 3.0, "rmse": 3.0}


def test_the_mean_is_over_pixels_not_over_images():
    t = torch.full((2, 1, 1, 3), math.nan)
    t[0, 0, 0, 0], t[1] = 4.0, 0.0
    assert figures(torch.zeros_like(t), t)["abs_err"] == 1.0


def test_nothing_valid_and_non_finite():
    p, t = sample(1)
    for got in (AbsoluteError().compute(), figures(p, torch.full_like(t, math.nan))):
        assert list(got) == list(AbsoluteError.better)
        assert all(math.isnan(v) for v in got.values())
    where = tuple(np.argwhere(~t.isnan().numpy())[0])
    for bad in (math.nan, math.inf, -math.inf):
        p[where] = bad
        assert all(math.isnan(v) for v in figures(p, t).values())


def test_sums_are_kept_in_double_precision():
    t = torch.zeros(1, 1, 1000, 1000)
    assert figures(torch.full_like(t, 0.1), t)["abs_err"] == pytest.approx(float(torch.tensor(0.1)), rel=1e-12)


def test_bad_input():
    p, t = sample(2)
    with pytest.raises(DataError, match="map: label holds infinity"):
        figures(p, torch.where(t > 0, -math.inf, t))
    with pytest.raises(SpecError, match=r"should both be \(B, 1, H, W\)"):
        figures(p[:, 0], t[:, 0])
    with pytest.raises(SpecError, match="map"):
        figures(p[..., 1:], t)
