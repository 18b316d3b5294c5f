import numpy as np
import pytest
from boundary_maps import circles, lines, segments, soft, summary
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from scipy.ndimage import label

from mtlrepro.metrics.boundary.thinning import AROUND, REMOVABLE, flat_steps, thin
from mtlrepro.metrics.boundary.truth import READINGS, contours


@st.composite
def maps(draw, largest=14):
    """Random noise, or blobs, of any small size."""
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    seed, share = draw(st.integers(0, 10**6)), draw(st.sampled_from([0.2, 0.5, 0.7, 0.9, 1.0]))
    if draw(st.booleans()):
        return RandomState(seed).rand(height, width) < share
    return soft(seed, height, width) > 4.5 + 4 * (0.5 - share)


# --- oracles ----------------------------------------------------------------------------------------------------------


def goes(around, second):
    """The three conditions of a sub-iteration; `around` are the eight neighbours from east, counter-clockwise."""
    x = [None, *around, around[0]]  # x[1] ... x[9]
    crossings = sum(not x[2 * i - 1] and (x[2 * i] or x[2 * i + 1]) for i in (1, 2, 3, 4))
    n1 = sum(x[2 * k - 1] or x[2 * k] for k in (1, 2, 3, 4))
    n2 = sum(x[2 * k] or x[2 * k + 1] for k in (1, 2, 3, 4))
    kept = (x[2] or x[3] or not x[8]) and x[1], (x[6] or x[7] or not x[4]) and x[5]
    return crossings == 1 and 2 <= min(n1, n2) <= 3 and not kept[second]


def thinned_by_the_rules(binary):
    height, width = binary.shape
    now = {(y, x) for y, x in np.argwhere(binary).tolist()}
    while True:
        before = len(now)
        for second in (False, True):
            steps = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]
            now -= {(y, x) for y, x in now if goes([(y + dy, x + dx) in now for dy, dx in steps], second)}
        if len(now) == before:
            break
    out = np.zeros((height, width), dtype=bool)
    for y, x in now:
        out[y, x] = True
    return out


def contours_by_the_rules(s):
    height, width = s.shape
    out = np.zeros(s.shape, dtype=bool)
    for y in range(height):
        for x in range(width):
            others = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            out[y, x] = any(s[y, x] != s[b, a] for b, a in others if b < height and a < width)
    return out


@settings(deadline=None, max_examples=150)
@given(maps())
def test_thinning_follows_the_rules(binary):
    np.testing.assert_array_equal(thin(binary), thinned_by_the_rules(binary))


@pytest.mark.parametrize("seed", range(20, 28))
def test_thinning_follows_the_rules_on_larger_maps(seed):
    binary = soft(seed) > 4.5
    np.testing.assert_array_equal(thin(binary), thinned_by_the_rules(binary))


def test_every_neighbourhood_is_looked_up_right():
    for code in range(256):
        around = [bool(code >> k & 1) for k in range(8)]
        assert [bool(v) for v in REMOVABLE[:, code]] == [goes(around, second) for second in (False, True)]


def test_steps_go_round_counter_clockwise():
    angles = [np.degrees(np.arctan2(-dy, dx)) % 360 for dy, dx in AROUND]
    assert angles == pytest.approx(list(range(0, 360, 45)))
    assert flat_steps(100).tolist() == [1, -99, -100, -101, -1, 99, 100, 101]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_contours_follow_the_rules(seed, height, width, classes):
    labels = RandomState(seed).randint(0, classes, (height, width))
    np.testing.assert_array_equal(contours(labels), contours_by_the_rules(labels))


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "before", "after", "stopped"),
    [
        (20, (1124, 21940, 31210), (479, 9414, 13644), None),
        (21, (1145, 22085, 30555), (491, 9347, 13013), None),
        (25, (1197, 23752, 31224), (498, 10072, 13299), (500, 10106, 13370)),
        (37, (1095, 21437, 27375), (490, 9280, 12741), (493, 9329, 12758)),
    ],
)
def test_vector_b1(seed, before, after, stopped):
    binary = soft(seed) > 4.5
    assert summary(binary) == before
    assert summary(thin(binary)) == after != stopped


@pytest.mark.parametrize(
    ("seed", "drawn", "thinned"),
    [(1, (338, 6750, 9942), (331, 6637, 9749)), (2, (316, 5460, 8368), (305, 5215, 8027))],
)
def test_vector_b2(seed, drawn, thinned):
    assert summary(contours(segments(seed))) == drawn
    assert summary(lines(seed)) == thinned == summary(READINGS["contour"](segments(seed)))


def test_circles_of_the_large_vectors():
    assert summary(circles(320, 240)) == (6776, 1623609, 2161044)
    assert summary(circles(322, 241)) == (6779, 1625578, 2164963)


# --- invariants -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(maps(20))
def test_thinning_keeps_what_matters(binary):
    eight = np.ones((3, 3))
    out = thin(binary)
    assert out.dtype == bool
    assert not (out & ~binary).any()
    np.testing.assert_array_equal(thin(out), out)
    pieces, count = label(binary, eight)
    assert label(out, eight)[1] == count == len(np.unique(pieces[out]))


@settings(deadline=None, max_examples=30)
@given(maps(), st.integers(0, 3), st.integers(0, 3))
def test_thinning_does_not_see_the_border(binary, above, left):
    padded = np.pad(binary, ((above, 2), (left, 1)))
    np.testing.assert_array_equal(thin(padded)[above:-2, left:-1], thin(binary))


def test_any_nonzero_value_is_set():
    binary = soft(20) > 4.5
    for value in (1, 255, 0.25, -1.0):
        np.testing.assert_array_equal(thin(np.where(binary, value, 0)), thin(binary))
    strided = np.zeros((80, 112), bool)
    strided[::2, ::2] = binary
    np.testing.assert_array_equal(thin(strided[::2, ::2]), thin(binary))


def test_the_layout_in_memory_does_not_matter():
    binary = soft(20) > 4.5
    want = thinned_by_the_rules(binary)
    np.testing.assert_array_equal(thin(np.asfortranarray(binary)), want)
    np.testing.assert_array_equal(thin(binary.T), thinned_by_the_rules(binary.T.copy()))


# --- readings of a truth ----------------------------------------------------------------------------------------------


def test_readings_of_a_drawn_line():
    """A line one pixel wide survives a contour almost unchanged; one of three pixels becomes two boundaries."""
    fine, bold = np.zeros((20, 40), int), np.zeros((20, 40), int)
    fine[10], bold[8:11] = 1, 1
    count = {name: [int(read(m).sum()) for m in (fine, bold)] for name, read in READINGS.items()}
    assert count["thin"][0] == count["as-is"][0] == 40
    assert count["as-is"][1] == 120
    assert count["thin"][1] == pytest.approx(40, abs=2)
    assert count["contour"] == [pytest.approx(40, abs=2), 80]
    rows = np.flatnonzero(READINGS["contour"](bold).any(1)).tolist()
    assert rows == [7, 10]


def test_contours_of_segments_do_not_depend_on_their_numbers():
    s = segments(1)
    again = np.array([7, 0, 459, 255])[s]
    np.testing.assert_array_equal(contours(again), contours(s))
    np.testing.assert_array_equal(contours(np.full((5, 4), 3)), np.zeros((5, 4), bool))
    assert READINGS["thin"](s).sum() != READINGS["contour"](s).sum()  # every nonzero segment is a blob there
