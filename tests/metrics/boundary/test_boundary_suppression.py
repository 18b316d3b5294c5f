import math

import numpy as np
import pytest
from boundary_maps import soft, summary
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.metrics.boundary.suppression import BORDER, orientation, suppress

f32 = np.float32


def stored(seed):
    s = soft(seed)
    return np.floor(255 * (s - s.min()) / (s.max() - s.min()))


def faded(height, width):
    """What the border leaves of a constant that nothing suppresses, from the definition."""
    band = min(5, width // 2, height // 2)
    out = np.ones((height, width))
    for y in range(height):
        for x in range(width):
            for gap in (x, width - 1 - x, y, height - 1 - y):
                out[y, x] *= gap / band if gap < band else 1
    return out


# --- oracles ----------------------------------------------------------------------------------------------------------


def triangle(row):
    """[1, 2, 3, 4, 5, 4, 3, 2, 1] / 25, the edge pixel repeated and mirrored from there."""
    n = len(row)

    def at(i):
        i %= 2 * n
        return row[i] if i < n else row[2 * n - 1 - i]

    return [sum((5 - abs(k)) / 25 * at(i + k) for k in range(-4, 5)) for i in range(n)]


def difference(row):
    inner = [(row[i + 1] - row[i - 1]) / f32(2) for i in range(1, len(row) - 1)]
    return [row[1] - row[0], *inner, row[-1] - row[-2]]


def along(function, array, axis):
    lines = array if axis == 1 else array.T
    out = np.array([function(list(line)) for line in lines])
    return out if axis == 1 else out.T


def angles(e):
    smooth = e.astype(float)
    for axis in (0, 1):
        smooth = along(triangle, smooth, axis)
    smooth = smooth.astype(f32)
    x, y = along(difference, smooth, 1), along(difference, smooth, 0)
    xx, xy, yy = along(difference, x, 1), along(difference, y, 1), along(difference, y, 0)
    return np.arctan(yy * np.sign(-xy) / (xx + f32(1e-5))) % f32(math.pi)


def survivors(e, angle):
    """Kept pixels without the border's fading, and how near each comparison was."""
    height, width = e.shape
    cosine, sine = np.cos(angle), np.sin(angle)
    kept, gap = np.zeros(e.shape, bool), np.full(e.shape, math.inf)
    for y in range(height):
        for x in range(width):
            kept[y, x] = e[y, x] > 0
            for d in (f32(-1), f32(1)):
                a = min(max(f32(x) + d * cosine[y, x], f32(0)), f32(width) - f32(1.001))
                b = min(max(f32(y) + d * sine[y, x], f32(0)), f32(height) - f32(1.001))
                column, row = math.floor(a), math.floor(b)
                right, down = a - f32(column), b - f32(row)
                upper = (f32(1) - right) * e[row, column] + right * e[row, column + 1]
                lower = (f32(1) - right) * e[row + 1, column] + right * e[row + 1, column + 1]
                there = (f32(1) - down) * upper + down * lower
                here = f32(1.01) * e[y, x]
                kept[y, x] &= not here < there
                gap[y, x] = min(gap[y, x], abs(float(here) - float(there)))
    return kept, gap


@pytest.mark.parametrize("kind", ["noise", "blobs", "levels", "sparse"])
@pytest.mark.parametrize("shape", [(21, 26), (30, 11), (7, 6), (2, 3)])
def test_against_loops_over_the_definition(kind, shape):
    rs = RandomState(7)
    s = soft(7, *shape)
    e = {
        "noise": rs.rand(*shape),
        "blobs": (s - s.min()) / (s.max() - s.min()),
        "levels": rs.randint(0, 6, shape) / 5,
        "sparse": rs.rand(*shape) * (rs.rand(*shape) < 0.1),
    }[kind].astype(f32)
    angle = orientation(e)
    np.testing.assert_allclose(angle, angles(e), atol=2e-6)
    kept, gap = survivors(e, angle)
    want = np.where(kept, e, 0) * faded(*shape)
    sure = gap > 1e-6
    assert sure[e > 0].sum() >= 0.9 * (e > 0).sum()
    np.testing.assert_allclose(np.where(sure, suppress(e), 0), np.where(sure, want, 0), rtol=1e-6)


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "integers", "nonzero", "values", "strong", "sum_of_angles"),
    [
        (3, 277085, (597, 11487, 16759), 306.19154, (339, 6334, 9375), 3630.862),
        (4, 283204, (617, 12309, 17093), 311.69130, (346, 6812, 9416), 3467.611),
    ],
)
def test_vector_b3(seed, integers, nonzero, values, strong, sum_of_angles):
    v = stored(seed)
    assert v.sum() == integers
    e = (v / 255).astype(f32)
    out = suppress(e)
    assert out.dtype == f32
    assert summary(out != 0) == nonzero
    assert summary(out > 0.5) == strong
    assert out.sum(dtype=float) == pytest.approx(values, abs=1e-5)
    assert orientation(e).sum(dtype=float) == pytest.approx(sum_of_angles, abs=1e-2)


# --- what it is for ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [10, 30, 60, 80, 100, 120, 150, 170])
def test_ridges_are_thinned_across(degrees):
    """The angle is the arc tangent of a ratio of second derivatives: up to 12 degrees off the normal."""
    y, x = np.mgrid[:60, :60] - 30.0
    a = math.radians(degrees)
    across = x * math.cos(a) + y * math.sin(a)
    ridge = np.exp(-(across**2) / 18).astype(f32)
    inside = np.hypot(x, y) < 20
    want = math.copysign(math.atan(math.tan(a) ** 2), math.tan(a)) % math.pi
    np.testing.assert_allclose(orientation(ridge)[inside & (np.abs(across) < 1)], want, atol=0.02)
    assert abs(want - a) < math.radians(12)
    kept = suppress(ridge) > 0
    assert np.abs(across[kept & inside]).max() < 0.75
    assert kept[inside & (np.abs(across) < 0.3)].all()


def test_exactly_level_ridges_are_not_suppressed():
    """Without a mixed derivative the angle is 0, as in the public code: along a level ridge, across an upright one."""
    ridge = np.exp(-((np.arange(41) - 20.0) ** 2) / 18).astype(f32)
    level = np.repeat(ridge[:, None], 41, 1)
    assert not orientation(level).any()
    np.testing.assert_array_equal((suppress(level) > 0)[10:31, 20], np.ones(21, bool))
    upright = level.T.copy()
    assert np.flatnonzero((suppress(upright) > 0)[20]).tolist() == [20]


def test_a_plateau_survives_but_for_its_border():
    for shape in [(20, 30), (9, 30), (4, 4), (2, 2), (3, 8)]:
        np.testing.assert_allclose(suppress(np.full(shape, 0.5, f32)), faded(*shape) / 2, rtol=1e-6)
    assert BORDER == 5


@pytest.mark.parametrize(("last", "kept"), [(0.505002, True), (0.50501, False)])
def test_neighbours_beyond_the_last_pixel_are_taken_just_inside(last, kept):
    """At 1.001 from the edge's end: a thousandth of the pixel itself is mixed in before the comparison with 0.505."""
    e = np.zeros((16, 20), f32)
    e[:, -2], e[:, -1] = 0.5, last  # the angle is 0
    assert (suppress(e)[8, -2] > 0) == kept
    e[:, :2] = last, 0.5
    e[:, 0] = 0.505002  # not so at the other end
    assert suppress(e)[8, 1] == 0
    e[:, 0] = 0.504999
    assert suppress(e)[8, 1] > 0


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 14), st.integers(2, 14))
def test_values_are_kept_faded_or_dropped(seed, height, width):
    e = RandomState(seed).rand(height, width).astype(f32)
    before = e.copy()
    out = suppress(e)
    np.testing.assert_array_equal(e, before)
    fade = faded(height, width)
    alive = out > 0
    np.testing.assert_allclose(out[alive], (e * fade)[alive], rtol=1e-6)
    assert not alive[fade == 0].any()
    highest = e * (fade > 0) == e.max()
    assert alive[highest].all()  # nothing around is larger
    angle = orientation(e)
    assert ((angle >= 0) & (angle <= f32(math.pi))).all()


def test_nothing_on_an_empty_map():
    assert not suppress(np.zeros((12, 9), f32)).any()
