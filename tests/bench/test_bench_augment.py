"""Batches augmented as a whole against one sample after the other: operations, and time in turns.

Samples are random, of the papers' sizes, batches, views and tasks where benchmarks are asked for alone
(`--benchmark-only`), and small ones among the tests. Kernels are counted with tensors that have no values in place of a
GPU's: what makes one is a kernel there, unless it is only another look at the same memory.
"""

from __future__ import annotations

import statistics
import time
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from turns import in_turns, quartiles, told

from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.data.streams import Stream
from mtlrepro.tasks import make_tasks


class Case(NamedTuple):
    """How a paper trains."""

    augment: str
    size: tuple[int, int]
    batch: int
    views: int
    tasks: tuple[str, ...]


CASES = {
    "MTI-Net, NYUD-v2": Case("flip_zoom", (480, 640), 6, 1, ("semseg", "depth", "normals", "edges")),
    "JTR, NYU-v2": Case("crop_photo", (288, 384), 4, 2, ("semseg", "depth", "normals")),
    "JTR, Cityscapes": Case("flip_crop_photo", (128, 256), 16, 2, ("semseg", "depth")),
}
STEPS, TURNS = 12, 7


class Noise:
    """Random samples."""

    def __init__(self, case: Case, size: tuple[int, int]):
        self.info = DatasetInfo("noise", case.tasks, class_names=("a", "b"))
        self.size = size

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        ids = torch.randint(0, 2, self.size, generator=generator).to(torch.uint8)
        depth = torch.rand(self.size, generator=generator)
        normals = torch.nn.functional.normalize(torch.randn(3, *self.size, generator=generator), dim=0)
        every = {"semseg": ids, "edges": ids, "depth": depth, "normals": normals}
        image = torch.randint(0, 256, (3, *self.size), generator=generator).to(torch.uint8)
        return {"image": image, **{name: every[name] for name in self.info.tasks}}

    def digest(self) -> str:
        """There is nothing on disk."""
        return "noise"


class Counted(TorchDispatchMode):
    """How often torch is called, and how often that makes a tensor of a device."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.kernels = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, and call."""
        result = func(*args, **(kwargs or {}))
        made = [value for value in pytree.tree_leaves(result) if isinstance(value, torch.Tensor)]
        self.calls += 1
        self.kernels += not func.is_view and any(value.device.type == "meta" for value in made)
        return result


def loaders(case: Case, size: tuple[int, int], device: str) -> dict[str, TrainLoader]:
    """The two ways to make batches, all samples in memory."""
    made = {}
    for way in ("apart", "together"):
        dataset = Noise(case, size)
        stream = Stream(dataset, range(len(dataset)), lambda index, task: True, case.batch)
        tasks = make_tasks(case.tasks, dataset.info)
        loader = TrainLoader((stream, None), tasks, size, case.augment, 0, views=case.views, device=device)
        loader._together = way == "together"
        for step in range(loader.steps_per_epoch):
            loader.batch_at(step)
        made[way] = loader
    return made


def counted(loader: TrainLoader) -> Counted:
    with Counted() as count:
        for step in range(STEPS):
            loader.batch_at(step)
    return count


@pytest.mark.parametrize("name", CASES)
def test_operations(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=1e12))
    found: dict[str, float] = {}

    def measure() -> None:
        for way, loader in loaders(CASES[name], (24, 32), "meta").items():
            count = counted(loader)
            found[f"{way}, kernels a batch"] = count.kernels / STEPS
            found[f"{way}, calls of torch"] = count.calls / STEPS

    benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(found)
    print(f"\n{name}: {told(found)}")
    assert found["together, kernels a batch"] < found["apart, kernels a batch"]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("small", [True, False], ids=["24x32", "size of the paper"])
@pytest.mark.parametrize("name", CASES)
def test_time(benchmark: BenchmarkFixture, request: pytest.FixtureRequest, name: str, small: bool, device: str) -> None:
    measured = request.config.getoption("benchmark_only")
    size = (24, 32) if small or not measured else CASES[name].size
    made = loaders(CASES[name], size, device)

    def seconds(loader: TrainLoader) -> float:
        began = time.perf_counter()
        for step in range(STEPS if measured else 1):
            loader.batch_at(step)
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - began) / (STEPS if measured else 1)

    works = {way: lambda loader=loader: seconds(loader) for way, loader in made.items()}
    found = benchmark.pedantic(in_turns, (works, TURNS if measured else 1), rounds=1)
    low, ratio, high = quartiles([one / two for one, two in zip(found["apart"], found["together"], strict=True)])
    figures = {f"{way}, ms": 1000 * statistics.median(values) for way, values in found.items()}
    figures |= {"times as fast": ratio, "first quartile": low, "third quartile": high}
    benchmark.extra_info.update(figures)
    print(f"\n{name} at {size[0]}x{size[1]} on {device}: {told(figures)}")
    assert ratio > 0
