from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mtpsl_maps import (
    INFO,
    SEVEN,
    Pointwise,
    batch_of,
    fill,
    giga_macs,
    in_double,
    model_of,
    one,
    poison,
    predictions,
    t64,
    targets,
    toy_tasks,
)
from numpy.random import RandomState

from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError
from mtlrepro.models.norms import FiLMNorm
from mtlrepro.objectives import build_objective, latent
from mtlrepro.objectives.mtpsl import MTPSL, SOURCES, over_peak
from mtlrepro.spec import ObjectiveSpec, options
from mtlrepro.tasks import make_tasks

FIGURES = {
    "100": (0.97973909, 0.41536662, (None, 0.18409597, 0.37031536), 0.262313),
    "010": (0.96901772, 0.41639373, (0.07788650, None, 0.37817622), 0.301549),
    "001": (0.97837305, 0.41770967, (0.07191296, 0.17747092, None), 0.271268),
    "110": (0.97650955, 0.41693370, (None, None, 0.52489590), 0.298458),
    "101": (0.97565252, 0.41523687, (None, 0.25617581, None), 0.247934),
    "011": (0.97496778, 0.41729945, (0.10624905, None, None), 0.287710),
}
"""Labels of segmentation, depth, normals -> sum of l, the same without regularisation, gradients, that of gamma."""

BOTTLENECK = t64(RandomState(500).rand(1, 512, 2, 3))


@pytest.fixture
def noiseless(monkeypatch):
    monkeypatch.setattr(latent, "gumbel_noise", torch.zeros_like)


@pytest.fixture(scope="module")
def published():
    tasks = toy_tasks()
    tasks["normals"].decode = lambda raw: raw  # the published gradients are those of the unit vectors
    objective = fill(MTPSL(tasks, dict.fromkeys(tasks, 1.0), (512,))).requires_grad_(False)
    objective.groups()[0].parameters[0].requires_grad_()  # gamma of the first shared layer
    return objective


def labelled(bits, tasks=SEVEN):
    return {task: torch.tensor([bit == "1"]) for task, bit in zip(tasks, bits, strict=False)}


def terms(objective, bits, maps):
    pairs = objective.pairs(maps, Batch(torch.zeros(1, 3, 64, 96), {}, labelled(bits)))
    return objective.cross_task(maps, targets(), pairs, BOTTLENECK)


@pytest.mark.parametrize("bits", FIGURES)
def test_published_terms_and_gradients(published, noiseless, bits):
    total, _, gradients, film = FIGURES[bits]
    maps = {task: raw.clone().requires_grad_() for task, raw in predictions().items()}
    published.zero_grad()
    values = terms(published, bits, maps)
    assert len(values) == 2
    assert values.sum().item() == pytest.approx(total, abs=1e-8)
    values.sum().backward()
    for raw, want in zip(maps.values(), gradients, strict=True):
        assert (raw.grad is None or not raw.grad.any()) == (want is None)
        assert raw.grad is None or raw.grad.norm().item() == pytest.approx(want or 0.0, abs=1e-8)
    gamma = published.groups()[0].parameters[0]
    assert gamma.shape == (64, 6)
    assert gamma.grad.norm().item() == pytest.approx(film, abs=1e-6)


def test_published_sums_without_regularisation(published, noiseless, monkeypatch):
    monkeypatch.setattr(published, "is_source", SOURCES["full"])
    monkeypatch.setattr(published, "regularisation", 0.0)
    with torch.no_grad():
        values = terms(published, "111", predictions()).view(3, 2)  # source x the other two as targets
    alone = torch.zeros(3, 3, dtype=torch.float64)
    alone[~torch.eye(3, dtype=torch.bool)] = values.flatten()
    for bits, (_, want, _, _) in FIGURES.items():
        is_target = torch.tensor([bit == "1" for bit in bits])
        assert alone[~is_target][:, is_target].sum().item() == pytest.approx(want, abs=1e-8)


def nano(tasks, features=(32,), **chosen):
    torch.manual_seed(0)
    spec = ObjectiveSpec("mtpsl", options=options(encoder="segnet_nano", **chosen))
    return build_objective(spec, tasks, features)


def channels(tasks):
    return {name: task.channels for name, task in tasks.items()}


@given(st.integers(2, 7), st.data())
def test_pairs_are_unlabelled_times_labelled(k, data):
    tasks = toy_tasks(*SEVEN[:k])
    patterns = data.draw(st.lists(st.text("01", min_size=k, max_size=k), min_size=1, max_size=3))
    objective = MTPSL.__new__(MTPSL)
    marks = {t: torch.tensor([p[i] == "1" for p in patterns]) for i, t in enumerate(tasks)}
    for choice, count in (("partial", lambda n: n * (k - n)), ("full", lambda n: n * (k - 1))):
        objective.__dict__.update(tasks=tasks, is_source=SOURCES[choice])
        pairs = objective.pairs(tasks, Batch(torch.zeros(len(patterns), 3, 1, 1), {}, marks))
        assert len(set(pairs)) == len(pairs) == sum(count(p.count("1")) for p in patterns)
        assert all(marks[pair.target][pair.row] for pair in pairs)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_every_pair_has_its_column(k):
    tasks = toy_tasks(*SEVEN[:k])
    objective = nano(tasks)
    columns = [objective.mapping.column(s, t) for s in tasks for t in tasks if s != t]
    assert columns == list(range(k * (k - 1)))
    # and it is that column, no other, which a pair's term depends on
    objective.double()
    batch = in_double(batch_of(tuple(tasks), ["1" + "0" * (k - 1)]))
    maps = {t: torch.randn(1, task.channels, 64, 64, dtype=torch.float64) for t, task in tasks.items()}
    pairs = objective.pairs(tasks, batch)[:1]
    objective.cross_task(maps, batch.others[0].targets, pairs, torch.rand(1, 32, 2, 2).double()).sum().backward()
    layer = next(m for m in objective.mapping.modules() if isinstance(m, FiLMNorm))
    assert layer.gamma.grad.any(0).nonzero().flatten().tolist() == [objective.mapping.column(SEVEN[1], SEVEN[0])]


def test_film_columns_learn_at_a_rate_of_their_own():
    (group,) = nano(toy_tasks(), film_lr_factor=0.1).groups()
    assert (group.lr_factor, group.period) == (0.1, 0.15)
    assert {tuple(p.shape)[1] for p in group.parameters} == {6}
    assert len(group.parameters) == 2 * 13


PATTERNS = ["100", "011", "000", "111", "010"]


@pytest.mark.parametrize("pairs", ["partial", "full"])
def test_a_batch_is_the_mean_of_its_samples(noiseless, pairs):
    tasks = toy_tasks()
    objective, model = nano(tasks, pairs=pairs).double(), Pointwise(channels(tasks)).double()
    batch = in_double(poison(batch_of(SEVEN[:3], PATTERNS)))
    parameters = [*model.parameters(), *objective.parameters()]

    def gradients(total):
        grads = torch.autograd.grad(total, parameters, allow_unused=True)
        return torch.cat(
            [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(parameters, grads, strict=True)]
        )

    losses = [objective(model, one(batch, i), 0.5) for i in range(5)]
    means = sum(loss.total for loss in losses) / 5
    whole = objective(model, batch, 0.5)
    assert whole.total.item() == pytest.approx(means.item(), rel=1e-9)
    assert torch.allclose(gradients(whole.total), gradients(means), rtol=1e-7, atol=1e-10)
    assert sum("cross_task" in loss.terms for loss in losses) == (3 if pairs == "partial" else 4)


def test_total_is_supervised_on_the_first_view_plus_weighted_terms_on_the_second(noiseless):
    tasks = toy_tasks()
    batch = batch_of(SEVEN[:3], ["100", "011"])
    model = Pointwise(channels(tasks))
    losses = nano(tasks, weight=3)(model, batch, 0.0)
    supervised = build_objective(ObjectiveSpec("partial"), tasks)(model, batch, 0.0)
    assert losses.total.item() == pytest.approx((supervised.total + 3 * losses.terms["cross_task"]).item(), rel=1e-6)
    assert losses.terms.keys() - supervised.terms.keys() == {"cross_task"}
    half = nano(tasks, weight=3, ramp=0.5)(model, batch, 0.25)
    assert half.total.item() == pytest.approx((supervised.total + 1.5 * losses.terms["cross_task"]).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("arch", "backbone"),
    [("segnet", "segnet_nano"), ("mtl", "hrnet_nano"), ("mti_net", "hrnet_nano"), ("deeplab", "resnet_nano")],
)
def test_it_runs_on_any_model_and_hidden_labels_do_not_leak(arch, backbone):
    names = ("semseg", "depth", "normals", "edges")
    tasks = toy_tasks(*names)
    torch.manual_seed(0)
    model = model_of(arch, backbone, names, tasks).train()
    objective = nano(tasks, features=model.backbone.channels)
    losses = objective(model, poison(batch_of(names, ["1001", "0110", "0000"])), 0.0)
    losses.total.backward()
    assert "cross_task" in losses.terms
    assert torch.isfinite(losses.total)
    for part in (model, objective):
        assert all(torch.isfinite(p.grad).all() for p in part.parameters() if p.grad is not None)
    assert all(p.grad is not None and p.grad.any() for p in objective.groups()[0].parameters)


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_any_number_of_tasks(k):
    tasks = toy_tasks(*SEVEN[:k])
    batch = poison(batch_of(SEVEN[:k], ["1" + "0" * (k - 1), "0" * k]))
    losses = nano(tasks)(Pointwise(channels(tasks)), batch, 0.0)
    assert torch.isfinite(losses.total)
    assert ("cross_task" in losses.terms) == (k > 1)


def test_samples_without_labels_add_no_term():
    tasks = toy_tasks()
    losses = nano(tasks)(Pointwise(channels(tasks)), poison(batch_of(SEVEN[:3], ["000", "000"])), 0.0)
    assert not losses.total.requires_grad
    assert losses.total.item() == 0
    assert "cross_task" not in losses.terms


def test_gradient_reaches_the_predictions_of_unlabelled_tasks_only(noiseless):
    tasks = toy_tasks()
    batch = batch_of(SEVEN[:3], ["100"])
    model = Pointwise(channels(tasks))
    objective = nano(tasks)
    pairs = objective.pairs(tasks, batch)
    outputs = model(batch.others[0].image)
    objective.cross_task(outputs.final, batch.others[0].targets, pairs, outputs.features[-1]).sum().backward()
    assert {name for name, head in model.heads.items() if head.weight.grad is not None} == {"depth", "normals"}
    assert model.bottleneck.weight.grad is None


def test_maps_over_their_peak():
    maps = torch.tensor([[1.0, 4.0], [0.0, 0.0]], dtype=torch.float64).view(2, 1, 1, 2)
    assert over_peak(maps).flatten().tolist() == pytest.approx([0.25, 1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("classes", "bits", "size", "published"),
    [
        (13, "100", (288, 384), "290.5"),
        (7, "10", (128, 256), "60.8"),
        (18, "0100000", (256, 256), "371"),
        (18, "1111000", (256, 256), "641"),
    ],
)
def test_published_multiply_accumulates_a_sample(classes, bits, size, published):
    names = SEVEN[: len(bits)]
    tasks = make_tasks(names, replace(INFO, class_names=tuple(str(c) for c in range(classes))))
    batch = batch_of(names, [bits], size).to("meta")
    with torch.device("meta"):
        model = model_of("segnet", "segnet", names, tasks).train()
        objective = MTPSL(tasks, dict.fromkeys(tasks, 1.0), model.backbone.channels)
    assert f"{giga_macs(objective, model, batch):.{len(published.partition('.')[2])}f}" == published


def test_errors():
    tasks = toy_tasks()
    with pytest.raises(SpecError, match="unknown choice of pairs 'ful'"):
        nano(tasks, pairs="ful")
    with pytest.raises(SpecError, match=r"encoder: unknown encoder of the mapping network 'vgg'"):
        MTPSL(tasks, {}, (64,), encoder="vgg")
    with pytest.raises(SpecError, match="'resnet_nano' ends with 96 channels, the model's with 64"):
        MTPSL(tasks, {}, (64,), encoder="resnet_nano")
    for name in ("weight", "regularisation", "film_lr_factor", "ramp"):
        with pytest.raises(SpecError, match=f"objective.options.{name}"):
            nano(tasks, **{name: -1})
    with pytest.raises(SpecError, match="film_period 0"):
        nano(tasks, film_period=0)
