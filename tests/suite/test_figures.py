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
    pascal = figures_of(PANELS["mti_net/pascal_context/2b"])
    assert "semseg.miou" in pascal
    assert not any(metric.startswith(("parts.", "saliency.")) for metric in pascal)
