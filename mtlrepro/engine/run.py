"""Execute one run: data, model, training with resume, evaluation, pictures, record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from mtlrepro import collective
from mtlrepro.data import build_dataset
from mtlrepro.data.loader import TrainLoader, eval_samples, open_loader
from mtlrepro.data.resident import BaseSamples
from mtlrepro.data.sample import Batch, Dataset, DatasetInfo
from mtlrepro.data.streams import source, val_source
from mtlrepro.data.transforms.augment import AUGMENTATIONS
from mtlrepro.data.workers import death
from mtlrepro.engine import checkpoint, ranks
from mtlrepro.engine.begin import FILE, begin, begun_from
from mtlrepro.engine.checkpoint import Position
from mtlrepro.engine.determinism import derive, make_deterministic, open_device
from mtlrepro.engine.environment import record_environment
from mtlrepro.engine.evaluate import Gallery, evaluate, figures, share, whole
from mtlrepro.engine.log import Log, Silence, evaluations
from mtlrepro.engine.memory import MemoryFull, fits, free, largest, other_full, training_full, watched
from mtlrepro.engine.optim import Optimizer, build_optimizer
from mtlrepro.engine.precision import precision_of
from mtlrepro.engine.saver import Progress, Saver
from mtlrepro.engine.train import Hooks, train, training_steps
from mtlrepro.errors import SpecError, StoreError
from mtlrepro.files import write_failure
from mtlrepro.models import build_model
from mtlrepro.objectives import OBJECTIVES, attached_objective
from mtlrepro.profiling.speed import Training, training_speed
from mtlrepro.spec import DataSpec, RunSpec
from mtlrepro.tasks import make_tasks
from mtlrepro.tasks.base import Task
from mtlrepro.tasks.trivial import trivial_figures

CHECKPOINT_SECONDS = 30.0
TIMED_STEPS = 20
TIMED_BATCHES = 4
TRAINING = "training"
"""What memory is wanted for where the batch is what counts."""

T = TypeVar("T")
OPEN_SPLITS = 16
"""Splits that stay open: embedded ones keep what they have drawn, so that runs which take turns do not draw it anew."""

TRIVIAL_SAMPLES = 1000
"""Training samples, with all their labels, that the constant predictor is fitted to: the first ones of the split."""


@dataclass(frozen=True)
class Machine:
    """Where to execute.

    Attributes:
        device: "cpu", "cuda:0" ...
        data_root: folder of the papers' datasets, None for `MTLREPRO_DATA`.
        checkpoint_seconds: time between checkpoints; 0 writes one after every step.
        workers: loader processes.
        cache: folder of what can be made again: hashes of dataset files and decoded samples. None keeps nothing.
    """

    device: str = "cpu"
    data_root: Path | None = None
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    workers: int = 0
    cache: Path | None = None

    @property
    def decoded(self) -> Path | None:
        """Folder of decoded samples (`mtlrepro.data.cache`)."""
        return self.cache and self.cache / "decoded"


def open_dataset(spec: DataSpec, split: str, machine: Machine) -> Dataset:
    """A split, opened once a process: runs over the same data share what it caches."""
    return _open(spec, split, machine.data_root, machine.cache and machine.cache / "manifests")


@lru_cache(maxsize=OPEN_SPLITS)
def _open(spec: DataSpec, split: str, data_root: Path | None, hashes: Path | None) -> Dataset:
    return build_dataset(spec, split, data_root, hashes)


def execute(
    spec: RunSpec,
    seed: int,
    directory: Path,
    machine: Machine,
    progress: Progress | None = None,
    needs: Sequence[Path] = (),
) -> dict[str, Any]:
    """Train and evaluate one spec with one seed inside its store directory; resumes from a checkpoint there.

    Processes that share the training's batches call this together; the first one alone writes into the directory.

    Args:
        spec: resolved spec.
        seed: the run's seed.
        directory: the run's directory, existing and locked by the caller; checkpoint, metrics.jsonl, env.json and
            pictures are written into it.
        machine: see `Machine`.
        progress: told about training now and then.
        needs: directories of the finished runs that the spec needs, in its order.

    Returns:
        The record, but for its schema version and key: metrics (of the weights after the last step, see
        `mtlrepro.engine.evaluate.record_key`), evaluations (those before it: {"step", "metrics"}), trivial
        ("<task>.<protocol>.<figure>"), steps, seconds, device, params, speed, weights.

    Raises:
        ReproError: bad data, weights, checkpoint or spec, a loss that is not finite, a disk that cannot be written.
    """
    device = open_device(machine.device)
    ranks.check_ranks(spec.recipe)
    make_deterministic(device)
    arithmetic = precision_of(spec.recipe.precision)
    ranks.led(lambda: _prepare(directory, arithmetic.facts(device, spec.recipe.sync_bn)))

    def work() -> tuple[dict[str, Any], dict[str, Task]]:
        with arithmetic.products(device):
            with watched(TRAINING):
                record, tasks, loader = _train_and_evaluate(spec, seed, directory, device, machine, progress, needs)
            if device.type == "cuda":  # timed apart, synchronised, and in memory of its own
                with watched("timing"):
                    torch.cuda.empty_cache()
                    teachers = _teachers(spec, needs, device, machine)
                    batches = _timed_batches(loader)
                    loader.release()
                    torch.cuda.empty_cache()
                    record["speed"] = training_speed(spec, tasks, batches, str(device), TIMED_STEPS, teachers)
        return record, tasks

    record, tasks = _survived(work, spec, machine, device)
    leads = collective.rank() == 0
    trivial = _trivial(tuple(tasks), source(spec.data), val_source(spec.data), machine) if leads else ()
    return {**record, "trivial": dict(trivial), "device": str(device)}


def time_steps(spec: RunSpec, machine: Machine, steps: int) -> dict[str, float]:
    """What training steps of a spec cost, from random weights (its teachers' too); see `training_speed`."""

    def work() -> dict[str, float]:
        with watched(TRAINING):
            tasks, batches, teachers = step_inputs(spec, machine)
            return training_speed(spec, tasks, batches, machine.device, steps, teachers)

    return _survived(work, spec, machine, open_device(machine.device))


def _survived(work: Callable[[], T], spec: RunSpec, machine: Machine, device: torch.device) -> T:
    """What `work` returns.

    Raises:
        TrainingError: where a worker process dies, or memory gets full; it says what would fit. Nothing that the work
            held is held any more.
    """
    died, full = None, MemoryFull("", "")
    try:
        return work()
    except MemoryFull as error:
        full = MemoryFull(error.during, error.detail)  # without its traceback, which holds what fills the memory
    except RuntimeError as error:
        if (died := death(error)) is None:
            raise
    free(device)
    if died is not None:
        raise died
    if full.during != TRAINING:
        raise other_full(device, full)
    found = _fitting_batch(spec, machine, device) if collective.ranks() == 1 else None
    raise training_full(device, full.detail, spec.recipe, found)


def _fitting_batch(spec: RunSpec, machine: Machine, device: torch.device) -> int:
    """The largest batch with which steps of a training fit, besides the samples that it keeps on the device."""
    recipe, held = spec.recipe, _held_bytes(spec, machine, device)

    def steps(images: int) -> None:
        kept = torch.empty(held, dtype=torch.uint8, device=device)
        extra = -(-recipe.extra * images // recipe.batch)
        smaller = replace(spec, recipe=replace(recipe, batch=images, extra=extra))
        tasks, batches, teachers = step_inputs(smaller, machine, batches=2)
        training = Training(smaller, tasks, device, teachers)
        for batch in (batches[0], batches[-1]):  # the second one beside the optimizer's state
            training.step(batch.to(device))
        del kept

    return largest(recipe.batch, lambda images: fits(lambda: steps(images), device))


def _held_bytes(spec: RunSpec, machine: Machine, device: torch.device) -> int:
    def open_train(data: DataSpec) -> Dataset:
        return open_dataset(data, "train", machine)

    tasks = make_tasks(spec.tasks, open_train(source(spec.data)).info, spec.objective.losses)
    views = OBJECTIVES[spec.objective.name].views
    return open_loader(spec, tasks, open_train, seed=0, views=views, device=device).held_bytes


def step_inputs(
    spec: RunSpec, machine: Machine, batches: int = TIMED_BATCHES
) -> tuple[dict[str, Task], list[Batch], list[nn.Module]]:
    """What training steps of a spec are timed with: its tasks, its first batches, and teachers of random weights."""
    device = open_device(machine.device)

    def open_train(data: DataSpec) -> Dataset:
        return open_dataset(data, "train", machine)

    def built(one: RunSpec) -> nn.Module:
        channels = {name: task.channels for name, task in make_tasks(one.tasks, info, one.objective.losses).items()}
        network = build_model(replace(one.model, weights=None), channels, one.data.size)
        return network.to(device).eval().requires_grad_(False)

    info = open_train(source(spec.data)).info
    tasks, views = make_tasks(spec.tasks, info, spec.objective.losses), OBJECTIVES[spec.objective.name].views
    loader = open_loader(spec, _with_beside(spec, tasks, info), open_train, seed=0, views=views)
    return tasks, _timed_batches(loader, batches), [built(need) for need in spec.needs[begun_from(spec) :]]


def _timed_batches(loader: TrainLoader, batches: int = TIMED_BATCHES) -> list[Batch]:
    """The first batches of a training, in the host's memory: on the device they would count as a step's."""
    return [loader.batch_at(step).to("cpu") for step in range(min(batches, loader.steps_per_epoch))]


def _train_and_evaluate(
    spec: RunSpec,
    seed: int,
    directory: Path,
    device: torch.device,
    machine: Machine,
    progress: Progress | None,
    needs: Sequence[Path],
) -> tuple[dict[str, Any], dict[str, Task], TrainLoader]:
    """Everything that needs the network; it is gone from memory afterwards."""
    started = time.perf_counter()
    recipe, size, fit = spec.recipe, spec.data.size, AUGMENTATIONS[spec.data.augment].fit
    val_set = open_dataset(val_source(spec.data), "val", machine)
    tasks = make_tasks(spec.tasks, val_set.info, spec.objective.losses)
    judged = BaseSamples(val_set, tasks, None, machine.decoded)

    torch.manual_seed(derive(seed, "init"))
    channels = {name: task.channels for name, task in tasks.items()}
    model: Any = build_model(spec.model, channels, size).to(device)
    objective = attached_objective(spec, tasks, model).to(device)
    teachers = _teachers(spec, needs, device, machine)
    objective.adopt(teachers)
    ranks.share_statistics(recipe, model, objective)
    precision = precision_of(recipe.precision)
    precision.prepare(device, model, objective, *teachers, shared=recipe.sync_bn)
    optimizer = build_optimizer(model, objective, recipe)

    def open_train(data: DataSpec) -> Dataset:
        return open_dataset(data, "train", machine)

    loader = open_loader(
        *(spec, _with_beside(spec, tasks, val_set.info), open_train, derive(seed, "data")),
        *(machine.workers, objective.views, device, machine.decoded),
    )
    check_same_labels(loader.main.dataset.info, val_set.info, tasks)
    steps = training_steps(recipe, loader.steps_per_epoch)

    file = directory / FILE
    if spec.start and not file.exists():
        begin(spec, needs, model, objective)
    start = _resume(file, model, objective, optimizer, steps)
    ranks.check_alike(start.step, optimizer, model, objective)
    start.seconds["setup"] = start.seconds.get("setup", 0.0) + time.perf_counter() - started

    def now(gallery: Gallery | None = None) -> dict[str, float]:
        last, mine = gallery is not None, share(len(judged))
        with watched("evaluation"):
            meters = evaluate(
                *(model, tasks, eval_samples(judged, size, fit, machine.workers, mine)),
                device=device,
                normalise=spec.data.normalise,
                fit=fit,
                gallery=gallery,
                costly=last,
                objective=objective if last else None,
                precision=precision,
                workers=machine.workers,
                positions=mine,
            )
        return figures(whole(meters))

    leads, lines = collective.rank() == 0, directory / "metrics.jsonl"
    with Log(lines, keep=start.step, steps=steps) if leads else Silence() as log:
        every = recipe.evaluate_every * loader.steps_per_epoch
        saver = Saver(
            *(model, objective, optimizer, file if leads else None, log, now, every),
            *(machine.checkpoint_seconds, start, steps, progress),
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
    before = _periodic(lines, every, steps) if leads else []
    seconds = {"train": 0.0, "steps": 0.0, **saver.position.seconds, "eval": time.perf_counter() - began}
    report = model.backbone.weights_report
    record = {
        "metrics": metrics,
        "evaluations": before,
        "steps": steps,
        "seconds": seconds,
        "params": sum(p.numel() for p in model.parameters()),
        "speed": {"step_ms": 1e3 * seconds["steps"] / steps} if steps else {},
        "weights": asdict(report) if report else None,
    }
    return record, tasks, loader


def _with_beside(spec: RunSpec, tasks: Mapping[str, Task], info: DatasetInfo) -> dict[str, Task]:
    """The tasks whose labels are loaded: the model's, and those that the objective wants beside them."""
    return {**tasks, **make_tasks(OBJECTIVES[spec.objective.name].beside(tasks), info)}


def check_same_labels(train: DatasetInfo, val: DatasetInfo, tasks: Mapping[str, Task]) -> None:
    """Raise a `SpecError` unless what is trained on and what is evaluated on name the same classes and units."""
    same = (train.inverse_depth, train.surface) == (val.inverse_depth, val.surface)
    same &= "normals" not in tasks or train.full_size == val.full_size  # labels are made for that of the latter
    if not same or ("semseg" in tasks and train.class_names != val.class_names):
        problem = f"labels of dataset {train.name!r} are not those of {val.name!r}"
        mend = "Choose options of the two that give the same classes, units and normals"
        raise SpecError(problem, field="data.val_options", mend=mend)


def _teachers(spec: RunSpec, needs: Sequence[Path], device: torch.device, machine: Machine) -> list[nn.Module]:
    """Networks of the runs that a spec needs besides those it starts from, after their last step, for evaluation."""
    first = begun_from(spec)
    if len(needs) != len(spec.needs):
        problem = f"the spec needs {len(spec.needs)} finished runs, got {len(needs)}"
        raise SpecError(problem, field="needs", mend="Finish them first, and give the directory of each")
    teachers = []
    for need, directory in list(zip(spec.needs, needs, strict=True))[first:]:
        info = open_dataset(val_source(need.data), "val", machine).info
        channels = {n: task.channels for n, task in make_tasks(need.tasks, info, need.objective.losses).items()}
        teacher = build_model(replace(need.model, weights=None), channels, need.data.size)
        checkpoint.load_model(directory / FILE, teacher)
        teachers.append(teacher.to(device).eval().requires_grad_(False))
    return teachers


def _resume(file: Path, model: nn.Module, objective: nn.Module, optimizer: Optimizer, steps: int) -> Position:
    if not file.exists():
        return Position()
    position = checkpoint.load(file, model, objective, optimizer)
    if position.step > steps:
        problem = f"a checkpoint after {position.step} steps in a run of {steps}"
        raise StoreError(problem, file=file, field="position.step", mend=checkpoint.MEND)
    return position


def _prepare(directory: Path, facts: Mapping[str, str]) -> None:
    _clear(directory)
    record_environment(directory, resumes=(directory / FILE).exists(), also=facts)


def _clear(directory: Path) -> None:
    """Remove what a killed process was writing: a torn checkpoint of a large network is gigabytes."""
    try:
        for torn in (*directory.glob(".*.tmp"), *directory.glob(".tmp*")):  # ours, and what safetensors names so
            torn.unlink()
    except OSError as error:
        raise write_failure(directory, error) from error


def _periodic(file: Path, every: int, steps: int) -> list[dict[str, Any]]:
    """The evaluations before the last one; all of them, or what is selected among them would depend on an accident."""
    found = evaluations(file, steps)
    if [e["step"] for e in found] != (list(range(every, steps, every)) if every else []):
        mend = "Delete the run's folder to train it again"
        raise StoreError("lacks evaluations that were made before this run was resumed", file=file, mend=mend)
    return found


@lru_cache(maxsize=32)
def _trivial(
    names: tuple[str, ...], data: DataSpec, judged: DataSpec, machine: Machine
) -> tuple[tuple[str, float], ...]:
    train_set, val_set = open_dataset(data, "train", machine), open_dataset(judged, "val", machine)
    figures: list[tuple[str, float]] = []
    for name, task in make_tasks(names, val_set.info).items():
        labels = (train_set[i][name] for i in range(min(len(train_set), TRIVIAL_SAMPLES)))
        targets = (task.collate(val_set[i][name])[None] for i in range(len(val_set)))
        figures += [(f"{name}.{k}", v) for k, v in trivial_figures(task, labels, targets).items()]
    return tuple(figures)
