"""Whole runs on the files of PASCAL-Context: MTI-Net with all five tasks, and parts alone on images with people."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtlrepro.data import build_dataset
from mtlrepro.data.disk.synthesize import synthesize
from mtlrepro.engine.run import Machine, execute
from mtlrepro.spec import DataSpec, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options

COMPLETE = ("semseg", "parts", "saliency", "normals", "edges")
WEIGHTS = (("parts", 2.0), ("saliency", 5.0), ("normals", 10.0), ("edges", 50.0))
PRINTED = {
    "semseg": ("miou/dataset@1.miou", 0.0, 1.0),
    "parts": ("parts/dataset@1.miou", 0.0, 1.0),
    "saliency": ("saliency/jaccard@1.miou", 0.0, 1.0),
    "edges": ("odsf/png@1.odsf", 0.0, 1.0),
    "normals": ("normals/pooled@1.mean", 0.0, 180.0),
}
"""Task -> the figure that table 2b prints, and what it lies between."""

MTI = RunSpec(
    DataSpec("pascal_context", (64, 64), "flip_rotate"),
    ModelSpec("mti_net", "hrnet_nano", COMPLETE, COMPLETE),
    Recipe("adam", 1e-3, 1e-4, batch=2, epochs=1),
    ObjectiveSpec("supervised", weights=WEIGHTS),
)
PARTS = replace(
    MTI,
    data=replace(MTI.data, options=options(with_people=True)),
    model=ModelSpec("stl", "hrnet_nano", ("parts",)),
    recipe=replace(MTI.recipe, optimizer="sgd", lr=1e-2),
    objective=ObjectiveSpec(),
)
SAMPLES = {"train": 6, "val": 6}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Where a small copy of the release lies, of upright and of lying pictures."""
    root = tmp_path_factory.mktemp("copies")
    synthesize("pascal_context", root, SAMPLES, (60, 80))
    return Machine(data_root=root)


def ran(spec: RunSpec, machine: Machine, folder: Path) -> dict[str, Any]:
    return execute(spec, 0, folder, machine)


def test_all_figures_of_the_table_come_out(machine: Machine, tmp_path: Path) -> None:
    metrics = ran(MTI, machine, tmp_path)["metrics"]
    for task, (name, low, high) in PRINTED.items():
        assert low <= metrics[f"final.{task}.{name}"] <= high, task
    # Only shares among classes that some picture must show may be undefined.
    undefined = {key.split(".")[2] for key, value in metrics.items() if math.isnan(value)}
    assert undefined <= {"miou/strict@1", "iou/class@1"}
    judged = {key.split(".")[0] for key in metrics if key.endswith("parts/dataset@1.miou")}
    assert judged >= {"final", *(f"scale_{i}" for i in range(4))}


def test_parts_alone_are_learnt_and_judged_on_images_with_people(machine: Machine, tmp_path: Path) -> None:
    shown, everything = (
        {split: build_dataset(spec.data, split, machine.data_root) for split in SAMPLES} for spec in (PARTS, MTI)
    )
    for split, dataset in shown.items():
        assert 2 <= len(dataset) < len(everything[split])
    metrics = ran(PARTS, machine, tmp_path)["metrics"]
    assert 0 <= metrics["final.parts.parts/dataset@1.miou"] <= 1


def test_images_without_people_change_no_figure_of_parts(machine: Machine, tmp_path: Path) -> None:
    """A network judged on all images has the figure that it has on those with people."""
    people = ran(PARTS, machine, tmp_path / "people")["metrics"]
    judged = replace(PARTS.data, val_name="pascal_context")
    everybody = ran(replace(PARTS, data=judged), machine, tmp_path / "all")["metrics"]
    assert everybody["final.parts.parts/dataset@1.miou"] == people["final.parts.parts/dataset@1.miou"]
