from __future__ import annotations

import math
from typing import Any

import pytest

from mtlrepro.progress import ProgressLine


def event(key: str = "a", step: int = 50, loss: float = 0.123456, **rest: Any) -> dict[str, Any]:
    return {"key": key, "label": f"run {key}", "step": step, "steps": 200, "loss": loss, "rate": 2.0, **rest}


class Terminal:
    def __init__(self, enabled: bool = True, width: int = 60):
        self.written: list[str] = []
        self.line = ProgressLine(self.written.append, enabled, width)


def test_the_line_shows_runs_steps_loss_rate_and_time_left() -> None:
    line = Terminal().line
    line.total = 7
    line(event())
    assert line.text() == "0/7 runs | run a 50/200 loss 0.123 2.0 it/s ETA 1:15"
    line(event("b", 199))
    line({"key": "a", "label": "run a", "done": True})
    assert line.text() == "1/7 runs | run b 199/200 loss 0.123 2.0 it/s ETA 0:00"


def test_a_run_without_rate_or_loss_yet() -> None:
    line = Terminal().line
    line(event(loss=math.nan, rate=0.0))
    assert line.text() == "0/1 runs | run a 50/200 loss ? 0.0 it/s ETA ?"


def test_runs_are_counted_once_even_beyond_the_plan() -> None:
    line = Terminal().line
    for key in "aabc":
        line({"key": key, "label": key, "done": True})
    assert line.text() == "3/3 runs"


def test_it_is_one_line_that_never_wraps_and_is_removed_at_the_end() -> None:
    terminal = Terminal()
    terminal.line(event(label="x" * 100))
    terminal.line.clear()
    for text in terminal.written:
        assert "\n" not in text
        assert text.startswith("\r")
        assert len(text.strip("\r")) == 59
    assert terminal.written[-1].strip() == ""
    assert terminal.written[-1].endswith("\r")


def test_it_is_not_written_more_often_than_an_eye_can_follow() -> None:
    terminal = Terminal()
    for step in range(100):
        terminal.line(event(step=step))
    assert len(terminal.written) <= 2


def test_disabled_it_writes_nothing() -> None:
    terminal = Terminal(enabled=False)
    terminal.line(event())
    terminal.line.clear()
    assert terminal.written == []


@pytest.mark.parametrize(("tty", "ci", "shown"), [(True, "", True), (True, "true", False), (False, "", False)])
def test_only_a_terminal_outside_ci_shows_it(tty: bool, ci: str, shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: tty, raising=False)
    monkeypatch.setenv("CI", ci)
    written: list[str] = []
    ProgressLine(written.append)(event())
    assert bool(written) == shown
