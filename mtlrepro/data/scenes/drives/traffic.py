"""Who moves: vehicles in their lanes, riders, people on the pavements and across the road."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from mtlrepro.data.scenes.drives.style import Count, Style
from mtlrepro.data.scenes.primitives import Kit, transform
from mtlrepro.data.scenes.streets import roadside, vehicles
from mtlrepro.data.scenes.streets.layout import NEAR
from mtlrepro.data.scenes.streets.road import Road

LANE = 3.3
"""Metres."""
PACE = (0.8, 1.9)
"""Metres a second that people walk."""
RIDING = (3.0, 7.0)
"""Metres a second that riders ride."""
DRIVING = (5.0, 15.0)
"""Metres a second that vehicles drive."""
STANDING = 0.12
"""Share of vehicles, riders and people that stand still."""
BUILDERS = (vehicles.car, vehicles.van, vehicles.truck, vehicles.bus)


@dataclass(frozen=True)
class Mover:
    """Rows that move together.

    Attributes:
        first, last: number of the first row, and of the one after the last.
        s, t: place at time 0, see `Road`.
        onward, across: metres a second towards larger s and t.
    """

    first: int
    last: int
    s: float
    t: float
    onward: float
    across: float


@dataclass
class Traffic:
    """A road and what moves on it.

    Attributes:
        road: holds the things as they are at time 0.
        style: how much moves.
        movers: which of the road's rows move.
    """

    road: Road
    style: Style
    movers: list[Mover] = field(default_factory=list)

    def put(self, kit: Kit, place: tuple[float, float], yaw: float, speed: float, z: float = 0.0) -> None:
        """Place something that moves in the direction it faces; `yaw` is relative to the road's heading."""
        (s, t), first = place, len(self.road.kit.rows)
        self.road.put(kit, s, t, yaw, z)
        if self.road.g.random() >= STANDING:
            move = (math.cos(yaw) * speed, -math.sin(yaw) * speed)
            self.movers.append(Mover(first, len(self.road.kit.rows), s, t, *move))

    def drive(self) -> tuple[float, float]:
        """Fill the lanes. Gives the place of the camera's lane and the camera's speed."""
        road, g = self.road, self.road.g
        own = road.lanes - 1 if road.lanes < 3 or g.random() < 0.6 else road.lanes - 2
        speed = float(g.uniform(*DRIVING))
        for lane in range(road.lanes):
            t = -road.half + 0.2 + LANE * (lane + 0.5)
            oncoming = lane < road.lanes // 2
            # Ahead in the camera's own lane there is room to drive.
            s = float(g.uniform(12, 40) if lane == own else g.uniform(5, 30))
            while s < 130:
                if g.random() < road.kind.traffic:
                    kit = BUILDERS[g.choice(4, p=self.style.vehicles)](g, s < NEAR)
                    if lane != own or s > 22 or kit.size[2] < 2:
                        at = (s + kit.size[1] / 2, t + float(g.uniform(-0.3, 0.3)))
                        pace = speed * float(g.uniform(0.7, 1.2)) if lane == own else float(g.uniform(*DRIVING))
                        self.put(kit, at, (math.pi if oncoming else 0.0) + float(g.uniform(-0.02, 0.02)), pace)
                    s += kit.size[1]
                s += float(g.uniform(5, 40))
        for _ in range(count(g, self.style.riders)):
            s, side = float(6 + g.exponential(12)), int(g.choice([-1, 1]))
            at = (s, side * (road.half - float(g.uniform(0.3, 1.0))))
            self.put(vehicles.rider(g), at, 0.0 if side > 0 else math.pi, float(g.uniform(*RIDING)))
        return -road.half + 0.2 + LANE * (own + 0.5), speed

    def walk(self) -> None:
        """People on the pavements, alone and in pairs, and crossing."""
        road, g = self.road, self.road.g
        for _ in range(count(g, self.style.walkers)):
            side, s = int(g.choice([-1, 1])), float(7 + g.exponential(11))
            spot = road.kerb(side) + float(g.uniform(0.5, max(0.8, road.walk - 0.4)))
            yaw, pace = float(g.choice([0.0, math.pi]) + g.uniform(-0.3, 0.3)), float(g.uniform(*PACE))
            for k in range(1 + int(g.random() < 0.3)):
                at = (s + 0.5 * k, side * (spot + 0.4 * k))
                self.put(roadside.pedestrian(g, s < 15), at, yaw, pace, 0.13)
        for _ in range(count(g, self.style.crossing)):
            s, t = float(g.uniform(8, 26)), float(g.uniform(-road.half, road.half))
            turn = int(g.choice([-1, 1])) * math.pi / 2
            self.put(roadside.pedestrian(g, s < 15), (s, t), turn, float(g.uniform(*PACE)))


def moved_rows(rows: np.ndarray, movers: list[Mover], road: Road, seconds: float) -> np.ndarray:
    """All rows of a road as they are after (negative: before) so many seconds; its bends are followed."""
    out = rows.copy()
    for mover in movers:
        x0, y0, turn0 = road.at(mover.s, mover.t)
        x1, y1, turn1 = road.at(mover.s + mover.onward * seconds, mover.t + mover.across * seconds)
        own = slice(mover.first, mover.last)
        home = transform(rows[own], -x0, -y0, 0.0, 0.0)
        out[own] = transform(home, x1, y1, 0.0, turn1 - turn0)
    return out


def count(g: np.random.Generator, least_most: Count) -> int:
    """A whole number between two, both included."""
    return int(g.integers(least_most[0], least_most[1] + 1))
