"""The folder of a dataset, and what is said where it is not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtlrepro.data import description_file, find_dataset
from mtlrepro.data.disk.description import Description, load
from mtlrepro.data.disk.root import find_root
from mtlrepro.errors import DataError


@pytest.fixture
def nyud() -> Description:
    return load(description_file("nyuv2") or "")


def refused(d: Description, base: Path | None) -> DataError:
    with pytest.raises(DataError) as caught:
        find_root(d, base)
    assert caught.value.mend
    return caught.value


def test_a_folder_or_a_link_to_one(nyud: Description, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "NYUD_MT").symlink_to("elsewhere")
    assert find_root(nyud, tmp_path) == tmp_path / "NYUD_MT"


def test_nothing_alike(nyud: Description, tmp_path: Path) -> None:
    (tmp_path / "taskonomy").mkdir()
    for base in (tmp_path, tmp_path / "gone"):
        error = refused(nyud, base)
        assert error.problem == f"not found: looked for {base / 'NYUD_MT/images'}"
        assert f"Put NYUD_MT into {base}" in error.mend


def test_another_case(nyud: Description, tmp_path: Path) -> None:
    (tmp_path / "nyud_mt").mkdir()
    remark = f"; {tmp_path / 'nyud_mt'} is there: names differ in upper and lower case"
    assert refused(nyud, tmp_path).problem.endswith(remark)


def test_one_level_too_deep(nyud: Description, tmp_path: Path) -> None:
    (tmp_path / "data/NYUD_MT").mkdir(parents=True)
    remark = f"; {tmp_path / 'data/NYUD_MT'} is there: the tree lies one level too deep"
    assert refused(nyud, tmp_path).problem.endswith(remark)


@pytest.mark.parametrize(("to", "why"), [("NYUD_MT", "leads in a circle"), ("gone", "leads nowhere")])
@pytest.mark.parametrize("above", [False, True])
def test_broken_links(nyud: Description, tmp_path: Path, to: str, why: str, above: bool) -> None:
    link, base = tmp_path / "NYUD_MT", tmp_path / "NYUD_MT" if above else tmp_path
    link.symlink_to(to)
    assert refused(nyud, base).problem.endswith(f"; {link} is a link that {why}: remove or correct it")


def test_a_file_in_its_place(nyud: Description, tmp_path: Path) -> None:
    (tmp_path / "NYUD_MT").write_text("")
    assert refused(nyud, tmp_path).problem.endswith(f"; {tmp_path / 'NYUD_MT'} is a file")


@pytest.mark.parametrize("name", ["NYUD_MT", "nyud_mt"])
@pytest.mark.parametrize("relative", [False, True])
def test_the_dataset_itself(
    nyud: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, relative: bool
) -> None:
    base = tmp_path / name
    base.mkdir()
    monkeypatch.chdir(base)
    error = refused(nyud, Path() if relative else base)
    assert error.problem.endswith(f"; {base} is the dataset itself")
    assert error.mend == f"Set MTLREPRO_DATA or --data-root to {tmp_path}"


def test_a_file_above(nyud: Description, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refused(nyud, tmp_path / "file")
    assert error.problem.endswith(f"; {tmp_path / 'file'} is a file")
    assert error.mend == "Set MTLREPRO_DATA or --data-root to the folder that holds NYUD_MT"
    assert refused(nyud, tmp_path / "file/inner").problem.endswith(f"; {tmp_path / 'file'} is a file")


def test_a_root_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('name = "own"\nroot = "Pictures"\nimage = "{split}/{id}.png"\n[tasks.depth]\npath = "{id}.npy"')
    (tmp_path / "pictures").mkdir()
    error = refused(load(file), None)
    assert (error.file, error.field) == (file, "root")
    assert error.problem.startswith(f"no such folder: {tmp_path / 'Pictures'}; {tmp_path / 'pictures'} is there")
    file.write_text(file.read_text().replace("Pictures", "a\\u0000b"))
    assert refused(load(file), None).field == "root"


def test_no_permission(nyud: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Path.stat

    def refuse(path: Path, **options: bool) -> os.stat_result:
        if tmp_path in path.parents:
            raise PermissionError(13, "Permission denied")
        return look(path, **options)

    monkeypatch.setattr(type(tmp_path), "stat", refuse)  # whoever runs the tests may be allowed everything
    error = refused(nyud, tmp_path)
    assert error.file == tmp_path / "NYUD_MT"
    assert error.problem == "cannot be read (Permission denied)"
    assert "chmod" in error.mend
    assert str(find_dataset("nyuv2", tmp_path)).startswith(f"nyuv2: {tmp_path / 'NYUD_MT'}: cannot be read")
