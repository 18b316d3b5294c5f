from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

from mtlrepro.errors import DataError, MissingExtra, ReproError, SpecError, StoreError, TrainingError, unknown
from mtlrepro.registry import Registry

ALL = [ReproError, DataError, SpecError, StoreError, TrainingError, MissingExtra]


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("clone", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_errors_cross_processes_with_all_fields(cls: type[ReproError], clone) -> None:
    error = cls("is wrong", file=Path("a/b.toml"), field="x.y", mend="Do this")
    again = clone(error)
    assert type(again) is cls
    assert (again.problem, again.file, again.field, again.mend) == ("is wrong", Path("a/b.toml"), "x.y", "Do this")
    assert str(again) == str(error) == "a/b.toml: x.y: is wrong. Do this"


def test_only_what_is_known_is_said() -> None:
    assert str(ReproError("is wrong")) == "is wrong"
    assert str(ReproError("is wrong", field="x")) == "x: is wrong"
    assert str(ReproError("is wrong", file="f", mend="Do this")) == "f: is wrong. Do this"


def test_unknown_names_get_their_neighbours() -> None:
    error = unknown("task", "dept", ["depth", "edges"], file="f", field="main")
    assert str(error) == "f: main: unknown task 'dept'. Did you mean 'depth'? Known: depth, edges"
    assert "Did you mean" not in str(unknown("task", "zzz", ["depth"]))
    assert str(unknown("task", "zzz", [])) == "unknown task 'zzz'. Known: none"
    assert str(unknown("order", (3,), ["first"])) == "unknown order (3,). Known: first"


def test_a_registry_imports_on_use_and_lists_without() -> None:
    registry = Registry("thing", {"path": "pathlib:Path", "broken": "no_such_module:x"})
    assert sorted(registry) == ["broken", "path"]
    assert len(registry) == 2
    assert "broken" in registry
    assert registry["path"] is Path
    assert registry.target("broken") == "no_such_module:x"
    with pytest.raises(ModuleNotFoundError):
        registry["broken"]
    with pytest.raises(SpecError, match=r"unknown thing 'pth'\. Did you mean 'path'\? Known: broken, path"):
        registry["pth"]


def test_an_unknown_name_is_not_in_a_registry() -> None:
    registry = Registry("thing", {"path": "pathlib:Path"})
    assert "pth" not in registry
    assert 3 not in registry
