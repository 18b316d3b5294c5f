"""Step time, throughput and memory of training, measured the same way for every method.

Warm-up steps first, the device synchronised around each timed step, median over steps. Memory is measured in four
states (`MEMORY`); which of them a printed figure is compared with, see `PRINTED_MEMORY`.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mtlrepro import collective
from mtlrepro.data.sample import Batch
from mtlrepro.engine import ranks
from mtlrepro.engine.determinism import make_deterministic, open_device
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.engine.precision import Precision, precision_of
from mtlrepro.engine.train import set_training, take_step
from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.objectives import attached_objective
from mtlrepro.spec import RunSpec
from mtlrepro.tasks.base import Task

WARMUP = 5

MEMORY = {
    "vram_bytes": "allocated: the most that tensors took at once",
    "vram_reserved_bytes": "reserved: the most that CUDA's caching allocator held at once",
    "process_used_bytes": "this process's share of the device, which is what is reserved and CUDA's own context",
    "device_used_bytes": "in use on the device, by whomever",
}
"""Memory figures of a GPU, each at most as large as the next, but for memory that others gave back meanwhile."""

PRINTED_MEMORY = ("process_used_bytes", "vram_reserved_bytes", "vram_bytes")
"""The figure that is compared with a printed one: the first of these that is known.

JTR, the one paper that prints memory, does not say how it was read. The figures that are judged are 0.5 to 5.5 GiB
above what saved tensors, weights and optimizer state amount to by count, most for the methods whose public code goes
from sample to sample. A few temporaries (at most 0.3 GiB each) do not explain that; a cache cut into unequal pieces,
workspaces and a context of half a GiB do: it is what `nvidia-smi` shows of a process. This is a reading, not a fact.
NVML may not know a process's share (a container's numbers differ); what is reserved is the same without the context.
"""


def training_speed(
    spec: RunSpec,
    tasks: Mapping[str, Task],
    batches: Sequence[Batch],
    device: str,
    steps: int,
    teachers: Sequence[nn.Module] = (),
) -> dict[str, float]:
    """Train `steps` steps from random weights on a few batches, which take turns, and return what they cost.

    With partial labels a step's work depends on which labels its samples carry: give some batches.

    Args:
        spec: model and objective are taken from it.
        tasks: the spec's tasks.
        batches: with as many views as the objective wants, on any device.
        device: torch device name.
        steps: timed steps, after `WARMUP` untimed ones.
        teachers: networks of the runs that the spec needs, on the device.

    Returns:
        step_ms (median), step_ms_q1, step_ms_q3, images_per_s, forward_ms (of one image in evaluation); on CUDA also
        those of `MEMORY`, process_used_bytes where NVML tells it.

    Raises:
        SpecError: no such device, or no step to time.
    """
    if steps < 1:
        raise SpecError(f"{steps} timed steps", field="steps", mend="Time at least one")
    place = open_device(device)
    training = Training(spec, tasks, place, teachers)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    in_turns = itertools.islice(itertools.cycle(batches), WARMUP + steps)
    # One batch at a time is on the device, as in a training: others would count as its memory.
    times = [1e3 * training.step(batch.to(place)) for batch in in_turns][WARMUP:]
    q1, median, q3 = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    images = collective.ranks() * statistics.mean(len(batch.image) for batch in batches)
    speed = {"step_ms": median, "step_ms_q1": q1, "step_ms_q3": q3, "images_per_s": 1e3 * images / median}
    if place.type == "cuda":
        speed |= _memory(place)
    return {**speed, "forward_ms": training.forward_ms(batches[0].image.to(place))}


class Training:
    """A training from random weights, to be stepped and timed.

    Args:
        spec: model, objective and recipe are taken from it.
        tasks: the spec's tasks.
        place: where it happens.
        teachers: networks of the runs that the spec needs, there.
        precision: its arithmetic, where that is not the recipe's.
    """

    def __init__(
        self,
        spec: RunSpec,
        tasks: Mapping[str, Task],
        place: torch.device,
        teachers: Sequence[nn.Module],
        precision: Precision | None = None,
    ):
        make_deterministic(place)
        torch.manual_seed(0)
        self.place, self.recipe = place, spec.recipe
        self.precision = precision or precision_of(spec.recipe.precision)
        spec = replace(spec, model=replace(spec.model, weights=None))
        channels = {name: task.channels for name, task in tasks.items()}
        self.model: Any = build_model(spec.model, channels, spec.data.size).to(place)
        set_training(self.model, spec.recipe)
        self.objective = attached_objective(spec, tasks, self.model).to(place)
        self.objective.adopt(teachers)
        ranks.share_statistics(spec.recipe, self.model, self.objective)
        self.precision.prepare(place, self.model, self.objective, *teachers, shared=spec.recipe.sync_bn)
        self.optimizer = build_optimizer(self.model, self.objective, spec.recipe)

    def step(self, batch: Batch) -> float:
        """Seconds of one optimizer step on a batch that lies there, from an idle device to an idle device."""
        return self._seconds(lambda: self.take(batch))

    def take(self, batch: Batch) -> None:
        """One optimizer step, which nobody waits for."""
        with self.precision.products(self.place):
            take_step(
                self.model, self.objective, self.optimizer, batch, 0.0, clip=self.recipe.clip, precision=self.precision
            )

    @torch.no_grad()
    def forward_ms(self, image: Tensor) -> float:
        """Median milliseconds an image of the network's forward pass in evaluation; it stays in that mode."""
        self.model.eval()

        def forward() -> None:
            with self.precision.products(self.place), self.precision.casting(self.place):
                self.model(image)

        return statistics.median(1e3 * self._seconds(forward) / len(image) for _ in range(WARMUP))

    def _seconds(self, work: Callable[[], None]) -> float:
        _synchronise(self.place)
        start = time.perf_counter()
        work()
        _synchronise(self.place)
        return time.perf_counter() - start


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory(device: torch.device) -> dict[str, float]:
    """The figures of `MEMORY`. To be read while the allocator still holds what the steps made it reserve."""
    reserved = float(torch.cuda.max_memory_reserved(device))
    found = {"vram_bytes": float(torch.cuda.max_memory_allocated(device)), "vram_reserved_bytes": reserved}
    return found | _by_nvml(device, reserved)


def _by_nvml(device: torch.device, reserved: float) -> dict[str, float]:
    """Bytes in use on the device, and of that this process's where they can be told from those of others."""
    import pynvml

    try:
        pynvml.nvmlInit()
        # CUDA_VISIBLE_DEVICES renumbers CUDA's devices but not NVML's: the UUID is common to both.
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        used = {"device_used_bytes": float(pynvml.nvmlDeviceGetMemoryInfo(handle).used)}
    except pynvml.NVMLError:  # a part of a GPU, or a container without NVML: ask CUDA, which sees the same memory
        free, total = torch.cuda.mem_get_info(device)
        return {"device_used_bytes": float(total - free)}
    try:
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return used
    # A container knows its processes by other numbers than NVML does; one that is alone is told by its size.
    mine = [p for p in running if p.pid == os.getpid()] or (running if len(running) == 1 else [])
    shares = [p.usedGpuMemory for p in mine if p.usedGpuMemory is not None and p.usedGpuMemory >= reserved]
    return {**used, "process_used_bytes": float(shares[0])} if shares else used
