"""What JTR adds to a step: all samples at once, against the same loss sample by sample with a copied auto-encoder."""

from __future__ import annotations

import statistics
import time

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from straightforward import Maps, SampleBySample
from torch import Tensor
from torch.nn import functional as F

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.objectives import latent
from mtlrepro.objectives.jtr import JTR
from mtlrepro.objectives.stacks import Scene
from mtlrepro.tasks import make_tasks

NYU, CLASSES, BATCH = ("semseg", "depth", "normals"), 13, 4
PATTERNS = ((0,), (1, 2), (0, 1), (2,))
"""Labelled tasks of the samples, as in the setting with one or two labels an image."""


def draw(size: tuple[int, int], generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Raw predictions, and labels with a tenth of the pixels invalid."""
    raw = {
        name: torch.randn(BATCH, c, *size, generator=generator) for name, c in zip(NYU, (CLASSES, 1, 3), strict=True)
    }
    valid = torch.rand(BATCH, 1, *size, generator=generator) > 0.1
    labels = {
        "semseg": torch.where(valid[:, 0], torch.randint(0, CLASSES, (BATCH, *size), generator=generator), 255),
        "depth": torch.where(valid, 0.5 + 4 * torch.rand(BATCH, 1, *size, generator=generator), 0.0),
        "normals": torch.where(valid, F.normalize(torch.randn(BATCH, 3, *size, generator=generator)), 0.0),
    }
    return raw, labels


def measure(size: tuple[int, int], widths: tuple[int, ...], rounds: int) -> dict[str, float]:
    """Median milliseconds of a forward and backward pass of both, taken in turns, and their first values."""
    torch.manual_seed(0)
    tasks = make_tasks(NYU, DatasetInfo("random", NYU, tuple(str(c) for c in range(CLASSES))))
    jtr = JTR(tasks, dict.fromkeys(NYU, 1.0), widths=widths)
    loop = SampleBySample(jtr, CLASSES)
    generator = torch.Generator().manual_seed(0)
    (raw_1, labels_1), (raw_2, labels_2) = draw(size, generator), draw(size, generator)
    labelled = {name: torch.tensor([i in pattern for pattern in PATTERNS]) for i, name in enumerate(NYU)}
    leaves = [raw.requires_grad_() for raw in raw_1.values()]

    def batched() -> Tensor:
        one, two = Scene.of(jtr.forms, raw_1, labels_1, labelled), Scene.of(jtr.forms, raw_2, labels_2, labelled)
        addends = jtr.code_addends(one, two, torch.zeros(BATCH, dtype=torch.bool))
        return sum((a.weight * a.values.mean() for a in addends.values()), torch.zeros(()))

    def looped() -> Tensor:
        def rows(maps: dict[str, Tensor]) -> list[Maps]:
            normals = F.normalize(maps["normals"], dim=1)
            return [(maps["semseg"][b : b + 1], maps["depth"][b : b + 1], normals[b : b + 1]) for b in range(BATCH)]

        return loop(PATTERNS, rows(raw_1), rows(labels_1), rows(raw_2), rows(labels_2))

    times: dict[str, list[float]] = {"batched": [], "looped": []}
    values, gradients = {}, {}
    for _ in range(rounds):
        for name, (function, net) in {"batched": (batched, jtr), "looped": (looped, loop.net)}.items():
            wanted = [*leaves, *net.parameters()]
            for tensor in wanted:
                tensor.grad = None
            began = time.perf_counter()
            total = function()
            total.backward()
            times[name].append(time.perf_counter() - began)
            values[name] = total.item()
            gradients[name] = torch.stack([t.grad.norm() for t in wanted if t.grad is not None])
    middle = {name: 1e3 * statistics.median(seconds[1:]) for name, seconds in times.items()}
    apart = (gradients["batched"].norm() / gradients["looped"].norm() - 1).abs().item()
    return {
        **{f"{name}_ms": ms for name, ms in middle.items()},
        "ratio": middle["looped"] / middle["batched"],
        "value": values["batched"],
        "difference": abs(values["batched"] / values["looped"] - 1),
        "gradient_difference": apart,
    }


def test_batched_against_sample_by_sample(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent, "gumbel_noise", torch.zeros_like)  # else the two would draw different classes
    figures = benchmark.pedantic(measure, args=((64, 96), (8, 16, 32, 64, 64), 6), rounds=1)
    benchmark.extra_info.update(figures)
    print("\n" + ", ".join(f"{name} {value:.6g}" for name, value in figures.items()))
    assert figures["difference"] < 1e-5
    assert figures["gradient_difference"] < 1e-3
