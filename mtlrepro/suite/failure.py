"""What a run that failed leaves beside what it had: failed.json, gone when the run is begun again."""

from __future__ import annotations

import contextlib
import socket
import traceback
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from mtlrepro.errors import ReproError, StoreError, TrainingError
from mtlrepro.files import read_json, write_failure, write_json

FILE = "failed.json"


@dataclass(frozen=True)
class Failure:
    """Why a run ended, and where.

    Attributes:
        problem, file, field, mend: see `mtlrepro.errors.ReproError`; "" for none.
        host: where it ran.
        time: when, UTC in ISO format.
        environment: what it ran with.
    """

    problem: str
    file: str
    field: str
    mend: str
    host: str
    time: str
    environment: dict[str, str]


class Ended(SystemExit):
    """This process is asked to end, by a signal; any other `SystemExit` is a fault of what is executed."""


def told(error: BaseException) -> ReproError:
    """An error as a user is told it: a fault of the program becomes a `TrainingError` that names the place."""
    if isinstance(error, ReproError):
        return error
    at = traceback.extract_tb(error.__traceback__)[-1]
    mend = "Look there: it is a value of the spec that nobody checked, or a fault of the program"
    return TrainingError(f"{type(error).__name__}: {error}", file=f"{at.filename}:{at.lineno}", mend=mend)


def leave(folder: Path, error: BaseException) -> None:
    """Leave a mark of a failure, unless the folder cannot be written: then the error itself has to do."""
    from mtlrepro.engine.environment import environment

    said = told(error)
    failure = Failure(
        said.problem,
        file=str(said.file or ""),
        field=str(said.field or ""),
        mend=said.mend,
        host=socket.gethostname(),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=environment(),
    )
    with contextlib.suppress(StoreError):
        write_json(folder / FILE, asdict(failure))


def read(folder: Path) -> Failure | None:
    """The mark in a run's folder, None if there is none.

    Raises:
        StoreError: it cannot be read, or is none.
    """
    path, mend = folder / FILE, "Delete this file to have the run tried again"
    if not path.exists():
        return None
    found = read_json(path, mend)
    try:
        return Failure(**found)
    except TypeError as error:
        raise StoreError(f"no mark of a failure: {error}", file=path, mend=mend) from error


def clear(folder: Path) -> None:
    """Remove the mark, if there is one.

    Raises:
        StoreError: the folder cannot be written.
    """
    try:
        (folder / FILE).unlink(missing_ok=True)
    except OSError as error:
        raise write_failure(folder / FILE, error) from error
