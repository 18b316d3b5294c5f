"""Launchers: every key once, errors as they were raised, an orderly end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from suite_fakes import FakeJob

from mtlrepro.errors import DataError, StoreError, TrainingError
from mtlrepro.spec import ModelSpec
from mtlrepro.suite.launch import CostJob, Inline, Pool


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def lines(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


# --- in this process --------------------------------------------------------------------------------------------------


def test_inline_works_when_asked_and_once_a_key(log: Path) -> None:
    events: list[dict[str, Any]] = []
    inline = Inline("cuda:1", events.append)
    inline.submit([FakeJob("a", log), FakeJob("b", log), FakeJob("a", log)])
    assert lines(log) == []
    assert inline.result("b") == {"key": "b", "device": "cuda:1"}
    assert inline.result("a") == inline.result("a")
    inline.submit([FakeJob("a", log)])
    inline.result("a")
    assert [line[0] for line in lines(log)] == ["b", "a"]
    assert [e["key"] for e in events] == ["b", "a"]


def test_inline_does_other_work_while_somebody_else_has_the_wanted_job(tmp_path: Path, log: Path) -> None:
    busy = tmp_path / "busy"
    busy.touch()

    class FreeingJob(FakeJob):
        def execute(self, report: Any, wait: bool) -> dict[str, Any] | None:
            busy.unlink()  # the other process is done by the time this one is
            return super().execute(report, wait)

    inline = Inline()
    inline.submit([FakeJob("wanted", log, "busy"), FreeingJob("other", log)])
    assert inline.result("wanted")["key"] == "wanted"
    assert [line[0] for line in lines(log)] == ["other", "wanted"]


def test_inline_keeps_a_failure_for_whoever_asks_for_that_job(tmp_path: Path, log: Path) -> None:
    busy = tmp_path / "busy"
    busy.touch()

    class FailingJob(FakeJob):
        def execute(self, report: Any, wait: bool) -> dict[str, Any] | None:
            busy.unlink()
            return super().execute(report, wait)

    inline = Inline()
    inline.submit([FakeJob("wanted", log, "busy"), FailingJob("broken", log, "fail")])
    assert inline.result("wanted")["key"] == "wanted"  # not the error of the job done meanwhile
    for _ in range(2):
        with pytest.raises(DataError, match="label 99"):
            inline.result("broken")
    assert [line[0] for line in lines(log)] == ["broken", "wanted"]  # nor is an hour of training tried twice


@pytest.mark.parametrize(("does", "told"), [("err", "ValueError: nobody expects it"), ("exit", "SystemExit: 0")])
def test_a_fault_ends_its_own_job_alone(pool: Pool, log: Path, does: str, told: str) -> None:
    for launcher in (Inline(), pool):
        launcher.submit([FakeJob("faulty", log, does), FakeJob("sound", log)])
        with pytest.raises(TrainingError, match=told) as caught:
            launcher.result("faulty")
        assert "suite_fakes.py:" in str(caught.value.file)
        assert launcher.result("sound")["key"] == "sound"


def test_inline_close_forgets_what_is_pending(log: Path) -> None:
    inline = Inline()
    inline.submit([FakeJob("a", log)])
    inline.close()
    assert lines(log) == []


# --- a pool -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def pool(events: list[dict[str, Any]]) -> Iterator[Pool]:
    pool = Pool(["left", "right"], events.append)
    yield pool
    pool.close()


def test_pool_executes_each_key_once_on_its_devices_and_errors_travel_whole(
    pool: Pool, log: Path, events: list[dict[str, Any]]
) -> None:
    keys = [f"job{i}" for i in range(12)]
    pool.submit([FakeJob(k, log) for k in keys])
    pool.submit([FakeJob(k, log) for k in reversed(keys)])
    pool.submit([FakeJob("broken", log, "fail")])
    outcomes = [pool.result(k) for k in keys]
    assert [o["key"] for o in outcomes] == keys
    assert {o["device"] for o in outcomes} <= {"left", "right"}
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            pool.result("broken")
        error = caught.value
        assert (error.problem, error.file, error.field, error.mend) == (
            "label 99 is out of range",
            "a/b.png",
            "semseg",
            "Relabel it",
        )
    assert sorted(line[0] for line in lines(log)) == sorted([*keys, "broken"])
    by_process = {}
    for _, pid, device in lines(log):
        assert by_process.setdefault(pid, device) == device
        assert int(pid) != os.getpid()
    assert len(set(by_process.values())) == len(by_process)  # no device serves two processes
    wait_for(lambda: len(events) == 13)


def test_closing_a_pool_ends_what_is_running_and_drops_the_rest(log: Path) -> None:
    pool = Pool(["left", "right"])
    pool.submit([FakeJob(f"long{i}", log, "sleep") for i in range(6)])
    wait_for(lambda: len(lines(log)) == 2)
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < 10
    for _, pid, _ in lines(log):
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    assert len(lines(log)) == 2


def working(pid: str) -> bool:
    """Whether a process is there and not a zombie, which has no command line."""
    file = Path("/proc") / pid / "cmdline"
    return file.exists() and bool(file.read_bytes())


def sleep_in_a_pool(log: Path) -> None:
    """Process entry: a session in the middle of its work."""
    pool = Pool(["left", "right"])
    pool.submit([FakeJob("long", log, "sleep"), FakeJob("short", log)])
    pool.result("long")


def test_workers_end_with_a_session_that_is_killed(log: Path) -> None:
    session = multiprocessing.get_context("spawn").Process(target=sleep_in_a_pool, args=(log,))
    session.start()
    wait_for(lambda: len(lines(log)) == 2)
    assert session.pid is not None
    os.kill(session.pid, signal.SIGKILL)
    session.join()
    wait_for(lambda: not any(working(pid) for _, pid, _ in lines(log)))


def test_a_pool_that_did_nothing_closes() -> None:
    Pool(["cpu"]).close()


def test_a_worker_that_is_killed_is_told_as_an_error_with_a_mend(pool: Pool, log: Path) -> None:
    pool.submit([FakeJob("dies", log, "die"), FakeJob("after", log)])
    with pytest.raises(TrainingError, match="ended abruptly") as caught:
        pool.result("dies")
    assert caught.value.field == "run dies"
    assert "again" in caught.value.mend


# --- costs ------------------------------------------------------------------------------------------------------------

CHANNELS = (("semseg", 40), ("depth", 1))


def cost_job(runs: Path) -> CostJob:
    model = ModelSpec("mtl", "hrnet18", ("semseg", "depth"), weights="hrnet_w18_small_v2.ms_in1k")
    return CostJob(model, CHANNELS, (480, 640), "c" * 16, runs)


def test_costs_are_counted_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cost_job(tmp_path).execute(lambda event: None, wait=False)
    assert first is not None
    assert (first["params"], round(first["macs"] / 1e9, 3)) == (4_019_251, 12.772)  # the paper's multi-task network
    monkeypatch.setattr("mtlrepro.profiling.cost.model_cost", None)
    assert cost_job(tmp_path).execute(lambda event: None, wait=False) == first


def test_a_corrupt_cost_is_told_and_only_its_file_is_to_be_deleted(tmp_path: Path) -> None:
    path = tmp_path / "costs" / f"{'c' * 16}.json"
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(StoreError) as caught:
        cost_job(tmp_path).execute(lambda event: None, wait=False)
    assert caught.value.file == path
    assert caught.value.mend == "Delete it, it is counted again"
