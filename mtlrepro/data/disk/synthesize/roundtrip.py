"""Does a reader give back what a writer wrote? Rendered samples against those read from a synthetic copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from mtlrepro.data import build_dataset
from mtlrepro.data.disk.description import MAPS
from mtlrepro.data.disk.encodings import IGNORE
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.readers.nyuv2_video import VideoPairs
from mtlrepro.data.disk.synthesize import WRITERS, find_copy
from mtlrepro.data.sample import Sample
from mtlrepro.errors import DataError
from mtlrepro.progress import ProgressLine, track
from mtlrepro.spec import DataSpec


@dataclass
class Deviation:
    """How far what was read is from what was rendered, over all pixels of one target.

    Attributes:
        dataset: its key.
        target: a key of the samples.
        unit: of the figures below.
        samples: compared.
        pixels: valid in both.
        worst: the largest error.
        total: sum of errors.
        misplaced: pixels that are valid in one and invalid in the other.
    """

    dataset: str
    target: str
    unit: str
    samples: int = 0
    pixels: int = 0
    worst: float = 0.0
    total: float = 0.0
    misplaced: int = 0

    @property
    def mean(self) -> float:
        """The mean error; NaN where no pixel is valid."""
        return self.total / self.pixels if self.pixels else float("nan")

    def add(self, error: Tensor, valid: Tensor, misplaced: Tensor) -> None:
        """Take in one sample: errors of its pixels, which of them count, which are valid in one of the two alone."""
        counted = error[valid].double()
        self.samples += 1
        self.pixels += counted.numel()
        self.worst = max(self.worst, float(counted.max()) if counted.numel() else 0.0)
        self.total += float(counted.sum())
        self.misplaced += int(misplaced.sum())


Errors = tuple[Tensor, Tensor, Tensor]
"""Error, is it valid in both, is it valid in one alone: a value a pixel each."""


def roundtrip(name: str, directory: Path, progress: ProgressLine | None = None) -> list[Deviation]:
    """Read a synthetic copy with the dataset's own reader, render its scenes again, and compare.

    Args:
        name: dataset key.
        directory: the data root that `synthesize` wrote to.
        progress: where to show progress; by default in a line on a terminal.

    Returns:
        One `Deviation` a target, over the samples of all splits; motions have two, of translation and of rotation.

    Raises:
        DataError: there is no synthetic copy, or the reader refuses it, lacks a sample or a target.
    """
    found: dict[str, Deviation] = {}
    marker = find_copy(name, directory)
    if marker is None:
        mend = f"Write one with `mtlrepro data synthesize --layout {name}`"
        raise DataError(f"there is no synthetic copy of {name}", file=directory, mend=mend)
    for split, n in marker.counts.items():
        dataset = build_dataset(DataSpec(name, marker.size), split, directory)
        assert isinstance(dataset, Folder)
        ids = {id_: i for i, id_ in enumerate(dataset.ids)}
        scenes = WRITERS[name](dataset.root, marker.size, marker.seed).scenes(split, n)
        if isinstance(dataset, VideoPairs):
            scenes = _paired(scenes, dataset)
        for id_, rendered in track(scenes, n, f"{split} samples of {name} compared", progress):
            if id_ not in ids:
                problem = f"sample {id_!r} of the {split} split was written, but is not among those read"
                raise DataError(problem, file=dataset.root, mend="Compare the reader's ids with the writer's")
            read = dataset[ids[id_]]
            for target, value in rendered.items():
                if target not in read:
                    problem = "was written, but is not in the sample that is read"
                    raise DataError(problem, file=dataset.root, field=target, mend="Describe this task")
                for row, unit, compare in _COMPARE.get(target, ((target, "", _numbers),)):
                    unit = "inverse" if unit == "m" and dataset.info.inverse_depth else unit
                    entry = found.setdefault(row, Deviation(name, row, unit))
                    entry.add(*compare(value, read[target]))
    return list(found.values())


def _paired(scenes: Iterator[tuple[str, Sample]], dataset: VideoPairs) -> Iterator[tuple[str, Sample]]:
    """Rendered frames with what the reader's choice of partners makes of their poses."""
    for _, frames in groupby(scenes, lambda frame: frame[0].rpartition("/")[0]):
        scene = dict(frames)
        for id_, rendered in scene.items():
            sample = {target: value for target, value in rendered.items() if target != "pose"}
            partner = dataset.partner_of(id_)
            if partner is not None:
                other = scene[partner]
                motion = torch.linalg.inv(other["pose"].double()) @ rendered["pose"].double()
                sample |= {"frames": other["image"][None], "frame_depth": other["depth"][None], "motion": motion[None]}
            yield id_, sample


EXPLAINED = (
    "A worst error is that of one pixel: a JPEG's at a sharp edge, a rounded disparity's far away (errors grow with "
    "the square of the distance), and that of a normal which is made from rounded depth. Means tell more."
)
"""What is said below the table."""


def table(rows: list[Deviation]) -> str:
    """The deviations as a Markdown table."""
    lines = [
        "| dataset | target | samples | worst error | mean error | unit | pixels valid in one alone |",
        "|---|---|---:|---:|---:|---|---:|",
    ]
    for r in rows:
        figures = f"{r.worst:.3g} | {r.mean:.3g} | {r.unit} | {r.misplaced}"
        lines.append(f"| {r.dataset} | {r.target} | {r.samples} | {figures} |")
    return "\n".join([*lines, "", EXPLAINED])


def _levels(rendered: Tensor, read: Tensor) -> Errors:
    everywhere = torch.ones_like(rendered, dtype=torch.bool)
    values = [(v if v.dtype == torch.uint8 else v * 255).double() for v in (rendered, read)]
    return (values[0] - values[1]).abs(), everywhere, ~everywhere


def _ids(rendered: Tensor, read: Tensor) -> Errors:
    a, b = rendered != IGNORE, read != IGNORE
    return (rendered != read).double(), a & b, a ^ b


def _positive(rendered: Tensor, read: Tensor) -> Errors:
    a, b = rendered > 0, read > 0
    return (rendered.double() - read.double()).abs(), a & b, a ^ b


def _degrees(rendered: Tensor, read: Tensor) -> Errors:
    a, b = rendered.abs().sum(0) > 0, read.abs().sum(0) > 0
    chord = (rendered.double() - read.double()).square().sum(0).sqrt()  # the cosine says nothing of small angles
    return torch.rad2deg(2 * torch.asin((chord / 2).clamp_max(1))), a & b, a ^ b


def _numbers(rendered: Tensor, read: Tensor) -> Errors:
    a, b = ~rendered.isnan(), ~read.isnan()
    return (rendered.double() - read.double()).abs(), a & b, a ^ b


def _translations(rendered: Tensor, read: Tensor) -> Errors:
    error = (rendered[..., :3, 3].double() - read[..., :3, 3].double()).norm(dim=-1)
    everywhere = torch.ones_like(error, dtype=torch.bool)
    return error, everywhere, ~everywhere


def _rotations(rendered: Tensor, read: Tensor) -> Errors:
    chord = (rendered[..., :3, :3].double() - read[..., :3, :3].double()).flatten(-2).norm(dim=-1)
    error = torch.rad2deg(2 * torch.asin((chord / 8**0.5).clamp_max(1)))
    everywhere = torch.ones_like(error, dtype=torch.bool)
    return error, everywhere, ~everywhere


Compare = Callable[[Tensor, Tensor], Errors]


def _alike(targets: tuple[str, ...], unit: str, compare: Compare) -> dict[str, tuple[tuple[str, str, Compare], ...]]:
    return {target: ((target, unit, compare),) for target in targets}


_COMPARE: dict[str, tuple[tuple[str, str, Compare], ...]] = {
    **_alike(("image", "frames"), "of 255", _levels),
    **_alike(("semseg", "parts", "saliency", "edges"), "wrong pixel", _ids),
    **_alike(("depth", "frame_depth"), "m", _positive),
    **_alike(("normals",), "degrees", _degrees),
    **_alike(("intrinsics",), "px", _numbers),
    **_alike(MAPS, "deviations", _numbers),
    "motion": (("motion, translation", "m", _translations), ("motion, rotation", "degrees", _rotations)),
}
"""Target -> its rows in the table: name, unit of the errors, and what tells them; other keys are plain numbers."""
