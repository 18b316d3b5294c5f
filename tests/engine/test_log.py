from __future__ import annotations

import json
from pathlib import Path

import pytest

from mtlrepro.engine.log import Log, evaluations
from mtlrepro.errors import StoreError


def write(path: Path, *entries: dict[str, object], keep: int = 0, steps: int = 9) -> None:
    with Log(path, keep, steps) as log:
        for entry in entries:
            log.write(entry)


def steps_of(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_lines_are_json_in_order_and_there_at_once(tmp_path: Path) -> None:
    with Log(tmp_path / "m", 0, 9) as log:
        log.write({"step": 1, "loss": 0.5})
        assert json.loads((tmp_path / "m").read_text()) == {"step": 1, "loss": 0.5}
        log.write({"step": 2, "loss": 0.25})
        log.sync()
    assert steps_of(tmp_path / "m") == [1, 2]


def test_a_new_run_starts_empty(tmp_path: Path) -> None:
    write(tmp_path / "m", {"step": 1})
    write(tmp_path / "m", keep=0)
    assert (tmp_path / "m").read_text() == ""


def test_resuming_drops_later_lines_and_the_last_evaluation(tmp_path: Path) -> None:
    lines = [{"step": s, "loss": 1.0} for s in range(1, 10)]
    lines[4:4] = [{"step": 4, "eval": {"a": 1.0}}]
    write(tmp_path / "m", *lines, {"step": 9, "eval": {"a": 2.0}})
    whole = (tmp_path / "m").read_text()
    write(tmp_path / "m", keep=9)
    assert (tmp_path / "m").read_text() == "".join(whole.splitlines(keepends=True)[:-1])
    write(tmp_path / "m", {"step": 7, "loss": 1.0}, keep=6)
    assert steps_of(tmp_path / "m") == [1, 2, 3, 4, 4, 5, 6, 7]


def test_the_evaluations_before_the_last_are_read_back_in_order(tmp_path: Path) -> None:
    lines = [{"step": step, "loss": 1.0, "terms": {"eval": 0.5}} for step in (1, 2, 3, 4)]
    first, second, last = ({"step": step, "eval": {"final.depth": 0.1 * step}} for step in (2, 3, 4))
    write(tmp_path / "m", *lines[:2], first, lines[2], second, lines[3], last)
    kept = [{"step": e["step"], "metrics": e["eval"]} for e in (first, second)]
    assert evaluations(tmp_path / "m", 4) == kept
    assert evaluations(tmp_path / "m", 3) == kept[:1]
    assert evaluations(tmp_path / "m", 2) == []
    write(tmp_path / "empty")
    assert evaluations(tmp_path / "empty", 4) == []


@pytest.mark.parametrize("cut", [1, 2, 12])
def test_a_line_cut_short_by_a_kill_is_dropped(cut: int, tmp_path: Path) -> None:
    write(tmp_path / "m", {"step": 1, "loss": 0.1}, {"step": 2, "loss": 0.2})
    whole = (tmp_path / "m").read_text()
    (tmp_path / "m").write_text(whole[:-cut])
    write(tmp_path / "m", {"step": 3, "loss": 0.3}, keep=2)
    assert steps_of(tmp_path / "m") == ([1, 2, 3] if cut == 1 else [1, 3])  # a missing line end alone loses nothing


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        Log(tmp_path / "nowhere" / "m", 0, 9)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with Log(tmp_path / "m", 0, 9) as log:
        log._stream.close()
        log._stream = open("/dev/full", "w")  # noqa: SIM115
        with pytest.raises(StoreError, match=r"No space left.*Free disk space") as caught:
            log.write({"step": 1})
    assert caught.value.file == tmp_path / "m"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]
