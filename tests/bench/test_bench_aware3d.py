"""Time and memory of the 3D-aware regularizer's rendering: as `Volume` does it, and as the paper writes it.

The published size is 56x72 rays of 64 samples with 64 channels, and NYUD's four tasks. It is measured where benchmarks
are asked for alone (`--benchmark-only`); among the tests the benchmark only has to run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from peak_memory import peak_bytes
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from mtlrepro.data.frustum import grid_points
from mtlrepro.models.compositing import stratified
from mtlrepro.models.volume import Volume, reference_render

TASKS = {"semseg": 40, "depth": 1, "normals": 3, "edges": 1}
CHANNELS = 64
MEASURED, TRIED = ((56, 72), 64, 6), ((4, 6), 8, 2)
"""Grid, samples, and rounds of which the first is not counted."""


class Case(NamedTuple):
    """What is rendered, where every ray has draws of its own, and a gradient of each map."""

    volume: Volume
    planes: Tensor
    depths: Tensor
    upstream: dict[str, Tensor]


def straight_ahead(case: Case) -> dict[str, Tensor]:
    torch.manual_seed(1)  # the draws of `Case.depths`
    return case.volume(case.planes, tuple(case.depths.shape[1:3]))


def along_points(case: Case) -> dict[str, Tensor]:
    return case.volume.seen(case.planes, grid_points(case.depths))


def plain(case: Case) -> dict[str, Tensor]:
    return reference_render(case.volume, case.planes, grid_points(case.depths), 2 / case.volume.samples)[0]


FORMS: dict[str, Callable[[Case], dict[str, Tensor]]] = {
    "lean": straight_ahead,
    "points": along_points,
    "plain": plain,
}


def draw(size: tuple[int, int], samples: int, device: str) -> Case:
    torch.manual_seed(0)
    volume = Volume(TASKS, CHANNELS, samples=samples).to(device)
    planes = torch.randn(1, 3, CHANNELS, *size).relu().to(device).requires_grad_()
    upstream = {task: torch.randn(1, width, *size).to(device) for task, width in TASKS.items()}
    torch.manual_seed(1)
    depths = stratified((1, size[0] * size[1], samples), torch.float32, device)
    return Case(volume, planes, depths.view(1, *size, samples), upstream)


def step(form: str, case: Case) -> list[Tensor]:
    """Maps and gradients of one forward and backward pass."""
    maps = FORMS[form](case)
    found = [maps[task] for task in TASKS]
    gradients = torch.autograd.grad(
        found, [case.planes, *case.volume.parameters()], [case.upstream[task] for task in TASKS]
    )
    if case.planes.is_cuda:
        torch.cuda.synchronize()
    return [*(m.detach() for m in found), *gradients]


def measure(size: tuple[int, int], samples: int, rounds: int, device: str) -> dict[str, float]:
    """Median milliseconds of a forward and backward pass, taken in turns on one thread, and peak MiB."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    case = draw(size, samples, device)
    expected = step("plain", case)
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    figures: dict[str, float] = {"threads": torch.get_num_threads(), "rays": size[0] * size[1], "samples": samples}
    for _ in range(rounds):
        for form in FORMS:
            began = time.perf_counter()
            found = step(form, case)
            times[form].append(time.perf_counter() - began)
            # Norms, because a hidden value that rounding puts on the other side of zero has another derivative.
            apart = max(((a - b).norm() / b.norm()).item() for a, b in zip(found, expected, strict=True))
            figures[f"{form}_difference"] = apart
    for form in FORMS:
        figures |= {
            f"{form}_ms": 1e3 * statistics.median(times[form][1:]),
            f"{form}_mib": peak_bytes(lambda form=form: step(form, case), case.planes.is_cuda) / 2**20,
        }
    torch.set_num_threads(threads)
    return {
        **figures,
        "time_ratio": figures["plain_ms"] / figures["lean_ms"],
        "memory_ratio": figures["plain_mib"] / figures["lean_mib"],
    }


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_lean_against_plain_rendering(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, device: str) -> None:
    asked = request.config.getoption("benchmark_only")
    figures = benchmark.pedantic(measure, args=(*(MEASURED if asked else TRIED), device), rounds=1)
    benchmark.extra_info.update(figures)
    print("\n" + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    assert figures["lean_difference"] < 1e-3
    assert figures["points_difference"] < 1e-3
