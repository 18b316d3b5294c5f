"""What lies below a root, and what is wrong with it said clearly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mtlrepro.data.disk.tree import Tree
from mtlrepro.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("list.txt", "images/a.jpg", "images/b.jpg", "depth/far/c.npy"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path


def test_files_are_found_at_any_depth(root: Path) -> None:
    tree = Tree(root)
    assert set(tree.files("")) == {"list.txt", "images/a.jpg", "images/b.jpg", "depth/far/c.npy"}
    assert set(tree.files("depth")) == {"depth/far/c.npy"}
    assert list(tree.files("gone")) == []
    assert tree.holds("images/a.jpg")
    assert tree.holds("list.txt")
    for path in ("images", "images/c.jpg", "list.txt/x", "gone/a.jpg"):
        assert not tree.holds(path)


def test_links_are_followed_unless_they_lead_nowhere(root: Path) -> None:
    (root / "elsewhere").symlink_to(root / "images", target_is_directory=True)
    (root / "images/link.jpg").symlink_to(root / "images/a.jpg")
    (root / "images/gone.jpg").symlink_to(root / "images/deleted.jpg")
    (root / "images/self.jpg").symlink_to(root / "images/self.jpg")
    tree = Tree(root)
    assert set(tree.files("elsewhere")) == {"elsewhere/a.jpg", "elsewhere/b.jpg", "elsewhere/link.jpg"}
    assert not tree.holds("images/gone.jpg")
    assert not tree.holds("images/self.jpg")


def test_a_circle_of_links_is_refused_by_name(root: Path) -> None:
    (root / "depth/far/up").symlink_to(root / "depth", target_is_directory=True)
    with pytest.raises(DataError, match="a link leads back to a folder above it") as caught:
        list(Tree(root).files(""))
    assert str(caught.value.file).startswith(str(root / "depth/far/up"))
    assert caught.value.mend == "Remove that link"


def test_a_folder_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "images":  # whoever runs the tests may be allowed everything
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"images: the folder cannot be read \(Permission denied\)") as caught:
        Tree(root).holds("images/a.jpg")
    assert "chmod" in str(caught.value.mend)


@pytest.mark.parametrize(
    ("sought", "instead"),
    [
        ("images/A.jpg", "{root}/images/a.jpg is there: names differ in upper and lower case"),
        ("Images/a.jpg", "{root}/images/a.jpg is there: names differ in upper and lower case"),
        ("far/d.npy", "{root}/depth/far is there: the tree lies one level too deep"),
        ("images/c.jpg", "{root}/images holds a.jpg, b.jpg"),
        ("depth/near/c.npy", "{root}/depth holds far/"),
        ("gone/c.npy", "{root} holds depth/, images/, list.txt"),
    ],
)
def test_what_there_is_in_place_of_a_missing_file(root: Path, sought: str, instead: str) -> None:
    assert Tree(root).instead(sought) == instead.format(root=root)


@pytest.mark.parametrize(
    ("link", "to", "sought", "why"),
    [
        ("images/c.jpg", "deleted.jpg", "images/c.jpg", "leads nowhere"),
        ("images/c.jpg", "a.jpg/x", "images/c.jpg", "leads nowhere"),
        ("images/c.jpg", "c.jpg", "images/c.jpg", "leads in a circle"),
        ("normals", "/gone/normals", "normals/a.jpg", "leads nowhere"),
        ("normals", "normals", "normals/far/a.jpg", "leads in a circle"),
    ],
)
def test_links_that_lead_nowhere_are_named(root: Path, link: str, to: str, sought: str, why: str) -> None:
    (root / link).symlink_to(to)
    tree = Tree(root)
    assert not tree.holds(sought)
    assert tree.instead(sought) == f"{root / link} is a link that {why}: remove or correct it"


def test_a_folder_beside_that_may_not_be_read_is_no_obstacle(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "depth":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert Tree(root).instead("images/c.jpg") == f"{root}/images holds a.jpg, b.jpg"


def test_long_listings_are_cut(root: Path) -> None:
    for i in range(9):
        (root / f"images/{i}.jpg").write_text("")
    assert Tree(root).instead("images/c.jpg").endswith("images holds 0.jpg, 1.jpg, 2.jpg, 3.jpg and 7 more")
