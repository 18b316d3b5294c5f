"""A dataset on disk: images and label maps as a description file tells (`mtlrepro.data.description`)."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from torch import Tensor

from mtlrepro.data.description import SPLITS, Description, load
from mtlrepro.data.digest import digest_files
from mtlrepro.data.encodings import boundaries, read_image, read_label
from mtlrepro.data.sample import Sample
from mtlrepro.errors import DataError, unknown


class Folder:
    """One split of a dataset on disk. Construction lists files (all must be there) and reads none of them.

    Args:
        description: path of the TOML file, or what `load` made of it.
        split: "train" or "val".
        root: folder that the description's `root` is relative to; by default the description's own folder.
        length: keep the first n samples (order of the id list, or of sorted ids); None keeps all.
        cache: folder for remembered file hashes (see `mtlrepro.data.digest`).

    Raises:
        DataError: description or files are missing or not as described.
        SpecError: unknown key or split.
    """

    def __init__(
        self,
        description: Description | Path | str,
        split: str,
        root: Path | str | None = None,
        length: int | None = None,
        cache: Path | str | None = None,
    ):
        self.description = d = description if isinstance(description, Description) else load(description)
        if split not in d.splits:
            raise unknown("split", split, d.splits, file=d.file, field="splits")
        self.split, self.cache = split, None if cache is None else Path(cache)
        self.root = _find_root(d, root)
        self.ids = _ids(d, self.root, split)
        _check_labels(d, self.root, split, self.ids)
        if length is not None:
            if not 1 <= length <= len(self.ids):
                problem = f"{length} {split} samples are asked for, but the split has {len(self.ids)}"
                raise DataError(problem, file=d.file, field=f"splits.{split}", mend=f"Ask for 1 to {len(self.ids)}")
            self.ids = self.ids[:length]
        self.info = d.info
        self._digest: str | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Image and labels at their native size.

        Raises:
            DataError: a file is damaged, has another size than its image, or holds a value out of range.
        """
        d, name = self.description, self.ids[index]
        image = self.root / _fill(d, d.image, self.split, name)
        sample: Sample = {"image": read_image(image)}
        for task, labels in d.tasks.items():
            if labels.path is None:
                continue
            file = self.root / _fill(d, labels.path, self.split, name)
            label = read_label(task, file, labels, d)
            _check_size(label, sample["image"], task, file, image)
            sample[task] = label
        derived = {task: boundaries(sample["semseg"]) for task in d.tasks if task not in sample}
        return {
            "image": sample["image"],
            **{task: derived[task] if task in derived else sample[task] for task in d.tasks},
        }

    def digest(self) -> str:
        """Hex digest of every file of these samples and of what the description says about them."""
        if self._digest is None:
            self._digest = digest_files(self.root, self.files(), self.description.digest(), self.cache)
        return self._digest

    def files(self) -> list[str]:
        """Paths relative to the root, sample by sample."""
        d = self.description
        patterns = [d.image, *(labels.path for labels in d.tasks.values() if labels.path is not None)]
        return [_fill(d, pattern, self.split, name) for name in self.ids for pattern in patterns]


def check(description: Description | Path | str, root: Path | str | None = None) -> Path:
    """Look over a whole dataset before any training, in a second or so; returns the folder it lies in.

    The files of all samples of both splits must be there, in the numbers the description expects, and the first
    sample of each split must be readable.

    Raises:
        DataError: the first thing that is not as described.
        SpecError: an unknown key in the description.
    """
    d = description if isinstance(description, Description) else load(description)
    for split in SPLITS:
        Folder(d, split, root)[0]
    return _find_root(d, root)


def _find_root(d: Description, base: Path | str | None) -> Path:
    root = (Path(base) if base is not None else d.file.parent) / Path(d.root).expanduser()
    if root.is_dir():
        return root
    if base is None:
        raise DataError(f"no such folder: {root}", file=d.file, field="root", mend="Correct root in the description")
    raise DataError(
        f"not found: looked for {root / PurePosixPath(d.image).parent}",
        file=d.name,
        mend=f"Put {d.root} into {base}, or set MTLREPRO_DATA or --data-root to the folder that holds it",
    )


def _fill(d: Description, pattern: str, split: str, name: str) -> str:
    value = d.splits[split]
    path = pattern.replace("{split}", split if value.endswith(".txt") else value).replace("{id}", name)
    return str(PurePosixPath(path))  # without "./" and "//", as files are listed


def _ids(d: Description, root: Path, split: str) -> list[str]:
    """Ids of a split, from its list or from the images' names; all images exist."""
    listed = d.splits[split].endswith(".txt")
    names = _listed(d, root, split) if listed else _found(d, root, split)
    expected = d.counts.get(split, len(names))
    if len(names) != expected:
        problem = f"the {split} split has {len(names)} samples, expected {expected}"
        raise DataError(problem, file=root, field=f"counts.{split}", mend=f"Complete the files, or correct {d.file}")
    return names


def _listed(d: Description, root: Path, split: str) -> list[str]:
    file = root / d.splits[split]
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        mend = f"Restore the list of {split} ids, or correct splits.{split} in {d.file}"
        raise DataError(f"cannot be read ({getattr(error, 'strerror', error)})", file=file, mend=mend) from None
    if not names:
        raise DataError("holds no id", file=file, mend="Write one id a line")
    twice = next((name for name, count in _counts(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"id {twice!r} is listed twice", file=file, mend="List every id once")
    _all_there(d, root, split, names, d.image, "image")
    return names


def _found(d: Description, root: Path, split: str) -> list[str]:
    pattern = _fill(d, d.image, split, "{id}")
    before, after = pattern.split("{id}")
    folder, form = root / PurePosixPath(before + "x").parent, re.compile(re.escape(before) + "(.+)" + re.escape(after))
    files = _walk(root, folder)
    names = sorted(match[1] for match in map(form.fullmatch, files) if match)
    if not names:
        raise DataError(
            f"no file of the {split} split: nothing in {folder} matches {pattern}; {_seen(root, folder)}",
            file=root,
            field=f"splits.{split}",
            mend=f"Correct image or splits.{split} in {d.file}, or move the files",
        )
    return names


def _check_labels(d: Description, root: Path, split: str, names: list[str]) -> None:
    for task, labels in d.tasks.items():
        if labels.path is not None:
            _all_there(d, root, split, names, labels.path, task)


def _all_there(d: Description, root: Path, split: str, names: list[str], pattern: str, what: str) -> None:
    """One listing of the pattern's folder in place of a query per file."""
    wanted = [_fill(d, pattern, split, name) for name in names]
    folder = root / PurePosixPath(_fill(d, pattern, split, "{id}").split("{id}")[0] + "x").parent
    there = set(_walk(root, folder))
    missing = [path for path in wanted if path not in there]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} {what} files of the {split} split are missing; {_seen(root, folder)}",
            file=root / missing[0],
            field=what,
            mend=f"Add them, or correct the path of {what} in {d.file}",
        )


def _walk(root: Path, folder: Path) -> list[str]:
    """All files below a folder, relative to the root, with forward slashes."""
    return [
        (Path(parent) / file).relative_to(root).as_posix()
        for parent, _, files in os.walk(folder, followlinks=True)
        for file in files
    ]


def _seen(root: Path, folder: Path) -> str:
    """What there is in a folder instead, or in the nearest one above it that exists."""
    while not folder.is_dir() and folder != root:
        folder = folder.parent
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    shown = ", ".join(entries[:4]) + (f" and {len(entries) - 4} more" if len(entries) > 4 else "")
    return f"{folder} holds {shown or 'nothing'}"


def _counts(names: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def _check_size(label: Tensor, image: Tensor, task: str, file: Path, image_file: Path) -> None:
    if label.shape[-2:] != image.shape[-2:]:
        sizes = ["x".join(map(str, t.shape[-2:])) for t in (label, image)]
        raise DataError(
            f"label is {sizes[0]} (height x width), but its image {image_file} is {sizes[1]}",
            file=file,
            field=task,
            mend="Resize one to the other, labels by nearest neighbour",
        )
