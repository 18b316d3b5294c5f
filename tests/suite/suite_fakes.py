"""Stand-ins for runs, launchers and jobs: suite tests know what a run would have found without training it.

Nothing here imports torch at module level, so that worker processes which unpickle these classes start quickly.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtlrepro.errors import DataError
from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec, options
from mtlrepro.suite.launch import Job, RunJob
from mtlrepro.suite.store import SCHEMA_VERSION, Run, Store

ROOT = Path(__file__).resolve().parents[2]
SUITES, EXPECTED = ROOT / "suites", ROOT / "expected"


def make_spec(
    arch: str = "mtl", main: tuple[str, ...] = ("semseg", "depth"), lr: float = 1e-3, **settings: Any
) -> RunSpec:
    """A spec that nobody trains."""
    model = ModelSpec(arch, "hrnet_nano", main, options=options(**settings))
    return RunSpec(DataSpec("scenes", (64, 96)), model, Recipe("adam", lr, 1e-4, batch=4, epochs=2))


def make_run(seed: int = 0, **settings: Any) -> Run:
    return Run(make_spec(**settings), seed, "smoke", program="p" * 16, data="d" * 16)


def _key(view: str, task: str, figure: str) -> str:
    usual = {"semseg": "miou/dataset@1", "depth": "depth/pooled@1"}
    return f"{view}.{task}.{usual[task]}.{figure}"


def body(**metrics: float) -> dict[str, Any]:
    """What `execute` returns: a record without schema version and key. `final__depth__rmse=0.5` names a figure."""
    return {
        "metrics": {_key(*name.split("__")): value for name, value in metrics.items()},
        "evaluations": [],
        "trivial": {},
        "steps": 8,
        "seconds": {"setup": 0.1, "train": 1.0, "eval": 0.2},
        "device": "cpu",
        "params": 1000,
        "speed": {},
        "weights": None,
    }


def ensure_slowly(root: Path, log: Path, seconds: float, answer: Any) -> None:
    """Process entry: want a run whose execution notes its process and takes a while."""

    def execute(folder: Path) -> dict[str, Any]:
        with log.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        time.sleep(seconds)
        return body(final__depth__rmse=0.5)

    outcome = Store(root).ensure(make_run(), execute)
    answer.put(outcome)


@dataclass(frozen=True)
class FakeJob:
    """A job of a few milliseconds.

    Attributes:
        key: see `Job`.
        log: a line is appended for every execution.
        does: "work", "fail" (a `DataError`), "err" (a `ValueError`), "exit" (in success), "die" (SIGKILL of its
            process), "sleep" (a minute) or "busy" (while `log` has a sibling named "busy", somebody else is at it).
    """

    key: str
    log: Path
    does: str = "work"
    device: str = "nowhere"

    def execute(self, report: Callable[[dict[str, Any]], None], wait: bool) -> dict[str, Any] | None:
        if self.does == "busy" and self.log.with_name("busy").exists():
            assert not wait
            return None
        with self.log.open("a") as stream:
            stream.write(f"{self.key} {os.getpid()} {self.device}\n")
        report({"label": self.key, "key": self.key, "done": True})
        if self.does == "fail":
            raise DataError("label 99 is out of range", file="a/b.png", field="semseg", mend="Relabel it")
        if self.does == "err":
            raise ValueError("nobody expects it")
        if self.does == "exit":
            sys.exit(0)
        if self.does == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.does == "sleep":
            time.sleep(60)
        return {"key": self.key, "device": self.device}


class FakeLauncher:
    """Answers at once with figures given by spec; notes what was submitted.

    Args:
        figures: spec -> ("<view>.<task>.<figure>" -> value), raised if it is an exception; `seed * step` is added.
        costs: model -> (params, macs).
    """

    def __init__(
        self,
        figures: Callable[[RunSpec], Mapping[str, float] | Exception],
        costs: Callable[[ModelSpec], tuple[int, int] | Exception] = lambda model: (1000, 2000),
        step: float = 0.0,
    ):
        self.figures, self.costs, self.step = figures, costs, step
        self.jobs: dict[str, Job] = {}
        self.asked: list[str] = []

    def submit(self, jobs: Sequence[Job]) -> None:
        assert len({j.key for j in jobs}) == len(jobs)
        for job in jobs:
            self.jobs.setdefault(job.key, job)

    @property
    def runs(self) -> list[Run]:
        return [j.run for j in self.jobs.values() if isinstance(j, RunJob)]

    def result(self, key: str) -> dict[str, Any]:
        self.asked.append(key)
        job = self.jobs[key]
        if isinstance(job, RunJob):
            figures = self.figures(job.run.spec)
            if isinstance(figures, Exception):
                raise figures
            values = {name: value + self.step * job.run.seed for name, value in figures.items()}
            record = {"schema_version": SCHEMA_VERSION, "key": key, **body(), "metrics": values}
            return {"record": json.loads(json.dumps(record)), "reused": False}
        cost = self.costs(job.model)
        if isinstance(cost, Exception):
            raise cost
        return {"params": cost[0], "macs": cost[1], "uncounted": {}}

    def close(self) -> None:
        self.jobs.clear()
