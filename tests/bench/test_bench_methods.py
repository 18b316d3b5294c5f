"""Step time and peak memory of every distinct method of the declared tables, against the plainest one of its kind.

On a GPU at the papers' size and batch (bench twins), elsewhere of the smoke twins. A method and the one it is measured
against (the same dataset and backbone, the plainest objective) take turns within one run; what disturbs the machine
disturbs both. Among the tests only a few run, once: the whole is

    pytest tests/bench/test_bench_methods.py --benchmark-only -s [-k "jtr or mtpsl"]
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import pytest
import torch
from methods import Method, methods
from peak_memory import peak_bytes
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from turns import in_turns, quartiles, told

from mtlrepro.engine.run import Machine, step_inputs
from mtlrepro.profiling.speed import Training
from mtlrepro.suite.shrink import bench, smoke

CUDA = torch.cuda.is_available()
PLACE = torch.device("cuda:0" if CUDA else "cpu")
FEW = ("nyuv2-mtl-hrnet18-several-supervised", "nyuv2_13-segnet-segnet-several-mtpsl")
"""What runs among the tests: to show that the benchmark does."""


class Pace(NamedTuple):
    """How thoroughly is measured: turns of so many steps, after a warm-up."""

    warmup: int
    turns: int
    steps: int


PACES = {True: Pace(5, 5, 10) if CUDA else Pace(2, 3, 3), False: Pace(1, 1, 1)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every method where benchmarks are asked for alone, a few else."""
    if "name" in metafunc.fixturenames:
        metafunc.parametrize("name", methods() if metafunc.config.getoption("benchmark_only") else FEW)


class Stepper:
    """A method's training on its first batches, which take turns."""

    def __init__(self, method: Method):
        spec = (bench if CUDA else smoke)(method.spec)
        tasks, batches, teachers = step_inputs(spec, Machine(str(PLACE)), batches=2)
        self.training = Training(spec, tasks, PLACE, teachers)
        self.batches = itertools.cycle(batches)
        self.images = len(batches[0].image)

    def step_ms(self, steps: int) -> float:
        """Mean milliseconds of some steps."""
        return 1e3 * sum(self.training.step(next(self.batches).to(PLACE)) for _ in range(steps)) / steps

    def memory_bytes(self) -> float:
        """What networks, optimizer state and gradients hold, and what a step takes besides at its worst moment."""
        batch = next(self.batches).to(PLACE)
        self.training.optimizer.zero_grad(set_to_none=True)
        taken = peak_bytes(lambda: self.training.take(batch), CUDA)
        self.training.optimizer.zero_grad(set_to_none=True)  # they are among what the step took
        return float(taken + held_bytes(self.training))


def held_bytes(training: Training) -> int:
    """Bytes of parameters, buffers and optimizer state."""
    networks: tuple[nn.Module, ...] = (training.model, training.objective)
    tensors = [t for network in networks for t in itertools.chain(network.parameters(), network.buffers())]
    states = training.optimizer.state_dict()["state"].values()
    tensors += [value for state in states for value in state.values() if isinstance(value, Tensor)]
    return sum(t.numel() * t.element_size() for t in tensors)


def measure(name: str, pace: Pace) -> dict[str, float]:
    """Milliseconds of a step with quartiles, images a second, memory, and both as multiples of the plain method's."""
    method = methods()[name]
    steppers = {"own": Stepper(method)}
    if method.baseline != name:
        steppers["plain"] = Stepper(methods()[method.baseline])
    for stepper in steppers.values():
        stepper.step_ms(pace.warmup)
    works = {who: (lambda s=stepper: s.step_ms(pace.steps)) for who, stepper in steppers.items()}
    found = in_turns(works, pace.turns)
    memory = {who: stepper.memory_bytes() for who, stepper in steppers.items()}
    first, middle, third = quartiles(found["own"])
    plain = found.get("plain", found["own"])
    ratios = [a / b for a, b in zip(found["own"], plain, strict=True)]
    return {
        "step_ms": middle,
        "step_ms_q1": first,
        "step_ms_q3": third,
        "images_per_s": 1e3 * steppers["own"].images / middle,
        "memory_mib": memory["own"] / 2**20,
        "times_the_step": quartiles(ratios)[1],
        "times_the_memory": memory["own"] / memory.get("plain", memory["own"]),
    }


def test_step(benchmark: BenchmarkFixture, name: str, request: pytest.FixtureRequest) -> None:
    pace = PACES[bool(request.config.getoption("benchmark_only"))]
    figures = benchmark.pedantic(measure, args=(name, pace), rounds=1)
    benchmark.extra_info.update(figures, baseline=methods()[name].baseline, row=methods()[name].row)
    print(f"\n{name}: {told(figures)}")
    assert all(value > 0 for value in figures.values())


def test_every_trained_row_is_one_of_the_methods() -> None:
    assert set(FEW) < set(methods())
    for name, method in methods().items():
        plain = methods()[method.baseline]
        assert plain.baseline == method.baseline, name
        same = (plain.spec.data.name, plain.spec.model.backbone)
        assert same == (method.spec.data.name, method.spec.model.backbone), name
