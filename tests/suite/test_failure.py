"""Marks of failures: what a run that failed leaves, and when it goes."""

from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from suite_fakes import body, make_run

from mtlrepro.engine.environment import environment
from mtlrepro.errors import DataError, ReproError, StoreError, TrainingError
from mtlrepro.suite import failure
from mtlrepro.suite.store import Store

LABEL = DataError("label 99 is out of range", file="a/b.png", field="semseg", mend="Relabel it")


def failing(error: BaseException) -> Any:
    def execute(folder: Path) -> dict[str, Any]:
        raise error

    return execute


def test_a_mark_says_what_where_and_with_what(tmp_path: Path) -> None:
    store, run = Store(tmp_path), make_run()
    with pytest.raises(DataError):
        store.ensure(run, failing(LABEL))
    mark = failure.read(store.directory(run))
    assert mark is not None
    told = (mark.problem, mark.file, mark.field, mark.mend)
    assert told == ("label 99 is out of range", "a/b.png", "semseg", "Relabel it")
    assert (mark.host, mark.environment) == (socket.gethostname(), environment())
    assert mark.time.endswith("+00:00")
    assert sorted(os.listdir(store.directory(run))) == ["failed.json", "spec.json"]


def test_a_fault_of_the_program_names_its_place(tmp_path: Path) -> None:
    store, run = Store(tmp_path), make_run()
    with pytest.raises(ValueError, match="nobody"):
        store.ensure(run, failing(ValueError("nobody expects it")))
    mark = failure.read(store.directory(run))
    assert mark is not None
    assert mark.problem == "ValueError: nobody expects it"
    assert "test_failure.py:" in mark.file


def test_what_is_executed_and_exits_has_failed(tmp_path: Path) -> None:
    store, run = Store(tmp_path), make_run()
    with pytest.raises(SystemExit):
        store.ensure(run, failing(SystemExit(0)))
    mark = failure.read(store.directory(run))
    assert mark is not None
    assert mark.problem == "SystemExit: 0"


def test_an_error_that_says_no_place_leaves_none(tmp_path: Path) -> None:
    failure.leave(tmp_path, TrainingError("the loss is not finite"))
    mark = failure.read(tmp_path)
    assert mark is not None
    assert (mark.file, mark.field, mark.mend) == ("", "", "")


@pytest.mark.parametrize("end", [KeyboardInterrupt(), failure.Ended(143)])
def test_an_interruption_is_no_failure(end: BaseException, tmp_path: Path) -> None:
    store, run = Store(tmp_path), make_run()
    with pytest.raises(type(end)):
        store.ensure(run, failing(end))
    assert os.listdir(store.directory(run)) == ["spec.json"]


def test_a_session_tries_a_failed_run_again_and_the_mark_goes(tmp_path: Path) -> None:
    store, run = Store(tmp_path), make_run()
    with pytest.raises(DataError):
        store.ensure(run, failing(LABEL))

    def execute(folder: Path) -> dict[str, Any]:
        assert failure.read(folder) is None
        return body()

    assert store.ensure(run, execute) is not None
    assert failure.read(store.directory(run)) is None


def test_a_full_disk_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, run, real = Store(tmp_path), make_run(), os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == failure.FILE:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DataError, match="label 99"):
        store.ensure(run, failing(LABEL))
    assert os.listdir(store.directory(run)) == ["spec.json"]


def test_no_mark_is_none_and_clearing_it_is_fine(tmp_path: Path) -> None:
    assert failure.read(tmp_path) is None
    failure.clear(tmp_path)


def test_a_mark_that_cannot_be_removed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failure.leave(tmp_path, LABEL)

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "unlink", refuse)  # `mtlrepro status --retry-failed` would say that it is forgotten
    with pytest.raises(StoreError, match=r"failed\.json: cannot write: Read-only file system"):
        failure.clear(tmp_path)
    assert failure.read(tmp_path) is not None


@pytest.mark.parametrize("text", ["{", "[]", '{"problem": "x"}', '{"problem": "x", "more": 1}'])
def test_a_mark_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / failure.FILE).write_text(text)
    with pytest.raises(StoreError) as caught:
        failure.read(tmp_path)
    assert (caught.value.file, "Delete" in caught.value.mend) == (tmp_path / failure.FILE, True)


def test_errors_of_ours_are_told_as_they_are() -> None:
    assert failure.told(LABEL) is LABEL
    assert isinstance(failure.told(LABEL), ReproError)


def test_a_mark_is_plain_json(tmp_path: Path) -> None:
    failure.leave(tmp_path, LABEL)
    keys = {"problem", "file", "field", "mend", "host", "time", "environment"}
    assert json.loads((tmp_path / failure.FILE).read_text()).keys() == keys
