"""Processes that torchrun started, which share every batch of every run.

The first of them is the session: it plans, locks, logs, stores and reports. Before each training it tells the others
what to do, and they do it with it (`mtlrepro.engine.run.execute`). They speak through torchrun's key-value store, which
answers also while a process waits in a collective operation for one that will never come.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtlrepro.errors import ReproError, SpecError, TrainingError
from mtlrepro.spec import RunSpec
from mtlrepro.suite.failure import told

if TYPE_CHECKING:
    from mtlrepro.engine.run import Machine
    from mtlrepro.engine.saver import Progress

GRACE = 5.0
"""Seconds that processes have to come to the same error; then each is taken to be waiting for another."""
POLL = 0.05
NEVER = timedelta(days=30)
"""How long a process waits for another in a collective operation: the first one may be judging for hours."""
LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")
"""What torchrun tells the processes that it starts."""

_team: Team | None = None


@dataclass(frozen=True)
class Work:
    """One run to execute together; see `mtlrepro.engine.run.execute`."""

    spec: RunSpec
    seed: int
    directory: Path
    machine: Machine
    needs: tuple[Path, ...]


def execute(
    spec: RunSpec,
    seed: int,
    directory: Path,
    machine: Machine,
    progress: Progress | None = None,
    needs: Sequence[Path] = (),
) -> dict[str, Any]:
    """`mtlrepro.engine.run.execute`, by all processes of the team that this one belongs to."""
    from mtlrepro.engine.run import execute as alone

    if _team is None:
        return alone(spec, seed, directory, machine, progress, needs)
    return _team.lead(
        Work(spec, seed, directory.absolute(), machine, tuple(need.absolute() for need in needs)), progress
    )


def check() -> None:
    """Raise a `TrainingError` if this process's team has ended: then no other run is begun."""
    if _team is not None and _team.lost is not None:
        mend = "Mend that and run the same command again: finished runs are kept, this one resumes"
        raise TrainingError(f"not trained, for the processes that share trainings ended: {_team.lost}", mend=mend)


class Team:
    """This process among those that torchrun started.

    Args:
        store: a key-value store that all of them see.
        rank: this process's number.
        ranks: how many they are.
        device: this process's own.

    Attributes:
        lost: the error that ended it, if one did.
    """

    def __init__(self, store: Any, rank: int, ranks: int, device: str):
        self._store, self.rank, self.ranks, self.device = store, rank, ranks, device
        self._number = 0
        self._ended = True
        self.lost: ReproError | None = None
        threading.Thread(target=self._watch, daemon=True).start()

    def lead(self, work: Work, progress: Progress | None) -> dict[str, Any]:
        """Have all processes execute a run, and return this one's record.

        Raises:
            ReproError: as the run does in every process, which leaves the team ready for others; or in one of them,
                after which the team is lost and no other run is begun.
        """
        self._post(f"work/{self._number}", work)
        return self._together(work, progress)

    def follow(self) -> int:
        """Execute what the first process says until it is done; returns the exit code."""
        try:
            while (work := self._told(f"work/{self._number}")) is not None:
                with contextlib.suppress(ReproError):
                    self._together(work, None)
                if self.lost is not None:
                    self._wait_for_the_end()
                    return 2
        except KeyboardInterrupt:  # the first process says so
            return 130
        return 0

    def close(self) -> None:
        """Let the other processes go."""
        self._ended = True  # after an interruption, too: this process ends by itself
        if self.rank == 0:
            self._store.set("over", b"")

    def _together(self, work: Work, progress: Progress | None) -> dict[str, Any]:
        from mtlrepro.engine.run import execute as alone

        record: dict[str, Any] = {}
        error: ReproError | None = None
        self._ended = False
        try:
            machine = replace(work.machine, device=self.device)
            record = alone(work.spec, work.seed, work.directory, machine, progress, work.needs)
        except ReproError as raised:
            error = raised
        except Exception as raised:
            error = told(raised)
        self._post(f"end/{self._number}/{self.rank}", error)
        self._ended = True
        error = self._judged(error)
        self._number += 1
        if error is not None:
            raise error
        return record

    def _judged(self, own: ReproError | None) -> ReproError | None:
        """The error of the run, if any; where it is not everybody's, the team is lost."""
        keys, since = [f"end/{self._number}/{rank}" for rank in range(self.ranks)], None
        while not self._store.check(keys):
            if since is None and (own is not None or self._failure() is not None):
                since = time.monotonic()
            if since is not None and time.monotonic() - since > GRACE:
                self.lost = self._failure()
                return self.lost
            time.sleep(POLL)
        found = {rank: pickle.loads(self._store.get(key)) for rank, key in enumerate(keys)}
        errors = {rank: error for rank, error in found.items() if error is not None}
        if not errors:
            return None
        first = min(errors)
        if len({(type(error), error.problem, error.field) for error in errors.values()}) == 1:
            return errors[first]
        self.lost = self._of_process(errors[first], first)
        return self.lost

    def _watch(self) -> None:
        """End this process if another one failed and this one has been waiting for it ever since."""
        since = None
        try:
            while True:
                time.sleep(4 * POLL)
                failed = None if self._ended else self._failure()
                since = (since or time.monotonic()) if failed else None
                late = since is not None and time.monotonic() - since > GRACE
                if late and self.rank == 0:
                    print(f"mtlrepro: error: {failed}", file=sys.stderr, flush=True)
                if late and self.rank:
                    self._wait_for_the_end()
                if late or (not self._ended and self._store.check(["over"])):
                    os._exit(2)
        except Exception:  # the store is gone, and with it whoever started this process
            os._exit(2)

    def _failure(self) -> ReproError | None:
        for rank in range(self.ranks):
            key = f"end/{self._number}/{rank}"
            if self._store.check([key]) and (error := pickle.loads(self._store.get(key))) is not None:
                return self._of_process(error, rank)
        return None

    def _of_process(self, error: ReproError, rank: int) -> ReproError:
        problem = f"process {rank} of {self.ranks}: {error.problem}"
        return type(error)(problem, file=error.file, field=error.field, mend=error.mend)

    def _wait_for_the_end(self) -> None:
        """Stay until the first process has said what happened: torchrun ends all when one goes."""
        while not self._store.check(["over"]):
            time.sleep(POLL)

    def _post(self, key: str, value: Any) -> None:
        self._store.set(key, pickle.dumps(value))

    def _told(self, key: str) -> Any:
        """What the first process says under a key, waiting for it; None when it has nothing more to say."""
        while not self._store.check([key]):
            if self._store.check(["over"]):
                return None
            time.sleep(POLL)
        return pickle.loads(self._store.get(key))


@contextlib.contextmanager
def gathered() -> Iterator[Team | None]:
    """The team that torchrun started this process in, connected; None in a process that was started alone.

    Raises:
        SpecError: more processes on this machine than it has GPUs.
    """
    global _team
    if not all(name in os.environ for name in LAUNCHED) or int(os.environ["WORLD_SIZE"]) == 1:
        yield None
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    gpus, local = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
    if gpus and local >= gpus:
        problem = f"more processes on this machine than its {gpus} GPUs"
        raise SpecError(problem, field="--nproc-per-node", mend=f"Give torchrun at most {gpus}")
    if gpus:
        torch.cuda.set_device(local)
    store, rank, ranks = next(iter(rendezvous("env://")))
    backend = "cpu:gloo,cuda:nccl" if gpus else "gloo"
    dist.init_process_group(backend, store=dist.PrefixStore("group", store), rank=rank, world_size=ranks, timeout=NEVER)
    _team = Team(dist.PrefixStore("team", store), rank, ranks, f"cuda:{local}" if gpus else "cpu")
    clean = False
    try:
        yield _team
        clean = _team.lost is None
    finally:
        _team.close()
        _team = None
        if clean:  # else somebody may be waiting in a collective operation, and this one would wait for it
            dist.destroy_process_group()
