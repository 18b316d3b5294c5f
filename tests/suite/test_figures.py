"""Every panel of every declared table has figures that can be asked for, whether its tasks exist here or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtlrepro.suite.figures import better, figures_of
from mtlrepro.suite.table import discover, select

SUITES = Path(__file__).resolve().parents[2] / "suites"
PANELS = {b.key: b.expected for b in select(list(discover(SUITES)), [])}


@pytest.mark.parametrize("key", sorted(PANELS))
def test_figures_of_a_panel_are_known(key: str) -> None:
    figures = figures_of(PANELS[key])
    assert {better(metric) for metric in figures} <= {"higher", "lower"}
    assert all(figures.values())


def test_what_no_task_defines_is_left_out() -> None:
    sequences = figures_of(PANELS["dense_mtl/cityscapes_sde/5"])
    assert "semseg.miou" in sequences
    assert "semseg.iou_road" in PANELS["dense_mtl/cityscapes_sde/5"].protocols
    assert not any(metric.startswith("semseg.iou_") for metric in sequences)


def test_one_figure_of_saliency_by_the_protocol_of_each_paper() -> None:
    assert figures_of(PANELS["mti_net/pascal_context/2b"])["saliency.miou"] == "saliency/jaccard@1"
    assert figures_of(PANELS["mt_cp/pascal_context/2"])["saliency.maxf"] == "saliency/f1-image@1"
    assert figures_of(PANELS["aware3d/pascal_context/2/ViT-L"])["saliency.maxf"].startswith("saliency/f03")
