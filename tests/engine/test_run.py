from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_runs import EVERY_STEP, Interrupted, Outcome, complete, killed_after_every_step, spec_over

from mtlrepro.engine import checkpoint, environment, evaluate, log, run, saver
from mtlrepro.engine.run import Machine, execute
from mtlrepro.errors import DataError, SpecError, StoreError, TrainingError
from mtlrepro.spec import RunSpec

STEPS = 8


@pytest.fixture(scope="module")
def spec(tiny_dataset: Path) -> RunSpec:
    return spec_over(tiny_dataset, evaluate_every=1)


@pytest.fixture(scope="module")
def reference(spec: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The run, never interrupted, with the default schedule of checkpoints."""
    torch.set_num_threads(1)
    return complete(spec, tmp_path_factory.mktemp("reference"))


def test_the_record_is_complete(reference: Outcome) -> None:
    record = reference.record
    names = {"metrics", "evaluations", "trivial", "steps", "seconds", "device", "params", "speed", "weights"}
    assert set(record) == names
    assert record["steps"] == STEPS
    assert record["device"] == "cpu"
    assert record["weights"] is None
    assert record["params"] == sum(
        v.numel() for k, v in reference.tensors.items() if k.startswith("optimizer.") and k.endswith("exp_avg")
    )
    assert set(record["seconds"]) == {"setup", "train", "steps", "eval"}
    assert 0 < record["seconds"]["steps"] <= record["seconds"]["train"]
    assert record["speed"]["step_ms"] == pytest.approx(1e3 * record["seconds"]["steps"] / STEPS)
    assert {k.split(".", 1)[1] for k in record["metrics"]} == set(record["trivial"])
    assert json.loads(json.dumps(record)) == record


def test_the_folder_holds_what_the_store_promises(reference: Outcome) -> None:
    names = {p.name for p in reference.folder.iterdir()}
    assert names == {"checkpoint.safetensors", "env.json", "metrics.jsonl", "pictures"}
    assert len(reference.pictures) == 3 * 5
    assert json.loads(reference.meta["position"])["step"] == STEPS


def test_lines_tell_training_and_every_evaluation(reference: Outcome) -> None:
    lines = [json.loads(line) for line in reference.lines.splitlines()]
    assert [e["step"] for e in lines if "loss" in e] == list(range(1, STEPS + 1))
    assert [e["step"] for e in lines if "eval" in e] == [2, 4, 6, 8]
    assert lines[-1]["eval"] == reference.metrics


def test_the_record_keeps_the_evaluations_before_the_last(reference: Outcome) -> None:
    evaluations = reference.record["evaluations"]
    assert [set(e) for e in evaluations] == [{"step", "metrics"}] * 3
    assert [e["step"] for e in evaluations] == [2, 4, 6]
    lines = [json.loads(line) for line in reference.lines.splitlines()]
    assert [e["metrics"] for e in evaluations] == [line["eval"] for line in lines if "eval" in line][:3]
    assert all(set(e["metrics"]) <= set(reference.metrics) for e in evaluations)  # without the costly figures
    assert len({json.dumps(e["metrics"]) for e in evaluations}) == 3


def test_same_spec_same_bits(spec: RunSpec, reference: Outcome, tmp_path: Path) -> None:
    torch.rand(5)
    assert complete(spec, tmp_path).differences(reference) == []


def test_another_seed_gives_other_numbers(spec: RunSpec, reference: Outcome, tmp_path: Path) -> None:
    different = complete(spec, tmp_path, seed=1).differences(reference)
    assert {"lines", "metrics"} <= set(different)
    weights = {k for k in reference.tensors if k.startswith("model.") and k.endswith(".weight")}
    assert len(weights & set(different)) > len(weights) / 2


def test_evaluating_logging_and_showing_progress_change_nothing(
    spec: RunSpec, reference: Outcome, tmp_path: Path
) -> None:
    seldom = replace(spec, recipe=replace(spec.recipe, evaluate_every=0))
    events: list[dict[str, Any]] = []
    (tmp_path / "run").mkdir()
    other = Outcome(execute(seldom, 0, tmp_path / "run", EVERY_STEP, events.append), tmp_path / "run")
    assert other.differences(reference) == ["lines", "evaluations"]
    assert other.record["evaluations"] == []
    assert set(other.lines.splitlines()) < set(reference.lines.splitlines())
    assert events[0]["step"] == 1
    assert events[0]["steps"] == STEPS
    assert all(e["rate"] > 0 and e["loss"] > 0 for e in events)


def test_a_run_resumed_at_every_step_keeps_every_bit(
    spec: RunSpec, reference: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed, seen = killed_after_every_step(spec, tmp_path, monkeypatch)
    assert [p.step for p in seen] == list(range(1, STEPS + 1))
    assert resumed.differences(reference) == []
    spent = [p.seconds["steps"] for p in seen]
    assert all(a < b for a, b in pairwise([0.0, *spent]))  # each session adds its own to those before it
    assert resumed.record["seconds"]["steps"] == spent[-1]


# Every operation of a run that changes a file.
OPERATIONS: list[tuple[Any, str]] = [
    (checkpoint, "save_file"),
    (checkpoint.os, "replace"),
    (log.Log, "write"),
    (environment, "write_json"),
    (evaluate, "_write"),
]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_kill_around_any_file_operation_loses_nothing(
    before: bool, spec: RunSpec, reference: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run, killed at its 1st, then (resumed) at its 2nd, 3rd … file operation until it gets through."""
    left = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            mine = left  # operations contain each other
            if before and mine == 0:
                raise Interrupted
            out = real(*args, **kwargs)
            if not before and mine == 0:
                raise Interrupted
            return out

        return operation

    for place, name in OPERATIONS:
        monkeypatch.setattr(place, name, counted(getattr(place, name)))
    kills = 0
    while True:
        left = kills + 1
        with contextlib.suppress(Interrupted):
            resumed = complete(spec, tmp_path, machine=EVERY_STEP)
            break
        kills += 1
        assert kills < 60
    monkeypatch.undo()
    assert kills >= 10
    assert resumed.differences(reference) == []
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in reference.folder.iterdir()}


def test_what_a_killed_process_was_writing_is_removed(spec: RunSpec, tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.safetensors.99999.tmp").write_bytes(b"torn")
    (tmp_path / "notes.tmp").write_text("mine")
    complete(spec, tmp_path)
    assert not list(tmp_path.glob(".*.tmp"))
    assert (tmp_path / "notes.tmp").read_text() == "mine"


def test_a_finished_run_is_evaluated_again_without_training(
    spec: RunSpec, reference: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the last checkpoint and result.json."""
    complete(spec, tmp_path)
    monkeypatch.setattr(torch.optim.Adam, "step", None)
    again = complete(spec, tmp_path)
    assert again.differences(reference) == []
    assert again.record["seconds"]["steps"] > 0
    assert again.record["speed"]["step_ms"] > 0


def test_a_slow_disk_makes_checkpoints_rarer(spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, saves = [0.0], []
    monkeypatch.setattr(saver.time, "perf_counter", lambda: clock[0])

    def save(*args: Any) -> None:
        saves.append(args[-1].step)
        clock[0] += 5.0

    monkeypatch.setattr(checkpoint, "save", save)
    with log.Log(tmp_path / "m", 0, 1000) as lines:
        linear = torch.nn.Linear(1, 1)
        hooks = saver.Saver(
            linear, linear, None, tmp_path / "c", lines, dict, 0, 30.0, checkpoint.Position(), 1000, None  # type: ignore[arg-type]
        )  # fmt: skip
        for done in range(1, 1001):
            clock[0] += 1.0
            hooks.after_step(done, hooks.due(done), 0.0)
    assert saves[0] == 30
    assert saves[-1] == 1000
    assert 5.0 * (len(saves) - 1) <= 0.02 * clock[0] + 5.0


def test_lines_are_on_disk_before_the_checkpoint_that_counts_on_them(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_sync, real_save = log.Log.sync, checkpoint.save
    monkeypatch.setattr(log.Log, "sync", lambda self: (order.append("lines"), real_sync(self)))
    monkeypatch.setattr(checkpoint, "save", lambda *args: (order.append("checkpoint"), real_save(*args)))
    complete(spec, tmp_path, machine=EVERY_STEP)
    assert order == ["lines", "checkpoint"] * STEPS


def test_a_corrupt_checkpoint_is_told_and_kept(spec: RunSpec, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(b"\0" * 100)
    with pytest.raises(StoreError, match=r"corrupt checkpoint.*Delete the file"):
        execute(spec, 0, tmp_path, Machine())
    assert file.read_bytes() == b"\0" * 100


def test_a_checkpoint_beyond_the_run_is_refused(spec: RunSpec, reference: Outcome, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes((reference.folder / "checkpoint.safetensors").read_bytes())
    short = replace(spec, recipe=replace(spec.recipe, epochs=3))
    with pytest.raises(StoreError, match=r"position\.step: a checkpoint after 8 steps in a run of 6"):
        execute(short, 0, tmp_path, Machine())


def test_a_diverging_run_names_step_and_samples_and_stores_nothing_bad(spec: RunSpec, tmp_path: Path) -> None:
    wild = replace(spec, recipe=replace(spec.recipe, optimizer="sgd", lr=1e30))
    with pytest.raises(TrainingError, match=r"not finite (at|after) step \d") as caught:
        execute(wild, 0, tmp_path, EVERY_STEP)
    assert caught.value.field
    assert caught.value.mend
    assert not (tmp_path / "pictures").exists()
    file = tmp_path / "checkpoint.safetensors"
    if file.exists():
        assert all(bool(t.isfinite().all()) for t in checkpoint.read(file)[0].values())
    assert "NaN" not in (tmp_path / "metrics.jsonl").read_text()


@pytest.mark.parametrize("broken", ["env.json", "metrics.jsonl"])
def test_a_full_disk_stops_the_run_with_a_mend(
    broken: str, spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checkpoint.os.replace

    def replace_file(source: Path, target: Path) -> None:
        if Path(target).name == broken:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", replace_file)
    with pytest.raises(StoreError, match=rf"{broken}: cannot write: No space left.*Free disk space"):
        execute(spec, 0, tmp_path, Machine())
    assert not list(tmp_path.glob(".*"))


def test_out_of_memory_is_told(spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("Tried to allocate 3 GiB")

    monkeypatch.setattr(run, "train", full)
    refusal = r"recipe\.batch: the memory of cpu is full in training .*Tried to allocate"
    with pytest.raises(TrainingError, match=refusal):
        execute(spec, 0, tmp_path, Machine())


def test_bad_specs_fail_before_training(spec: RunSpec, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="unknown optimizer"):
        execute(replace(spec, recipe=replace(spec.recipe, optimizer="lion")), 0, tmp_path, Machine())
    with pytest.raises(DataError, match="fewer than a batch"):
        execute(replace(spec, recipe=replace(spec.recipe, batch=9)), 0, tmp_path, Machine())
    with pytest.raises(SpecError, match="unknown device"):
        execute(spec, 0, tmp_path, Machine("tpu"))
    assert not (tmp_path / "checkpoint.safetensors").exists()


@pytest.mark.gpu
def test_a_gpu_run_keeps_its_bits_when_interrupted(
    spec: RunSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Machine("cuda:0", checkpoint_seconds=0.0)
    whole = complete(spec, tmp_path / "whole", machine=gpu)
    assert whole.record["speed"]["vram_bytes"] > 0
    real = checkpoint.save

    def save(*args: Any) -> None:
        real(*args)
        if args[-1].step == 3:
            raise Interrupted

    (tmp_path / "cut").mkdir()
    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(Interrupted):
        execute(spec, 0, tmp_path / "cut", gpu)
    assert complete(spec, tmp_path / "cut", machine=gpu).differences(whole) == []
