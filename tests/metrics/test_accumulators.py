"""What every accumulator promises: the figures do not depend on how the images came."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlrepro.errors import SpecError
from mtlrepro.metrics.depth import PooledDepth
from mtlrepro.metrics.edges import EdgeBCE, PixelEdges
from mtlrepro.metrics.normals import PooledNormals
from mtlrepro.metrics.segmentation import MeanIoU, MeanIoUPresent

B, H, W, C = 6, 5, 7, 4


def semseg(g):
    target = torch.randint(0, C, (B, H, W), generator=g)
    target[torch.rand(B, H, W, generator=g) < 0.3] = 255
    return torch.randint(0, C, (B, H, W), generator=g), target


def depth(g):
    target = torch.rand(B, 1, H, W, generator=g) * 10
    return target + torch.randn(B, 1, H, W, generator=g), target * (torch.rand(B, 1, H, W, generator=g) < 0.7)


def normals(g):
    prediction, target = torch.randn(2, B, 3, H, W, generator=g)
    return prediction, torch.nn.functional.normalize(target, dim=1) * (torch.rand(B, 1, H, W, generator=g) < 0.7)


def edges(g):
    target = (torch.rand(B, 1, H, W, generator=g) < 0.3).float()
    target[torch.rand(B, 1, H, W, generator=g) < 0.2] = 255
    return torch.rand(B, 1, H, W, generator=g), target


CASES = {
    "miou": (lambda: MeanIoU(C), semseg),
    "miou_present": (lambda: MeanIoUPresent(C), semseg),
    "depth": (PooledDepth, depth),
    "normals": (PooledNormals, normals),
    "edges": (PixelEdges, edges),
    "edge_bce": (EdgeBCE, edges),
}
case = pytest.mark.parametrize(("make", "draw"), CASES.values(), ids=CASES)


def pair(draw, seed):
    return draw(torch.Generator().manual_seed(seed))


def run(make, prediction, target, chunks):
    metric = make()
    for rows in chunks:
        metric.update(prediction[rows], target[rows])
    return metric


def assert_same(a, b):
    for name, value in a.state.items():
        if value.dtype == torch.int64:
            assert torch.equal(value, b.state[name]), name
        else:
            torch.testing.assert_close(value, b.state[name], rtol=1e-12, atol=0)
    assert a.compute() == pytest.approx(b.compute(), rel=1e-12, nan_ok=True)


@case
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(B)), cut=st.integers(0, B))
def test_split_merge_and_permutation_change_nothing(make, draw, seed, order, cut):
    prediction, target = pair(draw, seed)
    whole = run(make, prediction, target, [list(range(B))])
    assert_same(whole, run(make, prediction, target, [[i] for i in order]))
    parts = run(make, prediction, target, [order[:cut]]), run(make, prediction, target, [order[cut:]])
    assert_same(whole, parts[0].merge(parts[1]))


@case
def test_compute_lists_what_better_lists_and_an_empty_one_is_nan(make, draw):
    metric = make()
    empty = metric.compute()
    assert list(empty) == list(metric.better)
    assert all(math.isnan(v) for v in empty.values())
    assert set(metric.better.values()) <= {"higher", "lower"}
    metric.update(*pair(draw, 0))
    assert all(math.isfinite(v) and type(v) is float for v in metric.compute().values())


@case
def test_compute_does_not_change_state_and_merge_leaves_the_other_alone(make, draw):
    a, b = (run(make, *pair(draw, seed), [list(range(B))]) for seed in (0, 1))
    before = {k: v.clone() for k, v in b.state.items()}
    a.compute()
    a.merge(b)
    assert all(torch.equal(before[k], v) for k, v in b.state.items())


PERFECT = {"miou": 1, "pixel_acc": 1, "mean_acc": 1, "miou_present": 1, "rmse": 0, "log_rmse": 0, "abs_err": 0}
PERFECT |= {"rel": 0, "delta1": 1, "delta2": 1, "delta3": 1, "mean": 0, "within_11": 100, "within_22": 100}
PERFECT |= {"within_30": 100, "f": 1, "bce": 0}


@case
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_a_perfect_prediction_scores_perfectly(make, draw, seed):
    target = pair(draw, seed)[1]
    decoded = torch.where(target == 255, 0, target)
    got = run(make, decoded, target, [list(range(B))]).compute()
    assert got == pytest.approx({k: PERFECT.get(k, 0) for k in got}, abs=1e-6)


def test_merging_other_protocols_or_class_counts_is_refused():
    with pytest.raises(SpecError, match="cannot merge miou/present@1 into miou/dataset@1"):
        MeanIoU(3).merge(MeanIoUPresent(3))
    with pytest.raises(SpecError, match="cannot merge"):
        MeanIoU(3).merge(MeanIoU(4))


def test_protocol_ids_are_distinct():
    ids = {make().protocol for make, _ in CASES.values()}
    assert len(ids) == len(CASES)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@case
def test_cuda_agrees_with_cpu(make, draw):
    prediction, target = pair(draw, 0)
    on_gpu = run(make, prediction.cuda(), target.cuda(), [[0, 1], [2, 3, 4, 5]])
    on_cpu = run(make, prediction, target, [list(range(B))])
    assert on_gpu.compute() == pytest.approx(on_cpu.compute(), rel=1e-9)
    assert on_cpu.merge(on_gpu).compute() == pytest.approx(on_gpu.merge(on_gpu).compute(), rel=1e-9)
