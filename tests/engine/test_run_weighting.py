"""Loss weightings under every objective, and whole runs with them: killed, resumed, logged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_runs import complete, killed_after_every_step, spec_over
from torch import Tensor

from mtlrepro.data import build_dataset
from mtlrepro.data.loader import open_loader
from mtlrepro.data.streams import source
from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.objectives import OBJECTIVES, attached_objective
from mtlrepro.objectives.weighting import WEIGHTINGS
from mtlrepro.objectives.weighting.base import weighted
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Recipe, RunSpec, WeightingSpec, options
from mtlrepro.tasks import make_tasks

BOTH = ("semseg", "depth")
ROOMS = DataSpec("scenes", (32, 32), "flip", train=4, val=2, options=options(classes=13))
PARTIAL = replace(ROOMS, augment="flip_crop_photo", labels="onelabel", labels_over=BOTH)
GAME = DataSpec("drives", (32, 64), "flip", train=4, val=2, options=options(style="game"), normalise="centred")
PHOTO = options(style="photo")
RECIPE = Recipe("adam", 1e-3, 0.0, batch=4, epochs=1)
SEGNET = ModelSpec("segnet", "segnet_nano", BOTH)
MTI_NET = ModelSpec("mti_net", "hrnet_nano", BOTH, BOTH)
INVPT = ModelSpec("invpt", "vit_nano", BOTH, options=options(width=16, prediction_width=8))
DENSE = ModelSpec("dense_mtl", "resnet_nano_os16", BOTH, options=options(widths=(4, 8, 8, 8, 8)))
SMALL = options(channels=4, hidden=8, field_hidden=4, samples=4)
SIGMOID = options(widths=(4, 8, 8, 8, 8), sides=(("depth", (2, 1)),), sigmoid=("depth",))


def run(data: DataSpec, model: ModelSpec, name: str, recipe: Recipe = RECIPE, **settings: Any) -> RunSpec:
    return RunSpec(data, model, recipe, ObjectiveSpec(name, **settings))


CASES = {
    "supervised": run(ROOMS, MTI_NET, "supervised", weights=(("depth", 3),)),
    "partial": run(PARTIAL, SEGNET, "partial"),
    "consistency": run(PARTIAL, SEGNET, "consistency"),
    "direct_map": run(PARTIAL, SEGNET, "direct_map", options=options(widths=(4, 4, 6, 6, 8))),
    "perceptual_map": run(PARTIAL, SEGNET, "perceptual_map", options=options(widths=(4, 4, 6, 6, 8))),
    "mtpsl": run(PARTIAL, SEGNET, "mtpsl", options=options(encoder="segnet_nano", ramp=0.5)),
    "jtr": run(PARTIAL, SEGNET, "jtr", options=options(widths=(4, 4, 6, 6, 8))),
    "must": run(PARTIAL, SEGNET, "must"),
    "multi_scale": run(GAME, DENSE, "multi_scale", weights=(("semseg", 50),)),
    "adaptation": run(
        replace(GAME, val_name="drives", val_options=PHOTO, extra=ExtraData("drives", train=4, options=PHOTO)),
        DENSE,
        "adaptation",
        replace(RECIPE, batch=2, extra=2),
        options=options(widths=(4, 4, 4, 4), scales=("stage1",)),
        losses=(("depth", "inverse_berhu_64"),),
    ),
    "self_supervised": run(
        replace(GAME, options=options(style="photo", frames=True)),
        replace(DENSE, options=SIGMOID),
        "self_supervised",
        options=options(pose="resnet18_nano"),
        losses=(("depth", "disparity"),),
    ),
    "atrc": run(ROOMS, ModelSpec("atrc", "hrnet_nano", (*BOTH, "normals", "edges")), "atrc"),
    "auxiliary_heads": run(ROOMS, INVPT, "auxiliary_heads"),
    "aware3d": run(ROOMS, INVPT, "aware3d", options=SMALL),
    "coherence": run(ROOMS, ModelSpec("mt_cp", "mask2former_nano", BOTH), "coherence", options=options(cosine=0.01)),
}
STAGED = set(CASES) - {"partial", "multi_scale", "self_supervised"}
"""Whose total has more than the tasks' own losses."""


def opened(spec: RunSpec) -> tuple[Any, Any, Any]:
    """Network, objective and first batch of a spec."""
    torch.manual_seed(0)
    data = source(spec.data)
    tasks = make_tasks(spec.tasks, build_dataset(data, "train").info, spec.objective.losses)
    channels = {name: task.channels for name, task in tasks.items()}
    model: Any = build_model(spec.model, channels, spec.data.size)
    objective = attached_objective(spec, tasks, model)
    if spec.objective.name == "must":
        objective.adopt([build_model(spec.model, channels).eval().requires_grad_(False)])
    loader = open_loader(spec, tasks, lambda one: build_dataset(one, "train"), seed=0, views=objective.views)
    return model.train(), objective.train(), loader.batch_at(0)


def test_every_objective_is_tried() -> None:
    assert set(CASES) == set(OBJECTIVES)


@pytest.mark.parametrize("name", CASES)
def test_the_total_is_that_of_the_tasks_and_the_rest(name: str) -> None:
    spec = CASES[name]
    spec = replace(spec, objective=replace(spec.objective, weighting=WeightingSpec("lps")))
    model, objective, batch = opened(spec)
    losses = objective(model, batch, 0.75)
    assert set(losses.tasks) == set(spec.model.main)
    assert (losses.rest is not None) == (name in STAGED)
    ones = weighted(losses, dict.fromkeys(losses.tasks, 1.0))
    assert float(ones.detach()) == pytest.approx(float(losses.total.detach()), rel=1e-5)
    parameter = next(p for p in model.backbone.parameters() if p.ndim > 1)
    gradients = [torch.autograd.grad(one, parameter, retain_graph=True)[0] for one in (ones, losses.total)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5 * float(gradients[1].abs().max()))
    total = objective.weighting(losses, model)  # the first epoch of LPS: log 2 times the tasks' losses
    tasks = sum(float(loss.detach()) for loss in losses.tasks.values())
    gained = (0.6931471805599453 - 1) * tasks
    assert float(total.detach()) == pytest.approx(float(losses.total.detach()) + gained, rel=1e-4, abs=1e-5)


def test_a_batch_without_any_label_has_nothing_to_weigh() -> None:
    model, objective, batch = opened(CASES["partial"])
    none = replace(batch, labelled={task: torch.zeros(4, dtype=torch.bool) for task in BOTH})
    losses = objective(model, none, 0.0)
    assert not losses.tasks
    assert not losses.total.requires_grad
    assert weighted(losses, {}) is losses.total


SCHEMES = [name for name in WEIGHTINGS if name != "fixed"]
CHANGING = [name for name in SCHEMES if name not in ("equal", "log")]


@pytest.mark.parametrize("name", SCHEMES)
def test_a_run_with_a_weighting_keeps_every_bit_when_killed(
    name: str, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = spec_over(tiny_dataset, epochs=3)
    spec = replace(usual, objective=ObjectiveSpec(weighting=WeightingSpec(name)))
    whole = complete(spec, tmp_path / "whole")
    resumed, seen = killed_after_every_step(spec, tmp_path / "killed", monkeypatch)
    assert [position.step for position in seen] == [1, 2, 3, 4, 5, 6]
    assert resumed.differences(whole) == []
    lines = [line for text in whole.lines.splitlines() if "weighting" in (line := json.loads(text))]
    assert [(line["step"], line["epoch"]) for line in lines] == ([(2, 1), (4, 2), (6, 3)] if name in CHANGING else [])
    for line in lines:
        assert set(line["weighting"]["weight"]) == set(BOTH)
        assert all(value > 0 for value in line["weighting"]["weight"].values())
    owned = {key: value for key, value in whole.tensors.items() if key.startswith("objective.weighting.")}
    assert bool(owned) == (name in CHANGING)
    assert any(value.numel() for value in owned.values()) == (name in CHANGING)


def weights_of(folder: Path, spec: RunSpec) -> dict[str, Tensor]:
    return {k: v for k, v in complete(spec, folder).tensors.items() if k.startswith("model.")}


def test_every_weighting_trains_another_network(tiny_dataset: Path, tmp_path: Path) -> None:
    usual = spec_over(tiny_dataset, epochs=3)
    found: dict[str, dict[str, Tensor]] = {}
    for name in WEIGHTINGS:
        spec = replace(usual, objective=ObjectiveSpec(weighting=WeightingSpec(name)))
        found[name] = weights_of(tmp_path / name, spec)
    fixed = found.pop("fixed")
    for name, tensors in found.items():
        assert tensors.keys() == fixed.keys()
        assert any(not torch.equal(value, fixed[key]) for key, value in tensors.items()), name


def test_a_task_without_weight_cannot_be_weighed() -> None:
    spec = run(ROOMS, MTI_NET, "supervised", weights=(("depth", 0),), weighting=WeightingSpec("lps"))
    with pytest.raises(SpecError, match=r"without weight.*Leave the task out") as told:
        opened(spec)
    assert told.value.field == "objective.weights.depth"
    opened(replace(spec, objective=replace(spec.objective, weighting=WeightingSpec())))
