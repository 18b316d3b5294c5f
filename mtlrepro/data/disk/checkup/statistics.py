"""Figures of single samples, and what a split adds up to."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mtlrepro.data.disk.encodings import IGNORE
from mtlrepro.data.sample import Sample
from mtlrepro.errors import ReproError
from mtlrepro.tasks.base import Task

STEEP = 0.05
"""|n_z| below which a normal's side is left open: at the border of a wide picture a surface that is seen from the
front can have either sign."""

KEPT = 1000
"""Problems of a split that are kept; further ones are counted."""

Figures = dict[str, float]


@dataclass(frozen=True)
class Label:
    """What one label map, or the image, of one sample shows.

    Attributes:
        form: dtype and size, as "float32 480x640".
        low: least valid value, NaN if none is valid.
        high: greatest valid value.
        figures: name -> figure; shares are of the map's pixels.
        counts: pixels of every class, for labels that are class ids.
    """

    form: str
    low: float
    high: float
    figures: Figures
    counts: np.ndarray | None = None


@dataclass(frozen=True)
class Facts:
    """What is kept of one sample.

    Attributes:
        labels: "image" and tasks.
        digest: of the image's pixels.
        size: (height, width) of the image.
    """

    labels: dict[str, Label]
    digest: bytes
    size: tuple[int, int]


def facts(sample: Sample, tasks: Mapping[str, Task | None]) -> Facts:
    """The figures of a sample.

    Args:
        sample: as the reader gives it.
        tasks: name of a label -> its task; None for labels of classes that no network here predicts.

    Raises:
        DataError: a label breaks the contract of samples.
    """
    image = sample["image"].numpy()
    labels = {"image": _image(image)}
    for name, task in tasks.items():
        stored = sample[name]
        valid = stored != IGNORE if task is None else task.valid(task.collate(stored).unsqueeze(0))[0]
        labels[name] = _label(name, stored.numpy(), valid.numpy().reshape(valid.shape[-2:]))
    digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
    return Facts(labels, digest, (image.shape[-2], image.shape[-1]))


def _label(task: str, stored: np.ndarray, valid: np.ndarray) -> Label:
    values = stored[..., valid]
    low, high = (float(values.min()), float(values.max())) if values.size else (float("nan"), float("nan"))
    figures = {"invalid": 1 - float(valid.mean())}
    counts = None
    if stored.dtype == np.uint8:
        counts = np.bincount(values, minlength=256)
        figures |= {"classes": float((counts > 0).sum())} if values.size else {}
        figures["positive"] = float(counts[1:].sum()) / stored.size
    if values.size and task in MEASURES:
        figures |= MEASURES[task](stored, values)
    return Label(_form(stored), low, high, figures, counts)


def _of_range(stored: np.ndarray, values: np.ndarray) -> Figures:
    low, high = float(values.min()), float(values.max())
    return {"spread": (high - low) / max(abs(low), abs(high), 1e-12)}


def _of_depth(stored: np.ndarray, values: np.ndarray) -> Figures:
    return {"median": float(np.median(values)), **_of_range(stored, values)}


def _of_normals(stored: np.ndarray, values: np.ndarray) -> Figures:
    z = values[2]
    sided = np.abs(z) > STEEP
    figures = {"spread": float(np.ptp(values, axis=1).max())}
    return figures | ({"away": float((z[sided] > 0).mean())} if sided.any() else {})


def _of_edges(stored: np.ndarray, values: np.ndarray) -> Figures:
    edge = stored == 1
    inner = edge[1:-1, 1:-1].copy()
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            inner &= edge[dy : edge.shape[0] - 2 + dy, dx : edge.shape[1] - 2 + dx]
    return {"thick": float(inner.sum()) / max(int(edge.sum()), 1)}


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], Figures]] = {
    "depth": _of_depth,
    "normals": _of_normals,
    "edges": _of_edges,
    **dict.fromkeys(("occlusion", "reshading", "keypoints", "texture"), _of_range),
}
"""Task -> (label, its valid values) -> figures of that task alone."""


def _image(image: np.ndarray) -> Label:
    top = 255.0 if image.dtype == np.uint8 else 1.0
    low, high = float(image.min()), float(image.max())
    colour = max(float(np.abs(image[a].astype(np.float32) - image[b]).max()) for a, b in ((0, 1), (1, 2)))
    figures = {
        "invalid": 0.0,
        "high": high / top,
        "deviation": float(image.std(axis=(1, 2)).max()) / top,
        "colour": colour / top,
    }
    return Label(_form(image), low, high, figures)


def _form(stored: np.ndarray) -> str:
    return f"{stored.dtype} {stored.shape[-2]}x{stored.shape[-1]}"


@dataclass
class Summary:
    """What the maps of one task, or the images, add up to over a split.

    Attributes:
        forms: dtype and size -> how many maps have it.
        low: least valid value of all.
        high: greatest.
        figures: name -> one figure a sample in the order read, NaN where a map has none.
        counts: pixels of every class; None unless labels are class ids.
    """

    forms: Counter[str] = field(default_factory=Counter)
    low: float = float("nan")
    high: float = float("nan")
    figures: dict[str, array[float]] = field(default_factory=dict)
    counts: np.ndarray | None = None
    maps: int = 0

    def add(self, label: Label) -> None:
        """Take one more map."""
        self.forms[label.form] += 1
        self.low, self.high = float(np.fmin(self.low, label.low)), float(np.fmax(self.high, label.high))
        for name, value in label.figures.items():
            kept = self.figures.setdefault(name, array("d", [float("nan")] * self.maps))
            kept.append(value)
        self.maps += 1
        for kept in self.figures.values():
            kept.extend([float("nan")] * (self.maps - len(kept)))
        if label.counts is not None:
            self.counts = label.counts + (0 if self.counts is None else self.counts)

    def figure(self, name: str) -> np.ndarray:
        """One figure of every map, float64; NaN where a map has none."""
        return np.asarray(self.figures.get(name, array("d", [float("nan")] * self.maps)))


@dataclass(frozen=True)
class Problem:
    """One sample, file or folder that is not as it must be.

    Attributes:
        file: where.
        problem: what is wrong.
        mend: what can be done about it.
    """

    file: str
    problem: str
    mend: str

    @classmethod
    def of(cls, error: ReproError, file: str = "") -> Problem:
        """What an error says."""
        where = ": ".join(str(part) for part in (error.file or file, error.field) if part)
        return cls(where, error.problem, error.mend)


@dataclass
class Statistics:
    """What the samples of a split that were read add up to.

    Attributes:
        names: ids of the samples that could be read, in the order read.
        tasks: "image" and tasks -> their summary.
        digests: of the images' pixels.
        sizes: (height, width) of every image.
        problems: what was wrong with samples that could not be read, with the first of them.
        failed: how many could not be read.
    """

    names: list[str] = field(default_factory=list)
    tasks: dict[str, Summary] = field(default_factory=dict)
    digests: list[bytes] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    failed: int = 0

    def add(self, name: str, found: Facts | Problem) -> None:
        """Take one more sample."""
        if isinstance(found, Problem):
            self.failed += 1
            if self.failed <= KEPT:
                self.problems.append(found)
            return
        self.names.append(name)
        self.digests.append(found.digest)
        self.sizes.append(found.size)
        for what, label in found.labels.items():
            self.tasks.setdefault(what, Summary()).add(label)
