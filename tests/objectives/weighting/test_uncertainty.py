import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from weighting_toys import NAMES, NOTHING, gradients, losses_of, tasks

from mtlrepro.objectives.weighting.uncertainty import Uncertainty

SIZES = st.floats(1e-3, 1e3)


def with_logs(values, names=NAMES):
    scheme = Uncertainty(tasks(names)).double()
    for name, value in zip(names, values, strict=True):
        scheme.log_variances[name].data.fill_(value)
    return scheme


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.lists(SIZES, min_size=3, max_size=3))
@settings(deadline=None, max_examples=30)
def test_the_terms_of_equation_10(logs, values):
    """L / σ² + log σ, and L / (2 σ²) + log σ of a σ² half as large, but for a constant."""
    scheme, losses = with_logs(logs), dict(zip(NAMES, values, strict=True))
    total = scheme(losses_of(losses, rest=5.0)[0], NOTHING)
    sigma = [math.exp(s / 2) for s in logs]
    classification = sum(v / x**2 + math.log(x) for v, x in zip(values, sigma, strict=True))
    halves = [x / math.sqrt(2) for x in sigma]
    regression = sum(v / (2 * x**2) + math.log(x) for v, x in zip(values, halves, strict=True))
    assert total.item() == pytest.approx(5 + classification, rel=1e-9, abs=1e-9)
    assert total.item() == pytest.approx(5 + regression + 1.5 * math.log(2), rel=1e-9, abs=1e-9)
    weights = scheme.figures()["weight"]
    assert weights == pytest.approx({t: 1 / x**2 for t, x in zip(NAMES, sigma, strict=True)}, rel=1e-9)
    assert gradients(scheme, losses, rest=5.0) == pytest.approx({**weights, "rest": 1}, rel=1e-9)
    slopes = torch.autograd.grad(total, [scheme.log_variances[t] for t in NAMES])
    for slope, value, x in zip(slopes, values, sigma, strict=True):
        assert slope.item() == pytest.approx(0.5 - value / x**2, rel=1e-9, abs=1e-12)


@given(st.lists(SIZES, min_size=3, max_size=3))
@settings(deadline=None, max_examples=15)
def test_the_best_weight_is_one_over_twice_the_loss(values):
    scheme = with_logs([math.log(2 * v) for v in values])
    total = scheme(losses_of(dict(zip(NAMES, values, strict=True)))[0], NOTHING)
    slopes = torch.autograd.grad(total, [scheme.log_variances[t] for t in NAMES])
    assert [s.item() for s in slopes] == pytest.approx([0, 0, 0], abs=1e-9)


def test_every_task_starts_with_a_weight_of_1():
    assert Uncertainty(tasks()).figures() == {"weight": dict.fromkeys(NAMES, 1.0)}


def test_an_absent_task_and_an_empty_batch_have_neither_term():
    scheme = with_logs((0.3, -0.2, 0.7))
    total = scheme(losses_of({"semseg": 2.0, "depth": 0.0})[0], NOTHING)
    assert total.item() == pytest.approx(2 * math.exp(-0.3) + 0.15, rel=1e-6)
    total.backward()
    assert scheme.log_variances["normals"].grad is None
    assert scheme.log_variances["depth"].grad == 0
    assert scheme.log_variances["semseg"].grad != 0


def test_the_order_of_tasks_does_not_matter():
    values = dict(zip(NAMES, (2.0, 0.5, 0.1), strict=True))
    one, other = with_logs((0.1, 0.2, 0.3)), with_logs((0.3, 0.2, 0.1), NAMES[::-1])
    totals = [scheme(losses_of(values)[0], NOTHING).item() for scheme in (one, other)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-12)


def test_the_parameters_have_an_adam_of_their_own_at_the_rate_of_the_recipe():
    scheme = Uncertainty(tasks())
    (group,) = scheme.groups()
    assert {id(p) for p in group.parameters} == {id(p) for p in scheme.parameters()}
    assert (group.optimizer, group.lr, group.lr_factor, group.schedule) == ("adam", None, 1.0, None)
    assert scheme(losses_of({"depth": 1.0}, dtype=torch.float32)[0], NOTHING).dtype == torch.float32
