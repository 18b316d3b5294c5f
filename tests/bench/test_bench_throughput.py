"""Images a second in training, loading included: the harness against a straightforward implementation of the same.

Single-task learning and MTI-Net (HRNet-18) and JTR (SegNet) on NYUv2's scenes; on a GPU at the papers' size and batch
in every arithmetic, elsewhere the smoke twins in that of the papers. Both have read every sample once, as after the
first of some hundred epochs: the harness then keeps what fits into memory. Blocks of steps take turns within one run.

    pytest tests/bench/test_bench_throughput.py --benchmark-only -s
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from methods import methods
from pytest_benchmark.fixture import BenchmarkFixture
from straightforward import Files, Plain, torch_s_own_kernels
from turns import in_turns, quartiles, told

from mtlrepro.data import build_dataset
from mtlrepro.data.loader import TrainLoader, open_loader
from mtlrepro.data.streams import training_streams
from mtlrepro.engine.determinism import derive, seed_generators
from mtlrepro.engine.precision import PRECISIONS, Precision
from mtlrepro.objectives import OBJECTIVES, latent
from mtlrepro.profiling.speed import Training
from mtlrepro.spec import RunSpec
from mtlrepro.suite.evidence import training_length
from mtlrepro.suite.shrink import bench, smoke
from mtlrepro.tasks import make_tasks
from mtlrepro.tasks.base import Task

CUDA = torch.cuda.is_available()
PLACE = torch.device("cuda:0" if CUDA else "cpu")
TRAINED = {
    "STL": "nyuv2-stl-hrnet18-one-supervised",
    "MTI-Net": "nyuv2-mti_net-hrnet18-several-supervised",
    "JTR": "nyuv2_13-segnet-segnet-several-jtr",
}
"""What is trained -> the method of the tables."""

EPOCHS, PRINTED_HOURS = 300, 9.0
"""Of JTR on NYUv2 with a SegNet, on an A100 (JTR, Table 6)."""

EAGER = replace(PRECISIONS["fast"], compiled=False)
COLUMNS = {**PRECISIONS, "fast, not compiled": EAGER} if CUDA else {"paper": PRECISIONS["paper"]}
GRAPHS = "fast, CUDA graphs"
"""One more column for objectives that run the network once a step, so that no output is overwritten while needed."""


class Pace(NamedTuple):
    """How thoroughly is measured: turns of blocks of steps, after a warm-up, over so many samples of a split."""

    turns: int
    steps: int
    samples: int


PACES = {True: Pace(5, 20 if CUDA else 8, 48), False: Pace(1, 1, 8)}


@pytest.fixture
def pace(request: pytest.FixtureRequest) -> Pace:
    return PACES[bool(request.config.getoption("benchmark_only"))]


def twin(name: str, samples: int) -> RunSpec:
    """What is trained here of a method, on so many samples."""
    spec = (bench if CUDA else smoke)(methods()[TRAINED[name]].spec)
    return replace(spec, data=replace(spec.data, train=samples))


class Harness:
    """A training as the harness runs it: its loader, its generators, its steps."""

    def __init__(self, spec: RunSpec, tasks: dict[str, Task], precision: Precision):
        self.spec = spec
        self.loader: TrainLoader = open_loader(
            spec, tasks, opened, seed=0, views=OBJECTIVES[spec.objective.name].views, device=PLACE
        )
        self.training = Training(spec, tasks, PLACE, (), precision)
        self.batches = self.loader.batches()
        self.step = 0

    def block(self, steps: int) -> float:
        """Images a second of some steps."""

        def take() -> int:
            seed_generators(derive(0, "step", self.step), PLACE)
            self.step += 1
            batch = next(self.batches).to(PLACE)
            self.training.take(batch)
            return len(batch.image)

        return rate(take, steps)


def opened(data: Any) -> Any:
    return build_dataset(data, "train")


def rate(take: Callable[[], int], steps: int) -> float:
    """Images a second of some steps, from an idle device to an idle device."""
    idle()
    began = time.perf_counter()
    images = sum(take() for _ in range(steps))
    idle()
    return images / (time.perf_counter() - began)


def idle() -> None:
    if CUDA:
        torch.cuda.synchronize(PLACE)


def plain_block(plain: Plain, batches: Iterator[dict[str, Any]], steps: int) -> float:
    def take() -> int:
        batch = next(batches)
        plain.step(batch)
        return len(batch["images"][0])

    with torch_s_own_kernels():
        return rate(take, steps)


def open_plain(spec: RunSpec, tasks: dict[str, Task], folder: Path, workers: int) -> Plain:
    stream, _ = training_streams(spec.data, spec.recipe, opened)
    views = OBJECTIVES[spec.objective.name].views
    return Plain(spec, tasks, PLACE, Files(folder, stream, spec, tasks, views), workers)


def make_all_tasks(spec: RunSpec) -> dict[str, Task]:
    return make_tasks(spec.tasks, opened(spec.data).info, spec.objective.losses)


def columns(spec: RunSpec) -> list[str]:
    """The arithmetics that a training is measured in."""
    return [*COLUMNS, *([GRAPHS] if CUDA and OBJECTIVES[spec.objective.name].views == 1 else [])]


def measure(name: str, pace: Pace, folder: Path) -> dict[str, float]:
    """Images a second of both, quartiles of their ratio, and on a GPU peak memory and JTR's projected hours."""
    spec = twin(name, max(pace.samples, 2 * methods()[TRAINED[name]].spec.recipe.batch))
    tasks = make_all_tasks(spec)
    workers = min(8, len(os.sched_getaffinity(0))) if pace.turns > 1 else 0
    plain = open_plain(spec, tasks, folder, workers)
    figures: dict[str, float] = {}
    with contextlib.closing(plain.batches()) as read:
        for column in columns(spec):
            harness = Harness(spec, tasks, EAGER if column == GRAPHS else COLUMNS[column])
            if column == GRAPHS:
                harness.training.model.compile(mode="reduce-overhead", dynamic=False)
            warm = harness.loader.steps_per_epoch + 3  # all samples are in memory, and everything is compiled
            works = {
                "harness": lambda steps=pace.steps, harness=harness: harness.block(steps),
                "straightforward": lambda steps=pace.steps: plain_block(plain, read, steps),
            }
            harness.block(warm if pace.turns > 1 else 1)
            plain_block(plain, read, 3 if pace.turns > 1 else 1)
            found = in_turns(works, pace.turns)
            ratios = [a / b for a, b in zip(found["harness"], found["straightforward"], strict=True)]
            for what, values in (*found.items(), ("ratio", ratios)):
                first, middle, third = quartiles(values)
                figures |= {f"{column}: {what}": middle, f"{column}: {what} q1": first, f"{column}: {what} q3": third}
            if CUDA:
                figures |= on_a_gpu(name, column, figures[f"{column}: harness"], harness)
            harness.loader.release()
    return figures


def on_a_gpu(name: str, column: str, images_per_s: float, harness: Harness) -> dict[str, float]:
    """Peak memory of a step, and JTR's hours."""
    torch.cuda.reset_peak_memory_stats(PLACE)
    held = torch.cuda.memory_allocated(PLACE)
    harness.block(2)
    figures = {f"{column}: step's GiB": (torch.cuda.max_memory_allocated(PLACE) - held) / 2**30}
    if name == "JTR":
        spec = methods()[TRAINED[name]].spec
        length = training_length(spec, EPOCHS)
        assert length is not None
        steps, evaluated = length
        image = next(harness.batches).image
        forward = evaluated * harness.training.forward_ms(image) / 3.6e6
        figures[f"{column}: hours"] = steps * spec.recipe.batch / images_per_s / 3600 + forward
        figures["printed hours on an A100"] = PRINTED_HOURS
    return figures


@pytest.mark.parametrize("name", TRAINED)
def test_throughput(benchmark: BenchmarkFixture, name: str, pace: Pace, tmp_path: Path) -> None:
    figures = benchmark.pedantic(measure, args=(name, pace, tmp_path), rounds=1)
    benchmark.extra_info.update(figures)
    print(f"\n{name}: {told(figures)}")
    assert all(value > 0 for value in figures.values())


@pytest.mark.parametrize("name", TRAINED)
def test_both_train_the_same(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same weights on the same batch have the same losses."""
    monkeypatch.setattr(latent, "gumbel_noise", torch.zeros_like)  # classes are drawn in the one, chosen in the other
    spec = smoke(methods()[TRAINED[name]].spec)
    spec = replace(spec, data=replace(spec.data, train=8))
    tasks = make_all_tasks(spec)
    plain = open_plain(spec, tasks, tmp_path, workers=0)
    training = Training(spec, tasks, torch.device("cpu"), ())
    plain.model.load_state_dict(training.model.cpu().state_dict())
    if plain.regularizer is not None:
        own = training.objective.autoencoder.state_dict()
        plain.regularizer.net.load_state_dict(own, strict=False)  # its norms keep averages that nobody reads
    batch = open_loader(spec, tasks, opened, seed=0, views=OBJECTIVES[spec.objective.name].views).batch_at(0)
    views = [batch, *batch.others]
    plain.place = torch.device("cpu")
    for model in (plain.model, training.model):
        model.eval()  # one passes all views at once through batch norms, the other one after the other
    losses = plain.losses([v.image for v in views], [v.targets for v in views], batch.labelled)
    wanted = training.objective(training.model, batch, 0.0)
    assert set(losses) >= {term for term in wanted.terms if "jtr/" not in term}
    total = sum(losses.values(), torch.zeros(()))
    assert total.item() == pytest.approx(wanted.total.item(), rel=1e-4)
