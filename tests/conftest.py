"""Shared fixtures: a tiny dataset on disk that trains in seconds, and specs over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gloo_team import team  # noqa: F401  (a fixture)
from hypothesis import settings
from PIL import Image

from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """Beside other workers nothing can be timed: benchmarks run once, which needs no warning."""
    if config.getoption("dist", "no") != "no" or hasattr(config, "workerinput"):
        config.option.benchmark_disable = True


TINY_SIZE = (32, 32)
TINY = """
name = "tiny"
image = "image/{split}/{id}.png"

[tasks.semseg]
path = "semseg/{split}/{id}.png"
classes = ["floor", "box"]
ignore = [9]

[tasks.depth]
path = "depth/{split}/{id}.npy"
"""


def write_tiny_dataset(root: Path, train: int = 8, val: int = 4) -> Path:
    """A box on a floor: bright where the class is 1 and the depth small. Returns the description file."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for kind in ("image", "semseg", "depth"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            top, left = random.integers(0, 16, 2)
            box = np.zeros(TINY_SIZE, bool)
            box[top : top + 14, left : left + 14] = True
            image = (60 + 120 * box[..., None] + random.integers(0, 40, (*TINY_SIZE, 3))).astype(np.uint8)
            labels = box.astype(np.uint8)
            labels[0, :4] = 9
            Image.fromarray(image).save(root / "image" / split / f"{i}.png")
            Image.fromarray(labels).save(root / "semseg" / split / f"{i}.png")
            np.save(root / "depth" / split / f"{i}.npy", np.where(box, 2.0, 4.0).astype(np.float32))
    description = root / "tiny.toml"
    description.write_text(TINY)
    return description


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
