"""Time and memory of cross-task attention: without the matrix of scores, with it, and PyTorch's fused kernel.

At 512x1024 pixels a block attends from 8,192 places to 8,192 places with 128 channels. That size is measured where
benchmarks are asked for alone (`--benchmark-only`); among the tests the benchmark only has to run.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.models.attention import lean, plain


def fused(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """PyTorch's kernel, in the layout that it asks for: with channels first in memory it keeps the matrix of scores."""
    query, key, value = (maps.contiguous()[:, None] for maps in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value)[:, 0]


FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"lean": lean, "plain": plain, "fused": fused}
CHANNELS = 128
MEASURED, TRIED = (8192, 5), (256, 2)
"""Places, and rounds of which the first is not counted."""


def draw(places: int, device: str) -> tuple[list[Tensor], Tensor]:
    """Queries, keys and values as the block's ReLUs give them, and a gradient of the result."""
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(1, CHANNELS, places, generator=generator).relu().to(device) for _ in range(3)]
    return [m.mT.requires_grad_() for m in maps], torch.randn(1, places, CHANNELS, generator=generator).to(device)


def step(form: str, inputs: list[Tensor], upstream: Tensor) -> list[Tensor]:
    """Result and gradients of one forward and backward pass."""
    result = FORMS[form](*inputs)
    gradients = torch.autograd.grad(result, inputs, upstream)
    if result.is_cuda:
        torch.cuda.synchronize()
    return [result.detach(), *gradients]


def resident_peak() -> int:
    """Most bytes of memory that this process ever had; not what its parent had, which `getrusage` would include."""
    kilobytes = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert kilobytes
    return 1024 * int(kilobytes[1])


def peak(form: str, places: int, device: str) -> int:
    """Bytes that one pass needs at its worst beside its inputs; on the CPU, called in a process of its own."""
    torch.set_num_threads(1)
    step(form, *draw(16, device))  # libraries are loaded, their buffers made
    inputs, upstream = draw(places, device)
    if device == "cpu":
        before = resident_peak()
        step(form, inputs, upstream)
        return resident_peak() - before
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(form, inputs, upstream)
    return torch.cuda.max_memory_allocated() - before


def peaks(places: int, device: str) -> dict[str, int]:
    """`peak` of every form; on the CPU each in a fork of a fresh process that has nothing to reuse."""
    if device != "cpu":
        return {form: peak(form, places, device) for form in FORMS}
    command = [sys.executable, __file__, str(places)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def forked_peak(form: str, places: int) -> int:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(peak, (form, places, "cpu"))


def measure(places: int, rounds: int, device: str) -> dict[str, float]:
    """Median milliseconds of a forward and backward pass, taken in turns on one thread, and peak MiB."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    inputs, upstream = draw(places, device)
    expected = step("plain", inputs, upstream)
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    figures: dict[str, float] = {"threads": torch.get_num_threads(), "places": places}
    for _ in range(rounds):
        for form in FORMS:
            began = time.perf_counter()
            found = step(form, inputs, upstream)
            times[form].append(time.perf_counter() - began)
            apart = max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, expected, strict=True))
            figures[f"{form}_difference"] = apart
    torch.set_num_threads(threads)
    for form, size in peaks(places, device).items():
        figures |= {f"{form}_ms": 1e3 * statistics.median(times[form][1:]), f"{form}_mib": size / 2**20}
    return {
        **figures,
        "time_ratio": figures["plain_ms"] / figures["lean_ms"],
        "memory_ratio": figures["plain_mib"] / max(figures["lean_mib"], 1.0),
    }


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_lean_against_plain_attention(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, device: str) -> None:
    places, rounds = MEASURED if request.config.getoption("benchmark_only") else TRIED
    figures = benchmark.pedantic(measure, args=(places, rounds, device), rounds=1)
    benchmark.extra_info.update(figures)
    print("\n" + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    assert figures["lean_difference"] < 1e-4
    assert figures["fused_difference"] < 1e-4


if __name__ == "__main__":
    torch.set_num_threads(1)  # before any other thread is there, because threads do not survive a fork
    print(json.dumps({form: forked_peak(form, int(sys.argv[1])) for form in FORMS}))
