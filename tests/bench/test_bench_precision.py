"""What faster arithmetic costs in figures and brings in time: the same runs in each, over seeds.

On a CPU products in bfloat16 show what rounding does to figures; they are no faster there, and nothing is compiled.
Among the tests one short pair of runs only has to work; figures are made where benchmarks are asked for alone.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from mtlrepro.data import build_dataset
from mtlrepro.data.streams import val_source
from mtlrepro.engine.run import Machine, execute
from mtlrepro.spec import RunSpec
from mtlrepro.suite.shrink import bench, smoke
from mtlrepro.suite.table import discover
from mtlrepro.tasks import make_tasks

SUITES = Path(__file__).resolve().parents[2] / "suites"
ARCHITECTURES = "stl", "mti_net"
SEEDS = 3
NAMES = ("paper", "fast")


def declared(name: str) -> RunSpec:
    """The first run of a method on NYUD-v2 that MTI-Net's tables declare with the smaller backbone."""
    for _, table in discover(SUITES):
        if (table.paper, table.dataset) == ("mti_net", "nyuv2"):
            for row in table.rows:
                for spec in row.specs:
                    if (spec.model.arch, spec.model.backbone) == (name, "hrnet18"):
                        return spec
    raise LookupError(name)


def main_figures(spec: RunSpec) -> list[str]:
    """Where a record holds the first figure of the first metric of every main task."""
    tasks = make_tasks(spec.model.main, build_dataset(val_source(spec.data), "val").info)
    metrics = {name: task.metrics()[0] for name, task in tasks.items()}
    return [f"final.{name}.{metric.protocol}.{next(iter(metric.better))}" for name, metric in metrics.items()]


def spread(values: list[float]) -> float:
    """Standard deviation, NaN of one value."""
    return statistics.stdev(values) if len(values) > 1 else math.nan


def compare(spec: RunSpec, seeds: int, device: str, folder: Path) -> dict[str, float]:
    """Percent by which figures differ from those of the paper's arithmetic, spreads over seeds, a ratio of times."""
    records: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    for seed in range(seeds):
        for name in NAMES:
            place = folder / f"{name}-{seed}"
            place.mkdir()
            changed = replace(spec, recipe=replace(spec.recipe, precision=name))
            records[name].append(execute(changed, seed, place, Machine(device)))
    found = {}
    for key in main_figures(spec):
        paper, fast = ([record["metrics"][key] for record in records[name]] for name in NAMES)
        scale, short = 100 / statistics.mean(paper), key.split(".")[1]
        apart = [scale * (b - a) for a, b in zip(paper, fast, strict=True)]
        found[f"{short} mean difference %"] = statistics.mean(apart)
        found[f"{short} spread of differences %"] = spread(apart)
        found[f"{short} spread of seeds %"] = abs(scale) * spread(paper)
    paper_ms, fast_ms = (statistics.median(r["speed"]["step_ms"] for r in records[name]) for name in NAMES)
    return {**found, "times faster": paper_ms / fast_ms}


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_figures_in_fast_arithmetic(
    benchmark: BenchmarkFixture, arch: str, device: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    measured = request.config.getoption("benchmark_only")
    spec = (smoke if device == "cpu" else bench)(declared(arch))
    if not measured:
        spec = smoke(declared(arch))
        spec = replace(spec, data=replace(spec.data, train=8, val=8), recipe=replace(spec.recipe, epochs=1))
    seeds = SEEDS if measured else 1
    figures = benchmark.pedantic(compare, args=(spec, seeds, device, tmp_path), rounds=1)
    benchmark.extra_info.update(figures)
    text = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
    print(f"\n{arch}/{spec.model.backbone} on {device}, {seeds} seeds: {text}")
    assert figures["times faster"] > 0
