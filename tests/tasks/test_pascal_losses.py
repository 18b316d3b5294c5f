"""MTI-Net's objective on PASCAL-Context: batches without people, saliency of one class, shares of a whole batch."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from mtlrepro.data import dataset_info
from mtlrepro.data.sample import Batch
from mtlrepro.models import build_model
from mtlrepro.objectives import build_objective
from mtlrepro.spec import ModelSpec, ObjectiveSpec
from mtlrepro.tasks import make_tasks

COMPLETE = ("semseg", "parts", "saliency", "normals", "edges")
WEIGHTS = {"semseg": 1.0, "parts": 2.0, "saliency": 5.0, "normals": 10.0, "edges": 50.0}
SIZE = (64, 64)
TASKS = make_tasks(COMPLETE, dataset_info("pascal_context"))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    spec = ModelSpec("mti_net", "hrnet_nano", COMPLETE, COMPLETE)
    return build_model(spec, {name: task.channels for name, task in TASKS.items()})


@pytest.fixture
def objective():
    return build_objective(ObjectiveSpec("supervised", weights=tuple(WEIGHTS.items())), TASKS)


def batch(people, foreground, seed=0):
    """Images with or without somebody, and which share of each is salient (from the top)."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {"generator": generator, "dtype": torch.uint8}
    labels = []
    for somebody, share in zip(people, foreground, strict=True):
        parts = torch.zeros(SIZE, dtype=torch.uint8)
        if somebody:
            parts[10:40, 20:30] = torch.randint(1, 7, (30, 10), **drawn)
        saliency = torch.zeros(SIZE, dtype=torch.uint8)
        saliency[: int(share * SIZE[0])] = 1
        labels.append(
            {
                "semseg": torch.randint(0, 21, SIZE, **drawn),
                "parts": parts,
                "saliency": saliency,
                "normals": F.normalize(torch.randn(3, *SIZE, generator=generator), dim=0),
                "edges": torch.randint(0, 2, SIZE, **drawn),
            }
        )
    targets = {name: torch.stack([task.collate(label[name]) for label in labels]) for name, task in TASKS.items()}
    image = torch.randn(len(labels), 3, *SIZE, generator=generator)
    labelled = {name: torch.ones(len(labels), dtype=torch.bool) for name in TASKS}
    return Batch(image, targets, labelled, torch.arange(len(labels)))


def gradients(model, loss):
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, retain_graph=True)
    return [gradient for gradient in found if gradient is not None]


def of(terms, task):
    """The loss of a task's final prediction and of the four scales'."""
    found = {name: loss for name, loss in terms.items() if name.endswith(f"/{task}")}
    assert len(found) == 5
    return found


def test_nobody_in_the_batch(model, objective):
    """The published code's total is NaN there, with the right gradient."""
    losses = objective(model, batch([False, False], [0.5, 0.25]), 0.0)
    assert len(losses.terms) == 4 * len(COMPLETE) + len(COMPLETE)
    assert all(loss == 0 for loss in of(losses.terms, "parts").values())
    assert all(loss > 0 for task in COMPLETE if task != "parts" for loss in of(losses.terms, task).values())
    rest = sum(WEIGHTS[task] * sum(of(losses.terms, task).values()) for task in COMPLETE if task != "parts")
    assert losses.total.item() == pytest.approx(rest.item(), rel=1e-6)
    assert all(not gradient.any() for gradient in gradients(model, losses.tasks["parts"]))
    everything = gradients(model, losses.total)
    assert all(gradient.isfinite().all() for gradient in everything)
    assert any(gradient.any() for gradient in everything)


def test_only_images_with_people_teach_parts(model, objective):
    data = batch([True, False], [0.5, 0.5])
    assert (data.targets["parts"][1] == 255).all()
    logits = F.interpolate(model(data.image).final["parts"].detach()[:1], size=SIZE, mode="bilinear")
    alone = F.cross_entropy(logits, data.targets["parts"][:1])
    torch.testing.assert_close(objective(model, data, 0.0).terms["final/parts"], alone)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_saliency_of_one_class_has_no_loss(model, objective, share):
    losses = objective(model, batch([True, False], [share, share]), 0.0)
    assert all(loss == 0 for loss in of(losses.terms, "saliency").values())
    assert all(not gradient.any() for gradient in gradients(model, losses.tasks["saliency"]))
    assert losses.total.isfinite()


@pytest.mark.parametrize("shares", [*itertools.combinations((0.0, 0.25, 0.5, 1.0), 2)])
def test_saliency_is_balanced_over_the_batch(model, objective, shares):
    """Not image by image: two images of one class each teach as much as one of both."""
    data = batch([False, False], shares)
    predicted = model(data.image).final["saliency"].detach().double()
    target = data.targets["saliency"].double()
    background = 1 - target.mean()
    each = F.binary_cross_entropy_with_logits(predicted, target, reduction="none")
    expected = (torch.where(target == 1, background, 1 - background) * each).mean()
    assert expected > 0
    found = objective(model, data, 0.0).terms["final/saliency"].item()
    assert found == pytest.approx(expected.item(), rel=1e-5)
