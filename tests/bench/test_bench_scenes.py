"""Throughput of the embedded scenes, with all labels, one thread."""

from __future__ import annotations

from itertools import count

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.data.scenes.streets import layout as streets
from mtlrepro.data.scenes.streets.sample import render as render_street


@pytest.mark.parametrize("size", [(288, 384), (64, 96)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_render(benchmark: BenchmarkFixture, size: tuple[int, int]) -> None:
    render(layout(0, 0), *size)  # draws the texture atlas
    number = count()
    sample = benchmark.pedantic(lambda: render(layout(0, next(number)), *size), rounds=20)
    if benchmark.stats is not None:  # there are none under --benchmark-disable
        benchmark.extra_info["images_per_s"] = round(1 / benchmark.stats.stats.mean, 1)
    assert sample["image"].shape == (3, *size)


@pytest.mark.parametrize("size", [(128, 256), (64, 128)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_render_street(benchmark: BenchmarkFixture, size: tuple[int, int]) -> None:
    render_street(streets.layout(0, 0), *size)
    number = count()
    sample = benchmark.pedantic(lambda: render_street(streets.layout(0, next(number)), *size), rounds=20)
    if benchmark.stats is not None:
        benchmark.extra_info["images_per_s"] = round(1 / benchmark.stats.stats.mean, 1)
    assert sample["image"].shape == (3, *size)
