import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weighting_toys import NAMES, NOTHING, follow, gradients, losses_of, same_bits, state_of, tasks

from mtlrepro.errors import SpecError
from mtlrepro.objectives.weighting.dwa import DWA

SIZES = st.floats(1e-3, 1e3)
TABLES = st.lists(st.lists(SIZES, min_size=3, max_size=3), min_size=1, max_size=5).map(np.array)


@given(TABLES, st.floats(0.5, 10), st.lists(SIZES, min_size=3, max_size=3), st.permutations(range(3)))
@settings(deadline=None, max_examples=40)
def test_any_losses_follow_equation_7(table, temperature, scales, order):
    scheme = DWA(tasks(), temperature=temperature)
    found = follow(scheme, table)
    for n, weights in enumerate(found):
        rate = table[n] / table[n - 1] if n else np.ones(3)
        power = np.exp((rate - rate.max()) / temperature)
        assert list(weights.values()) == pytest.approx(3 * power / power.sum(), rel=1e-9, abs=1e-300)
        assert sum(weights.values()) == pytest.approx(3, rel=1e-12)
        assert all(weight >= 0 for weight in weights.values())
    assert gradients(scheme, dict.fromkeys(NAMES, 0.5), rest=1.0) == pytest.approx({**found[-1], "rest": 1})
    # A factor of a task, however large, changes nothing, nor does the order of the tasks.
    scaled = follow(DWA(tasks(), temperature=temperature), table * np.array(scales))
    turned = follow(DWA(tasks([NAMES[i] for i in order]), temperature=temperature), table[:, order])
    for one, two, three in zip(found, scaled, turned, strict=True):
        assert two == pytest.approx(one, rel=1e-6, abs=1e-12)
        assert three == pytest.approx(one, rel=1e-9, abs=1e-300)


def test_the_first_two_epochs_weigh_alike():
    scheme = DWA(tasks())
    assert scheme.figures() == {"weight": dict.fromkeys(NAMES, 1.0)}
    first, second = follow(scheme, [(2.0, 0.9, 0.3), (1.0, 0.9, 0.6)])
    assert first == pytest.approx(dict.fromkeys(NAMES, 1.0), rel=1e-15)
    power = [math.exp(rate / 2) for rate in (0.5, 1, 2)]
    assert list(second.values()) == pytest.approx([3 * p / sum(power) for p in power], rel=1e-12)


def test_a_tiny_temperature_gives_all_to_the_slowest():
    assert list(follow(DWA(tasks(), temperature=5e-324), [(1, 1, 1), (0.5, 0.9, 0.8)])[-1].values()) == [0, 3, 0]


@pytest.mark.parametrize("bad", [(1.0, 0.0, 1.0), (1.0, math.nan, 1.0), {"semseg": 1.0}, {}])
def test_an_epoch_without_a_usable_mean_is_as_if_it_had_not_been(bad):
    scheme, plain = DWA(tasks()), DWA(tasks())
    follow(scheme, [bad, (2.0, 1.0, 3.0), bad, (1.0, 0.9, 3.0), bad])
    follow(plain, [(2.0, 1.0, 3.0), (1.0, 0.9, 3.0)])
    assert same_bits(state_of(scheme), state_of(plain))


def test_an_absent_task_leaves_the_others_their_weights():
    scheme = DWA(tasks())
    weights = follow(scheme, [(2.0, 1.0, 3.0), (1.0, 0.9, 3.0)])[-1]
    assert gradients(scheme, {"normals": 2.0}) == pytest.approx({"normals": weights["normals"]})
    assert follow(DWA(tasks(["depth"])), [[3.0], [0.1]])[-1] == {"depth": 1.0}


def test_a_run_goes_on_in_the_middle_of_an_epoch():
    whole, resumed = DWA(tasks()), DWA(tasks())
    draw = np.random.RandomState(4)
    for step in range(15):
        if step == 8:
            resumed.load_state_dict(state_of(whole))
        values = dict(zip(NAMES, draw.rand(3) + 0.1, strict=True))
        for scheme in (whole, resumed) if step >= 8 else (whole,):
            scheme(losses_of(values)[0], NOTHING)
            if step % 3 == 2:
                scheme.end_epoch()
    assert same_bits(state_of(whole), state_of(resumed))


@pytest.mark.parametrize("temperature", [0, -1.0, math.inf, "2", None])
def test_odd_temperatures_are_named(temperature):
    with pytest.raises(SpecError, match="temperature"):
        DWA(tasks(), temperature=temperature)
