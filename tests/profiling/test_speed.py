from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from mtlrepro.data import build_dataset
from mtlrepro.data.loader import open_loader
from mtlrepro.data.sample import Batch
from mtlrepro.engine.run import Machine, time_steps
from mtlrepro.errors import SpecError
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.profiling import speed
from mtlrepro.profiling.speed import training_speed
from mtlrepro.spec import ExtraData, ModelSpec, ObjectiveSpec, RunSpec, options
from mtlrepro.tasks import make_tasks
from mtlrepro.tasks.base import Task

CPU_FIGURES = {"step_ms", "step_ms_q1", "step_ms_q3", "images_per_s", "forward_ms"}


@pytest.fixture
def tasks(tiny_spec: RunSpec) -> dict[str, Task]:
    return make_tasks(tiny_spec.model.main, build_dataset(tiny_spec.data, "train").info)


def batches_of(spec: RunSpec, tasks: dict[str, Task], count: int = 1) -> list[Batch]:
    views = OBJECTIVES[spec.objective.name].views
    loader = open_loader(spec, tasks, lambda data: build_dataset(data, "train"), seed=0, views=views)
    return [loader.batch_at(step) for step in range(count)]


@pytest.fixture
def batch(tiny_spec: RunSpec, tasks: dict[str, Task]) -> Batch:
    return batches_of(tiny_spec, tasks)[0]


def test_figures_of_a_batch(tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch) -> None:
    got = training_speed(tiny_spec, tasks, [batch], "cpu", 4)
    assert set(got) == CPU_FIGURES
    assert 0 < got["step_ms_q1"] <= got["step_ms"] <= got["step_ms_q3"]
    assert got["images_per_s"] == pytest.approx(4e3 / got["step_ms"])


def test_the_median_is_of_the_timed_steps_alone(
    tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is read twice a step; those after the warm-up last 25, 36 and 49 s."""
    steps = [0.0, 99.0] * speed.WARMUP + [100.0, 125.0, 200.0, 236.0, 300.0, 349.0]
    readings = iter([*steps, 0.0, 2.0, 0.0, 4.0, 0.0, 8.0, 0.0, 12.0, 0.0, 20.0])  # then the forward passes
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: next(readings)))
    got = training_speed(tiny_spec, tasks, [batch], "cpu", 3)
    assert got["step_ms"] == pytest.approx(36e3)
    assert (got["step_ms_q1"], got["step_ms_q3"]) == pytest.approx((25e3, 49e3))
    assert got["forward_ms"] == pytest.approx(8e3 / len(batch.image))


def test_one_timed_step_is_enough(tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch) -> None:
    got = training_speed(tiny_spec, tasks, [batch], "cpu", 1)
    assert got["step_ms_q1"] == got["step_ms"] == got["step_ms_q3"]


def test_batches_take_turns_in_the_steps_of_a_training(
    tiny_spec: RunSpec, tasks: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, seen = batches_of(tiny_spec, tasks, 2), []
    batches[1].image = batches[1].image[:2]
    batches[1].targets = {k: v[:2] for k, v in batches[1].targets.items()}
    batches[1].labelled = {k: v[:2] for k, v in batches[1].labelled.items()}
    real = speed.take_step

    def step(model: nn.Module, objective: Any, optimizer: Any, batch: Batch, progress: float, **recipe: Any) -> Any:
        assert model.training
        assert objective.training
        seen.append(len(batch.image))
        return real(model, objective, optimizer, batch, progress, **recipe)

    monkeypatch.setattr(speed, "take_step", step)
    got = training_speed(tiny_spec, tasks, batches, "cpu", 4)
    assert seen == ([4, 2] * 5)[: speed.WARMUP + 4]
    assert got["images_per_s"] == pytest.approx(3e3 / got["step_ms"])


@pytest.mark.parametrize(("name", "dtype", "layout"), [("paper", None, False), ("fast", torch.bfloat16, True)])
def test_steps_and_forward_passes_are_in_the_recipe_s_arithmetic(
    tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch, name: str, dtype: torch.dtype | None, layout: bool
) -> None:
    spec = replace(tiny_spec, recipe=replace(tiny_spec.recipe, precision=name))
    training, seen = speed.Training(spec, tasks, torch.device("cpu"), ()), []
    kernel = next(m.weight for m in training.model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3))
    assert kernel.is_contiguous(memory_format=torch.channels_last) == layout
    watch = training.model.register_forward_hook(lambda *_: seen.append(cast_to()))
    training.take(batch)
    training.forward_ms(batch.image)
    watch.remove()
    assert seen == [dtype] * (1 + speed.WARMUP)
    assert cast_to() is None


def cast_to() -> torch.dtype | None:
    """What products on the CPU are computed in here; None for what they are given in."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None


NEEDS = (
    ObjectiveSpec("must"),
    ObjectiveSpec("jtr", options=options(widths=(4, 4, 6, 6, 8))),
    ObjectiveSpec("consistency"),
)


@pytest.mark.parametrize("objective", NEEDS, ids=lambda o: o.name)
def test_partial_labels_further_views_and_teachers_are_timed(tiny_spec: RunSpec, objective: ObjectiveSpec) -> None:
    """From random weights: no run that the spec needs has to be there."""
    data = replace(tiny_spec.data, labels="onelabel", labels_over=("semseg", "depth"), normalise="none")
    data = replace(data, unlabelled=25, extra=ExtraData("unlabelled"))
    alone = [
        RunSpec(data, ModelSpec("segnet", "segnet_nano", (task,)), replace(tiny_spec.recipe, extra=1))
        for task in ("semseg", "depth")
    ]
    needs = tuple(alone) if objective.name == "must" else ()
    recipe = replace(tiny_spec.recipe, batch=3, extra=1)
    spec = RunSpec(data, ModelSpec("segnet", "segnet_nano", ("semseg", "depth")), recipe, objective, needs)
    got = time_steps(spec, Machine(), 2)
    assert set(got) == CPU_FIGURES
    assert got["images_per_s"] == pytest.approx(4e3 / got["step_ms"])


def test_given_teachers_are_asked(tiny_spec: RunSpec, tasks: dict[str, Task]) -> None:
    asked = []

    class Teacher(nn.Module):
        def __init__(self, task: str):
            super().__init__()
            self.task, self.layer = task, nn.Conv2d(3, tasks[task].channels, 1)

        def forward(self, image: torch.Tensor) -> Outputs:
            asked.append((self.task, self.training))
            return Outputs({self.task: self.layer(image)})

    spec = replace(tiny_spec, objective=ObjectiveSpec("must"))
    spec = replace(spec, data=replace(spec.data, labels="onelabel", labels_over=("semseg", "depth")))
    training_speed(spec, tasks, batches_of(spec, tasks, 2), "cpu", 1, [Teacher(task) for task in tasks])
    assert set(asked) == {("semseg", False), ("depth", False)}
    assert len(asked) > speed.WARMUP
    with pytest.raises(SpecError, match="Supervised needs no other runs"):
        training_speed(tiny_spec, tasks, batches_of(tiny_spec, tasks), "cpu", 1, [Teacher("depth")])


def test_bad_questions_are_told(tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch) -> None:
    with pytest.raises(SpecError, match="0 timed steps"):
        training_speed(tiny_spec, tasks, [batch], "cpu", 0)
    if not torch.cuda.is_available():
        with pytest.raises(SpecError, match="no device 'cuda:0'"):
            training_speed(tiny_spec, tasks, [batch], "cuda:0", 1)


def nvml(monkeypatch: pytest.MonkeyPatch, used: int, running: list[tuple[int, int | None]] | None) -> None:
    """A device that NVML knows, with this much in use by processes of (number, bytes); None where it may not say."""
    pynvml = pytest.importorskip("pynvml")

    def listed(handle: str) -> list[Any]:
        assert handle == "GPU-abc"
        if running is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return [SimpleNamespace(pid=pid, usedGpuMemory=bytes_) for pid, bytes_ in running]

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: uuid)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda handle: SimpleNamespace(used=used))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", listed)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="abc"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 4)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 6)


ME = os.getpid()


@pytest.mark.parametrize(
    ("running", "mine"),
    [
        ([(1, 50), (ME, 8)], 8.0),
        ([(1, 8)], 8.0),  # a container's processes have other numbers, but this one is alone
        ([(1, 5)], None),  # alone, and smaller than what this process holds: another's
        ([(1, 50), (2, 8)], None),
        ([(ME, None)], None),
        ([], None),
        (None, None),
    ],
)
def test_the_share_of_this_process_is_told_where_nvml_tells_it(
    monkeypatch: pytest.MonkeyPatch, running: list[tuple[int, int | None]] | None, mine: float | None
) -> None:
    nvml(monkeypatch, 70, running)
    got = speed._memory(torch.device("cuda:0"))
    share = {} if mine is None else {"process_used_bytes": mine}
    assert got == {"vram_bytes": 4.0, "vram_reserved_bytes": 6.0, "device_used_bytes": 70.0, **share}
    assert set(got) <= set(speed.MEMORY)
    assert set(speed.PRINTED_MEMORY) <= set(speed.MEMORY)


def test_a_device_without_nvml_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    pynvml = pytest.importorskip("pynvml")

    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3, 10))
    assert speed._by_nvml(torch.device("cuda:0"), 1.0) == {"device_used_bytes": 7.0}


@pytest.mark.gpu
def test_memory_figures_of_a_gpu(tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch) -> None:
    got = training_speed(tiny_spec, tasks, [batch], "cuda:0", 3)
    assert CPU_FIGURES | {"vram_bytes", "vram_reserved_bytes", "device_used_bytes"} <= set(got)
    assert set(got) <= CPU_FIGURES | set(speed.MEMORY)
    share = got.get("process_used_bytes", got["device_used_bytes"])
    assert 0 < got["vram_bytes"] <= got["vram_reserved_bytes"] <= share <= got["device_used_bytes"]


@pytest.mark.gpu
def test_further_batches_are_no_memory_of_a_step(tiny_spec: RunSpec, tasks: dict[str, Task]) -> None:
    one = training_speed(tiny_spec, tasks, batches_of(tiny_spec, tasks), "cuda:0", 3)
    many = training_speed(tiny_spec, tasks, batches_of(tiny_spec, tasks, 2) * 20, "cuda:0", 3)
    assert many["vram_bytes"] <= 1.05 * one["vram_bytes"]
