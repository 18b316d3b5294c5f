"""The embedded rooms as a dataset."""

from __future__ import annotations

from typing import Any

from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.data.scenes.classes import CLASS_SETS, palette
from mtlrepro.data.scenes.generated import Generated
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.errors import SpecError


class Scenes(Generated):
    """Procedural rooms; sample i of a split is the same whatever the length.

    Args:
        split: "train" or "val".
        size: (height, width) in pixels.
        length: number of samples.
        classes: 40 or 13, the NYUv2 label set.
        seed: another seed is another set of rooms.

    Raises:
        SpecError: unknown split, label set or a size or length below 1.
    """

    def __init__(self, split: str, size: tuple[int, int], length: int, classes: int = 40, seed: int = 0):
        super().__init__(split, size, length, seed)
        if classes not in CLASS_SETS:
            raise SpecError(f"no label set of {classes} classes", field="classes", mend="Use 40 or 13")
        self.classes = classes
        self.info = DatasetInfo(
            name="scenes",
            tasks=("semseg", "depth", "normals", "edges"),
            class_names=CLASS_SETS[classes],
            palette=palette(classes),
            max_depth=8.0,
            edge_tolerance=0.011,  # as NYUD-v2, whose rooms these stand for
        )

    def draw(self, number: int) -> Sample:
        """The room of a number, as `mtlrepro.data.scenes.sample.render` gives it."""
        return render(layout(self.seed, number), *self.size, classes=self.classes, seed=number)

    def parameters(self) -> list[Any]:
        """Also the label set."""
        return [*super().parameters(), self.classes]
