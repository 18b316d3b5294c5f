"""Step time, throughput and memory of training, measured the same way for every method.

Warm-up steps first, the device synchronised around each timed step, median over steps. The memory figures are
those of the CUDA allocator (peak allocated, peak reserved); the total in use on the device comes from NVML.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace

import torch

from mtlrepro.data import build_dataset
from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.sample import Batch
from mtlrepro.engine.determinism import make_deterministic, open_device
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.objectives import build_objective
from mtlrepro.spec import DataSpec, RunSpec
from mtlrepro.tasks.base import Task

WARMUP = 5


def training_speed(
    spec: RunSpec, tasks: Mapping[str, Task], device: str, steps: int, batch: Batch | None = None
) -> dict[str, float]:
    """Train `steps` steps from random weights on one batch and return what they cost.

    Args:
        spec: model, objective, batch and size are taken from it.
        tasks: the spec's tasks.
        device: torch device name.
        steps: timed steps, after `WARMUP` untimed ones.
        batch: the batch, on any device; by default embedded scenes of the spec's size.

    Returns:
        step_ms (median), step_ms_q1, step_ms_q3, images_per_s; on CUDA also vram_bytes (peak allocated),
        vram_reserved_bytes and device_used_bytes (NVML, all processes).

    Raises:
        SpecError: no such device, or no step to time.
    """
    if steps < 1:
        raise SpecError(f"{steps} timed steps", field="steps", mend="Time at least one")
    place = open_device(device)
    make_deterministic(place)
    torch.manual_seed(0)
    if batch is None:
        scenes = build_dataset(DataSpec("scenes", spec.data.size, train=spec.recipe.batch), "train")
        batch = TrainLoader(scenes, dict(tasks), spec.data.size, "none", spec.recipe.batch, seed=0).batch_at(0)
    batch = batch.to(place)
    model = build_model(replace(spec.model, weights=None), {name: t.channels for name, t in tasks.items()})
    model = model.to(place).train()
    objective = build_objective(spec.objective, dict(tasks)).to(place)
    optimizer = build_optimizer([*model.parameters(), *objective.parameters()], spec.recipe)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    times = []
    for step in range(WARMUP + steps):
        _synchronise(place)
        start = time.perf_counter()
        losses = objective(model, model(batch.image), batch, step)
        optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        optimizer.step()
        _synchronise(place)
        if step >= WARMUP:
            times.append(1e3 * (time.perf_counter() - start))
    q1, median, q3 = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    speed = {"step_ms": median, "step_ms_q1": q1, "step_ms_q3": q3, "images_per_s": 1e3 * len(batch.image) / median}
    if place.type == "cuda":
        speed["vram_bytes"] = float(torch.cuda.max_memory_allocated(place))
        speed["vram_reserved_bytes"] = float(torch.cuda.max_memory_reserved(place))
        speed["device_used_bytes"] = _device_used(place)
    return speed


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
