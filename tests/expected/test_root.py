"""Where `expected/` is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

import mtlrepro
from mtlrepro.errors import SpecError
from mtlrepro.expected.root import expected_root


def new_root(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "protocols.toml").touch()
    return folder


def test_the_folder_given_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = new_root(tmp_path / "elsewhere")
    new_root(tmp_path / "expected")
    monkeypatch.chdir(tmp_path)
    assert expected_root(given) == given
    assert expected_root(str(given)) == given


def test_the_working_directory_comes_before_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = Path(mtlrepro.__file__).resolve().parents[1] / "expected"
    monkeypatch.chdir(tmp_path)
    assert expected_root() == checkout
    (tmp_path / "expected").mkdir()  # a folder of that name without a vocabulary is another thing
    assert expected_root() == checkout
    (tmp_path / "expected" / "protocols.toml").touch()
    assert expected_root().resolve() == tmp_path / "expected"


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_given_that_holds_no_tables_is_told(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "nowhere"
    if exists:
        folder.mkdir()
    with pytest.raises(SpecError, match=r"protocols\.toml\. Run from the checkout") as caught:
        expected_root(folder)
    assert caught.value.file == folder
