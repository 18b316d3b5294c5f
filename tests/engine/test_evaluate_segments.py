"""Evaluation by what samples carry for one protocol alone: segments, whose contour boundaries are judged by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mtlrepro.data import build_dataset
from mtlrepro.data.disk.synthesize import synthesize
from mtlrepro.data.loader import eval_samples
from mtlrepro.data.sample import Dataset, Sample
from mtlrepro.engine.evaluate import evaluate, figures
from mtlrepro.metrics.boundary.truth import READINGS
from mtlrepro.metrics.odsf import BoundaryNMS, BoundaryPNG
from mtlrepro.models.outputs import Outputs
from mtlrepro.spec import DataSpec
from mtlrepro.tasks import make_tasks

SIZE = (60, 90)
CPU = torch.device("cpu")
BOUNDARIES = ("odsf/png@1", "odsf/nms@1")


class Given(nn.Module):
    """Predicts given probabilities of edges, one image after the other."""

    def __init__(self, maps: list[Tensor]):
        super().__init__()
        self.maps = torch.stack(maps)[:, None].double()

    def forward(self, image: Tensor) -> Outputs:
        wanted = self.maps[[min(i, len(self.maps) - 1) for i in range(len(image))]]
        return Outputs({"edges": wanted.logit(eps=1e-9)})


@pytest.fixture(scope="module")
def pascal(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder: Path = tmp_path_factory.mktemp("evaluated")
    synthesize("pascal_context", folder, {"train": 1, "val": 1}, SIZE)
    return build_dataset(DataSpec("pascal_context", SIZE), "val", folder)


def judged(dataset: Dataset, maps: list[Tensor], leave_out: str = "") -> dict[str, float]:
    pairs = [
        (image, {name: label for name, label in sample.items() if name != leave_out})
        for image, sample in eval_samples(dataset, SIZE)
    ]
    found = figures(evaluate(Given(maps), make_tasks(["edges"], dataset.info), pairs, device=CPU))
    return {name.removeprefix("final.edges."): value for name, value in found.items()}


def boundary(sample: Sample) -> Tensor:
    return torch.from_numpy(READINGS["contour"](sample["segments"].numpy()))


def test_boundary_figures_are_judged_by_segments(pascal: Dataset) -> None:
    sample = pascal[0]
    maps = [torch.maximum(0.9 * boundary(sample), 0.4 * sample["edges"])]
    found = judged(pascal, maps)
    for make in (BoundaryPNG, BoundaryNMS):
        metric = make(pascal.info.edge_tolerance)
        metric.update(maps[0][None, None], sample["segments"][None, None])
        assert {name: found[f"{make.protocol}.{name}"] for name in metric.better} == metric.compute()


def test_other_figures_are_judged_by_the_label(pascal: Dataset) -> None:
    maps = [pascal[0]["edges"].double()]
    with_segments, without = judged(pascal, maps), judged(pascal, maps, leave_out="segments")
    changed = {name for name in without if with_segments[name] != without[name]}
    assert changed
    assert all(name.startswith(BOUNDARIES) for name in changed)
    assert with_segments["edges/pixels@1.f"] == 1.0


def test_without_segments_the_label_is_the_truth(pascal: Dataset) -> None:
    sample = pascal[0]
    maps = [boundary(sample) * 0.9]
    found = judged(pascal, maps, leave_out="segments")
    metric = BoundaryPNG(pascal.info.edge_tolerance)
    metric.update(maps[0][None, None], sample["edges"][None, None])
    assert found["odsf/png@1.odsf"] == metric.compute()["odsf"]
