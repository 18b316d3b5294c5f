"""Submitting to a Slurm that only takes notes; the real one is in tests/slurm."""

from __future__ import annotations

import builtins
import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from suite_fakes import make_run, make_spec

from mtlrepro.errors import MissingExtra, SpecError, StoreError, TrainingError
from mtlrepro.suite import cluster
from mtlrepro.suite.cluster import Resources, Task, check_program, live_jobs, submit
from mtlrepro.suite.launch import RunJob
from mtlrepro.suite.program import program_digest
from mtlrepro.suite.store import Run

SBATCH = """#!/bin/sh
cp "$1" {folder}/script.$(ls {folder} | wc -l)
echo "Submitted batch job 1$(ls {folder} | wc -l)"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the scripts that were submitted; other commands can be put into the folder beside it."""
    programs, scripts = tmp_path / "bin", tmp_path / "scripts"
    programs.mkdir()
    scripts.mkdir()
    install(programs, "sbatch", SBATCH.format(folder=scripts))
    install(programs, "srun", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return scripts


def install(programs: Path, name: str, text: str) -> None:
    (programs / name).write_text(text)
    (programs / name).chmod(0o755)


def make_jobs(count: int, runs: Path) -> list[RunJob]:
    return [RunJob(make_run(seed), runs) for seed in range(count)]


CPU = Resources(minutes=90, gpu=False, cpus=2)


def options_of(script: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_an_array_asks_for_what_was_given(slurm: Path, tmp_path: Path) -> None:
    asked = Resources(90, True, 6, "gpu", 2, (("account", "vision"), ("exclusive", "")))
    made = submit(make_jobs(3, tmp_path / "runs"), asked, tmp_path / "runs")
    (script,) = slurm.iterdir()
    options = options_of(script.read_text())
    wanted = {
        "array": "0-2%2",
        "time": "90",
        "partition": "gpu",
        "gpus-per-node": "1",
        "cpus-per-task": "6",
        "account": "vision",
        "exclusive": "",
        "requeue": "",
        "signal": "USR2@90",
        "job-name": cluster.NAME,
    }
    assert options.items() >= wanted.items()
    assert list(made.values()) == ["11_0", "11_1", "11_2"]
    assert list(made) == [job.key for job in make_jobs(3, tmp_path)]


def test_without_a_gpu_none_is_asked_for_and_short_limits_leave_time_to_train(slurm: Path, tmp_path: Path) -> None:
    submit(make_jobs(1, tmp_path), Resources(minutes=2, gpu=False, cpus=1), tmp_path)
    options = options_of(next(slurm.iterdir()).read_text())
    assert not {"gpus-per-node", "partition", "array"} & options.keys()
    assert options["signal"] == "USR2@30"


def test_what_was_submitted_is_listed_with_its_logs(slurm: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    submit(make_jobs(2, runs), CPU, runs)
    listed = json.loads((runs / "slurm" / "11.json").read_text())["runs"]
    assert [(run["key"], run["job"]) for run in listed] == [(make_run(0).key, "11_0"), (make_run(1).key, "11_1")]
    assert listed[1]["log"] == str(runs / "slurm" / "11_1_0_log.out")


def test_more_runs_than_an_array_takes_are_several(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ARRAY", 2)
    made = submit(make_jobs(5, tmp_path), CPU, tmp_path)
    assert list(made.values()) == ["11_0", "11_1", "12_0", "12_1", "13"]
    assert sorted(file.name for file in (tmp_path / "slurm").glob("*.json")) == ["11.json", "12.json", "13.json"]


def test_what_slurm_refuses_is_told_in_its_words(slurm: Path, tmp_path: Path) -> None:
    words = "sbatch: error: invalid partition specified: nowhere"
    install(tmp_path / "bin", "sbatch", f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    with pytest.raises(SpecError, match=words) as caught:
        submit(make_jobs(2, tmp_path), CPU, tmp_path)
    assert "sinfo" in caught.value.mend
    assert not list((tmp_path / "slurm").glob("*.json"))


def test_where_there_is_no_slurm_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpecError, match="no sbatch and no srun") as caught:
        submit(make_jobs(1, tmp_path), CPU, tmp_path)
    assert "mtlrepro run" in caught.value.mend
    assert live_jobs() is None


def test_a_missing_submitit_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "submitit":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"mtlrepro\[slurm\]"):
        submit(make_jobs(1, tmp_path), CPU, tmp_path)


def test_the_queue_is_asked_for_our_jobs(slurm: Path, tmp_path: Path) -> None:
    install(tmp_path / "bin", "squeue", f"#!/bin/sh\necho \"$@\" > {tmp_path}/asked\nprintf '12_0\\n12_1\\n13\\n'\n")
    assert live_jobs() == {"12_0", "12_1", "13"}
    assert f"--name={cluster.NAME}" in (tmp_path / "asked").read_text()
    install(tmp_path / "bin", "squeue", "#!/bin/sh\nexit 1\n")
    assert live_jobs() is None


# --- a task -----------------------------------------------------------------------------------------------------------


def true_run(**settings: Any) -> Run:
    spec = make_spec(**settings)
    return replace(make_run(), spec=spec, program=program_digest(spec))


def test_a_task_executes_its_run_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job, seen = RunJob(true_run(), tmp_path), []

    def execute(self: RunJob, report: Any, wait: bool) -> dict[str, Any]:
        seen.append((self.device, wait))
        for step in range(3):
            report({"label": "mtl", "step": step, "steps": 3, "loss": 0.5, "rate": 2.0})
        report({"label": "mtl", "done": True})
        return {"record": {}, "reused": False}

    monkeypatch.setattr(RunJob, "execute", execute)
    Task(job, gpu=False)()
    assert seen == [("cpu", True)]
    assert capsys.readouterr().out.splitlines() == ["mtl: step 0/3 loss 0.5 2.00 it/s", "mtl: done", "finished"]


def test_a_task_that_is_told_to_end_does_so_at_once_and_lets_its_lock_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, before = RunJob(true_run(), tmp_path), signal.getsignal(signal.SIGTERM)

    def terminated(*_: Any) -> dict[str, Any]:
        assert (tmp_path / job.key / "lock").exists()
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("still at work")

    monkeypatch.setattr("mtlrepro.engine.run.execute", terminated)
    with pytest.raises(SystemExit) as caught:
        Task(job, gpu=False)()
    assert caught.value.code == 143
    assert os.listdir(tmp_path / job.key) == ["spec.json"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_task_without_its_gpu_trains_on_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(TrainingError, match="no GPU is visible on this node") as caught:
        Task(RunJob(true_run(), tmp_path), gpu=True)()
    assert caught.value.field == "--gpus"


def test_a_program_that_was_changed_meanwhile_makes_no_run(tmp_path: Path) -> None:
    sound, changed = RunJob(true_run(), tmp_path), RunJob(replace(true_run(), program="0" * 16), tmp_path)
    check_program(sound)
    for job in (changed, replace(sound, needs=(changed,))):
        with pytest.raises(StoreError, match="the program was changed since") as caught:
            check_program(job)
        assert caught.value.field == f"run {changed.key}"


def test_what_is_requeued_is_the_same_task(tmp_path: Path) -> None:
    task = Task(RunJob(true_run(), tmp_path), gpu=True)
    delayed = task.checkpoint()
    assert (delayed.function, delayed.args) == (task, ())
