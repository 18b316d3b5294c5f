import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from torch.nn import functional as F

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.depth import PooledDepth, depth_figures, depth_sums
from mtlrepro.metrics.depth_images import ImageDepth, ImageDepthMedian, ImageMeanDepth, range_figures, range_sums

ALL = pytest.mark.parametrize("make", [ImageDepth, ImageDepthMedian, ImageMeanDepth])


def vector_d1(negative=False):
    rs = RandomState(5)
    gt = 0.5 + 9.5 * rs.rand(3, 10, 14)
    pred = gt * np.exp(0.2 * rs.randn(3, 10, 14))
    invalid = rs.rand(3, 10, 14) < np.array([0.1, 0.3, 0.5])[:, None, None]
    if negative:
        pred[0, 0, 0] = -1
    return torch.from_numpy(pred)[:, None], torch.from_numpy(np.where(invalid, 0, gt))[:, None]


def figures(make, pred, gt, chunks=None):
    metric = make()
    for rows in chunks or [slice(None)]:
        metric.update(pred[rows], gt[rows])
    return metric.compute()


def core(pred, gt, **rules):
    return range_figures(range_sums(pred, gt, **rules))


def pick(values, want):
    return {k: values[k] for k in want}


D1 = {"rmse": 1.1659621, "rel": 0.1510873, "sq_rel": 0.2010737, "delta1": 0.7709605, "delta2": 0.9739520, "delta3": 1.0}
D4 = {"rmse": 1.1731490, "rel": 0.1530540, "sq_rel": 0.2075172}
D4 |= {"delta1": 0.7709605, "delta2": 0.9713064, "delta3": 0.9973545}
D1_MEDIAN = {"rmse": 1.2233454, "rel": 0.1594809, "delta1": 0.7315324}
D4_MEDIAN = {"rmse": 1.2304451, "rel": 0.1616540, "delta1": 0.7288869}


@pytest.mark.parametrize("negative", [False, True], ids=["D1", "D4"])
def test_vectors_of_the_core(negative):
    pred, gt = vector_d1(negative)
    assert core(pred, gt, near=1e-3, far=80.0) == pytest.approx(D4 if negative else D1, rel=1e-6)
    want = D4_MEDIAN if negative else D1_MEDIAN
    assert pick(core(pred, gt, median=True), want) == pytest.approx(want, rel=1e-6)


def test_vectors_of_the_mean_over_images():
    got = figures(ImageMeanDepth, *vector_d1())
    want = {"rmse": 1.1578078, "abs_err": 0.8090598, "rel": 0.1510873}
    want |= pick(D1, ("sq_rel", "delta1", "delta2", "delta3"))
    assert pick(got, want) == pytest.approx(want, rel=1e-6)
    assert set(got) == set(PooledDepth.better) - {"log10"}


def test_vectors_of_released_code_in_inverse_units():
    """Labels and predictions are drawn as inverse depth; the released conversion is 0.99 m short of metres."""
    rs = RandomState(1)
    d = 2 + 58 * rs.rand(2, 1, 8, 12)
    d[0, 0, 0, :3] = 0.5, 90, 655.35
    z0 = 65536 / (100 * d + 1) * np.exp(0.2 * rs.randn(2, 1, 8, 12))
    z1 = 65536 / (100 * (2 + 58 * rs.rand(2, 1, 4, 6)) + 1)
    mask = rs.rand(2, 1, 8, 12) > 0.1
    assert (z0.sum(), z1.sum(), mask.sum()) == pytest.approx((10230.9326, 2049.8779, 173), rel=1e-7)
    gt = torch.from_numpy(np.where(mask, d, 0))
    whole = torch.from_numpy(z0)
    half = F.interpolate(torch.from_numpy(z1), size=(8, 12), mode="bilinear", align_corners=True)
    want = {ImageDepth: (6.690981, 23.649757), ImageDepthMedian: (7.584157, 28.847137)}  # float32 in the code
    for make, values in want.items():
        got = [figures(make, 655.36 / z - 0.01, gt)["rmse"] for z in (whole, half)]
        assert got == pytest.approx(values, rel=1e-6)
    shifted = [core(655.36 / z - 0.01, gt, offset=0.99) for z in (whole, half)]
    assert [v["rel"] for v in shifted] == pytest.approx([0.165643, 1.688125], rel=4e-6)
    assert [v["delta1"] for v in shifted] == pytest.approx([0.700617, 0.127778], rel=2e-6)
    assert core(655.36 / whole - 0.01, gt)["rmse"] == pytest.approx(6.670426, rel=1e-6)
    unshifted = core(655.36 / whole - 0.01, gt, median=True)["rmse"]
    assert abs(unshifted - 7.584157) > 0.05  # medians of the depths themselves do not reproduce the code


def test_order_of_root_and_mean():
    pred, gt = vector_d1()
    each = [depth_figures(depth_sums(pred[i : i + 1], gt[i : i + 1])) for i in range(3)]
    mean = {name: sum(v[name] for v in each) / 3 for name in ImageMeanDepth.better}
    assert figures(ImageMeanDepth, pred, gt) == pytest.approx(mean, rel=1e-12)
    assert core(pred, gt)["rmse"] == pytest.approx(math.sqrt(sum(v["rmse"] ** 2 for v in each) / 3), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_labels_in_range_and_clamped_predictions(dtype):
    gt = torch.tensor([0.0, 0.5, 0.99, 81.0, 200.0, 0.995, 80.9], dtype=dtype).view(1, 1, 1, -1)
    pred = torch.tensor([9.0, 9.0, 9.0, 9.0, 9.0, -5.0, 500.0], dtype=dtype).view(1, 1, 1, -1)
    want = math.sqrt(((0.995 - 0.991) ** 2 + (80.99 - 80.9) ** 2) / 2)
    assert figures(ImageDepth, pred, gt)["rmse"] == pytest.approx(want, rel=1e-3 if dtype == torch.float32 else 1e-9)
    got = core(pred, gt)  # without the shift 0.5, 0.99 and 0.995 count, and 80.9 does not
    assert got["rmse"] == pytest.approx(math.sqrt((8.5**2 + 8.01**2 + 0.994**2) / 3), rel=1e-6)


def test_the_median_is_the_lower_one_and_scales_before_the_clamp():
    gt = torch.tensor([2.0, 4.0, 6.0, 70.0]).view(1, 1, 1, 4)
    pred = torch.tensor([1.0, 2.0, 30.0, 50.0]).view(1, 1, 1, 4)  # times 4 / 2, then at most 80
    want = math.sqrt((0 + 0 + (60 - 6) ** 2 + (80 - 70) ** 2) / 4)
    assert core(pred, gt, median=True)["rmse"] == pytest.approx(want, rel=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.05, 20))
def test_a_prediction_right_up_to_a_factor_behind_the_shift_is_perfect(seed, factor):
    rs = RandomState(seed)
    gt = torch.from_numpy(np.where(rs.rand(3, 1, 5, 6) < 0.2, 0, 2 + 60 * rs.rand(3, 1, 5, 6)))
    assert figures(ImageDepthMedian, 0.99 + factor * (gt - 0.99), gt)["rmse"] == pytest.approx(0, abs=1e-9)


@ALL
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)), cut=st.integers(0, 4))
def test_batches_order_merging_flips_and_invalid_pixels_change_nothing(make, seed, order, cut):
    rs = RandomState(seed)
    gt = np.where(rs.rand(4, 1, 5, 6) < 0.3, 0, 1 + 9 * rs.rand(4, 1, 5, 6))
    gt[2] = 0  # an image without a label
    pred = np.where(gt == 0, rs.choice([np.nan, np.inf, -1.0], (4, 1, 5, 6)), gt * np.exp(0.2 * rs.randn(4, 1, 5, 6)))
    pred, gt = torch.from_numpy(pred), torch.from_numpy(gt)
    want = pytest.approx(figures(make, pred, gt), rel=1e-12)
    assert figures(make, pred, gt, [[i] for i in order]) == want
    assert figures(make, pred, gt, [[0, 1, 3]]) == want
    assert figures(make, pred.flip(-1), gt.flip(-1)) == want
    halves = make(), make()
    for metric, rows in zip(halves, (order[:cut], order[cut:]), strict=True):
        if rows:
            metric.update(pred[rows], gt[rows])
    merged = halves[0].merge(halves[1])
    assert merged.compute() == want
    assert int(merged.state["images"]) == 3


@ALL
def test_no_valid_pixel_is_nan(make):
    blank = torch.zeros(2, 1, 3, 4)
    for got in (make().compute(), figures(make, blank + 1, blank)):
        assert list(got) == list(make.better)
        assert all(math.isnan(v) for v in got.values())


@ALL
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_at_a_valid_pixel_is_never_dropped(make, bad):
    pred, gt = vector_d1()
    assert gt[1, 0, 2, 3] > 1
    pred[1, 0, 2, 3] = bad
    assert all(math.isnan(v) for v in figures(make, pred, gt, [[0], [1], [2]]).values())


def test_predictions_with_a_median_of_zero_have_no_scale():
    gt = torch.full((1, 1, 1, 3), 2.0)
    assert math.isnan(core(torch.zeros_like(gt), gt, median=True)["rmse"])
    assert core(torch.zeros_like(gt), gt)["rmse"] == pytest.approx(1.999)


@ALL
def test_bad_input(make):
    pred, gt = vector_d1()
    with pytest.raises(SpecError, match=r"should both be \(B, 1, H, W\)"):
        make().update(pred[:, 0], gt[:, 0])
    with pytest.raises(DataError, match="depth: label holds NaN"):
        make().update(pred, torch.where(gt > 5, math.inf, gt))
