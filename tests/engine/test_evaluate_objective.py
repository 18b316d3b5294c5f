"""Evaluation of what an objective predicts beside the network."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtlrepro.data.sample import Batch, DatasetInfo, Sample, normaliser
from mtlrepro.engine.evaluate import FORWARD, Gallery, Meters, evaluate, figures, merge
from mtlrepro.errors import DataError
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives import Losses, Objective
from mtlrepro.objectives.supervised import Supervised
from mtlrepro.tasks import make_tasks

CPU = torch.device("cpu")
SIZE = (16, 24)
NAMES = ("semseg", "depth", "saliency")
INFO = DatasetInfo("fake", NAMES, ("a", "b", "c"))
TASKS = make_tasks(NAMES, INFO, [("saliency", "two_classes")])
WIDTHS = {name: task.channels for name, task in TASKS.items()}
Pairs = list[tuple[Tensor, Sample]]


def pairs(count: int, native: tuple[int, int] = (20, 30)) -> Pairs:
    """Noise, with labels of another size."""
    g = torch.Generator().manual_seed(0)
    return [
        (
            torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8, generator=g),
            {
                "semseg": torch.randint(0, 3, native, dtype=torch.uint8, generator=g),
                "depth": 1 + 9 * torch.rand(native, generator=g),
                "saliency": torch.randint(0, 2, native, dtype=torch.uint8, generator=g),
            },
        )
        for _ in range(count)
    ]


class Net(nn.Module):
    """Noise for all tasks, a stage, and of the stage's depth 40 classes; it is not the same in training."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Dropout(0.5))
        self.heads = nn.ModuleDict({name: nn.Conv2d(8, width, 1) for name, width in WIDTHS.items()})
        self.classes = nn.Conv2d(8, 40, 1)

    def forward(self, image: Tensor) -> Outputs:
        features = self.encoder(image)
        final = {name: head(features) for name, head in self.heads.items()}
        stage = {"semseg": final["semseg"][..., ::2, ::2], "depth": self.classes(features)}
        return Outputs(final, {"auxiliary": stage}, [features])


class Judged(Objective):
    """Predicts depth and saliency of its own, from the encoder's maps, and their average with the network's."""

    def __init__(self) -> None:
        super().__init__(TASKS, {})
        self.norm, self.drop = nn.BatchNorm2d(8), nn.Dropout(0.9)
        self.heads = nn.ModuleDict({name: nn.Conv2d(8, WIDTHS[name], 1) for name in ("depth", "saliency")})

    def forward(self, model: nn.Module, batch: Batch, progress: float) -> Losses:
        raise NotImplementedError

    def predictions(self, outputs: Outputs, size: tuple[int, int]) -> dict[str, dict[str, Tensor]]:
        assert size == SIZE
        assert not torch.is_grad_enabled()
        maps = self.drop(self.norm(F.avg_pool2d(outputs.features[0], 4)))
        own = {name: F.interpolate(head(maps), size=size, mode="bilinear") for name, head in self.heads.items()}
        return {
            "regularizer": own,
            "average": {t: TASKS[t].average([outputs.final[t], raw]) for t, raw in own.items()},
        }


@pytest.fixture
def both() -> tuple[Net, Judged]:
    """A network and an objective in training mode, with running statistics that are not trivial."""
    torch.manual_seed(0)
    net, objective = Net().train(), Judged().train()
    with torch.no_grad():
        objective.norm(2 * net(torch.randn(4, 3, *SIZE)).features[0] + 1)
    return net, objective


def test_figures_are_those_computed_by_hand(both: tuple[Net, Judged]) -> None:
    (net, objective), samples = both, pairs(3)
    got = figures(evaluate(net, TASKS, samples, device=CPU, objective=objective))
    net.eval(), objective.eval()
    images = torch.stack([image for image, _ in samples] + [samples[-1][0]] * (FORWARD - 3))
    with torch.no_grad():
        outputs = net(normaliser("imagenet")(images))
        own = objective.predictions(outputs, SIZE)["regularizer"]
    mean = {"depth": (outputs.final["depth"] + own["depth"]) / 2}
    mean["saliency"] = (outputs.final["saliency"].softmax(1) + own["saliency"].softmax(1))[:, 1:] / 2
    decoded = {
        "regularizer": {"depth": own["depth"], "saliency": own["saliency"].softmax(1)[:, 1:]},
        "average": mean,
    }
    want: dict[str, float] = {}
    for view, by_task in decoded.items():
        for name, maps in by_task.items():
            for metric in TASKS[name].metrics():
                for i, (_, labels) in enumerate(samples):
                    native = F.interpolate(maps[i : i + 1], size=(20, 30), mode="bilinear")
                    metric.update(native, TASKS[name].collate(labels[name])[None])
                want |= {f"{view}.{name}.{metric.protocol}.{k}": v for k, v in metric.compute().items()}
    of_views = {name: value for name, value in got.items() if name.startswith(("regularizer.", "average."))}
    assert len(want) > 20
    assert of_views == pytest.approx(want, rel=1e-6, nan_ok=True)
    assert len({got[f"{view}.depth.depth/pooled@1.rmse"] for view in ("final", "regularizer", "average")}) == 3


def test_views_have_every_metric_and_stages_the_first(both: tuple[Net, Judged]) -> None:
    net, objective = both
    meters = evaluate(net, TASKS, pairs(1), device=CPU, objective=objective)
    assert list(meters) == ["final", "auxiliary", "regularizer", "average"]
    protocols = {view: {t: [m.protocol for m in ms] for t, ms in by_task.items()} for view, by_task in meters.items()}
    every = {name: [m.protocol for m in task.metrics()] for name, task in TASKS.items()}
    assert protocols["final"] == every
    for view in ("regularizer", "average"):
        assert protocols[view] == {name: every[name] for name in ("depth", "saliency")}
    # Classes of depth are no depth.
    assert protocols["auxiliary"] == {"semseg": every["semseg"][:1]}
    some = evaluate(net, {"depth": TASKS["depth"]}, pairs(1), device=CPU, objective=objective)
    assert list(some) == ["final", "regularizer", "average"]
    assert all(list(by_task) == ["depth"] for by_task in some.values())


def test_an_objective_without_views_changes_nothing(both: tuple[Net, Judged]) -> None:
    net, _ = both
    plain = Supervised(TASKS, dict.fromkeys(TASKS, 1.0))
    alone, beside = (figures(evaluate(net, TASKS, pairs(3), device=CPU, objective=o)) for o in (None, plain))
    assert alone == pytest.approx(beside, rel=0, abs=0, nan_ok=True)
    judged = figures(evaluate(net, TASKS, pairs(3), device=CPU, objective=both[1]))
    assert {k: v for k, v in judged.items() if k in alone} == pytest.approx(alone, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_weights_are_restored(both: tuple[Net, Judged], fails: bool) -> None:
    objective, samples = both[1], pairs(2)
    objective.heads.eval()  # frozen by its owner
    modes = [module.training for network in both for module in network.modules()]
    weights = [{k: v.clone() for k, v in network.state_dict().items()} for network in both]
    if fails:
        samples[1][1]["semseg"][0, 0] = 77
        with pytest.raises(DataError, match="evaluation sample 1: semseg"):
            evaluate(both[0], TASKS, samples, device=CPU, objective=objective)
    else:
        evaluate(both[0], TASKS, samples, device=CPU, objective=objective)
    assert [module.training for network in both for module in network.modules()] == modes
    assert set(modes) == {True, False}
    for network, before in zip(both, weights, strict=True):
        assert all(torch.equal(value, before[k]) for k, value in network.state_dict().items())


@pytest.mark.parametrize("part", [1, 4])
def test_figures_do_not_depend_on_how_a_split_is_divided(both: tuple[Net, Judged], part: int) -> None:
    (net, objective), samples = both, pairs(FORWARD + 3)
    whole = figures(evaluate(net, TASKS, samples, device=CPU, objective=objective))
    parts: Meters = {}
    for i in range(0, len(samples), part):
        parts = merge(parts, evaluate(net, TASKS, samples[i : i + part], device=CPU, objective=objective))
    got = figures(parts)
    assert got.keys() == whole.keys()
    assert all(math.isclose(value, whole[k], rel_tol=1e-12) or math.isnan(value) for k, value in got.items())


def test_views_are_in_the_gallery(both: tuple[Net, Judged], tmp_path: Path) -> None:
    net, objective = both
    evaluate(net, TASKS, pairs(2), device=CPU, objective=objective, gallery=Gallery(tmp_path, (1,)))
    own = {f"1_{view}_{name}.png" for view in ("regularizer", "average") for name in ("depth", "saliency")}
    usual = {"1_image.png", "1_auxiliary_semseg.png"} | {f"1_{v}_{n}.png" for v in ("final", "target") for n in NAMES}
    assert {path.name for path in tmp_path.iterdir()} == own | usual
