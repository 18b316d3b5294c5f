"""What becomes of runs, read from stores in every state."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from suite_fakes import body, make_run, make_spec
from test_locks import dead_pid, write_lock

from mtlrepro.errors import DataError
from mtlrepro.files import write_json
from mtlrepro.suite import states as module
from mtlrepro.suite.execution import Execution
from mtlrepro.suite.lock import HEARTBEAT, Lock
from mtlrepro.suite.states import STATES, ProgressNote, RunState, announce, listed, spec_digest, state_of, states, tail
from mtlrepro.suite.store import Run, Store


def begun(root: Path, run: Run, *files: str) -> Path:
    """A run's folder as a process leaves it that was killed after a while."""
    folder = root / run.key
    folder.mkdir(parents=True)
    write_json(folder / "spec.json", run.identity())
    for name in files:
        (folder / name).write_text("{}")
    return folder


def every_state(root: Path) -> tuple[dict[str, Run], Lock]:
    """One run in each state; the lock of the running one, and of the queue's."""
    runs = {state: make_run(seed) for seed, state in enumerate(STATES)}
    lock = Lock(begun(root, runs["running"], "env.json") / "lock")
    assert lock.acquire()
    ProgressNote(root / runs["running"].key)({"step": 30, "steps": 90, "rate": 2.0, "loss": 1.0})
    folder = begun(root, runs["interrupted"], "env.json", "checkpoint.safetensors")
    write_lock(folder / "lock", pid=dead_pid())

    def fail(folder: Path) -> dict[str, Any]:
        (folder / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n\n{"step": 3}\n')
        raise DataError("label 99 is out of range", file="a/b.png", field="semseg", mend="Relabel it")

    with pytest.raises(DataError):
        Store(root).ensure(runs["failed"], fail)
    Store(root).ensure(runs["done"], lambda folder: body())
    return runs, lock


def test_every_state_is_told_with_its_facts(tmp_path: Path) -> None:
    runs, lock = every_state(tmp_path)
    plan = announce(tmp_path, runs.values())
    with lock, plan:
        found = {run.state: run for run in states(tmp_path, details=True)}
    assert {state: run.key for state, run in found.items()} == {state: run.key for state, run in runs.items()}
    assert {run.label for run in found.values()} == {make_spec().label}
    assert [found[state].seed for state in STATES] == list(range(len(STATES)))
    running = found["running"]
    assert running.owner.endswith(f" pid {os.getpid()}")
    assert (running.step, running.steps, running.rate, running.eta) == (30, 90, 2.0, 30.0)
    assert 0 <= running.age < 60
    failed = found["failed"]
    assert failed.problem == "a/b.png: semseg: label 99 is out of range. Relabel it"
    assert failed.lines(2) == ['{"step": 2}', '{"step": 3}']
    assert failed.lines(0) == []
    assert found["queued"].folder == ""
    assert found["interrupted"].owner == ""


def test_finished_runs_are_only_counted_unless_their_details_are_wanted(tmp_path: Path) -> None:
    run = make_run()
    Store(tmp_path).ensure(run, lambda folder: body())
    (tmp_path / run.key / "spec.json").write_text("no JSON")
    assert list(states(tmp_path)) == [RunState(run.key, "done")]


def test_a_store_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert list(states(tmp_path / "runs")) == []


def test_folders_that_are_no_runs_are_passed_over(tmp_path: Path) -> None:
    for name in ("cache", "costs", "0" * 15, "x" * 16):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").touch()
    (tmp_path / ("a" * 16)).mkdir()  # somebody is about to begin it
    assert list(states(tmp_path)) == []


def test_plans_end_with_the_session_and_with_its_death(tmp_path: Path) -> None:
    runs = [make_run(seed) for seed in range(3)]
    plan = announce(tmp_path, runs)
    assert {run.key for run in states(tmp_path) if run.state == "queued"} == {run.key for run in runs}
    Store(tmp_path).ensure(runs[0], lambda folder: body())
    assert sorted(run.state for run in states(tmp_path)) == ["done", "queued", "queued"]
    content = plan.path.read_text()
    plan.release()
    assert [run.state for run in states(tmp_path)] == ["done"]
    dead = tmp_path / module.QUEUE / "dead.json"
    dead.write_text(content.replace(f'"pid": {os.getpid()}', f'"pid": {dead_pid()}'))
    assert [run.state for run in states(tmp_path)] == ["done"]
    dead.write_text(content.replace('"host": "', '"host": "not'))  # of another machine: believed for a while
    assert len(list(states(tmp_path))) == 3
    long_ago = time.time() - 2 * module.FORGOTTEN
    os.utime(dead, (long_ago, long_ago))
    assert [run.state for run in states(tmp_path)] == ["done"]
    with announce(tmp_path, []):
        assert not dead.exists()  # swept away by who comes next


def test_submitted_runs_are_queued_while_their_jobs_live(tmp_path: Path) -> None:
    run, folder = make_run(), tmp_path / module.SUBMITTED
    folder.mkdir()
    log = folder / "12_3_0_log.out"
    log.write_text("one\ntwo\n")
    write_json(folder / "12.json", {"runs": [{**listed(run), "job": "12_3", "log": str(log)}]})
    for live, count in ((None, 1), ({"12_3", "12_4"}, 1), ({"12_4"}, 0), (set(), 0)):
        found = [run for run in states(tmp_path, live=live) if run.state == "queued"]
        assert [one.job for one in found] == ["12_3"] * count
    begun(tmp_path, run, "env.json")
    (one,) = states(tmp_path, live=set())
    assert (one.state, one.job, one.lines(1)) == ("interrupted", "12_3", ["two"])


def test_runs_of_tables_are_found_in_any_arithmetic_seed_and_tier(tmp_path: Path) -> None:
    mine, other = make_spec(), make_spec("padnet")
    fast = Execution("fast", 2).applied(mine)
    runs = [replace(make_run(), spec=mine), replace(make_run(), spec=fast, seed=3, tier="full")]
    for run in (*runs, replace(make_run(), spec=other)):
        begun(tmp_path, run, "env.json")
    plan = announce(tmp_path, [replace(make_run(), spec=spec, seed=7) for spec in (fast, other)])
    with plan:
        found = list(states(tmp_path, {spec_digest(mine)}))
    assert sorted((run.seed, run.state) for run in found) == [(0, "interrupted"), (3, "interrupted"), (7, "queued")]
    assert len(list(states(tmp_path))) == 3


@pytest.mark.parametrize("text", ["{", "{}", '{"spec": {}}', '{"spec": 3, "seed": 0, "tier": "smoke", "needs": []}'])
def test_a_run_of_another_program_has_no_name(text: str, tmp_path: Path) -> None:
    folder = begun(tmp_path, make_run(), "env.json")
    (folder / "spec.json").write_text(text)
    (found,) = states(tmp_path)
    assert (found.state, found.label) == ("interrupted", "")
    assert list(states(tmp_path, {spec_digest(make_spec())})) == []


@pytest.mark.parametrize("name", ["progress.json", "failed.json", "lock"])
def test_torn_files_are_shown_as_far_as_they_go(name: str, tmp_path: Path) -> None:
    folder = begun(tmp_path, make_run(), "env.json")
    (folder / name).write_text('{"st')
    (found,) = states(tmp_path)
    assert found.state == {"progress.json": "interrupted", "failed.json": "failed", "lock": "running"}[name]
    assert found.steps == 0
    assert ("not valid JSON" in found.problem) == (name == "failed.json")


def test_a_state_is_told_of_one_folder(tmp_path: Path) -> None:
    assert state_of(tmp_path / "none") == "queued"
    assert state_of(begun(tmp_path, make_run())) == "queued"
    assert state_of(begun(tmp_path, make_run(1), "env.json")) == "interrupted"
    assert state_of(begun(tmp_path, make_run(2), "env.json", "failed.json")) == "failed"
    assert state_of(begun(tmp_path, make_run(3), "env.json", "failed.json", "result.json")) == "done"


def test_progress_is_noted_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, note = 0.0, ProgressNote(tmp_path)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    written = []
    for step in range(20):
        note({"step": step, "steps": 20, "rate": 1.0, "loss": float("nan")})
        written.append(json.loads((tmp_path / module.PROGRESS).read_text())["step"])
        now += HEARTBEAT / 4
    assert written == [step - step % 4 for step in range(20)]
    assert os.listdir(tmp_path) == [module.PROGRESS]


def test_progress_that_cannot_be_noted_stops_no_training(tmp_path: Path) -> None:
    (tmp_path / module.PROGRESS).mkdir()
    ProgressNote(tmp_path)({"step": 1, "steps": 2, "rate": 1.0})


def test_the_tail_of_a_long_log_is_read_alone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {i}\n" for i in range(100_000)))
    assert tail(log, 2) == ["line 99998", "line 99999"]
    assert tail(tmp_path / "none", 2) == []
