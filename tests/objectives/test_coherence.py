"""Losses of final and intermediate predictions, and of branches that are drawn together."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.errors import SpecError
from mtlrepro.models import build_decoder, build_model
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives import build_objective
from mtlrepro.objectives.coherence import Coherence
from mtlrepro.objectives.supervised import Supervised
from mtlrepro.spec import ModelSpec, ObjectiveSpec, options
from mtlrepro.tasks import make_tasks

NAMES = ("semseg", "depth", "normals")
INFO = DatasetInfo("toy", NAMES, class_names=tuple("abcde"))
TASKS = make_tasks(NAMES, INFO)
STAGES = ("trace_1", "trace_2")


class Fixed(nn.Module):
    """Predicts what it is given, whatever the image."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, image):
        return self.outputs


def drawn(seed=0, samples=2, names=NAMES):
    """Predictions at two stages and at the end, branches of 6 and 12 channels, and labels."""
    g = torch.Generator().manual_seed(seed)

    def maps(channels, *size):
        return torch.randn(samples, channels, *size, generator=g)

    stages = {s: {t: maps(TASKS[t].channels, 2 * i, 3 * i) for t in names} for i, s in enumerate(STAGES, 1)}
    pairs = {t: (maps(6, 4, 5), maps(12, 4, 5)) for t in names}
    targets = {
        "semseg": torch.randint(0, 5, (samples, 8, 12), generator=g),
        "depth": 9 * torch.rand(samples, 1, 8, 12, generator=g),
        "normals": F.normalize(maps(3, 8, 12), dim=1),
    }
    final = {t: maps(TASKS[t].channels, 8, 12) for t in names}
    return Outputs(final, stages, pairs=pairs), Batch(torch.zeros(samples, 3, 8, 12), targets)


def leaves(outputs):
    """Everything that was predicted, which takes gradients from now on; final, stages, pairs."""
    groups = (
        list(outputs.final.values()),
        [p for stage in outputs.stages.values() for p in stage.values()],
        [branch for pair in outputs.pairs.values() for branch in pair],
    )
    return tuple([p.requires_grad_() for p in group] for group in groups)


def run(outputs, batch, weights=(), **given):
    spec = ObjectiveSpec("coherence", weights=weights, options=options(**given))
    return build_objective(spec, TASKS)(Fixed(outputs), batch, 0.0)


def distance(own, others):
    """1 - cosine, a pixel and a task at a time, in float64."""
    own, others = own.detach().double(), others.detach().double()
    values = []
    for b in range(len(own)):
        for y in range(own.shape[2]):
            for x in range(own.shape[3]):
                v = own[b, :, y, x]
                for f in others[b, :, y, x].split(len(v)):
                    values.append(1 - float(v @ f) / math.sqrt(float(v @ v) * float(f @ f)))
    return sum(values) / len(values)


@pytest.mark.parametrize("given", [{}, {"intermediate": 1.0}, {"intermediate": 0.0}])
def test_intermediate_losses_count_half(given):
    outputs, batch = drawn()
    weights = {"semseg": 1.0, "depth": 0.5, "normals": 10.0}
    losses = run(outputs, batch, options(**weights), **given)
    assert set(losses.terms) == {f"{stage}/{t}" for stage in ("final", *STAGES) for t in NAMES}
    for stage, predictions in {"final": outputs.final, **outputs.stages}.items():
        for t, prediction in predictions.items():
            large = F.interpolate(prediction, (8, 12), mode="bilinear", align_corners=False)
            assert losses.terms[f"{stage}/{t}"].item() == pytest.approx(TASKS[t].loss(large, batch.targets[t]).item())
    final, stages = (
        sum(weights[t] * losses.terms[f"{stage}/{t}"].item() for stage in group for t in NAMES)
        for group in (("final",), STAGES)
    )
    factor = given.get("intermediate", 0.5)
    assert losses.total.item() == pytest.approx(final + factor * stages, rel=1e-6)
    assert {t: value.item() for t, value in losses.tasks.items()} == pytest.approx(
        {t: weights[t] * losses.terms[f"final/{t}"].item() for t in NAMES}
    )
    assert losses.rest.item() == pytest.approx(factor * stages, rel=1e-6)


def test_the_released_total_is_the_plain_sum_of_the_losses():
    target = torch.full((1, 1, 2, 2), 3.0)
    tasks = make_tasks(("depth", "texture"), DatasetInfo("toy", ("depth", "texture")))
    objective = build_objective(ObjectiveSpec("coherence"), tasks)
    outputs = Outputs({"depth": target + 8, "texture": target - 4})
    losses = objective(Fixed(outputs), Batch(torch.zeros(1, 3, 2, 2), dict.fromkeys(tasks, target)), 0.0)
    assert losses.total.item() == 12
    assert losses.rest is None


def test_what_a_weighting_may_touch_has_gradients_of_final_predictions_alone():
    outputs, batch = drawn()
    final, stages, pairs = leaves(outputs)
    losses = run(outputs, batch, cosine=0.01)
    for part, touched, others in (
        (sum(losses.tasks.values()), final, stages + pairs),
        (losses.rest, stages + pairs, final),
    ):
        found = torch.autograd.grad(part, touched + others, retain_graph=True, allow_unused=True)
        assert all(grad.any() for grad in found[: len(touched)])
        assert not any(grad is not None and grad.any() for grad in found[len(touched) :])
    assert losses.total.item() == pytest.approx((sum(losses.tasks.values()) + losses.rest).item(), rel=1e-6)


def test_branches_are_drawn_together_where_asked_for():
    outputs, batch = drawn(1)
    without, losses = run(outputs, batch), run(outputs, batch, cosine=0.25)
    want = {f"cosine/{t}": distance(*outputs.pairs[t]) for t in NAMES}
    assert {k: v.item() for k, v in losses.terms.items() if k not in without.terms} == pytest.approx(want, rel=1e-5)
    assert losses.total.item() == pytest.approx(without.total.item() + 0.25 * sum(want.values()), rel=1e-6)
    assert not any(term.requires_grad for term in losses.terms.values())
    assert all(torch.equal(losses.tasks[t], without.tasks[t]) for t in NAMES)


def test_branches_are_left_alone_unless_asked_for():
    outputs, batch = drawn()
    *_, pairs = leaves(outputs)
    losses = run(outputs, batch)
    losses.total.backward()
    assert all(branch.grad is None for branch in pairs)
    bare = run(Outputs(outputs.final, outputs.stages), batch)
    assert torch.equal(losses.total, bare.total)


@pytest.mark.parametrize("scale", [1.0, 1e-30])
def test_a_branch_that_is_zero_stays_finite(scale):
    outputs, batch = drawn()
    outputs.pairs["depth"][1].zero_()
    outputs.pairs["semseg"][0].mul_(scale)
    *_, pairs = leaves(outputs)
    losses = run(outputs, batch, cosine=1.0)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(torch.isfinite(branch.grad).all() for branch in pairs)


def test_branches_in_half_precision_are_judged_in_float32():
    outputs, batch = drawn()
    halves = {t: (own.bfloat16(), others.bfloat16()) for t, (own, others) in outputs.pairs.items()}
    term = run(Outputs(outputs.final, outputs.stages, pairs=halves), batch, cosine=1.0).terms["cosine/depth"]
    assert term.dtype == torch.float32
    assert term.item() == pytest.approx(distance(*halves["depth"]), rel=1e-5)


def test_a_network_without_branches_is_named():
    outputs, batch = drawn()
    with pytest.raises(SpecError, match=r"objective\.options\.cosine: the model has no .*'mt_cp' with .* cfm=true"):
        run(Outputs(outputs.final, outputs.stages), batch, cosine=0.01)


def decoder(arch, backbone="hrnet_nano", names=NAMES, **given):
    """What `attach` is given for a network; the decoder is built once more on every call."""
    channels = {name: TASKS[name].channels for name in names}
    spec = ModelSpec(arch, backbone, names, options=options(**given))
    with torch.device("meta"):
        encoder = build_model(spec, channels).backbone
    return lambda: build_decoder(spec, channels, encoder)


@pytest.mark.parametrize(
    "network", [("mtl",), ("mt_cp_single", "hrnet_nano", NAMES[:1]), ("segnet", "segnet_nano")], ids=lambda n: n[0]
)
def test_a_network_without_branches_is_named_when_it_is_attached(network):
    with pytest.raises(SpecError, match=r"objective\.options\.cosine: the model has no .*cfm=true"):
        build_objective(ObjectiveSpec("coherence", options=options(cosine=0.01)), TASKS).attach(decoder(*network))
    build_objective(ObjectiveSpec("coherence"), TASKS).attach(decoder(*network))


def test_attaching_looks_for_fusion_modules_and_draws_no_number():
    objective = build_objective(ObjectiveSpec("coherence", options=options(cosine=1)), TASKS)
    state = torch.random.get_rng_state()
    objective.attach(decoder("mt_cp"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not list(objective.parameters())
    with pytest.raises(SpecError, match=r"objective\.options\.cosine"):
        objective.attach(decoder("mt_cp", cfm=False))


@pytest.mark.parametrize("task", NAMES)
def test_unlabelled_samples_cannot_leak(task):
    outputs, batch = drawn()
    batch.labelled = {task: torch.tensor([True, False])}
    batch.targets[task][1] = 254 if task == "semseg" else math.nan  # an id that no class has
    _, _, pairs = leaves(outputs)
    losses = run(outputs, batch, cosine=0.01)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    for predictions in (outputs.final, *outputs.stages.values()):
        assert not predictions[task].grad[1].any()
        assert predictions[task].grad[0].any()
    assert all(branch.grad.flatten(1).any(1).all() for branch in pairs)  # no label is needed for these
    alone = Batch(batch.image[:1], {k: v[:1] for k, v in batch.targets.items()})
    first = run(Outputs({task: outputs.final[task][:1]}), alone)
    assert torch.equal(losses.tasks[task], first.tasks[task])


def test_a_batch_without_any_label_leaves_the_branches_alone_to_learn_from():
    outputs, batch = drawn()
    batch.labelled = {t: torch.zeros(2, dtype=torch.bool) for t in NAMES}
    leaves(outputs)
    assert not run(outputs, batch).total.requires_grad
    losses = run(outputs, batch, cosine=1.0)
    assert losses.tasks == {}
    assert losses.total.item() == pytest.approx(sum(distance(*pair) for pair in outputs.pairs.values()), rel=1e-5)


def test_without_a_valid_pixel_a_task_costs_exactly_nothing():
    outputs, batch = drawn()
    batch.targets["semseg"].fill_(255)
    final, stages, _ = leaves(outputs)
    losses = run(outputs, batch)
    losses.total.backward()
    assert losses.tasks["semseg"].item() == 0
    assert torch.isfinite(losses.total)
    assert not outputs.final["semseg"].grad.any()
    assert all(torch.isfinite(p.grad).all() for p in final + stages)


@pytest.mark.parametrize("option", ["intermediate", "cosine"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, None, True, "x", (1,)])
def test_odd_numbers_are_named(option, value):
    with pytest.raises(SpecError, match=rf"objective\.options\.{option}: unexpected value") as caught:
        build_objective(ObjectiveSpec("coherence", options=((option, value),)), TASKS)
    assert caught.value.mend


def test_it_can_be_the_base_of_objectives_that_add_to_another_one():
    assert issubclass(Coherence, Supervised)
    assert Coherence.forward is Supervised.forward
    ramped = build_objective(ObjectiveSpec("auxiliary_heads", options=options(base="coherence")), TASKS, (8,))
    assert ramped.base.intermediate == 0.5
    assert Supervised.intermediate == 1
