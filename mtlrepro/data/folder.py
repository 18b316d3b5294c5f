"""A dataset on disk: images and label maps as a description file tells (`mtlrepro.data.description`)."""

from __future__ import annotations

import bisect
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from torch import Tensor

from mtlrepro.data.description import Description, load, variants
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
        length: keep the first n samples (order of the id list, or of sorted or numbered ids); None keeps all.
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
        self.ids, image = _ids(d, self.root, split)
        self._patterns = {"image": image} | _label_patterns(d, self.root, split, self.ids)
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
        files = {what: self.root / pattern.replace("{id}", name) for what, pattern in self._patterns.items()}
        sample: Sample = {"image": read_image(files["image"])}
        stored = [task for task in d.tasks if task in files]
        for task in sorted(stored, key=lambda task: d.tasks[task].mask is not None):  # what masks others first
            labels = d.tasks[task]
            valid = None if labels.mask is None else sample[labels.mask].numpy() > 0
            label = read_label(task, files[task], labels, d, valid)
            _check_size(label, sample["image"], task, files[task], files["image"])
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
        """Paths relative to the root, sample by sample; one that holds image and label is named once."""
        patterns = list(dict.fromkeys(self._patterns.values()))
        return [pattern.replace("{id}", name) for name in self.ids for pattern in patterns]


def check(description: Description | Path | str, root: Path | str | None = None) -> Path:
    """Look over a whole dataset before any training, in a second or so; returns the folder it lies in.

    The files of all samples of every split must be there, in the numbers the description expects, and the first
    sample of each split must be readable.

    Raises:
        DataError: the first thing that is not as described.
        SpecError: an unknown key in the description.
    """
    d = description if isinstance(description, Description) else load(description)
    for split in d.splits:
        Folder(d, split, root)[0]
    return _find_root(d, root)


def _find_root(d: Description, base: Path | str | None) -> Path:
    root = (Path(base) if base is not None else d.file.parent) / Path(d.root).expanduser()
    if root.is_dir():
        return root
    if base is None:
        raise DataError(f"no such folder: {root}", file=d.file, field="root", mend="Correct root in the description")
    raise DataError(
        f"not found: looked for {root / PurePosixPath(_fill(d, d.image, next(iter(d.splits)))).parent}",
        file=d.name,
        mend=f"Put {d.root} into {base}, or set MTLREPRO_DATA or --data-root to the folder that holds it",
    )


def _fill(d: Description, pattern: str, split: str) -> str:
    """A pattern of one split, in which only `{id}` is open."""
    value = d.splits[split]
    stands_for = value if isinstance(value, str) and not value.endswith(".txt") else split
    return str(PurePosixPath(pattern.replace("{split}", stands_for)))  # without "./" and "//", as files are listed


def _ids(d: Description, root: Path, split: str) -> tuple[list[str], str]:
    """Ids of a split, from its list or from the images' names, and the images' pattern; all images exist."""
    value = d.splits[split]
    if isinstance(value, str) and value.endswith(".txt"):
        names, pattern = _listed(d, root, split, root / value)
    else:
        names, pattern = _found(d, root, split)
    expected = d.counts.get(split, len(names))
    if len(names) != expected:
        problem = f"the {split} split has {len(names)} samples, expected {expected}"
        raise DataError(problem, file=root, field=f"counts.{split}", mend=f"Complete the files, or correct {d.file}")
    return names, pattern


def _listed(d: Description, root: Path, split: str, file: Path) -> tuple[list[str], str]:
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        mend = f"Restore the list of {split} ids, or correct splits.{split} in {d.file}"
        raise DataError(f"cannot be read ({getattr(error, 'strerror', error)})", file=file, mend=mend) from None
    names = [str(PurePosixPath(line)) for line in lines if line]
    if not names:
        raise DataError("holds no id", file=file, mend="Write one id a line")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"id {twice!r} is listed twice", file=file, mend="List every id once")
    return names, _all_there(d, root, split, names, d.image, "image")


def _found(d: Description, root: Path, split: str) -> tuple[list[str], str]:
    filled = _fill(d, d.image, split)
    folders = _folders(d, root, split, filled)
    files = [file for folder in folders for file in _walk(root, folder)]
    for pattern in variants(filled):
        before, after = pattern.split("{id}")
        form = re.compile(re.escape(before) + "(.+)" + re.escape(after))
        names = [match[1] for match in map(form.fullmatch, files) if match]
        if names and d.numbered:
            return _in_number_order(d, root, split, names, pattern), pattern
        if names:
            names.sort()
            _check_folders(d, root, split, names, pattern)
            return names, pattern
    raise DataError(
        f"no file of the {split} split: nothing in {folders[0]} matches {filled}; {_seen(root, folders[0])}",
        file=root,
        field=f"splits.{split}",
        mend=f"Correct image or splits.{split} in {d.file}, or move the files",
    )


def _in_number_order(d: Description, root: Path, split: str, names: list[str], pattern: str) -> list[str]:
    """The ids 0, 1, 2 ... if that is what there is: labels of a partial-label mask belong to samples by number."""
    wanted = [str(i) for i in range(len(names))]
    there = set(names)
    missing = next((name for name in wanted if name not in there), None)
    if missing is not None:
        other = min(there - set(wanted), key=lambda name: (len(name), name))
        raise DataError(
            f"no such file, but one with the id {other!r}: ids of the {split} split must be 0, 1, 2 ... without a gap",
            file=root / pattern.replace("{id}", missing),
            field=f"splits.{split}",
            mend=f"Restore the missing files and take others out, or take numbered out of {d.file}",
        )
    return wanted


def _check_folders(d: Description, root: Path, split: str, names: list[str], pattern: str) -> None:
    """A split that names folders has samples in every one of them."""
    value = d.splits[split]
    for folder in value if isinstance(value, tuple) else ():
        first = bisect.bisect(names, f"{folder}/")
        if first == len(names) or not names[first].startswith(f"{folder}/"):
            raise DataError(
                f"no image of the folder {folder!r} of the {split} split",
                file=root / pattern.replace("{id}", folder + "/..."),
                field=f"splits.{split}",
                mend=f"Add that folder, or describe the dataset without it in a copy of {d.file}",
            )


def _label_patterns(d: Description, root: Path, split: str, names: list[str]) -> dict[str, str]:
    """Task -> pattern of its files, for those that have files; all of them exist."""
    paths = {task: labels.path for task, labels in d.tasks.items()}
    return {task: _all_there(d, root, split, names, path, task) for task, path in paths.items() if path is not None}


def _all_there(d: Description, root: Path, split: str, names: list[str], pattern: str, what: str) -> str:
    """The variant of a pattern that fits, from one listing of its folders in place of a query per file."""
    filled = _fill(d, pattern, split)
    folders = _folders(d, root, split, filled)
    there = {file for folder in folders for file in _walk(root, folder)}
    missing = {}
    for variant in variants(filled):
        before, after = variant.split("{id}")
        missing[variant] = [path for name in names if (path := f"{before}{name}{after}") not in there]
        if not missing[variant]:
            return variant
    gone = min(missing.values(), key=len)
    raise DataError(
        f"{len(gone)} of {len(names)} {what} files of the {split} split are missing; {_seen(root, folders[0])}",
        file=root / gone[0],
        field=what,
        mend=f"Add them, or correct the path of {what} in {d.file}",
    )


def _folders(d: Description, root: Path, split: str, pattern: str) -> list[Path]:
    """Where the files of a pattern lie, at any depth."""
    value, before = d.splits[split], pattern.split("{id}")[0]
    below = [f"{folder}/" for folder in value] if isinstance(value, tuple) else [""]
    return [root / PurePosixPath(f"{before}{folder}x").parent for folder in below]


def _walk(root: Path, folder: Path) -> Iterator[str]:
    """All files below a folder, relative to the root, with forward slashes."""
    for parent, _, files in os.walk(folder, followlinks=True):
        inside = Path(parent).relative_to(root).as_posix()  # once a folder: a dataset may have two million files
        yield from files if inside == "." else [f"{inside}/{file}" for file in files]


def _seen(root: Path, folder: Path) -> str:
    """What there is in a folder instead, or in the nearest one above it that exists."""
    while not folder.is_dir() and folder != root:
        folder = folder.parent
    entries = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    shown = ", ".join(entries[:4]) + (f" and {len(entries) - 4} more" if len(entries) > 4 else "")
    return f"{folder} holds {shown or 'nothing'}"


def _check_size(label: Tensor, image: Tensor, task: str, file: Path, image_file: Path) -> None:
    if label.shape[-2:] != image.shape[-2:]:
        sizes = ["x".join(map(str, t.shape[-2:])) for t in (label, image)]
        raise DataError(
            f"label is {sizes[0]} (height x width), but its image {image_file} is {sizes[1]}",
            file=file,
            field=task,
            mend="Resize one to the other, labels by nearest neighbour",
        )
