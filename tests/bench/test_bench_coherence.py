"""Time and memory of coherence fusion's attention: as `attend` does it, and with all scores in memory.

At stride 4 a picture of 480x640 pixels has 120x160 places. That size is measured on a GPU, a quarter of its places on a
CPU, where benchmarks are asked for alone (`--benchmark-only`), besides a smoke run's 16x24 places; among the tests the
benchmark only has to run.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
import torch
from peak_memory import peak_bytes
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from mtlrepro.models.coherence import attend

CHANNELS, SCORED = 256, 512
SMOKE = (16, 24)
MEASURED = {"cpu": (60, 80), "cuda": (120, 160)}
ROUNDS, TRIED = 6, 2
"""Rounds of which the first is not counted."""


def dense(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The same with all scores in memory."""
    scores = query.flatten(2).mT @ key.flatten(2)
    return (scores.softmax(dim=2) @ value.flatten(2).mT).mT.unflatten(2, query.shape[2:])


FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"attend": attend, "dense": dense}


def draw(size: tuple[int, int], device: str) -> tuple[list[Tensor], Tensor]:
    """Queries and keys as the module's ReLUs give them, with scores that no softmax takes for one alone; values."""
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, SCORED, *size, generator=generator).relu() for _ in range(2))
    value, upstream = torch.randn(2, 1, CHANNELS, *size, generator=generator)
    return [m.to(device).requires_grad_() for m in (query / SCORED**0.5, key, value)], upstream.to(device)


def step(form: str, inputs: list[Tensor], upstream: Tensor) -> list[Tensor]:
    """Result and gradients of one forward and backward pass."""
    result = FORMS[form](*inputs)
    gradients = torch.autograd.grad(result, inputs, upstream)
    if result.is_cuda:
        torch.cuda.synchronize()
    return [result.detach(), *gradients]


def measure(size: tuple[int, int], rounds: int, device: str) -> dict[str, float]:
    """Median milliseconds of a forward and backward pass, taken in turns on one thread, and peak MiB."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    inputs, upstream = draw(size, device)
    times: dict[str, list[float]] = {form: [] for form in FORMS}
    figures: dict[str, float] = {"threads": torch.get_num_threads(), "places": size[0] * size[1]}
    for _ in range(rounds):
        found = {}
        for form in FORMS:
            began = time.perf_counter()
            found[form] = step(form, inputs, upstream)
            times[form].append(time.perf_counter() - began)
    figures["difference"] = max(
        (one - other).abs().max().item() for one, other in zip(found["attend"], found["dense"], strict=True)
    )
    del found
    for form in FORMS:
        memory = peak_bytes(lambda form=form: step(form, inputs, upstream), upstream.is_cuda) / 2**20
        figures |= {f"{form}_ms": 1e3 * statistics.median(times[form][1:]), f"{form}_mib": memory}
    torch.set_num_threads(threads)
    return {
        **figures,
        "time_ratio": figures["dense_ms"] / figures["attend_ms"],
        "memory_ratio": figures["dense_mib"] / figures["attend_mib"],
    }


@pytest.mark.parametrize("smoke", [True, False], ids=["smoke", "published"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_attention_against_all_scores(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, device: str, smoke: bool
) -> None:
    asked = request.config.getoption("benchmark_only")
    size = SMOKE if smoke or not asked else MEASURED[device]
    figures = benchmark.pedantic(measure, args=(size, ROUNDS if asked else TRIED, device), rounds=1)
    benchmark.extra_info.update(figures)
    print("\n" + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    assert figures["difference"] < 1e-5
