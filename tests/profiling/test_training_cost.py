"""Parameters and multiply-accumulates of whole trainings, against the published networks' exact figures."""

from __future__ import annotations

import pytest

from mtlrepro.data import dataset_info
from mtlrepro.profiling.cost import model_cost, training_cost
from mtlrepro.spec import DataSpec, ModelSpec, ObjectiveSpec, Recipe, RunSpec
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
