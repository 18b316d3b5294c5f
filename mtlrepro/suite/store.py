"""The run store: one directory a run, named by a content hash; atomic files, a lock with owner and heartbeat.

    <runs>/<key>/spec.json       the run's identity: resolved spec, seed, tier, program and data digests
                 env.json        machine and versions it was made with
                 metrics.jsonl   training and evaluation lines
                 checkpoint.safetensors
                 pictures/       predictions for a few fixed samples
                 progress.json   how far the training is, now and then
                 result.json     written last; a directory without it is an unfinished run
                 failed.json     why it ended without a result
                 lock            owner of the work in progress
    <runs>/queue/<name>.json     what a session at work has planned (`mtlrepro.suite.states`)

Nothing is pickled and nothing is executed on load.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtlrepro.errors import SpecError, StoreError
from mtlrepro.files import fenced, read_json, write_failure, write_json
from mtlrepro.spec import RunSpec, digest
from mtlrepro.suite import failure
from mtlrepro.suite.lock import Lock
from mtlrepro.suite.machine import machine

SCHEMA_VERSION = 3

IDENTITY = ("seed", "tier", "program", "data", "weights", "needs")
"""Keys of spec.json besides the spec: the other attributes of `Run`."""

RESULT_KEYS = frozenset(
    {
        "schema_version",
        "key",
        "metrics",
        "evaluations",
        "trivial",
        "steps",
        "seconds",
        "device",
        "params",
        "speed",
        "weights",
    }
)


@dataclass(frozen=True)
class Run:
    """A run's identity; equal identities are one run.

    Attributes:
        spec: resolved spec, that is after shrinking to the tier.
        seed: the run's seed.
        tier: tier whose evidence it is.
        program: digest of the program files that can affect it.
        data: manifest digest of its data.
        weights: digest of the file its pretrained weights come from, "" for random or for a pinned hub tag.
        needs: keys of the runs that must be finished before it, in the order of the spec's `needs`.
    """

    spec: RunSpec
    seed: int
    tier: str
    program: str
    data: str
    weights: str = ""
    needs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Name of the run's directory."""
        return digest(self.identity())

    def identity(self) -> dict[str, Any]:
        """What spec.json holds."""
        return {
            "schema_version": SCHEMA_VERSION,
            "spec": self.spec.to_json(),
            "seed": self.seed,
            "tier": self.tier,
            "program": self.program,
            "data": self.data,
            "weights": self.weights,
            "needs": list(self.needs),
        }


@dataclass(frozen=True)
class Finished:
    """A finished run as it lies in the store.

    Attributes:
        run: its identity.
        record: its result.
        environment: what it was made with (env.json, but for the hosts: equal machines make equal runs).
        ended: when its result was written, seconds since the epoch.
    """

    run: Run
    record: dict[str, Any]
    environment: dict[str, str]
    ended: float

    @property
    def machine(self) -> str:
        """Name of the machine it ran on."""
        return machine(self.environment)


class Store:
    """A folder of runs.

    Args:
        root: created when the first run is made.
    """

    def __init__(self, root: Path):
        self.root = root

    def directory(self, run: Run) -> Path:
        """The run's directory, existing or not."""
        return self.root / run.key

    def result(self, run: Run) -> dict[str, Any] | None:
        """The record of a finished run, None if it is not finished.

        Raises:
            StoreError: a corrupt record, one of another schema version or another run, or one with unknown or
                missing keys.
        """
        path = self.directory(run) / "result.json"
        return read_result(path, run.key) if path.exists() else None

    def finished(self) -> Iterator[Finished]:
        """Every finished run whose settings this program knows, in the order of their keys.

        Raises:
            StoreError: a record, identity or environment that cannot be read.
        """
        mend = "Delete this run's directory and run again"
        for path in sorted(self.root.glob("*/result.json")):
            identity = read_json(path.with_name("spec.json"), mend)
            environment = read_json(path.with_name("env.json"), mend)
            if not isinstance(environment, dict) or not all(isinstance(v, str) for v in environment.values()):
                raise StoreError("not an object of strings", file=path.with_name("env.json"), mend=mend)
            if (
                identity.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION
            ):  # of an older program: nothing here can mean it
                continue
            try:
                spec, known = RunSpec.from_json(identity["spec"]), {k: identity[k] for k in IDENTITY}
                needs = known["needs"]
                run = Run(spec, **{**known, "needs": tuple(needs) if isinstance(needs, list) else (needs,)})
            except SpecError:  # of a program with other settings: nothing here can mean it
                continue
            except KeyError as error:
                text = f"missing key {error}"
                raise StoreError(text, file=path.with_name("spec.json"), mend=mend) from None
            if run.identity() != identity or run.key != path.parent.name:
                text = f"is the run {run.key}, not the one that its directory names"
                raise StoreError(text, file=path.with_name("spec.json"), mend=mend)
            made_with = {name: text for name, text in environment.items() if name != "host"}
            yield Finished(run, read_result(path, run.key), made_with, path.stat().st_mtime)

    def check_writable(self) -> None:
        """Fail early, before any work, if runs cannot be stored here (StoreError)."""
        probe = self.root / f".probe.{os.getpid()}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"x" * 4096)
        except OSError as error:
            raise write_failure(self.root, error) from error
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)

    def ensure(
        self, run: Run, execute: Callable[[Path], dict[str, Any]], wait: bool = True
    ) -> tuple[dict[str, Any], bool] | None:
        """The run's record and whether it was there already; makes it under the run's lock if not.

        A second process that wants the same run waits for the first one and then reads its record; if the
        owner dies, the next one takes over and resumes from the checkpoint. An owner that lost its lock meanwhile
        writes nothing any more. A failure leaves its mark (`mtlrepro.suite.failure`) until the run is begun again.

        Args:
            run: what is wanted.
            execute: does the work in the given directory and returns the record without schema_version and key.
            wait: False returns None at once while somebody else works on the run.

        Raises:
            StoreError: the store cannot be written, holds a wrong record, or somebody else took the run over while
                this process stood still; besides what `execute` raises.
        """
        done = self.result(run)
        if done is not None:
            return done, True
        directory = self.directory(run)
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_failure(directory, error) from error
        lock = Lock(directory / "lock")
        if not lock.acquire(wait):
            return None
        with lock, fenced(directory, lock.check):
            done = self.result(run)  # somebody else may have finished it while we waited
            if done is not None:
                return done, True
            failure.clear(directory)
            write_json(directory / "spec.json", run.identity())
            try:
                record = {"schema_version": SCHEMA_VERSION, "key": run.key, **execute(directory)}
                write_json(directory / "result.json", record)
            except (Exception, SystemExit) as error:
                if not isinstance(error, failure.Ended):
                    failure.leave(directory, error)
                raise
            return record, False


def read_result(path: Path, run_key: str) -> dict[str, Any]:
    """Read and check the result.json of a run.

    Raises:
        StoreError: corrupt, another schema version, another run's record, unknown or missing key.
    """
    mend = f"Delete the folder {path.parent} to make this run again"
    record = read_json(path, mend)

    def refuse(problem: str, key: str) -> StoreError:
        return StoreError(problem, file=path, field=key, mend=mend)

    version = record.get("schema_version")
    if version != SCHEMA_VERSION:
        raise refuse(f"record of schema version {version!r}, this program reads {SCHEMA_VERSION}", "schema_version")
    for key in sorted(record.keys() - RESULT_KEYS):
        raise refuse(f"unknown key {key!r}", key)
    for key in sorted(RESULT_KEYS - record.keys()):
        raise refuse(f"missing key {key!r}", key)
    if record["key"] != run_key:
        raise refuse(f"record of run {record['key']!r}, expected {run_key!r}", "key")
    for key in ("metrics", "trivial", "seconds", "speed"):
        if not _figures(record[key]):
            raise refuse("not an object of numbers", key)
    every = record["evaluations"]
    if not isinstance(every, list) or not all(map(_evaluation, every)):
        raise refuse("not a list of steps with their metrics", "evaluations")
    return record


def _figures(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, int | float) for v in value.values())


def _evaluation(value: Any) -> bool:
    known = isinstance(value, dict) and value.keys() == {"step", "metrics"}
    return known and isinstance(value["step"], int) and _figures(value["metrics"])
