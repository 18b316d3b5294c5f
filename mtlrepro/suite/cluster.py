"""Runs on a Slurm cluster, through submitit: one task of a job array each, requeued when preempted or out of time.

A task executes its run as any session does: it takes the run's lock in the shared store, executes what the run needs
or waits for whoever does, and resumes from the checkpoint. So tasks, sessions and tasks that were requeued can all want
one run, and it is made once.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtlrepro.errors import MissingExtra, SpecError, StoreError, TrainingError
from mtlrepro.files import write_json
from mtlrepro.suite.failure import Ended
from mtlrepro.suite.launch import Event, RunJob, outcome_of
from mtlrepro.suite.states import SUBMITTED, listed

NAME = "mtlrepro"
"""Name of every job, by which the queue is asked for them."""
ARRAY = 1000
"""Tasks of one array: what Slurm takes unless its MaxArraySize says otherwise."""
TIMEOUTS = 1000
"""Times that a task may be requeued because its time was over; every time it trains on from its checkpoint."""
NOTICE = 90
"""Seconds before the time limit at which a task requeues itself; of short limits a quarter."""
LOG_SECONDS = 30.0
"""Seconds between lines of progress in a task's log."""
ASKED = 20.0
"""Seconds that the queue has for an answer."""


@dataclass(frozen=True)
class Resources:
    """What a task asks of the cluster.

    Attributes:
        minutes: its time limit; a run may take many times as long.
        gpu: whether it trains on a GPU.
        cpus: cores.
        partition: "" for the cluster's default.
        parallel: tasks at one time, 0 for all.
        more: (option of sbatch, value) pairs; "" for an option without value.
    """

    minutes: int
    gpu: bool
    cpus: int
    partition: str = ""
    parallel: int = 0
    more: tuple[tuple[str, str], ...] = ()

    def parameters(self) -> dict[str, Any]:
        """The same as submitit names it."""
        known: dict[str, Any] = {
            "job_name": NAME,
            "time": self.minutes,
            "cpus_per_task": self.cpus,
            "signal_delay_s": min(NOTICE, self.minutes * 60 // 4),
            "stderr_to_stdout": True,
            "array_parallelism": self.parallel or ARRAY,
            "additional_parameters": {"requeue": True, **{name: value or True for name, value in self.more}},
        }
        known |= {"gpus_per_node": 1} if self.gpu else {}
        return known | ({"partition": self.partition} if self.partition else {})


class Task:
    """What submitit executes on a node, and again after every requeue.

    Args:
        job: the run, with those it needs; its store lies on a file system that all nodes share.
        gpu: whether it was promised one.
    """

    def __init__(self, job: RunJob, gpu: bool):
        self.job, self.gpu = job, gpu

    def __call__(self) -> None:
        """Execute the run.

        Raises:
            ReproError: see `mtlrepro.engine.run.execute`; no GPU where one was promised, or the program was changed
                since the run was planned.
        """
        before = signal.signal(signal.SIGTERM, _end)
        try:
            self._execute()
        finally:
            signal.signal(signal.SIGTERM, before)

    def _execute(self) -> None:
        import torch

        if self.gpu and not torch.cuda.is_available():
            mend = "Submit with --gpus 0 to train on CPUs, or name a partition whose nodes have GPUs"
            raise TrainingError("no GPU is visible on this node", field="--gpus", mend=mend)
        check_program(self.job)
        outcome = outcome_of(replace(self.job, device="cuda:0" if self.gpu else "cpu"), _Lines(), wait=True)
        assert outcome is not None
        print("was there already" if outcome["reused"] else "finished", flush=True)

    def checkpoint(self) -> Any:
        """What submitit requeues: the same, whose checkpoint is the engine's."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Collected(list[Any]):
    """A launcher that executes nothing: its content is what was submitted to it."""

    def submit(self, jobs: Sequence[Any]) -> None:
        """See `mtlrepro.suite.launch.Launcher`, as for the following."""
        self += jobs

    def result(self, key: str) -> dict[str, Any]:
        """There is none."""
        raise KeyError(key)

    def close(self) -> None:
        """Nothing is at work."""


def check_program(job: RunJob) -> None:
    """Raise a `StoreError` if a run, or one it needs, was planned with other files of the program."""
    from mtlrepro.suite.program import program_digest

    for need in job.needs:
        check_program(need)
    if program_digest(job.run.spec) != job.run.program:
        problem = f"the program was changed since {job.run.spec.label!r} was submitted"
        mend = "Submit again, or put back the files; copy the checkout to work on it while jobs wait"
        raise StoreError(problem, field=f"run {job.key}", mend=mend)


def submit(jobs: Sequence[RunJob], resources: Resources, runs: Path) -> dict[str, str]:
    """Submit runs, those that others need first.

    Args:
        jobs: distinct runs.
        resources: of each.
        runs: the store; logs and a list of the runs go to its folder `SUBMITTED`.

    Returns:
        Key of each run -> its job ("12_3" is the fourth task of array 12).

    Raises:
        MissingExtra: submitit is not installed.
        SpecError: there is no Slurm here, or it refuses the resources.
        StoreError: the store cannot be written.
    """
    try:
        import submitit
    except ImportError as error:
        mend = "pip install 'mtlrepro[slurm]'"
        raise MissingExtra("submitting to Slurm needs submitit, which is not installed", mend=mend) from error
    if absent := [name for name in ("sbatch", "srun") if shutil.which(name) is None]:
        mend = "Submit from a node of the cluster, or use `mtlrepro run` here"
        raise SpecError(f"there is no Slurm here: no {' and no '.join(absent)} is found", mend=mend)
    folder = runs / SUBMITTED
    made: dict[str, str] = {}
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=TIMEOUTS)
    for first in range(0, len(jobs), ARRAY):
        part = jobs[first : first + ARRAY]
        try:
            executor.update_parameters(**resources.parameters())
            with executor.batch():
                tasks = [executor.submit(Task(job, resources.gpu)) for job in part]
            entries = [
                {**listed(job.run), "job": task.job_id, "log": str(task.paths.stdout)}
                for job, task in zip(part, tasks, strict=True)
            ]
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            mend = "Ask for what its partitions offer (`sinfo`), by --partition, --time, --gpus, --cpus or --slurm"
            raise SpecError(f"Slurm refuses the jobs: {_last_line(error)}", mend=mend) from error
        write_json(folder / f"{tasks[0].job_id.partition('_')[0]}.json", {"runs": entries})
        made |= {entry["key"]: entry["job"] for entry in entries}
    return made


def live_jobs() -> set[str] | None:
    """Our jobs that are waiting or running; None where the queue cannot be asked."""
    command = ["squeue", "--noheader", "--array", f"--name={NAME}", "--format=%i"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASKED, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(done.stdout.split())


class _Lines:
    """Progress as lines of a log, some time apart."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._last = float("-inf")

    def __call__(self, event: Event) -> None:
        now = self._clock()
        if event.get("done") or now - self._last >= LOG_SECONDS:
            self._last = now
            print(_line(event), flush=True)


def _line(event: Mapping[str, Any]) -> str:
    if event.get("done"):
        return f"{event['label']}: done"
    return f"{event['label']}: step {event['step']}/{event['steps']} loss {event['loss']:.3g} {event['rate']:.2f} it/s"


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _end(number: int, frame: object) -> None:
    """At a cancellation or a preemption: let the lock go at once instead of being killed with it."""
    raise Ended(128 + number)
