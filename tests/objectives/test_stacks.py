import itertools
import math

import pytest
import torch
from jtr_maps import CLASSES, LAW, NYU, drawn_labels, noise, rand, small_maps, tasks_of
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.objectives import latent
from mtlrepro.objectives.latent import normal_cdf
from mtlrepro.objectives.reconstruction import PARTS
from mtlrepro.objectives.stacks import (
    STACK_FORMS,
    Scene,
    choose,
    make_forms,
    split_tasks,
    stack_predictions,
    stack_targets,
)
from mtlrepro.tasks import TASKS

DEPTH = {"depth": LAW}


@pytest.fixture
def silent(monkeypatch):
    monkeypatch.setattr(latent, "gumbel_noise", torch.zeros_like)


def small_scene(*labelled):
    predictions, labels = small_maps()
    forms = make_forms(tasks_of(NYU), DEPTH)
    return forms, Scene.of(forms, predictions, labels, {t: torch.tensor([t in labelled]) for t in NYU})


VECTOR_D = [
    ((0,), 22, (22, 11.165599, 37.931365), (22, 11.165599, 37.931365), 44.0),
    ((1,), 21, (21, 10.283512, 37.624567), (21, 9.051899, 37.624567), 7.624447),
    ((2,), 21, (21, 10.942202, 37.519632), (21, 10.942202, 33.916531), 20.871814),
    ((0, 1), 19, (19, 9.501506, 37.462325), (22, 9.051899, 37.462325), 49.079019),
    ((1, 2), 18, (18, 9.278109, 37.050592), (18, 9.051899, 33.916531), 27.303935),
    ((0, 2), 19, (19, 10.160195, 37.357390), (22, 10.160195, 33.916531), 61.031453),
    ((0, 1, 2), 16, (16, 8.496102, 36.888350), (22, 9.051899, 33.916531), 64.918146),
    ((), 24, (24, 11.947605, 38.093607), (24, 11.947605, 38.093607), 0),
]


@pytest.mark.parametrize(("labelled", "pixels", "noisy", "target", "apart"), VECTOR_D)
def test_vector_d(silent, labelled, pixels, noisy, target, apart):
    forms, scene = small_scene(*(NYU[i] for i in labelled))
    y_hat = stack_predictions(forms, scene)
    y = stack_targets(forms, scene, stack_predictions(forms, scene))
    assert scene.mask.sum().item() == pixels
    assert [p.sum().item() for p in split_tasks(forms, y_hat).values()] == pytest.approx(noisy, abs=6e-7)
    assert [p.sum().item() for p in split_tasks(forms, y).values()] == pytest.approx(target, abs=6e-7)
    assert (y - y_hat).abs().sum().item() == pytest.approx(apart, abs=6e-7)


def test_vector_of_the_distribution_function():
    values = torch.tensor([0, 0.5, 1, 2.3618, 4, 8, 10, -1], dtype=torch.float64)
    want = [0.06842105, 0.12045537, 0.19550900, 0.5, 0.84893396, 0.99980840, 0.99999925, 0.01710720]
    assert normal_cdf(values, *DEPTH["depth"]).tolist() == pytest.approx(want, abs=2e-8)


def test_what_masked_pixels_hold(silent):
    forms, scene = small_scene(*NYU)
    parts = split_tasks(forms, stack_predictions(forms, scene))
    out = (scene.mask == 0).squeeze(1)
    assert out.any()
    assert not parts["semseg"].movedim(1, -1)[out].any()
    assert parts["depth"].movedim(1, -1)[out].flatten().tolist() == pytest.approx([0.06842105] * int(out.sum()))
    assert (parts["normals"].movedim(1, -1)[out] == 0.5).all()


def test_soft_classes_are_probabilities_and_hard_ones_are_one_hot(silent):
    forms, scene = small_scene("depth")
    soft = split_tasks(forms, stack_predictions(forms, scene, hard=False))
    hard = split_tasks(forms, stack_predictions(forms, scene))
    expected = scene.values["semseg"].softmax(1) * scene.mask
    torch.testing.assert_close(soft["semseg"], expected)
    assert torch.equal(soft["semseg"].argmax(1), hard["semseg"].argmax(1))
    torch.testing.assert_close(hard["semseg"].sum(1, keepdim=True), scene.mask)
    assert torch.equal(soft["depth"], hard["depth"])
    assert torch.equal(soft["normals"], hard["normals"])


def test_draws_follow_the_softmax():
    forms = make_forms(tasks_of(("semseg",), 3), {})
    logits = torch.tensor([2.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 200, 200)
    labels = {"semseg": torch.zeros(1, 200, 200, dtype=torch.long)}
    scene = Scene.of(forms, {"semseg": logits}, labels, {"semseg": torch.tensor([False])})
    torch.manual_seed(0)
    first, second = stack_predictions(forms, scene), stack_predictions(forms, scene)
    torch.testing.assert_close(first.mean((0, 2, 3)), logits[0, :, 0, 0].softmax(0), atol=0.01, rtol=0)
    assert not torch.equal(first, second)  # drawn anew


def test_classes_pass_the_gradient_of_the_softmax(silent):
    forms, scene = small_scene()
    logits = scene.values["semseg"].clone().requires_grad_()
    weights = rand(1, *logits.shape)
    (forms["semseg"].prediction(logits, scene.mask) * weights).sum().backward()
    hard = logits.grad.clone()
    logits.grad = None
    (logits.softmax(1) * weights).sum().backward()
    torch.testing.assert_close(hard, logits.grad)


@pytest.mark.parametrize("count", range(1, 8))
def test_samples_of_a_batch_do_not_know_each_other(silent, count):
    """Every subset of labels in one batch, against one sample at a time."""
    tasks = tasks_of(tuple(TASKS)[:count], 4)
    forms = make_forms(tasks, DEPTH)
    patterns = list(itertools.product([False, True], repeat=min(count, 3)))
    samples = len(patterns)
    labelled = {t: torch.tensor([p[i % 3] for p in patterns]) for i, t in enumerate(tasks)}
    raw, labels = noise(1, tasks, samples, (4, 6)), drawn_labels(2, tasks, samples, (4, 6))
    every = Scene.of(forms, raw, labels, labelled)
    whole = stack_targets(forms, every, stack_predictions(forms, every))
    for row in range(samples):
        one = Scene.of(forms, *({t: m[row : row + 1] for t, m in maps.items()} for maps in (raw, labels, labelled)))
        assert torch.equal(one.mask, every.mask[row : row + 1])
        torch.testing.assert_close(stack_targets(forms, one, stack_predictions(forms, one)), whole[row : row + 1])


@pytest.mark.parametrize("task", TASKS)
def test_every_task_stacks_values_between_0_and_1(task):
    tasks = tasks_of((task,), 4)
    forms = make_forms(tasks, {})
    raw, labels = noise(3, tasks, 2), drawn_labels(4, tasks, 2)
    scene = Scene.of(forms, raw, labels, {task: torch.tensor([True, False])})
    y_hat = stack_predictions(forms, scene)
    y = stack_targets(forms, scene, y_hat)
    for stack in (y_hat, y):
        assert stack.shape == (2, tasks[task].channels, 32, 32)
        assert stack.min() >= -1e-12
        assert stack.max() <= 1 + 1e-12
    assert torch.equal(y[1], y_hat[1])
    assert not torch.equal(y[0], y_hat[0])
    valid = tasks[task].valid(labels[task])
    assert torch.equal(scene.mask[0], valid[0].double())
    assert scene.mask[1].all()


@pytest.mark.parametrize("task", TASKS)
def test_hidden_labels_are_never_read(task):
    tasks = tasks_of((task, "depth") if task != "depth" else ("depth", "normals"), 4)
    forms = make_forms(tasks, {})
    labelled = {t: torch.tensor([True, t != task]) for t in tasks}
    raw, labels = noise(5, tasks, 2), drawn_labels(6, tasks, 2)
    stacks, grads = [], []
    for poison in (None, 200 if task in CLASSES else math.nan, 255.0 if task not in CLASSES else -1):
        if poison is not None:
            labels[task][1] = poison
        leaves = {t: r.clone().requires_grad_() for t, r in raw.items()}
        torch.manual_seed(0)
        scene = Scene.of(forms, leaves, labels, labelled)
        stacks.append(stack_targets(forms, scene, stack_predictions(forms, scene)))
        stacks[-1].square().sum().backward()
        grads.append(torch.cat([leaf.grad.flatten() for leaf in leaves.values()]))
    assert torch.isfinite(stacks[0]).all()
    assert all(torch.equal(stacks[0], s) for s in stacks)
    assert torch.isfinite(grads[0]).all()
    assert all(torch.equal(grads[0], g) for g in grads)


def test_gradients_of_labelled_tasks_are_cut():
    tasks = tasks_of(NYU)
    forms = make_forms(tasks, DEPTH)
    leaves = {t: r.requires_grad_() for t, r in noise(7, tasks, 2).items()}
    labelled = {t: torch.tensor([t == "depth", True]) for t in tasks}
    scene = Scene.of(forms, leaves, drawn_labels(8, tasks, 2), labelled).detached_where_labelled()
    (stack_predictions(forms, scene) * rand(9, 2, 17, 32, 32)).sum().backward()
    for task, leaf in leaves.items():
        assert leaf.grad[0].any() == (task != "depth")
        assert not leaf.grad[1].any()
    assert not any(v.requires_grad for v in scene.detached().values.values())


def test_choose_keeps_nan_where_it_is():
    one, other = torch.tensor([[1.0], [math.nan]]), torch.tensor([[math.nan], [2.0]])
    assert choose(torch.tensor([True, False]), one, other).tolist() == [[1.0], [2.0]]


def test_every_task_has_a_form_and_unknown_ones_are_named():
    assert set(STACK_FORMS) == set(PARTS) == set(TASKS)
    with pytest.raises(SpecError, match=r"unknown task of a joint stack: 'dephth'\. Did you mean 'depth'"):
        make_forms({"dephth": nn.Identity()}, {})
