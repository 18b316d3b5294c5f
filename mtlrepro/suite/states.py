"""What becomes of runs: queued, running, interrupted, failed or done, read from the files of a store alone."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtlrepro.errors import ReproError, StoreError
from mtlrepro.files import read_json, replace_file, write_failure
from mtlrepro.spec import Recipe, RunSpec
from mtlrepro.suite import failure
from mtlrepro.suite.lock import HEARTBEAT, STALE, Lock, Look, look
from mtlrepro.suite.store import Run

STATES = ("queued", "running", "interrupted", "failed", "done")
"""In the order of a run's life. An interrupted run has begun, nobody is at it, and it resumes where it was."""

PROGRESS = "progress.json"
QUEUE = "queue"
"""Folder of the store for what sessions have planned."""
SUBMITTED = "slurm"
"""Folder of the store for what was submitted to a cluster: a list of each array, and the logs."""

FORGOTTEN = 10 * STALE
"""Seconds without a sign of life after which a session's plans are no longer counted."""

TAIL = 16384
"""Bytes at the end of a log that are looked at."""

_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class RunState:
    """A run as the store shows it.

    Attributes:
        key: name of its folder.
        state: one of `STATES`.
        label, seed, tier: what it is; "" and 0 where its spec.json cannot be read.
        needs: keys of the runs it needs.
        folder: where it lies, "" for a run that has not begun.
        owner: who is at it: host and process; "" for nobody.
        age: seconds since its last sign of life, of the running.
        step, steps: how far its training is, 0 for unknown.
        rate: steps a second, 0 for unknown.
        problem: why it failed.
        failed_on: where and when it failed.
        job: its job on a cluster, "" for none.
        log: that job's log.
    """

    key: str
    state: str
    label: str = ""
    seed: int = 0
    tier: str = ""
    needs: tuple[str, ...] = ()
    folder: str = ""
    owner: str = ""
    age: float = 0.0
    step: int = 0
    steps: int = 0
    rate: float = 0.0
    problem: str = ""
    failed_on: str = ""
    job: str = ""
    log: str = ""

    @property
    def eta(self) -> float | None:
        """Seconds until the end of its training at its last rate; None for unknown."""
        return (self.steps - self.step) / self.rate if self.state == "running" and self.rate else None

    def lines(self, count: int) -> list[str]:
        """The last lines of its job's log, else of its metrics.jsonl."""
        for file in filter(None, (self.log, self.folder and f"{self.folder}/metrics.jsonl")):
            if found := tail(Path(file), count):
                return found
        return []


class ProgressNote:
    """Writes down how far a run is, now and then, for `mtlrepro status`.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path):
        self._file = folder / PROGRESS
        self._last = float("-inf")

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take an event of `mtlrepro.engine.saver.Progress`."""
        now = time.monotonic()
        if now - self._last < HEARTBEAT:
            return
        self._last = now
        content = json.dumps({name: event[name] for name in ("step", "steps", "rate")})
        with contextlib.suppress(OSError):  # a disk that cannot be written says so at a file that matters
            replace_file(self._file, content.encode(), durable=False)


def state_of(folder: Path) -> str:
    """The state of the run in a folder, which may be missing."""
    try:
        names = set(os.listdir(folder))
    except OSError:
        return "queued"
    if "result.json" in names:
        return "done"
    if "lock" in names and _owner(folder / "lock") is not None:
        return "running"
    if failure.FILE in names:
        return "failed"
    return "interrupted" if names & {"env.json", "checkpoint.safetensors"} else "queued"


def states(
    root: Path, wanted: Collection[str] | None = None, live: Collection[str] | None = None, details: bool = False
) -> Iterator[RunState]:
    """All runs of a store: those that were begun in the order of their keys, then those that are planned.

    Args:
        root: the store.
        wanted: digests of specs (see `spec_digest`), None for all.
        live: cluster jobs that are waiting or running; None for unknown, then every submitted run counts as queued.
        details: whether finished runs are named too, and not only counted; that reads a file of each.
    """
    submitted = {run["key"]: run for file in _files(root / SUBMITTED) for run in _listed(file)}
    begun: set[str] = set()
    for name in sorted(os.listdir(root)) if root.is_dir() else ():
        folder = root / name
        state = state_of(folder) if _KEY.fullmatch(name) else "queued"
        if state == "queued":  # no run, or one that nobody worked on
            continue
        begun.add(name)
        if state == "done" and wanted is None and not details:
            yield RunState(name, state)
            continue
        spec, known = _identity(folder)
        if wanted is None or (spec is not None and spec_digest(spec) in wanted):
            job = submitted.get(name, {})
            found = RunState(name, state, **known, folder=str(folder), job=job.get("job", ""), log=job.get("log", ""))
            yield _DETAILS.get(state, lambda run, folder: run)(found, folder)
    planned = {run["key"]: run for file in _files(root / QUEUE) if _at_work(file) for run in _listed(file)}
    planned |= {key: run for key, run in submitted.items() if live is None or run["job"] in live}
    for key, run in planned.items():
        if key not in begun and (wanted is None or run["spec"] in wanted):
            what = {name: run[name] for name in ("label", "seed", "tier")}
            yield RunState(key, "queued", **what, needs=tuple(run["needs"]), job=run.get("job", ""))


def listed(run: Run) -> dict[str, Any]:
    """A run as lists of planned ones name it."""
    named = {"key": run.key, "label": run.spec.label, "seed": run.seed, "tier": run.tier, "needs": list(run.needs)}
    return {**named, "spec": spec_digest(run.spec)}


def announce(root: Path, runs: Iterable[Run]) -> Lock:
    """Say which runs are planned, until the lock that is returned is released.

    Args:
        root: the store.
        runs: the plan.

    Raises:
        StoreError: the store cannot be written.
    """
    folder = root / QUEUE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(folder, error) from error
    for plan in _files(folder):
        if not _at_work(plan):  # of a session that was killed
            with contextlib.suppress(OSError):
                plan.unlink()
    planned = Lock(folder / f"{secrets.token_hex(8)}.json", {"runs": list(map(listed, runs))})
    planned.acquire()
    return planned


def spec_digest(spec: RunSpec) -> str:
    """What a spec is known by here, in whichever arithmetic and on however many processes it is run."""
    return _declared(spec).hash()


def _declared(spec: RunSpec) -> RunSpec:
    recipe = replace(spec.recipe, precision=Recipe.precision, ranks=Recipe.ranks, sync_bn=Recipe.sync_bn)
    return replace(spec, recipe=recipe, needs=tuple(map(_declared, spec.needs)))


def tail(file: Path, count: int) -> list[str]:
    """The last lines of a text file, blank ones left out; none of a file that cannot be read."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-count:] if count else []


def _running(run: RunState, folder: Path) -> RunState:
    seen = _owner(folder / "lock")
    if seen is None:  # let go a moment ago
        return run
    who = f"{seen.owner.get('host', 'unknown')} pid {seen.owner.get('pid', '?')}"
    age = max(0.0, time.time() - seen.touched / 1e9)
    return replace(_interrupted(run, folder), owner=who, age=age)


def _interrupted(run: RunState, folder: Path) -> RunState:
    found = _json(folder / PROGRESS)
    if not all(isinstance(found.get(name), int | float) for name in ("step", "steps", "rate")):
        return run
    return replace(run, step=found["step"], steps=found["steps"], rate=found["rate"])


def _failed(run: RunState, folder: Path) -> RunState:
    try:
        mark = failure.read(folder)
    except StoreError as error:
        return replace(run, problem=str(error))
    if mark is None:  # begun again a moment ago
        return run
    where = ": ".join(filter(None, (mark.file, mark.field)))
    said = f"{where}: {mark.problem}" if where else mark.problem
    problem = f"{said}. {mark.mend}" if mark.mend else said
    return replace(_interrupted(run, folder), problem=problem, failed_on=f"{mark.host} at {mark.time}")


_DETAILS = {"running": _running, "interrupted": _interrupted, "failed": _failed}


def _owner(lock: Path) -> Look | None:
    """A lock unless nobody can hold it any more, as far as can be told from here."""
    try:
        seen = look(lock)
    except OSError:
        return None
    return None if seen is None or seen.dead else seen


def _at_work(plan: Path) -> bool:
    seen = _owner(plan)
    return seen is not None and time.time() - seen.touched / 1e9 < FORGOTTEN


def _identity(folder: Path) -> tuple[RunSpec | None, dict[str, Any]]:
    """A run's spec and what it is named by; nothing of one that another version of the program wrote."""
    found = _json(folder / "spec.json")
    try:
        spec = RunSpec.from_json(found["spec"])
        named = {"label": spec.label, "seed": int(found["seed"]), "tier": str(found["tier"])}
        return spec, {**named, "needs": tuple(found["needs"])}
    except (ReproError, KeyError, TypeError, ValueError, AttributeError):
        return None, {}


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def _listed(plan: Path) -> list[dict[str, Any]]:
    runs = _json(plan).get("runs")
    return runs if isinstance(runs, list) else []


def _json(file: Path) -> dict[str, Any]:
    """A file that may be gone, or of a stranger: what is shown is for a person's eyes, and no error."""
    try:
        return read_json(file, "")
    except StoreError:
        return {}
