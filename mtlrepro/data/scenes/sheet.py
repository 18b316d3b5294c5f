"""A contact sheet of a generated dataset: picture and every label, one scene a row."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mtlrepro.data import target
from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.classes import PARTS, palette
from mtlrepro.data.scenes.generated import Generated
from mtlrepro.files import write_failure
from mtlrepro.spec import Options
from mtlrepro.tasks import make_tasks

GAP, TITLE = 4, 16


def contact_sheet(
    path: Path,
    n: int = 6,
    size: tuple[int, int] = (192, 256),
    seed: int = 0,
    name: str = "scenes",
    options: Options = (),
) -> None:
    """Draw scenes 0 .. n-1 of a seed with all their labels into a PNG.

    Args:
        path: file to write.
        n: scenes, one a row.
        size: (height, width) of each picture.
        seed: of the scenes.
        name: a generated dataset.
        options: of the dataset, for example its style.

    Raises:
        SpecError: unknown dataset name, or a value that an option does not take.
        StoreError: the picture cannot be written.
    """
    height, width = size
    module, attribute = target(name).split(":")
    dataset: Generated = getattr(importlib.import_module(module), attribute)(
        "train", size, n, seed=seed, **dict(options)
    )
    rows = [_pictures(dataset, dataset[i]) for i in range(n)]
    sheet = Image.new("RGB", (len(rows[0]) * (width + GAP) - GAP, TITLE + n * (height + GAP) - GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(rows[0]):
        pen.text((column * (width + GAP) + 2, 2), title, fill="black")
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures.values()):
            sheet.paste(Image.fromarray(picture), (column * (width + GAP), TITLE + row * (height + GAP)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, optimize=True)
    except OSError as error:
        raise write_failure(path, error) from error


def _pictures(dataset: Generated, sample: Sample) -> dict[str, np.ndarray]:
    """Title -> (H, W, 3) uint8."""
    tasks = make_tasks(dataset.info.tasks, dataset.info)
    image = sample["image"].permute(1, 2, 0).numpy()
    out = {"image": image, **{name: task.picture(task.collate(sample[name])) for name, task in tasks.items()}}
    if "frames" in sample:
        *before, last = sample["frames"].permute(0, 2, 3, 1).numpy()
        out = {"before": before[0], **out, "after": last} if before else {**out, "partner": last}
    if "saliency" in sample:
        out["saliency"] = np.where(sample["saliency"].numpy()[..., None] > 0, image, image // 4 + 20).astype(np.uint8)
    if "parts" in sample:
        colours = np.array([(0, 0, 0), *palette(len(PARTS) - 1), *[(60, 60, 60)] * (256 - len(PARTS))], np.uint8)
        out["parts"] = colours[sample["parts"].numpy().astype(int)]
    return out
