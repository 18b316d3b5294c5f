"""What worker processes bring to evaluation, with the same bits: maps a second, and work taken off the process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.engine.evaluate import FORWARD, evaluate
from mtlrepro.models.outputs import Outputs
from mtlrepro.tasks import make_tasks

WORKERS = (0, 1, 2)
MEASURED, TRIED = (480, 640), (48, 64)
"""Image sizes where benchmarks are asked for alone, and among the tests, where they only have to run."""

TASKS = make_tasks(("edges",), DatasetInfo("random", ("edges",), edge_tolerance=0.011))


class Lines(nn.Module):
    """A network that is quick: a soft map of the lines of each image, which are its first channel."""

    def __init__(self, size: tuple[int, int]):
        super().__init__()
        self.samples: list[tuple[Tensor, Sample]] = []
        rs = np.random.RandomState(0)
        height, width = size
        y, x = np.mgrid[:height, :width]
        for _ in range(FORWARD):
            points = rs.rand(40, 2) * size
            cells = np.argmin([(y - py) ** 2 + (x - px) ** 2 for py, px in points], axis=0)
            lines = np.zeros(size, np.uint8)
            lines[:, 1:] |= cells[:, 1:] != cells[:, :-1]
            lines[1:] |= cells[1:] != cells[:-1]
            image = torch.from_numpy(np.stack([255 * lines] * 3))
            self.samples.append((image, {"edges": torch.from_numpy(lines)}))

    def forward(self, image: Tensor) -> Outputs:
        soft = torch.nn.functional.avg_pool2d(image[:, :1], 5, 1, 2)
        return Outputs({"edges": 3 * soft + 0.5 * torch.sin(37 * soft)})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in every run on a CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_boundary_maps(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> None:
    measured = request.config.getoption("benchmark_only")
    network = Lines(MEASURED if measured else TRIED)
    samples = network.samples
    maps = len(samples) * len(TASKS["edges"].metrics())
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    own: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    states: list[list[Tensor]] = []

    def turn() -> None:
        for workers in WORKERS:
            began, spent = time.perf_counter(), time.process_time()
            meters = evaluate(network, TASKS, samples, device=torch.device("cpu"), workers=workers)
            rates[workers].append(maps / (time.perf_counter() - began))
            own[workers].append(1e3 * (time.process_time() - spent) / maps)
            states.append([value for metric in meters["final"]["edges"] for value in metric.state.values()])

    turn()  # compiles
    benchmark.pedantic(turn, rounds=3 if measured else 1)
    found = {f"{workers} workers": statistics.median(values[1:]) for workers, values in rates.items()}
    found |= {
        f"{workers} workers, times faster": statistics.median(
            b / a for a, b in zip(rates[0][1:], rates[workers][1:], strict=True)
        )
        for workers in WORKERS[1:]
    }
    found |= {f"{workers} workers, ms of this process": statistics.median(ms[1:]) for workers, ms in own.items()}
    benchmark.extra_info.update(found)
    print("\nboundary maps/s: " + ", ".join(f"{name} {value:.2f}" for name, value in found.items()))
    assert all(torch.equal(a, b) for state in states[1:] for a, b in zip(states[0], state, strict=True))
