"""What judging costs: boundaries per image and threshold, and accumulating metrics beside a training step."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from scipy.ndimage import gaussian_filter

from mtlrepro.cli import main
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.metrics.boundary.counts import boundary_counts
from mtlrepro.metrics.boundary.pipeline import NMS, PNG
from mtlrepro.metrics.boundary.truth import READINGS, contours
from mtlrepro.models import build_model
from mtlrepro.spec import ModelSpec
from mtlrepro.tasks import make_tasks

H, W = 480, 640
NYUD_TEST = 654
WAYS = {"nms-0.0075": (NMS, 0.0075, 1.26), "nms-0.011": (NMS, 0.011, 1.87), "png-0.0075": (PNG, 0.0075, 1.13)}
"""Pipeline, tolerance, and mean seconds of the public C++ matcher alone (compiled with -O3, one core of another
machine, 190 problems of 2,800 to 14,000 true pixels) per image and threshold."""


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A partition into 20 to 80 cells, and a soft map of its boundary: jittered, part of it faint, with false lines."""
    rs = np.random.RandomState(seed)
    y, x = np.mgrid[:H, :W]

    def smooth(sigma: float) -> np.ndarray:
        noise = gaussian_filter(rs.randn(H, W), sigma)
        return noise / noise.std()

    def cells(dy: np.ndarray | float = 0.0, dx: np.ndarray | float = 0.0) -> np.ndarray:
        return np.argmin([(y + dy - py) ** 2 + (x + dx - px) ** 2 for py, px in points], axis=0)

    points = rs.rand(rs.randint(20, 80), 2) * (H, W)
    jitter = 0.7 + 2.3 * rs.rand()
    truth, moved = cells(), contours(cells(jitter * smooth(12), jitter * smooth(12)))
    points = rs.rand(len(points) // 2, 2) * (H, W)
    lines = 3 * gaussian_filter(moved * np.clip(0.7 + 0.3 * smooth(40), 0, 1.3), 1.2)
    false = 1.2 * gaussian_filter(contours(cells()) * np.clip(smooth(30), 0, 1), 1.2)
    soft = np.clip(np.maximum(lines, false) + 0.05 * np.abs(rs.randn(H, W)), 0, 1)
    return truth, (255 * soft).astype(np.uint8)


@pytest.mark.parametrize("way", WAYS)
def test_boundaries_of_an_image(benchmark: BenchmarkFixture, way: str) -> None:
    pipeline, tolerance, reference = WAYS[way]
    drawn = [scene(seed) for seed in range(4)]

    def judge(truth: np.ndarray, stored: np.ndarray) -> None:
        thin = READINGS[pipeline.truth](truth)
        boundary_counts(pipeline.levels(stored), len(pipeline.thresholds), [thin], tolerance)

    judge(*drawn[0])  # compiles
    benchmark.pedantic(lambda: [judge(*pair) for pair in drawn], rounds=3)
    if benchmark.stats is None:  # under --benchmark-disable
        return
    one = benchmark.stats.stats.min / len(drawn) / len(pipeline.thresholds)
    benchmark.extra_info.update({"ms_per_threshold": 1e3 * one, "times_faster": reference / one})
    print(f"\n{way}: {1e3 * one:.2f} ms an image and threshold, the public matcher alone took {reference / one:.0f} x")
    assert one > 0


@pytest.mark.parametrize("search", [(), ("--odsf-only",)], ids=["all-99", "coarse-to-fine"])
def test_nyud_test_set_through_the_command_line(
    benchmark: BenchmarkFixture, tmp_path: Path, search: tuple[str, ...]
) -> None:
    images = 16
    for side in ("pred", "gt"):
        (tmp_path / side).mkdir()
    for i in range(images):
        truth, soft = scene(100 + i)
        Image.fromarray(soft).save(tmp_path / "pred" / f"{i}.png")
        Image.fromarray(truth.astype(np.uint8)).save(tmp_path / "gt" / f"{i}.png")
    places = ["--pred", str(tmp_path / "pred"), "--gt", str(tmp_path / "gt"), "--out", str(tmp_path / "out")]
    command = ["eval", "edges", *places, "--max-dist", "0.011", "--thresholds", "99", "--workers", "2", *search]
    assert main(command) == 0  # compiles
    assert benchmark.pedantic(lambda: main(command), rounds=1) == 0
    if benchmark.stats is not None:
        whole = benchmark.stats.stats.min / images * NYUD_TEST
        benchmark.extra_info["minutes_for_nyud_test"] = whole / 60
        print(f"\n{images} images on 2 threads; {NYUD_TEST} would take {whole / 60:.2f} min")


TASKS = ("semseg", "depth", "normals")


def test_accumulation_beside_a_training_step(benchmark: BenchmarkFixture) -> None:
    size, batch = (192, 256), 2
    info = DatasetInfo("random", TASKS, tuple(f"class {i}" for i in range(40)))
    tasks = make_tasks(TASKS, info)
    g = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(batch, 3, *size, generator=g), dim=1)
    depth = 1 + 5 * torch.rand(batch, 1, *size, generator=g)
    targets = {"semseg": torch.randint(0, 40, (batch, *size), generator=g), "depth": depth, "normals": normals}
    image = torch.randn(batch, 3, *size, generator=g)
    spec = ModelSpec("mtl", "hrnet18", TASKS)
    model = build_model(spec, {name: task.channels for name, task in tasks.items()}).train()
    metrics = {name: task.metrics()[0] for name, task in tasks.items()}
    steps: list[float] = []
    updates: dict[str, list[float]] = {name: [] for name in tasks}

    def turn() -> None:
        began = time.perf_counter()
        outputs = model(image).final
        loss = sum(task.loss(outputs[name], targets[name]) for name, task in tasks.items())
        loss.backward()  # type: ignore[union-attr]
        steps.append(time.perf_counter() - began)
        for name, task in tasks.items():
            decoded = task.decode(outputs[name].detach())
            began = time.perf_counter()
            metrics[name].update(decoded, targets[name])
            updates[name].append(time.perf_counter() - began)

    turn()
    benchmark.pedantic(turn, rounds=8)
    shares = {
        name: statistics.median(u / s for u, s in zip(times, steps, strict=True)) for name, times in updates.items()
    }
    benchmark.extra_info.update(shares)
    text = ", ".join(f"{name} {100 * share:.2f} %" for name, share in shares.items())
    step = f"a step of {statistics.median(steps):.2f} s (HRNet-18, batch of {batch} at {size[0]}x{size[1]})"
    print(f"\nof {step}, an update of the first protocol takes {text}")
    assert all(share > 0 for share in shares.values())
