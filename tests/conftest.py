"""Shared fixtures: a tiny dataset on disk that trains in seconds, and specs over it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gloo_team import team  # noqa: F401  (a fixture)
from hypothesis import settings
from tiny_dataset import TINY_SIZE, write_tiny_dataset

from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Beside other workers nothing can be timed: benchmarks run once, which needs no warning."""
    if config.getoption("dist", "no") != "no" or hasattr(config, "workerinput"):
        config.option.benchmark_disable = True


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Description file of a dataset with 8 + 4 samples of 32x32, semseg (2 classes) and depth."""
    return write_tiny_dataset(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_spec(tiny_dataset: Path) -> RunSpec:
    """A multi-task run of 8 steps (4 epochs of 2 batches of 4) that takes about a second."""
    return RunSpec(
        DataSpec(str(tiny_dataset), TINY_SIZE, "flip"),
        ModelSpec("mtl", "hrnet_nano", ("semseg", "depth")),
        Recipe("adam", 1e-3, 1e-4, batch=4, epochs=4),
    )


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """GPU tests run by themselves where there is a GPU, and say why not elsewhere."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
