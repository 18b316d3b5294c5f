"""One image through all steps of `odsf/nms@1`: figures of the public programs (SEISM's reader, one-to-one matching)."""

import numpy as np
import pytest
from numpy.random import RandomState

from mtlrepro.metrics.boundary.counts import boundary_counts
from mtlrepro.metrics.boundary.pipeline import NMS, PNG
from mtlrepro.metrics.boundary.suppression import orientation, suppress
from mtlrepro.metrics.boundary.truth import READINGS, contours

SIZE = (60, 80)
Y, X = np.mgrid[: SIZE[0], : SIZE[1]]
PIXELS = 2
"""Matched pixels by which another thinning or another choice of pairs may differ."""

COUNTS = {  # tolerance -> threshold -> matched, predicted
    0.011: {0.001: (235, 1087), 0.1: (236, 719), 0.3: (234, 265), 0.5: (231, 255), 0.7: (228, 250), 0.9: (161, 177)},
    0.03: {0.001: (248, 1087), 0.1: (248, 719), 0.3: (244, 265), 0.5: (242, 255), 0.7: (239, 250), 0.9: (177, 177)},
}
BEST = {0.011: (232, 248, 232, 255), 0.03: (242, 248, 242, 255)}
"""Tolerance -> counts of the best threshold, 0.49: matched and all true, matched and all predicted pixels."""


def label_map():
    classes = np.ones(SIZE, int)
    classes[15:45, 20:50] = 2
    classes[(Y - 30) ** 2 + (X - 58) ** 2 <= 196] = 3
    classes[53:] = 4
    return classes


def stored():
    """The boundary displaced by a row and half a column, blurred, with clutter, times 255."""
    rows, columns = np.nonzero(contours(label_map()))
    squared = np.min([(Y - y - 1) ** 2 + (X - x - 0.5) ** 2 for y, x in zip(rows, columns, strict=True)], axis=0)
    soft = 0.9 * np.exp(-squared / 4) + 0.15 * RandomState(10).rand(*SIZE)
    return np.floor(255 * soft).clip(0, 255).astype(np.uint8)


def counted(way, max_dist):
    """(4, K) counts and F at every threshold."""
    truth = READINGS[way.truth](label_map())
    counts = boundary_counts(way.levels(stored()), len(way.thresholds), [truth], max_dist, mode="exact").stack()
    return counts, 2 * counts[0] / (counts[1] + counts[3])


def test_the_truth():
    assert contours(label_map()).sum() == 292
    assert READINGS["contour"](label_map()).sum() == 248


def test_the_prediction_as_stored():
    assert stored().sum(dtype=int) == 300045
    assert stored().max() == 253


def test_suppression():
    soft = (stored() / 255).astype(np.float32)
    assert orientation(soft).mean(dtype=float) == pytest.approx(1.581606, rel=5e-5)
    kept = suppress(soft)
    assert np.count_nonzero(kept) == 1175
    assert kept.sum(dtype=float) == pytest.approx(351.88489, rel=1e-6)


@pytest.mark.parametrize("max_dist", list(COUNTS))
def test_counts_at_some_thresholds(max_dist):
    counts, _ = counted(NMS, max_dist)
    for threshold, (matched, predicted) in COUNTS[max_dist].items():
        got = counts[:, NMS.thresholds.index(threshold)]
        assert got[[1, 3]].tolist() == [248, predicted]
        assert got[[0, 2]] == pytest.approx([matched, matched], abs=PIXELS)


@pytest.mark.parametrize("max_dist", list(BEST))
def test_the_best_threshold(max_dist):
    counts, f = counted(NMS, max_dist)
    assert NMS.thresholds[f.argmax()] == 0.49
    assert counts[:, f.argmax()].tolist() == list(BEST[max_dist])


def test_the_best_figure():
    assert counted(NMS, 0.011)[1].max() == pytest.approx(0.922465, abs=1e-6)


def test_without_suppression():
    _, f = counted(PNG, 0.011)
    assert f.max() == pytest.approx(0.947791, abs=1e-6)
    assert f[PNG.thresholds.index(0.82)] == f.max()
