"""The multi-scale objective of DenseMTL: conformance vectors, labels of normals, what is summed and what is refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from torch import nn
from torch.nn import functional as F

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.errors import SpecError
from mtlrepro.metrics.normals import PooledNormals
from mtlrepro.metrics.normals_columns import ColumnNormals
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.multi_scale import MultiScale, aligned
from mtlrepro.tasks import make_tasks

FOUR = ("semseg", "depth", "normals", "edges")
INFO = DatasetInfo("street", FOUR, tuple("abcd"))
LOSSES = (("depth", "inverse_berhu"), ("normals", "cosine"), ("edges", "two_classes"))
TASKS = make_tasks(FOUR, INFO, LOSSES)
H, W = 8, 12


def t32(array):
    return torch.from_numpy(np.asarray(array, dtype="float32"))


def outputs_of(task, final, stage):
    return Outputs({task: final}, {"stage1": {task: stage}})


def run(outputs, targets, labelled=None, tasks=TASKS, **weights):
    objective = MultiScale(tasks, {**dict.fromkeys(tasks, 1.0), **weights})
    image = torch.zeros(len(next(iter(targets.values()))), 3, H, W)
    return objective.losses(outputs, Batch(image, targets, labelled or {}))


def check(losses, task, final, stage, total):
    want = {f"final/{task}": final, f"stage1/{task}": stage}
    assert {k: v.item() for k, v in losses.terms.items()} == pytest.approx(want, rel=2e-6)
    assert losses.total.item() == pytest.approx(total, rel=2e-6)


@pytest.mark.parametrize(
    ("evaluated", "final", "stage", "total"),
    [(False, 9.676505, 53.187347, 31.431927), (True, 8.303657, 52.130680, 30.217169)],
)
def test_vector_of_depth(evaluated, final, stage, total):
    rs = RandomState(1)
    d = 2 + 58 * rs.rand(2, 1, 8, 12)
    d[0, 0, 0, :3] = 0.5, 90, 655.35
    z = 65536 / (100 * d + 1)
    z0 = z * np.exp(0.2 * rs.randn(2, 1, 8, 12))
    z1 = 65536 / (100 * (2 + 58 * rs.rand(2, 1, 4, 6)) + 1)
    mask = rs.rand(2, 1, 8, 12) > 0.1
    if evaluated:
        shifted = 655.36 / z - 1
        mask &= (shifted > 1e-3) & (shifted < 80)
    assert mask.sum() == (171 if evaluated else 173)
    losses = run(outputs_of("depth", t32(z0), t32(z1)), {"depth": t32(np.where(mask, d, 0))})
    check(losses, "depth", final, stage, total)


def test_vector_of_segmentation():
    rs = RandomState(2)
    logits = [t32(rs.randn(2, 4, 8, 12)), t32(rs.randn(2, 4, 4, 6))]
    label = rs.randint(0, 5, (2, 8, 12))
    target = torch.from_numpy(np.where(label == 4, 255, label))
    losses = run(outputs_of("semseg", *logits), {"semseg": target}, semseg=50)
    check(losses, "semseg", 1.747272, 1.543244, 82.262901)


def test_vector_of_edges():
    rs = RandomState(3)
    logits = [t32(rs.randn(2, 2, 8, 12)), t32(rs.randn(2, 2, 4, 6))]
    label = rs.rand(2, 8, 12) > 0.8
    losses = run(outputs_of("edges", *logits), {"edges": t32(label)[:, None]}, edges=50)
    check(losses, "edges", 1.150234, 0.944952, 52.379639)
    f1 = []
    for prediction in logits:  # macro F1 of the released code's arg-max
        metric = TASKS["edges"].metrics()[2]
        metric.update(TASKS["edges"].decode(aligned(prediction, t32(label)[:, None])), t32(label)[:, None])
        f1.append(metric.compute()["f1"])
    assert f1 == pytest.approx([0.3762183, 0.4519766], rel=1e-6)


def test_vector_of_normals_that_are_stored():
    rs = RandomState(5)
    label, raw = (t32(rs.randn(2, 3, 6, 8)) for _ in range(2))
    label = F.normalize(label)
    tasks = make_tasks(["normals"], DatasetInfo("nyuv2", ("normals",)), [("normals", "cosine")])
    losses = run(Outputs({"normals": raw}), {"normals": label}, tasks=tasks, normals=100)
    assert losses.terms["final/normals"].item() == pytest.approx(1.065642, rel=1e-6)
    assert losses.total.item() == pytest.approx(106.564224, rel=1e-6)
    for metric, want in ((PooledNormals(), 94.47177), (ColumnNormals(), 94.49020)):
        metric.update(F.normalize(raw), label)
        assert metric.compute()["mean"] == pytest.approx(want, rel=1e-6)


def test_vector_of_smooth_normals():
    v, u = np.mgrid[:48, :64].astype(float)
    g = np.stack([np.sin(u / 9), np.cos(v / 7), 1 + 0.3 * np.sin((u + v) / 11)])
    g = np.stack([g, g[:, ::-1]])
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    raw = g + 0.25 * RandomState(10).randn(2, 3, 48, 64)
    tasks = make_tasks(["normals"], DatasetInfo("nyuv2", ("normals",)), [("normals", "cosine")])
    losses = run(Outputs({"normals": t32(raw)}), {"normals": t32(g)}, tasks=tasks)
    assert losses.total.item() == pytest.approx(0.0623284, rel=1e-5)
    metric = PooledNormals()
    metric.update(F.normalize(t32(raw)), t32(g))
    got = metric.compute()
    want = {"mean": 17.91707, "rmse": 20.48156, "within_11": 27.2298}
    assert {name: got[name] for name in want} == pytest.approx(want, rel=2e-6)
    assert got["median"] == pytest.approx(16.39866, abs=0.01)  # counted in bins


# what is summed

STAGES = ("stage4", "stage2", "stage1")


def everything(seed, stages=STAGES, samples=2):
    """Double-precision predictions of all tasks at some stages, and labels with holes."""
    rs = RandomState(seed)
    hole = rs.rand(samples, 1, H, W) < 0.3
    targets = {
        "semseg": np.where(hole[:, 0], 255, rs.randint(0, 4, (samples, H, W))),
        "depth": np.where(hole, 0, 1 + 60 * rs.rand(samples, 1, H, W)),
        "edges": np.where(hole, 255.0, rs.rand(samples, 1, H, W) < 0.2),
    }
    targets = {task: torch.from_numpy(target) for task, target in targets.items()}
    targets["normals"] = F.normalize(torch.from_numpy(rs.randn(samples, 3, H, W))).masked_fill(torch.tensor(hole), 0)

    def maps(h, w):
        return {t: torch.from_numpy(5 * rs.randn(samples, TASKS[t].channels, h, w)).requires_grad_() for t in FOUR}

    return Outputs(maps(H, W), {stage: maps(4, 6) for stage in stages}), targets


WEIGHTS = {"semseg": 100.0, "depth": 1.0, "normals": 100.0, "edges": 50.0}


def leaves(outputs):
    return [p for maps in (outputs.final, *outputs.stages.values()) for p in maps.values()]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6), st.permutations(STAGES), st.integers(0, 3))
def test_a_task_counts_as_the_mean_of_its_predictions(seed, order, stages):
    outputs, targets = everything(seed, STAGES[:stages])
    if stages:
        del outputs.stages[STAGES[0]]["edges"]  # tasks may have different stages
    losses = run(outputs, targets, **WEIGHTS)
    want = 0.0
    for task, weight in WEIGHTS.items():
        maps = [stage[task] for stage in (outputs.final, *outputs.stages.values()) if task in stage]
        large = [F.interpolate(m, (H, W), mode="bilinear", align_corners=True) for m in maps]
        want = want + weight * sum(TASKS[task].loss(m, targets[task]) for m in large) / len(maps)
    assert losses.total.item() == pytest.approx(want.item(), rel=1e-12)
    shuffled = Outputs(
        dict(reversed(outputs.final.items())), {s: outputs.stages[s] for s in order if s in outputs.stages}
    )
    assert run(shuffled, targets, **WEIGHTS).total.item() == pytest.approx(want.item(), rel=1e-12)
    mine = torch.autograd.grad(losses.total, leaves(outputs))
    for got, brute in zip(mine, torch.autograd.grad(want, leaves(outputs)), strict=True):
        torch.testing.assert_close(got, brute, rtol=1e-10, atol=1e-13)
    assert not any(term.requires_grad for term in losses.terms.values())


@pytest.mark.parametrize(
    ("weights", "total"),
    [
        ((100, 1, 100), 24.8828),
        ((50, 1, 0), 50 * (0.0873 + 0.0970) / 2 + (7.3085 + 6.8104) / 2),
    ],
)
def test_total_of_a_published_log(weights, total):
    """Losses of two scales as printed in a log of the released code, with weights 100, 1 and 100: 24.8828."""
    printed = {"semseg": (0.0873, 0.0970), "depth": (7.3085, 6.8104), "normals": (0.0855, 0.0868)}

    class Printed(MultiScale):
        def task_losses(self, task, predictions, targets, batch):
            return dict(zip(predictions, torch.tensor(printed[task], dtype=torch.float64), strict=True))

    objective = Printed({t: TASKS[t] for t in printed}, dict(zip(printed, weights, strict=True)))
    blank = {t: torch.zeros(1) for t in printed}
    got = objective.losses(Outputs(blank, {"stage1": blank}), Batch(torch.zeros(1, 3, 2, 2), {}))
    assert got.total.item() == pytest.approx(total, abs=0.011)  # of losses printed with four decimals
    assert set(got.terms) == {f"{s}/{t}" for s in ("final", "stage1") for t in printed}


def test_zero_just_where_all_predictions_are_right():
    _, targets = everything(3)
    z = 65536 / (100 * targets["depth"] + 1)
    right = {
        "semseg": 60.0 * F.one_hot(targets["semseg"].clamp(max=3), 4).movedim(-1, 1),
        "depth": z,
        "normals": 2 * targets["normals"],
        "edges": torch.cat([60 - 120 * targets["edges"], 120 * targets["edges"] - 60], 1),
    }
    outputs = Outputs(right, {"stage1": right})
    assert run(outputs, targets, **WEIGHTS).total.item() == pytest.approx(0, abs=1e-12)
    for task in FOUR:
        wrong = {**right, task: -right[task]}
        assert run(Outputs(right, {"stage1": wrong}), targets, **WEIGHTS).total.item() > 1


def test_samples_without_a_label_do_not_count():
    outputs, targets = everything(5)
    labelled = {"semseg": torch.tensor([False, True]), "depth": torch.tensor([False, False])}
    targets["semseg"][0], targets["depth"][:] = 254, math.nan
    losses = run(outputs, targets, labelled=labelled, **WEIGHTS)
    losses.total.backward()
    assert losses.terms["final/depth"].item() == losses.terms["stage2/depth"].item() == 0
    for maps in (outputs.final, *outputs.stages.values()):
        assert maps["depth"].grad is None
        assert not maps["semseg"].grad[0].any()
        assert maps["semseg"].grad[1].any()
        assert torch.isfinite(maps["normals"].grad).all()
    alone = run(
        Outputs(
            {"semseg": outputs.final["semseg"][1:]}, {s: {"semseg": m["semseg"][1:]} for s, m in outputs.stages.items()}
        ),
        {"semseg": targets["semseg"][1:]},
    )
    assert losses.terms["final/semseg"].item() == pytest.approx(alone.terms["final/semseg"].item(), rel=1e-12)


def test_a_batch_without_any_label_asks_for_no_step():
    outputs, targets = everything(6)
    losses = run(outputs, targets, labelled={task: torch.zeros(2, dtype=torch.bool) for task in FOUR})
    assert not losses.total.requires_grad
    assert losses.total.item() == 0
    assert set(losses.terms) == {f"{s}/{t}" for s in ("final", *STAGES) for t in FOUR}


def test_half_precision_outputs_give_a_float32_total():
    outputs, targets = everything(7)
    half = Outputs({task: p.detach().bfloat16() for task, p in outputs.final.items()})
    targets = {t: v if t == "semseg" else v.float() for t, v in targets.items()}
    total = run(half, targets).total
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(run(Outputs(outputs.final), targets).total.item(), rel=2e-2)


# sizes and errors


def test_only_what_differs_in_both_sides_is_resized():
    target = torch.zeros(1, 1, 8, 12)
    same, small, wide = torch.rand(1, 2, 8, 12), torch.rand(1, 2, 4, 6), torch.rand(1, 2, 8, 6)
    assert aligned(same, target) is same
    assert aligned(wide, target) is wide
    large = aligned(small, target)
    assert large.shape[-2:] == (8, 12)
    corners = ([0, 0, -1, -1], [0, -1, 0, -1])
    assert torch.equal(large[:, :, *corners], small[:, :, *corners])
    assert aligned(small.bfloat16(), target).dtype == torch.float32
    with pytest.raises(SpecError, match="semseg: prediction is"):
        run(Outputs({"semseg": torch.zeros(1, 4, 8, 6)}), {"semseg": torch.zeros(1, 8, 12, dtype=torch.long)})


class Fixed(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, image):
        return self.outputs


def test_mismatches_are_named():
    outputs, targets = everything(8)
    batch = Batch(torch.zeros(2, 3, H, W), {t: v for t, v in targets.items() if t != "edges"})
    whole = MultiScale(TASKS, WEIGHTS)
    with pytest.raises(SpecError, match="edges: the model predicts a task without a target"):
        whole(Fixed(outputs), batch, 0.0)
    few = MultiScale({"semseg": TASKS["semseg"]}, WEIGHTS)
    with pytest.raises(SpecError, match="stage1: unknown task 'edges'"):
        few(Fixed(Outputs({}, {"stage1": {"edges": outputs.final["edges"]}})), batch, 0.0)
    with pytest.raises(SpecError, match="final: the model predicts nothing"):
        whole(Fixed(Outputs({})), batch, 0.0)


def test_a_disparity_is_not_learnt_from_labels():
    tasks = make_tasks(("depth",), INFO, (("depth", "disparity"),))
    with pytest.raises(SpecError, match=r"objective\.losses\.depth: loss 'disparity' is not.*'self_supervised'"):
        MultiScale(tasks, {"depth": 1.0})
    assert Learnt(tasks, {"depth": 1.0}).tasks == tasks


class Learnt(MultiScale):
    """Learns from something else than labels."""

    refused = frozenset()
