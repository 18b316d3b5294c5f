import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlrepro.errors import SpecError
from mtlrepro.metrics.delta import delta_contributions, delta_m

SIGN = {"+": "higher", "-": "lower"}


def delta(model, base, signs):
    keys = [f"t{i}" for i in range(len(model))]
    args = dict(zip(keys, model, strict=True)), dict(zip(keys, base, strict=True)), [SIGN[s] for s in signs]
    return delta_m(args[0], args[1], dict(zip(keys, args[2], strict=True)))


@pytest.mark.parametrize(
    ("model", "base", "signs", "want"),
    [
        ((0.3512, 0.620), (0.3318, 0.667), "+-", 6.4467),
        ((0.6427, 0.6206, 0.68, 0.734, 14.75), (0.6007, 0.6074, 0.6718, 0.697, 14.59), "++++-", 2.9195),
        ((37.49, 0.607), (33.18, 0.667), "+-", 10.9926),
        ((38.93, 0.604), (38.70, 0.6465), "+-", 3.58409),
        ((31.96, 0.5919, 30.80), (25.75, 0.6511, 33.73), "+--", 13.965),
    ],
    ids=["M6a", "M6b", "Delta1", "Delta2", "Delta3"],
)
def test_vectors(model, base, signs, want):
    places = len(str(want).split(".")[1])
    assert round(delta(model, base, signs), places) == want


def test_contributions_of_jtr_table_1():
    got = delta_contributions(
        {"semseg": 31.96, "depth": 0.5919, "normals": 30.80},
        {"semseg": 25.75, "depth": 0.6511, "normals": 33.73},
        {"semseg": "higher", "depth": "lower", "normals": "lower"},
    )
    assert {k: round(v, 2) for k, v in got.items()} == {"semseg": 24.12, "depth": 9.09, "normals": 8.69}


positive = st.floats(1e-3, 1e3)
rows = st.lists(st.tuples(positive, positive, st.sampled_from("+-")), min_size=1, max_size=6)


@given(rows)
def test_delta_of_the_baseline_is_zero(values):
    base, signs = [v[1] for v in values], [v[2] for v in values]
    assert delta(base, base, signs) == 0.0


@given(rows)
def test_turning_every_direction_turns_the_sign(values):
    model, base, signs = zip(*values, strict=True)
    turned = ["-" if s == "+" else "+" for s in signs]
    assert delta(model, base, turned) == -delta(model, base, signs)


@given(rows, st.floats(0.1, 10))
def test_units_cancel(values, scale):
    model, base, signs = zip(*values, strict=True)
    scaled = delta([scale * v for v in model], [scale * v for v in base], signs)
    assert scaled == pytest.approx(delta(model, base, signs), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("base", [0.0, -1.0, math.nan, math.inf])
def test_a_useless_baseline_is_named(base):
    with pytest.raises(SpecError, match="depth: no gain relative to"):
        delta_m({"depth": 1.0}, {"depth": base}, {"depth": "lower"})


def test_mismatching_keys_and_directions():
    with pytest.raises(SpecError, match=r"baseline: tasks \['semseg'\] do not match"):
        delta_m({"depth": 1.0}, {"semseg": 1.0}, {"depth": "lower"})
    with pytest.raises(SpecError, match="better"):
        delta_m({"depth": 1.0}, {"depth": 1.0}, {})
    with pytest.raises(SpecError, match="'higher' or 'lower'"):
        delta_m({"depth": 1.0}, {"depth": 1.0}, {"depth": "down"})
    with pytest.raises(SpecError, match="no task"):
        delta_m({}, {}, {})


def test_an_undefined_figure_makes_an_undefined_delta():
    assert math.isnan(delta((math.nan, 1.0), (1.0, 1.0), "+-"))


@pytest.mark.parametrize(
    ("figures", "baseline", "gains", "mean"),
    [
        ((37.08, 0.5541, 29.44), (27.05, 0.6626, 33.58), (37.0795, 16.3749, 12.3288), 21.9277),
        ((31.96, 0.5919, 30.80), (25.75, 0.6511, 33.73), (24.1165, 9.0923, 8.6866), 13.9651),
        ((72.33, 0.0163), (69.50, 0.0186), (4.0719, 12.3656), 8.2188),
    ],
)
def test_jtr_s_printed_metrics(
    figures: tuple[float, ...], baseline: tuple[float, ...], gains: tuple[float, ...], mean: float
) -> None:
    """JTR, Table 1 (against the baseline of its released code) and Table 2."""
    tasks = ("semseg", "depth", "normals")[: len(figures)]
    signs = dict(zip(tasks, ("higher", "lower", "lower"), strict=False))
    ours, base = dict(zip(tasks, figures, strict=True)), dict(zip(tasks, baseline, strict=True))
    assert list(delta_contributions(ours, base, signs).values()) == pytest.approx(gains, abs=5e-5)
    assert delta_m(ours, base, signs) == pytest.approx(mean, abs=5e-5)
