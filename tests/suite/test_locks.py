"""Locks: one execution for many who want it, also when the owner is killed, stalls or is slow."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from suite_fakes import body, ensure_slowly, make_run

from mtlrepro.suite import store
from mtlrepro.suite.store import Lock, Store

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return Lock(tmp_path / "lock")


def write_lock(path: Path, host: str, pid: int, age: float = 0.0) -> None:
    path.write_text(json.dumps({"host": host, "pid": pid, "since": 0}))
    moment = time.time() - age
    os.utime(path, (moment, moment))


def dead_pid() -> int:
    child = SPAWN.Process(target=int)
    child.start()
    child.join()
    assert child.pid is not None
    return child.pid


def wait_for(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


# --- one process ------------------------------------------------------------------------------------------------------


def test_a_lock_says_who_holds_it_and_goes_with_its_holder(lock: Lock) -> None:
    assert lock.acquire()
    with lock:
        owner = json.loads(lock.path.read_text())
        assert (owner["host"], owner["pid"]) == (socket.gethostname(), os.getpid())
        assert os.listdir(lock.path.parent) == ["lock"]
    assert os.listdir(lock.path.parent) == []


def test_without_waiting_a_living_owner_is_left_alone(lock: Lock) -> None:
    assert lock.acquire()
    with lock:
        assert not Lock(lock.path).acquire(wait=False)
    other = Lock(lock.path)
    assert other.acquire(wait=False)
    with other:
        pass


def test_ensure_without_waiting_answers_none_while_somebody_is_at_it(tmp_path: Path) -> None:
    run, runs = make_run(), Store(tmp_path)
    (tmp_path / run.key).mkdir()
    held = Lock(tmp_path / run.key / "lock")
    assert held.acquire()
    with held:
        assert runs.ensure(run, lambda folder: body(), wait=False) is None
    assert runs.ensure(run, lambda folder: body(), wait=False) is not None


def test_an_exception_lets_the_lock_go(lock: Lock) -> None:
    assert lock.acquire()
    with pytest.raises(KeyboardInterrupt), lock:
        raise KeyboardInterrupt
    assert not lock.path.exists()


@pytest.mark.parametrize(
    ("host", "alive", "age", "taken"),
    [
        ("here", False, 0, True),
        ("here", True, 0, False),
        ("here", True, store.STALE + 5, True),
        ("elsewhere", False, 0, False),
        ("elsewhere", False, store.STALE - 5, False),
        ("elsewhere", False, store.STALE + 5, True),
    ],
)
def test_take_over_from_the_dead_and_the_silent_only(
    host: str, alive: bool, age: float, taken: bool, lock: Lock
) -> None:
    write_lock(
        lock.path, socket.gethostname() if host == "here" else "elsewhere", os.getpid() if alive else dead_pid(), age
    )
    assert lock.acquire(wait=False) is taken
    if taken:
        with lock:
            assert json.loads(lock.path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"host": "x"}', '{"host": "x", "pid": "y"}'])
def test_the_remains_of_a_power_failure_are_taken_over(text: str, lock: Lock) -> None:
    lock.path.write_text(text)
    assert lock.acquire(wait=False)
    with lock:
        pass


def test_the_heartbeat_keeps_a_lock_fresh(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "HEARTBEAT", 0.02)
    assert lock.acquire()
    with lock:
        os.utime(lock.path, (1, 1))
        wait_for(lambda: time.time() - lock.path.stat().st_mtime < 5)
    beats = lock._beat
    assert beats is not None
    assert not beats.is_alive()


def test_who_comes_back_from_a_stall_touches_nothing_of_the_new_owner(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lock.acquire()
    with lock:
        os.utime(lock.path, (1, 1))  # no heartbeat for ages
        new = Lock(lock.path)
        assert new.acquire(wait=False)
        monkeypatch.setattr(store, "HEARTBEAT", 0.02)
        os.utime(lock.path, (1, 1))
        stalled = threading.Thread(target=lock._heartbeat, daemon=True)
        stalled.start()
        time.sleep(0.15)
        assert lock.path.stat().st_mtime == 1
    stalled.join(timeout=5)
    assert new._mine()  # the old owner's exit did not remove the new owner's lock
    with new:
        pass
    assert not lock.path.exists()


def test_only_one_of_many_waiters_takes_over(tmp_path: Path) -> None:
    path, inside, worst, guard = tmp_path / "lock", 0, 0, threading.Lock()
    write_lock(path, socket.gethostname(), dead_pid())

    def work() -> None:
        nonlocal inside, worst
        lock = Lock(path)
        assert lock.acquire()
        with lock:
            with guard:
                inside += 1
                worst = max(worst, inside)
            time.sleep(0.01)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert not any(t.is_alive() for t in threads)
    assert worst == 1
    assert os.listdir(tmp_path) == []


# --- several processes ------------------------------------------------------------------------------------------------


def test_two_processes_want_one_run_and_it_is_executed_once(tmp_path: Path) -> None:
    answers, log = SPAWN.Queue(), tmp_path / "log"
    both = [SPAWN.Process(target=ensure_slowly, args=(tmp_path / "runs", log, 0.5, answers)) for _ in range(2)]
    for process in both:
        process.start()
    outcomes = [answers.get(timeout=30) for _ in both]
    for process in both:
        process.join(timeout=10)
    assert len(log.read_text().splitlines()) == 1
    assert sorted(reused for _, reused in outcomes) == [False, True]
    assert outcomes[0][0] == outcomes[1][0]


def test_a_killed_owner_is_followed_at_once_by_the_next(tmp_path: Path) -> None:
    log, run, answers = tmp_path / "log", make_run(), SPAWN.Queue()
    first = SPAWN.Process(target=ensure_slowly, args=(tmp_path / "runs", log, 60, answers))
    first.start()
    wait_for(log.exists, 30)
    assert (tmp_path / "runs" / run.key / "lock").exists()
    assert Store(tmp_path / "runs").ensure(run, lambda folder: body(), wait=False) is None
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    began = time.monotonic()
    record, reused = Store(tmp_path / "runs").ensure(run, lambda folder: body(final__depth__rmse=0.7)) or ({}, True)
    assert time.monotonic() - began < 5
    assert (record["metrics"], reused) == ({"final.depth.depth/pooled@1.rmse": 0.7}, False)
    assert sorted(os.listdir(tmp_path / "runs" / run.key)) == ["result.json", "spec.json"]
