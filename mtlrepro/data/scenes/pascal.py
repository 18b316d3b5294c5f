"""The rooms with the five tasks of PASCAL-Context: somebody is in every picture."""

from __future__ import annotations

import dataclasses
import itertools

import torch

from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes.dataset import Scenes
from mtlrepro.data.scenes.labels import per_row
from mtlrepro.data.scenes.render import trace
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.scene import Scene

ROOMS = 128
"""Rooms a sample chooses from. One in seven shows people that large: that none of them does will not happen."""

LEAST = 0.15
"""Share of the picture that people have at least: a short training does not find the parts of smaller ones."""

COARSE = (24, 32)
"""Height and width at which that is judged, whatever the size of a sample: it is the same room at every size."""


class PascalScenes(Scenes):
    """Procedural rooms with people in them, with the tasks of PASCAL-Context in the order of its tables.

    Sample i shows the first of `ROOMS` rooms of its own in which people are large enough to be seen (`LEAST`). Classes
    are those of rooms, which tell more apart than what the classes of PASCAL VOC name of a room. Parts and saliency
    are exact, as everything is; the released ones are drawn by hand and by a network.

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
        super().__init__(split, size, length, classes, seed)
        self.info = dataclasses.replace(
            self.info,
            name="scenes_pascal",
            tasks=("semseg", "parts", "saliency", "normals", "edges"),
            edge_tolerance=0.0075,  # as PASCAL-Context
        )

    def draw(self, number: int) -> Sample:
        """The room of a number as `Scenes` draws it."""
        return super().draw(self.room(number))

    def room(self, number: int) -> int:
        """The number of the room (`mtlrepro.data.scenes.rooms.layout`) that a sample's number stands for."""
        return next(i for i in itertools.count(number * ROOMS) if people(layout(self.seed, i)) >= LEAST)


def people(scene: Scene) -> float:
    """Share of a room's first view that shows people, judged at `COARSE`."""
    labelled = scene.rows[:, 19] > 0
    if not labelled.any():
        return 0.0
    surface = trace(scene, scene.cameras[0], *COARSE, torch.device("cpu"))
    return float(per_row(labelled, surface).double().mean())
