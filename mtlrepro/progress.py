"""One line of progress on a terminal; silence everywhere else."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable
from typing import Any


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
        now = time.monotonic()
        if self._enabled and now - self._last >= self.INTERVAL:
            self._last = now
            self._write("\r" + self.text()[: self._width].ljust(self._width))

    def text(self) -> str:
        """The line."""
        parts = [f"{len(self._done)}/{max(self.total, len(self._done) + len(self._active))} runs"]
        for event in self._active.values():
            rate = event["rate"]
            left = (event["steps"] - event["step"]) / rate if rate else float("inf")
            eta = f"{int(left // 60)}:{int(left % 60):02d}" if left < 1e6 else "?"
            loss = "?" if math.isnan(event["loss"]) else f"{event['loss']:.3g}"  # before the first log line
            step = f"{event['step']}/{event['steps']}"
            parts.append(f"{event['label']} {step} loss {loss} {rate:.1f} it/s ETA {eta}")
        return " | ".join(parts)

    def clear(self) -> None:
        """Remove the line."""
        if self._enabled and self._last:
            self._write("\r" + " " * self._width + "\r")
