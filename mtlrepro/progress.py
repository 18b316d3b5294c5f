"""One line of progress on a terminal; silence everywhere else."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class ProgressLine:
    """Shows what all workers are doing in one line that is rewritten in place: runs done, step, loss, it/s, ETA.

    Args:
        write: writes text to the terminal without a line end.
        enabled: by default only on a terminal and outside CI (environment variable `CI`).
        width: columns of the terminal; the last one stays free, because many terminals wrap after it.
    """

    INTERVAL = 0.25

    def __init__(self, write: Callable[[str], Any] | None = None, enabled: bool | None = None, width: int = 120):
        self._write = write or (lambda text: (sys.stderr.write(text), sys.stderr.flush()))
        self._enabled = sys.stderr.isatty() and not os.environ.get("CI") if enabled is None else enabled
        self._width = width - 1
        self._active: dict[str, dict[str, Any]] = {}
        self._done: set[str] = set()
        self._last = 0.0
        self.total = 0
        """Runs in the plan; set by the caller when it is known."""

    def __call__(self, event: dict[str, Any]) -> None:
        """Take a progress event (see `mtlrepro.suite.launch.Event`)."""
        if event.get("done"):
            self._active.pop(event["key"], None)
            self._done.add(event["key"])
        else:
            self._active[event["key"]] = event
        self.show(self.text)

    def show(self, text: str | Callable[[], str]) -> None:
        """Rewrite the line, unless that was done a moment ago."""
        now = time.monotonic()
        if self._enabled and now - self._last >= self.INTERVAL:
            self._last = now
            line = text if isinstance(text, str) else text()
            self._write("\r" + line[: self._width].ljust(self._width))

    def text(self) -> str:
        """The line."""
        parts = [f"{len(self._done)}/{max(self.total, len(self._done) + len(self._active))} runs"]
        for event in self._active.values():
            rate = event["rate"]
            eta = _clock((event["steps"] - event["step"]) / rate if rate else math.inf)
            loss = "?" if math.isnan(event["loss"]) else f"{event['loss']:.3g}"  # before the first log line
            step = f"{event['step']}/{event['steps']}"
            parts.append(f"{event['label']} {step} loss {loss} {rate:.1f} it/s ETA {eta}")
        return " | ".join(parts)

    def clear(self) -> None:
        """Remove the line."""
        if self._enabled and self._last:
            self._write("\r" + " " * self._width + "\r")


def track(items: Iterable[T], total: int, what: str, line: ProgressLine | None = None) -> Iterator[T]:
    """Yield the items and show how many are done, how fast, and how long the rest will take; on a terminal alone."""
    line = line or ProgressLine()
    began = time.monotonic()
    try:
        for done, item in enumerate(items, 1):
            rate = done / max(time.monotonic() - began, 1e-9)
            line.show(f"{done}/{total} {what} {rate:.1f}/s ETA {_clock((total - done) / rate)}")
            yield item
    finally:
        line.clear()


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}" if seconds < 1e6 else "?"
