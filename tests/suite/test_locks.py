"""Locks: one execution for many who want it, also when the owner is killed, stalls or is slow."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from suite_fakes import body, ensure_slowly, make_run

from mtlrepro.engine import checkpoint
from mtlrepro.engine.checkpoint import Position
from mtlrepro.errors import StoreError
from mtlrepro.suite import lock as locks
from mtlrepro.suite.lock import Lock, look
from mtlrepro.suite.store import Store

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def lock(tmp_path: Path) -> Lock:
    return Lock(tmp_path / "lock")


class Clock:
    """The watcher's time, as a test wants it."""

    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(locks, "clock", lambda: clock.now)
    return clock


def write_lock(path: Path, **owner: Any) -> None:
    """A lock that was left by a process of this boot, but for what is given; None leaves a key out."""
    known = {**locks._here(), "started": locks._started(os.getpid()), "since": 0, **owner}
    path.write_text(json.dumps({name: value for name, value in known.items() if value is not None}))


def _raise(number: int) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


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
        lock.check()
    assert os.listdir(lock.path.parent) == []


def test_without_waiting_a_living_owner_is_left_alone(lock: Lock) -> None:
    assert lock.acquire()
    with lock:
        assert not Lock(lock.path).acquire(wait=False)
        assert os.listdir(lock.path.parent) == ["lock"]
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


# --- who is gone ------------------------------------------------------------------------------------------------------

OTHERS: dict[str, dict[str, Any]] = {
    "another host": {"host": "elsewhere"},
    "another boot, or a container's twin on another machine": {"boot": "another"},
    "another container of this name": {"namespace": "pid:[1]"},
    "an older program": {"boot": None, "namespace": None, "started": None},
}


def test_the_lock_of_a_dead_process_of_this_boot_is_taken_over_at_once(lock: Lock) -> None:
    write_lock(lock.path, pid=dead_pid())
    assert lock.acquire(wait=False)
    with lock:
        assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    assert os.listdir(lock.path.parent) == []


def test_a_process_number_that_was_given_anew_is_no_living_owner(lock: Lock) -> None:
    write_lock(lock.path, pid=os.getpid(), started="1")
    assert lock.acquire(wait=False)
    lock.release()


def test_a_zombie_is_dead(lock: Lock) -> None:
    child = SPAWN.Process(target=time.sleep, args=(60,))
    child.start()
    pid = child.pid or 0
    write_lock(lock.path, pid=pid, started=locks._started(pid))
    assert not lock.acquire(wait=False)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: locks._started(pid) == "")  # not joined: its number is still taken
    assert lock.acquire(wait=False)
    lock.release()
    child.join()


@pytest.mark.parametrize("other", OTHERS)
def test_who_cannot_be_asked_is_watched_and_taken_over_from_only_after_a_long_silence(
    other: str, lock: Lock, clock: Clock
) -> None:
    write_lock(lock.path, pid=dead_pid(), **OTHERS[other])
    for _ in range(int(locks.STALE)):
        assert not lock.acquire(wait=False)
        clock.now += 1
    assert lock.acquire(wait=False)
    lock.release()


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '{"host": "x"}', '{"host": "x", "pid": "y"}'])
def test_the_remains_of_a_power_failure_are_watched_and_taken_over(text: str, lock: Lock, clock: Clock) -> None:
    lock.path.write_text(text)
    assert not lock.acquire(wait=False)
    for _ in range(20):
        clock.now += 5
        if lock.acquire(wait=False):
            break
    assert clock.now == locks.STALE
    lock.release()


def test_a_living_owner_of_this_host_that_is_silent_is_taken_over_from(lock: Lock, clock: Clock) -> None:
    write_lock(lock.path, pid=os.getpid())
    for _ in range(6):
        assert not lock.acquire(wait=False)
        clock.now += 10
    assert lock.acquire(wait=False)
    lock.release()


@pytest.mark.parametrize("jump", [-3e6, -3600.0, 3600.0, 3e6])
def test_a_clock_that_jumps_makes_no_lock_stale(jump: float, lock: Lock, clock: Clock) -> None:
    """Whatever date the file system stamps: only a change counts, and only the watcher's own time."""
    write_lock(lock.path, host="elsewhere", pid=1)
    for second in range(200):
        if second % 5 == 0:
            moment = time.time() + second + (jump if second % 10 else 0)
            os.utime(lock.path, (moment, moment))
        assert not lock.acquire(wait=False)
        clock.now += 1


def test_a_watcher_that_stood_still_itself_saw_no_silence(lock: Lock, clock: Clock) -> None:
    """Owner and watcher frozen together, as a machine is: the watcher may wake first."""
    write_lock(lock.path, host="elsewhere", pid=1)
    for _ in range(3):
        assert not lock.acquire(wait=False)
        clock.now += 3600
    assert not lock.acquire(wait=False)
    os.utime(lock.path, (1, 1))  # the owner is back
    for _ in range(5):
        assert not lock.acquire(wait=False)
        clock.now += 3600


def test_a_new_owner_is_watched_anew(lock: Lock, clock: Clock) -> None:
    write_lock(lock.path, host="elsewhere", pid=1)
    for _ in range(6):
        assert not lock.acquire(wait=False)
        clock.now += 9
    lock.path.unlink()
    write_lock(lock.path, host="third", pid=1)
    for _ in range(6):
        assert not lock.acquire(wait=False)
        clock.now += 9
    assert not lock.acquire(wait=False)


def test_the_heartbeat_keeps_a_lock_fresh(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT", 0.02)
    assert lock.acquire()
    with lock:
        os.utime(lock.path, (1, 1))
        wait_for(lambda: time.time() - lock.path.stat().st_mtime < 5)
    beats = lock._beat
    assert beats is not None
    assert not beats.is_alive()


# --- who lost it ------------------------------------------------------------------------------------------------------


def stolen(lock: Lock) -> Lock:
    """The lock's new owner, after the old one was silent for long."""
    content = json.loads(lock.path.read_text())
    lock.path.unlink()
    new = Lock(lock.path)
    assert new.acquire(wait=False)
    assert json.loads(lock.path.read_text()) != content
    return new


def test_who_comes_back_from_a_stall_touches_nothing_of_the_new_owner(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lock.acquire()
    with lock:
        new = stolen(lock)
        monkeypatch.setattr(locks, "HEARTBEAT", 0.02)
        os.utime(lock.path, (1, 1))
        back = threading.Thread(target=lock._heartbeat, daemon=True)
        back.start()
        back.join(timeout=5)
        assert not back.is_alive()
        assert lock.path.stat().st_mtime == 1
        who = f"process {os.getpid()} on {socket.gethostname()} took its work over"
        with pytest.raises(StoreError, match=who) as caught:
            lock.check()
        assert (caught.value.file, "Nothing is lost" in caught.value.mend) == (lock.path, True)
    new.check()  # the old owner's exit did not remove the new owner's lock
    new.release()
    assert os.listdir(lock.path.parent) == []


def test_a_lock_that_somebody_deleted_is_lost(lock: Lock) -> None:
    assert lock.acquire()
    with lock:
        lock.path.unlink()
        with pytest.raises(StoreError, match="somebody took its work over"):
            lock.check()


@pytest.mark.parametrize("when", ["checkpoint", "result"])
def test_who_lost_its_lock_writes_neither_checkpoint_nor_result_nor_failure(when: str, tmp_path: Path) -> None:
    run, runs = make_run(), Store(tmp_path)
    folder, new = tmp_path / run.key, Lock(tmp_path / "x")
    network, losses = torch.nn.Linear(2, 1), torch.nn.Module()

    def execute(directory: Path) -> dict[str, Any]:
        nonlocal new
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        checkpoint.save(folder / "checkpoint.safetensors", network, losses, optimizer, Position(1))
        lock = Lock(folder / "lock")
        (folder / "lock").unlink()
        assert lock.acquire(wait=False)
        new = lock
        if when == "checkpoint":
            checkpoint.save(folder / "checkpoint.safetensors", network, losses, optimizer, Position(2))
        return body()

    with pytest.raises(StoreError, match="took its work over"):
        runs.ensure(run, execute)
    assert sorted(os.listdir(folder)) == ["checkpoint.safetensors", "lock", "spec.json"]
    assert '"step": 1' in checkpoint.read(folder / "checkpoint.safetensors")[1]["position"]
    new.check()
    new.release()


# --- file systems that lack something ---------------------------------------------------------------------------------


def test_without_hard_links_a_lock_is_made_exclusively(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _raise(errno.EOPNOTSUPP))
    assert lock.acquire(wait=False)
    assert not Lock(lock.path).acquire(wait=False)
    lock.check()
    lock.release()
    write_lock(lock.path, pid=dead_pid())
    assert lock.acquire(wait=False)
    lock.release()
    assert os.listdir(lock.path.parent) == []


def test_a_link_whose_answer_was_lost_counts(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def asked_twice(source: Any, target: Any) -> None:
        real(source, target)
        real(source, target)

    monkeypatch.setattr(os, "link", asked_twice)
    assert lock.acquire(wait=False)
    assert not Lock(lock.path).acquire(wait=False)
    lock.release()


def test_litter_that_is_swept_away_under_a_waiter_does_no_harm(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    real, swept = os.link, []

    def sweep_first(source: Any, target: Any) -> None:
        if not swept:
            swept.append(source)
            Path(source).unlink()
        real(source, target)

    monkeypatch.setattr(os, "link", sweep_first)
    assert lock.acquire()
    assert len(swept) == 1
    lock.release()


def test_litter_that_is_swept_away_once_somebody_was_faster_does_no_harm(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, swept = os.link, []

    def lose_first(source: Any, target: Any) -> None:
        if not swept:
            swept.append(source)
            Path(source).unlink()
            raise FileExistsError(target)
        real(source, target)

    monkeypatch.setattr(os, "link", lose_first)
    assert lock.acquire()
    assert len(swept) == 1
    lock.release()


def test_no_advisory_lock_is_needed(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flock", "lockf", "fcntl"):
        monkeypatch.setattr(fcntl, name, _raise(errno.ENOLCK))
    write_lock(lock.path, pid=dead_pid())
    assert lock.acquire(wait=False)
    lock.release()


def test_who_dies_while_taking_over_is_followed(lock: Lock, clock: Clock) -> None:
    """A ticket that stays behind: of a dead process of this boot at once, of another host after a silence."""
    write_lock(lock.path, pid=dead_pid())
    name = hashlib.sha256(lock.path.read_bytes()).hexdigest()[:16]
    here, there = (lock.path.with_name(f".lock.{name}.{number}") for number in range(2))
    write_lock(here, pid=dead_pid())
    write_lock(there, host="elsewhere", pid=1)
    for _ in range(6):
        assert not lock.acquire(wait=False)
        clock.now += 10
    assert lock.acquire(wait=False)
    assert os.listdir(lock.path.parent) == ["lock"]
    lock.release()


def test_a_lock_that_came_after_the_stale_one_is_left_alone(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the judgement and the removal somebody else took over and began."""
    write_lock(lock.path, pid=dead_pid())
    seen, winner = look(lock.path), Lock(lock.path)
    assert seen is not None
    assert winner.acquire(wait=False)
    assert not lock._remove(seen.text, seen)
    winner.check()
    winner.release()


def test_an_owner_that_is_back_in_the_last_moment_keeps_its_lock(lock: Lock) -> None:
    write_lock(lock.path, host="elsewhere", pid=1)
    seen = look(lock.path)
    assert seen is not None
    os.utime(lock.path, (5, 5))
    assert not lock._remove(seen.text, seen)
    assert os.listdir(lock.path.parent) == ["lock"]


def test_only_one_of_many_waiters_takes_over(tmp_path: Path) -> None:
    path, inside, worst, guard = tmp_path / "lock", 0, 0, threading.Lock()
    write_lock(path, pid=dead_pid())

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


def test_an_owner_that_was_stopped_and_goes_on_writes_nothing(tmp_path: Path) -> None:
    """SIGSTOP, take-over after a silence (a short one here), result of the second, SIGCONT: the first has lost."""
    log, run, answers = tmp_path / "log", make_run(), SPAWN.Queue()
    first = SPAWN.Process(target=ensure_slowly, args=(tmp_path / "runs", log, 2, answers))
    first.start()
    wait_for(log.exists, 30)
    pid = first.pid or 0
    os.kill(pid, signal.SIGSTOP)
    try:
        second = SPAWN.Process(target=ensure_impatiently, args=(tmp_path / "runs", answers))
        second.start()
        record, reused = answers.get(timeout=60)
        second.join(timeout=10)
    finally:
        os.kill(pid, signal.SIGCONT)
    first.join(timeout=30)
    assert (record["metrics"], reused) == ({"final.depth.depth/pooled@1.rmse": 0.25}, False)
    assert first.exitcode == 1
    assert answers.empty()
    assert Store(tmp_path / "runs").result(run) == record
    assert sorted(os.listdir(tmp_path / "runs" / run.key)) == ["result.json", "spec.json"]


def ensure_impatiently(root: Path, answer: Any) -> None:
    """Process entry: want a run, and wait for its silent owner no longer than a second."""
    locks.STALE, locks.HEARTBEAT = 1.0, 0.1
    answer.put(Store(root).ensure(make_run(), lambda folder: body(final__depth__rmse=0.25)))
