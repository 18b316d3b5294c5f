"""Options that nobody should give: one clear error each, whatever their type."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from mtlrepro.data import dataset_info
from mtlrepro.errors import SpecError
from mtlrepro.models import MODELS, build_model
from mtlrepro.objectives import OBJECTIVES, build_objective
from mtlrepro.objectives.weighting import WEIGHTINGS, build_weighting
from mtlrepro.registry import option_names
from mtlrepro.spec import ModelSpec, ObjectiveSpec, WeightingSpec
from mtlrepro.tasks import make_tasks

TASKS = make_tasks(("semseg", "depth", "normals", "edges"), dataset_info("scenes"))
ODD: tuple[Any, ...] = (None, True, -1, 0.5, math.nan, "x", "", (1,), ())
NETWORKS = {"invpt": "vit_nano", "atrc": "hrnet_nano", "mt_cp": "mask2former_nano"}
OPTIONAL = ("aware3d", "auxiliary_heads", "atrc", "coherence")


def build(kind: str, name: str, options: tuple[tuple[str, Any], ...]) -> None:
    if kind == "objective":
        build_objective(ObjectiveSpec(name, options=options), TASKS, (8, 16))
        return
    if kind == "weighting":
        build_weighting(WeightingSpec(name, options), TASKS)
        return
    channels = {task: one.channels for task, one in TASKS.items()}
    with torch.device("meta"):
        build_model(ModelSpec(name, NETWORKS[name], tuple(TASKS), options=options), channels, (64, 96))


@pytest.mark.parametrize(
    ("kind", "name", "option"),
    [
        *(("objective", n, o) for n in OPTIONAL for o in option_names(OBJECTIVES[n])),
        *(("weighting", n, o) for n in WEIGHTINGS for o in option_names(WEIGHTINGS[n])),
        *(("network", n, o) for n in NETWORKS for o in option_names(MODELS[n])),
    ],
)
def test_an_odd_value_is_taken_or_told(kind: str, name: str, option: str) -> None:
    told: list[SpecError] = []
    for value in ODD:
        try:
            build(kind, name, ((option, value),))
        except SpecError as error:
            told.append(error)
    assert len(told) >= 3, "of every type none but a few can be meant"
    assert all(error.field and error.mend for error in told)


@pytest.mark.parametrize(
    ("name", "option", "most", "wanted"),
    [
        ("lps", "history", 1000, "a whole number from 1 to 1000"),
        ("lps", "kappa", 1000, "a number from 0 to 1000"),
        ("gradnorm", "alpha", 10, "a number from 0 to 10"),
        ("gradnorm", "lr", 1, "a number above 0, at most 1"),
    ],
)
def test_what_no_training_survives_is_told(name: str, option: str, most: int, wanted: str) -> None:
    build("weighting", name, ((option, most),))
    for value in (most + 1, 100_000_000_000, 1e300):
        with pytest.raises(SpecError, match=rf"objective\.weighting\.options\.{option}: .*Use {wanted}$"):
            build("weighting", name, ((option, value),))


@pytest.mark.parametrize(
    ("kind", "name", "option"),
    [
        *(("objective", "coherence", o) for o in option_names(OBJECTIVES["coherence"])),
        *(("weighting", n, o) for n in WEIGHTINGS for o in option_names(WEIGHTINGS[n])),
    ],
)
def test_a_number_too_large_for_a_float_is_told(kind: str, name: str, option: str) -> None:
    with pytest.raises(SpecError, match=option):
        build(kind, name, ((option, 10**309),))
