"""The manifest of a dataset on disk: which files its reader expects, which are there, which are not.

A reader stops at the first thing that is missing. For a check-up it goes on: what is missing is noted, and the samples
that are complete can be read.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from mtlrepro.data import data_root_of, description_file, target
from mtlrepro.data.disk import marker
from mtlrepro.data.disk.description import Description, load
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.prepare import record
from mtlrepro.errors import DataError
from mtlrepro.progress import ProgressLine

SHOWN = 10
"""Paths that a list of a report names at most; the others are counted."""


@dataclass(frozen=True)
class Files:
    """The files of one kind in one split.

    Attributes:
        what: "image", a task, or the name of a further file.
        expected: how many there must be.
        found: how many there are.
        missing: the first paths, relative to the root, that are not there.
        hint: what there is in place of the first one.
    """

    what: str
    expected: int
    found: int
    missing: tuple[str, ...] = ()
    hint: str = ""

    @property
    def complete(self) -> bool:
        """Whether there are as many as expected."""
        return self.found == self.expected


class Survey(Folder):
    """What a reader becomes for a check-up: `ids` are the samples that are complete, `listed` all that there should be.

    Attributes:
        listed: ids of the split as its list, or its numbers, tell.
        missing: kind -> ids that lack its file.
    """

    def __init__(self, *arguments: Any, **options: Any):
        self.listed: list[str] = []
        self.missing: dict[str, list[str]] = {}
        super().__init__(*arguments, **options)

    @property
    def wanted(self) -> int:
        """The number of samples that the split must have; as many as are listed where nothing is said about it."""
        return (self.expected() or {}).get(self.split, len(self.listed))

    @property
    def about(self) -> int:
        """Roughly how many samples the split must have, where nobody knows the number; else 0."""
        return 0 if self.split in (self.expected() or {}) else self.description.about.get(self.split, 0)

    def manifest(self) -> tuple[Files, ...]:
        """The files of every kind."""
        return tuple(self._files(what) for what in self.kinds)

    def paths(self) -> Iterator[str]:
        """Every path, relative to the root, that a file of the split may have; kind by kind, so folder by folder."""
        return (path for what in self.kinds for name in self.listed for path in self.candidates(what, name))

    def _files(self, what: str) -> Files:
        gone = self.missing[what]
        paths = [self.candidates(what, name)[self._first[what]] for name in gone[:SHOWN]]
        hint = self.tree.instead(paths[0]) if paths else ""
        return Files(what, self.wanted, len(self.listed) - len(gone), tuple(paths), hint)

    def numbered_ids(self, names: list[str], pattern: str) -> list[str]:
        """All numbers that there must be, whether their files are there or not."""
        known = (self.expected() or {}).get(self.split, 0)
        return [str(i) for i in range(max(known, len(names)))]

    def check_count(self) -> None:
        """Nothing is refused: the manifest tells."""
        self.listed = list(self.ids)

    def locate(self, what: str) -> None:
        """Samples that lack a file are noted and left out."""
        there = self.tree.holds
        gone = [name for name in self.listed if not any(there(path) for path in self.candidates(what, name))]
        self.missing[what] = gone
        self.ids = _without(self.ids, gone)
        super().locate(what)


def survey(
    name: str, data_root: Path | str | None, cache: Path | str | None = None, line: ProgressLine | None = None
) -> tuple[dict[str, Survey], dict[str, DataError]]:
    """Open all splits of a dataset on disk for a check-up.

    Args:
        name: dataset key, or the path of a description file.
        data_root: folder of the datasets; by default what `MTLREPRO_DATA` names.
        cache: folder for what a reader finds out about files (see `Folder`); None remembers nothing.
        line: where to show what is being opened.

    Returns:
        split -> its survey, and split -> why there is none.

    Raises:
        SpecError: unknown dataset.
        DataError: its folder is not there, or no such folder is known.
    """
    file = description_file(name)
    assert file is not None, "a generated dataset has no files to survey"
    description, root = load(file), None
    if not name.endswith(".toml"):
        root = data_root_of(data_root)
        if root is None:
            mend = "Set MTLREPRO_DATA or give --data-root"
            raise DataError("not found: no folder of datasets is known", file=name, mend=mend)
    module, attribute = target(name).split(":")
    cls = getattr(importlib.import_module(module), attribute)
    opened: dict[str, Survey] = {}
    failed: dict[str, DataError] = {}
    for split in description.splits:
        if line:
            line.show(f"{name}: looking for the files of {split}")
        try:
            opened[split] = _open(cls, description, split, root, cache)
        except DataError as error:
            failed[split] = error
    if not opened and not os.path.isdir(_root(description, root)):
        raise next(iter(failed.values()))
    return opened, failed


def surplus(surveys: Sequence[Survey]) -> dict[str, tuple[str, ...]]:
    """Folder -> names of files in it that no split uses; only of folders in which the dataset has files."""
    left: dict[str, set[str]] = {}
    for opened in surveys:
        for path in opened.paths():
            folder, _, name = path.rpartition("/")
            if folder not in left:
                left[folder] = {n for n, is_folder in opened.tree.entries(folder).items() if not is_folder}
            if name in left[folder]:
                left[folder].remove(name)
                if not left[folder]:
                    left[folder] = set()  # one that was emptied keeps its memory: a million files are hundreds of MB
    lists = {value for opened in surveys for value in opened.description.splits.values() if isinstance(value, str)}
    own = {*lists, marker.NAME, record.NAME}
    rest = {folder: {n for n in names if f"{folder}/{n}".lstrip("/") not in own} for folder, names in left.items()}
    return {folder: tuple(sorted(names)) for folder, names in sorted(rest.items()) if names}


def twins(surveys: Sequence[Survey]) -> list[tuple[str, str]]:
    """Pairs of paths, relative to the root, that differ in upper and lower case alone."""
    folders = {"": surveys[0].tree}
    for opened in surveys:
        for path in opened.paths():
            parent = path.rpartition("/")[0]
            if parent not in folders:
                above = (p.as_posix() for p in (PurePosixPath(parent), *PurePosixPath(parent).parents))
                folders = {folder: opened.tree for folder in above if folder != "."} | folders
    pairs = []
    for folder, tree in sorted(folders.items()):
        first: dict[str, str] = {}
        for name in sorted(tree.entries(folder)):
            other = first.setdefault(name.casefold(), name)
            if other != name:
                inside = f"{folder}/" if folder else ""
                pairs.append((inside + other, inside + name))
    return pairs


def _open(cls: Any, description: Description, split: str, root: Path | None, cache: Path | str | None) -> Survey:
    kind = type(f"Surveyed{cls.__name__}", (Survey, cls), {"__doc__": cls.__doc__})
    return cast(Survey, kind(description, split, root, cache=cache))


def _root(description: Description, base: Path | None) -> Path:
    return (base or description.file.parent) / Path(description.root).expanduser()


def _without(names: list[str], gone: list[str]) -> list[str]:
    dropped = set(gone)
    return [name for name in names if name not in dropped] if dropped else names
