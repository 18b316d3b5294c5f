"""metrics.jsonl: what a run said of itself while it trained, one JSON object a line."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any

from mtlrepro.files import write_failure


def evaluations(path: Path, before: int) -> list[dict[str, Any]]:
    """The periodic evaluations of a run, in order: {"step", "metrics"} of each after fewer than `before` steps."""
    entries = map(json.loads, path.read_text().splitlines())
    return [{"step": e["step"], "metrics": e["eval"]} for e in entries if "eval" in e and e["step"] < before]


class Silence:
    """The log of a process that shares a training with the one that keeps it."""

    def write(self, entry: dict[str, Any]) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Nothing."""

    def __enter__(self) -> Silence:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class Log:
    """A context manager that appends lines; those up to the step a run resumes from are kept, later ones dropped.

    Args:
        path: the file.
        keep: lines of steps beyond this one belong to work that is about to be repeated.
        steps: the run's last step, whose evaluation is always repeated.

    Raises:
        StoreError: the file cannot be written.
    """

    def __init__(self, path: Path, keep: int, steps: int):
        self.path = path
        kept = []
        if path.exists() and keep:
            for line in path.read_text(errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError:
                    break  # the line a kill cut short
                if entry["step"] <= keep and not ("eval" in entry and entry["step"] == steps):
                    kept.append(line + "\n")
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")  # process numbers repeat between hosts
        try:
            temporary.write_text("".join(kept))
            os.replace(temporary, path)
            self._stream = path.open("a")
        except OSError as error:
            raise write_failure(path, error) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line.

        Args:
            entry: holds at least "step", the number of optimizer steps done.

        Raises:
            StoreError: the disk is full.
        """
        try:
            self._stream.write(json.dumps(entry, sort_keys=True) + "\n")
            self._stream.flush()  # a killed process leaves every line it wrote
        except OSError as error:
            raise write_failure(self.path, error) from error

    def sync(self) -> None:
        """Wait until the lines are on disk: a checkpoint must not outlive the lines before it."""
        try:
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise write_failure(self.path, error) from error

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):  # every line was flushed when it was written
            self._stream.close()
