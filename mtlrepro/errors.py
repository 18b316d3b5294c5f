"""The one kind of error a user is meant to read: what is wrong, where, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

SHOWN = 40
"""Known names that an error lists at most."""


class ReproError(Exception):
    """Bad input or a bad environment, told in one sentence each for place, problem and mend.

    Args:
        problem: what is wrong, with the offending value.
        file: the file (or folder) it was found in, if any.
        field: the key, column, tensor or array inside that file, if any.
        mend: what the reader can do about it.
    """

    def __init__(self, problem: str, *, file: str | Path | None = None, field: str | None = None, mend: str = ""):
        self.problem, self.file, self.field, self.mend = problem, file, field, mend
        where = ": ".join(str(part) for part in (file, field) if part is not None)
        text = f"{where}: {problem}" if where else problem
        super().__init__(f"{text}. {mend}" if mend else text)

    def __reduce__(self):  # keyword-only arguments do not survive the default pickling between worker processes
        return _rebuild, (type(self), self.problem, self.file, self.field, self.mend)


def _rebuild(cls, problem, file, field, mend):
    return cls(problem, file=file, field=field, mend=mend)


class DataError(ReproError):
    """A dataset file is missing, truncated, of the wrong shape or dtype, or holds a label out of range."""


class SpecError(ReproError):
    """A table, row, task, option or description names something that does not exist or does not fit."""


class StoreError(ReproError):
    """The run store cannot be read or written, or holds a record this version does not understand."""


class TrainingError(ReproError):
    """A run cannot go on, for example because its loss is not finite."""


class MissingExtra(ReproError):
    """An optional dependency is needed; the message names the extra that brings it."""


def unknown(
    kind: str, name: object, known: Iterable[str], *, file: str | Path | None = None, field: str | None = None
) -> SpecError:
    """A `SpecError` for an unknown name, with the nearest known names as the mend.

    Example:
        >>> print(unknown("task", "semsge", ["semseg", "depth"]))
        unknown task 'semsge'. Did you mean 'semseg'? Known: depth, semseg
    """
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    mend = f"{hint}Known: {', '.join(known[:SHOWN]) or 'none'}{more}"
    return SpecError(f"unknown {kind} {name!r}", file=file, field=field, mend=mend)
