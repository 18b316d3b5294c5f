"""A check-up of a dataset on disk: what is missing, what cannot be read, what its labels hold, what is suspicious.

`checkup` reads the dataset through its own reader, all samples or an even subset, and goes on where a training would
stop at the first fault.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any

from mtlrepro.data import description_file
from mtlrepro.data.disk.checkup import words
from mtlrepro.data.disk.checkup.findings import EXAMPLES, Case, Finding, Split, judge, nothing_valid
from mtlrepro.data.disk.checkup.masks import masks
from mtlrepro.data.disk.checkup.rules import BLANK, RULES, SIZES
from mtlrepro.data.disk.checkup.statistics import Facts, Problem, Statistics, facts
from mtlrepro.data.disk.checkup.survey import Files, Survey, surplus, survey, twins
from mtlrepro.data.disk.origin import PREPARED
from mtlrepro.data.disk.prepare.record import read_record
from mtlrepro.data.draws import Draws
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import DataError, MissingExtra, ReproError, SpecError
from mtlrepro.progress import ProgressLine, track
from mtlrepro.tasks import TASKS, make_tasks
from mtlrepro.tasks.base import Task

THREADS = min(8, os.cpu_count() or 1)
BLOCK = 64
"""Samples that are under way at a time."""

Result = tuple[str, str, Facts | Problem]
"""Split, id, what was found."""


@dataclass(frozen=True)
class SplitCheck:
    """One split.

    Attributes:
        name: "train" or "val".
        reader: opened for the check-up.
        files: of every kind.
        statistics: of the samples that were read.
    """

    name: str
    reader: Survey
    files: tuple[Files, ...]
    statistics: Statistics


@dataclass(frozen=True)
class Checkup:
    """What a check-up found.

    Attributes:
        name: the dataset's key, or the path of its description.
        info: what it predicts.
        root: the folder it lies in.
        synthetic: a synthetic copy: results on it are a rehearsal.
        splits: those that could be opened.
        surplus: folder -> names of files in it that no split uses.
        problems: what is wrong with splits, lists and masks; problems of samples are in each split's statistics.
        findings: what is suspicious.
        notes: what else is worth knowing.
    """

    name: str
    info: DatasetInfo
    root: Path
    synthetic: bool
    splits: tuple[SplitCheck, ...]
    surplus: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, nothing was wrong and nothing is suspicious."""
        faults = (not f.complete for split in self.splits for f in split.files)
        wrong = any(split.statistics.failed for split in self.splits)
        return not (self.problems or self.findings or any(faults) or wrong)

    def text(self) -> str:
        """The report for a terminal."""
        return words.text(self)

    def json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return words.as_json(self)


def checkup(
    name: str,
    data_root: Path | str | None = None,
    samples: int | None = None,
    progress: ProgressLine | None = None,
    cache: Path | str | None = None,
) -> Checkup:
    """Look over a whole dataset on disk.

    Args:
        name: dataset key, or the path of a description file.
        data_root: folder of the datasets; by default what `MTLREPRO_DATA` names.
        samples: read so many samples of each split, evenly spread and the same every time; None reads all.
        progress: where to show progress; by default in a line on a terminal.
        cache: folder for what a reader finds out about files (see `Folder`); None remembers nothing.

    Raises:
        SpecError: unknown dataset, a dataset without files, or `samples` below 1.
        DataError: its folder is not there, or no split can be opened.
        MissingExtra: a file format needs a module that is not installed.
    """
    if description_file(name) is None:
        raise SpecError(f"{name} is generated while it is used: it has no files to check", mend="Name one on disk")
    if samples is not None and samples < 1:
        raise SpecError(f"{samples} samples", field="samples", mend="Give a positive number, or none for all")
    progress = progress or ProgressLine()
    try:
        opened, failed = survey(name, data_root, cache, progress)
    finally:
        progress.clear()
    problems = [Problem.of(error, split) for split, error in failed.items()]
    if not opened:
        raise next(iter(failed.values()))
    first = next(iter(opened.values()))
    indices = {split: _subset(len(reader.ids), samples, split) for split, reader in opened.items()}
    statistics = {split: Statistics() for split in opened}
    for split, sample, result in track(_read(opened, indices), sum(map(len, indices.values())), "samples", progress):
        statistics[split].add(sample, result)
    splits = tuple(SplitCheck(s, reader, reader.manifest(), statistics[s]) for s, reader in opened.items())
    notes, wrong = masks(name, opened["train"]) if "train" in opened else ([], [])
    try:
        notes = prepared(first.root) + notes
    except DataError as error:
        wrong.append(Problem.of(error))
    if first.synthetic:
        notes.insert(0, "a synthetic copy: results on it are a rehearsal, never evidence on a paper")
    if first.overlapping:
        notes += shared(opened)
    notes += blanks(name, splits)
    readers = list(opened.values())
    return Checkup(
        name,
        first.info,
        first.root,
        first.synthetic,
        splits,
        surplus(readers),
        (*problems, *wrong),
        judge(_case(name, splits), RULES),
        tuple(notes),
    )


def _case(name: str, splits: Sequence[SplitCheck]) -> Case:
    first = splits[0].reader
    labels = first.description.tasks.get("semseg")
    absent = frozenset(stored + labels.offset for stored in labels.ignore) if labels else frozenset()
    if labels and labels.map:
        absent = frozenset(range(len(first.info.class_names))) - {class_id for _, class_id in labels.map}
    known = (first.marker.size,) if first.marker else SIZES.get(name, ())
    return Case(
        name,
        first.info,
        tuple(
            Split(
                s.name,
                len(s.reader.listed) - len(s.reader.missing["image"]),
                s.reader.wanted,
                s.statistics,
                {name: s.reader.path_of("image", name) for name in s.reader.ids},
                s.reader.about,
                s.reader.left_out,
            )
            for s in splits
        ),
        first.synthetic,
        first.overlapping,
        known if name in SIZES else (),
        absent,
        tuple(twins([s.reader for s in splits])),
    )


def prepared(root: Path) -> list[str]:
    """One line if a dataset was made by `mtlrepro data prepare`, none if not.

    Raises:
        DataError: the record of the preparation is damaged.
    """
    return [] if read_record(root) is None else [PREPARED]


def shared(readers: Mapping[str, Survey]) -> list[str]:
    """One line on how much of val is in train, for datasets whose published splits overlap."""
    if len(readers) < 2:
        return []
    train, val = (set(readers[split].ids) for split in ("train", "val"))
    return [f"{len(val & train)} of {len(val)} val images are train images too, as in the published splits"]


def blanks(name: str, splits: Sequence[SplitCheck]) -> list[str]:
    """One line for every split and label with samples that lack any valid pixel, where such are usual."""
    notes = []
    for task in (task for task, usual in BLANK.items() if name in usual):
        for split in splits:
            ids = nothing_valid(split.statistics, task)
            if ids:
                some = ", ".join(ids[:EXAMPLES]) + (" ..." if len(ids) > EXAMPLES else "")
                of = f"{len(ids)} of {len(split.statistics.names)} samples, as is usual"
                notes.append(f"{split.name}: no valid pixel of {task} in {some} ({of})")
    return notes


def _subset(n: int, samples: int | None, split: str) -> list[int]:
    """One position of each of `samples` equal stretches, drawn from the split's name."""
    if samples is None or samples >= n:
        return list(range(n))
    draws, bounds = Draws("checkup", split), [k * n // samples for k in range(samples + 1)]
    return [low + int(draws.uniform() * (high - low)) for low, high in pairwise(bounds)]


def _read(readers: Mapping[str, Survey], indices: Mapping[str, Sequence[int]]) -> Iterator[Result]:
    """What every sample shows, read by several threads and given in order."""
    with ThreadPoolExecutor(THREADS) as pool:
        for split, reader in readers.items():
            known = make_tasks([task for task in reader.info.tasks if task in TASKS], reader.info)
            tasks = {task: known.get(task) for task in reader.info.tasks}
            for start in range(0, len(indices[split]), BLOCK):
                block = indices[split][start : start + BLOCK]
                results = pool.map(_facts, repeat(reader), block, repeat(tasks))
                yield from ((split, reader.ids[i], result) for i, result in zip(block, results, strict=True))


def _facts(reader: Survey, index: int, tasks: dict[str, Task | None]) -> Facts | Problem:
    try:
        return facts(reader[index], tasks)
    except MissingExtra:
        raise
    except ReproError as error:
        name = reader.ids[index]
        return Problem.of(error, str(reader.root / reader.path_of("image", name)))
