"""A full memory, faked on the CPU by layers that raise PyTorch's error: what is said, and that nothing stays behind."""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_runs import complete, spec_over
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mtlrepro.engine import run
from mtlrepro.engine.memory import MemoryFull, fits, largest, watched
from mtlrepro.engine.run import Machine, time_steps
from mtlrepro.errors import SpecError, TrainingError

CPU = torch.device("cpu")
TEXT = "CUDA out of memory. Tried to allocate 20.00 MiB.\nmore of it"


@given(limit=st.integers(1, 300), most=st.integers(0, 400))
def test_the_largest_is_found_in_few_trials(limit: int, most: int) -> None:
    asked: list[int] = []

    def fit(images: int) -> bool:
        asked.append(images)
        return images <= most

    assert largest(limit, fit) == min(limit, most)
    assert len(asked) == len(set(asked)) <= 2 + math.log2(limit)
    assert all(1 <= images <= limit for images in asked)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(TEXT),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
    ids=str,
)
def test_every_way_to_say_it_is_known(error: RuntimeError) -> None:
    with pytest.raises(MemoryFull) as caught, watched("training"):
        raise error
    assert caught.value.during == "training"
    assert str(error).startswith(caught.value.detail)
    assert "\n" not in caught.value.detail


def test_what_is_no_lack_of_memory_passes() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), watched("training"):
        raise RuntimeError("shapes differ")
    with pytest.raises(KeyError), watched("training"):
        raise KeyError("out of memory")


def test_what_refuses_few_images_does_not_fit() -> None:
    def refuse() -> None:
        raise SpecError("two samples are needed")

    assert not fits(refuse, CPU)
    assert not fits(lambda: nn.BatchNorm1d(2)(torch.zeros(1, 2)), CPU)
    assert fits(lambda: None, CPU)


class Memory:
    """Fakes a device: networks that are built note what they are, and refuse batches."""

    def __init__(self, most: int, only_training: bool = True):
        self.most, self.only_training = most, only_training
        self.networks: list[weakref.ref[nn.Module]] = []
        self.tried: list[int] = []

    def watch(self, network: nn.Module) -> nn.Module:
        self.networks.append(weakref.ref(network))
        network.register_forward_pre_hook(self.check)
        return network

    def check(self, network: nn.Module, arguments: tuple[Any, ...]) -> None:
        images = len(arguments[0])
        if network.training:
            self.tried.append(images)
        if (network.training or not self.only_training) and images > self.most:
            raise torch.OutOfMemoryError(TEXT)

    def left(self) -> int:
        gc.collect()
        return sum(network() is not None for network in self.networks)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    from mtlrepro.profiling import speed

    fake = Memory(3)
    for module in (run, speed):
        real = module.build_model
        monkeypatch.setattr(module, "build_model", lambda *a, real=real, **k: fake.watch(real(*a, **k)))
    return fake


@pytest.mark.parametrize("most", [0, 2, 3])
def test_training_names_the_batch_that_fits(most: int, memory: Memory, tiny_dataset: Path, tmp_path: Path) -> None:
    memory.most, spec = most, spec_over(tiny_dataset)
    with pytest.raises(TrainingError) as caught:
        complete(spec, tmp_path)
    assert caught.value.field == "recipe.batch"
    assert "cpu is full in training with a batch of 4" in caught.value.problem
    assert "Tried to allocate 20.00 MiB." in caught.value.problem
    if most:
        assert f"a batch of {most} fits" in caught.value.problem
        assert f"recipe.batch to {most}" in caught.value.mend
    else:
        assert "no smaller one" in caught.value.problem
    assert max(memory.tried) == 4
    assert memory.left() == 0, "the error holds a network"


def test_the_next_run_of_the_process_is_as_ever(memory: Memory, tiny_dataset: Path, tmp_path: Path) -> None:
    spec = spec_over(tiny_dataset, epochs=1)
    memory.most = 8
    before = complete(spec, tmp_path / "before")
    memory.most = 3
    with pytest.raises(TrainingError, match="fits"):
        complete(spec, tmp_path / "full")
    memory.most = 8
    assert complete(spec, tmp_path / "after").differences(before) == []


def test_a_batch_that_fits_by_itself_is_not_blamed(memory: Memory, tiny_dataset: Path, tmp_path: Path) -> None:
    real, calls = memory.check, iter([3])

    def check(network: nn.Module, arguments: tuple[Any, ...]) -> None:
        memory.most = next(calls, 8)  # only the first batch meets somebody else's memory
        real(network, arguments)

    memory.check = check  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="Stop what else runs") as caught:
        complete(spec_over(tiny_dataset), tmp_path)
    assert "which fits where nothing else is in memory" in caught.value.problem


def test_evaluation_does_not_blame_the_batch(memory: Memory, tiny_dataset: Path, tmp_path: Path) -> None:
    memory.most, memory.only_training = 4, False  # evaluation takes eight
    with pytest.raises(TrainingError, match="full in evaluation") as caught:
        complete(spec_over(tiny_dataset, epochs=1), tmp_path)
    assert caught.value.field == "evaluation"
    assert (tmp_path / "checkpoint.safetensors").exists()
    assert memory.left() == 0
    memory.most = 8  # with the memory back, the run goes on from its last step
    trained = len(memory.tried)
    complete(spec_over(tiny_dataset, epochs=1), tmp_path)
    assert len(memory.tried) == trained


def test_timing_names_the_batch_that_fits(memory: Memory, tiny_dataset: Path) -> None:
    with pytest.raises(TrainingError, match="a batch of 3 fits"):
        time_steps(spec_over(tiny_dataset), Machine(), 1)
    assert memory.left() == 0


def test_the_second_stream_shrinks_with_the_batch(
    memory: Memory, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_over(tiny_dataset)
    wide = replace(
        spec,
        data=replace(
            spec.data, unlabelled=50, labels_over=spec.tasks, extra=replace(spec.data.extra, name="unlabelled")
        ),
        recipe=replace(spec.recipe, batch=2, extra=2),
    )
    seen: list[tuple[int, int]] = []
    real = run.step_inputs

    def inputs(one: Any, *a: Any, **k: Any) -> Any:
        seen.append((one.recipe.batch, one.recipe.extra))
        return real(one, *a, **k)

    monkeypatch.setattr(run, "step_inputs", inputs)
    with pytest.raises(TrainingError, match="a batch of 1 fits"):
        complete(wide, tmp_path)
    assert seen == [(2, 2), (1, 1)]
