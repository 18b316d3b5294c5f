"""Equal weights, the logarithm of losses, and the means over epochs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from weighting_toys import NAMES, NOTHING, Net, gradients, losses_of, same_bits, state_of, tasks

from mtlrepro.errors import SpecError
from mtlrepro.objectives.losses import Losses
from mtlrepro.objectives.weighting import WEIGHTINGS
from mtlrepro.objectives.weighting.epochs import EpochMeans
from mtlrepro.objectives.weighting.equal import Equal
from mtlrepro.objectives.weighting.log_losses import LogLosses

EXAMPLE = (
    (2.0, 0.9, 0.3),
    (1.5, 0.72, 0.27),
    (1.2, 0.66, 0.22),
    (1.02, 0.62, 0.2),
    (0.9, 0.6, 0.19),
    (0.81, 0.59, 0.18),
)


@pytest.mark.parametrize(
    ("scheme", "want", "shift"),
    [
        (Equal, (1.066667, 0.830000, 0.693333, 0.613333, 0.563333, 0.526667), 0.0),
        # The column is one without the 1e-6 beside the 1, which adds 1e-6 Σ 1 / (1 + L).
        (LogLosses, (2.002830, 1.697632, 1.494126, 1.367845, 1.285811, 1.222575), 1e-6),
    ],
)
def test_the_worked_example(scheme, want, shift):
    weighting = scheme(tasks())
    for values, total in zip(EXAMPLE, want, strict=True):
        found = weighting(losses_of(dict(zip(NAMES, values, strict=True)))[0], NOTHING).item()
        assert found - shift * sum(1 / (1 + value) for value in values) == pytest.approx(total, abs=6e-7)
        weighting.end_epoch()
    assert weighting.state_dict() == {}


SLOPES = {Equal: lambda loss, count: 1 / count, LogLosses: lambda loss, count: 1 / (1 + loss + 1e-6)}


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=3), st.sampled_from(list(SLOPES)))
@settings(deadline=None, max_examples=25)
def test_factors(values, scheme):
    given = dict(zip(NAMES, values, strict=False))
    slopes = gradients(scheme(tasks()), given, rest=3.0)
    assert slopes == pytest.approx({t: SLOPES[scheme](v, 3) for t, v in given.items()} | {"rest": 1}, rel=1e-12)


def test_one_task_alone_keeps_its_loss():
    losses, _ = losses_of({"depth": 0.7}, rest=2.0)
    assert Equal(tasks(["depth"]))(losses, NOTHING).item() == pytest.approx(2.7)
    assert LogLosses(tasks(["depth"]))(losses, NOTHING).item() == pytest.approx(2 + math.log(1.700001))


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_no_step_reads_a_value(name):
    """So that a GPU never waits: on the meta device there is none to read."""
    with torch.device("meta"):
        model, weighting, image = Net(), WEIGHTINGS[name](tasks()), torch.ones(2, 3, 6, 8)
    for there in (NAMES, NAMES[:2], NAMES[2:]):
        final = model(image).final
        losses = {task: final[task].square().mean() for task in there}
        weighting(Losses(sum(losses.values()), {}, losses), model).backward()
        weighting.end_epoch()


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_a_batch_without_labels_is_left_as_it_is(name):
    losses, _ = losses_of({}, rest=2.0)
    assert WEIGHTINGS[name](tasks())(losses, NOTHING) is losses.total


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_an_unknown_task_is_named(name):
    weighting = WEIGHTINGS[name](tasks())
    state = state_of(weighting)
    with pytest.raises(SpecError, match=r"objective\.weighting: unknown task 'edges'"):
        weighting(losses_of({"depth": 1.0, "edges": 1.0})[0], NOTHING)
    assert same_bits(state_of(weighting), state)


# epochs

LOSS = st.one_of(st.none(), st.just(0.0), st.floats(1e-6, 1e6))
STEPS = st.lists(st.tuples(LOSS, LOSS), max_size=4)


@given(st.lists(STEPS, max_size=5), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_epoch_means_are_those_of_what_was_seen(epochs, length):
    means, kept = EpochMeans(("a", "b"), length), []
    for steps in epochs:
        for step in steps:
            means.add({t: torch.tensor(v) for t, v in zip("ab", step, strict=True) if v is not None})
        seen = [[np.float64(np.float32(step[i])) for step in steps if step[i]] for i in range(2)]
        usable = all(seen)
        assert bool(means.close()) == usable
        if usable:
            kept.insert(0, [np.mean(values) for values in seen])
        want = (kept + [kept[-1]] * length)[:length] if kept else np.ones((length, 2))
        assert means.means.numpy() == pytest.approx(np.array(want), rel=1e-12)
        assert int(means.epochs) == len(kept)
        assert not means.sums.any()
        assert not means.counts.any()


def test_epoch_means_hold_no_graph():
    means, (losses, _) = EpochMeans(NAMES, 2), losses_of(dict.fromkeys(NAMES, 1.0))
    means.add(losses.tasks)
    means.close()
    assert not any(value.requires_grad for value in means.state_dict(keep_vars=True).values())
