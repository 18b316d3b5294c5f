"""A contact sheet of scenes: picture and every label, one scene a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.data.scenes.classes import CLASS_SETS, PARTS, palette
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.tasks import make_tasks

COLUMNS = ("image", "semseg", "depth", "normals", "edges", "saliency", "parts")
GAP, TITLE = 4, 16


def contact_sheet(path: Path, n: int = 6, size: tuple[int, int] = (192, 256), seed: int = 0) -> None:
    """Draw scenes 0 .. n-1 of a seed with all their labels into a PNG.

    Args:
        path: file to write.
        n: scenes, one a row.
        size: (height, width) of each picture.
        seed: of the scenes.
    """
    height, width = size
    info = DatasetInfo("scenes", ("semseg", "depth", "normals", "edges"), CLASS_SETS[40], palette(40), max_depth=8.0)
    sheet = Image.new("RGB", (len(COLUMNS) * (width + GAP) - GAP, TITLE + n * (height + GAP) - GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(COLUMNS):
        pen.text((column * (width + GAP) + 2, 2), name, fill="black")
    for row in range(n):
        pictures = _pictures(render(layout(seed, row), height, width, seed=row), info)
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (column * (width + GAP), TITLE + row * (height + GAP)))
    sheet.save(path, optimize=True)


def _pictures(sample: Sample, info: DatasetInfo) -> list[np.ndarray]:
    tasks = make_tasks(info.tasks, info)
    labels = [task.picture(task.collate(sample[name])) for name, task in tasks.items()]
    image = sample["image"].permute(1, 2, 0).numpy()
    subject = np.where(sample["saliency"].numpy()[..., None] > 0, image, image // 4 + 20)
    colours = np.array([(0, 0, 0), *palette(len(PARTS) - 1), *[(60, 60, 60)] * (256 - len(PARTS))], np.uint8)
    return [image, *labels, subject.astype(np.uint8), colours[sample["parts"].numpy().astype(int)]]
