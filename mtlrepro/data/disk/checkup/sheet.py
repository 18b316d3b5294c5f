"""A handful of samples as a picture: image and every label, and beside them how often each class occurs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mtlrepro.data.disk.checkup import Checkup, SplitCheck
from mtlrepro.data.disk.checkup.words import class_names
from mtlrepro.data.sample import DatasetInfo, Sample, scaled
from mtlrepro.errors import ReproError
from mtlrepro.tasks import TASKS, make_tasks
from mtlrepro.tasks.base import to_picture
from mtlrepro.tasks.semseg import voc_palette

GAP, TITLE, LINE = 4, 16, 13
HEIGHT = 192
"""Pixels of each picture; its width follows from the image's shape."""

BARS = 300
"""Pixels of the column with the class histogram."""


def sheet(checkup: Checkup, path: Path, n: int = 4) -> None:
    """Draw n samples of every split, evenly spread, with all their labels, and the class histogram, into a PNG.

    Args:
        checkup: of the dataset; its readers read the samples once more.
        path: file to write.
        n: samples a split, one a row.
    """
    blocks = [_block(split, checkup.info, n) for split in checkup.splits]
    whole = _below(blocks)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.save(path, format="PNG", optimize=True)


def _block(split: SplitCheck, info: DatasetInfo, n: int) -> Image.Image:
    """One split: a row a sample, and beside them a bar a class."""
    reader, rows = split.reader, []
    count = min(n, len(reader))
    for k in range(count):
        index = k * len(reader) // count
        title = f"{split.name} {reader.ids[index]}"
        try:
            rows.append(_row(title, _pictures(reader[index], info)))
        except ReproError as error:
            rows.append(_words(f"{title}: {error}"))
    bars = [_bars(f"{split.name} {task}", task, split, info) for task in split.statistics.tasks]
    return _beside([_below(rows or [_words(f"{split.name}: no sample")]), *(bar for bar in bars if bar is not None)])


def _pictures(sample: Sample, info: DatasetInfo) -> dict[str, np.ndarray]:
    """Title -> (H, W, 3) uint8: the image and every label."""
    tasks = make_tasks([task for task in info.tasks if task in TASKS], info)
    pictures = {"image": to_picture(scaled(sample["image"]))}
    for name in info.tasks:
        if name in tasks:
            pictures[name] = tasks[name].picture(tasks[name].collate(sample[name]))
        else:
            pictures[name] = _palette(256)[sample[name].numpy().astype(int)]
    return pictures


def _row(title: str, pictures: dict[str, np.ndarray]) -> Image.Image:
    first = next(iter(pictures.values()))
    width = max(1, round(first.shape[1] * HEIGHT / first.shape[0]))
    row = Image.new("RGB", (len(pictures) * (width + GAP), TITLE + HEIGHT), "white")
    pen = ImageDraw.Draw(row)
    for column, (name, picture) in enumerate(pictures.items()):
        left = column * (width + GAP)
        pen.text((left + 2, 2), title if name == "image" else name, fill="black")
        row.paste(Image.fromarray(picture).resize((width, HEIGHT), Image.Resampling.NEAREST), (left, TITLE))
    return row


def _words(text: str) -> Image.Image:
    row = Image.new("RGB", (BARS * 3, TITLE), "white")
    ImageDraw.Draw(row).text((2, 2), text.encode("latin-1", "replace").decode("latin-1"), fill="red")
    return row


def _bars(title: str, task: str, split: SplitCheck, info: DatasetInfo) -> Image.Image | None:
    """The class histogram of a task with classes, None for other tasks."""
    names, counts = class_names(task, info), split.statistics.tasks[task].counts
    if not names or counts is None:
        return None
    share = counts[: len(names)] / max(1, counts.sum())
    colours = info.palette if task == "semseg" and info.palette else voc_palette(len(names))
    image = Image.new("RGB", (BARS, TITLE + LINE * len(names)), "white")
    pen = ImageDraw.Draw(image)
    pen.text((2, 2), title, fill="black")
    for i, name in enumerate(names):
        top = TITLE + LINE * i
        length = round((BARS - 170) * share[i] / max(share.max(), 1e-12))
        pen.rectangle((110, top + 1, 110 + length, top + LINE - 3), fill=tuple(colours[i]), outline="grey")
        pen.text((2, top), name[:17], fill="black" if share[i] else "red")
        pen.text((114 + length, top), f"{share[i]:.2%}" if share[i] else "never", fill="black")
    return image


def _below(images: list[Image.Image]) -> Image.Image:
    column = Image.new("RGB", (max(i.width for i in images), sum(i.height + GAP for i in images)), "white")
    top = 0
    for image in images:
        column.paste(image, (0, top))
        top += image.height + GAP
    return column


def _beside(images: list[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (sum(i.width + GAP for i in images), max(i.height for i in images)), "white")
    left = 0
    for image in images:
        row.paste(image, (left, 0))
        left += image.width + GAP
    return row


def _palette(n: int) -> np.ndarray:
    colours = np.array(voc_palette(n), np.uint8)
    colours[-1] = 60
    return colours
