"""A dataset on disk: images and label maps as a description file tells (`mtlrepro.data.disk.description`).

`Folder` reads what a description alone can tell. A dataset that needs more than that is a subclass in
`mtlrepro.data.disk.readers`.
"""

from __future__ import annotations

import bisect
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, ClassVar

from torch import Tensor

from mtlrepro.data.disk.arrays import check_regular
from mtlrepro.data.disk.description import Description, check_own_files, load, variants
from mtlrepro.data.disk.digest import digest_files
from mtlrepro.data.disk.encodings import boundaries, read_image, read_label
from mtlrepro.data.disk.marker import marker_of
from mtlrepro.data.disk.paths import denied, lies_below
from mtlrepro.data.disk.root import fill, find_root
from mtlrepro.data.disk.tree import Tree
from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.errors import DataError, unknown


class Folder:
    """One split of a dataset on disk. Construction lists files (all must be there) and reads none of them.

    Readers of special datasets override `found_ids`, `chosen_ids`, `expected`, `candidates`, `read`, `parameters`,
    `info_of` or `remark`.
    Their options are keyword-only arguments; one named `size` is given the network's input size.

    Args:
        description: path of the TOML file, or what `load` made of it.
        split: "train" or "val".
        root: folder that the description's `root` is relative to; by default the description's own folder.
        length: keep the first n samples (order of the id list, or of sorted or numbered ids); None keeps all.
        cache: folder for remembered file hashes (see `mtlrepro.data.disk.digest`).

    Attributes:
        ids: of the samples, in their order.
        kinds: what is stored of every sample: "image", tasks, and the names of further files.
        marker: what the folder says if it is a synthetic copy, else None.
        overlapping: whether the train and the val split may share samples, as two published ones do.
        left_out: why samples that are there do not count -> how many.
        KEPT: option -> values that stand where a run declares them, whatever a user wants all its datasets to be read
            with -> why.

    Raises:
        DataError: description or files are missing or not as described.
        SpecError: unknown key or split.
    """

    overlapping = False
    left_out: Mapping[str, int] = MappingProxyType({})
    KEPT: ClassVar[Mapping[str, Mapping[Any, str]]] = MappingProxyType({})

    def __init__(
        self,
        description: Description | Path | str,
        split: str,
        root: Path | str | None = None,
        length: int | None = None,
        cache: Path | str | None = None,
    ):
        self.description = d = description if isinstance(description, Description) else load(description)
        if type(self).read is Folder.read:
            check_own_files(d)
        if split not in d.splits:
            raise unknown("split", split, d.splits, file=d.file, field="splits")
        self.split, self.cache = split, None if cache is None else Path(cache)
        self.root = find_root(d, root)
        self.marker = marker_of(self.root, d.name)
        self.tree = Tree(self.root)
        labels = {task: labels.paths for task, labels in d.tasks.items() if labels.paths}
        sources = {"image": (d.image,), **labels, **{name: (pattern,) for name, pattern in d.files.items()}}
        self._patterns = {
            what: tuple(v for pattern in patterns for v in variants(self._filled(pattern)))
            for what, patterns in sources.items()
        }
        self.kinds = tuple(sources)
        self.ids = self.chosen_ids(self.found_ids())
        self.check_count()
        self._first: dict[str, int] = {}
        self._elsewhere: dict[tuple[str, str], int] = {}
        for what in self.kinds:
            self.locate(what)
        if length is not None:
            if not 1 <= length <= len(self.ids):
                problem = f"{length} {split} samples are asked for, but the split has {len(self.ids)}"
                raise DataError(problem, file=d.file, field=f"splits.{split}", mend=f"Ask for 1 to {len(self.ids)}")
            self.ids = self.ids[:length]
        self._digest: str | None = None

    @property
    def info(self) -> DatasetInfo:
        """What models, metrics and pictures need to know."""
        return self.info_of(self.description)

    @property
    def synthetic(self) -> bool:
        """Whether these are embedded scenes in the dataset's layout: figures on them say nothing about a paper."""
        return self.marker is not None

    @classmethod
    def info_of(cls, description: Description, **options: Any) -> DatasetInfo:
        """`info` without any file, given the reader's options."""
        return description.info

    @classmethod
    def remark(cls, **options: Any) -> str:
        """What figures on these samples rest on, given the reader's options: a report says it below its tables.

        "" where there is only one way to read the files.
        """
        return ""

    @classmethod
    def check(
        cls, description: Description | Path | str, root: Path | str | None = None, cache: Path | str | None = None
    ) -> Path:
        """Look over a whole dataset before any training; returns the folder it lies in.

        It takes a second or so where names tell what there is. A reader that must look into files to find its samples
        does so, which may take minutes, and remembers in `cache` what it found.

        The files of all samples of every split must be there, in the numbers the description expects, no image may
        belong to two splits, and the first sample of each split must be readable.

        Raises:
            DataError: the first thing that is not as described.
            SpecError: an unknown key in the description.
        """
        d = description if isinstance(description, Description) else load(description)
        splits = [cls(d, split, root, cache=cache) for split in d.splits]
        for dataset in splits:
            dataset[0]
        images = [{dataset.path_of("image", name) for name in dataset.ids} for dataset in splits]
        shared = set.intersection(*images) if len(splits) > 1 and not cls.overlapping else ()
        if shared:
            problem = f"{len(shared)} images belong to {' and to '.join(d.splits)}, such as {min(shared)}"
            mend = "An image belongs to one split: correct the lists"
            raise DataError(problem, file=splits[0].root, field="splits", mend=mend)
        return splits[0].root

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Image and labels, at their native size unless the reader says otherwise.

        Raises:
            DataError: a file is damaged, has another size than its image, or holds a value out of range.
        """
        name = self.ids[index]
        return self.read(name, {what: self.root / self.path_of(what, name) for what in self.kinds})

    def digest(self) -> str:
        """Hex digest of every file of these samples and of what is said about how they are read."""
        if self._digest is None:
            chosen = self.parameters()
            how = self.description.digest() + (json.dumps(chosen, sort_keys=True) if chosen else "")
            self._digest = digest_files(self.root, self.files(), how, self.cache)
        return self._digest

    def files(self) -> list[str]:
        """Paths relative to the root, sample by sample; one that holds image and label is named once."""
        by_id = (dict.fromkeys(self.path_of(what, name) for what in self.kinds) for name in self.ids)
        return [path for paths in by_id for path in paths]

    def path_of(self, what: str, name: str) -> str:
        """Where one file of a sample lies, relative to the root.

        Args:
            what: one of `kinds`.
            name: an id.
        """
        return self.candidates(what, name)[self._elsewhere.get((what, name), self._first[what])]

    # --- what a reader of a special dataset may override ------------------------------------------------------------

    def found_ids(self) -> list[str]:
        """Ids of the split, from its list or from the images' names.

        Raises:
            DataError: there are none, or the list is damaged.
        """
        value = self.description.splits[self.split]
        return self._listed(value) if isinstance(value, str) and value.endswith(".txt") else self._found()

    def chosen_ids(self, names: list[str]) -> list[str]:
        """The ids that the split consists of, out of those found."""
        return names

    def candidates(self, what: str, name: str) -> tuple[str, ...]:
        """Where one file of a sample may lie, relative to the root; the first that exists is taken."""
        return tuple(pattern.replace("{id}", name) for pattern in self._patterns[what])

    def read(self, name: str, files: Mapping[str, Path]) -> Sample:
        """One sample.

        Args:
            name: its id.
            files: one of `kinds` -> path.

        Raises:
            DataError: see `__getitem__`.
        """
        d = self.description
        sample: Sample = {"image": read_image(files["image"])}
        stored = [task for task in d.tasks if task in files]
        for task in sorted(stored, key=lambda task: d.tasks[task].mask is not None):  # what masks others first
            labels = d.tasks[task]
            valid = None if labels.mask is None else sample[labels.mask].numpy() > 0
            label = read_label(task, files[task], labels, d, valid)
            check_size(label, sample["image"], task, files[task], files["image"])
            sample[task] = label
        derived = {task: boundaries(sample["semseg"]) for task in d.tasks if task not in sample}
        return {
            "image": sample["image"],
            **{task: derived[task] if task in derived else sample[task] for task in d.tasks},
        }

    def expected(self) -> dict[str, int] | None:
        """How many samples each split must have; None if nobody knows of this one."""
        if self.marker:  # a split that it does not name is not there
            return {**dict.fromkeys(self.description.splits, 0), **self.marker.counts}
        counts = self.description.counts
        return counts if self.split in counts else None

    def parameters(self) -> dict[str, Any]:
        """Options of the reader that change samples, as JSON values: they are part of the digest."""
        return {}

    # --- ids --------------------------------------------------------------------------------------------------------

    def _filled(self, pattern: str) -> str:
        """A pattern of this split, in which only `{id}` is open."""
        return fill(self.description, pattern, self.split)

    def _listed(self, value: str) -> list[str]:
        d, split, file = self.description, self.split, self.root / value
        try:
            check_regular(file)
            lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
        except FileNotFoundError:
            mend = f"Restore the list of {split} ids, or correct splits.{split} in {d.file}"
            raise DataError(f"no such file; {self.tree.instead(value)}", file=file, mend=mend) from None
        except PermissionError:
            raise denied(file) from None
        except (OSError, ValueError) as error:
            mend = f"Restore the list of {split} ids, or correct splits.{split} in {d.file}"
            raise DataError(f"cannot be read ({getattr(error, 'strerror', error)})", file=file, mend=mend) from None
        for number, line in enumerate(lines, 1):
            if not lies_below(line) or "." in line.split("/"):
                mend = "An id is a path below the folder of the images, with forward slashes and without . or .. in it"
                raise DataError(f"{line!r} is no id", file=file, field=f"line {number}", mend=mend)
        names = [str(PurePosixPath(line)) for line in lines if line]
        if not names:
            raise DataError("holds no id", file=file, mend="Write one id a line")
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            raise DataError(f"id {twice!r} is listed twice", file=file, mend="List every id once")
        return names

    def _found(self) -> list[str]:
        d, split = self.description, self.split
        filled = self._filled(d.image)
        folders = self._folders(filled)
        files = [file for folder in folders for file in self.tree.files(folder)]
        for pattern in variants(filled):
            before, after = pattern.split("{id}")
            form = re.compile(re.escape(before) + "(.+)" + re.escape(after))
            names = [match[1] for match in map(form.fullmatch, files) if match]
            if names and d.numbered:
                return self.numbered_ids(names, pattern)
            if names:
                names.sort()
                self._check_folders(names, pattern)
                return names
        sought = variants(filled)[-1].replace("{id}", "x")
        raise DataError(
            f"no file of the {split} split: nothing in {self.root / folders[0]} matches {filled}; "
            f"{self.tree.instead(sought)}",
            file=self.root,
            field=f"splits.{split}",
            mend=f"Correct image or splits.{split} in {d.file}, or move the files",
        )

    def _folders(self, pattern: str) -> list[str]:
        """Where the files of a pattern lie, at any depth."""
        value, before = self.description.splits[self.split], pattern.split("{id}")[0]
        below = [f"{folder}/" for folder in value] if isinstance(value, tuple) else [""]
        parents = [PurePosixPath(f"{before}{folder}x").parent.as_posix() for folder in below]
        return ["" if parent == "." else parent for parent in parents]

    def numbered_ids(self, names: list[str], pattern: str) -> list[str]:
        """The ids 0, 1, 2 ... if that is what there is: labels of a partial-label mask belong to samples by number."""
        wanted = [str(i) for i in range(len(names))]
        there = set(names)
        missing = next((name for name in wanted if name not in there), None)
        if missing is not None:
            other = min(there - set(wanted), key=lambda name: (len(name), name))
            raise DataError(
                f"no such file, but one with the id {other!r}: ids of the {self.split} split must be 0, 1, 2 ... "
                "without a gap",
                file=self.root / pattern.replace("{id}", missing),
                field=f"splits.{self.split}",
                mend=f"Restore the missing files and take others out, or take numbered out of {self.description.file}",
            )
        return wanted

    def _check_folders(self, names: list[str], pattern: str) -> None:
        """A split that names folders has samples in every one of them; a synthetic copy may be too small for that."""
        value = self.description.splits[self.split]
        for folder in value if isinstance(value, tuple) and not self.synthetic else ():
            first = bisect.bisect(names, f"{folder}/")
            if first == len(names) or not names[first].startswith(f"{folder}/"):
                raise DataError(
                    f"no image of the folder {folder!r} of the {self.split} split",
                    file=self.root / pattern.replace("{id}", folder + "/..."),
                    field=f"splits.{self.split}",
                    mend=f"Add that folder, or describe the dataset without it in a copy of {self.description.file}",
                )

    def check_count(self) -> None:
        """Raise a `DataError` unless the split has as many samples as expected."""
        n, expected = len(self.ids), self.expected()
        if expected is None or n == expected[self.split]:
            return
        mend = f"Complete the files, or correct {self.description.file}"
        if self.synthetic:
            mend = "Make the copy anew with `mtlrepro data synthesize`"
        others = [other for other, count in expected.items() if other != self.split and count == n]
        if others:
            mend = f"So many has the {others[0]} split: look whether the lists or folders of the two are swapped"
        problem = f"the {self.split} split has {n} samples, expected {expected[self.split]}"
        raise DataError(problem, file=self.root, field=f"counts.{self.split}", mend=mend)

    # --- files ------------------------------------------------------------------------------------------------------

    def locate(self, what: str) -> None:
        """Find the file of every id: remember which candidate most of them take, and ids that take another.

        Raises:
            DataError: a file is missing.
        """
        there = [
            next((i for i, path in enumerate(self.candidates(what, name)) if self.tree.holds(path)), None)
            for name in self.ids
        ]
        usual = Counter(i for i in there if i is not None).most_common(1)
        self._first[what] = usual[0][0] if usual else 0
        gone = [name for name, i in zip(self.ids, there, strict=True) if i is None]
        if gone:
            path = self.candidates(what, gone[0])[self._first[what] if usual else -1]
            mend = f"Add them, or correct the path of {what} in {self.description.file}"
            if what != "image" and isinstance(self.description.splits[self.split], tuple):
                mend += "; a sample without all of its files can be left out by removing its image"
            raise DataError(
                f"{len(gone)} of {len(self.ids)} {what} files of the {self.split} split are missing; "
                f"{self.tree.instead(path)}",
                file=self.root / path,
                field=what,
                mend=mend,
            )
        for name, i in zip(self.ids, there, strict=True):
            if i is not None and i != self._first[what]:
                self._elsewhere[what, name] = i


def check_size(label: Tensor, image: Tensor, task: str, file: Path, image_file: Path) -> None:
    """Raise a `DataError` unless a label has its image's height and width."""
    if label.shape[-2:] != image.shape[-2:]:
        sizes = ["x".join(map(str, t.shape[-2:])) for t in (label, image)]
        raise DataError(
            f"label is {sizes[0]} (height x width), but its image {image_file} is {sizes[1]}",
            file=file,
            field=task,
            mend="Resize one to the other, labels by nearest neighbour",
        )
