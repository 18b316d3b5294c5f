"""Parameters and multiply-accumulates of whole trainings, against the published networks' exact figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mtlrepro.data import dataset_info
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.profiling.blank import blank_batch
from mtlrepro.profiling.cost import TrainingCost, model_cost, training_cost
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options
from mtlrepro.suite.shrink import smoke
from mtlrepro.tasks import make_tasks

TASKS = {
    "nyuv2_13": ("semseg", "depth", "normals"),
    "cityscapes_7": ("semseg", "depth"),
    "taskonomy": ("semseg", "depth", "normals", "occlusion", "reshading", "keypoints", "texture"),
}
SIZES = {"nyuv2_13": (288, 384), "cityscapes_7": (128, 256), "taskonomy": (256, 256)}

# Parameters of model and objective; GMACs of convolutions, an image. The published totals count batch norms too, and
# up to 52 parameters of the auto-encoder that nothing uses.
FIGURES = [
    ("nyuv2_13", "onelabel", "partial", 25_055_185, 68.599),
    ("nyuv2_13", "onelabel", "consistency", 25_055_185, 2 * 68.599),
    ("nyuv2_13", "onelabel", "mtpsl", 39_874_513, 289.5),
    ("nyuv2_13", "randomlabels", "jtr", 50_044_612 - 34, 3 * 68.599 + 2 * 34.717 + 2 * 61.337),
    ("cityscapes_7", "onelabel", "partial", 25_017_672, 19.099),
    ("cityscapes_7", "onelabel", "mtpsl", 39_797_832, 2 * 19.099 + 11.31 + 11.19),
    ("cityscapes_7", "onelabel", "jtr", 50_001_312 - 16, 3 * 19.099 + 2 * 10.117 + 2 * 17.985),
    ("taskonomy", "onelabel", "mtpsl", 40_332_890, 370.5),
    ("taskonomy", "halflabels", "mtpsl", 40_332_890, 640.5),
    ("taskonomy", "halflabels", "jtr", 50_198_696 - 52, 3 * 50.353 + 2 * 20.913 + 2 * 36.725),
]


def spec_of(dataset: str, labels: str, objective: str) -> RunSpec:
    tasks = TASKS[dataset]
    return RunSpec(
        DataSpec(dataset, SIZES[dataset], labels=labels, labels_over=tasks),
        ModelSpec("segnet", "segnet", tasks),
        Recipe("adam", 1e-4, 0.0, batch=4, epochs=1),
        ObjectiveSpec(objective),
    )


@pytest.mark.parametrize(("dataset", "labels", "objective", "params", "gmacs"), FIGURES)
def test_published_networks_cost_what_they_should(
    dataset: str, labels: str, objective: str, params: int, gmacs: float
) -> None:
    spec = spec_of(dataset, labels, objective)
    cost = training_cost(spec, make_tasks(spec.tasks, dataset_info(dataset)))
    assert cost.params == params
    assert cost.macs / 1e9 == pytest.approx(gmacs, abs=0.06)


def test_supervised_training_costs_the_network_alone() -> None:
    spec = spec_of("cityscapes_7", "onelabel", "partial")
    tasks = make_tasks(spec.tasks, dataset_info("cityscapes_7"))
    model = model_cost(spec.model, {name: task.channels for name, task in tasks.items()}, spec.data.size)
    trained = training_cost(spec, tasks)
    assert (trained.params, trained.macs) == (model.params, model.macs)


# The 3D-aware regularizer: half of a batch are frames with depth and a second camera.

ROOMS = ("semseg", "depth", "normals", "edges")
MERGED = RunSpec(
    DataSpec("nyuv2_invpt", (448, 576), "scale_flip_distort", extra=ExtraData("nyuv2_video", ("depth",))),
    ModelSpec("invpt", "vit_l16", ROOMS),
    Recipe("adam", 2e-5, 1e-6, batch=3, epochs=0, steps=40_000, extra=3),
    ObjectiveSpec("aware3d", losses=(("normals", "l1_sum"),)),
)


def cost_of(spec: RunSpec, **chosen: object) -> TrainingCost:
    """Of the twin of a smoke run."""
    twin = smoke(replace(spec, objective=replace(spec.objective, options=options(**chosen))))
    return training_cost(twin, make_tasks(twin.tasks, dataset_info(twin.data.name), twin.objective.losses))


def test_a_second_view_is_counted() -> None:
    """A few more products with matrices, and no parameter: a field of density and one of depth are rendered again."""
    one, two = cost_of(MERGED), cost_of(MERGED, cross_view="raw")
    assert two.params == one.params
    assert one.macs < two.macs < 1.01 * one.macs


def test_a_blank_second_stream_has_still_cameras() -> None:
    tasks = make_tasks(("depth",), DatasetInfo("toy", ("depth",)))
    batch = blank_batch(tasks, {"depth": torch.ones(5, dtype=torch.bool)}, (32, 48), 1, extra=2)
    assert batch.extra == 2
    shapes = {name: tuple(value.shape) for name, value in batch.beside.items()}
    assert shapes == {
        "intrinsics": (2, 3, 3),
        "frames": (2, 1, 3, 32, 48),
        "frame_depth": (2, 1, 32, 48),
        "motion": (2, 1, 4, 4),
    }
    assert torch.equal(batch.beside["motion"], torch.eye(4).expand(2, 1, 4, 4))
    assert not batch.beside["frame_depth"].any()
    assert not blank_batch(tasks, {"depth": torch.ones(5, dtype=torch.bool)}, (32, 48), 1).beside
