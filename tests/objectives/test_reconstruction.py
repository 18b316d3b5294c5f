import pytest
import torch
from jtr_maps import LAW, NYU, drawn_labels, noise, randn, small_maps, tasks_of, unit
from torch.nn import functional as F

from mtlrepro.objectives import latent
from mtlrepro.objectives.reconstruction import (
    Goal,
    elements,
    make_parts,
    noisy_goals,
    reconstruction_loss,
    stack_goals,
    target_goals,
)
from mtlrepro.objectives.stacks import Scene, make_forms, split_tasks, stack_predictions, stack_targets
from mtlrepro.tasks import TASKS

DEPTH = {"depth": LAW}
MAPS = ("occlusion", "reshading", "keypoints", "texture")


@pytest.fixture(autouse=True)
def silent(monkeypatch):
    monkeypatch.setattr(latent, "gumbel_noise", torch.zeros_like)


def scene_of(labels_known, mask_known=None):
    """The small maps, with labels of some tasks, and the mask of others."""
    predictions, labels = small_maps()
    forms = make_forms(tasks_of(NYU), DEPTH)
    scene, masked = (
        Scene.of(forms, predictions, labels, {t: torch.tensor([t in known]) for t in NYU})
        for known in (labels_known, mask_known or labels_known)
    )
    return forms, Scene(scene.values, scene.targets, scene.labelled, masked.mask)


OUTPUT = torch.cat([randn(21, 1, 13, 4, 6), randn(22, 1, 1, 4, 6), randn(23, 1, 3, 4, 6)], 1)
LABEL = {"semseg": 7.60942281, "depth": 0.26439751, "normals": 0.95152838}
PREDICTION = {"semseg": 10.20327649, "depth": 0.20824862, "normals": 1.00745581}
NOISY = {"semseg": 10.20327649, "depth": 0.23307897, "normals": 0.97858134}


@pytest.mark.parametrize(
    ("goals", "known", "want"),
    [(target_goals, NYU, LABEL), (target_goals, (), PREDICTION), (noisy_goals, NYU, NOISY)],
    ids=["label", "prediction", "noisy"],
)
def test_vectors(goals, known, want):
    forms, scene = scene_of(known, NYU)
    parts = make_parts(forms)
    found, outputs = goals(parts, scene), split_tasks(forms, OUTPUT)
    losses = {t: part.loss(outputs[t], found[t], scene.mask).item() for t, part in parts.items()}
    assert losses == pytest.approx(want, abs=2e-8)
    total = reconstruction_loss(parts, OUTPUT, found, scene.mask)
    assert total.tolist() == pytest.approx([sum(want.values())], abs=2e-8)


def test_labels_and_predictions_are_told_apart_sample_by_sample():
    forms, labelled = scene_of(NYU)
    parts = make_parts(forms)
    _, other = scene_of((), NYU)
    both = Scene(
        *(
            {t: torch.cat([a[t], b[t]]) for t in NYU}
            for a, b in zip(
                (labelled.values, labelled.targets, labelled.labelled),
                (other.values, other.targets, other.labelled),
                strict=True,
            )
        ),
        torch.cat([labelled.mask, other.mask]),
    )
    found = reconstruction_loss(parts, OUTPUT.repeat(2, 1, 1, 1), target_goals(parts, both), both.mask)
    assert found.tolist() == pytest.approx([sum(LABEL.values()), sum(PREDICTION.values())], abs=2e-8)


def test_the_papers_goals_are_means_over_the_valid_pixels():
    forms, scene = scene_of(NYU)
    parts = make_parts(forms)
    stack = stack_targets(forms, scene, stack_predictions(forms, scene))
    goals, outputs, (_, labels) = stack_goals(parts, stack, scene.mask), split_tasks(forms, OUTPUT), small_maps()
    where = scene.mask.bool().squeeze(1)
    entries = {t: part.loss(outputs[t], goals[t], scene.mask).item() for t, part in parts.items()}
    logits = outputs["semseg"].movedim(1, -1)[where]
    classes = F.one_hot(labels["semseg"][where], 13).double()
    cosine = (unit(outputs["normals"]) * labels["normals"]).sum(1)[where].mean()
    law = torch.distributions.Normal(*(torch.tensor(v, dtype=torch.float64) for v in DEPTH["depth"]))
    depth = (outputs["depth"].sigmoid() - law.cdf(labels["depth"])).abs()[where.unsqueeze(1)].mean()
    want = {"semseg": F.binary_cross_entropy_with_logits(logits, classes, reduction="none").sum(1).mean().item()}
    want |= {"depth": depth.item(), "normals": 1 - cosine.item()}
    assert entries == pytest.approx(want, rel=2e-5)


@pytest.mark.parametrize("task", TASKS)
def test_goals_have_no_gradient_and_outputs_have(task):
    tasks = tasks_of((task,), 4)
    forms = make_forms(tasks, {})
    parts = make_parts(forms)
    raw = {task: noise(1, tasks, 3)[task].requires_grad_()}
    scene = Scene.of(forms, raw, drawn_labels(2, tasks, 3), {task: torch.tensor([True, False, True])})
    output = randn(3, 3, tasks[task].channels, 32, 32).requires_grad_()
    stack = stack_predictions(forms, scene)
    for goals in (target_goals(parts, scene), noisy_goals(parts, scene), stack_goals(parts, stack, scene.mask)):
        assert not goals[task].values.requires_grad
        losses = reconstruction_loss(parts, output, goals, scene.mask)
        assert losses.shape == (3,)
        (gradient,) = torch.autograd.grad(losses.sum(), output)
        assert torch.isfinite(gradient).all()
        assert torch.equal(gradient.abs().amax(1, keepdim=True) > 0, scene.mask.bool())


@pytest.mark.parametrize("task", MAPS)
def test_maps_are_squashed_once_and_averaged_over_valid_pixels(task):
    tasks = tasks_of((task,))
    forms = make_forms(tasks, {})
    parts, raw, labels = make_parts(forms), noise(4, tasks, 2), drawn_labels(5, tasks, 2)
    labels[task][0, 0, 0, 0] = 0  # a value like any other
    scene = Scene.of(forms, raw, labels, {task: torch.tensor([True, False])})
    output, law = randn(6, 2, 1, 32, 32), torch.distributions.Normal(0, 1)
    valid = ~labels[task][0].isnan()
    label = (output[0].sigmoid() - law.cdf(labels[task][0].nan_to_num()))[valid].abs().mean()
    other = (output[1].sigmoid() - law.cdf(raw[task][1])).abs().mean()
    noisy = (output[0].sigmoid() - law.cdf(raw[task][0])).abs()[valid].sum() / valid.numel()
    found = reconstruction_loss(parts, output, target_goals(parts, scene), scene.mask)
    assert found.tolist() == pytest.approx([label.item(), other.item()], rel=2e-5)
    found = reconstruction_loss(parts, output, noisy_goals(parts, scene), scene.mask)
    assert found.tolist() == pytest.approx([noisy.item(), other.item()], rel=2e-5)


@pytest.mark.parametrize("task", ["edges", "saliency"])
def test_probabilities_are_a_cross_entropy(task):
    tasks = tasks_of((task,))
    forms = make_forms(tasks, {})
    parts, raw, labels = make_parts(forms), noise(4, tasks, 1), drawn_labels(5, tasks, 1)
    scene = Scene.of(forms, raw, labels, {task: torch.tensor([True])})
    output, valid = randn(6, 1, 1, 32, 32), labels[task] != 255
    for goals, q in ((target_goals, labels[task]), (noisy_goals, raw[task].sigmoid())):
        want = F.binary_cross_entropy_with_logits(output[valid], q[valid])
        found = reconstruction_loss(parts, output, goals(parts, scene), scene.mask)
        assert found.item() == pytest.approx(want.item())


@pytest.mark.parametrize("task", TASKS)
def test_a_sample_without_a_valid_pixel_is_finite(task):
    tasks = tasks_of((task,), 4)
    forms = make_forms(tasks, {})
    parts, labels = make_parts(forms), drawn_labels(2, tasks, 1)
    labels[task][:] = torch.nan if task in MAPS else forms[task].absent
    scene = Scene.of(forms, noise(1, tasks, 1), labels, {task: torch.tensor([True])})
    output = randn(3, 1, tasks[task].channels, 32, 32).requires_grad_()
    for goals in (target_goals, noisy_goals):
        loss = reconstruction_loss(parts, output, goals(parts, scene), scene.mask)
        assert loss.item() == parts[task].offset
        assert not torch.autograd.grad(loss.sum(), output)[0].any()


def test_outputs_of_length_zero_have_a_gradient():
    parts = make_parts(make_forms(tasks_of(("normals",)), {}))
    output = torch.zeros(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    ones = torch.ones(1, 1, 2, 2)
    loss = parts["normals"].loss(output, Goal(torch.ones(1, 3, 2, 2), elements(ones)), ones)
    assert torch.isfinite(torch.autograd.grad(loss.sum(), output)[0]).all()
    assert loss.item() == 1
