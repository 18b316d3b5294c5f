"""Jobs and who executes them: a pool with one process a device, or this process itself.

On a GPU machine a device is a GPU, on a CPU machine a core. Equal jobs are made once; across processes and
sessions the store's locks see to it.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from mtlrepro.errors import ReproError, TrainingError
from mtlrepro.expected.schema import COUNTED
from mtlrepro.files import read_json, write_json
from mtlrepro.spec import ModelSpec, RunSpec
from mtlrepro.suite.failure import Ended, told
from mtlrepro.suite.states import ProgressNote
from mtlrepro.suite.store import Run, Store

Event = dict[str, Any]
"""Progress of one run: {"label", "key", "step", "steps", "loss", "rate"}; "done": True at its end."""


@dataclass(frozen=True)
class RunJob:
    """Train and evaluate one run, unless the store has it; what it needs first."""

    run: Run
    runs: Path
    data_root: Path | None = None
    device: str = "cpu"
    needs: tuple[RunJob, ...] = ()

    @property
    def key(self) -> str:
        """Jobs of one key are one job."""
        return self.run.key

    def execute(self, report: Callable[[Event], None], wait: bool) -> dict[str, Any] | None:
        """{"record", "reused"}; None if somebody else is at it and `wait` is off."""
        from mtlrepro.engine.run import Machine  # torch is imported only where work is done
        from mtlrepro.suite.team import check, execute

        check()
        for need in self.needs:  # in the pool they were submitted before, so this mostly waits for another worker
            if replace(need, device=self.device).execute(report, wait) is None:
                return None
        store = Store(self.runs)
        needed = [store.directory(need.run) for need in self.needs]
        label = {"label": f"{self.run.spec.label} seed {self.run.seed}", "key": self.key}
        machine = Machine(self.device, self.data_root, workers=_loader_workers(self.device), cache=self.runs / "cache")

        note = ProgressNote(store.directory(self.run))

        def progress(event: Event) -> None:
            note(event)
            report({**label, **event})

        outcome = store.ensure(
            self.run,
            lambda folder: execute(self.run.spec, self.run.seed, folder, machine, progress, needed),
            wait,
        )
        if outcome is None:
            return None
        report({**label, "done": True})
        return {"record": outcome[0], "reused": outcome[1]}


def _loader_workers(device: str) -> int:
    """Loader processes of a run: a GPU is fed by its share of the cores lent to us, a CPU run keeps to its own."""
    if device == "cpu":
        return 0
    import torch

    return max(1, min(8, len(os.sched_getaffinity(0)) // torch.cuda.device_count()))


@dataclass(frozen=True)
class CostJob:
    """Count parameters and MACs of a paper-exact model, and of its training where asked, unless the store has them."""

    model: ModelSpec
    channels: tuple[tuple[str, int], ...]
    size: tuple[int, int]
    digest: str
    runs: Path
    device: str = "cpu"
    training: RunSpec | None = None

    @property
    def key(self) -> str:
        """Jobs of one key are one job."""
        return self.digest

    def execute(self, report: Callable[[Event], None], wait: bool) -> dict[str, Any] | None:
        """{"params", "added_params", "macs", "uncounted"}; of a training {"train_params", "train_macs"} besides.

        A pure function, so nobody ever waits for another process.
        """
        from mtlrepro.data import dataset_info
        from mtlrepro.profiling.cost import model_cost, training_cost
        from mtlrepro.tasks import make_tasks

        path = self.runs / "costs" / f"{self.digest}.json"
        if path.exists():
            return read_json(path, "Delete it, it is counted again")
        cost = model_cost(replace(self.model, weights=None), dict(self.channels), self.size)
        record: dict[str, Any] = {name: getattr(cost, name) for name in (*COUNTED, "uncounted")}
        if self.training is not None:
            data = self.training.data
            tasks = make_tasks(
                self.training.tasks, dataset_info(data.name, data.options), self.training.objective.losses
            )
            trained = training_cost(self.training, tasks)
            record |= {"train_params": trained.params, "train_macs": trained.macs}
        write_json(path, record)
        return record


Job = RunJob | CostJob


def outcome_of(job: Job, report: Callable[[Event], None], wait: bool) -> dict[str, Any] | None:
    """What a job gives; see `RunJob.execute`.

    Raises:
        ReproError: as the job does; what it raises besides becomes a `TrainingError`, so that a session loses no more
            than the rows of this job.
    """
    try:
        return job.execute(report, wait)
    except (ReproError, Ended):
        raise
    except (Exception, SystemExit) as error:  # a network that calls sys.exit(0) must not end a session in success
        raise told(error) from error


class Launcher(Protocol):
    """Executes jobs; `submit` never runs one twice for one key."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Make these jobs known, in the order they should be done."""
        ...

    def result(self, key: str) -> dict[str, Any]:
        """The outcome of a job, waiting for it; raises what it raised."""
        ...

    def close(self) -> None:
        """Stop: nothing new is begun, work in progress ends at its last checkpoint."""
        ...


class Inline:
    """Executes jobs in this process when a result is asked for (one of several pytest-xdist workers, or a debugger).

    While another process works on the wanted job, it does other pending jobs instead of waiting.

    Args:
        device: where to execute.
        report: receives progress.
    """

    def __init__(self, device: str = "cpu", report: Callable[[Event], None] = lambda event: None):
        self._device, self._report = device, report
        self._pending: dict[str, Job] = {}
        self._done: dict[str, dict[str, Any] | Exception] = {}

    def submit(self, jobs: Sequence[Job]) -> None:
        """See `Launcher`."""
        for job in jobs:
            if job.key not in self._done:
                self._pending.setdefault(job.key, replace(job, device=self._device))

    def result(self, key: str) -> dict[str, Any]:
        """See `Launcher`; a failure is kept for whoever asks for that job, and not tried again."""
        while key not in self._done:
            order = [key, *(k for k in self._pending if k != key)]
            progressed = any(self._attempt(k) for k in order)
            if not progressed:
                time.sleep(0.2)
        outcome = self._done[key]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _attempt(self, key: str) -> bool:
        try:
            outcome: dict[str, Any] | Exception | None = outcome_of(self._pending[key], self._report, wait=False)
        except Exception as error:
            outcome = error
        if outcome is None:
            return False
        self._done[key] = outcome
        del self._pending[key]
        return True

    def close(self) -> None:
        """See `Launcher`."""
        self._pending.clear()


class Pool:
    """One worker process a device; each worker takes the next job when it is free.

    Args:
        devices: torch device names, one worker each; name "cpu" once a core.
        report: receives progress events of all workers, from a thread of this process.
    """

    def __init__(self, devices: Sequence[str], report: Callable[[Event], None] = lambda event: None):
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self._devices = context.SimpleQueue()
        for device in devices:
            self._devices.put(device)
        self._events: Any = context.Queue()
        self._executor = ProcessPoolExecutor(
            len(devices), mp_context=context, initializer=_start, initargs=(self._devices, self._events)
        )
        self._futures: dict[str, Future[dict[str, Any]]] = {}
        self._open = True
        self._listener = threading.Thread(target=self._listen, args=(report,), daemon=True)
        self._listener.start()

    def submit(self, jobs: Sequence[Job]) -> None:
        """See `Launcher`."""
        for job in jobs:
            if job.key not in self._futures:
                self._futures[job.key] = self._executor.submit(_work, job)

    def result(self, key: str) -> dict[str, Any]:
        """See `Launcher`.

        Raises:
            TrainingError: a worker process was killed, which ends the pool; besides what the job raised.
        """
        try:
            return self._futures[key].result()
        except BrokenProcessPool as error:
            mend = "Memory may have run out. Run the same command again: finished runs are kept, others resume"
            raise TrainingError("a worker process ended abruptly", field=f"run {key}", mend=mend) from error

    def close(self) -> None:
        """See `Launcher`."""
        self._open = False
        if any(f.running() for f in self._futures.values()):  # interrupted: a worker may be hours into a run
            for process in list((self._executor._processes or {}).values()):
                process.terminate()
        # The executor cancels what is pending itself: it cannot handle futures that others cancelled.
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._listener.join(timeout=2)

    def _listen(self, report: Callable[[Event], None]) -> None:
        while self._open:
            try:
                report(self._events.get(timeout=0.5))
            except queue.Empty:
                continue
            except (EOFError, OSError):
                return


_device = "cpu"
_events: Any = None


def _start(devices: Any, events: Any) -> None:
    global _device, _events
    _device, _events = devices.get(), events
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A session that is killed cannot close its pool: its workers would wait for the next job for ever, on their GPUs.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(job: Job) -> dict[str, Any]:
    outcome = outcome_of(replace(job, device=_device), _events.put, wait=True)
    assert outcome is not None
    return outcome
