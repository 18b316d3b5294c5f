import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from torch import nn

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.errors import SpecError
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives import OBJECTIVES, Losses, build_objective
from mtlrepro.spec import ObjectiveSpec, options
from mtlrepro.tasks import TASKS, make_tasks

INFO = DatasetInfo("toy", tuple(TASKS), class_names=tuple(str(c) for c in range(40)))
TOY = make_tasks(TASKS, INFO)
ORDER = ("semseg", "normals", "edges", "depth")


class Fixed(nn.Module):
    """Predicts what it is given, whatever the image."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, image):
        return self.outputs


def t32(a):
    return torch.from_numpy(np.asarray(a, dtype="float32"))


def vector_l6():
    rs = RandomState(5)
    targets = {"semseg": torch.from_numpy(rs.randint(0, 40, (2, 32, 32)))}
    targets["depth"] = t32(9 * rs.rand(2, 1, 32, 32) + 1)
    targets["edges"] = t32(rs.rand(2, 1, 32, 32) > 0.9)
    normals = rs.randn(2, 3, 32, 32)
    targets["normals"] = t32(normals / np.linalg.norm(normals, axis=1, keepdims=True))
    stages = {
        f"scale_{s}": {t: t32(rs.randn(2, TOY[t].channels, 8 // 2**s, 8 // 2**s)) for t in ORDER} for s in range(4)
    }
    final = {"semseg": t32(rs.randn(2, 40, 32, 32)), "depth": t32(rs.randn(2, 1, 32, 32))}
    return Outputs(final, stages), Batch(torch.zeros(2, 3, 32, 32), targets)


def run(outputs, batch, name="supervised", losses=(), **weights) -> Losses:
    spec = ObjectiveSpec(name, weights=options(**weights), losses=losses)
    return build_objective(spec, make_tasks(TASKS, INFO, losses))(Fixed(outputs), batch, 0.0)


L6 = {
    "scale_0": (3.923711, 0.6598247, 0.1023954, 5.573474),
    "scale_1": (3.95986, 0.6623784, 0.1053268, 5.74576),
    "scale_2": (4.029378, 0.6660886, 0.1046972, 6.277806),
    "scale_3": (4.166713, 0.6678652, 0.1141406, 6.133336),
}


def test_vector_l6_terms():
    terms = {k: v.item() for k, v in run(*vector_l6()).terms.items()}
    want = {f"{stage}/{t}": v for stage, values in L6.items() for t, v in zip(ORDER, values, strict=True)}
    want |= {"final/semseg": 4.182651, "final/depth": 5.476855}
    assert terms == pytest.approx(want, rel=1e-6)
    assert len(terms) == 4 * 4 + 2


def test_vector_l6_totals():
    outputs, batch = vector_l6()
    aux = {"semseg": 1, "depth": 1, "normals": 10, "edges": 50}
    padnet = Outputs(outputs.final, {"initial": outputs.stages["scale_0"]})
    assert run(outputs, batch, **aux).total.item() == pytest.approx(97.3591, rel=1e-6)
    assert run(outputs, batch).total.item() == pytest.approx(52.55226, rel=1e-6)
    assert run(padnet, batch, **aux).total.item() == pytest.approx(30.87471, rel=1e-6)
    assert run(Outputs(outputs.final), batch).total.item() == pytest.approx(9.6595058, rel=1e-6)


PASCAL_ORDER = ("semseg", "parts", "saliency", "normals", "edges")
PASCAL_WEIGHTS = {"semseg": 1, "parts": 2, "saliency": 5, "normals": 10, "edges": 50}
PASCAL = make_tasks(PASCAL_ORDER, DatasetInfo("toy", PASCAL_ORDER, class_names=tuple(str(c) for c in range(21))))


def vector_of_pascal():
    """Maps and labels of five tasks, drawn like those of L6; no person is in the first picture."""
    rs, size = RandomState(21), (2, 1, 32, 32)
    targets = {}
    semseg = rs.randint(0, 21, size)
    targets["semseg"] = torch.from_numpy(np.where(rs.rand(*size) < 0.1, 255, semseg)[:, 0])
    parts = rs.randint(0, 7, size)
    parts[0] = 255
    targets["parts"] = torch.from_numpy(parts[:, 0])
    targets["saliency"] = t32(rs.rand(*size) < 0.3)
    normals = rs.randn(2, 3, 32, 32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    targets["normals"] = t32(np.where(rs.rand(*size) < 0.2, 0, normals))
    targets["edges"] = t32(rs.rand(*size) < 0.1)

    def predictions(side):
        return {t: t32(rs.randn(2, PASCAL[t].channels, side, side)) for t in PASCAL_ORDER}

    stages = {f"scale_{s}": predictions(8 // 2**s) for s in range(4)}
    return Outputs(predictions(32), stages), Batch(torch.zeros(2, 3, 32, 32), targets)


L6_OF_PASCAL = {
    "scale_0": (3.244381, 2.144044, 0.3129843, 0.6658233, 0.1086444),
    "scale_1": (3.321933, 2.244268, 0.3241144, 0.6686628, 0.1065737),
    "scale_2": (3.326468, 2.113678, 0.324996, 0.6717517, 0.09572942),
    "scale_3": (3.401793, 2.544263, 0.3879731, 0.6762207, 0.09806331),
    "final": (3.493816, 2.346398, 0.3399711, 0.6725959, 0.1190028),
}
"""Measured on the public reference implementation of MTI-Net."""


SCALES, SMALL = tuple(L6), PASCAL_ORDER[:3]


def of_pascal(final, stages, *aux):
    """Losses of the given main tasks, and of these and auxiliary ones at some stages, by the published weights."""
    outputs, batch = vector_of_pascal()
    kept = {stage: {t: outputs.stages[stage][t] for t in PASCAL_ORDER if t in (*final, *aux)} for stage in stages}
    batch.targets = {t: batch.targets[t] for t in PASCAL_ORDER if t in (*final, *aux)}
    spec = ObjectiveSpec(weights=options(**{t: PASCAL_WEIGHTS[t] for t in batch.targets}))
    objective = build_objective(spec, {t: PASCAL[t] for t in batch.targets})
    return objective(Fixed(Outputs({t: outputs.final[t] for t in final}, kept)), batch, 0.0)


def test_terms_of_pascal():
    losses = of_pascal(PASCAL_ORDER, SCALES)
    want = {f"{k}/{t}": v for k, row in L6_OF_PASCAL.items() for t, v in zip(PASCAL_ORDER, row, strict=True)}
    assert {k: v.item() for k, v in losses.terms.items()} == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize(
    ("final", "stages", "aux", "total", "terms"),
    [
        (PASCAL_ORDER, SCALES, (), 107.9751, 25),
        (SMALL, SCALES, (), 48.02389, 15),
        (SMALL, SCALES, ("edges",), 68.47443, 19),
        (SMALL, SCALES, ("normals",), 74.84846, 19),
        (SMALL, SCALES, ("normals", "edges"), 95.299, 23),
        (PASCAL_ORDER, SCALES[:1], (), 43.7504, 10),
        (PASCAL_ORDER, (), (), 22.56256, 5),
    ],
    ids=["MTI (a)", "MTI (s)", "MTI (s)(E)", "MTI (s)(N)", "MTI (s)(E+N)", "PAD-Net (a)", "MTL (a)"],
)
def test_totals_of_pascal(final, stages, aux, total, terms):
    losses = of_pascal(final, stages, *aux)
    assert losses.total.item() == pytest.approx(total, rel=1e-6)
    assert len(losses.terms) == terms


def leaves(outputs):
    every = [*outputs.final.values(), *(p for stage in outputs.stages.values() for p in stage.values())]
    return [p.requires_grad_() for p in every]


def test_terms_are_detached_and_every_prediction_gets_a_gradient():
    outputs, batch = vector_l6()
    every = leaves(outputs)
    losses = run(outputs, batch)
    assert not any(v.requires_grad for v in losses.terms.values())
    losses.total.backward()
    assert all(p.grad.abs().sum() > 0 for p in every)


@pytest.mark.parametrize("name", ["supervised", "partial"])
@pytest.mark.parametrize("task", ORDER)
def test_unlabelled_samples_cannot_leak(task, name):
    outputs, batch = vector_l6()
    batch.labelled = {task: torch.tensor([True, False])}
    batch.targets[task][1] = 254 if task == "semseg" else float("nan")  # an id that no class has
    every = leaves(outputs)
    losses = run(outputs, batch, name)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(torch.isfinite(p.grad).all() for p in every)
    for predictions in (outputs.final, *outputs.stages.values()):
        if task in predictions:
            assert not predictions[task].grad[1].any()
            assert predictions[task].grad[0].any()
    # the same as if the sample had never been there
    alone = Batch(batch.image[:1], {k: v[:1] for k, v in batch.targets.items()})
    one = run(Outputs({k: v[:1] for k, v in outputs.final.items()}), alone, name)
    if f"final/{task}" in losses.terms:
        want = one.terms[f"final/{task}"].item() / (2 if name == "partial" else 1)  # the batch still has two samples
        assert losses.terms[f"final/{task}"].item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("name", ["supervised", "partial"])
def test_a_batch_without_any_label_costs_nothing(name):
    outputs, batch = vector_l6()
    batch.labelled = {t: torch.zeros(2, dtype=torch.bool) for t in ORDER}
    for t in ORDER[1:]:
        batch.targets[t].fill_(float("nan"))
    leaves(outputs)
    losses = run(outputs, batch, name)
    assert losses.total.item() == 0
    assert not losses.total.requires_grad  # so that no optimizer step is made
    assert set(losses.terms) == {*(f"scale_{s}/{t}" for s in range(4) for t in ORDER), "final/semseg", "final/depth"}
    assert not any(value.any() for value in losses.terms.values())


@pytest.mark.parametrize("name", ["supervised", "partial"])
def test_full_labels_equal_no_mention_of_labels(name):
    outputs, batch = vector_l6()
    want = run(outputs, batch, name).total
    batch.labelled = {t: torch.ones(2, dtype=torch.bool) for t in ORDER}
    assert torch.equal(run(outputs, batch, name).total, want)


# per-sample means


def ragged(seed, samples):
    """Double-precision predictions and labels with holes, some of them hidden; what is hidden is poison."""
    rs = RandomState(seed)
    targets = {
        "semseg": torch.from_numpy(rs.choice([0, 1, 2, 255], (samples, 6, 8))),
        "depth": torch.from_numpy(rs.rand(samples, 1, 6, 8) * (rs.rand(samples, 1, 6, 8) > 0.5)),
        "normals": nn.functional.normalize(torch.from_numpy(rs.randn(samples, 3, 6, 8)), dim=1),
        "edges": torch.from_numpy(rs.choice([0.0, 1.0, 255.0], (samples, 1, 6, 8))),
        "texture": torch.from_numpy(np.where(rs.rand(samples, 1, 6, 8) > 0.3, rs.randn(samples, 1, 6, 8), np.nan)),
    }
    targets["normals"][:, :, :2] = 0
    labelled = {t: torch.from_numpy(rs.rand(samples) > 0.4) for t in targets}
    for task, target in targets.items():
        target[~labelled[task]] = 254 if task == "semseg" else float("nan")
    outputs = Outputs(
        {t: torch.from_numpy(rs.randn(samples, TOY[t].channels, 6, 8)) for t in targets},
        {"initial": {t: torch.from_numpy(rs.randn(samples, TOY[t].channels, 3, 4)) for t in targets}},
    )
    return outputs, Batch(torch.zeros(samples, 3, 6, 8), targets, labelled)


WEIGHTS = {"semseg": 1.0, "depth": 0.5, "normals": 2.0, "edges": 0.0, "texture": 3.0}


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_partial_labels_are_a_loop_over_samples(seed, samples):
    """(1/B) Σ_x Σ_{t labelled in x} w_t L_t(x), every sample alone."""
    outputs, batch = ragged(seed, samples)
    every = leaves(outputs)
    losses = run(outputs, batch, "partial", **WEIGHTS)
    want = sum(p.sum() for p in every) * 0
    for stage in (outputs.final, outputs.stages["initial"]):
        for task, prediction in stage.items():
            large = nn.functional.interpolate(prediction, (6, 8), mode="bilinear", align_corners=False)
            for i in range(samples):
                if batch.labelled[task][i]:
                    one = TOY[task].loss(large[i : i + 1], batch.targets[task][i : i + 1])
                    want = want + WEIGHTS[task] * one / samples
    assert losses.total.item() == pytest.approx(want.item(), rel=1e-12)
    if losses.total.requires_grad:
        got = torch.autograd.grad(losses.total, every, allow_unused=True)
        for mine, brute in zip(got, torch.autograd.grad(want, every), strict=True):
            torch.testing.assert_close(torch.zeros_like(brute) if mine is None else mine, brute, rtol=1e-12, atol=1e-14)


def test_pooled_and_per_sample_means_differ_where_holes_do():
    outputs, batch = vector_l6()
    batch.targets["depth"][0, :, :20] = 0
    pooled, apart = (run(Outputs({"depth": outputs.final["depth"]}), batch, n) for n in ("supervised", "partial"))
    assert pooled.total.item() != pytest.approx(apart.total.item(), rel=1e-4)
    errors = (outputs.final["depth"] - batch.targets["depth"]).abs() * (batch.targets["depth"] > 0)
    counts = (batch.targets["depth"] > 0).sum((1, 2, 3))
    assert pooled.total.item() == pytest.approx((errors.sum() / counts.sum()).item(), rel=1e-6)
    assert apart.total.item() == pytest.approx((errors.sum((1, 2, 3)) / counts).mean().item(), rel=1e-6)


@pytest.mark.parametrize("name", ["supervised", "partial"])
def test_a_chosen_task_loss_is_used_at_every_stage(name):
    outputs, batch = vector_l6()
    other = next(loss for loss in TOY["normals"].LOSSES if loss != TOY["normals"].loss_name)
    usual, chosen = (run(outputs, batch, name, losses) for losses in ((), (("normals", other),)))
    changed = {k for k in usual.terms if not torch.equal(usual.terms[k], chosen.terms[k])}
    assert changed == {f"scale_{s}/normals" for s in range(4)}


def test_weight_scales_its_task_only():
    outputs, batch = vector_l6()
    one, two = run(outputs, batch), run(outputs, batch, depth=3)
    depth = sum(v for k, v in one.terms.items() if k.endswith("/depth"))
    assert two.total.item() == pytest.approx(one.total.item() + 2 * depth.item(), rel=1e-6)
    assert all(torch.equal(one.terms[k], two.terms[k]) for k in one.terms)


def test_half_precision_outputs_give_a_float32_total():
    outputs, batch = vector_l6()
    half = Outputs({k: v.bfloat16() for k, v in outputs.final.items()})
    total = run(half, batch).total
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(9.6595058, rel=1e-2)


def test_mismatches_are_named():
    outputs, batch = vector_l6()
    del batch.targets["normals"]
    with pytest.raises(SpecError, match="normals: the model predicts a task without a target"):
        run(outputs, batch)
    few = build_objective(ObjectiveSpec(), {"semseg": TOY["semseg"]})
    with pytest.raises(SpecError, match="final: unknown task 'depth'"):
        few(Fixed(Outputs(outputs.final)), batch, 0.0)
    other = Outputs(outputs.final, {"auxiliary": {"depth": outputs.final["depth"].repeat(1, 2, 1, 1)}})
    with pytest.raises(SpecError, match=r"auxiliary/depth: the network predicts 2 channels, .* such as 'atrc'"):
        run(other, batch)
    with pytest.raises(SpecError, match="predicts nothing"):
        run(Outputs({}), batch)


def test_building_errors():
    with pytest.raises(SpecError, match=r"objective.weights: unknown task 'edge'.*'edges'"):
        build_objective(ObjectiveSpec(weights=options(edge=50)), TOY)
    with pytest.raises(SpecError, match=r"unknown objective 'supervise'.*'supervised'"):
        build_objective(ObjectiveSpec("supervise"), TOY)
    with pytest.raises(SpecError, match="unknown option of objective 'supervised': 'gamma'"):
        build_objective(ObjectiveSpec(options=options(gamma=2)), TOY)
    with pytest.raises(SpecError, match=r"objective.losses: unknown task 'normal'.*'normals'"):
        build_objective(ObjectiveSpec(losses=options(normal="l1")), TOY)
    with pytest.raises(SpecError, match=r"losses\.depth: the task was made with 'l1', not 'inverse_berhu'.*make_tasks"):
        build_objective(ObjectiveSpec(losses=options(depth="inverse_berhu")), TOY)
    with pytest.raises(SpecError, match="needs: Supervised needs no other runs, got 1") as caught:
        build_objective(ObjectiveSpec(), TOY).adopt([Fixed(None)])
    assert caught.value.mend


def test_an_objective_takes_the_tasks_as_they_are():
    tasks = make_tasks(TASKS, INFO, [("normals", "cosine")])
    objective = build_objective(ObjectiveSpec(losses=(("normals", "cosine"),)), tasks)
    assert all(objective.tasks[name] is task for name, task in tasks.items())


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "big", True, None])
def test_bad_weights_are_named(weight):
    with pytest.raises(SpecError, match=r"objective\.weights\.depth: weight"):
        build_objective(ObjectiveSpec(weights=(("depth", weight),)), TOY)


@pytest.mark.parametrize("name", ["supervised", "partial", "consistency", "must"])
def test_an_objective_without_parameters_adds_nothing_to_a_checkpoint(name):
    objective = build_objective(ObjectiveSpec(name), TOY)
    assert objective.state_dict() == {}
    assert objective.groups() == []


def test_every_objective_says_how_many_views_it_wants():
    want = {"supervised": 1, "partial": 1, "must": 1, "consistency": 2, "mtpsl": 2, "jtr": 3}
    assert {name: OBJECTIVES[name].views for name in want} == want
