"""Execute one run: data, model, training with resume, evaluation, pictures, record."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mtlrepro.data import build_dataset
from mtlrepro.data.loader import TrainLoader, eval_samples
from mtlrepro.data.sample import Dataset
from mtlrepro.engine import checkpoint
from mtlrepro.engine.checkpoint import Position
from mtlrepro.engine.determinism import derive, make_deterministic, open_device
from mtlrepro.engine.environment import environment
from mtlrepro.engine.evaluate import Gallery, evaluate, figures
from mtlrepro.engine.log import Log
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.engine.saver import Progress, Saver
from mtlrepro.engine.train import Hooks, train
from mtlrepro.errors import StoreError, TrainingError
from mtlrepro.files import write_failure, write_json
from mtlrepro.models import build_model
from mtlrepro.objectives import build_objective
from mtlrepro.profiling.speed import training_speed
from mtlrepro.spec import DataSpec, RunSpec
from mtlrepro.tasks import make_tasks
from mtlrepro.tasks.base import Task
from mtlrepro.tasks.trivial import trivial_figures

CHECKPOINT_SECONDS = 30.0
TIMED_STEPS = 20


@dataclass(frozen=True)
class Machine:
    """Where to execute.

    Attributes:
        device: "cpu", "cuda:0" ...
        data_root: folder of the papers' datasets, None for `MTLREPRO_DATA`.
        checkpoint_seconds: time between checkpoints; 0 writes one after every step.
        workers: loader processes.
    """

    device: str = "cpu"
    data_root: Path | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    workers: int = 0


@lru_cache(maxsize=4)
def open_dataset(spec: DataSpec, split: str, data_root: Path | None) -> Dataset:
    """A split, opened once a process: runs over the same data share what it caches."""
    return build_dataset(spec, split, data_root)


def execute(
    spec: RunSpec, seed: int, directory: Path, machine: Machine, progress: Progress | None = None
) -> dict[str, Any]:
    """Train and evaluate one spec with one seed inside its store directory; resumes from a checkpoint there.

    Args:
        spec: resolved spec.
        seed: the run's seed.
        directory: the run's directory, existing and locked by the caller; checkpoint, metrics.jsonl, env.json and
            pictures are written into it.
        machine: see `Machine`.
        progress: told about training now and then.

    Returns:
        The record, but for its schema version and key: metrics ("<view>.<task>.<figure>"), trivial
        ("<task>.<figure>"), steps, seconds, device, params, speed, weights.

    Raises:
        ReproError: bad data, weights, checkpoint or spec, a loss that is not finite, a disk that cannot be written.
    """
    device = open_device(machine.device)
    make_deterministic(device)
    _clear(directory)
    write_json(directory / "env.json", environment())
    try:
        record, tasks, loader = _train_and_evaluate(spec, seed, directory, device, machine, progress)
        if device.type == "cuda":  # timed apart, synchronised, and in memory of its own
            torch.cuda.empty_cache()
            batch = loader.batch_at(0)
            record["speed"] = training_speed(spec, tasks, str(device), steps=TIMED_STEPS, batch=batch)
    except torch.OutOfMemoryError as error:
        mend = "Stop what else runs on it, or use a GPU with more memory"
        raise TrainingError(f"the memory of {device} is full: {error}", field="recipe.batch", mend=mend) from error
    trivial = {
        f"{name}.{figure}": value for name in tasks for figure, value in _trivial(name, spec.data, machine.data_root)
    }
    return {**record, "trivial": trivial, "device": str(device)}


def _train_and_evaluate(
    spec: RunSpec, seed: int, directory: Path, device: torch.device, machine: Machine, progress: Progress | None
) -> tuple[dict[str, Any], dict[str, Task], TrainLoader]:
    """Everything that needs the network; it is gone from memory afterwards."""
    started = time.perf_counter()
    recipe, size = spec.recipe, spec.data.size
    train_set = open_dataset(spec.data, "train", machine.data_root)
    val_set = open_dataset(spec.data, "val", machine.data_root)
    tasks = make_tasks(tuple(dict.fromkeys(spec.model.main + spec.model.aux)), train_set.info)
    loader = TrainLoader(
        train_set, tasks, size, spec.data.augment, recipe.batch, seed=derive(seed, "data"), workers=machine.workers
    )
    steps = recipe.epochs * loader.steps_per_epoch

    torch.manual_seed(derive(seed, "init"))
    model: Any = build_model(spec.model, {name: task.channels for name, task in tasks.items()}).to(device)
    objective = build_objective(spec.objective, tasks).to(device)
    optimizer = build_optimizer([*model.parameters(), *objective.parameters()], recipe)

    file = directory / "checkpoint.safetensors"
    start = _resume(file, model, objective, optimizer, steps)
    start.seconds["setup"] = start.seconds.get("setup", 0.0) + time.perf_counter() - started

    def now(gallery: Gallery | None = None) -> dict[str, float]:
        last, samples = gallery is not None, eval_samples(val_set, size)
        return figures(evaluate(model, tasks, samples, device=device, gallery=gallery, costly=last))

    with Log(directory / "metrics.jsonl", keep=start.step, steps=steps) as log:
        every = recipe.evaluate_every * loader.steps_per_epoch
        saver = Saver(
            model, objective, optimizer, file, log, now, every, machine.checkpoint_seconds, start, steps, progress
        )
        train(
            model,
            objective,
            optimizer,
            zip(range(start.step, steps), loader.batches(start.step), strict=False),
            recipe=recipe,
            steps_per_epoch=loader.steps_per_epoch,
            seed=seed,
            device=device,
            hooks=Hooks(log=saver.line, due=saver.due, after_step=saver.after_step),
        )
        began = time.perf_counter()
        metrics = now(Gallery(directory / "pictures"))
        log.write({"step": steps, "eval": metrics})
    seconds = {"train": 0.0, "steps": 0.0, **saver.position.seconds, "eval": time.perf_counter() - began}
    report = model.backbone.weights_report
    record = {
        "metrics": metrics,
        "steps": steps,
        "seconds": seconds,
        "params": sum(p.numel() for p in model.parameters()),
        "speed": {"step_ms": 1e3 * seconds["steps"] / steps} if steps else {},
        "weights": asdict(report) if report else None,
    }
    return record, tasks, loader


def _resume(
    file: Path, model: nn.Module, objective: nn.Module, optimizer: torch.optim.Optimizer, steps: int
) -> Position:
    if not file.exists():
        return Position()
    position = checkpoint.load(file, model, objective, optimizer)
    if position.step > steps:
        problem = f"a checkpoint after {position.step} steps in a run of {steps}"
        raise StoreError(problem, file=file, field="position.step", mend=checkpoint.MEND)
    return position


def _clear(directory: Path) -> None:
    """Remove what a killed process was writing: a torn checkpoint of a large network is gigabytes."""
    try:
        for torn in (*directory.glob(".*.tmp"), *directory.glob(".tmp*")):  # ours, and what safetensors names so
            torn.unlink()
    except OSError as error:
        raise write_failure(directory, error) from error


@lru_cache(maxsize=32)
def _trivial(name: str, data: DataSpec, data_root: Path | None) -> tuple[tuple[str, float], ...]:
    train_set, val_set = open_dataset(data, "train", data_root), open_dataset(data, "val", data_root)
    task = make_tasks((name,), train_set.info)[name]
    labels = (train_set[i][name] for i in range(len(train_set)))
    targets = (task.collate(val_set[i][name])[None] for i in range(len(val_set)))
    return tuple(trivial_figures(task, labels, targets).items())
