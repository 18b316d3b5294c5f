"""Trainings in float64 without chance, which processes that share batches must follow as one process does."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from test_run_weighting import BOTH, CASES, DENSE, GAME, MTI_NET, PARTIAL, ROOMS, run
from torch import Tensor, nn

from mtlrepro import collective
from mtlrepro.data import build_dataset
from mtlrepro.data.loader import open_loader
from mtlrepro.data.sample import Batch, View, scaled
from mtlrepro.data.streams import source
from mtlrepro.engine import ranks
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.engine.train import take_step
from mtlrepro.models import build_model
from mtlrepro.objectives import attached_objective, self_supervised
from mtlrepro.spec import DataSpec, Recipe, RunSpec, WeightingSpec, options
from mtlrepro.tasks import make_tasks

FOUR = (*BOTH, "normals", "edges")
FIVE = ("semseg", "parts", "saliency", "normals", "edges")
PEOPLE = DataSpec("scenes_pascal", (32, 32), "flip", train=8, val=2)
RARE = replace(PARTIAL, train=8, unlabelled=25)
CLIPPED = Recipe("adam", 1e-3, 1e-4, batch=4, epochs=1, clip=1.0)
STEPS = 4


def _weighed(name: str, spec: RunSpec) -> RunSpec:
    return replace(spec, objective=replace(spec.objective, weighting=WeightingSpec(name)))


def _of_batch_4(spec: RunSpec) -> RunSpec:
    extra = 4 if spec.recipe.extra else 0
    data = replace(spec.data, train=8, unlabelled=25 if spec.data.labels != "full" else 0)
    return replace(spec, data=data, recipe=replace(spec.recipe, batch=4, extra=extra))


FEW_LABELS = run(RARE, MTI_NET, "supervised")
TRAININGS: dict[str, RunSpec] = {
    **{name: _of_batch_4(spec) for name, spec in CASES.items()},
    "supervised": run(replace(ROOMS, train=8), replace(MTI_NET, main=FOUR, aux=FOUR), "supervised", CLIPPED),
    "people": run(PEOPLE, replace(MTI_NET, main=FIVE, aux=FIVE), "partial"),
    "maps of people": run(
        replace(PEOPLE, labels="onelabel", labels_over=("parts", "saliency")),
        replace(CASES["partial"].model, main=("parts", "saliency")),
        "direct_map",
        options=options(widths=(4, 4, 6, 6, 8)),
    ),
    "few labels": FEW_LABELS,
    "features": _of_batch_4(
        replace(
            CASES["self_supervised"],
            objective=replace(
                CASES["self_supervised"].objective, options=options(pose="resnet18_nano", feature_weight=0.1)
            ),
        )
    ),
    "inverse depth": run(
        replace(GAME, train=8), DENSE, "multi_scale", losses=(("depth", "inverse_berhu_64"),), weights=(("semseg", 9),)
    ),
    **{name: _weighed(name, FEW_LABELS) for name in ("lps", "dwa", "log", "uncertainty", "gradnorm")},
}


@dataclass
class Followed:
    """What a training left: logged losses and gradients of every step, and everything that a checkpoint has."""

    losses: list[dict[str, float]]
    gradients: list[dict[str, Tensor | None]]
    state: dict[str, Tensor]


@contextlib.contextmanager
def without_chance() -> Iterator[None]:
    """Random numbers in steps are constants, for those of a batch cannot be those of its parts."""
    half = partial(torch.full, fill_value=0.5)
    fakes = {
        "rand": lambda *size, **kw: half(tuple(size[0]) if size and not isinstance(size[0], int) else size, **kw),
        "rand_like": lambda like, **kw: torch.full_like(like, 0.5, **kw),
        "randn": lambda *size, **kw: torch.zeros(*size, **kw),
    }
    with patch.multiple(torch, **fakes), patch.object(self_supervised, "scaled", lambda eight: scaled(eight).double()):
        yield


def double(batch: Batch) -> Batch:
    """A batch in float64."""

    def wide(value: Tensor) -> Tensor:
        return value.double() if value.is_floating_point() else value

    return replace(
        batch,
        image=wide(batch.image),
        targets={k: wide(v) for k, v in batch.targets.items()},
        geometry={k: wide(v) for k, v in batch.geometry.items()},
        beside={k: wide(v) for k, v in batch.beside.items()},
        others=tuple(View(wide(v.image), {k: wide(t) for k, t in v.targets.items()}, v.windows) for v in batch.others),
    )


def followed(name: str, shared: bool = True) -> Followed:
    """Some steps of a training; in a team, this process's part of them."""
    spec = TRAININGS[name]
    torch.manual_seed(0)
    data = source(spec.data)
    info = build_dataset(data, "train").info
    tasks = make_tasks(spec.tasks, info, spec.objective.losses)
    channels = {task: made.channels for task, made in tasks.items()}
    model: Any = build_model(spec.model, channels, spec.data.size)
    objective = attached_objective(spec, tasks, model)
    if spec.objective.name == "must" or dict(spec.objective.options).get("feature_weight"):
        objective.adopt([build_model(spec.model, channels).double().eval().requires_grad_(False)])
    for module in (*model.double().modules(), *objective.double().modules()):
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    recipe = replace(spec.recipe, ranks=collective.ranks(), sync_bn=shared)
    ranks.share_statistics(recipe, model, objective)
    optimizer = build_optimizer(model, objective, recipe)
    loader = open_loader(spec, tasks, lambda one: build_dataset(one, "train"), seed=0, views=objective.views)
    found = Followed([], [], {})
    model.train()
    objective.train()
    networks = {"model": model, "objective": objective}
    parameters = {n: p for prefix, one in networks.items() for n, p in one.named_parameters(prefix=prefix)}
    for step, batch in enumerate(itertools.islice(loader.batches(), STEPS)):
        with without_chance():
            losses = take_step(model, objective, optimizer, double(batch), 0.5, recipe.clip)
        if (step + 1) % loader.steps_per_epoch == 0:
            objective.weighting.end_epoch()
        terms = {term: float(value) for term, value in losses.terms.items()}
        found.losses.append({"total": float(losses.total.detach()), **terms})
        found.gradients.append({n: None if p.grad is None else p.grad.clone() for n, p in parameters.items()})
    found.state = {**model.state_dict(prefix="model."), **objective.state_dict(prefix="objective.")}
    return found
