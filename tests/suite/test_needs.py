"""Runs that others need: made first, once, by whoever comes first, and told by their own error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from jtr_session import jtr, open_session
from suite_fakes import body, make_run, make_spec

from mtlrepro.engine import run as engine
from mtlrepro.errors import TrainingError
from mtlrepro.spec import RunSpec
from mtlrepro.suite import session
from mtlrepro.suite.launch import Inline, Launcher, Pool, RunJob
from mtlrepro.suite.shrink import smoke
from mtlrepro.suite.store import Run, Store


def note(spec: RunSpec, folder: Path, needs: list[Path]) -> dict[str, Any]:
    """What stands for a training: a line of what was there when it began."""
    found = [json.loads((need / "result.json").read_text())["key"] for need in needs]
    with (folder.parent / "log").open("a") as stream:
        stream.write(f"{spec.model.arch} {spec.model.main[0]} needs {len(found)} {','.join(found)}\n")
    if (folder.parent / "broken").exists() and spec.model.arch == "stl":
        raise TrainingError("loss is not finite", field="step 3", mend="Lower lr")
    return body(final__depth__rmse=0.5)


def stand_in(spec: RunSpec, seed: int, folder: Path, machine: Any, progress: Any, needs: list[Path]) -> dict[str, Any]:
    return note(spec, folder, needs)


@dataclass(frozen=True)
class QuickJob(RunJob):
    """A run whose training is stood in for, in a worker process too."""

    def execute(self, report: Any, wait: bool) -> dict[str, Any] | None:
        known, engine.execute = engine.execute, stand_in
        try:
            return super().execute(report, wait)
        finally:
            engine.execute = known


TEACHERS = tuple(make_run(arch="stl", main=(task,)) for task in ("semseg", "depth"))


def jobs(runs: Path) -> tuple[QuickJob, tuple[QuickJob, ...]]:
    """A student and its two teachers."""
    teachers = tuple(QuickJob(run, runs) for run in TEACHERS)
    spec = replace(make_spec(), needs=tuple(run.spec for run in TEACHERS))
    student = Run(spec, 0, "smoke", "p" * 16, "d" * 16, needs=tuple(run.key for run in TEACHERS))
    return QuickJob(student, runs, needs=teachers), teachers


@pytest.fixture(params=["inline", "pool"])
def launcher(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    made: Launcher = Inline() if request.param == "inline" else Pool(["cpu", "cpu"])
    yield made
    made.close()


def log(runs: Path) -> list[str]:
    return (runs / "log").read_text().splitlines()


def test_what_a_run_needs_is_made_first_even_if_nobody_else_wants_it(tmp_path: Path, launcher: Launcher) -> None:
    student, teachers = jobs(tmp_path)
    launcher.submit([student])
    outcome = launcher.result(student.key)
    assert (outcome["record"]["key"], outcome["reused"]) == (student.key, False)
    keys = [t.key for t in teachers]
    assert log(tmp_path) == ["stl semseg needs 0 ", "stl depth needs 0 ", f"mtl semseg needs 2 {','.join(keys)}"]
    assert all(Store(tmp_path).result(t.run) for t in teachers)


def test_a_row_of_teachers_shares_them_with_the_student(tmp_path: Path, launcher: Launcher) -> None:
    student, teachers = jobs(tmp_path)
    launcher.submit([*teachers, student])
    results = [launcher.result(job.key) for job in (student, *teachers)]
    assert [r["record"]["key"] for r in results] == [job.key for job in (student, *teachers)]
    lines = log(tmp_path)
    assert sorted(lines[:2]) == ["stl depth needs 0 ", "stl semseg needs 0 "]
    assert len(lines) == 3
    again, _ = jobs(tmp_path)
    launcher.submit([again])
    launcher.result(again.key)
    assert log(tmp_path) == lines


def test_a_student_fails_with_its_teacher_s_error(tmp_path: Path, launcher: Launcher) -> None:
    (tmp_path / "broken").touch()
    student, _ = jobs(tmp_path)
    launcher.submit([student])
    with pytest.raises(TrainingError, match="loss is not finite") as caught:
        launcher.result(student.key)
    assert (caught.value.field, caught.value.mend) == ("step 3", "Lower lr")
    assert log(tmp_path) == ["stl semseg needs 0 "]  # nothing was built on it
    assert not (tmp_path / student.key / "result.json").exists()


def test_while_somebody_else_makes_a_teacher_the_student_is_not_begun(tmp_path: Path) -> None:
    student, _ = jobs(tmp_path)

    class Busy(QuickJob):
        def execute(self, report: Any, wait: bool) -> dict[str, Any] | None:
            assert not wait
            return None

    blocked = replace(student, needs=(Busy(TEACHERS[0], tmp_path),))
    assert blocked.execute(lambda event: None, wait=False) is None
    assert not (tmp_path / "log").exists()


# --- in a session -----------------------------------------------------------------------------------------------------


def test_a_student_is_planned_with_its_teachers_seed_by_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = jtr("nyuv2_13", "9", "")
    one, launcher = open_session(monkeypatch, tmp_path, lambda spec: {}, gpus=0, data=False, seeds=2)
    one.plan([(bound, bound.row("MuST MTL Student [21]"))])
    students = [j for j in launcher.jobs.values() if isinstance(j, RunJob) and j.needs]
    assert len(students) == 2
    for job in students:
        assert [n.run.seed for n in job.needs] == [job.run.seed] * 3
        assert job.run.needs == tuple(n.key for n in job.needs)
        assert tuple(n.run.spec for n in job.needs) == job.run.spec.needs
        assert {n.run.tier for n in job.needs} == {"smoke"}
    order = list(launcher.jobs)
    assert all(order.index(n.key) < order.index(job.key) for job in students for n in job.needs)
    assert one.total_runs == len(launcher.runs) == 2 * (1 + 3)
    teachers = bound.row("MuST STL Teachers [21]")
    assert {r.spec for r in launcher.runs} >= {smoke(s) for s in teachers.specs}
    one.plan([(bound, teachers)])
    assert one.total_runs == len(launcher.runs) == 2 * (1 + 3)  # the row of teachers has no run of its own


def test_a_changed_teacher_makes_another_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = jtr("nyuv2_13", "9", "")

    def student(program: str) -> Run:
        one, launcher = open_session(monkeypatch, tmp_path, lambda spec: {}, gpus=0, data=False)
        monkeypatch.setattr(session, "program_digest", lambda spec: "p" * 16 if spec.needs else program)
        one.plan([(bound, bound.row("MuST MTL Student [21]"))])
        (run,) = [r for r in launcher.runs if r.spec.needs]
        return run

    assert student("a").key == student("a").key != student("b").key
    assert student("a").program == student("b").program
