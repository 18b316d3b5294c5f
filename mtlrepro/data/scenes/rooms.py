"""Rooms: which furniture, where, lit and seen from where."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mtlrepro.data.scenes import furniture as f
from mtlrepro.data.scenes import materials as m
from mtlrepro.data.scenes import people, props
from mtlrepro.data.scenes.classes import ID
from mtlrepro.data.scenes.primitives import Kit
from mtlrepro.data.scenes.scene import Scene

G = np.random.Generator
Builder = Callable[[G], Kit]

# Room kind -> (builder, probability) along walls, and in the open.
KINDS: dict[str, tuple[tuple[tuple[Builder, float], ...], tuple[tuple[Builder, float], ...]]] = {
    "bedroom": (
        (
            (f.bed, 1.0),
            (f.night_stand, 0.9),
            (f.night_stand, 0.4),
            (f.cabinet, 0.6),
            (f.dresser, 0.6),
            (f.desk, 0.35),
            (f.bookshelf, 0.3),
            (f.floor_lamp, 0.4),
            (f.chair, 0.4),
            (f.box, 0.3),
        ),
        ((f.clothes, 0.45), (f.bag, 0.3), (f.ottoman, 0.25)),
    ),
    "living room": (
        (
            (f.sofa, 1.0),
            (f.tv_stand, 0.8),
            (f.bookshelf, 0.6),
            (f.sofa, 0.4),
            (f.floor_lamp, 0.6),
            (f.cabinet, 0.4),
            (f.piano, 0.25),
            (f.plant, 0.5),
            (f.shelves, 0.2),
        ),
        ((f.table, 0.8), (f.ottoman, 0.4), (f.chair, 0.3), (f.bag, 0.2)),
    ),
    "office": (
        (
            (f.desk, 1.0),
            (f.bookshelf, 0.8),
            (f.desk, 0.5),
            (f.shelves, 0.5),
            (f.cabinet, 0.5),
            (f.plant, 0.3),
            (f.box, 0.4),
            (f.bookshelf, 0.4),
        ),
        ((f.chair, 0.9), (f.chair, 0.5), (f.table, 0.3), (f.bag, 0.35), (f.box, 0.3)),
    ),
    "kitchen": (
        (
            (f.counter, 1.0),
            (f.refridgerator, 0.9),
            (f.counter, 0.6),
            (f.cabinet, 0.4),
            (f.shelves, 0.3),
            (f.plant, 0.2),
        ),
        ((f.table, 0.9), (f.chair, 0.9), (f.chair, 0.7), (f.chair, 0.4), (f.bag, 0.2), (f.box, 0.15)),
    ),
    "bathroom": (
        ((f.toilet, 1.0), (f.bathtub, 0.8), (f.basin, 0.95), (f.cabinet, 0.3), (f.shelves, 0.3)),
        ((f.clothes, 0.3), (f.ottoman, 0.25)),
    ),
    "dining room": (
        (
            (f.cabinet, 0.8),
            (f.dresser, 0.5),
            (f.plant, 0.5),
            (f.piano, 0.3),
            (f.shelves, 0.4),
            (f.floor_lamp, 0.4),
            (f.bookshelf, 0.3),
        ),
        ((f.table, 1.0), (f.chair, 0.95), (f.chair, 0.9), (f.chair, 0.7), (f.chair, 0.5)),
    ),
    "storage": (
        (
            (f.shelves, 1.0),
            (f.shelves, 0.7),
            (f.box, 0.9),
            (f.box, 0.7),
            (f.cabinet, 0.6),
            (f.refridgerator, 0.3),
            (f.desk, 0.3),
            (f.bookshelf, 0.3),
        ),
        ((f.box, 0.8), (f.bag, 0.6), (f.clothes, 0.4), (f.chair, 0.4), (f.ottoman, 0.3)),
    ),
}
SMALL_ROOMS = ("bathroom", "storage", "kitchen")
VIEWS = 4


@dataclass
class _Plan:
    """The floor plan while it fills: occupied rectangles (x0, x1, y0, y1, height) and the growing kit."""

    g: G
    w: float
    d: float
    h: float
    kit: Kit = field(default_factory=Kit)
    taken: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    hung: list[tuple[int, float, float, float]] = field(default_factory=list)
    seats: list[tuple[float, float, float, float]] = field(default_factory=list)

    def free(self, x: float, y: float, w: float, d: float, gap: float = 0.04) -> bool:
        if min(x - w / 2, y - d / 2) < -1e-6 or x + w / 2 > self.w + 1e-6 or y + d / 2 > self.d + 1e-6:
            return False
        return all(
            x + w / 2 + gap <= x0 or x - w / 2 - gap >= x1 or y + d / 2 + gap <= y0 or y - d / 2 - gap >= y1
            for x0, x1, y0, y1, _ in self.taken
        )

    def put(self, kit: Kit, x: float, y: float, yaw: float) -> None:
        quarter = round(yaw / (math.pi / 2)) % 2
        w, d = (kit.size[1], kit.size[0]) if quarter else kit.size[:2]
        self.taken.append((x - w / 2, x + w / 2, y - d / 2, y + d / 2, kit.size[2]))
        _furnish(self.g, kit)
        self.kit.add(kit, x, y, 0.0, yaw)
        c, s = math.cos(yaw), math.sin(yaw)
        self.seats += [(x + c * sx - s * sy, y + s * sx + c * sy, sz, yaw + turn) for sx, sy, sz, turn in kit.seats]

    def against_wall(self, kit: Kit) -> bool:
        """Back to a wall, where there is room and nothing tall hangs."""
        w, d, z = kit.size
        for _ in range(30):
            wall = int(self.g.integers(4))
            along = self.w if wall in (0, 2) else self.d
            if along < w:
                continue
            t = self.g.uniform(w / 2, along - w / 2)
            if any(
                side == wall and abs(t - at) < (w + width) / 2 and z > bottom for side, at, width, bottom in self.hung
            ):
                continue
            x, y, yaw = self._at_wall(wall, t, d / 2 + 0.02)
            if self.free(x, y, *((w, d) if wall in (0, 2) else (d, w))):
                self.put(kit, x, y, yaw)
                return True
        return False

    def in_the_open(self, kit: Kit) -> bool:
        for _ in range(25):
            quarter = int(self.g.integers(4))
            w, d = kit.size[:2] if quarter % 2 == 0 else (kit.size[1], kit.size[0])
            x, y = (
                self.g.uniform(0.3 + w / 2, max(0.31 + w / 2, self.w - w / 2 - 0.3)),
                self.g.uniform(0.3 + d / 2, max(0.31 + d / 2, self.d - d / 2 - 0.3)),
            )
            if self.free(x, y, w + 0.1, d + 0.1):
                self.put(kit, x, y, quarter * math.pi / 2 + self.g.uniform(-0.12, 0.12))
                return True
        return False

    def hang(self, kit: Kit, bottom: float) -> None:
        """On a wall, clear of what hangs there and of tall furniture."""
        w, d, _ = kit.size
        for _ in range(10):
            wall = int(self.g.integers(4))
            along = self.w if wall in (0, 2) else self.d
            if along < w + 0.1:
                continue
            t = self.g.uniform(w / 2, along - w / 2)
            x, y, yaw = self._at_wall(wall, t, 0.0)
            depth = max(d, 0.1)
            box = (
                (x - w / 2, x + w / 2, y - depth, y + depth)
                if wall in (0, 2)
                else (x - depth, x + depth, y - w / 2, y + w / 2)
            )
            tall = any(
                z > bottom and box[0] < x1 and box[1] > x0 and box[2] < y1 and box[3] > y0
                for x0, x1, y0, y1, z in self.taken
            )
            if tall or any(side == wall and abs(t - at) < (w + width) / 2 for side, at, width, _ in self.hung):
                continue
            self.hung.append((wall, t, w, bottom))
            self.kit.add(kit, x, y, 0.0, yaw)
            return

    def _at_wall(self, wall: int, t: float, off: float) -> tuple[float, float, float]:
        """Position and yaw of something with its back to a wall: 0 y=0, 1 x=w, 2 y=d, 3 x=0."""
        return (
            (t, off, 0.0),
            (self.w - off, t, math.pi / 2),
            (t, self.d - off, math.pi),
            (off, t, -math.pi / 2),
        )[wall]


def layout(seed: int, index: int) -> Scene:
    """The scene of a number: the same bits for the same (seed, index), whatever was drawn before.

    Args:
        seed: of the whole set.
        index: of the scene.
    """
    g = np.random.Generator(np.random.PCG64([seed, index]))
    kind = list(KINDS)[g.integers(len(KINDS))]
    small = kind in SMALL_ROOMS
    w, d = g.uniform(2.4, 3.8, 2) if small else g.uniform(3.2, 5.8, 2)
    plan = _Plan(g, float(w), float(d), float(g.uniform(2.35, 2.9)))
    _shell(plan)
    _walls(plan, kind)
    along, middle = KINDS[kind]
    for builder, chance in along:
        if g.random() < chance * 1.25:
            plan.against_wall(builder(g))
    if g.random() < 0.5:
        _mat(plan)
    for builder, chance in middle:
        if g.random() < chance * 1.2:
            plan.in_the_open(builder(g))
    for _ in range(int(g.integers(1, 5))):
        plan.hang(props.HANGING[g.integers(len(props.HANGING))](g), 0.9)
    _people(plan)
    return _finish(plan)


def _shell(plan: _Plan) -> None:
    g, w, d, h, kit = plan.g, plan.w, plan.d, plan.h, plan.kit
    kit.casts = False  # a room inside its own walls has no shadow from them
    kit.begin(ID["floor"]).slab(m.surface(g, m.FLOOR, 1.6, gloss=g.uniform(0, 0.3)), 0, w, 0, d, -0.2, 0)
    kit.begin(ID["ceiling"]).slab(
        m.surface(g, ("plain", "plain", "stucco", "tiles_large", "planks"), 1.5), 0, w, 0, d, h, h + 0.2
    )
    base = m.surface(g, m.WALL, 0.9)
    trim = m.white(g)
    for x0, x1, y0, y1 in ((0, w, -0.2, 0), (w, w + 0.2, 0, d), (0, w, d, d + 0.2), (-0.2, 0, 0, d)):
        paint = base if g.random() < 0.8 else m.surface(g, m.WALL, 0.9)
        kit.begin(ID["wall"]).slab(paint, x0, x1, y0, y1, 0, h)
        if g.random() < 0.7:
            t = 0.012
            kit.slab(trim, max(0, x0 - t), min(w, x1 + t), max(0, y0 - t), min(d, y1 + t), 0, 0.08)
    kit.casts = True


def _walls(plan: _Plan, kind: str) -> None:
    g = plan.g
    if g.random() < 0.75:
        plan.hang(props.door(g), 0.0)
        wall, t, *_ = plan.hung[-1] if plan.hung else (0, 0.0)
        x, y, _ = plan._at_wall(wall, t, 0.35)
        plan.taken.append((x - 0.4, x + 0.4, y - 0.4, y + 0.4, 0.0))  # keep the way in clear
    for _ in range(int(g.integers(0, 3)) if kind != "storage" else 0):
        plan.hang(props.window(g), 0.9)
    if kind == "bathroom":
        plan.hang(props.mirror(g), 0.95)
        plan.hang(props.towel(g), 0.6)
    if kind == "office" and g.random() < 0.5:
        plan.hang(props.whiteboard(g), 1.0)


def _mat(plan: _Plan) -> None:
    g = plan.g
    w, d = g.uniform(0.8, min(2.2, plan.w - 0.6)), g.uniform(0.6, min(1.8, plan.d - 0.6))
    x, y = g.uniform(w / 2 + 0.2, plan.w - w / 2 - 0.2), g.uniform(d / 2 + 0.2, plan.d - d / 2 - 0.2)
    plan.kit.casts = False
    plan.kit.begin(ID["floor mat"]).slab(m.surface(g, m.RUG, 1.2), x - w / 2, x + w / 2, y - d / 2, y + d / 2, 0, 0.015)
    plan.kit.casts = True


def _furnish(g: G, kit: Kit) -> None:
    """Lay small things on an object's free surfaces."""
    for x0, x1, y0, y1, z in kit.tops:
        room = x1 - x0
        count = int(g.integers(0, 1 + min(3, int(room / 0.35) + 1)))
        for i in range(count):
            thing = props.SMALL[g.integers(len(props.SMALL))](g)
            x = x0 + room * (i + 0.5) / count
            if thing.size[0] <= room / count + 0.1 and thing.size[1] <= y1 - y0 + 0.1:
                kit.add(thing, x, g.uniform(min(y0, y1), max(y0, y1)) * 0.7, z, g.uniform(-0.3, 0.3))


def _people(plan: _Plan) -> None:
    g = plan.g
    if g.random() > 0.5:
        return
    for _ in range(int(g.integers(1, 4))):
        if plan.seats and g.random() < 0.5:
            x, y, z, yaw = plan.seats.pop(int(g.integers(len(plan.seats))))
            plan.kit.add(people.sitting(g, z), x, y, 0.0, yaw)
        else:
            plan.in_the_open(people.standing(g))


def _finish(plan: _Plan) -> Scene:
    g, w, d, h = plan.g, plan.w, plan.d, plan.h
    base = np.array([g.uniform(0.3, 0.7) * w, g.uniform(0.3, 0.7) * d, h - g.uniform(0.15, 0.5)])
    warm = np.array([1.0, g.uniform(0.82, 1.0), g.uniform(0.6, 1.05)])
    lights = [[*base, *(g.uniform(2.0, 4.5) * warm)]]
    for side, t, *_ in plan.hung[1:2]:
        x, y, _ = plan._at_wall(side, t, 0.5)
        lights.append([x, y, 1.5, *(g.uniform(0.5, 2.0) * np.array([0.9, 0.97, 1.05]))])
    grey = g.uniform(0.18, 0.42)
    return Scene(
        rows=np.array(plan.kit.rows),
        materials=tuple(plan.kit.materials),
        room=(w, d, h),
        lights=np.array(lights),
        ambient=(grey * g.uniform(0.9, 1.1), grey, grey * g.uniform(0.9, 1.15)),
        cameras=_cameras(plan),
        exposure=float(g.uniform(1.0, 1.8)),
        tint=tuple(g.uniform(0.9, 1.1, 3)),
        noise=float(g.uniform(0.006, 0.025)),
        vignette=float(g.uniform(0, 0.3)),
    )


def _cameras(plan: _Plan) -> np.ndarray:
    """A view from the edge of the room across it, and three more from nearby."""
    g, margin = plan.g, 0.25
    best, eye, goal = -1.0, np.array([plan.w / 2, plan.d / 2, 1.4]), np.array([plan.w / 2, plan.d, 1.0])
    height = g.uniform(1.15, 1.75)
    for _ in range(60):
        e = np.array([g.uniform(margin, plan.w - margin), g.uniform(margin, plan.d - margin), height])
        t = np.array([g.uniform(0.15, 0.85) * plan.w, g.uniform(0.15, 0.85) * plan.d, g.uniform(0.5, 1.1)])
        interest = _interest(plan, e, t) + 0.5 * g.random()
        if interest > best and _open(plan, e, t):
            best, eye, goal = interest, e, t
    poses, roll = [_pose(eye, goal, g.uniform(-0.04, 0.04))], g.uniform(-0.02, 0.02, VIEWS)
    for i in range(1, VIEWS):
        for _ in range(10):
            moved = eye + np.array([*g.uniform(-0.3, 0.3, 2), g.uniform(-0.12, 0.12)])
            moved[:2] = np.clip(moved[:2], 0.15, (plan.w - 0.15, plan.d - 0.15))
            if _open(plan, moved, goal):
                break
        else:
            moved = eye + np.array([0, 0, 0.05 * i])
        poses.append(_pose(moved, goal + g.uniform(-0.15, 0.15, 3), roll[i]))
    return np.stack(poses)


def _interest(plan: _Plan, eye: np.ndarray, goal: np.ndarray) -> float:
    """How much furniture lies in the field of view, at a distance where it can be recognised."""
    look = math.atan2(goal[1] - eye[1], goal[0] - eye[0])
    total = 0.3 * min(3.0, float(np.hypot(*(goal - eye)[:2])))
    for x0, x1, y0, y1, top in plan.taken:
        dx, dy = (x0 + x1) / 2 - eye[0], (y0 + y1) / 2 - eye[1]
        off = abs((math.atan2(dy, dx) - look + math.pi) % (2 * math.pi) - math.pi)
        if top > 0 and off < 0.45 and math.hypot(dx, dy) > 1.0:
            total += 1.0
    return total


def _open(plan: _Plan, eye: np.ndarray, goal: np.ndarray) -> bool:
    """Is the camera outside every object, with 0.7 m of air in front?"""
    forward = (goal - eye) / max(1e-6, float(np.linalg.norm(goal - eye)))
    if np.hypot(*(goal - eye)[:2]) < 1.2:
        return False
    for step in (0.0, 0.25, 0.5, 0.75):
        x, y, z = eye + step * forward
        if any(
            x0 - 0.15 < x < x1 + 0.15 and y0 - 0.15 < y < y1 + 0.15 and z < top + 0.15
            for x0, x1, y0, y1, top in plan.taken
            if top > 0
        ):
            return False
        if step and not (0.05 < x < plan.w - 0.05 and 0.05 < y < plan.d - 0.05):
            return False
    return True


def _pose(eye: np.ndarray, goal: np.ndarray, roll: float) -> np.ndarray:
    """Camera-to-world from position, target and roll."""
    forward = (goal - eye) / np.linalg.norm(goal - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = math.cos(roll), math.sin(roll)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = c * right + s * down, c * down - s * right, forward, eye
    return pose
