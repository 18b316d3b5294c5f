"""What every accumulator promises: the figures do not depend on how the images came."""

from __future__ import annotations

import copy
import math
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlrepro.errors import SpecError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.metrics.segmentation import MeanIoU, MeanIoUPresent

B, H, W, C = 6, 9, 11, 4


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


def errors(g):
    target = torch.randn(B, 1, H, W, generator=g)
    return torch.randn(B, 1, H, W, generator=g), target.where(torch.rand(B, 1, H, W, generator=g) < 0.7, math.nan)


DRAW = {"semseg": semseg, "parts": semseg, "depth": depth, "normals": normals, "edges": edges, "saliency": edges}
DRAW["error maps"] = errors
ARGUMENTS = {"iou/class@1": {"names": tuple("abcd")}, "parts/dataset@1": {"classes": C}}
ARGUMENTS |= {p: {"classes": C} for p in PROTOCOLS["semseg"] if p != "iou/class@1"}
ARGUMENTS |= {p: {"max_dist": 0.1} for p in PROTOCOLS["edges"] if "odsf" in p}

CASES = {p: (PROTOCOLS[task][p], DRAW[task]) for task in PROTOCOLS for p in PROTOCOLS[task]}
MAKE = {p: partial(cls, **ARGUMENTS.get(p, {})) for p, (cls, _) in CASES.items()}


def cases(keep=lambda protocol: True):
    """Every protocol, or some."""
    kept = {p: (MAKE[p], draw) for p, (_, draw) in CASES.items() if keep(p)}
    return pytest.mark.parametrize(("make", "draw"), kept.values(), ids=kept)


case = cases()


def pair(draw, seed):
    return draw(torch.Generator().manual_seed(seed))


def run(make, prediction, target, chunks):
    metric = make()
    for rows in chunks:
        metric.update(prediction[rows], target[rows])
    return metric


def assert_same(a, b):
    for name, value in a.state.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, b.state[name], rtol=1e-12, atol=1e-12)
        else:
            assert torch.equal(value, b.state[name]), name
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
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_merging_is_associative(make, draw, seed):
    prediction, target = pair(draw, seed)

    def part(*rows):
        return run(make, prediction, target, [list(rows)])

    left = part(0, 1).merge(part(2)).merge(part(3, 4, 5))
    assert_same(left, part(0, 1).merge(part(2).merge(part(3, 4, 5))))


@cases(lambda protocol: protocol != "normals/columns@1")  # this formula knows no invalid pixels
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 10**6))
def test_ignored_pixels_never_matter(make, draw, seed):
    prediction, target = pair(draw, seed)
    other, _ = pair(draw, seed + 1)
    invalid = target.isnan() if draw is errors else (target == 255) if draw in (semseg, edges) else target == 0
    invalid = invalid.all(dim=1, keepdim=True).expand_as(target) if draw is normals else invalid
    changed = torch.where(invalid, other, prediction)
    rows = [list(range(B))]
    assert not torch.equal(changed, prediction)
    assert_same(run(make, prediction, target, rows), run(make, changed, target, rows))


@case
def test_compute_lists_what_better_lists_and_an_empty_one_is_nan(make, draw):
    metric = make()
    empty = metric.compute()
    assert list(empty) == list(metric.better)
    assert all(math.isnan(v) for v in empty.values())
    assert set(metric.better.values()) <= {"higher", "lower"}
    assert set(metric.units) <= set(metric.better)
    metric.update(*pair(draw, 0))
    assert all(math.isfinite(v) and type(v) is float for v in metric.compute().values())
    assert all(0 <= v <= 1 for f, v in metric.compute().items() if metric.unit(f) == "fraction")


@case
def test_compute_does_not_change_state_and_merge_leaves_the_other_alone(make, draw):
    a, b = (run(make, *pair(draw, seed), [list(range(B))]) for seed in (0, 1))
    before = {k: v.clone() for k, v in b.state.items()}
    a.compute()
    a.merge(b)
    assert all(torch.equal(before[k], v) for k, v in b.state.items())


@cases(lambda protocol: CASES[protocol][1] is not semseg)  # class ids have no gradient
def test_no_graph_is_kept(make, draw):
    prediction, target = pair(draw, 0)
    metric = make()
    metric.update(prediction.requires_grad_(), target)
    assert not any(value.requires_grad for value in metric.state.values())
    assert copy.deepcopy(metric).compute() == metric.compute()


@case
def test_a_curve_has_the_figure_for_its_maximum(make, draw):
    metric = run(make, *pair(draw, 3), [list(range(B))])
    curve = metric.curve()
    assert len({len(values) for values in curve.values()}) <= 1
    if curve:
        best = max(max(values) for name, values in curve.items() if name in ("f", "jaccard", "value"))
        (figure,) = [f for f in metric.better if f in ("odsf", "f", "maxf", "miou")]
        exact = 1e-3 if make.func.protocol == "odsf/bsds@1" else 1e-12  # interpolated between the thresholds
        assert metric.compute()[figure] == pytest.approx(best, abs=exact)


PERFECT = {"higher": 1.0, "lower": 0.0}


@cases(lambda p: "odsf" not in p and p != "normals/columns@1")  # a mask is not its own contour; no invalid pixels
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_a_perfect_prediction_scores_perfectly(make, draw, seed):
    target = pair(draw, seed)[1]
    decoded = target.where(target != 255, 0).nan_to_num(1.0)
    got = run(make, decoded, target, [list(range(B))])
    want = {k: PERFECT[d] * (100 if got.unit(k) == "%" else 1) for k, d in got.better.items()}
    assert got.compute() == pytest.approx(want, abs=1e-5)


def test_merging_other_protocols_or_class_counts_is_refused():
    with pytest.raises(SpecError, match="cannot merge miou/present@1 into miou/dataset@1"):
        MeanIoU(3).merge(MeanIoUPresent(3))
    with pytest.raises(SpecError, match="cannot merge"):
        MeanIoU(3).merge(MeanIoU(4))


def test_every_protocol_is_registered_under_its_own_id():
    assert all(make().protocol == protocol for protocol, make in MAKE.items())
    with pytest.raises(SpecError, match=r"unknown protocol of semseg 'miou/datset@1'\. Did you mean 'miou/dataset@1'"):
        PROTOCOLS["semseg"]["miou/datset@1"]


# --- several processes ------------------------------------------------------------------------------------------------

RANKS = 3
SHARES = ([0, 1], [2], [3, 4, 5])


def gathered(protocols: list[str]) -> dict[str, Metric]:
    """Every rank's accumulators after it saw its share and all ranks were gathered."""
    found = {}
    for protocol in protocols:
        prediction, target = pair(CASES[protocol][1], 0)
        metric = MAKE[protocol]()
        metric.update(prediction[SHARES[dist.get_rank()]], target[SHARES[dist.get_rank()]])
        found[protocol] = metric.gather()
    return found


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=RANKS)
    found = {p: (metric.compute(), metric.state) for p, metric in gathered(list(CASES)).items()}
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_ranks_gather_to_what_one_process_finds(tmp_path: Path) -> None:
    mp.spawn(_rank, (str(tmp_path),), nprocs=RANKS)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(RANKS)]
    for protocol, (_, draw) in CASES.items():
        alone = run(MAKE[protocol], *pair(draw, 0), [list(range(B))])
        for figures, state in (found[protocol] for found in ranks):
            assert figures == pytest.approx(alone.compute(), rel=1e-12), protocol
            assert all(torch.equal(value, ranks[0][protocol][1][name]) for name, value in state.items())
            for name, value in alone.state.items():
                torch.testing.assert_close(state[name], value, rtol=1e-12, atol=1e-12)


def test_without_a_process_group_gathering_changes_nothing() -> None:
    metric = run(MAKE["miou/dataset@1"], *pair(semseg, 0), [[0, 1]])
    before = metric.state["confusion"].clone()
    assert torch.equal(metric.gather().state["confusion"], before)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@case
def test_cuda_agrees_with_cpu(make, draw):
    prediction, target = pair(draw, 0)
    on_gpu = run(make, prediction.cuda(), target.cuda(), [[0, 1], [2, 3, 4, 5]])
    on_cpu = run(make, prediction, target, [list(range(B))])
    assert on_gpu.compute() == pytest.approx(on_cpu.compute(), rel=1e-9)
    assert on_cpu.merge(on_gpu).compute() == pytest.approx(on_gpu.merge(on_gpu).compute(), rel=1e-9)
