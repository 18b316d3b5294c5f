"""Twins: every declared run has one at smoke and bench, on the embedded scenes, by configuration alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest
from suite_fakes import SUITES

from mtlrepro.data import DATASETS, description_file
from mtlrepro.data.streams import UNLABELLED
from mtlrepro.data.transforms.augment import AUGMENTATIONS
from mtlrepro.errors import SpecError
from mtlrepro.models import BACKBONES
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options
from mtlrepro.suite import shrink
from mtlrepro.suite.shrink import TWINS, bench, full, smoke
from mtlrepro.suite.table import discover

PAPER = RunSpec(
    DataSpec("nyuv2", (480, 640)),
    ModelSpec("padnet", "hrnet18", ("semseg",), ("semseg",), weights="tag", options=options(a=1)),
    Recipe("adam", 1e-4, 1e-4, 6, 80),
)
JTR = RunSpec(
    DataSpec(
        "nyuv2_13", (288, 384), "crop_photo", normalise="none", labels="onelabel", labels_over=("semseg", "depth"),
        extra=ExtraData("nyuv2_depth", ("depth",)),
    ),
    ModelSpec("segnet", "segnet", ("semseg", "depth")),
    Recipe("adam", 1e-4, 0.0, 4, 400, schedule="halve", evaluate_every=1, extra=4, drop_last=False),
    ObjectiveSpec("jtr", losses=options(normals="cosine"), options=options(widths=(64, 128, 256), weight=4.0)),
)  # fmt: skip
DECLARED = {
    (t.paper, t.dataset, t.id, r.panel, r.name, i): s
    for _, t in discover(SUITES)
    for r in (*t.rows, *t.references)
    if not r.counted
    for i, s in enumerate(r.specs)
}
GENERATED = [name for name in DATASETS if description_file(name) is None]


def with_needs(specs: Iterable[RunSpec]) -> set[RunSpec]:
    """Specs, those that they need, those that these need ..."""
    return {found for spec in specs for found in (spec, *with_needs(spec.needs))}


DISTINCT = sorted(with_needs(DECLARED.values()), key=RunSpec.hash)
PAIRED = {"hrnet18", "hrnet48", "resnet18_fpn", "resnet50_fpn"}
"""Backbones of one family, of which MTI-Net's tables have the same networks."""


def test_full_is_the_paper_s_run_itself() -> None:
    assert full(PAPER) is PAPER


def test_bench_keeps_model_batch_and_resolution() -> None:
    twin = bench(PAPER)
    assert (twin.data.name, twin.data.size) == ("scenes", PAPER.data.size)
    assert twin.model == dataclasses.replace(PAPER.model, weights=None)
    assert twin.recipe == dataclasses.replace(PAPER.recipe, lr=twin.recipe.lr, epochs=shrink.BENCH_EPOCHS)
    assert twin.objective == PAPER.objective


def test_smoke_shrinks_by_configuration_alone() -> None:
    twin = smoke(PAPER)
    assert (twin.data.name, twin.data.size, twin.model.backbone) == ("scenes", (64, 96), "hrnet_nano")
    assert (twin.data.augment, twin.data.train, twin.data.val) == ("flip", 192, shrink.SMOKE_VAL)
    assert twin.model.weights is None
    assert dict(twin.model.options) == {"a": 1, "width": 32}
    assert (twin.model.arch, twin.model.main, twin.model.aux) == (PAPER.model.arch, PAPER.model.main, PAPER.model.aux)
    assert twin.recipe.lr == shrink.SMOKE_LR["adam", False]
    assert (twin.recipe.optimizer, twin.recipe.schedule) == ("adam", "poly")


@pytest.mark.parametrize("twin", [smoke, bench])
def test_labels_objective_and_second_stream_are_the_paper_s(twin) -> None:
    data = twin(JTR).data
    kept = ("normalise", "labels", "labels_over", "unlabelled")
    assert [getattr(data, k) for k in kept] == [getattr(JTR.data, k) for k in kept]
    assert (data.extra.name, data.extra.tasks, data.extra.train) == ("scenes", ("depth",), data.train)
    assert data.extra.options != data.options  # other rooms than the labelled ones
    assert (twin(JTR).objective.name, twin(JTR).objective.losses) == ("jtr", JTR.objective.losses)
    recipe = twin(JTR).recipe
    assert (recipe.extra, recipe.drop_last) == (4, False)
    assert recipe.schedule == {smoke: shrink.SMOKE_SCHEDULE, bench: "halve"}[twin]
    unlabelled = dataclasses.replace(JTR.data, extra=ExtraData(UNLABELLED), unlabelled=50)
    assert twin(dataclasses.replace(JTR, data=unlabelled)).data.extra == ExtraData(UNLABELLED)


def test_networks_of_an_objective_shrink_at_smoke_alone() -> None:
    small = dict(smoke(JTR).objective.options)
    assert small == {"widths": (4, 8, 16), "weight": pytest.approx(4.0 * shrink.SMOKE_REGULARISER)}
    assert bench(JTR).objective == JTR.objective
    mtpsl = dataclasses.replace(JTR, objective=ObjectiveSpec("mtpsl", options=options(encoder="segnet")))
    assert dict(smoke(mtpsl).objective.options) == {"encoder": "segnet_nano"}


def test_a_smoke_run_has_as_many_steps_however_few_images_are_labelled() -> None:
    epochs = {}
    for share in (0, 30, 50, 70):
        spec = dataclasses.replace(JTR, data=dataclasses.replace(JTR.data, unlabelled=share))
        epochs[share] = smoke(spec).recipe.epochs
    assert epochs[0] == shrink.SMOKE_DATA["nyuv2_13"].epochs
    steps = [e * (100 - share) / 100 for share, e in epochs.items()]
    assert max(steps) - min(steps) <= 0.5 * max(1 - share / 100 for share in epochs)


@pytest.mark.parametrize("percent", [100, 50, 25])
def test_a_smoke_run_has_as_many_steps_however_few_images_are_used(percent: int) -> None:
    small = smoke(dataclasses.replace(PAPER, data=dataclasses.replace(PAPER.data, percent=percent)))
    assert small.data.percent == percent
    assert small.recipe.epochs * percent == smoke(PAPER).recipe.epochs * 100


@pytest.mark.parametrize(
    ("arch", "optimizer", "rate"),
    [("stl", "sgd", 5e-2), ("mtl", "sgd", 1e-2), ("padnet", "sgd", 2e-4), ("stl", "adam", 4e-3), ("mtl", "adam", 4e-3)],
)
def test_smoke_rates_of_baselines(arch: str, optimizer: str, rate: float) -> None:
    model, recipe = dataclasses.replace(PAPER.model, arch=arch), dataclasses.replace(PAPER.recipe, optimizer=optimizer)
    for twin in (smoke, shrink.rehearsal):
        assert twin(dataclasses.replace(PAPER, model=model, recipe=recipe)).recipe.lr == pytest.approx(rate)


def test_widths_of_a_spec_shrink_with_the_network() -> None:
    chosen = options(widths=(64, 128, 4))
    wide = dataclasses.replace(PAPER, model=dataclasses.replace(PAPER.model, arch="mti_net", options=chosen))
    assert dict(smoke(wide).model.options)["widths"] == (8, 16, 1)
    assert dict(bench(wide).model.options)["widths"] == (64, 128, 4)


def test_rehearsals_resize_what_the_paper_pads() -> None:
    """A picture of a paper's dataset is larger than a small network's input."""
    video = ExtraData("nyuv2_video", ("depth",), augment="distort")
    data = DataSpec("nyuv2_invpt", (448, 576), "scale_flip_distort", extra=video)
    small = shrink.rehearsal(dataclasses.replace(PAPER, data=data)).data
    fits = [AUGMENTATIONS[name].fit for name in (small.augment, small.extra.augment)]
    assert fits == ["resize", "resize"]
    for name, papers in ((small.augment, data.augment), (small.extra.augment, video.augment)):
        assert AUGMENTATIONS[name].steps == AUGMENTATIONS[papers].steps


@pytest.mark.parametrize(("every", "expected"), [(0, (0, 0)), (1, (2, 1)), (40, (2, 12))])
def test_twins_evaluate_on_the_way_where_the_paper_does(every: int, expected: tuple[int, int]) -> None:
    spec = dataclasses.replace(PAPER, recipe=dataclasses.replace(PAPER.recipe, evaluate_every=every))
    assert (smoke(spec).recipe.evaluate_every, bench(spec).recipe.evaluate_every) == expected


@pytest.mark.parametrize("twin", [smoke, bench])
def test_what_a_run_needs_is_shrunk_with_it(twin) -> None:
    teachers = tuple(dataclasses.replace(JTR, model=dataclasses.replace(JTR.model, main=(t,))) for t in JTR.model.main)
    assert twin(dataclasses.replace(JTR, needs=teachers)).needs == tuple(map(twin, teachers))


@pytest.mark.parametrize(
    ("spec", "field", "says"),
    [
        (dataclasses.replace(PAPER, model=dataclasses.replace(PAPER.model, backbone="vgg")), "backbone", "'vgg'"),
        (dataclasses.replace(PAPER, data=DataSpec("kitti", (64, 64))), "dataset", "'kitti'"),
        (
            dataclasses.replace(JTR, data=dataclasses.replace(JTR.data, extra=ExtraData("sunrgbd", ("depth",)))),
            *("dataset", "'sunrgbd'"),
        ),
        (
            dataclasses.replace(JTR, objective=ObjectiveSpec("mtpsl", options=options(encoder="vgg"))),
            *("encoder", "'vgg'"),
        ),
    ],
)
def test_what_has_no_twin_is_told(spec: RunSpec, field: str, says: str) -> None:
    with pytest.raises(SpecError, match=f"no twin for {field} {says}") as caught:
        smoke(spec)
    assert caught.value.field == field
    assert "shrink.py" in caught.value.mend


# --- the declared tables ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", ["smoke", "bench"])
def test_every_declared_run_has_a_twin_on_embedded_scenes(tier: str) -> None:
    assert {k[0] for k in DECLARED} >= {"mti_net", "jtr", "dense_mtl", "aware3d"}
    for spec in DISTINCT:
        twin = TWINS[tier](spec)
        assert twin.data.name in GENERATED
        assert twin.data.extra.name in ("", UNLABELLED, *GENERATED)
        assert twin.model.weights is None
        assert twin.model.backbone in BACKBONES
        assert (twin.model.main, twin.model.aux) == (spec.model.main, spec.model.aux)
        assert twin.tasks == spec.tasks
        assert len(twin.needs) == len(spec.needs)
        assert twin.model.backbone == "hrnet48" or [d % 32 for d in twin.data.size] == [0, 0]
        assert RunSpec.from_json(twin.to_json()) == twin


def test_runs_that_needed_runs_need_have_twins_too() -> None:
    """DenseMTL's pretraining: a network starts from one that starts from a third."""
    (last,) = {s for k, s in DECLARED.items() if k[:3] == ("dense_mtl", "cityscapes_sde", "5") and "mTEB" in k[4]}
    first = last.needs[0].needs[0]
    assert first in DISTINCT
    assert first not in {n for s in DECLARED.values() for n in s.needs}
    assert not first.needs


@pytest.mark.parametrize("tier", ["bench", "full"])
def test_distinct_runs_of_the_suites_stay_distinct(tier: str) -> None:
    assert len({TWINS[tier](s).hash() for s in DISTINCT}) == len(DISTINCT)


@pytest.mark.parametrize("tier", ["smoke", "rehearsal"])
def test_runs_become_one_when_small_by_backbone_batch_and_length_alone(tier: str) -> None:
    """MTI-Net's networks on HRNet-48 are then those on HRNet-18, and those on the larger pyramid on the smaller one.

    Two of its readings differ in batch and length from two others.
    """
    papers: dict[str, list[RunSpec]] = {}
    for spec in DISTINCT:
        papers.setdefault(TWINS[tier](spec).hash(), []).append(spec)
    shared = {"backbone": 0, "recipe": 0}
    for first, *others in papers.values():
        one = dataclasses.replace(first.model, backbone="", weights=None)
        for other in others:
            assert dataclasses.replace(other.model, backbone="", weights=None) == one
            recipe = dataclasses.replace(other.recipe, batch=first.recipe.batch, epochs=first.recipe.epochs)
            assert dataclasses.replace(other, model=first.model, recipe=recipe) == first
            shared["backbone"] += first.model.backbone != other.model.backbone
            shared["recipe"] += first.recipe != other.recipe
    assert {t[0].model.backbone for t in papers.values() if len(t) > 1} <= PAIRED
    assert shared == {"backbone": 4 + 7, "recipe": 2}


@pytest.mark.parametrize(
    ("dataset", "scenes", "size", "batch", "epochs"),
    [
        ("nyuv2", "scenes", (64, 96), 4, 4),
        ("nyuv2_13", "scenes", (32, 64), 4, 6),
        ("cityscapes_7", "streets", (32, 64), 4, 6),
        ("taskonomy", "scenes_taskonomy", (32, 32), 8, 12),
    ],
)
def test_a_dataset_s_smoke_twin(dataset: str, scenes: str, size: tuple[int, int], batch: int, epochs: int) -> None:
    data = dataclasses.replace(JTR.data, name=dataset, extra=ExtraData())
    twin = smoke(dataclasses.replace(JTR, data=data, recipe=dataclasses.replace(JTR.recipe, batch=16, extra=0)))
    assert (twin.data.name, twin.data.size) == (scenes, size)
    assert (twin.recipe.batch, twin.recipe.epochs) == (batch, epochs)
    assert smoke(dataclasses.replace(JTR, data=data)).recipe.batch == 4  # never more than the paper's


def test_smoke_twins_are_small() -> None:
    for spec in DISTINCT:
        twin = smoke(spec)
        assert "nano" in twin.model.backbone
        assert twin.data.size[0] * twin.data.size[1] <= 64 * 128
        assert twin.recipe.batch <= max(min(spec.recipe.batch, 8), 4)
        assert twin.objective.name == spec.objective.name
        own, small = dict(spec.objective.options), dict(twin.objective.options)
        smaller = dict(shrink.SMOKE_OBJECTIVE_OPTIONS.get(twin.objective.name, ()))
        assert small.keys() == own.keys() | smaller.keys()
        assert all(small[name] == value for name, value in smaller.items())
        assert all(s * 8 <= w for s, w in zip(small.get("widths", ()), own.get("widths", ()), strict=True))
        assert "encoder" not in small or small["encoder"].endswith("_nano")
