import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from torchmetrics import MeanAbsoluteError, MeanSquaredError

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.depth import (
    FIGURES,
    CappedDepth,
    InverseDepth,
    PooledDepth,
    depth_figures,
    depth_sums,
    image_sums,
)


def vector_d1():
    rs = RandomState(5)
    gt = 0.5 + 9.5 * rs.rand(3, 10, 14)
    pred = gt * np.exp(0.2 * rs.randn(3, 10, 14))
    invalid = rs.rand(3, 10, 14) < np.array([0.1, 0.3, 0.5])[:, None, None]
    return pred, np.where(invalid, 0, gt)


def figures(pred, gt, make=PooledDepth):
    metric = make()
    metric.update(torch.as_tensor(pred)[:, None], torch.as_tensor(gt)[:, None])
    return metric.compute()


def core(pred, gt, **rules):
    return depth_figures(depth_sums(torch.as_tensor(pred)[:, None], torch.as_tensor(gt)[:, None], **rules))


def brute_force(pred, gt, near=0.0, far=math.inf):
    """The figures from Python numbers, pixel by pixel."""
    pairs = [(p, g) for p, g in zip(pred.ravel().tolist(), gt.ravel().tolist(), strict=True) if near < g < far]
    pairs = [(1e-9 if p <= 0 else p, g) for p, g in pairs]

    def mean(f):
        return math.fsum(f(p, g) for p, g in pairs) / len(pairs)

    want = {
        "rmse": math.sqrt(mean(lambda p, g: (p - g) ** 2)),
        "log_rmse": math.sqrt(mean(lambda p, g: (math.log(p) - math.log(g)) ** 2)),
        "abs_err": mean(lambda p, g: abs(p - g)),
        "rel": mean(lambda p, g: abs(p - g) / g),
        "sq_rel": mean(lambda p, g: (p - g) ** 2 / g),
        "log10": mean(lambda p, g: abs(math.log10(p) - math.log10(g))),
    }
    return want | {f"delta{k}": mean(lambda p, g, k=k: max(p / g, g / p) < 1.25**k) for k in (1, 2, 3)}


def pick(values, want):
    return {k: values[k] for k in want}


D1 = {
    "rmse": 1.1876495,
    "log_rmse": 0.1899152,
    "rel": 0.1526421,
    "abs_err": 0.8208269,
    "sq_rel": 0.2074139,
    "log10": 0.0657023,
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
    assert all(math.isnan(v) for v in got.values())


def test_vector_d4_negative_prediction():
    pred, gt = vector_d1()
    assert gt[0, 0, 0] == pytest.approx(2.608935, rel=1e-6)
    pred[0, 0, 0] = -1
    want = {"rmse": 1.1961460, "log_rmse": 1.2381817, "rel": 0.1550109, "sq_rel": 0.2151772, "abs_err": 0.8270068}
    assert pick(figures(pred, gt), want) == pytest.approx(want, rel=3e-7)
    assert figures(pred, gt, CappedDepth)["rmse"] == pytest.approx(0.8443820, rel=1e-6)


def test_vector_d3_nan_is_not_counted_as_a_miss_alone():
    pred, gt = vector_d1()
    pred[0, 0, 0] = np.nan
    sums = depth_sums(torch.as_tensor(pred)[:, None], torch.as_tensor(gt)[:, None])
    assert int(sums["below2"]) / int(sums["pixels"]) == pytest.approx(0.9713376, rel=1e-6)  # the spec's delta_2
    assert int(sums["non_finite"]) == 1
    assert all(math.isnan(v) for v in depth_figures(sums).values())  # but a figure it is not


def test_vector_without_a_floor():
    pred, gt = vector_d1()
    assert core(pred, gt, floor=None) == core(pred, gt)
    pred[0, 0, 0] = -1
    got = core(pred, gt, floor=None)
    assert got["rmse"] == pytest.approx(1.2043951, rel=1e-6)
    assert math.isnan(got["log_rmse"])
    assert math.isnan(got["log10"])
    assert got["delta3"] == pytest.approx(313 / 314)  # the ratio of -1 is below 1.25^3, yet not within it


def test_vector_with_a_cap():
    pred, gt = vector_d1()
    got = figures(pred, gt, CappedDepth)
    assert got["rmse"] == pytest.approx(0.8251431, rel=1e-6)
    assert got == pytest.approx(brute_force(pred, gt, far=6.5535), rel=1e-12)
    assert list(got) == list(FIGURES)


def test_vector_of_mt_cp():
    rs = RandomState(31)
    capped, pooled = CappedDepth(), PooledDepth()
    for _ in range(2):
        gt = rs.uniform(0.5, 9, (2, 1, 30, 40))
        pred = gt + 0.4 * rs.standard_normal(gt.shape)
        gt[rs.uniform(size=gt.shape) < 0.1] = 0
        for metric in (capped, pooled):
            metric.update(torch.from_numpy(pred.astype("float32")), torch.from_numpy(gt.astype("float32")))
    assert (int(capped.state["pixels"]), int(pooled.state["pixels"])) == (3055, 4301)
    assert capped.compute()["rmse"] == pytest.approx(0.4100683, abs=5e-8)
    assert capped.compute()["log_rmse"] == pytest.approx(1.295003, abs=5e-7)
    assert pooled.compute()["rmse"] == pytest.approx(0.4073035, abs=5e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_cap_is_strict_and_on_the_label_alone(dtype):
    gt = np.array([[[6.5535, 6.5, 9.0, 0.0]]], dtype=dtype)
    assert figures(np.full_like(gt, 50.0), gt, CappedDepth)["abs_err"] == 43.5


def test_vector_with_a_range():
    pred, gt = vector_d1()
    assert core(pred, gt, near=0.0, far=80.0) == figures(pred, gt)
    far = np.where(gt > 8, gt + 80, gt)
    assert core(pred, far, near=0.0, far=80.0) == pytest.approx(brute_force(pred, np.where(gt > 8, 0, gt)), rel=1e-12)
    assert core(pred, gt, near=2.0, far=8.0) == pytest.approx(brute_force(pred, gt, 2.0, 8.0), rel=1e-12)


def test_vector_of_the_jtr_depth_meter():
    pred = 4 * RandomState(19).rand(2, 4, 6) - 0.5
    gt = 4 * RandomState(20).rand(2, 4, 6)
    gt[gt < 0.8] = 0
    assert (gt > 0).sum() == 41
    want = {"rmse": 1.72111268, "abs_err": 1.46115874}
    assert figures(pred, gt, InverseDepth) == pytest.approx(want, rel=1e-8)
    want["log_rmse"] = 9.58604546
    assert pick(figures(pred, gt), want) == pytest.approx(want, rel=1e-8)


def test_vector_m5():
    rs = RandomState(107)
    metric = PooledDepth()
    each = []  # root mean squared error of every image
    valid = floored = 0
    for _ in range(2):
        gt = (9 * rs.rand(6, 7) + 0.5).astype("float32")
        gt[rs.rand(6, 7) < 0.2] = 0
        pred = gt + (0.6 * rs.randn(6, 7)).astype("float32")
        valid += (gt > 0).sum()
        floored += ((pred <= 0) & (gt > 0)).sum()
        metric.update(torch.from_numpy(pred)[None, None], torch.from_numpy(gt)[None, None])
        each.append(figures(pred[None], gt[None])["rmse"])
    assert (valid, floored) == (68, 1)
    assert np.mean(each) == pytest.approx(0.60224725, rel=1e-6)  # what a mean over images would be
    want = {"rmse": 0.59990093, "log_rmse": 2.54404833, "rel": 0.13885188}
    want |= {"delta1": 0.80882353, "delta2": 0.94117647, "delta3": 0.95588235}
    assert pick(metric.compute(), want) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("make", [PooledDepth, CappedDepth, InverseDepth])
def test_no_valid_pixel_is_nan(make):
    assert all(math.isnan(v) for v in figures(np.ones((1, 2, 2)), np.zeros((1, 2, 2)), make).values())
    assert all(math.isnan(v) for v in make().compute().values())
    assert list(make().compute()) == list(make.better)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([math.nan, math.inf, -3.0, 1e30]))
def test_against_brute_force_whatever_is_at_invalid_pixels(seed, junk):
    rs = RandomState(seed)
    gt = np.where(rs.rand(2, 4, 5) < 0.3, 0, 9 * rs.rand(2, 4, 5) + 0.1)
    pred = gt + rs.randn(2, 4, 5)
    want = brute_force(pred, gt)
    pred[gt == 0] = junk
    assert figures(pred, gt) == pytest.approx(want, rel=1e-12)
    assert figures(pred[::-1, :, ::-1].copy(), gt[::-1, :, ::-1].copy()) == pytest.approx(want, rel=1e-12)
    assert 0 <= want["delta1"] <= want["delta2"] <= want["delta3"] <= 1


def test_image_sums_are_those_of_each_image():
    pred, gt = (torch.from_numpy(a)[:, None] for a in vector_d1())
    got = image_sums(pred, gt, far=7.0)
    for i in range(3):
        want = depth_sums(pred[i : i + 1], gt[i : i + 1], far=7.0)
        assert {name: float(value[i]) for name, value in got.items()} == pytest.approx(
            {name: float(value) for name, value in want.items()}, rel=1e-13
        )


def test_units():
    metres, ratios = ("rmse", "abs_err", "sq_rel"), ("log_rmse", "rel", "log10")
    want = (
        dict.fromkeys(metres, "m")
        | dict.fromkeys(ratios, "")
        | dict.fromkeys(("delta1", "delta2", "delta3"), "fraction")
    )
    assert {name: PooledDepth().unit(name) for name in PooledDepth.better} == want
    assert {InverseDepth().unit(name) for name in InverseDepth.better} == {""}


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
