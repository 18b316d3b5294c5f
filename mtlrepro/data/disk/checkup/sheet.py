"""A handful of samples as a picture: image and every label, and beside them how often each class occurs."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from mtlrepro.data.disk.checkup import Checkup, SplitCheck
from mtlrepro.data.disk.checkup.words import class_names
from mtlrepro.data.disk.encodings import IGNORE
from mtlrepro.data.sample import DatasetInfo, Sample, scaled
from mtlrepro.errors import ReproError
from mtlrepro.files import write_bytes
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

    Raises:
        StoreError: the file cannot be written.
    """
    blocks = [_block(split, checkup.info, n) for split in checkup.splits]
    whole = _below(blocks)
    stream = io.BytesIO()
    whole.save(stream, format="PNG", optimize=True)
    write_bytes(path, stream.getvalue())


def _block(split: SplitCheck, info: DatasetInfo, n: int) -> Image.Image:
    """One split: a row a sample, and beside them a bar a class."""
    reader, rows = split.reader, []
    samples: dict[int, Sample | ReproError] = {}
    count = min(n, len(reader))
    for index in (k * len(reader) // count for k in range(count)):
        try:
            samples[index] = reader[index]
        except ReproError as error:
            samples[index] = error
    far = _far([sample for sample in samples.values() if not isinstance(sample, ReproError)]) or info.max_depth
    for index, sample in samples.items():
        title = f"{split.name} {reader.ids[index]}"
        if isinstance(sample, ReproError):
            rows.append(_words(f"{title}: {sample}"))
        else:
            rows.append(_row(title, _pictures(sample, replace(info, max_depth=far))))
    bars = [_bars(f"{split.name} {task}", task, split, info) for task in split.statistics.tasks]
    rows.append(_words("chequered grey: ignored or invalid pixels", "black"))
    return _beside([_below(rows if samples else [_words(f"{split.name}: no sample")]), *(b for b in bars if b)])


def _far(samples: list[Sample]) -> float:
    """The 99th percentile of all valid depths of some samples, 0 if there is none."""
    depths = [sample["depth"][sample["depth"] > 0].numpy() for sample in samples if "depth" in sample]
    known = np.concatenate(depths) if depths else np.empty(0)
    return float(np.percentile(known, 99)) if known.size else 0.0


def _pictures(sample: Sample, info: DatasetInfo) -> dict[str, np.ndarray]:
    """Title -> (H, W, 3) uint8: the image, its neighbours, and every label."""
    tasks = make_tasks([task for task in info.tasks if task in TASKS], info)
    pictures = {"image": to_picture(scaled(sample["image"]))}
    for k, frame in enumerate(sample.get("frames", ()), 1):
        pictures[f"neighbour {k}"] = to_picture(scaled(frame))
    for name in info.tasks:
        if name in tasks:
            target = tasks[name].collate(sample[name])
            valid = tasks[name].valid(target.unsqueeze(0))[0]
            picture = tasks[name].picture(target)
        else:
            valid = sample[name] != IGNORE
            picture = _palette(256)[sample[name].numpy().astype(int)]
        title = f"{name} 0 to {info.max_depth:.3g}{'' if info.inverse_depth else ' m'}" if name == "depth" else name
        pictures[title] = _chequered(picture, valid)
    return pictures


def _chequered(picture: np.ndarray, valid: torch.Tensor) -> np.ndarray:
    """A picture whose invalid pixels are two greys in squares: no class, and no value, has that colour."""
    height, width, _ = picture.shape
    side = max(1, height // 24)
    y, x = np.indices((height, width)) // side
    greys = np.where((y + x) % 2, 96, 160)[..., None]
    return np.where(valid.numpy().reshape(height, width, 1), picture, greys).astype(np.uint8)


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


def _words(text: str, colour: str = "red") -> Image.Image:
    row = Image.new("RGB", (BARS * 3, TITLE), "white")
    ImageDraw.Draw(row).text((2, 2), text.encode("latin-1", "replace").decode("latin-1"), fill=colour)
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
        pen.text((2, top), name[:17], fill="black" if share[i] else "grey")
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
