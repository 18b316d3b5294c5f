"""Small things that lie on surfaces, and flat things that hang on walls.

Small things have their origin at the middle of their foot. Wall things have it on the wall, their front towards +y,
z measured from the floor; `Kit.size` is (width, thickness, height).
"""

from __future__ import annotations

import numpy as np

from mtlrepro.data.scenes import materials as m
from mtlrepro.data.scenes.classes import ID
from mtlrepro.data.scenes.primitives import Kit

G = np.random.Generator


def books(g: G) -> Kit:
    """A small pile."""
    kit, z = Kit((0.26, 0.22, 0.15)).begin(ID["books"]), 0.0
    for _ in range(int(g.integers(1, 5))):
        h = g.uniform(0.02, 0.05)
        kit.box(
            m.surface(g, ("plain", "stripes", "dots", "abstract")),
            (g.uniform(-0.02, 0.02), 0, z + h / 2),
            (0.24, 0.18, h),
            yaw=g.uniform(-0.4, 0.4),
        )
        z += h
    return kit


def vase(g: G) -> Kit:
    """A vase, cup or bottle."""
    kit, r, z = Kit((0.2, 0.2, 0.3)).begin(ID["otherprop"]), g.uniform(0.03, 0.09), g.uniform(0.08, 0.26)
    shell = m.surface(g, ("plain", "stripes", "dots", "marble", "bands"), 0.2, gloss=0.5)
    kit.tube(shell, (0, 0, 0), (0, 0, z), r, g.uniform(0.5, 1.3))
    if g.random() < 0.5:
        kit.tube(shell, (0, 0, z), (0, 0, z * 1.5), r * 0.4)
    return kit


def ball(g: G) -> Kit:
    """A ball or a bowl of fruit."""
    kit = Kit((0.24, 0.24, 0.2)).begin(ID["otherprop"])
    for x in (0.0,) if g.random() < 0.5 else (-0.06, 0.06):
        kit.ball(m.surface(g, ("plain", "dots", "stripes_wide"), 0.3, gloss=0.4), (x, 0, 0.06), (0.13, 0.13, 0.12))
    return kit


def table_lamp(g: G) -> Kit:
    """Foot and glowing shade."""
    kit = Kit((0.28, 0.28, 0.45)).begin(ID["lamp"])
    kit.tube(m.metal(g), (0, 0, 0), (0, 0, 0.25), 0.04, 0.4)
    kit.casts = False
    kit.tube(
        m.surface(g, ("plain", "weave", "stripes"), emit=g.uniform(0.2, 0.8)), (0, 0, 0.22), (0, 0, 0.42), 0.14, 0.65
    )
    return kit


def laptop(g: G) -> Kit:
    """Keyboard and screen."""
    kit, body = Kit((0.36, 0.28, 0.25)).begin(ID["otherprop"]), m.metal(g)
    kit.slab(body, -0.17, 0.17, -0.1, 0.13, 0, 0.02)
    kit.box(m.fitted(g, m.SCREEN, emit=0.5, hole=0.4), (0, -0.13, 0.13), (0.34, 0.012, 0.23), tilt=-0.2)
    return kit


def monitor(g: G) -> Kit:
    """A desk monitor: a television in the label set."""
    kit = Kit((0.56, 0.2, 0.5)).begin(ID["television"])
    kit.tube(m.metal(g), (0, -0.03, 0), (0, -0.03, 0.14), 0.03)
    kit.slab(m.solid((0.04, 0.04, 0.05)), -0.27, 0.27, -0.04, 0.0, 0.12, 0.46)
    kit.slab(m.fitted(g, m.SCREEN, emit=0.6, hole=0.5, gloss=0.4), -0.255, 0.255, 0.0, 0.005, 0.135, 0.445)
    return kit


def paper(g: G) -> Kit:
    """Sheets."""
    kit = Kit((0.3, 0.3, 0.01)).begin(ID["paper"])
    for _ in range(2):
        kit.box(
            m.fitted(g, ("page", "scribble")),
            (*g.uniform(-0.04, 0.04, 2), 0.004),
            (0.21, 0.297, 0.006),
            yaw=g.uniform(-0.6, 0.6),
        )
    return kit


def small_box(g: G) -> Kit:
    """A carton or a tin."""
    kit = Kit((0.26, 0.2, 0.2)).begin(ID["box"])
    w, d, z = g.uniform(0.12, 0.26, 3)
    kit.slab(m.surface(g, ("plain", "stripes", "cork", "dots", "page")), -w / 2, w / 2, -d / 2, d / 2, 0, z)
    return kit


SMALL = (books, vase, ball, table_lamp, laptop, monitor, paper, small_box)


def picture(g: G) -> Kit:
    """A framed picture."""
    w, h = g.uniform(0.35, 1.1), g.uniform(0.3, 0.8)
    z = g.uniform(1.25, 1.5)
    kit = Kit((w, 0.04, z + h)).begin(ID["picture"])
    kit.slab(m.wood(g), -w / 2, w / 2, 0, 0.02, z, z + h)
    kit.slab(m.fitted(g, m.ART, gloss=0.2), -w / 2 + 0.04, w / 2 - 0.04, 0.02, 0.026, z + 0.04, z + h - 0.04)
    return kit


def window(g: G) -> Kit:
    """Frame, bright panes, and often curtains or blinds."""
    w, h, z = g.uniform(0.8, 1.8), g.uniform(0.9, 1.4), g.uniform(0.75, 1.0)
    kit = Kit((w + 0.5, 0.12, z + h)).begin(ID["window"])
    frame = m.white(g) if g.random() < 0.6 else m.wood(g)
    kit.slab(frame, -w / 2 - 0.05, w / 2 + 0.05, 0, 0.03, z - 0.05, z + h + 0.05)
    pane = m.fitted(g, ("view", "landscape", "street", "plain"), emit=g.uniform(0.5, 1.6), hole=0.8, gloss=0.3)
    kit.slab(pane, -w / 2, w / 2, 0.03, 0.035, z, z + h)
    kit.slab(frame, -0.025, 0.025, 0.035, 0.05, z, z + h)
    dressing = g.random()
    if dressing < 0.4:
        kit.begin(ID["curtain"])
        cloth = m.fitted(g, ("folds", "folds2", "stripes", "floral"))
        bottom, share = g.choice([0.1, z - 0.1]), g.uniform(0.15, 0.35)
        kit.slab(cloth, -w / 2 - 0.2, -w / 2 - 0.2 + share * w, 0.07, 0.11, bottom, z + h + 0.12)
        kit.slab(cloth, w / 2 + 0.2 - share * w, w / 2 + 0.2, 0.07, 0.11, bottom, z + h + 0.12)
    elif dressing < 0.65:
        kit.begin(ID["blinds"]).slab(
            m.fitted(g, ("slats",)), -w / 2, w / 2, 0.06, 0.075, z + h * g.uniform(0.1, 0.7), z + h
        )
    return kit


def door(g: G) -> Kit:
    """A door with frame and handle."""
    w, h = g.uniform(0.8, 0.95), g.uniform(1.98, 2.1)
    kit = Kit((w + 0.16, 0.06, h)).begin(ID["door"])
    kit.slab(m.wood(g), -w / 2 - 0.07, w / 2 + 0.07, 0, 0.02, 0, h + 0.07)
    leaf = m.furniture(g)
    kit.slab(leaf, -w / 2, w / 2, 0.02, 0.04, 0, h)
    for z0, z1 in ((0.2, 0.9), (1.1, h - 0.2)):
        kit.slab(leaf, -w / 2 + 0.12, w / 2 - 0.12, 0.04, 0.05, z0, z1)
    kit.limb(m.metal(g), (w / 2 - 0.08, 0.08, 1.03), (w / 2 - 0.2, 0.08, 1.03), 0.012)
    return kit


def mirror(g: G) -> Kit:
    """A framed mirror; it shows a blurred room, and the depth sensor sees little of it."""
    w, h, z = g.uniform(0.45, 0.8), g.uniform(0.6, 1.1), g.uniform(0.95, 1.15)
    kit = Kit((w, 0.03, z + h)).begin(ID["mirror"])
    kit.slab(m.wood(g), -w / 2, w / 2, 0, 0.02, z, z + h)
    kit.slab(
        m.fitted(g, ("stucco", "still", "plain"), gloss=1.0, hole=0.9, emit=0.15),
        -w / 2 + 0.04,
        w / 2 - 0.04,
        0.02,
        0.025,
        z + 0.04,
        z + h - 0.04,
    )
    return kit


def whiteboard(g: G) -> Kit:
    """A whiteboard with scribbles, or a pin board of papers."""
    w, h, z = g.uniform(1.0, 1.6), g.uniform(0.7, 1.0), 1.0
    kit = Kit((w, 0.04, z + h)).begin(ID["whiteboard"])
    kit.slab(m.metal(g), -w / 2, w / 2, 0, 0.02, z, z + h)
    kit.slab(
        m.solid((0.8, 0.8, 0.8), "scribble", gloss=0.4),
        -w / 2 + 0.02,
        w / 2 - 0.02,
        0.02,
        0.025,
        z + 0.02,
        z + h - 0.02,
    )
    return kit


def notes(g: G) -> Kit:
    """Papers on the wall."""
    kit = Kit((0.7, 0.02, 1.8)).begin(ID["paper"])
    for i in range(int(g.integers(1, 4))):
        z = g.uniform(1.2, 1.5)
        kit.slab(m.fitted(g, ("page", "scribble")), -0.32 + 0.23 * i, -0.11 + 0.23 * i, 0, 0.006, z, z + 0.297)
    return kit


def wall_tv(g: G) -> Kit:
    """A television on the wall."""
    w, z = g.uniform(0.8, 1.3), g.uniform(1.0, 1.2)
    kit = Kit((w, 0.07, z + 0.6 * w)).begin(ID["television"])
    kit.slab(m.solid((0.03, 0.03, 0.035), gloss=0.4), -w / 2, w / 2, 0, 0.06, z, z + 0.58 * w)
    kit.slab(
        m.fitted(g, m.SCREEN, emit=g.choice([0.0, 0.7]), gloss=0.6, hole=0.5),
        -w / 2 + 0.02,
        w / 2 - 0.02,
        0.06,
        0.065,
        z + 0.02,
        z + 0.56 * w,
    )
    return kit


def wall_shelf(g: G) -> Kit:
    """A board with books and vases."""
    w, z = g.uniform(0.6, 1.2), g.uniform(1.3, 1.6)
    kit = Kit((w, 0.25, z + 0.3)).begin(ID["shelves"])
    kit.slab(m.wood(g), -w / 2, w / 2, 0, 0.24, z, z + 0.025)
    kit.begin(ID["books"]).slab(
        m.fitted(g, m.SPINES), -w / 2 + 0.05, g.uniform(-0.1, 0.1) * w, 0.03, 0.2, z + 0.025, z + 0.24
    )
    return kit.add(vase(g), w / 4, 0.12, z + 0.025)


def towel(g: G) -> Kit:
    """A towel on a rail."""
    kit = Kit((0.6, 0.08, 1.3)).begin(ID["towel"])
    kit.limb(m.metal(g), (-0.28, 0.06, 1.25), (0.28, 0.06, 1.25), 0.01)
    kit.slab(m.fabric(g), -0.22, 0.22, 0.03, 0.07, g.uniform(0.6, 0.8), 1.26)
    return kit


def hanging_clothes(g: G) -> Kit:
    """Coats on hooks."""
    kit = Kit((0.8, 0.2, 1.8)).begin(ID["clothes"])
    kit.slab(m.wood(g), -0.4, 0.4, 0, 0.02, 1.68, 1.76)
    for x in (-0.25, 0.0, 0.25)[: int(g.integers(2, 4))]:
        kit.limb(m.fabric(g), (x, 0.12, 1.55), (x, 0.12, g.uniform(0.9, 1.2)), 0.1, 0.7)
    return kit


def radiator(g: G) -> Kit:
    """A radiator: other structure."""
    w = g.uniform(0.6, 1.2)
    kit = Kit((w, 0.12, 0.7)).begin(ID["otherstructure"])
    kit.slab(m.white(g), -w / 2, w / 2, 0.03, 0.1, 0.12, 0.7)
    kit.slab(m.fitted(g, ("grille", "slats")), -w / 2, w / 2, 0.1, 0.105, 0.14, 0.68)
    return kit


def column(g: G) -> Kit:
    """A pilaster to the ceiling: other structure."""
    kit = Kit((0.35, 0.25, 2.4)).begin(ID["otherstructure"])
    kit.slab(m.surface(g, m.WALL), -0.17, 0.17, 0, 0.24, 0, 2.9)
    return kit


HANGING = (picture, picture, mirror, whiteboard, notes, wall_tv, wall_shelf, towel, hanging_clothes, radiator, column)
