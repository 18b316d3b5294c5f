"""Whole runs of DenseMTL's kind: recipes in steps, a discriminator's own optimizer, weights from another run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_runs import complete, killed_after_every_step

from mtlrepro.engine.run import Machine, execute, time_steps
from mtlrepro.errors import SpecError
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options

SIZE = (32, 64)
SD = ("semseg", "depth")
GAME = DataSpec("drives", SIZE, "flip", train=4, val=2, options=options(style="game"), normalise="centred")
PHOTO = options(style="photo")
RECIPE = Recipe("adam_b98", 2e-3, 0.0, batch=2, epochs=0, schedule="drop", steps=5, encoder_lr=1e-3, clip=1.0)
MODEL = ModelSpec("dense_mtl", "resnet_nano_os16", SD, options=options(widths=(4, 8, 8, 8, 8)))
BERHU = (("depth", "inverse_berhu_64"),)
SUPERVISED = RunSpec(GAME, MODEL, RECIPE, ObjectiveSpec("multi_scale", weights=(("semseg", 50),), losses=BERHU))

ADAPTED = replace(
    SUPERVISED,
    data=replace(GAME, val_name="drives", val_options=PHOTO, extra=ExtraData("drives", train=3, options=PHOTO)),
    recipe=replace(RECIPE, optimizer="sgd", lr=1e-5, encoder_lr=None, schedule="constant", extra=2, clip=0.0),
    objective=ObjectiveSpec("adaptation", losses=BERHU, options=options(widths=(4, 4, 4, 4), scales=("stage1",))),
)

SIGMOID = {"sides": (("depth", (2, 1)),), "sigmoid": ("depth",)}
VIDEO = RunSpec(
    replace(GAME, options=options(style="photo", frames=True)),
    replace(MODEL, main=("depth",), options=options(widths=(4, 8, 8, 8, 8), **SIGMOID)),
    replace(RECIPE, steps=2, schedule="constant", encoder_lr=0.0),
    ObjectiveSpec("self_supervised", options=options(pose="resnet18_nano"), losses=(("depth", "disparity"),)),
)
STARTED = replace(
    VIDEO,
    model=replace(MODEL, main=SD, options=options(widths=(4, 8, 8, 8, 8), **SIGMOID)),
    needs=(VIDEO,),
    start=True,
)
SPECS = {"supervised": SUPERVISED, "adapted": ADAPTED, "video": VIDEO}


@pytest.mark.parametrize("name", SPECS)
def test_a_run_keeps_every_bit_when_killed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPECS[name]
    whole = complete(spec, tmp_path / "whole")
    torch.rand(3)
    resumed, seen = killed_after_every_step(spec, tmp_path / "killed", monkeypatch)
    assert [position.step for position in seen] == list(range(1, spec.recipe.steps + 1))
    assert resumed.differences(whole) == []
    assert RunSpec.from_json(spec.to_json()) == spec


def test_a_recipe_in_steps_ends_after_them_and_drops_its_rate_on_the_way(tmp_path: Path) -> None:
    whole = complete(SUPERVISED, tmp_path)
    lines = [json.loads(line) for line in whole.lines.splitlines()]
    assert [line["lr"] for line in lines if "lr" in line] == pytest.approx([2e-3] * 4 + [2e-4])
    assert whole.record["steps"] == 5  # two and a half passes over four samples
    assert {k.split(".")[0] for k in whole.metrics} == {"final", "stage1"}
    assert "final.semseg.iou/class@1.iou_road" in whole.metrics


def test_an_encoder_with_rate_zero_is_frozen(tmp_path: Path) -> None:
    """The running averages of its batch norms, too."""
    last, first = (
        complete(replace(VIDEO, recipe=replace(VIDEO.recipe, steps=steps)), tmp_path / str(steps)) for steps in (2, 1)
    )
    moved = {k for k, v in last.tensors.items() if k.startswith("model.") and not torch.equal(v, first.tensors[k])}
    assert moved
    assert not {k for k in moved if k.startswith("model.backbone.")}


def test_adaptation_is_judged_on_the_other_dataset_and_has_two_optimizers(tmp_path: Path) -> None:
    whole, alone = complete(ADAPTED, tmp_path / "a"), complete(SUPERVISED, tmp_path / "b")
    assert whole.pictures["0_image.png"] != alone.pictures["0_image.png"]
    target = replace(SUPERVISED, data=replace(GAME, options=PHOTO))
    assert whole.pictures["0_image.png"] == complete(target, tmp_path / "c").pictures["0_image.png"]
    states: dict[str, set[str]] = {}
    for key in whole.tensors:
        if key.startswith("optimizer."):
            _, number, name = key.split(".")
            states.setdefault(number, set()).add(name)
    assert {frozenset(names) for names in states.values()} == {
        frozenset({"momentum_buffer"}),
        frozenset({"step", "exp_avg", "exp_avg_sq"}),
    }
    discriminators = [k for k in whole.tensors if k.startswith("objective.")]
    assert discriminators
    terms = [json.loads(line)["terms"] for line in whole.lines.splitlines() if "terms" in line]
    assert {"adversarial/final/depth", "discriminator/stage1/semseg", "final/semseg"} <= terms[0].keys()


def test_a_run_starts_from_the_weights_of_another(tmp_path: Path) -> None:
    """Every task's decoder from that of depth, where they fit; the pose network; nothing of the segmentation's end."""
    first = complete(VIDEO, tmp_path / "first")
    frozen = replace(STARTED, recipe=replace(STARTED.recipe, steps=1, lr=1e-12))
    begun = complete(frozen, tmp_path / "second", needs=[tmp_path / "first"])
    same = {
        k
        for k, v in begun.tensors.items()
        if "running" not in k and "batches" not in k and not k.startswith("optimizer.")
        if v.shape == (old := first.tensors.get(k.replace(".semseg.", ".depth."), torch.zeros(0))).shape
        and torch.allclose(v, old, atol=1e-6)
    }
    decoders = {k.split(".")[3] for k in same if ".semseg." in k or ".depth." in k}
    assert {"model.backbone.conv1.weight"} <= same
    assert any(k.startswith("objective.pose.") for k in same)
    assert any(".semseg." in k for k in same), decoders
    new = [k for k in begun.tensors if k.startswith("model.") and ".semseg." in k and k not in same]
    assert any("side" in k for k in new), new
    with pytest.raises(SpecError, match="needs 1 finished runs, got 0"):
        execute(STARTED, 0, tmp_path / "third", Machine())


def test_labels_of_another_kind_cannot_be_judged(tmp_path: Path) -> None:
    for wrong in (options(style="photo", classes=8), options(style="photo", normals="metric")):
        spec = replace(ADAPTED, data=replace(ADAPTED.data, val_options=wrong))
        with pytest.raises(SpecError, match=r"data\.val_options: labels of dataset 'drives' are not those of"):
            execute(spec, 0, tmp_path, Machine())


@pytest.mark.parametrize("spec", [SUPERVISED, ADAPTED, VIDEO], ids=SPECS)
def test_steps_are_timed(spec: RunSpec) -> None:
    assert time_steps(spec, Machine(), 1)["step_ms"] > 0


def test_normals_alone_are_made_of_depth_that_is_loaded_beside_them(tmp_path: Path) -> None:
    losses: Any = (("normals", "cosine"),)
    spec = replace(
        SUPERVISED,
        model=replace(MODEL, main=("normals",)),
        objective=ObjectiveSpec("multi_scale", losses=losses),
        recipe=replace(RECIPE, steps=1),
    )
    assert 0 < complete(spec, tmp_path).metrics["final.normals.normals/pooled@1.mean"] < 180
