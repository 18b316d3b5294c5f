"""Step time, throughput and memory of training, measured the same way for every method.

Warm-up steps first, the device synchronised around each timed step, median over steps. The memory figures are
those of the CUDA allocator (peak allocated, peak reserved); the total in use on the device comes from NVML.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mtlrepro.data.sample import Batch
from mtlrepro.engine.determinism import make_deterministic, open_device
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.engine.train import set_training, take_step
from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.objectives import attached_objective
from mtlrepro.spec import RunSpec
from mtlrepro.tasks.base import Task

WARMUP = 5


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
        vram_bytes (peak allocated), vram_reserved_bytes and device_used_bytes (NVML, all processes).

    Raises:
        SpecError: no such device, or no step to time.
    """
    if steps < 1:
        raise SpecError(f"{steps} timed steps", field="steps", mend="Time at least one")
    place = open_device(device)
    make_deterministic(place)
    torch.manual_seed(0)
    ready = [batch.to(place) for batch in batches]
    spec = replace(spec, model=replace(spec.model, weights=None))
    model: Any = build_model(spec.model, {n: t.channels for n, t in tasks.items()}, spec.data.size).to(place)
    set_training(model, spec.recipe)
    objective = attached_objective(spec, tasks, model).to(place)
    objective.adopt(teachers)
    optimizer = build_optimizer(model, objective, spec.recipe)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    times = []
    for step, batch in zip(range(WARMUP + steps), itertools.cycle(ready), strict=False):
        _synchronise(place)
        start = time.perf_counter()
        take_step(model, objective, optimizer, batch, progress=0.0, clip=spec.recipe.clip)
        _synchronise(place)
        if step >= WARMUP:
            times.append(1e3 * (time.perf_counter() - start))
    q1, median, q3 = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    images = statistics.mean(len(batch.image) for batch in ready)
    speed = {"step_ms": median, "step_ms_q1": q1, "step_ms_q3": q3, "images_per_s": 1e3 * images / median}
    if place.type == "cuda":
        speed["vram_bytes"] = float(torch.cuda.max_memory_allocated(place))
        speed["vram_reserved_bytes"] = float(torch.cuda.max_memory_reserved(place))
        speed["device_used_bytes"] = _device_used(place)
    speed["forward_ms"] = _forward_ms(model, ready[0].image, place)
    return speed


@torch.no_grad()
def _forward_ms(model: nn.Module, image: Tensor, place: torch.device) -> float:
    """Median milliseconds an image of the network's forward pass in evaluation mode."""
    model.eval()
    times = []
    for _ in range(WARMUP):
        _synchronise(place)
        start = time.perf_counter()
        model(image)
        _synchronise(place)
        times.append(1e3 * (time.perf_counter() - start) / len(image))
    return statistics.median(times)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _device_used(device: torch.device) -> float:
    """Bytes in use on the device, by whomever."""
    import pynvml

    try:
        pynvml.nvmlInit()
        # CUDA_VISIBLE_DEVICES renumbers CUDA's devices but not NVML's: the UUID is common to both.
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return float(pynvml.nvmlDeviceGetMemoryInfo(handle).used)
    except pynvml.NVMLError:  # a part of a GPU, or a container without NVML: ask CUDA, which sees the same memory
        free, total = torch.cuda.mem_get_info(device)
        return float(total - free)
