from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mtlrepro.data import build_dataset
from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.sample import Batch
from mtlrepro.errors import SpecError
from mtlrepro.profiling import speed
from mtlrepro.profiling.speed import training_speed
from mtlrepro.spec import DataSpec, RunSpec
from mtlrepro.tasks import make_tasks
from mtlrepro.tasks.base import Task

CPU_FIGURES = {"step_ms", "step_ms_q1", "step_ms_q3", "images_per_s"}


@pytest.fixture
def tasks(tiny_spec: RunSpec) -> dict[str, Task]:
    return make_tasks(tiny_spec.model.main, build_dataset(tiny_spec.data, "train").info)


@pytest.fixture
def batch(tiny_spec: RunSpec, tasks: dict[str, Task]) -> Batch:
    return TrainLoader(build_dataset(tiny_spec.data, "train"), tasks, (32, 32), "none", 4, seed=0).batch_at(0)


def test_figures_of_a_batch(tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch) -> None:
    got = training_speed(tiny_spec, tasks, "cpu", 4, batch)
    assert set(got) == CPU_FIGURES
    assert 0 < got["step_ms_q1"] <= got["step_ms"] <= got["step_ms_q3"]
    assert got["images_per_s"] == pytest.approx(4e3 / got["step_ms"])


def test_the_median_is_of_the_timed_steps_alone(
    tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is read once in each warm-up step; then steps last 25, 36 and 49 s."""
    readings = iter([0.0] * speed.WARMUP + [100.0, 125.0, 200.0, 236.0, 300.0, 349.0])
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: next(readings)))
    got = training_speed(tiny_spec, tasks, "cpu", 3, batch)
    assert got["step_ms"] == pytest.approx(36e3)
    assert (got["step_ms_q1"], got["step_ms_q3"]) == pytest.approx((25e3, 49e3))


def test_one_timed_step_is_enough(tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch) -> None:
    got = training_speed(tiny_spec, tasks, "cpu", 1, batch)
    assert got["step_ms_q1"] == got["step_ms"] == got["step_ms_q3"]


def test_without_a_batch_embedded_scenes_are_used(
    tiny_spec: RunSpec, tasks: dict[str, Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[DataSpec, str]] = []

    def scenes(spec: DataSpec, split: str):
        asked.append((spec, split))
        return build_dataset(tiny_spec.data, "train")

    monkeypatch.setattr(speed, "build_dataset", scenes)
    assert set(training_speed(tiny_spec, tasks, "cpu", 1)) == CPU_FIGURES
    assert asked == [(DataSpec("scenes", (32, 32), train=4), "train")]


def test_bad_questions_are_told(tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch) -> None:
    with pytest.raises(SpecError, match="0 timed steps"):
        training_speed(tiny_spec, tasks, "cpu", 0, batch)
    if not torch.cuda.is_available():
        with pytest.raises(SpecError, match="no device 'cuda:0'"):
            training_speed(tiny_spec, tasks, "cuda:0", 1, batch)


def test_a_device_without_nvml_is_asked_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pynvml = pytest.importorskip("pynvml")

    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3, 10))
    assert speed._device_used(torch.device("cuda:0")) == 7.0


@pytest.mark.gpu
def test_memory_figures_of_a_gpu(tiny_spec: RunSpec, tasks: dict[str, Task], batch: Batch) -> None:
    got = training_speed(tiny_spec, tasks, "cuda:0", 3, batch)
    assert set(got) == CPU_FIGURES | {"vram_bytes", "vram_reserved_bytes", "device_used_bytes"}
    assert 0 < got["vram_bytes"] <= got["vram_reserved_bytes"] <= got["device_used_bytes"]
