"""Predictions beside ground truth: one sheet an image, rows are the table's rows, columns are tasks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtlrepro.report.figures import DPI, INK, Picture, literal, new_figure, to_png
from mtlrepro.report.rundir import RunFiles
from mtlrepro.suite.results import RowResult

if TYPE_CHECKING:
    import numpy as np

ORDER = (
    *("semseg", "parts", "depth", "normals", "edges", "saliency"),
    *("occlusion", "reshading", "keypoints", "texture"),
)
GAP = 4
"""Pixels between thumbnails."""


def indices(rows: list[RowResult], files: dict[str, RunFiles]) -> list[int]:
    """Image indices that any run of the rows has a prediction for."""
    names = [name for row in rows for key in row.runs if key in files for name in files[key].pictures]
    return sorted({int(m.group(1)) for name in names if (m := re.match(r"(\d+)_", name))})


@dataclass(frozen=True)
class Sheet:
    """The files of one image.

    Attributes:
        index: position of the image in the evaluation split.
        tasks: in the order of `ORDER`.
        image: the input.
        truth: task -> target.
        rows: name of a row that has a prediction, and its predictions by task.
    """

    index: int
    tasks: list[str]
    image: Path | None
    truth: dict[str, Path]
    rows: list[tuple[str, dict[str, Path]]]


def sheet(index: int, rows: list[RowResult], files: dict[str, RunFiles]) -> Sheet | None:
    """The sheet of one image; a row without a picture of it is left out, None where no row has one."""
    found = [(row, pictures) for row in rows if (pictures := _of_row(row, index, files))]
    if not found:
        return None
    tasks = sorted(
        {task for _, pictures in found for task in pictures},
        key=lambda t: (ORDER.index(t) if t in ORDER else len(ORDER), t),
    )
    keys = [key for row, _ in found for key in row.runs if key in files]
    truth = {task: path for task in tasks if (path := _first(files, keys, f"{index}_target_{task}.png"))}
    image = _first(files, keys, f"{index}_image.png")
    return Sheet(index, tasks, image, truth, [(row.name, pictures) for row, pictures in found])


def picture(name: str, title: str, of: Sheet, width: int) -> Picture:
    """A sheet as one picture.

    Args:
        name: file stem of the picture.
        title: the table's name.
        of: the sheet.
        width: pixels of a thumbnail.
    """
    lines: list[tuple[str, list[Path | None]]] = [("ground truth", [of.image, *(of.truth.get(t) for t in of.tasks)])]
    lines += [(row, [None, *(pictures.get(t) for t in of.tasks)]) for row, pictures in of.rows]
    return Picture(
        name,
        f"{title}, image {of.index}: ground truth and {len(of.rows)} rows",
        _montage(f"{title}, image {of.index}", of.tasks, lines, width),
    )


def _of_row(row: RowResult, index: int, files: dict[str, RunFiles]) -> dict[str, Path]:
    """Task -> picture of the row's view, from the first of its runs that has it."""
    prefix = f"{index}_{row.view}_"
    found: dict[str, Path] = {}
    targets = {n for k in row.runs if k in files for n in files[k].pictures if n.startswith(f"{index}_target_")}
    for key in row.runs:
        for file, path in files[key].pictures.items() if key in files else ():
            task = file.removeprefix(prefix).removesuffix(".png")
            if file.startswith(prefix) and (not targets or f"{index}_target_{task}.png" in targets):
                found.setdefault(task, path)
    return found


def _first(files: dict[str, RunFiles], keys: list[str], file: str) -> Path | None:
    return next((files[key].pictures[file] for key in keys if file in files[key].pictures), None)


def _montage(title: str, tasks: list[str], lines: list[tuple[str, list[Path | None]]], width: int) -> bytes:
    """Thumbnails at their own pixels with text around them; the input image stands left of the ground truth."""
    import numpy as np

    thumbs = [[_thumb(path, width) for path in paths] for _, paths in lines]
    height = max((t.shape[0] for row in thumbs for t in row if t is not None), default=width)
    columns = len(tasks) + 1
    body = np.full((len(lines) * (height + GAP), columns * (width + GAP), 3), 255, np.uint8)
    for i, row in enumerate(thumbs):
        for j, thumb in enumerate(row):
            if thumb is not None:
                y, x = i * (height + GAP), j * (width + GAP)
                body[y : y + min(height, thumb.shape[0]), x : x + thumb.shape[1]] = thumb[:height]
            elif j:
                body[
                    i * (height + GAP) : i * (height + GAP) + height, j * (width + GAP) : (j + 1) * (width + GAP) - GAP
                ] = 240
    head = 44
    figure = new_figure(body.shape[1] / DPI, (body.shape[0] + head) / DPI)
    figure.figimage(body, 0, 0)
    total = body.shape[0] + head

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / body.shape[1], 1 - y / total, text, None, color=INK, **style)

    write(2, 4, literal(title), va="top", fontsize=8.5, fontweight="bold")
    for j, task in enumerate(["input", *tasks]):
        write(j * (width + GAP) + 2, head - 4, literal(task), va="bottom", fontsize=7.5)
    for i, (label, paths) in enumerate(lines):
        middle = head + i * (height + GAP) + height / 2
        if i:  # the first line's left cell holds the input image
            write(width - 3, middle, literal(label, max(10, width // 6)), va="center", ha="right", fontsize=7.5)
        for j, path in enumerate(paths):
            if path is None and j:
                write(j * (width + GAP) + width / 2, middle, "no picture", va="center", ha="center", fontsize=6.5)
    return to_png(figure, colours=128)


def _thumb(path: Path | None, width: int) -> np.ndarray | None:
    """(h, width, 3) uint8; None for no path or a file that is not a picture."""
    if path is None:
        return None
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            height = max(1, round(image.height * width / image.width))
            method = Image.Resampling.BOX if width < image.width else Image.Resampling.NEAREST
            return np.asarray(image.convert("RGB").resize((width, height), method))
    except (OSError, SyntaxError, ValueError):
        return None
