"""The store: identity, whole files or none, and records that are not what they should be."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suite_fakes import body, make_run, make_spec

from mtlrepro.errors import StoreError
from mtlrepro.files import read_json, write_json
from mtlrepro.spec import RunSpec
from mtlrepro.suite.store import RESULT_KEYS, SCHEMA_VERSION, Run, Store, read_result

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def forbidden(folder: Path) -> dict[str, Any]:
    raise AssertionError("executed again")


def leftovers(folder: Path) -> list[str]:
    """Files that are neither of the run's own nor directories."""
    known = {"spec.json", "result.json", "env.json", "checkpoint.safetensors"}
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name not in known)


# --- identity ---------------------------------------------------------------------------------------------------------


def test_everything_that_can_change_a_result_is_in_the_key() -> None:
    run = make_run()
    others = [
        replace(run, spec=make_spec("padnet")),
        replace(run, seed=1),
        replace(run, tier="full"),
        replace(run, program="q"),
        replace(run, data="e"),
        replace(run, needs=("a" * 16,)),
        replace(run, needs=("b" * 16, "a" * 16)),
        replace(run, needs=("a" * 16, "b" * 16)),
    ]
    assert len({run.key, *(o.key for o in others)}) == 9
    assert make_run().key == run.key


def test_the_identity_is_written_and_names_the_spec(tmp_path: Path) -> None:
    run = make_run(seed=3)
    Store(tmp_path).ensure(run, lambda folder: body())
    identity = json.loads((tmp_path / run.key / "spec.json").read_text())
    assert RunSpec.from_json(identity["spec"]) == run.spec
    assert (identity["seed"], identity["tier"], identity["program"], identity["data"]) == (
        3,
        "smoke",
        "p" * 16,
        "d" * 16,
    )


# --- ensure -----------------------------------------------------------------------------------------------------------


def test_a_run_is_made_once_and_then_read(tmp_path: Path) -> None:
    store, run = Store(tmp_path), make_run()
    assert store.result(run) is None
    first, reused = store.ensure(run, lambda folder: body(final__depth__rmse=0.5)) or ({}, True)
    assert (reused, first["metrics"], first["key"]) == (False, {"final.depth.depth/pooled@1.rmse": 0.5}, run.key)
    again, reused = store.ensure(run, forbidden) or ({}, False)
    assert reused
    assert again == first == store.result(run)
    assert leftovers(tmp_path) == []


def test_a_failed_run_leaves_its_checkpoint_but_no_result_and_no_lock(tmp_path: Path) -> None:
    store, run = Store(tmp_path), make_run()

    def fail(folder: Path) -> dict[str, Any]:
        (folder / "checkpoint.safetensors").write_bytes(b"half way")
        raise StoreError("disk full", file=folder, mend="Free disk space")

    with pytest.raises(StoreError, match="disk full"):
        store.ensure(run, fail)
    assert leftovers(tmp_path) == [f"{run.key}/failed.json"]
    assert store.result(run) is None

    def resume(folder: Path) -> dict[str, Any]:
        assert (folder / "checkpoint.safetensors").read_bytes() == b"half way"
        assert leftovers(tmp_path) == [f"{run.key}/lock"]  # begun again: no failure any more
        return body()

    assert (store.ensure(run, resume) or ({}, True))[1] is False
    assert leftovers(tmp_path) == []


# --- records that are wrong -------------------------------------------------------------------------------------------


def good(run_key: str) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "key": run_key, **body(final__depth__rmse=0.5)}


WRONG: dict[str, tuple[Any, str | None, str]] = {
    "truncated": ('{"schema_version": 2, "me', None, "not valid JSON"),
    "empty": ("", None, "not valid JSON"),
    "binary": (b"\xff\xfe\x00", None, "not valid JSON"),
    "list": ("[1]", None, "holds a list"),
    "newer": ({"schema_version": 4}, "schema_version", "schema version 4, this program reads 3"),
    "older": ({"schema_version": 2}, "schema_version", "schema version 2, this program reads 3"),
    "unknown key": ({"metric": {}}, "metric", "unknown key 'metric'"),
    "missing key": ({"metrics": ...}, "metrics", "missing key 'metrics'"),
    "other run": ({"key": "f" * 16}, "key", "record of run 'ffff"),
    "no figures": ({"metrics": None}, "metrics", "not an object of numbers"),
    "no evaluations": ({"evaluations": None}, "evaluations", "not a list of steps with their metrics"),
    "evaluations by step": ({"evaluations": {"1": {}}}, "evaluations", "not a list of steps with their metrics"),
    "evaluation without step": ({"evaluations": [{"metrics": {}}]}, "evaluations", "not a list of steps"),
    "evaluation without metrics": ({"evaluations": [{"step": 1}]}, "evaluations", "not a list of steps"),
    "evaluation with more": (
        {"evaluations": [{"step": 1, "metrics": {}}, {"step": 2, "metrics": {}, "epoch": 1}]},
        "evaluations",
        "not a list of steps",
    ),
    "evaluation without figures": ({"evaluations": [{"step": 1, "metrics": None}]}, "evaluations", "not a list of"),
    "evaluation of text": (
        {"evaluations": [{"step": 1, "metrics": {"final.depth.depth/pooled@1.rmse": "0.5"}}]},
        "evaluations",
        "not a list of",
    ),
    "evaluation at no step": ({"evaluations": [{"step": "1", "metrics": {}}]}, "evaluations", "not a list of steps"),
    "evaluation that is a number": ({"evaluations": [3]}, "evaluations", "not a list of steps"),
    "text figure": ({"metrics": {"final.depth.depth/pooled@1.rmse": "0.5"}}, "metrics", "not an object of numbers"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_record_is_told_with_file_field_and_mend(case: str, tmp_path: Path) -> None:
    content, field, says = WRONG[case]
    run = make_run()
    path = tmp_path / run.key / "result.json"
    path.parent.mkdir()
    if isinstance(content, dict):
        record = {k: v for k, v in (good(run.key) | content).items() if v is not ...}
        path.write_text(json.dumps(record))
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for call in (lambda: Store(tmp_path).result(run), lambda: Store(tmp_path).ensure(run, forbidden)):
        with pytest.raises(StoreError) as caught:
            call()
        assert says in caught.value.problem
        assert (caught.value.file, caught.value.field) == (path, field)
        assert caught.value.mend == f"Delete the folder {path.parent} to make this run again"


def test_evaluations_on_the_way_are_read(tmp_path: Path) -> None:
    every = [{"step": step, "metrics": {"final.depth.depth/pooled@1.rmse": 1.0 / step}} for step in (1, 2)]
    write_json(tmp_path / "result.json", good("k") | {"evaluations": every})
    assert read_result(tmp_path / "result.json", "k")["evaluations"] == every


@pytest.mark.parametrize("key", sorted(RESULT_KEYS - {"schema_version"}))
def test_every_key_of_a_record_is_needed(key: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps({k: v for k, v in good("k").items() if k != key}))
    with pytest.raises(StoreError, match=f"missing key '{key}'"):
        read_result(path, "k")


def test_a_record_that_is_a_folder_is_told(tmp_path: Path) -> None:
    run = make_run()
    (tmp_path / run.key / "result.json").mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot be read") as caught:
        Store(tmp_path).result(run)
    assert caught.value.mend


# --- whole files or none ----------------------------------------------------------------------------------------------


@given(json_values)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_json_objects_come_back_as_written(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a" / "x.json"
    write_json(path, {"value": value})
    assert read_json(path, "mend") == {"value": value}
    assert os.listdir(path.parent) == ["x.json"]


def _raise(error: int) -> Any:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(error, os.strerror(error))

    return fail


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize(
    ("error", "mend"), [(errno.ENOSPC, "Free disk space"), (errno.EROFS, "Choose a writable folder")]
)
def test_a_full_or_read_only_disk_leaves_the_old_file_and_nothing_else(
    call: str, error: int, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"old": 1})
    monkeypatch.setattr(os, call, _raise(error))
    with pytest.raises(StoreError, match="cannot write") as caught:
        write_json(path, {"new": 2})
    assert (caught.value.file, caught.value.mend) == (path, mend)
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, TypeError])
def test_nothing_half_written_stays_after_any_interruption(
    interruption: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(descriptor: int) -> None:
        raise interruption

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(interruption):
        write_json(tmp_path / "result.json", {})
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_while_the_result_is_written_leaves_an_unfinished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run, real = Store(tmp_path), make_run(), os.replace

    def fail_on_result(source: Any, target: Any) -> None:
        if Path(target).name == "result.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", fail_on_result)
    with pytest.raises(StoreError, match="No space left") as caught:
        store.ensure(run, lambda folder: body())
    assert caught.value.mend == "Free disk space"
    assert sorted(os.listdir(tmp_path / run.key)) == ["failed.json", "spec.json"]
    monkeypatch.undo()
    assert (store.ensure(run, lambda folder: body()) or ({}, True))[1] is False


def test_a_store_that_cannot_be_written_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "runs"
    blocked.write_text("a file where the folder should be")
    for call in (lambda: Store(blocked).check_writable(), lambda: Store(blocked).ensure(make_run(), forbidden)):
        with pytest.raises(StoreError, match="cannot write") as caught:
            call()
        assert caught.value.mend == "Choose a writable folder"
        assert blocked in (caught.value.file, Path(str(caught.value.file)).parent)
    Store(tmp_path / "new").check_writable()
    assert os.listdir(tmp_path / "new") == []
    monkeypatch.setattr(Path, "write_bytes", _raise(errno.EROFS))
    with pytest.raises(StoreError, match="Read-only"):
        Store(tmp_path / "new").check_writable()


def test_a_lock_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _raise(errno.EROFS))
    run = make_run()
    with pytest.raises(StoreError, match="Read-only") as caught:
        Store(tmp_path).ensure(run, forbidden)
    assert caught.value.file == tmp_path / run.key / "lock"
    assert os.listdir(tmp_path / run.key) == []


# --- reading it as a whole --------------------------------------------------------------------------------------------


def finish(store: Store, run: Run, env: dict[str, str]) -> Path:
    """Finish a run as the engine does; returns its directory."""

    def execute(folder: Path) -> dict[str, Any]:
        write_json(folder / "env.json", env)
        return body(final__depth__rmse=0.5)

    store.ensure(run, execute)
    return store.directory(run)


ENV = {"cpu": "AMD EPYC", "cores": "2", "gpu": "none"}


def test_finished_runs_are_read_with_what_they_were_made_with(tmp_path: Path) -> None:
    store, runs = Store(tmp_path), [make_run(seed) for seed in range(3)]
    assert list(store.finished()) == []
    for run in runs[:2]:
        finish(store, run, ENV)
    store.directory(runs[2]).mkdir()  # unfinished
    found = {f.run: f for f in store.finished()}
    assert found.keys() == set(runs[:2])
    one = found[runs[0]]
    assert (one.record["key"], one.environment, one.machine) == (runs[0].key, ENV, "amd-epyc-2-cores")
    assert one.ended == (store.directory(runs[0]) / "result.json").stat().st_mtime


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("spec.json", "{", "not valid JSON"),
        ("spec.json", "{}", "missing key 'spec'"),
        ("env.json", None, "env.json"),
        ("env.json", '{"gpu": 3}', "not an object of strings"),
        ("result.json", "{}", "schema version None"),
    ],
)
def test_a_finished_run_that_cannot_be_read_is_told(name: str, text: str | None, says: str, tmp_path: Path) -> None:
    file = finish(Store(tmp_path), make_run(), ENV) / name
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(StoreError, match=says) as caught:
        list(Store(tmp_path).finished())
    assert caught.value.file == file
    assert "Delete" in caught.value.mend


def test_a_run_under_another_run_s_name_is_no_second_seed(tmp_path: Path) -> None:
    folder = finish(Store(tmp_path), make_run(), ENV)
    shutil.copytree(folder, folder.with_name("0" * 16))
    with pytest.raises(StoreError, match="not the one that its directory names"):
        list(Store(tmp_path).finished())


def test_hosts_make_no_difference_between_equal_machines(tmp_path: Path) -> None:
    store, runs = Store(tmp_path), [make_run(seed) for seed in range(2)]
    for number, run in enumerate(runs):
        finish(store, run, {**ENV, "host": f"node{number}"})
    assert [f.environment for f in store.finished()] == [ENV, ENV]


def test_what_a_run_needs_is_read_back(tmp_path: Path) -> None:
    store, teacher = Store(tmp_path), make_run(main=("depth",))
    spec = replace(make_spec(), needs=(teacher.spec,))
    student = replace(make_run(), spec=spec, needs=(teacher.key,))
    identity = json.loads((finish(store, student, ENV) / "spec.json").read_text())
    assert identity["needs"] == [teacher.key]
    assert RunSpec.from_json(identity["spec"]).needs == (teacher.spec,)
    assert [f.run for f in store.finished()] == [student]


@pytest.mark.parametrize(
    ("key", "value"), [("seed", ["x"]), ("tier", ["x"]), ("program", ["x"]), ("needs", ["x"]), ("needs", 7)]
)
def test_an_edited_identity_is_told(key: str, value: object, tmp_path: Path) -> None:
    file = finish(Store(tmp_path), make_run(), ENV) / "spec.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(StoreError, match="not the one that its directory names"):
        list(Store(tmp_path).finished())


def test_runs_of_an_older_schema_are_passed_over(tmp_path: Path) -> None:
    store, runs = Store(tmp_path), [make_run(seed) for seed in range(2)]
    for run in runs:
        finish(store, run, ENV)
    spec = store.directory(runs[0]) / "spec.json"
    spec.write_text(spec.read_text().replace(f'"schema_version": {SCHEMA_VERSION}', '"schema_version": 1'))
    assert [f.run for f in store.finished()] == [runs[1]]
