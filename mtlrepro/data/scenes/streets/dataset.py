"""The embedded streets as a dataset."""

from __future__ import annotations

from typing import ClassVar

from mtlrepro.data.sample import DatasetInfo, Sample
from mtlrepro.data.scenes.generated import Generated
from mtlrepro.data.scenes.streets.classes import CITYSCAPES7, PALETTE7
from mtlrepro.data.scenes.streets.layout import layout
from mtlrepro.data.scenes.streets.sample import render


class Streets(Generated):
    """Procedural streets; sample i of a split is the same whatever the length.

    Args:
        split: "train" or "val".
        size: (height, width) in pixels; the camera's own aspect is 1:2.
        length: number of samples.
        seed: another seed is another set of streets.

    Raises:
        SpecError: unknown split or a size or length below 1.
    """

    SOURCES: ClassVar[tuple[str, ...]] = ("*.py", "streets/*.py")

    def __init__(self, split: str, size: tuple[int, int], length: int, seed: int = 0):
        super().__init__(split, size, length, seed)
        self.info = DatasetInfo(
            name="streets",
            tasks=("semseg", "depth"),
            class_names=CITYSCAPES7,
            palette=PALETTE7,
            max_depth=0.5,
            inverse_depth=True,
        )

    def draw(self, number: int) -> Sample:
        """The street of a number, as `mtlrepro.data.scenes.streets.sample.render` gives it."""
        return render(layout(self.seed, number), *self.size, seed=number)
