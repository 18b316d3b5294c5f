"""Whole runs of cross-stitch networks: started from single-task runs, killed, resumed; needs that do not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_runs import Outcome, complete, killed_after_every_step
from torch import nn

from mtlrepro.engine import checkpoint
from mtlrepro.engine.begin import FILE, begin, begun_from
from mtlrepro.engine.optim import build_optimizer
from mtlrepro.engine.run import Machine, execute, time_steps
from mtlrepro.errors import SpecError, StoreError
from mtlrepro.models import build_model
from mtlrepro.objectives.supervised import Supervised
from mtlrepro.spec import DataSpec, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options

BOTH = ("semseg", "depth")
CHANNELS = {"semseg": 13, "depth": 1, "normals": 3}
WIDTH = options(width=8)
DATA = DataSpec("scenes", (32, 32), "flip", train=8, val=2, options=options(classes=13))
MODEL = ModelSpec("cross_stitch", "resnet_nano", BOTH, options=WIDTH)
RECIPE = Recipe("sgd", 1e-3, 1e-4, batch=4, epochs=2)
SINGLES = tuple(RunSpec(DATA, replace(MODEL, arch="deeplab_single", main=(task,)), RECIPE) for task in BOTH)
STITCHED = RunSpec(DATA, MODEL, RECIPE, needs=SINGLES, start=True)


@pytest.fixture(scope="module")
def singles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Directories of the finished single-task runs."""
    torch.set_num_threads(1)
    folders = [tmp_path_factory.mktemp(task) for task in BOTH]
    for spec, folder in zip(SINGLES, folders, strict=True):
        complete(spec, folder)
    return folders


def weights(outcome: Outcome) -> dict[str, torch.Tensor]:
    return {k.removeprefix("model."): v for k, v in outcome.tensors.items() if k.startswith("model.")}


def test_a_run_keeps_every_bit_when_killed(
    singles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [(folder / FILE).read_bytes() for folder in singles]
    whole = complete(STITCHED, tmp_path / "whole", needs=singles)
    torch.rand(3)
    resumed, seen = killed_after_every_step(STITCHED, tmp_path / "killed", monkeypatch, singles)
    assert [position.step for position in seen] == [1, 2, 3, 4]
    assert resumed.differences(whole) == []
    assert [(folder / FILE).read_bytes() for folder in singles] == before
    assert not any(k.startswith("objective.") for k in whole.tensors)
    assert RunSpec.from_json(STITCHED.to_json()) == STITCHED
    assert replace(STITCHED, start=False).hash() != STITCHED.hash()


def test_every_tensor_of_a_task_is_that_of_its_own_run(singles: list[Path]) -> None:
    """In whatever order they are named."""
    model = build_model(MODEL, CHANNELS)
    begin(replace(STITCHED, needs=SINGLES[::-1]), singles[::-1], model, nn.Module())
    found = model.state_dict()
    taken: set[str] = set()
    for task, folder in zip(BOTH, singles, strict=True):
        for name, value in checkpoint.read(folder / FILE)[0].items():
            part, _, own = name.partition(".")
            if part == "model":
                ours = own.replace("backbone.", f"backbone.encoders.{task}.")
                assert torch.equal(found[ours], value), ours
                taken.add(ours)
    units = {f"backbone.units.layer{stage}.scales" for stage in range(1, 5)}
    assert found.keys() - taken == units
    for name in units:
        torch.testing.assert_close(found[name][0, 0], torch.full_like(found[name][0, 0], 0.9))


def test_what_it_starts_from_counts_and_is_no_teacher(singles: list[Path], tmp_path: Path) -> None:
    started = complete(STITCHED, tmp_path / "started", needs=singles)
    fresh = complete(replace(STITCHED, needs=(), start=False), tmp_path / "fresh")
    assert "metrics" in started.differences(fresh)
    assert started.lines != fresh.lines
    with pytest.raises(SpecError, match="needs: Supervised needs no other runs, got 2"):
        execute(replace(STITCHED, start=False), 0, tmp_path, Machine(), needs=singles)


def test_further_runs_are_teachers(singles: list[Path], tmp_path: Path) -> None:
    labels = replace(DATA, labels="onelabel", labels_over=BOTH)
    spec = replace(STITCHED, data=labels, objective=ObjectiveSpec("must"), needs=SINGLES * 2)
    assert begun_from(spec) == 2
    whole = complete(spec, tmp_path, needs=singles * 2)
    terms = [json.loads(line)["terms"] for line in whole.lines.splitlines() if "terms" in line]
    assert any(name.startswith("pseudo/") for one in terms for name in one)


def test_steps_are_timed() -> None:
    assert time_steps(STITCHED, Machine(), 1)["step_ms"] > 0


@pytest.mark.parametrize(
    ("needs", "field", "says"),
    [
        ((), "start", "a run that starts from no other one"),
        (SINGLES[:1], "needs", r"no run of depth to start from.*'deeplab_single' of each of semseg, depth"),
        (SINGLES[:1] * 2, "needs[1].model.main", "a second run of semseg"),
        ((SINGLES[0], "main", BOTH), "needs[1].model.main", "a run of semseg and depth where one task"),
        ((SINGLES[0], "main", ("normals",)), "needs[1].model.main", "a run of normals where one task"),
        ((SINGLES[0], "arch", "stl"), "needs[1].model.arch", "is 'stl', and .* made of 'deeplab_single'"),
        ((SINGLES[0], "arch", "deeplab"), "needs[1].model.arch", "is 'deeplab'"),
        ((SINGLES[0], "backbone", "resnet50_os8"), "needs[1].model.backbone", "made of 'resnet_nano'"),
        ((SINGLES[0], "options", ()), "needs[1].model.options", "width is 256, and 8 in the network"),
        (
            (SINGLES[0], "options", options(width=8, aligned=True)),
            "needs[1].model.options",
            "aligned is True, and False",
        ),
    ],
    ids=["none", "missing", "twice", "two tasks", "another task", "stl", "deeplab", "backbone", "width", "corners"],
)
def test_runs_that_it_cannot_start_from(needs: Sequence[Any], field: str, says: str, tmp_path: Path) -> None:
    if len(needs) == 3:
        first, name, value = needs
        needs = (first, replace(SINGLES[1], model=replace(SINGLES[1].model, **{name: value})))
    spec = replace(STITCHED, needs=tuple(needs))
    with pytest.raises(SpecError, match=says) as caught:
        execute(spec, 0, tmp_path, Machine(), needs=[tmp_path] * len(needs))
    assert caught.value.field == field
    assert caught.value.mend
    assert not (tmp_path / FILE).exists()


def test_options_at_their_defaults_need_not_be_named(singles: list[Path]) -> None:
    named = replace(MODEL, options=options(width=8, aligned=False, alpha=0.8, unit_lr_factor=100.0))
    assert begun_from(replace(STITCHED, model=named)) == 2


def test_checkpoints_that_are_not_there_or_do_not_fit(singles: list[Path], tmp_path: Path) -> None:
    model, objective = build_model(MODEL, CHANNELS), nn.Module()
    with pytest.raises(StoreError, match="no checkpoint of a run that another one needs") as gone:
        begin(STITCHED, [singles[0], tmp_path], model, objective)
    assert gone.value.file == tmp_path / FILE
    with pytest.raises(StoreError, match=r"does not fit|missing tensor|unexpected tensor") as other:
        begin(STITCHED, singles[::-1], model, objective)
    assert other.value.file == singles[1] / FILE


def test_units_have_a_group_of_their_own() -> None:
    def rates(encoder_lr: float | None, factor: float) -> tuple[nn.Module, dict[int, float]]:
        chosen = options(width=8, unit_lr_factor=factor)
        model = build_model(replace(MODEL, options=chosen), CHANNELS)
        optimizer = build_optimizer(model, Supervised({}, {}), replace(RECIPE, encoder_lr=encoder_lr))
        groups = optimizer.param_groups
        assert len({id(p) for g in groups for p in g["params"]}) == sum(len(g["params"]) for g in groups)
        return model, {id(p): g["lr_factor"] for g in groups for p in g["params"]}

    for encoder_lr, encoder in ((None, 1.0), (2e-3, 2.0)):
        for factor in (1.0, 100.0):
            model, found = rates(encoder_lr, factor)
            for name, parameter in model.named_parameters():
                expected = factor if ".units." in name else encoder if name.startswith("backbone.") else 1.0
                assert found[id(parameter)] == pytest.approx(expected), name
    model, _ = rates(0.0, 1.0)
    assert {p.requires_grad for n, p in model.named_parameters() if n.startswith("backbone.")} == {False}


def test_the_units_rate_makes_a_difference(tmp_path: Path) -> None:
    def moved(factor: float) -> float:
        model = replace(MODEL, options=options(width=8, unit_lr_factor=factor))
        still = RunSpec(DATA, model, replace(RECIPE, epochs=1))
        found = weights(complete(still, tmp_path / str(factor)))["backbone.units.layer1.scales"]
        return float((found[0, 0] - 0.9).abs().max())

    assert moved(0.0) == pytest.approx(0.0, abs=1e-6)
    assert 0 < 5 * moved(1.0) < moved(100.0)
