import numpy as np
import pytest
import torch
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
MODEL = nn.Identity()


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


def run(outputs, batch, **weights) -> Losses:
    return build_objective(ObjectiveSpec(weights=options(**weights)), TOY)(MODEL, outputs, batch, 0)


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


def test_vector_l6_totals():
    outputs, batch = vector_l6()
    aux = {"semseg": 1, "depth": 1, "normals": 10, "edges": 50}
    padnet = Outputs(outputs.final, {"initial": outputs.stages["scale_0"]})
    assert run(outputs, batch, **aux).total.item() == pytest.approx(97.3591, rel=1e-6)
    assert run(outputs, batch).total.item() == pytest.approx(52.55226, rel=1e-6)
    assert run(padnet, batch, **aux).total.item() == pytest.approx(30.87471, rel=1e-6)
    assert run(Outputs(outputs.final), batch).total.item() == pytest.approx(9.6595058, rel=1e-6)


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


@pytest.mark.parametrize("task", ORDER)
def test_unlabelled_samples_cannot_leak(task):
    outputs, batch = vector_l6()
    batch.labelled = {task: torch.tensor([True, False])}
    batch.targets[task][1] = 254 if task == "semseg" else float("nan")  # an id that no class has
    every = leaves(outputs)
    losses = run(outputs, batch)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(torch.isfinite(p.grad).all() for p in every)
    for predictions in (outputs.final, *outputs.stages.values()):
        if task in predictions:
            assert not predictions[task].grad[1].any()
            assert predictions[task].grad[0].any()
    # the same as if the sample had never been there
    alone = Batch(batch.image[:1], {k: v[:1] for k, v in batch.targets.items()})
    one = run(Outputs({k: v[:1] for k, v in outputs.final.items()}), alone)
    if f"final/{task}" in losses.terms:
        assert losses.terms[f"final/{task}"].item() == pytest.approx(one.terms[f"final/{task}"].item(), rel=1e-6)


def test_a_batch_without_any_label_costs_nothing():
    outputs, batch = vector_l6()
    batch.labelled = {t: torch.zeros(2, dtype=torch.bool) for t in ORDER}
    for t in ORDER[1:]:
        batch.targets[t].fill_(float("nan"))
    every = leaves(outputs)
    losses = run(outputs, batch)
    losses.total.backward()
    assert losses.total.item() == 0
    assert not any(p.grad.any() for p in every)


def test_full_labels_equal_no_mention_of_labels():
    outputs, batch = vector_l6()
    want = run(outputs, batch).total
    batch.labelled = {t: torch.ones(2, dtype=torch.bool) for t in ORDER}
    assert torch.equal(run(outputs, batch).total, want)


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
        few(MODEL, Outputs(outputs.final), batch, 0)
    with pytest.raises(SpecError, match="predicts nothing"):
        run(Outputs({}), batch)


def test_building_errors():
    with pytest.raises(SpecError, match=r"objective.weights: unknown task 'edge'.*'edges'"):
        build_objective(ObjectiveSpec(weights=options(edge=50)), TOY)
    with pytest.raises(SpecError, match=r"unknown objective 'supervise'.*'supervised'"):
        build_objective(ObjectiveSpec("supervise"), TOY)
    with pytest.raises(SpecError, match="unknown option of objective 'supervised': 'gamma'"):
        build_objective(ObjectiveSpec(options=options(gamma=2)), TOY)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "big", True, None])
def test_bad_weights_are_named(weight):
    with pytest.raises(SpecError, match=r"objective\.weights\.depth: weight"):
        build_objective(ObjectiveSpec(weights=(("depth", weight),)), TOY)


def test_an_objective_without_parameters_adds_nothing_to_a_checkpoint():
    for name in OBJECTIVES:
        assert build_objective(ObjectiveSpec(name), TOY).state_dict() == {}
