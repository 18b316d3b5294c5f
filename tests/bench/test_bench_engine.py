"""What the harness costs: `train()` with loader, hooks, log and checkpoint schedule against a bare loop."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.sample import Batch, DatasetInfo, Sample
from mtlrepro.data.streams import Stream
from mtlrepro.engine.checkpoint import Position
from mtlrepro.engine.determinism import make_deterministic
from mtlrepro.engine.log import Log
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.engine.saver import Saver
from mtlrepro.engine.train import Hooks, train
from mtlrepro.models import build_model
from mtlrepro.objectives import build_objective
from mtlrepro.spec import ModelSpec, ObjectiveSpec, Recipe
from mtlrepro.tasks import make_tasks

SIZE, BATCH, CLASSES = (64, 96), 8, 13
FOUR = ("semseg", "depth", "normals", "edges")
INFO = DatasetInfo("random", FOUR, tuple(f"class {i}" for i in range(CLASSES)))
MODELS = {
    "mti_net": ModelSpec("mti_net", "hrnet_nano", ("semseg", "depth"), FOUR),
    "stl": ModelSpec("stl", "hrnet_nano", ("semseg",)),
}
RECIPE = Recipe("adam", 1e-3, 1e-4, BATCH, epochs=10)
LENGTH, STEPS = 160, 60
"""A smoke run has 200 steps, so every second one is logged; the first 60 are enough to measure."""


class RandomSamples:
    """Noise with a label for every task."""

    info = INFO

    def __init__(self, length: int):
        generator = torch.Generator().manual_seed(0)
        self._samples = [self._draw(generator) for _ in range(length)]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]

    def digest(self) -> str:
        return "random"

    @staticmethod
    def _draw(generator: torch.Generator) -> Sample:
        normals = torch.randn(3, *SIZE, generator=generator)
        return {
            "image": torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8, generator=generator),
            "semseg": torch.randint(0, CLASSES, SIZE, dtype=torch.uint8, generator=generator),
            "depth": 1 + 9 * torch.rand(SIZE, generator=generator),
            "normals": normals / normals.norm(dim=0),
            "edges": (torch.rand(SIZE, generator=generator) > 0.9).to(torch.uint8),
        }


def measure(spec: ModelSpec, folder: Path) -> dict[str, float]:
    """Median milliseconds of a bare step, and what a harness step on the same batch takes longer; taken in turns."""
    device = torch.device("cpu")
    make_deterministic(device)
    tasks = make_tasks(spec.main + tuple(t for t in spec.aux if t not in spec.main), INFO)
    stream = Stream(RandomSamples(LENGTH), range(LENGTH), lambda index, task: True, BATCH)
    loader = TrainLoader((stream, None), tasks, SIZE, "flip_zoom", seed=0)
    steps = RECIPE.epochs * loader.steps_per_epoch
    torch.manual_seed(0)
    model = build_model(spec, {name: task.channels for name, task in tasks.items()})
    objective = build_objective(ObjectiveSpec(), tasks, model.backbone.channels)
    optimizer = build_optimizer(model, objective, RECIPE)
    bare_model = copy.deepcopy(model).train()
    bare_optimizer = build_optimizer(bare_model, objective, RECIPE)
    ready = [loader.batch_at(step) for step in range(STEPS)]
    bare: list[float] = []
    harness: list[float] = []

    def turns() -> Iterator[tuple[int, Batch]]:
        stream, left = loader.batches(), 0.0
        for step in range(STEPS):
            began = time.perf_counter()
            if bare:
                harness.append(began - left)
            losses = objective(bare_model, ready[step], step / steps)
            bare_optimizer.zero_grad(set_to_none=True)
            losses.total.backward()
            bare_optimizer.step()
            left = time.perf_counter()
            bare.append(left - began)
            yield step, next(stream)

    with Log(folder / "metrics.jsonl", keep=0, steps=steps) as log:
        saver = Saver(
            model, objective, optimizer, folder / "file", log, dict, 0, 30.0, Position(), steps, lambda event: None
        )
        train(
            model, objective, optimizer, turns(), recipe=RECIPE, steps_per_epoch=loader.steps_per_epoch, seed=0,
            device=device, hooks=Hooks(saver.line, saver.due, saver.after_step),
        )  # fmt: skip
    pairs = list(zip(harness, bare, strict=False))[5:]  # the first steps warm up
    bare_step = statistics.median(b for _, b in pairs)
    difference = statistics.median(h - b for h, b in pairs)
    return {
        "bare_ms": 1e3 * bare_step,
        "harness_ms": 1e3 * (bare_step + difference),
        "overhead": difference / bare_step,
    }


@pytest.mark.parametrize("arch", MODELS)
def test_harness_overhead(benchmark: BenchmarkFixture, arch: str, tmp_path: Path) -> None:
    figures = benchmark.pedantic(measure, args=(MODELS[arch], tmp_path), rounds=1)
    benchmark.extra_info.update(figures)
    print(f"\n{arch}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    assert figures["bare_ms"] > 0
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == STEPS // 2
