"""`mtlrepro submit` and `mtlrepro status`, without a cluster."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtlrepro.cli import main
from mtlrepro.cli.run import Run
from mtlrepro.cli.submit import Submit, minutes, spelled
from mtlrepro.errors import DataError
from mtlrepro.suite import cluster
from mtlrepro.suite.launch import RunJob
from mtlrepro.suite.states import ProgressNote, announce, listed
from mtlrepro.suite.store import Store

sys.path.insert(0, str(Path(__file__).parent / "suite"))
from suite_fakes import SUITES, body, make_run

Say = Callable[..., tuple[str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a verb; what it wrote to its two streams."""

    def call(*arguments: object, code: int = 0) -> tuple[str, str]:
        assert main(list(map(str, arguments))) == code
        return capsys.readouterr()

    return call


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[RunJob], cluster.Resources]]:
    """What would have been submitted."""
    calls: list[tuple[list[RunJob], cluster.Resources]] = []

    def submit(jobs: list[RunJob], resources: cluster.Resources, runs: Path) -> dict[str, str]:
        calls.append((jobs, resources))
        return {job.key: f"12_{number}" for number, job in enumerate(jobs)}

    monkeypatch.setattr(cluster, "submit", submit)
    monkeypatch.setattr(cluster, "live_jobs", lambda: None)
    return calls


@pytest.fixture
def comparison(tiny_dataset: Path, tmp_path: Path) -> tuple[object, ...]:
    """Arguments that name three runs."""
    runs = tmp_path / "runs"
    return ("--dataset", tiny_dataset, "--methods", "stl", "mtl", "--size", "32x32", "--gpus", "0", "--runs", runs)


def fail(store: Store, job_run: Any) -> None:
    def execute(folder: Path) -> dict[str, Any]:
        (folder / "metrics.jsonl").write_text(f'{{"step": 1, "loss": {"9 " * 300}}}\n{{"step": 2}}\n')
        raise DataError("label 99 is out of range", file="b.png", mend="Relabel it")

    with pytest.raises(DataError):
        store.ensure(job_run, execute)


# --- submit -----------------------------------------------------------------------------------------------------------


def test_distinct_runs_are_submitted_and_the_next_commands_named(
    say: Say, submitted: list[Any], comparison: tuple[object, ...], tmp_path: Path, tiny_dataset: Path
) -> None:
    more = ("--time", "1-00", "--cpus", "3", "--array", "2", "--partition", "gpu", "--slurm", "mem=64G")
    out, _ = say("submit", *comparison, *more, "--slurm", "exclusive", "--seeds", "2")
    ((jobs, resources),) = submitted
    assert [(job.run.spec.label, job.run.seed) for job in jobs] == [
        (f"{name}/hrnet_nano[{tasks}]", seed)
        for name, tasks in (("stl", "semseg"), ("stl", "depth"), ("mtl", "semseg+depth"))
        for seed in (0, 1)
    ]
    assert {job.runs for job in jobs} == {tmp_path / "runs"}
    wanted = cluster.Resources(1440, False, 3, "gpu", 2, (("mem", "64G"), ("exclusive", "")))
    assert resources == wanted
    assert "6 runs, 6 to submit" in out
    assert "submitted 6 runs as Slurm jobs 12; logs in" in out
    command = (
        f"mtlrepro run --seeds 2 --runs {tmp_path / 'runs'} --dataset {tiny_dataset} --methods stl mtl --size 32x32"
    )
    assert out.splitlines()[-1].endswith(command)


def test_the_command_of_the_report_says_the_same_as_what_was_submitted(comparison: tuple[object, ...]) -> None:
    given = [*map(str, comparison), "--loss-weight", "semseg=2", "depth=0.5", "--weighting", "fixed", "dwa", "--strict"]
    given += ["--data-option", "a=1", "--data-option", "b=two words", "--lr", "0.01", "--tier", "smoke"]
    whole, ours = argparse.ArgumentParser(), argparse.ArgumentParser()
    Submit.add_arguments(whole)
    Run.add_arguments(ours)
    options = whole.parse_args(given)
    again = vars(ours.parse_args(shlex.split(spelled(options))))
    assert again == {name: value for name, value in vars(options).items() if name in again}
    assert again["data_option"] == ["a=1", "b=two words"]


def test_a_report_of_gpu_runs_is_made_on_a_gpu(say: Say, comparison: tuple[object, ...]) -> None:
    arguments = ["1" if word == "0" else word for word in comparison]
    out, _ = say("submit", *arguments, "--partition", "fast", "--dry-run")
    assert "srun --partition=fast --gpus=1 mtlrepro run " in out


def test_what_is_done_failed_running_or_submitted_is_left_out_and_said(
    say: Say, submitted: list[Any], comparison: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say("submit", *comparison, "--seeds", "2")
    jobs, store = submitted.pop()[0], Store(tmp_path / "runs")
    store.ensure(jobs[0].run, lambda folder: body())
    fail(store, jobs[1].run)
    (tmp_path / "runs" / "slurm").mkdir()
    entry = {**listed(jobs[2].run), "job": "7_2", "log": ""}
    (tmp_path / "runs" / "slurm" / "7.json").write_text(json.dumps({"runs": [entry]}))
    monkeypatch.setattr(cluster, "live_jobs", lambda: {"7_2"})
    words = ("done", "failed before", "submitted before, as 7_2", "running", "to submit", "to submit")

    def execute(folder: Path) -> dict[str, Any]:
        out, _ = say("submit", *comparison, "--seeds", "2")
        assert "6 runs, 2 to submit" in out
        for line, word in zip(out.splitlines()[2:], words, strict=False):
            assert line.endswith(word)
        assert "1 failed before and are left out: mtlrepro status --retry-failed" in out
        return body()

    store.ensure(jobs[3].run, execute)
    assert [job.key for job in submitted[0][0]] == [job.key for job in jobs[4:]]
    say("status", "--runs", tmp_path / "runs", "--retry-failed")
    out, _ = say("submit", *comparison, "--seeds", "2", "--dry-run")
    assert "6 runs, 3 to submit" in out


def test_gpus_are_those_of_the_nodes_and_not_of_the_machine_that_submits(
    say: Say, submitted: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    arguments = ("submit", "mti_net/2a", "--suites", SUITES, "--tier", "bench", "--runs", tmp_path / "runs")
    say(*arguments)
    assert {job.run.tier for job in submitted[0][0]} == {"bench"}
    _, error = say(*arguments, "--gpus", "0", code=2)
    assert "no CUDA GPU is visible" in error


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (("--cpus", "0"), "Give at least one core"),
        (("--array", "-1"), "0 for all"),
        (("--slurm", "=3"), "no option of sbatch"),
        (("--slurm", "Mem Size=3"), "no option of sbatch"),
    ],
)
def test_wrong_resources_are_told_before_anything_is_submitted(
    wrong: tuple[str, ...], says: str, say: Say, submitted: list[Any], comparison: tuple[object, ...]
) -> None:
    _, error = say("submit", *comparison, *wrong, code=2)
    assert says in error
    assert submitted == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("1", 1), ("240", 240), ("90:30", 91), ("12:00:00", 720), ("1-06", 1800), ("1-06:30", 1830), ("2-00:00:01", 2881)],
)
def test_time_limits_are_read_as_slurm_reads_them(text: str, wanted: int) -> None:
    assert minutes(text) == wanted


@pytest.mark.parametrize("text", ["", "0", "0:00", "x", "-5", "1:2:3:4", "1.5"])
def test_other_time_limits_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no time limit"):
        minutes(text)


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_counts_first_and_shows_why_runs_failed(say: Say, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.ensure(make_run(0), lambda folder: body())
    fail(store, make_run(1))
    out, _ = say("status", "--runs", tmp_path, "--lines", "1")
    lines = out.splitlines()
    assert lines[0] == f"{tmp_path}: 0 queued, 0 running, 0 interrupted, 1 failed, 1 done"
    assert "    b.png: label 99 is out of range. Relabel it" in lines
    assert lines[-1] == '    | {"step": 2}'
    out, _ = say("status", "--runs", tmp_path, "--failed", "--lines", "0")
    assert '"step"' not in out
    out, _ = say("status", "--runs", tmp_path, "--lines", "2")
    (long,) = [line for line in out.splitlines() if '"step": 1' in line]
    assert len(long) < 170
    assert long.endswith(" ...")


def test_status_shows_who_is_at_work_and_how_far(say: Say, tmp_path: Path) -> None:
    plan = announce(tmp_path, [make_run(seed) for seed in range(30)])

    def execute(folder: Path) -> dict[str, Any]:
        ProgressNote(folder)({"step": 30, "steps": 90, "rate": 0.01})
        out, _ = say("status", "--runs", tmp_path)
        assert f"pid {os.getpid()}  step 30/90  0.01 it/s ETA 1:40:00  heard of " in out
        assert "29 queued, 1 running" in out
        assert "  and 9 more" in out
        return body()

    with plan:
        Store(tmp_path).ensure(make_run(), execute)


def test_status_as_json_names_every_run(say: Say, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.ensure(make_run(0), lambda folder: body())
    fail(store, make_run(1))
    found = json.loads(say("status", "--runs", tmp_path, "--json")[0])
    assert found["counts"] == {"done": 1, "failed": 1}
    assert {run["state"]: run["label"] for run in found["runs"]} == dict.fromkeys(
        ("done", "failed"), make_run().spec.label
    )
    (failed,) = json.loads(say("status", "--runs", tmp_path, "--json", "--failed")[0])["runs"]
    assert [len(line) for line in failed["lines"]] == [len('{"step": 1, "loss": }') + 600, len('{"step": 2}')]


def test_status_says_which_queued_runs_wait_in_vain(say: Say, tmp_path: Path) -> None:
    teacher = make_run(1)
    student = replace(make_run(2), needs=(teacher.key,))
    fail(Store(tmp_path), teacher)
    with announce(tmp_path, [teacher, student]):
        out, _ = say("status", "--runs", tmp_path)
    assert f"{student.key}  {student.spec.label} seed 2 smoke  needs {teacher.key}, which failed" in out


def test_status_and_retry_of_some_tables_alone(say: Say, submitted: list[Any], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    say("submit", "mti_net/nyuv2/2a", "--suites", SUITES, "--tier", "smoke", "--gpus", "0", "--runs", runs)
    mine = submitted[0][0][0].run
    for run in (mine, make_run()):
        fail(Store(runs), run)
    out, _ = say("status", "mti_net/nyuv2/2a", "--suites", SUITES, "--runs", runs)
    assert "1 failed" in out
    assert mine.key in out
    assert "1 failure forgotten" in say("status", "mti_net/2a", "--suites", SUITES, "--runs", runs, "--retry-failed")[0]
    assert "1 failed" in say("status", "--runs", runs)[0]


def test_status_of_no_store_is_all_zero(say: Say, tmp_path: Path) -> None:
    out, _ = say("status", "--runs", tmp_path / "none")
    assert "0 queued, 0 running, 0 interrupted, 0 failed, 0 done" in out
