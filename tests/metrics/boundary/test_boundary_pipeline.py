import math
from dataclasses import replace

import numpy as np
import pytest

from mtlrepro.errors import SpecError
from mtlrepro.metrics.boundary import pipeline
from mtlrepro.metrics.boundary.pipeline import BSDS, HUNDREDTHS, NMS, PNG, Pipeline
from mtlrepro.metrics.boundary.suppression import suppress
from mtlrepro.metrics.boundary.truth import READINGS


def test_the_three_ways():
    assert len(PNG.thresholds) == len(BSDS.thresholds) == 99
    assert len(NMS.thresholds) == 101
    assert list(PNG.thresholds) == list(BSDS.thresholds) == [k / 100 for k in range(1, 100)] == list(HUNDREDTHS)
    assert list(NMS.thresholds) == [0.001, *HUNDREDTHS, 0.999]
    assert [w.suppression for w in (PNG, NMS, BSDS)] == [False, True, False]
    assert [w.strict for w in (PNG, NMS, BSDS)] == [False, True, False]
    assert [w.truth for w in (PNG, NMS, BSDS)] == ["contour", "contour", "as-is"]
    assert [w.interpolated for w in (PNG, NMS, BSDS)] == [False, False, True]
    assert [w.empty_precision for w in (PNG, NMS, BSDS)] == [1, 1, 0]


def test_every_stored_value_reaches_the_thresholds_below():
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    want = [[sum(int(v) * 100 >= 255 * k for k in range(1, 100)) for v in row] for row in stored]
    for way in (PNG, BSDS):
        got = way.levels(stored)
        assert got.dtype == np.int32
        assert got.tolist() == want
    assert want[0][0] == 0
    assert want[-1][-1] == 99


@pytest.mark.parametrize(("stored", "threshold"), [(51, 0.2), (102, 0.4), (153, 0.6), (204, 0.8)])
def test_values_that_tie_with_a_threshold(stored, threshold):
    """The png way reaches them; the nms way exceeds them, since the nearest float32 is a little more."""
    below = sum(t < threshold for t in PNG.thresholds)
    flat = np.full((20, 20), stored, np.uint8)
    assert (PNG.levels(flat) == below + 1).all()
    assert (BSDS.levels(flat) == below + 1).all()
    assert PNG.levels(flat - 1).max() == below
    inside = NMS.levels(flat)[6:-6, 6:-6]  # a plateau survives suppression
    assert (inside == below + 2).all()  # one more threshold, 0.001
    assert (replace(NMS, suppression=False).levels(flat) == below + 1).all()  # float64, so 0.001 but not 0.2


def test_suppression_comes_before_thresholds(monkeypatch):
    stored = np.random.RandomState(0).randint(0, 256, (24, 30)).astype(np.uint8)
    kept = suppress((stored / 255).astype(np.float32))
    want = [[sum(float(v) > t for t in NMS.thresholds) for v in row] for row in kept]
    assert NMS.levels(stored).tolist() == want
    assert (kept == 0).mean() > 0.3
    seen = []
    monkeypatch.setattr(pipeline, "suppress", lambda soft: seen.append(soft) or soft)
    NMS.levels(stored)
    (soft,) = seen
    assert soft.dtype == np.float32
    np.testing.assert_array_equal(soft, (stored / 255).astype(np.float32))
    for way in (PNG, BSDS):
        way.levels(stored)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "thresholds",
    [(), (0.5, 0.4), (0.4, 0.4), (0.0, 0.5), (0.5, 1.0), (-0.1,), (1.5,), (0.2, math.nan), (math.nan,)],
)
def test_thresholds_ascend_between_0_and_1(thresholds):
    with pytest.raises(SpecError, match=r"thresholds: .*do not ascend between 0 and 1"):
        Pipeline(thresholds)


def test_thresholds_may_be_an_array():
    assert Pipeline(np.linspace(0.1, 0.9, 9)).levels(np.array([[0, 26, 255]], np.uint8)).tolist() == [[0, 1, 9]]


def test_an_unknown_reading():
    with pytest.raises(SpecError, match=r"truth: unknown reading of the truth 'contours'\. Did you mean 'contour'\?"):
        Pipeline(truth="contours")
    assert list(READINGS) == ["contour", "thin", "as-is"]
