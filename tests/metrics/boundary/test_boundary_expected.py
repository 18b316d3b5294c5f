"""Does `expected` agree with the public matcher on average? The matcher's own model, run with seeds, is the judge."""

import math

import numpy as np
import pytest
from boundary_maps import loss, matched, warped
from boundary_vectors import BUILD, VECTORS
from random_matcher import random_pairs

from mtlrepro.metrics.boundary.thinning import thin

RUNS = 10


@pytest.mark.parametrize("name", ["B4a", "B4b", "B4c", "B4d", "B4e", "B4f", "B4k"])
def test_the_model_agrees_with_the_public_matcher(name):
    """On the vectors whose mean over 400 runs is known (sd 0.5 to 0.9)."""
    if name == "B4f":
        p, g = (m[195:215, 90:110] for m in BUILD[name]())
        assert [random_pairs(p, g, 6 / math.hypot(20, 20), seed) for seed in range(5)] == [4] * 5
        return
    p, g = BUILD[name]()
    (vector,) = (v for v in VECTORS if v[0] == name)
    runs = [random_pairs(p, g, vector[1], seed) for seed in range(40)]
    assert np.mean(runs) == pytest.approx(vector[6], abs=0.3)
    assert max(runs) <= vector[3][0]


def test_expected_agrees_with_the_model():
    """Twenty images at ten thresholds: within half a pair on average, and 0.02 points of F where images are pooled.

    The images are small, so one run of the model moves a pooled F by 0.03 points; `RUNS` runs are averaged, and three
    standard errors of that average are granted if they exceed 0.02.
    """
    cuts = np.linspace(0.1, 0.85, 10)
    expected, most, sizes = np.zeros(10), np.zeros(10), np.zeros(10)
    runs = np.zeros((RUNS, 10))
    gaps = []
    for image in range(20):
        values, g = warped(image)
        for k, t in enumerate(cuts):
            p = thin(values / 255 >= t)
            row = matched(p, g, 0.02)
            drawn = [random_pairs(p, g, 0.02, 100 * image + run) for run in range(RUNS)]
            gaps.append(row[0] - loss(row) - np.mean(drawn))
            expected[k] += row[0] - loss(row)
            most[k] += row[0]
            runs[:, k] += drawn
            sizes[k] += p.sum() + g.sum()
    assert np.mean(gaps) == pytest.approx(0, abs=0.05)  # half a pair is asked for
    assert np.abs(gaps).max() < 1.0
    points = 200 / sizes
    off = (expected - runs.mean(0)) * points
    error = runs.std(0, ddof=1) * points / math.sqrt(RUNS)
    assert (np.abs(off) <= np.maximum(0.02, 3 * error)).all()
    assert np.abs(off).mean() < 0.02
    assert ((most - runs.mean(0)) * points).max() > 0.05  # without the loss it would be noticed
