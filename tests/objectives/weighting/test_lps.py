import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from weighting_toys import NAMES, NOTHING, follow, gradients, losses_of, same_bits, state_of, tasks

from mtlrepro.errors import SpecError
from mtlrepro.objectives.weighting.lps import LPS, PROJECTIONS

EXAMPLE = np.array(
    [[2.0, 0.9, 0.3], [1.5, 0.72, 0.27], [1.2, 0.66, 0.22], [1.02, 0.62, 0.2], [0.9, 0.6, 0.19], [0.81, 0.59, 0.18]]
)
"""Epoch-mean losses of semseg, depth and normals in six epochs."""

INVERSE_SHARE = (1.6, 3.555556, 10.666667)

RATIOS = (
    INVERSE_SHARE,
    (0.963855, 1.028112, 1.156627),
    (0.923077, 1.128205, 1.128205),
    (0.886957, 1.198068, 1.159420),
    (0.884024, 1.227811, 1.036818),
    (0.888608, 1.176832, 1.077100),
)

PRIORITIES = (
    INVERSE_SHARE,
    (0.835341, 0.995984, 1.317269),
    (0.717949, 1.230769, 1.230769),
    (0.595169, 1.372947, 1.276329),
    (0.635733, 1.495201, 1.017719),
    (0.650249, 1.370809, 1.121481),
)

FACTORS = (
    (0.955511, 1.516347, 2.456736),
    (0.607230, 0.691137, 0.840389),
    (0.541131, 0.802346, 0.802346),
    (0.466980, 0.864133, 0.822564),
    (0.492091, 0.914369, 0.701967),
    (0.500926, 0.863231, 0.752114),
)

ONE_EPOCH = {
    7.5: (
        (0.406961, 0.888889, 1.852744),
        (0.616662, 1.664138, 0.749675),
        (0.597189, 1.355094, 1.098177),
        (0.599660, 1.296919, 1.152044),
        (0.659756, 1.328268, 1.039752),
    ),
    2.5: (
        (0.835341, 0.995984, 1.317269),
        (0.878993, 1.228152, 0.923331),
        (0.876943, 1.129578, 1.043939),
        (0.877359, 1.109778, 1.061487),
        (0.892758, 1.115595, 1.019423),
    ),
    1: (
        (0.963855, 1.028112, 1.156627),
        (0.957692, 1.097356, 0.975427),
        (0.960870, 1.061924, 1.027668),
        (0.960668, 1.053636, 1.034320),
        (0.962658, 1.051793, 1.013324),
    ),
}
"""κ -> weights with a history of one epoch, from the second epoch on."""

PROJECTED = (
    (0.932160, 0.964281, 1.159174),
    (0.886857, 1.127909, 1.021692),
    (0.815144, 1.223760, 1.016224),
    (0.797141, 1.345570, 0.887237),
    (0.771592, 1.268001, 1.015523),
)
"""Weights with the history of log(1 + L + 1e-6), from the second epoch on."""

TOTALS = {
    "weights": (2.218071, 3.188356, 1.369713, 1.209878, 1.095048, 1.064426),
    "none": (3.20, 7.84, 1.949558, 1.741538, 1.601923, 1.580301),
}
"""What is minimised in every epoch of the example."""


def near(values):
    return pytest.approx(dict(zip(NAMES, values, strict=True)), abs=6e-7)


def test_the_worked_example():
    scheme = LPS(tasks())
    assert scheme.figures()["weight"] == pytest.approx(dict.fromkeys(NAMES, math.log(2)))
    for epoch, ratio, priority, factor in zip(EXAMPLE, RATIOS, PRIORITIES, FACTORS, strict=True):
        follow(scheme, [epoch])
        figures = scheme.figures()
        assert figures["ratio"] == near(ratio)
        assert figures["priority"] == near(priority)
        assert figures["weight"] == near(factor)
    assert figures["clamped"] == dict.fromkeys(NAMES, 0)
    assert set(figures) == {"weight", "priority", "ratio", "clamped"}


@pytest.mark.parametrize("log", TOTALS)
def test_what_is_minimised_in_the_worked_example(log):
    scheme = LPS(tasks(), log=log)
    for epoch, want in zip(EXAMPLE, TOTALS[log], strict=True):
        losses, _ = losses_of(dict(zip(NAMES, epoch, strict=True)))
        assert scheme(losses, NOTHING).item() == pytest.approx(want, abs=6e-7)
        scheme.end_epoch()


def test_projected_losses_with_the_weights_of_the_worked_example():
    """Without the 1e-6 beside the 1, which adds 1e-6 Σ w / (1 + L)."""
    scheme = LPS(tasks(), log="losses")
    want = (2.002830, 5.943843, 1.425353, 1.322939, 1.249323, 1.239020)
    for epoch, weights, total in zip(EXAMPLE, ((1.0, 1.0, 1.0), *PRIORITIES), want, strict=False):
        scheme.priority.copy_(torch.tensor(weights))
        found = scheme(losses_of(dict(zip(NAMES, epoch, strict=True)))[0], NOTHING).item()
        assert found - 1e-6 * (np.array(weights) / (1 + epoch)).sum() == pytest.approx(total, abs=2e-6)


@pytest.mark.parametrize("kappa", ONE_EPOCH)
def test_a_history_of_one_epoch(kappa):
    found = follow(LPS(tasks(), history=1, kappa=kappa, log="none"), EXAMPLE)
    for weights, want in zip(found, (INVERSE_SHARE, *ONE_EPOCH[kappa]), strict=True):
        assert weights == near(want)


def test_what_would_fall_below_0_is_0_and_counted():
    scheme = LPS(tasks(), kappa=7.5, log="none")
    found = follow(scheme, EXAMPLE)
    assert found[2] == near((0.034188, 1.572650, 1.572650))
    others = ((1.955878, 1.666023), (2.386500, 0.954054), (2.017402, 1.269416))
    for weights, want in zip(found[3:], others, strict=True):
        assert weights == near((0.0, *want))
    assert scheme.figures()["clamped"] == {"semseg": 3, "depth": 0, "normals": 0}


def test_projected_losses_have_a_history_of_their_own():
    found = follow(LPS(tasks(), log="losses"), EXAMPLE)
    u = np.log(1 + EXAMPLE[0] + 1e-6)
    assert found[0] == near(u.sum() / u)
    for weights, want in zip(found[1:], PROJECTED, strict=True):
        assert weights == near(want)


# what the formulas promise of any losses

SIZES = st.floats(1e-3, 1e3)


def tables(names=3, least=2):
    row = st.lists(SIZES, min_size=names, max_size=names)
    return st.lists(row, min_size=least, max_size=6).map(np.array)


OPTIONS = st.tuples(st.integers(1, 4), st.floats(0, 8))


@given(tables(), OPTIONS)
@settings(deadline=None, max_examples=40)
def test_any_losses_follow_equations_4_to_6(table, options):
    history, kappa = options
    scheme = LPS(tasks(), history=history, kappa=kappa, log="none")
    follow(scheme, table)
    n = len(table) - 1
    change = np.ones(3)
    for k in range(1, min(history, n) + 1):
        change *= (table[n - k + 1] / table[n - k]) / (table[n - k + 1].sum() / table[n - k].sum())
    mean = sum(change) / 3
    found = scheme.figures()
    assert list(found["ratio"].values()) == pytest.approx(change, rel=1e-9)
    spread = mean + kappa * (change - mean)
    assert list(found["priority"].values()) == pytest.approx(np.maximum(spread, 0), rel=1e-9, abs=1e-9 * change.max())
    if scheme.clamped.sum() == 0:
        assert sum(found["priority"].values()) == pytest.approx(change.sum(), rel=1e-9)
    # The old shares of the losses are the weights under which the mean of the ratios is 1.
    old = table[n - min(history, n)]
    assert (old / old.sum() * list(found["ratio"].values())).sum() == pytest.approx(1, rel=1e-9)


@given(tables(least=1), OPTIONS, st.sampled_from(sorted(PROJECTIONS)), st.lists(SIZES, min_size=3, max_size=3))
@settings(deadline=None, max_examples=40)
def test_every_loss_learns_with_its_factor(table, options, log, now):
    history, kappa = options
    scheme = LPS(tasks(), history=history, kappa=kappa, log=log)
    follow(scheme, table)
    slopes, figures = gradients(scheme, dict(zip(NAMES, now, strict=True)), rest=7.0), scheme.figures()
    assert slopes.pop("rest") == 1
    inner = {t: 1 / (1 + x + 1e-6) if log == "losses" else 1.0 for t, x in zip(NAMES, now, strict=True)}
    assert slopes == pytest.approx({t: figures["weight"][t] * inner[t] for t in NAMES}, rel=1e-9)
    assert all(slope >= 0 for slope in slopes.values())
    assert all(slopes[t] > 0 for t in NAMES if figures["priority"][t] > 0)


@given(tables(least=1), SIZES, st.sampled_from(["weights", "none"]))
@settings(deadline=None, max_examples=25)
def test_one_factor_for_all_losses_changes_nothing(table, factor, log):
    one, other = LPS(tasks(), log=log), LPS(tasks(), log=log)
    for a, b in zip(follow(one, table), follow(other, table * factor), strict=True):
        assert a == pytest.approx(b, rel=1e-6, abs=1e-9)


@given(tables(), SIZES)
@settings(deadline=None, max_examples=25)
def test_a_factor_of_one_task_keeps_the_ratios_of_ratios(table, factor):
    """Its own change over the epochs stays; that of the sum, which all are divided by, does not."""
    one, other = LPS(tasks()), LPS(tasks())
    follow(one, table)
    follow(other, table * np.array([1, factor, 1]))
    first, second = ({t: v for t, v in s.figures()["ratio"].items()} for s in (one, other))
    for task in NAMES[1:]:
        assert first[task] / first["semseg"] == pytest.approx(second[task] / second["semseg"], rel=1e-9)


@given(tables(least=1), st.permutations(range(3)))
@settings(deadline=None, max_examples=25)
def test_the_order_of_tasks_does_not_matter(table, order):
    one, other = LPS(tasks()), LPS(tasks([NAMES[i] for i in order]))
    for a, b in zip(follow(one, table), follow(other, table[:, order]), strict=True):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-12)


@given(tables(names=1, least=1))
@settings(deadline=None, max_examples=15)
def test_one_task_alone_weighs_what_it_did(table):
    scheme = LPS(tasks(["depth"]))
    for weights in follow(scheme, table):
        assert weights == pytest.approx({"depth": math.log(2)}, rel=1e-9)


# epochs with gaps


def test_a_mean_is_one_of_the_steps_that_had_a_loss():
    """Neither a task that is absent nor a loss of exactly 0 is in it, whatever the projection."""
    for log in PROJECTIONS:
        scheme, whole = LPS(tasks(), log=log), LPS(tasks(), log=log)
        steps = [{"semseg": 3.0, "depth": 0.0, "normals": 0.5}, {"depth": 2.0, "normals": 0.5}, {"depth": 2.0}]
        for step in steps:
            scheme(losses_of(step)[0], NOTHING)
        scheme.end_epoch()
        follow(whole, [(3.0, 2.0, 0.5)])
        assert scheme.figures() == whole.figures()


BAD = {
    "zero": (1.0, 0.0, 1.0),
    "tiny": (1.0, 1e-12, 1.0),
    "infinite": (1.0, math.inf, 1.0),
    "nan": (1.0, math.nan, 1.0),
    "absent": {"semseg": 1.0, "normals": 1.0},
    "nothing": {},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("at", range(len(EXAMPLE) + 1))
def test_an_epoch_without_a_usable_mean_is_as_if_it_had_not_been(bad, at):
    scheme, plain = LPS(tasks(), kappa=7.5), LPS(tasks(), kappa=7.5)
    follow(scheme, EXAMPLE[:at])
    before = scheme.figures()
    follow(scheme, [bad])
    assert scheme.figures() == before
    follow(scheme, EXAMPLE[at:])
    follow(plain, EXAMPLE)
    assert same_bits(state_of(scheme), state_of(plain))


def test_an_absent_task_leaves_the_others_their_weights():
    scheme = LPS(tasks())
    follow(scheme, EXAMPLE[:3])
    weights = scheme.figures()["weight"]
    assert gradients(scheme, {"depth": 4.0}, rest=1.0) == pytest.approx({"depth": weights["depth"], "rest": 1})
    losses, _ = losses_of({}, rest=1.0)
    assert scheme(losses, NOTHING) is losses.total
    losses, leaves = losses_of({"semseg": 0.0, "depth": 0.0, "normals": 0.0})
    total = scheme(losses, NOTHING)
    assert total.item() == 0
    assert all(torch.isfinite(g) for g in torch.autograd.grad(total, list(leaves.values())))


@pytest.mark.parametrize("log", PROJECTIONS)
def test_a_run_goes_on_in_the_middle_of_an_epoch(log):
    whole, resumed = LPS(tasks(), log=log), LPS(tasks(), log=log)
    draw = np.random.RandomState(3)
    for step in range(21):
        if step == 11:
            resumed.load_state_dict(state_of(whole))
        values = dict(zip(NAMES, draw.rand(3) + 0.1, strict=True))
        for scheme in (whole, resumed) if step >= 11 else (whole,):
            scheme(losses_of(values, dtype=torch.float32)[0], NOTHING)
            if step % 3 == 2:
                scheme.end_epoch()
    assert same_bits(state_of(whole), state_of(resumed))
    assert whole.figures() == resumed.figures()


def test_losses_keep_their_precision():
    scheme = LPS(tasks())
    follow(scheme, EXAMPLE[:3])
    losses, _ = losses_of(dict(zip(NAMES, EXAMPLE[3], strict=True)), dtype=torch.float32)
    assert scheme(losses, NOTHING).dtype == torch.float32
    assert scheme.history.sums.dtype == torch.float64


@pytest.mark.parametrize("options", [{"history": 0}, {"history": 2.0}, {"kappa": -1}, {"kappa": math.nan}])
def test_odd_options_are_named(options):
    with pytest.raises(SpecError, match=next(iter(options))):
        LPS(tasks(), **options)


def test_unknown_projections_and_tasks_are_named():
    with pytest.raises(SpecError, match=r"options\.log: unknown projection 'weight'\. Did you mean 'weights'"):
        LPS(tasks(), log="weight")
    with pytest.raises(SpecError, match="unknown task 'edges'"):
        LPS(tasks())(losses_of({"edges": 1.0})[0], NOTHING)
