"""Evaluation: every view of a run, every protocol of its tasks, in one pass over the samples."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from mtlrepro import collective
from mtlrepro.data.sample import Sample, normaliser
from mtlrepro.data.transforms.fit import FITS
from mtlrepro.data.workers import ahead
from mtlrepro.engine.precision import PRECISIONS, Precision
from mtlrepro.errors import DataError
from mtlrepro.files import write_failure
from mtlrepro.metrics.base import HostMetric, Metric
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives.base import Objective
from mtlrepro.tasks.base import Task, full_precision

FINAL = "final"
"""The view of a network's final predictions; the others are its stages, and what the objective predicts."""

Meters = dict[str, dict[str, list[Metric]]]
"""View ("final", a stage's name, or an objective's) -> task -> accumulators."""

Views = dict[str, dict[str, Tensor]]
"""View -> task -> predictions (B, ..., H, W) at network size."""

Group = list[tuple[int, tuple[Tensor, Sample]]]
"""(position in the split, (image, sample)) of samples that go through the network together."""

Job = Callable[[], Any]


@dataclass(frozen=True)
class Gallery:
    """Where and for which samples predictions are kept as pictures (PNG, see `write_pictures`)."""

    folder: Path
    indices: tuple[int, ...] = (0, 1, 2)


FORWARD = 8
"""Images that go through the network together. Kernels chosen for another number of images round differently, so
groups are always full: the last one is filled up with copies, and no figure depends on how a split is divided."""


def share(samples: int) -> list[int]:
    """Positions of the samples that this process judges: whole groups, dealt in turn to those that evaluate together.

    Example:
        >>> share(3)
        [0, 1, 2]
    """
    rank, ranks = collective.rank(), collective.ranks()
    return [position for position in range(samples) if position // FORWARD % ranks == rank]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    tasks: Mapping[str, Task],
    samples: Iterable[tuple[Tensor, Sample]],
    *,
    device: torch.device,
    normalise: str = "imagenet",
    fit: str = "resize",
    gallery: Gallery | None = None,
    costly: bool = True,
    objective: Objective | None = None,
    precision: Precision = PRECISIONS["paper"],
    workers: int = 0,
    positions: Iterable[int] | None = None,
) -> Meters:
    """Accumulate the metrics of all views over (network-size image, native sample) pairs.

    Predictions follow the protocol of MTI-Net's evaluation: intermediate predictions are upsampled bilinearly to
    the network's input size, decoded there, then resized to the label's own size (class ids nearest, by the fit's
    rule, everything else bilinear). Where images were padded, the part that shows the picture is cut out instead.

    Args:
        model: evaluated in evaluation mode; the training mode of each of its modules is restored.
        tasks: tasks to evaluate; those a view does not predict are left out of that view, and so are stages that
            predict something else of a task (another number of channels), such as classes of depth.
        samples: ((3, H, W) image at network size, sample with native labels) pairs.
        device: where the model lives.
        normalise: what the network's input is, a key of `mtlrepro.data.sample.NORMALISE`.
        fit: how images got the network's size, a key of `mtlrepro.data.transforms.fit.FITS`.
        gallery: keep pictures of some samples.
        costly: compute the metrics that take long too.
        objective: whose own predictions are views, too (`Objective.predictions`), with every metric; it is run, and
            its modes restored, as the model.
        precision: what both compute in; what is judged is float32.
        workers: processes that do the work of metrics that take long on the host (`HostMetric`), while the device goes
            on; their results are added in order, so that no figure depends on it. 0 does it here.
        positions: places of the samples in their split, ascending; None if these are all.

    Returns:
        Accumulators, so that parts of a split can be merged; `figures` turns them into numbers.

    Raises:
        DataError: a label does not fit its task, naming the sample; or images differ in size.
        StoreError: a picture cannot be written.
    """
    networks = [model] if objective is None else [model, objective]
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    meters: Meters = {}
    shows = FITS[fit].prediction
    places = itertools.count() if positions is None else positions

    def judge() -> Generator[tuple[HostMetric, Job], None, None]:
        """Judge everything but what takes long on the host, which is left to do."""
        groups = _groups(zip(places, samples, strict=False))
        for position, image, sample, predictions, stages in _predictions(
            model, objective, tasks, groups, device, normalise, precision
        ):
            targets = {name: _target(task, sample, position) for name, task in tasks.items()}
            show = gallery is not None and position in gallery.indices
            for view, by_task in predictions.items():
                for name, decoded in by_task.items():
                    target = targets[name][None].to(device)
                    native = resize_prediction(shows(decoded, target.shape[-2:]), target.shape[-2:])
                    for metric in _accumulators(meters, view, tasks[name], costly, view in stages):
                        judged_by = _judged_by(metric, sample, target)
                        if isinstance(metric, HostMetric):
                            yield from ((metric, job) for job in metric.jobs(native, judged_by))
                        else:
                            metric.update(native, judged_by)
                    if gallery and show:
                        _write(gallery.folder / f"{position}_{view}_{name}.png", tasks[name].picture(native[0].cpu()))
            if gallery and show:
                _write(gallery.folder / f"{position}_image.png", _eight_bits(image).permute(1, 2, 0).cpu().numpy())
                for name, task in tasks.items():
                    _write(gallery.folder / f"{position}_target_{name}.png", task.picture(targets[name].cpu()))

    long = costly and any(isinstance(metric, HostMetric) for task in tasks.values() for metric in task.metrics())
    try:
        with closing(judge()) as jobs:
            for metric, counted in _done(jobs, workers if long else 0):
                metric.add(counted)
    finally:
        for module, mode in modes:
            module.training = mode
    return meters


def figures(meters: Meters) -> dict[str, float]:
    """Flat figures: "<view>.<task>.<protocol>.<figure>" -> value in the metric's own unit."""
    return {
        record_key(view, f"{task}.{figure}", metric.protocol): value
        for view, by_task in meters.items()
        for task, accumulators in by_task.items()
        for metric in accumulators
        for figure, value in metric.compute().items()
    }


def record_key(view: str, metric: str, protocol: str) -> str:
    """Where a run's record holds a figure.

    Example:
        >>> record_key("final", "semseg.miou", "miou/dataset@1")
        'final.semseg.miou/dataset@1.miou'
    """
    task, figure = metric.split(".")
    return f"{view}.{task}.{protocol}.{figure}"


def whole(meters: Meters) -> Meters:
    """The accumulators of all processes that evaluate a split together, merged in their order, in each of them."""
    if collective.ranks() == 1:
        return meters
    for by_task in meters.values():
        for metric in itertools.chain.from_iterable(by_task.values()):
            metric.state = {name: value.cpu() for name, value in metric.state.items()}
    first, *others = collective.gathered(meters)
    for other in others:
        merge(first, other)
    return first


def merge(first: Meters, second: Meters) -> Meters:
    """Add the second part's sums to the first's and return the first; a part may have seen no sample."""
    for view, by_task in second.items():
        for task, accumulators in by_task.items():
            mine = first.setdefault(view, {}).setdefault(task, accumulators)
            for metric, other in zip(mine, accumulators, strict=True):
                if metric is not other:
                    metric.merge(other)
    return first


def resize_prediction(decoded: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Decoded predictions (B, ..., H, W) at the label's size: ids nearest, all else bilinear (half-pixel centres)."""
    if decoded.shape[-2:] == torch.Size(size):
        return decoded
    if decoded.is_floating_point():
        return F.interpolate(decoded, size=tuple(size), mode="bilinear", align_corners=False)
    return F.interpolate(decoded[:, None].float(), size=tuple(size), mode="nearest-exact")[:, 0].to(decoded.dtype)


def _predictions(
    model: nn.Module,
    objective: Objective | None,
    tasks: Mapping[str, Task],
    groups: Iterable[Group],
    device: torch.device,
    normalise: str,
    precision: Precision,
) -> Iterator[tuple[int, Tensor, Sample, Views, Container[str]]]:
    """(position, image, sample, views of batch size 1, which of the views are stages) of every sample."""
    prepare = normaliser(normalise)
    for group in groups:
        images = [image for _, (image, _) in group]
        shapes = {tuple(image.shape[-2:]) for image in images}
        if len(shapes) > 1:
            problem = f"images of {' and '.join(f'{h}×{w}' for h, w in sorted(shapes))}"
            mend = "Use an augmentation whose evaluation resizes or pads images"
            raise DataError(problem, file=f"evaluation samples from {group[0][0]}", field="image", mend=mend)
        images += images[-1:] * (FORWARD - len(group))
        batch = prepare(torch.stack(images)).to(device)
        size = batch.shape[-2], batch.shape[-1]
        with precision.casting(device):
            outputs = model(batch)
            own = objective.predictions(outputs, size) if objective else {}
        stages = _stages(outputs, tasks, size)
        raw = {FINAL: outputs.final, **stages, **own}
        views = {v: {t: tasks[t].decode(p) for t, p in by_task.items() if t in tasks} for v, by_task in raw.items()}
        for i, (position, (image, sample)) in enumerate(group):
            single = {v: {t: d[i : i + 1] for t, d in by_task.items()} for v, by_task in views.items()}
            yield position, image, sample, single, stages


def _done(jobs: Iterable[tuple[HostMetric, Job]], workers: int) -> Iterator[tuple[HostMetric, Any]]:
    """(metric, what its job found) in the order of the jobs, which are taken a group ahead where workers do them."""
    if not workers:
        yield from ((metric, job()) for metric, job in jobs)
        return
    waiting: deque[HostMetric] = deque()

    def alone() -> Iterator[Job]:
        for metric, job in jobs:
            waiting.append(metric)
            yield job

    with closing(ahead(_do, alone(), workers, FORWARD)) as results:
        for found in results:
            yield waiting.popleft(), found


def _do(job: Job) -> Any:
    return job()


def _stages(outputs: Outputs, tasks: Mapping[str, Task], size: tuple[int, int]) -> Views:
    return {
        stage: {
            t: F.interpolate(full_precision(p), size=size, mode="bilinear", align_corners=False)
            for t, p in predictions.items()
            if t in tasks and p.shape[1] == tasks[t].channels
        }
        for stage, predictions in outputs.stages.items()
    }


def _groups(samples: Iterable[tuple[int, tuple[Tensor, Sample]]]) -> Iterator[Group]:
    stream = iter(samples)
    while group := list(itertools.islice(stream, FORWARD)):
        yield group


def _accumulators(meters: Meters, view: str, task: Task, costly: bool, stage: bool) -> list[Metric]:
    by_task = meters.setdefault(view, {})
    if task.name not in by_task:
        metrics = [m for m in task.metrics() if costly or not m.costly]
        by_task[task.name] = metrics[:1] if stage else metrics  # stages are compared by the main metric alone
    return by_task[task.name]


def _target(task: Task, sample: Sample, position: int) -> Tensor:
    where = f"evaluation sample {position}"
    if task.name not in sample:
        raise DataError("no label", file=where, field=task.name, mend="Label it, or leave the task out")
    try:
        return task.collate(sample[task.name])
    except DataError as error:
        raise DataError(error.problem, file=error.file or where, field=error.field, mend=error.mend) from error


def _judged_by(metric: Metric, sample: Sample, target: Tensor) -> Tensor:
    """The task's target (1, ..., H, W), or what the sample carries for this protocol alone."""
    own = sample.get(metric.own_label)
    return target if own is None else own[None, None].to(target.device)


def _eight_bits(image: Tensor) -> Tensor:
    return image if image.dtype == torch.uint8 else (image * 255).round().byte()


def _write(path: Path, picture: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    except OSError as error:
        raise write_failure(path, error) from error
