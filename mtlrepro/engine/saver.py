"""What happens around the steps of a run: log lines, progress, periodic evaluation, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from mtlrepro.engine import checkpoint
from mtlrepro.engine.checkpoint import Position
from mtlrepro.engine.log import Log, Silence
from mtlrepro.engine.optim import Optimizer

Progress = Callable[[dict[str, Any]], None]
"""Receives {"step", "steps", "loss", "rate"} now and then; rate in steps/s, loss NaN before the first log line."""

PROGRESS_SECONDS = 0.2
CHECKPOINT_SHARE = 0.02
"""Share of a run that checkpoints may take: a file that takes long to write is written less often."""


@dataclass
class Saver:
    """The hooks of one run's training.

    Args:
        model: network in training.
        objective: its objective.
        optimizer: over both.
        file: the checkpoint; None in a process whose state another one stores.
        log: metrics.jsonl.
        evaluate: the figures of the network as it stands.
        evaluate_every: steps between evaluations, 0 for none but the one after training.
        seconds: time between checkpoints; 0 writes one after every step.
        start: where the run resumes.
        steps: its last step, always stored.
        progress: told how far the run is.
    """

    model: nn.Module
    objective: nn.Module
    optimizer: Optimizer
    file: Path | None
    log: Log | Silence
    evaluate: Callable[[], dict[str, float]]
    evaluate_every: int
    seconds: float
    start: Position
    steps: int
    progress: Progress | None

    def __post_init__(self) -> None:
        self._began = self._saved = time.perf_counter()
        self._shown = float("-inf")
        self._wait = self.seconds
        self._loss = float("nan")
        self.position = self.start
        """What the checkpoint holds."""

    def line(self, entry: dict[str, Any]) -> None:
        """Take a log line."""
        self._loss = entry.get("loss", self._loss)
        self.log.write(entry)

    def due(self, done: int) -> bool:
        """Is the state after `done` steps stored?"""
        waited = self.file is not None and time.perf_counter() - self._saved >= self._wait
        return done == self.steps or self._evaluation_due(done) or waited

    def after_step(self, done: int, due: bool, step_seconds: float) -> None:
        """Show progress; evaluate and store if that is due. The checkpoint comes last: lines before it are kept."""
        now = time.perf_counter()
        if self.progress is not None and now - self._shown >= PROGRESS_SECONDS:
            self._shown = now
            rate = (done - self.start.step) / (now - self._began)
            self.progress({"step": done, "steps": self.steps, "loss": self._loss, "rate": rate})
        if self._evaluation_due(done):
            self.log.write({"step": done, "eval": self.evaluate()})
        if due and self.file is not None:
            self._save(self.file, done, step_seconds)

    def _save(self, file: Path, done: int, step_seconds: float) -> None:
        before = self.start.seconds
        began = time.perf_counter()
        spent = {
            "setup": before.get("setup", 0.0),
            "train": before.get("train", 0.0) + began - self._began,
            "steps": before.get("steps", 0.0) + step_seconds,
        }
        self.position = Position(done, spent)
        self.log.sync()
        checkpoint.save(file, self.model, self.objective, self.optimizer, self.position)
        self._saved = time.perf_counter()
        if self.seconds:
            self._wait = max(self.seconds, (self._saved - began) / CHECKPOINT_SHARE)

    def _evaluation_due(self, done: int) -> bool:
        return bool(self.evaluate_every) and done % self.evaluate_every == 0 and done < self.steps
