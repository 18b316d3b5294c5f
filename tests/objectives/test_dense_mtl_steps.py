"""One step of each of DenseMTL's objectives, with deterministic kernels only: the same bits twice."""

import pytest
import torch

from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.scenes.drives.dataset import Drives
from mtlrepro.data.streams import Stream
from mtlrepro.engine.optim import build_optimizer, set_learning_rates
from mtlrepro.models import build_model
from mtlrepro.objectives import build_objective
from mtlrepro.spec import ModelSpec, ObjectiveSpec, Recipe, options
from mtlrepro.tasks import make_tasks

SIZE = (32, 64)
SD, SDN = ("semseg", "depth"), ("semseg", "depth", "normals")
BERHU = ("depth", "inverse_berhu")
WIDTHS = {"widths": (4, 8, 8, 8, 8)}
SIGMOID = {"sides": (("semseg", (2,)), ("depth", (3, 2, 1))), "sigmoid": ("depth",)}
RECIPE = Recipe("adam_b98", 1e-3, 0.0, batch=2, epochs=2, schedule="constant")
CASES = {
    "multi_scale": (SDN, {}, ObjectiveSpec("multi_scale", losses=(BERHU, ("normals", "cosine")))),
    "self_supervised": (
        SD,
        SIGMOID,
        ObjectiveSpec("self_supervised", options=options(pose="resnet18_nano"), losses=(("depth", "disparity"),)),
    ),
    "adaptation": (
        SD,
        {},
        ObjectiveSpec("adaptation", options=options(scales=("stage1",), widths=(4, 4, 4, 4)), losses=(BERHU,)),
    ),
}


@pytest.fixture
def deterministic(monkeypatch):
    """Whatever has no deterministic kernel raises an error."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def stream(seed, seen):
    return Stream(Drives("train", SIZE, 2, seed=seed, frames=True), range(2), seen, 2)


def step(name, device):
    """What one step of training leaves: the loss, all gradients, all parameters."""
    names, shape, spec = CASES[name]
    main = stream(0, lambda index, task: index or task != "depth")  # one sample's depth is hidden
    tasks = make_tasks(names, main.dataset.info, spec.losses)
    second = stream(1, lambda index, task: False) if name == "adaptation" else None
    batch = TrainLoader((main, second), tasks, SIZE, "flip", 0, normalise="centred").batch_at(0).to(device)
    torch.manual_seed(0)
    settings = options(**WIDTHS, **shape)
    model = build_model(
        ModelSpec("dense_mtl", "resnet_nano_os16", names, options=settings), {t: v.channels for t, v in tasks.items()}
    ).train()
    objective = build_objective(spec, tasks, model.backbone.channels).train()
    model, objective = model.to(device), objective.to(device)
    optimizer = build_optimizer(model, objective, RECIPE)
    set_learning_rates(optimizer.param_groups, RECIPE, 0)
    torch.manual_seed(1)
    total = objective(model, batch, 0.0).total
    total.backward()
    gradients = [p.grad for net in (model, objective) for p in net.parameters() if p.grad is not None]
    gradients = [gradient.clone() for gradient in gradients]
    optimizer.step()
    return [total.detach(), *gradients, *(p.detach() for net in (model, objective) for p in net.parameters())]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("name", CASES)
def test_a_step_gives_the_same_bits_twice(name, device, deterministic):
    first, second = (step(name, device) for _ in range(2))
    assert all(torch.isfinite(value).all() for value in first)
    assert len(first) > 100
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
