import copy
import itertools
import math
from dataclasses import replace

import pytest
import torch
from jtr_maps import (
    CITYSCAPES,
    LAW,
    NYU,
    TASKONOMY,
    Table,
    batch_of,
    cityscapes_labels,
    cityscapes_predictions,
    drawn_labels,
    fill,
    noise,
    nyu_labels,
    nyu_predictions,
    tasks_of,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.data.sample import Batch, View
from mtlrepro.data.transforms.crop import Window
from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.objectives import build_objective, latent
from mtlrepro.objectives.jtr import JTR
from mtlrepro.objectives.latent import cosine_distance
from mtlrepro.objectives.reconstruction import noisy_goals, reconstruction_loss, stack_goals, target_goals
from mtlrepro.objectives.stacks import Scene, stack_predictions, stack_targets
from mtlrepro.spec import ModelSpec, ObjectiveSpec, options
from mtlrepro.tasks import TASKS

SMALL = (4, 5, 6, 7, 8)


@pytest.fixture
def silent(monkeypatch):
    monkeypatch.setattr(latent, "gumbel_noise", torch.zeros_like)


def objective(names, classes=13, seed=0, **chosen) -> JTR:
    torch.manual_seed(seed)
    chosen = {"widths": SMALL, **chosen}
    return build_objective(ObjectiveSpec("jtr", options=options(**chosen)), tasks_of(names, classes)).double()


# --- The public implementation's figures (float64, no noise) ---------------------------------------------------------

PUBLISHED = {
    "depth_mean": LAW.mean,
    "depth_std": LAW.std,
    "widths": (64, 128, 256, 512, 512),
}
VECTOR_E = [  # labelled tasks, L_dist, D_model, D_enc, L_recon, |gradient| of the second view's predictions
    ((0,), 0.61712540, 0.20316310, 0.20698115, 24.74834322, (0, 0.13535140, 0.58553041)),
    ((1,), 0.57077266, 0.17860627, 0.19608319, 24.68865321, (0.23624998, 0, 0.58261992)),
    ((2,), 0.62977224, 0.20298316, 0.21339454, 24.69204694, (0.23346990, 0.13145743, 0)),
    ((0, 1), 0.63757778, 0.20655240, 0.21551269, 23.54927737, (0, 0, 0.56200179)),
    ((0, 2), 0.61704254, None, None, 23.63104270, (0, 0.13434559, 0)),
    ((1, 2), 0.59575484, None, None, 24.62225669, (0.24917045, 0, 0)),
    ((), 0.38733693, 0, 0.19366847, 24.78618965, (0, 0, 0)),
]
WEIGHTS_E = {  # |gradient| of the encoder's first and last convolution, the decoder's first, and the output's
    (0,): (71.225741, 16.531566, 17.361916, 21.108918),
    (1,): (69.289671, 16.315981, 17.491258, 20.942125),
    (2,): (67.904971, 16.424261, 17.633985, 21.002469),
    (0, 1): (78.912898, 18.159220, 18.625123, 19.960132),
    (0, 2): (69.562238, 16.640137, 17.649301, 20.088830),
    (1, 2): (73.522492, 17.967876, 19.298039, 20.938596),
    (): (65.106504, 15.355605, 16.405927, 21.038846),
}
CITYSCAPES_E = [
    ((0,), 0.59885530, 11.84966222, (0, 0.08747700)),
    ((1,), 0.43170326, 11.89391524, (0.10588797, 0)),
    ((0, 1), 0.61905628, 11.21710923, (0, 0)),
]


@pytest.fixture(scope="module")
def nyu():
    jtr = objective(NYU, **PUBLISHED)
    fill(jtr.autoencoder)
    return jtr, (nyu_predictions(100), nyu_predictions(110)), (nyu_labels(200), nyu_labels(210))


@pytest.fixture(scope="module")
def cityscapes():
    jtr = objective(CITYSCAPES, 7, **PUBLISHED)
    fill(jtr.autoencoder).requires_grad_(False)
    maps = cityscapes_predictions(300), cityscapes_predictions(310)
    return jtr, maps, (cityscapes_labels(400), cityscapes_labels(410))


def check_vector(setting, labelled, distance, recon, gradients):
    """The values of the addends, after a backward pass through their sum.

    As in the public implementation, a sample without labels gets no treatment of its own. The gradient of normals is
    the one to unit vectors, not through their normalisation.
    """
    jtr, predictions, labels = setting
    has = {task: torch.tensor([i in labelled]) for i, task in enumerate(jtr.forms)}
    one, two = (Scene.of(jtr.forms, p, y, has) for p, y in zip(predictions, labels, strict=True))
    for scene in (one, two):
        scene.values.update({t: v.detach().clone().requires_grad_() for t, v in scene.values.items()})
    jtr.zero_grad()
    found = jtr.code_addends(one, two, torch.tensor([False]))
    total = sum(a.weight * a.values.sum() for a in found.values())
    if total.requires_grad:
        total.backward()
    values = {name: a.values.item() for name, a in found.items()}
    assert values["model"] + 2 * values["encoder"] == pytest.approx(distance, rel=1e-6)
    assert values["reconstruction"] == pytest.approx(recon, rel=1e-6)
    assert total.item() == pytest.approx(4 * distance + 2 * recon, rel=1e-6)
    norms = [0 if v.grad is None else v.grad.norm().item() for v in one.values.values()]
    assert norms == pytest.approx(gradients, rel=1e-5, abs=1e-9)
    assert all(v.grad is None for v in two.values.values())
    return values


@pytest.mark.parametrize(
    ("labelled", "distance", "model", "encoder", "recon", "gradients"),
    [pytest.param(*row, id=str(row[0])) for row in VECTOR_E],
)
def test_vector_e(silent, nyu, labelled, distance, model, encoder, recon, gradients):
    values = check_vector(nyu, labelled, distance, recon, gradients)
    if model is not None:
        want = {"model": model, "encoder": encoder, "reconstruction": recon}
        assert values == pytest.approx(want, rel=1e-6, abs=1e-9)
    net = nyu[0].autoencoder
    convolutions = (net.encoder.stages[0][0], net.encoder.stages[-1][-3], net.decoder.stages[-1][0], net.head[-1])
    assert [c.weight.grad.norm().item() for c in convolutions] == pytest.approx(WEIGHTS_E[labelled], rel=1e-5)


@pytest.mark.parametrize(
    ("labelled", "distance", "recon", "gradients"), [pytest.param(*row, id=str(row[0])) for row in CITYSCAPES_E]
)
def test_vector_e_of_cityscapes(silent, cityscapes, labelled, distance, recon, gradients):
    check_vector(cityscapes, labelled, distance, recon, gradients)


# --- Batches ---------------------------------------------------------------------------------------------------------


def rows(maps, which):
    return {task: m[which] for task, m in maps.items()}


def some_setting(names, classes=4, seed=1, samples=None, size=(32, 32)):
    """Predictions and labels of three views, every pattern of labels of the first three tasks."""
    tasks = tasks_of(names, classes)
    patterns = list(itertools.product([True, False], repeat=min(3, len(names))))
    samples = len(patterns) if samples is None else samples
    labelled = {
        t: torch.tensor([patterns[b % len(patterns)][i % 3] for b in range(samples)]) for i, t in enumerate(names)
    }
    raw = [noise(seed + v, tasks, samples, size) for v in range(3)]
    targets = [drawn_labels(seed + 10 + v, tasks, samples, size) for v in range(3)]
    return raw, targets, labelled


def run(jtr, raw, targets, labelled, **more):
    """Losses, gradients of the three views' predictions, and of the auto-encoder."""
    leaves = [{t: m.detach().clone().requires_grad_() for t, m in view.items()} for view in raw]
    losses = jtr(Table(*leaves), batch_of(targets, labelled, **more), 0.0)
    parameters = list(jtr.parameters())
    wanted = [leaf for view in leaves for leaf in view.values()] + parameters
    gradients = torch.autograd.grad(losses.total, wanted, allow_unused=True, materialize_grads=True)
    count = len(wanted) - len(parameters)
    keys = [(v, t) for v, view in enumerate(leaves) for t in view]
    return losses, dict(zip(keys, gradients[:count], strict=True)), gradients[count:]


@pytest.mark.parametrize("names", [NYU, CITYSCAPES, TASKONOMY, ("edges", "depth", "semseg")], ids="+".join)
@pytest.mark.parametrize("variant", ["code", "paper"])
def test_a_batch_is_the_mean_of_its_samples(silent, names, variant):
    jtr, (raw, targets, labelled) = objective(names, 4, variant=variant), some_setting(names)
    samples = len(labelled[names[0]])
    losses, gradients, own = run(jtr, raw, targets, labelled)
    total, summed = 0.0, [torch.zeros_like(g) for g in own]
    terms = dict.fromkeys(losses.terms, 0.0)
    for b in range(samples):
        one = slice(b, b + 1)
        single, per_map, per_weight = run(
            jtr, [rows(v, one) for v in raw], [rows(v, one) for v in targets], rows(labelled, one)
        )
        total += single.total / samples
        terms = {k: v + single.terms[k] / samples for k, v in terms.items()}
        summed = [s + g / samples for s, g in zip(summed, per_weight, strict=True)]
        for key, gradient in per_map.items():
            torch.testing.assert_close(gradients[key][one], gradient / samples, rtol=1e-9, atol=1e-12)
    assert losses.total.item() == pytest.approx(total.item(), rel=1e-12)
    assert {k: v.item() for k, v in losses.terms.items()} == pytest.approx({k: v.item() for k, v in terms.items()})
    for found, want in zip(own, summed, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-11)


def test_terms_add_up_and_are_detached(silent):
    jtr = objective(NYU, 4, distance_weight=3.0, reconstruction_weight=0.5)
    losses, *_ = run(jtr, *some_setting(NYU))
    t = {name: value.item() for name, value in losses.terms.items()}
    assert set(t) == {*(f"final/{task}" for task in NYU), "jtr/model", "jtr/encoder", "jtr/reconstruction"}
    supervised = sum(t[f"final/{task}"] for task in NYU)
    want = supervised + 3 * t["jtr/model"] + 1.5 * t["jtr/encoder"] + 0.5 * t["jtr/reconstruction"]
    assert losses.total.item() == pytest.approx(want)
    assert not any(v.requires_grad for v in losses.terms.values())


@pytest.mark.parametrize("names", [NYU, TASKONOMY, ("edges", "semseg")], ids="+".join)
@pytest.mark.parametrize("variant", ["code", "paper"])
def test_hidden_labels_are_never_read(names, variant):
    jtr, (raw, targets, labelled) = objective(names, 4, variant=variant), some_setting(names)
    torch.manual_seed(0)
    clean = run(jtr, raw, targets, labelled)
    for view, task in itertools.product(targets, names):
        view[task][~labelled[task]] = 200 if task == "semseg" else math.nan
    torch.manual_seed(0)
    poisoned = run(jtr, raw, targets, labelled)
    assert torch.isfinite(clean[0].total)
    assert torch.equal(clean[0].total, poisoned[0].total)
    assert clean[0].terms == poisoned[0].terms
    assert all(torch.equal(clean[1][key], poisoned[1][key]) for key in clean[1])
    assert all(torch.isfinite(g).all() for g in clean[1].values())
    assert all(torch.equal(a, b) for a, b in zip(clean[2], poisoned[2], strict=True))


@pytest.mark.parametrize("count", range(1, 8))
@pytest.mark.parametrize("variant", ["code", "paper"])
def test_any_set_of_tasks(count, variant):
    for names in (tuple(TASKS)[:count], tuple(TASKS)[::-1][:count]):
        jtr = objective(names, 3, variant=variant)
        losses, gradients, own = run(jtr, *some_setting(names, 3, samples=2))
        assert jtr.autoencoder.encoder.stages[0][0].in_channels == sum(t.channels for t in jtr.tasks.values())
        assert torch.isfinite(losses.total)
        assert all(torch.isfinite(g).all() for g in (*gradients.values(), *own))


def test_the_supervised_part_is_that_of_the_first_view():
    tasks, (raw, targets, labelled) = tasks_of(NYU, 4), some_setting(NYU)
    weights = {"depth": 2.0}
    jtr = build_objective(ObjectiveSpec("jtr", options(**weights), options(widths=SMALL)), tasks).double()
    partial = build_objective(ObjectiveSpec("partial", options(**weights)), tasks)
    stages = {
        "initial": {
            "depth": torch.cat([noise(40 + v, {"depth": tasks["depth"]}, 8, (8, 8))["depth"] for v in range(3)])
        }
    }
    losses = jtr(Table(*raw, stages=stages), batch_of(targets, labelled), 0.0)
    first = {"initial": {"depth": stages["initial"]["depth"][:8]}}
    want = partial(Table(raw[0], stages=first), Batch(torch.zeros(8, 3, 32, 32), targets[0], labelled), 0.0)
    assert set(want.terms) == {name for name in losses.terms if not name.startswith("jtr/")}
    for name, value in want.terms.items():
        torch.testing.assert_close(losses.terms[name], value)
    extra = 4 * losses.terms["jtr/model"] + 8 * losses.terms["jtr/encoder"] + 2 * losses.terms["jtr/reconstruction"]
    assert losses.total.item() == pytest.approx((want.total + extra).item())


def test_which_predictions_learn():
    """First view: labelled tasks, supervised. Second: unlabelled tasks, distance. Third: none."""
    raw, targets, labelled = some_setting(NYU)
    _, gradients, own = run(objective(NYU, 4), raw, targets, labelled)
    for task in NYU:
        assert torch.equal(gradients[0, task].flatten(1).any(1), labelled[task])
        assert torch.equal(gradients[1, task].flatten(1).any(1), ~labelled[task])
        assert not gradients[2, task].any()
    assert all(g.any() for name, g in zip(objective(NYU, 4).state_dict(), own, strict=True) if "weight" in name)


def test_small_predictions_are_brought_to_the_labels_size(silent):
    jtr, (_, targets, labelled) = objective(NYU, 4), some_setting(NYU)
    small = [noise(v, jtr.tasks, 8, (8, 8)) for v in range(3)]
    large = [
        {t: nn.functional.interpolate(m, size=(32, 32), mode="bilinear") for t, m in view.items()} for view in small
    ]
    assert run(jtr, small, targets, labelled)[0].total.item() == pytest.approx(
        run(jtr, large, targets, labelled)[0].total.item()
    )


def test_half_precision_predictions_give_a_float32_total(silent):
    raw, targets, labelled = some_setting(NYU)
    jtr = objective(NYU, 4).float()
    full, half = (
        [rows({t: m.to(dtype) for t, m in v.items()}, slice(None)) for v in raw]
        for dtype in (torch.float32, torch.bfloat16)
    )
    targets = [{t: m.float() if m.is_floating_point() else m for t, m in v.items()} for v in targets]
    want, found = (run(jtr, maps, targets, labelled)[0].total for maps in (full, half))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(want.item(), rel=0.02)


# --- Samples without labels ------------------------------------------------------------------------------------------


@pytest.fixture
def alone(silent):
    names = NYU
    jtr, (raw, targets, _) = objective(names, 4), some_setting(names, samples=2)
    return jtr, raw, targets, dict.fromkeys(names, torch.tensor([False, False]))


def test_a_sample_without_labels_is_compared_with_itself(alone):
    jtr, raw, targets, labelled = alone
    losses, gradients, own = run(jtr, raw, targets, labelled)
    scenes = [Scene.of(jtr.forms, raw[v], targets[v], labelled) for v in (1, 2)]
    y_hat, y = (stack_predictions(jtr.forms, s) for s in scenes)
    distance = cosine_distance(jtr.autoencoder.latent(y), jtr.autoencoder.latent(y_hat)).mean()
    assert all(s.mask.all() for s in scenes)
    assert losses.terms["jtr/model"].item() == pytest.approx(distance.item())
    assert losses.terms["jtr/encoder"].item() == pytest.approx(distance.item())
    for task in NYU:
        assert not gradients[0, task].any()
        assert gradients[1, task].flatten(1).any(1).all()
        assert not gradients[2, task].any()
    assert any(g.any() for g in own)


def test_reconstructions_of_a_sample_without_labels(alone):
    """Y and its goal are of the third view, Ŷ and its goal of the second."""
    jtr, raw, targets, labelled = alone
    want = 0.0
    for view, goals in ((2, target_goals), (1, noisy_goals)):
        scene = Scene.of(jtr.forms, raw[view], targets[view], labelled)
        _, output = jtr.autoencoder(stack_predictions(jtr.forms, scene))
        want += reconstruction_loss(jtr.parts, output, goals(jtr.parts, scene), scene.mask).mean().item()
    found = run(jtr, raw, targets, labelled)[0].terms["jtr/reconstruction"]
    assert found.item() == pytest.approx(want)


def test_the_paper_compares_a_sample_without_labels_with_itself(alone):
    _, raw, targets, labelled = alone
    jtr = objective(NYU, 4, variant="paper")
    losses, gradients, _ = run(jtr, raw, targets, labelled)
    y_hat, y = (stack_predictions(jtr.forms, Scene.of(jtr.forms, raw[v], targets[v], labelled)) for v in (1, 2))
    distance = cosine_distance(jtr.autoencoder.latent(y), jtr.autoencoder.latent(y_hat)).mean()
    assert losses.terms["jtr/distance"].item() == pytest.approx(distance.item())
    assert all(gradients[1, task].any() and not gradients[2, task].any() for task in NYU)


def test_their_views_must_show_the_same():
    raw, targets, labelled = some_setting(NYU)
    one, two = Window.whole((32, 32)), Window(False, 1.2, 1, 2, 26, 26)
    windows = [(one,) * 8, (one,) * 8, (two,) + (one,) * 7]
    assert torch.isfinite(run(objective(NYU, 4), raw, targets, labelled, windows=windows)[0].total)
    windows[2] = (one,) * 7 + (two,)  # the last sample has no label
    with pytest.raises(SpecError, match="third view of sample 7, which has no label"):
        run(objective(NYU, 4), raw, targets, labelled, windows=windows)


# --- Variants and options --------------------------------------------------------------------------------------------


def test_without_reconstruction_the_distances_stay(silent):
    setting = some_setting(NYU)
    whole, _, _ = run(objective(NYU, 4), *setting)
    jtr = objective(NYU, 4, reconstruct=False)
    losses, _, own = run(jtr, *setting)
    assert "jtr/reconstruction" not in losses.terms
    assert losses.terms == {k: v for k, v in whole.terms.items() if k in losses.terms}
    assert losses.total.item() == pytest.approx((whole.total - 2 * whole.terms["jtr/reconstruction"]).item())
    learn = {name for (name, _), g in zip(jtr.named_parameters(), own, strict=True) if g.any()}
    assert learn
    assert all(name.startswith("autoencoder.encoder.") for name in learn)


@pytest.mark.parametrize(
    ("distance", "formula"),
    [("l1", lambda a, b: (a - b).abs().mean()), ("l2", lambda a, b: ((a - b) ** 2).mean())],
    ids=["l1", "l2"],
)
def test_other_distances(alone, distance, formula):
    _, raw, targets, labelled = alone
    jtr = objective(NYU, 4, distance=distance)
    y_hat, y = (stack_predictions(jtr.forms, Scene.of(jtr.forms, raw[v], targets[v], labelled)) for v in (1, 2))
    want = formula(jtr.autoencoder.latent(y), jtr.autoencoder.latent(y_hat)).item()
    assert run(jtr, raw, targets, labelled)[0].terms["jtr/model"].item() == pytest.approx(want)


def test_the_papers_distance_trains_everything(silent):
    raw, targets, labelled = some_setting(NYU, samples=2)
    labelled = {task: torch.tensor([True, task == "depth"]) for task in labelled}
    jtr = objective(NYU, 4, variant="paper", reconstruct=False)
    losses, gradients, own = run(jtr, raw, targets, labelled)
    assert {name for name in losses.terms if name.startswith("jtr/")} == {"jtr/distance"}
    for task in NYU:
        assert gradients[1, task].flatten(1).any(1).all()
        assert not gradients[2, task].any()
    assert any(g.any() for g in own)


def test_the_papers_addends(silent):
    raw, targets, labelled = some_setting(NYU, samples=7)  # each has a label
    jtr = objective(NYU, 4, variant="paper")
    losses, _, own = run(jtr, raw, targets, labelled)
    scene = Scene.of(jtr.forms, raw[1], targets[1], labelled)
    y_hat = stack_predictions(jtr.forms, scene)
    y = stack_targets(jtr.forms, scene, y_hat)
    distance = cosine_distance(jtr.autoencoder.latent(y), jtr.autoencoder.latent(y_hat)).mean()
    recon = sum(
        reconstruction_loss(jtr.parts, jtr.autoencoder(s)[1], stack_goals(jtr.parts, s, scene.mask), scene.mask).mean()
        for s in (y, y_hat)
    )
    assert losses.terms["jtr/distance"].item() == pytest.approx(distance.item())
    assert losses.terms["jtr/reconstruction"].item() == pytest.approx(recon.item())
    want = torch.autograd.grad(4 * distance + 2 * recon, list(jtr.parameters()))
    for found, gradient in zip(own, want, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-11)


def test_draws_are_independent_and_fixed_by_the_seed(monkeypatch):
    calls, noise_of = [], latent.gumbel_noise
    monkeypatch.setattr(latent, "gumbel_noise", lambda like: calls.append(noise_of(like)) or calls[-1])
    setting, jtr = some_setting(NYU), objective(NYU, 4)
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        losses.append(run(jtr, *setting)[0])
    assert len(calls) == 3 * 5
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(calls[:5], 2))
    assert torch.equal(losses[0].total, losses[1].total)
    assert losses[0].terms == losses[1].terms
    assert losses[0].total != losses[2].total


def test_tasks_outside_of_the_stack():
    names = ("semseg", "depth", "normals")
    raw, targets, labelled = some_setting(names)
    final = [{t: v[t] for t in ("semseg", "depth")} for v in raw]
    stages = {"initial": {"normals": torch.cat([v["normals"] for v in raw])}}
    batch = batch_of(targets, labelled)
    jtr = objective(names, 4, over=("depth", "semseg"))
    assert list(jtr.forms) == ["depth", "semseg"]
    losses = jtr(Table(*final, stages=stages), batch, 0.0)
    assert {"initial/normals", "final/depth", "jtr/model"} <= set(losses.terms)
    with pytest.raises(SpecError, match="normals: the model does not predict this task at its end"):
        objective(names, 4)(Table(*final, stages=stages), batch, 0.0)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"variant": "papers"}, r"objective\.options\.variant: unknown variant 'papers'.*'paper'"),
        ({"distance": "cos"}, r"objective\.options\.distance: unknown distance 'cos'.*Known: cosine, l1, l2"),
        ({"over": ("depht",)}, r"objective\.options\.over: unknown task 'depht'.*'depth'"),
        ({"depth_std": 0.0}, r"objective\.options\.depth_std: unexpected value 0\.0.*> 0"),
        ({"distance_weight": -1.0}, r"objective\.options\.distance_weight: unexpected value -1\.0.*>= 0"),
        ({"reconstruction_weight": math.nan}, r"objective\.options\.reconstruction_weight: unexpected value nan"),
        ({"widths": (4, 4)}, "widths: no SegNet has stages of"),
        ({"gamma": 1}, "unknown option of objective 'jtr': 'gamma'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_options_are_named(chosen, message):
    with pytest.raises(SpecError, match=message):
        objective(NYU, **chosen)


def test_a_batch_of_too_few_views_is_named():
    raw, targets, labelled = some_setting(NYU)
    with pytest.raises(SpecError, match="JTR needs 3 views of a sample, got 2"):
        objective(NYU, 4)(Table(*raw[:2]), batch_of(targets[:2], labelled), 0.0)


def test_depth_is_squashed_by_the_given_law(silent):
    jtr = objective(("depth",), depth_mean=3.0, depth_std=2.0)
    scene = Scene.of(
        jtr.forms, *({"depth": torch.full((1, 1, 1, 2), 5.0)} for _ in "ab"), {"depth": torch.tensor([True])}
    )
    assert stack_predictions(jtr.forms, scene).flatten().tolist() == pytest.approx([0.8413447] * 2)


# --- Networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("mtl", "hrnet_nano", ("semseg", "depth", "normals")),
        ModelSpec("segnet", "segnet_nano", NYU),
        ModelSpec("padnet", "hrnet_nano", ("semseg", "depth"), (*NYU, "edges")),
        ModelSpec("mti_net", "hrnet_nano", ("semseg", "depth"), (*NYU, "edges")),
    ],
    ids=lambda spec: spec.arch,
)
def test_any_network_learns(spec):
    names = tuple(dict.fromkeys(spec.main + spec.aux))
    torch.manual_seed(0)
    jtr = objective(names, 4, over=spec.main).float()
    network = build_model(spec, {name: task.channels for name, task in jtr.tasks.items()})
    _, targets, labelled = some_setting(names, samples=2, size=(64, 64))
    targets = [{t: m.float() if m.is_floating_point() else m for t, m in v.items()} for v in targets]
    views = [torch.rand(2, 3, 64, 64) for _ in range(3)]
    batch = batch_of(targets, labelled)
    others = tuple(View(image, v.targets, v.windows) for image, v in zip(views[1:], batch.others, strict=True))
    batch = replace(batch, image=views[0], others=others)
    before = copy.deepcopy(network.state_dict())
    losses = jtr(network, batch, 0.5)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in jtr.parameters())
    tracked = [name for name in before if name.endswith("num_batches_tracked")]
    assert tracked
    assert all(network.state_dict()[name] == before[name] + 1 for name in tracked)  # all views in one pass


COSTS = [  # G multiply-accumulates a sample: network, auto-encoder, encoder alone; and all with the norms' 2 an element
    (NYU, 13, (288, 384), (68.599, 61.337, 34.717), 398.5),
    (CITYSCAPES, 7, (128, 256), (19.099, 17.985, 10.117), 113.7),
    (TASKONOMY, 18, (256, 256), (50.353, 36.725, 20.913), 266.7),
]


@pytest.mark.parametrize(("names", "classes", "size", "parts", "total"), COSTS, ids=["nyu", "cityscapes", "taskonomy"])
def test_published_cost_of_a_forward_pass(names, classes, size, parts, total):
    """On the meta device, so that nothing may be read from a tensor on the way."""
    tasks, samples = tasks_of(names, classes), 2
    with torch.device("meta"):
        network = build_model(ModelSpec("segnet", "segnet", names), {name: t.channels for name, t in tasks.items()})
    jtr = build_objective(ObjectiveSpec("jtr"), tasks).to("meta")
    normalised = []
    for module in (*network.modules(), *jtr.modules()):
        if isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
            module.register_forward_hook(lambda module, inputs, output: normalised.append(output.numel()))
    labelled = {task: torch.tensor([i == 0, False]) for i, task in enumerate(names)}
    targets = [drawn_labels(v, tasks, samples, size) for v in range(3)]
    batch = batch_of(targets, labelled).to("meta")
    batch = replace(batch, image=batch.image.float())
    others = tuple(View(v.image.float(), v.targets, v.windows) for v in batch.others)
    counter = FlopCounterMode(display=False)
    with counter:
        losses = jtr(network, replace(batch, others=others), 0.0)
    assert losses.total.requires_grad
    macs = counter.get_total_flops() / 2 / samples / 1e9
    net, whole, encoder = parts
    assert macs == pytest.approx(3 * net + 2 * whole + 2 * encoder, abs=0.004)
    assert round(macs + 2 * sum(normalised) / samples / 1e9, 1) == total
