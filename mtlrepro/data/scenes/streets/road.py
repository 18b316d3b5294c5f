"""Sorts of streets, and the road that everything is placed along."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mtlrepro.data.scenes.primitives import Kit, Material

END = 240.0
"""Metres to which the road is lined; the ground goes on to the horizon."""
SHADE = 50.0
"""Metres up to which things cast shadows."""


@dataclass(frozen=True)
class Kind:
    """What a sort of street is made of.

    Attributes:
        lanes: fewest and most lanes.
        walk: width of the pavements, metres, least and most.
        setback: from the pavement to the fronts, metres, least and most.
        plots: weights of terrace, detached house, hall, green, gap.
        storeys: fewest and most.
        parking, trees, lamps, people, traffic: how much, 0 to 1.
        green: chance that the ground beside the road is grass.
    """

    lanes: tuple[int, int]
    walk: tuple[float, float]
    setback: tuple[float, float]
    plots: tuple[float, float, float, float, float]
    storeys: tuple[int, int]
    parking: float
    trees: float
    lamps: float
    people: float
    traffic: float
    green: float


KINDS = {
    "old town": Kind((1, 2), (1.5, 3.0), (0, 0), (0.86, 0.0, 0.0, 0.06, 0.08), (3, 6), 0.5, 0.15, 0.5, 1.0, 0.4, 0.1),
    "avenue": Kind((2, 4), (3.0, 5.5), (0, 2), (0.75, 0.0, 0.05, 0.1, 0.1), (4, 9), 0.7, 0.8, 0.8, 0.9, 0.9, 0.2),
    "residential": Kind((2, 2), (1.8, 3), (2, 6), (0.25, 0.45, 0.0, 0.2, 0.1), (2, 4), 0.7, 0.6, 0.6, 0.6, 0.5, 0.7),
    "suburb": Kind((2, 3), (1.5, 2.5), (4, 10), (0.1, 0.4, 0.15, 0.25, 0.1), (2, 4), 0.3, 0.7, 0.7, 0.5, 0.6, 0.9),
    "trade": Kind((2, 4), (1.5, 3.0), (4, 14), (0.2, 0.05, 0.5, 0.15, 0.1), (2, 6), 0.3, 0.35, 0.9, 0.5, 1.0, 0.6),
    "park road": Kind((2, 2), (1.5, 3), (3, 8), (0.15, 0.15, 0.0, 0.6, 0.1), (2, 6), 0.5, 0.9, 0.6, 0.7, 0.6, 1.0),
}


@dataclass
class Road:
    """The street while it fills. Places are (s, t): metres along its middle, and to the right of it."""

    g: np.random.Generator
    kind: Kind
    bend: float
    lanes: int
    parking: tuple[bool, bool]
    walk: float
    kit: Kit = field(default_factory=Kit)

    @property
    def half(self) -> float:
        """Half the carriageway without parking, metres."""
        return self.lanes * 1.65 + 0.2

    def kerb(self, side: int) -> float:
        """Distance of a kerb (side -1 left, 1 right) from the middle."""
        return self.half + 2.2 * self.parking[side > 0]

    def at(self, s: float, t: float) -> tuple[float, float, float]:
        """World x, y and heading (yaw) at a place."""
        return along(self.bend, s, t)

    def put(self, kit: Kit, s: float, t: float, yaw: float = 0.0, z: float = 0.0) -> None:
        """Place a kit; far away it casts no shadow."""
        x, y, turn = self.at(s, t)
        if s > SHADE:
            kit.rows = [(*row[:20], 0.0) for row in kit.rows]
        self.kit.add(kit, x, y, z, turn + yaw)

    def strip(self, material: Material, t0: float, t1: float, z: float, start: float = -12.0, end: float = END) -> None:
        """A band of ground along the road, in straight pieces where it bends."""
        pieces = 1 if abs(self.bend) < 1e-6 else max(1, math.ceil((end - start) / 14))
        length = (end - start) / pieces
        for i in range(pieces):
            x, y, turn = self.at(start + (i + 0.5) * length, (t0 + t1) / 2)
            overlap = abs(self.bend) * length * (abs(t0) + abs(t1)) / 2 + 0.02 if pieces > 1 else 0.0
            self.kit.box(material, (x, y, z - 0.5), (t1 - t0, length + overlap, 1.0), yaw=turn)


def along(bend: float, s: float, t: float) -> tuple[float, float, float]:
    """World x, y and heading (yaw) at a place (s, t) of a road that bends by so many radians a metre."""
    turn = s * bend
    if abs(bend) < 1e-6:
        x, y = 0.0, s
    else:
        x, y = (math.cos(turn) - 1) / bend, math.sin(turn) / bend
    return x + t * math.cos(turn), y + t * math.sin(turn), turn
