"""Networks, objectives and optimizers built without content, so that what they refuse is told before any training."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mtlrepro.data import dataset_info
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.errors import ReproError, SpecError
from mtlrepro.models import MODELS, build_model, check_weights
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives import OBJECTIVES, attached_objective
from mtlrepro.spec import RunSpec
from mtlrepro.suite.table import Row
from mtlrepro.tasks import make_tasks

FITS_ALL = 32
"""Sides of images that are multiples of this fit every network of this package."""

PACKAGE, GUIDE = Path(__file__).resolve().parents[1], "See docs/own-method.md"


def try_rows(rows: Sequence[Row]) -> None:
    """Build what the runs of these rows, and those that they need, are of; raises for the first that is refused.

    Raises:
        ReproError: as `try_run`, naming the row.
    """
    first: dict[RunSpec, str] = {}
    for row in rows:
        for spec in (each for run in row.specs for each in (*run.needs, run)):
            first.setdefault(spec, row.name)
    for spec, name in first.items():
        try:
            try_run(spec)
        except ReproError as error:
            field = f"{name}: {error.field}" if error.field else name
            raise type(error)(error.problem, file=error.file, field=field, mend=error.mend) from error


def try_run(spec: RunSpec) -> None:
    """A run's network, objective, weighting and optimizer on the meta device, without content.

    A network that is not built in predicts there, too; of the others whether they take images of odd sizes is told by
    a prediction alone.

    Raises:
        SpecError: something is refused, or a network from outside does not do what every network does.
        MissingExtra: the backbone needs an optional dependency that is not installed.
    """
    check_weights(spec.model)
    own = spec.model.arch not in MODELS
    if not own and spec.objective.name in OBJECTIVES:
        _build(spec, predict=any(side % FITS_ALL for side in spec.data.size))
        return
    try:
        _build(spec, predict=True)
    except ReproError:
        raise
    except (Exception, SystemExit) as error:  # whatever it does wrong, its author wants one line that names it
        mend = f"Correct the class or its settings; it is tried on PyTorch's meta device, without any value. {GUIDE}"
        raise SpecError(f"{type(error).__name__}: {error}", file=_place(error), mend=mend) from error


def _build(spec: RunSpec, predict: bool) -> None:
    info = dataset_info(spec.data.name, spec.data.options)
    tasks = make_tasks(spec.tasks, info, spec.objective.losses)
    channels = {name: task.channels for name, task in tasks.items()}
    bare = replace(spec, model=replace(spec.model, weights=None))
    with torch.device("meta"):
        model: Any = build_model(bare.model, channels, spec.data.size).eval()
        if not hasattr(model, "backbone"):
            mend = f"Keep the backbone that it is given as `self.backbone`. {GUIDE}"
            raise SpecError("has no `backbone`", field=spec.model.arch, mend=mend)
        objective = attached_objective(bare, tasks, model)
        image = torch.empty(2, 3, *spec.data.size)
    build_optimizer(model, objective, spec.recipe)
    if predict:
        with torch.no_grad():
            _check(model(image), spec, channels)


def _check(outputs: Any, spec: RunSpec, channels: Mapping[str, int]) -> None:
    """Raise a `SpecError` unless these are predictions of all main tasks at the size of the image."""
    arch, size = spec.model.arch, tuple(spec.data.size)
    if not isinstance(outputs, Outputs):
        mend = f"Return a mtlrepro.models.outputs.Outputs. {GUIDE}"
        raise SpecError(f"returns a {type(outputs).__name__}", field=arch, mend=mend)
    for task in spec.model.main:
        if task not in outputs.final:
            mend = f"Predict every task that the network is given. {GUIDE}"
            raise SpecError(f"predicts no {task}, only {', '.join(outputs.final) or 'nothing'}", field=arch, mend=mend)
        shape, want = tuple(outputs.final[task].shape), (2, channels[task], *size)
        if shape != want:
            problem, mend = f"predicts {task} of shape {shape} for two images", f"Predict {want}. {GUIDE}"
            raise SpecError(problem, field=arch, mend=mend)


def _place(error: BaseException) -> str:
    """The line that an error is in: the last one that belongs neither to PyTorch nor to this package."""
    frames = traceback.extract_tb(error.__traceback__)
    known = (str(PACKAGE), str(Path(torch.__file__).parent))
    at = [f for f in frames if not f.filename.startswith(known)] or frames
    return f"{at[-1].filename}:{at[-1].lineno}"
