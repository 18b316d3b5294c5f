"""How costs grow with the number of tasks: fits of known laws, and counts against what the objectives compute."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.models import build_model
from mtlrepro.objectives import build_objective
from mtlrepro.profiling import growth as module
from mtlrepro.profiling.blank import blank_batch
from mtlrepro.profiling.growth import LABELS, METHODS, Setting, curvature, exponent, growth, labelled_for, tasks_of
from mtlrepro.spec import ModelSpec

SIZE = (32, 32)
SETTING = Setting(SIZE, 1, "segnet_nano", "cpu", 1)
COUNTS = (2, 3, 4)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    torch.set_num_threads(1)
    return growth(SETTING, COUNTS)


def added(found: dict[str, Any], labels: str, method: str, figure: str = "gmacs") -> list[float]:
    return found["added"][labels][method][figure]["values"]


# --- fits -------------------------------------------------------------------------------------------------------------


@given(st.floats(0.01, 100), st.floats(-1, 3))
def test_the_exponent_of_a_power_law(factor: float, power: float) -> None:
    counts = range(2, 8)
    assert exponent(counts, [factor * k**power for k in counts]) == pytest.approx(power, abs=1e-9)


@pytest.mark.parametrize("amounts", [[0.0, 1.0, 2.0], [1.0, -1.0, 2.0]])
def test_amounts_that_are_not_above_0_have_no_exponent(amounts: list[float]) -> None:
    assert math.isnan(exponent(COUNTS, amounts))


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.1, 5))
def test_a_square_law_is_found_and_a_line_misses_some_of_it(a: float, b: float, c: float) -> None:
    counts = range(2, 8)
    fit = curvature(counts, [a + b * k + c * k * k for k in counts])
    assert [fit[name] for name in "abc"] == pytest.approx([a, b, c], abs=1e-8)
    assert 0 <= fit["line_misses"] <= 1


def test_what_a_line_misses_is_the_variance_it_leaves() -> None:
    assert curvature([2, 3, 4, 5], [5.0, 7.0, 9.0, 11.0])["line_misses"] < 1e-12
    # the line through 0, 1, 4 is at -1/3, 5/3, 11/3: it leaves 6/9 of a variation of 78/9
    assert curvature([0, 1, 2], [0.0, 1.0, 4.0])["line_misses"] == pytest.approx(6 / 78)
    assert curvature([-1, 0, 1], [1.0, 0.0, 1.0])["line_misses"] == pytest.approx(1)


# --- what is measured -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(2, 8))
def test_samples_are_labelled_as_the_setting_says(k: int) -> None:
    pairs = {"onelabel": k - 1, "halflabels": (k // 2) * (k - k // 2)}
    tasks = tasks_of(k)
    features = (8, 16, 32, 32, 32)
    objective: Any = build_objective(METHODS["MTPSL"], tasks, features)
    for labels, count in LABELS.items():
        batch = blank_batch(tasks, labelled_for(tasks, count(k), 3), SIZE, 2)
        assert batch.image.shape == (3, 3, *SIZE)
        assert [sum(bool(batch.labelled[t][i]) for t in tasks) for i in range(3)] == [count(k)] * 3
        assert len(batch.others) == 1
        assert len(objective.pairs(tasks, batch)) == 3 * pairs[labels]


def flops(call: Any, *inputs: Any) -> float:
    """Multiply-accumulates, in thousand millions."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        call(*inputs)
    return counter.get_total_flops() / 2 / 1e9


def parts(k: int) -> tuple[dict[str, float], float, float, float]:
    """GMACs of a mapping of each task, of the model, and of the auto-encoder's encoder and whole, for one sample."""
    tasks = tasks_of(k)
    channels = {name: task.channels for name, task in tasks.items()}
    model: Any = build_model(ModelSpec("segnet", "segnet_nano", tuple(tasks)), channels)
    mtpsl: Any = build_objective(METHODS["MTPSL"], tasks, model.backbone.channels)
    jtr: Any = build_objective(METHODS["JTR"], tasks, model.backbone.channels)
    maps = {t: flops(mtpsl.mapping, torch.zeros(1, c, *SIZE), t, [0]) for t, c in channels.items()}
    stack = torch.zeros(1, sum(channels.values()), *SIZE)
    whole = flops(model, torch.zeros(1, 3, *SIZE))
    return maps, whole, flops(jtr.autoencoder.latent, stack), flops(jtr.autoencoder, stack)


def test_supervised_training_sees_one_view(found: dict[str, Any]) -> None:
    for labels in LABELS:
        costs = [cost["gmacs"] for cost in found["costs"][labels]["supervised"]]
        assert costs == pytest.approx([parts(k)[1] for k in COUNTS], rel=1e-12)


def test_mtpsl_adds_a_view_and_two_maps_a_pair(found: dict[str, Any]) -> None:
    for labels, count in LABELS.items():
        for k, amount in zip(COUNTS, added(found, labels, "MTPSL"), strict=True):
            maps, view, _, _ = parts(k)
            names = list(maps)
            known, hidden = names[: count(k)], names[count(k) :]
            pairs = [(s, t) for s in hidden for t in known]
            assert len(pairs) == {"onelabel": k - 1, "halflabels": count(k) * (k - count(k))}[labels]
            assert amount == pytest.approx(view + sum(maps[s] + maps[t] for s, t in pairs), rel=1e-9)
    one, half = (added(found, labels, "MTPSL") for labels in LABELS)
    assert one[:2] == half[:2]  # half of two and of three tasks is one
    assert half[2] > one[2]


def test_jtr_adds_two_views_and_an_auto_encoder_whatever_is_labelled(found: dict[str, Any]) -> None:
    one, half = (added(found, labels, "JTR") for labels in LABELS)
    assert one == half
    assert min(one) > 0
    for k, amount in zip(COUNTS, one, strict=True):
        _, view, encoder, whole = parts(k)
        assert amount == pytest.approx(2 * view + 2 * encoder + 2 * whole, rel=1e-9)
    assert found["added"]["onelabel"]["JTR"]["gmacs"]["line_misses"] < 0.05


def test_figures_come_with_their_fits(found: dict[str, Any]) -> None:
    assert found["counts"] == list(COUNTS)
    assert found["costs"].keys() == found["added"].keys() == LABELS.keys()
    for labels in LABELS:
        costs = found["costs"][labels]
        assert costs.keys() == METHODS.keys()
        assert all(cost["step_ms"] > 0 for of in costs.values() for cost in of)
        for method, figures in found["added"][labels].items():
            for figure, fit in figures.items():
                plain = [s[figure] for s in costs["supervised"]]
                assert fit["values"] == [m[figure] - p for m, p in zip(costs[method], plain, strict=True)]
                assert np.array_equal(fit["exponent"], exponent(COUNTS, fit["values"]), equal_nan=True)
                assert {k: fit[k] for k in ("a", "b", "c", "line_misses")} == curvature(COUNTS, fit["values"])


def test_the_median_step_is_of_the_timed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is read once in each of two warm-up steps; then steps last 5, 9 and 6 s."""
    readings = iter([0.0, 70.0, 100.0, 105.0, 200.0, 209.0, 300.0, 306.0])
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(readings)))
    cost = module.measure("supervised", 2, "onelabel", Setting(SIZE, 1, "segnet_nano", "cpu", 3))
    assert cost["step_ms"] == pytest.approx(6e3)
    assert list(readings) == []


# --- the picture ------------------------------------------------------------------------------------------------------


def test_the_picture_has_a_line_a_method_and_setting(found: dict[str, Any]) -> None:
    drawn = module.picture(found, SETTING)
    assert drawn.startswith(b"<?xml")
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    text = drawn.decode()
    for labels in LABELS:
        for method in ("MTPSL", "JTR"):
            power = found["added"][labels][method]["gmacs"]["exponent"]
            assert f"{method}, {labels}: K^{power:.2f}" in text
    assert "segnet_nano, 32×32, batch 1" in text
    assert "<dc:date>" not in text  # the same figures are the same picture
