"""`--odsf-only`: fewer thresholds, the same odsF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from offline_maps import SIZE, Caller, fill

from mtlrepro.metrics.boundary.truth import READINGS
from mtlrepro.offline.search import STRIDE, coarse_to_fine


class Curve:
    """Scores by index, and how often they were asked for."""

    def __init__(self, scores: Sequence[float]):
        self.scores, self.thresholds, self.asked = scores, [k / 1000 for k in range(len(scores))], list[float]()
        self.rounds = 0

    def __call__(self, some: list[float]) -> list[float]:
        assert some == sorted(some)
        self.asked += some
        self.rounds += 1
        return [self.scores[round(1000 * t)] for t in some]

    def best(self) -> float:
        seen = coarse_to_fine(self, self.thresholds)
        assert list(seen) == sorted(self.asked)
        assert len(set(self.asked)) == len(self.asked)
        assert all(seen[t] == self.scores[round(1000 * t)] for t in seen)
        return max(seen.values())


steps = st.lists(st.integers(1, 50), max_size=80)


@given(up=steps, down=steps)
def test_one_summit_is_found(up: list[int], down: list[int]) -> None:
    rise, fall = np.cumsum([0, *up]), np.cumsum(down)
    curve = Curve([*rise.tolist(), *(rise[-1] - fall).tolist()])
    assert curve.best() == max(curve.scores)


@pytest.mark.parametrize("summit", [0, 1, 4, 5, 6, 49, 94, 97, 98])
def test_far_fewer_looks(summit: int) -> None:
    curve = Curve([-abs(k - summit) for k in range(99)])
    assert curve.best() == 0
    assert len(curve.asked) <= 99 // STRIDE + 2 + 2 * (STRIDE - 1)
    assert curve.rounds <= 2


@given(count=st.integers(1, 120), value=st.floats(0, 1))
def test_a_flat_curve(count: int, value: float) -> None:
    curve = Curve([value] * count)
    assert curve.best() == value
    assert len(curve.asked) == count  # every one may hide a summit beside it


def test_a_single_threshold() -> None:
    assert coarse_to_fine(lambda some: [0.25] * len(some), [0.5]) == {0.5: 0.25}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_of_any_curve_a_true_score_with_scored_neighbours(scores: list[float]) -> None:
    curve = Curve(scores)
    seen = coarse_to_fine(curve, curve.thresholds)
    best = curve.thresholds.index(max(seen, key=lambda t: (seen[t], -t)))
    beside = {max(best - 1, 0), min(best + 1, len(scores) - 1)}
    assert all(curve.thresholds[i] in seen for i in beside)


def test_a_summit_between_equal_scores_is_found() -> None:
    """Rises and falls but once, by steps: what few grey levels give."""
    assert Curve([0.4] * 52 + [0.9] * 2 + [0.0] * 45).best() == 0.9


def line(at: int = 20) -> np.ndarray:
    drawn = np.zeros(SIZE, np.uint8)
    drawn[at, 5:50] = 1
    return drawn


def ramp(seed: int) -> np.ndarray:
    """A line of rising confidence among noise of falling density: F has one summit."""
    random = np.random.default_rng(seed)
    noise = (random.random(SIZE) < 0.5) * random.integers(0, 170, SIZE)
    noise[14:27] = 0
    noise[20, 5:50] = np.linspace(90, 255, 45)
    return noise.astype(np.uint8)


@pytest.mark.parametrize("protocol", ["odsf/png@1", "odsf/nms@1"])
def test_the_same_odsf_as_the_full_run(protocol: str, call: Caller, tmp_path: Path) -> None:
    pred = fill(tmp_path / "p", {"a": ramp(0), "b": ramp(1)})
    gt = fill(tmp_path / "g", {"a": line(), "b": line()})
    chosen = ["--protocol", protocol, "--truth", "as-is"]
    full, quick = call("edges", pred, gt, *chosen), call("edges", pred, gt, *chosen, "--odsf-only")
    assert quick.figures() == {protocol: {"odsf": full.figures()[protocol]["odsf"]}}
    result, curve = quick.json(), full.json()["curves"][protocol]
    count, looked = len(curve["f"]), len(result["curves"][protocol]["f"])
    assert looked < count / 2
    said = f"{looked} of {count}, coarse to fine"
    assert result["settings"][protocol]["thresholds"] == said
    assert said in quick.text
    whole = dict(zip(curve["thresholds"], curve["f"], strict=True))
    found = zip(*(result["curves"][protocol][k] for k in ("thresholds", "f")), strict=True)
    assert all(value == whole[threshold] for threshold, value in found)
    assert sorted(file.name for file in quick.out.iterdir()) == ["edges.json", "edges.png"]
    assert "oisf" not in quick.text


def test_the_same_interpolated_odsf_as_the_full_run(call: Caller, tmp_path: Path) -> None:
    soft = np.zeros(SIZE)
    soft[20, 5:28], soft[20, 28:50], soft[5, 3:50] = 0.9, 0.5, 0.5
    pred, gt = fill(tmp_path / "p", {"a": soft}, ".npy"), fill(tmp_path / "g", {"a": line()})
    chosen = ["--protocol", "odsf/bsds@1", "--thresholds", 2]
    full, quick = call("edges", pred, gt, *chosen), call("edges", pred, gt, *chosen, "--odsf-only")
    assert quick.figures()["odsf/bsds@1"]["odsf"] == full.figures()["odsf/bsds@1"]["odsf"]


def test_no_pixel_that_counts_is_an_error_here_too(call: Caller, tmp_path: Path) -> None:
    pred, gt = fill(tmp_path / "p", {"a": ramp(0)}), fill(tmp_path / "g", {"a": line()})
    call.refused("no truth")("edges", pred, gt, "--protocol", "odsf/bsds@1", "--ignore", 0, 1, "--odsf-only")


def test_no_counts_of_another_run_stay(call: Caller, tmp_path: Path) -> None:
    pred, gt = fill(tmp_path / "p", {"a": ramp(0)}), fill(tmp_path / "g", {"a": line()})
    chosen = ["--protocol", "odsf/bsds@1", "--out", tmp_path / "same"]
    assert call("edges", pred, gt, *chosen).code == 0
    assert call("edges", pred, gt, *chosen, "--odsf-only").code == 0
    assert not (tmp_path / "same" / "edges_counts.npz").exists()


def test_several_protocols_are_searched_one_by_one(call: Caller, tmp_path: Path) -> None:
    pred = fill(tmp_path / "p", {"a": ramp(0)})
    labels = READINGS["contour"](line() * 3).astype(np.uint8)
    gt = fill(tmp_path / "g", {"a": labels})
    done = call("edges", pred, gt, "--protocol", "odsf/png@1", "odsf/nms@1", "--truth", "thin", "--odsf-only")
    assert {p: set(f) for p, f in done.figures().items()} == {"odsf/png@1": {"odsf"}, "odsf/nms@1": {"odsf"}}


def test_protocols_without_odsf_are_refused(call: Caller, tmp_path: Path) -> None:
    pred, gt = fill(tmp_path / "p", {"a": ramp(0)}), fill(tmp_path / "g", {"a": line()})
    call.refused("edges/pixels@1 has no odsF", "--odsf-only")(
        "edges", pred, gt, "--protocol", "edges/pixels@1", "--odsf-only"
    )
    call.refused("edges/pixels@1 has no odsF")(
        "edges", pred, gt, "--protocol", "odsf/bsds@1", "edges/pixels@1", "--odsf-only"
    )
