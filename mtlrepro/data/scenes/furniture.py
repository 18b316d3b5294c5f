"""Furniture, one function a piece. Frame: origin on the floor under the middle, back at -y, front towards +y.

`Kit.size` is the floor space a piece claims; `seats` and `tops` say where people sit and small things lie.
"""

from __future__ import annotations

import numpy as np

from mtlrepro.data.scenes import materials as m
from mtlrepro.data.scenes.classes import ID
from mtlrepro.data.scenes.primitives import Kit, Material

G = np.random.Generator


def _span(a: float, b: float) -> tuple[float, float]:
    return min(a, b), max(a, b)


def _legs(kit: Kit, material: Material, w: float, d: float, z: float, radius: float, inset: float = 0.05) -> None:
    for x in (-w / 2 + inset, w / 2 - inset):
        for y in (-d / 2 + inset, d / 2 - inset):
            kit.tube(material, (x, y, 0.0), (x, y, z), radius)


def _fronts(g: G, kit: Kit, w: float, y: float, z0: float, z1: float, columns: int, rows: int) -> None:
    """Doors or drawers: thin plates with knobs on the front face."""
    plate, knob = m.furniture(g), m.metal(g)
    for c in range(columns):
        for r in range(rows):
            x0, x1 = -w / 2 + w * c / columns, -w / 2 + w * (c + 1) / columns
            a, b = z0 + (z1 - z0) * r / rows, z0 + (z1 - z0) * (r + 1) / rows
            kit.slab(plate, x0 + 0.012, x1 - 0.012, y, y + 0.018, a + 0.012, b - 0.012)
    kit.box(knob, (0.0, y + 0.03, (z0 + z1) / 2), (min(0.25, w / 3), 0.02, 0.02))


def bed(g: G) -> Kit:
    """Frame, mattress, blanket, headboard, one or two pillows of their own."""
    w, d, z = g.choice([0.95, 1.4, 1.7]), g.uniform(1.95, 2.1), g.uniform(0.38, 0.6)
    kit = Kit((w, d, z)).begin(ID["bed"])
    frame = m.furniture(g)
    kit.slab(frame, -w / 2, w / 2, -d / 2, d / 2, 0.08, z - 0.2)
    kit.slab(m.fabric(g), -w / 2 + 0.03, w / 2 - 0.03, -d / 2 + 0.05, d / 2 - 0.03, z - 0.2, z)
    kit.slab(m.fabric(g), -w / 2 - 0.01, w / 2 + 0.01, -d / 2 + g.uniform(0.6, 0.9), d / 2, z - 0.25, z + 0.04)
    kit.slab(frame, -w / 2, w / 2, -d / 2 - 0.05, -d / 2 + 0.02, 0, z + g.uniform(0.2, 0.6))
    for x in (0.0,) if w < 1.2 else (-w / 4, w / 4):
        kit.begin(ID["pillow"]).ball(
            m.fabric(g), (x, -d / 2 + 0.3, z + 0.07), (w / (2.2 if w > 1.2 else 1.4), 0.42, 0.2), tilt=0.25
        )
    kit.seats.append((0.0, d / 2 - 0.15, z, 0.0))
    return kit


def chair(g: G) -> Kit:
    """Four designs: four legs, sled, swivel, upholstered."""
    w, d, z, top = g.uniform(0.42, 0.52), g.uniform(0.42, 0.5), g.uniform(0.43, 0.48), g.uniform(0.8, 1.05)
    kit, design = Kit((w, d, top)).begin(ID["chair"]), g.integers(4)
    frame = m.metal(g) if g.random() < 0.4 else m.wood(g)
    cover = m.fabric(g) if g.random() < 0.6 else frame
    if design == 2:
        kit.tube(frame, (0, 0, 0.08), (0, 0, z), 0.03)
        for a in range(3):
            kit.box(frame, (0, 0, 0.05), (w, 0.05, 0.05), yaw=a * np.pi / 3)
    elif design == 3:
        kit.slab(cover, -w / 2, w / 2, -d / 2, d / 2, 0.08, z - 0.05)
    else:
        _legs(kit, frame, w, d, z, 0.016 + 0.01 * design, 0.03)
    kit.slab(cover, -w / 2, w / 2, -d / 2, d / 2, z - 0.05, z)
    kit.box(cover, (0, -d / 2 + 0.02, (z + top) / 2 + 0.08), (w * 0.95, 0.04, top - z - 0.16), tilt=-0.12)
    if design == 3 or g.random() < 0.25:
        for x in (-w / 2, w / 2):
            kit.slab(frame, x - 0.025, x + 0.025, -d / 2, d / 2 - 0.1, z + 0.18, z + 0.22)
    kit.seats.append((0.0, 0.02, z, 0.0))
    return kit


def sofa(g: G) -> Kit:
    """One to three seats, arms, back, cushions; sometimes loose pillows."""
    n = int(g.integers(1, 4))
    w, d, z, top = 0.4 + 0.62 * n, g.uniform(0.85, 0.98), g.uniform(0.38, 0.46), g.uniform(0.72, 0.95)
    kit, cover = Kit((w, d, top)).begin(ID["sofa"]), m.fabric(g)
    kit.slab(cover, -w / 2, w / 2, -d / 2, d / 2, 0.06, z - 0.12)
    kit.box(cover, (0, -d / 2 + 0.13, (top + 0.1) / 2), (w, 0.22, top - 0.1), tilt=-0.08)
    for x in (-w / 2 + 0.1, w / 2 - 0.1):
        kit.slab(cover, x - 0.1, x + 0.1, -d / 2, d / 2, 0.06, z + g.uniform(0.1, 0.2))
    seat = cover if g.random() < 0.6 else m.fabric(g)
    for i in range(n):
        middle = -w / 2 + 0.2 + (w - 0.4) * (i + 0.5) / n
        kit.slab(seat, middle - 0.295, middle + 0.295, -d / 2 + 0.22, d / 2 + 0.02, z - 0.12, z)
        kit.seats.append((middle, 0.1, z, 0.0))
    for place, *_ in kit.seats:
        if g.random() < 0.4:
            kit.begin(ID["pillow"]).box(m.fabric(g), (place, -d / 2 + 0.3, z + 0.2), (0.42, 0.12, 0.4), tilt=-0.3)
    return kit


def table(g: G) -> Kit:
    """Dining or coffee table, rectangular or round."""
    low = g.random() < 0.4
    w, d, z = g.uniform(0.8, 1.5), g.uniform(0.6, 0.9), g.uniform(0.36, 0.46) if low else g.uniform(0.7, 0.78)
    kit, top = Kit((w, d, z)).begin(ID["table"]), m.furniture(g)
    if g.random() < 0.3:
        kit.tube(top, (0, 0, z - 0.04), (0, 0, z), d / 2)
        kit.tube(m.metal(g), (0, 0, 0), (0, 0, z - 0.04), 0.05)
        kit.tube(m.metal(g), (0, 0, 0), (0, 0, 0.04), d / 3, 0.7)
        kit.tops.append((-d / 3, d / 3, -d / 3, d / 3, z))
    else:
        kit.slab(top, -w / 2, w / 2, -d / 2, d / 2, z - 0.04, z)
        _legs(kit, top if g.random() < 0.6 else m.metal(g), w, d, z - 0.04, g.uniform(0.02, 0.05))
        kit.tops.append((-w / 2 + 0.1, w / 2 - 0.1, -d / 2 + 0.1, d / 2 - 0.1, z))
    return kit


def desk(g: G) -> Kit:
    """A top, side panels or legs, a drawer unit."""
    w, d, z = g.uniform(1.1, 1.6), g.uniform(0.6, 0.75), g.uniform(0.71, 0.76)
    kit, top = Kit((w, d, z)).begin(ID["desk"]), m.furniture(g)
    kit.slab(top, -w / 2, w / 2, -d / 2, d / 2, z - 0.035, z)
    side = g.choice([-1, 1])
    kit.slab(top, *_span(side * w / 2, side * (w / 2 - 0.4)), -d / 2, d / 2 - 0.04, 0.04, z - 0.035)
    drawer = m.furniture(g)
    for r in range(3):
        z0 = 0.06 + r * (z - 0.12) / 3
        kit.slab(
            drawer,
            *_span(side * (w / 2 - 0.015), side * (w / 2 - 0.385)),
            d / 2 - 0.04,
            d / 2 - 0.02,
            z0,
            z0 + (z - 0.16) / 3,
        )
    kit.slab(top, *_span(-side * w / 2, -side * (w / 2 - 0.03)), -d / 2, d / 2 - 0.03, 0, z - 0.035)
    kit.slab(top, -w / 2, w / 2, -d / 2, -d / 2 + 0.02, 0.25, z - 0.035)
    kit.tops.append((-w / 2 + 0.1, w / 2 - 0.1, -d / 2 + 0.1, d / 2 - 0.15, z))
    return kit


def bookshelf(g: G) -> Kit:
    """Shelves full of books, which are a class of their own in some compartments."""
    w, d, top = g.uniform(0.7, 1.2), g.uniform(0.28, 0.36), g.uniform(1.3, 2.1)
    kit, board = Kit((w, d, top)).begin(ID["bookshelf"]), m.furniture(g)
    rows = int(g.integers(4, 6))
    kit.slab(board, -w / 2, w / 2, -d / 2, -d / 2 + 0.02, 0, top)
    for x in (-w / 2, w / 2 - 0.025):
        kit.slab(board, x, x + 0.025, -d / 2, d / 2, 0, top)
    for r in range(rows + 1):
        z = 0.06 + (top - 0.085) * r / rows
        kit.slab(board, -w / 2, w / 2, -d / 2, d / 2, z, z + 0.025)
    gap = (top - 0.085) / rows
    for r in range(rows):
        if g.random() < 0.8:
            z, share = 0.085 + gap * r, g.uniform(0.45, 0.97)
            kit.begin(ID["books"])
            kit.slab(
                m.fitted(g, m.SPINES),
                -w / 2 + 0.03,
                -w / 2 + share * w - 0.03,
                -d / 2 + 0.03,
                d / 2 - g.uniform(0.03, 0.1),
                z,
                z + gap * g.uniform(0.6, 0.85),
            )
    return kit


def shelves(g: G) -> Kit:
    """An open rack with boxes and odds and ends."""
    w, d, top = g.uniform(0.7, 1.3), g.uniform(0.3, 0.45), g.uniform(0.9, 1.7)
    kit, board = Kit((w, d, top)).begin(ID["shelves"]), m.metal(g) if g.random() < 0.4 else m.wood(g)
    _legs(kit, board, w, d, top, 0.018, 0.02)
    levels = [0.12, top / 2, top - 0.02]
    for z in levels:
        kit.slab(board, -w / 2, w / 2, -d / 2, d / 2, z - 0.02, z)
        kit.tops.append((-w / 2 + 0.1, w / 2 - 0.1, -d / 2 + 0.1, d / 2 - 0.1, z))
    return kit


def _case(g: G, name: str, w: float, d: float, z: float, columns: int, rows: int) -> Kit:
    kit, body = Kit((w, d, z)).begin(ID[name]), m.furniture(g)
    kit.slab(body, -w / 2, w / 2, -d / 2, d / 2 - 0.02, 0.06, z)
    kit.slab(body, -w / 2 + 0.04, w / 2 - 0.04, -d / 2 + 0.04, d / 2 - 0.06, 0, 0.06)
    _fronts(g, kit, w, d / 2 - 0.02, 0.08, z - 0.03, columns, rows)
    kit.tops.append((-w / 2 + 0.08, w / 2 - 0.08, -d / 2 + 0.08, d / 2 - 0.1, z))
    return kit


def cabinet(g: G) -> Kit:
    """A wardrobe or a sideboard."""
    tall = g.random() < 0.6
    w = g.uniform(0.8, 1.6)
    return _case(
        g,
        "cabinet",
        w,
        g.uniform(0.45, 0.6),
        g.uniform(1.7, 2.1) if tall else g.uniform(0.75, 1.1),
        2 if w < 1.2 else 3,
        1,
    )


def dresser(g: G) -> Kit:
    """A chest of drawers."""
    return _case(
        g,
        "dresser",
        g.uniform(0.8, 1.3),
        g.uniform(0.42, 0.5),
        g.uniform(0.75, 1.1),
        int(g.integers(1, 3)),
        int(g.integers(3, 5)),
    )


def night_stand(g: G) -> Kit:
    """A small case beside a bed."""
    return _case(
        g, "night stand", g.uniform(0.38, 0.5), g.uniform(0.36, 0.44), g.uniform(0.45, 0.6), 1, int(g.integers(1, 4))
    )


def counter(g: G) -> Kit:
    """A kitchen counter over cabinets, with a sink or a hob."""
    w, d, z = g.uniform(1.4, 2.6), 0.62, 0.9
    kit = Kit((w, d, z + 0.5)).begin(ID["cabinet"])
    body = m.furniture(g)
    kit.slab(body, -w / 2, w / 2, -d / 2, d / 2 - 0.04, 0.08, z - 0.04)
    _fronts(g, kit, w, d / 2 - 0.04, 0.1, z - 0.06, round(w / 0.5), 1)
    kit.begin(ID["counter"]).slab(m.surface(g, m.HARD, gloss=0.3), -w / 2, w / 2, -d / 2, d / 2, z - 0.04, z)
    kit.slab(
        m.surface(g, ("tiles", "subway", "tiles_small", "plain"), 0.5),
        -w / 2,
        w / 2,
        -d / 2,
        -d / 2 + 0.015,
        z,
        z + 0.5,
    )
    x, steel = g.uniform(-w / 4, w / 4), m.metal(g)
    kit.begin(ID["sink"]).slab(steel, x - 0.28, x + 0.28, -0.2, 0.2, z, z + 0.012)
    kit.tube(steel, (x, -0.24, z), (x, -0.24, z + 0.25), 0.015)
    kit.limb(steel, (x, -0.24, z + 0.25), (x, -0.08, z + 0.24), 0.013)
    kit.slab(m.solid((0.08, 0.08, 0.09)), x - 0.23, x + 0.23, -0.15, 0.15, z + 0.012, z + 0.016)
    side = -1 if x > 0 else 1
    kit.begin(ID["otherprop"]).slab(
        m.fitted(g, ("hob",)), *_span(side * w / 8, side * (w / 2 - 0.1)), -0.2, 0.22, z, z + 0.01
    )
    kit.tops.append((*_span(side * w / 8, side * (w / 2 - 0.15)), -0.2, 0.15, z))
    return kit


def refridgerator(g: G) -> Kit:
    """One or two doors; the class keeps the label set's spelling."""
    w, d, z = g.uniform(0.6, 0.8), 0.65, g.uniform(1.5, 1.9)
    kit, body = Kit((w, d, z)).begin(ID["refridgerator"]), m.white(g) if g.random() < 0.7 else m.metal(g)
    kit.slab(body, -w / 2, w / 2, -d / 2, d / 2 - 0.05, 0.03, z)
    split = z * g.uniform(0.3, 0.7)
    for a, b in ((0.05, split - 0.01), (split, z - 0.01)):
        kit.slab(body, -w / 2, w / 2, d / 2 - 0.045, d / 2, a, b)
        kit.slab(m.metal(g), w / 2 - 0.08, w / 2 - 0.06, d / 2, d / 2 + 0.03, (a + b) / 2 - 0.15, (a + b) / 2 + 0.15)
    return kit


def tv_stand(g: G) -> Kit:
    """A low cabinet with a television."""
    kit = _case(g, "cabinet", g.uniform(1.1, 1.7), g.uniform(0.38, 0.48), g.uniform(0.42, 0.58), 3, 1)
    w, z = g.uniform(0.8, 1.2), kit.size[2]
    kit.begin(ID["television"]).slab(
        m.solid((0.03, 0.03, 0.035), gloss=0.5), -w / 2, w / 2, -0.03, 0.02, z + 0.06, z + 0.06 + 0.58 * w
    )
    kit.slab(
        m.fitted(g, m.SCREEN, emit=g.choice([0.0, 0.7]), gloss=0.6, hole=0.5),
        -w / 2 + 0.02,
        w / 2 - 0.02,
        0.02,
        0.025,
        z + 0.08,
        z + 0.04 + 0.58 * w,
    )
    kit.box(m.metal(g), (0, 0, z + 0.03), (0.3, 0.15, 0.06))
    kit.tops.clear()
    return kit


def floor_lamp(g: G) -> Kit:
    """Foot, pole, glowing shade."""
    z = g.uniform(1.3, 1.75)
    kit, pole = Kit((0.4, 0.4, z)).begin(ID["lamp"]), m.metal(g)
    kit.tube(pole, (0, 0, 0), (0, 0, 0.03), 0.15)
    kit.tube(pole, (0, 0, 0.03), (0, 0, z - 0.25), 0.014)
    kit.casts = False
    kit.tube(
        m.surface(g, ("plain", "weave", "stripes"), emit=g.uniform(0.1, 0.7)),
        (0, 0, z - 0.28),
        (0, 0, z),
        0.2,
        g.uniform(0.5, 1.0),
    )
    return kit


def box(g: G) -> Kit:
    """Cardboard, or a coloured crate, perhaps two stacked."""
    w, d, z = g.uniform(0.3, 0.6), g.uniform(0.3, 0.5), g.uniform(0.25, 0.45)
    kit = Kit((w, d, z)).begin(ID["box"])
    kit.slab(
        m.solid((0.45, 0.30, 0.17), "cork") if g.random() < 0.5 else m.surface(g, m.HARD),
        -w / 2,
        w / 2,
        -d / 2,
        d / 2,
        0,
        z,
    )
    if g.random() < 0.4:
        kit.begin(ID["box"]).box(
            m.surface(g, ("plain", "cork", "wood")),
            (0, 0, z * 1.4),
            (w * 0.8, d * 0.8, z * 0.8),
            yaw=g.uniform(-0.3, 0.3),
        )
    return kit


def bag(g: G) -> Kit:
    """A rucksack or shopping bag."""
    kit, cloth = Kit((0.4, 0.25, 0.45)).begin(ID["bag"]), m.fabric(g)
    kit.ball(cloth, (0, 0, 0.21), (0.36, 0.22, 0.46))
    kit.slab(cloth, -0.15, 0.15, -0.09, 0.1, 0, 0.2)
    kit.limb(m.fabric(g), (-0.08, 0, 0.42), (0.08, 0, 0.45), 0.015)
    return kit


def toilet(g: G) -> Kit:
    """Bowl, seat, tank."""
    kit, body = Kit((0.42, 0.7, 0.8)).begin(ID["toilet"]), m.white(g)
    kit.tube(body, (0, 0.08, 0), (0, 0.1, 0.38), 0.13, 1.5)
    kit.ball(body, (0, 0.1, 0.4), (0.4, 0.52, 0.08))
    kit.slab(body, -0.2, 0.2, -0.34, -0.16, 0.3, 0.78)
    return kit


def bathtub(g: G) -> Kit:
    """A tub with a dark inside and a tap."""
    w, d, z = g.uniform(1.5, 1.75), 0.75, 0.55
    kit, body = Kit((w, d, z)).begin(ID["bathtub"]), m.white(g)
    kit.slab(body, -w / 2, w / 2, -d / 2, d / 2, 0, z)
    kit.slab(m.surface(g, ("plain", "marble")), -w / 2 + 0.08, w / 2 - 0.08, -d / 2 + 0.08, d / 2 - 0.08, z, z + 0.004)
    kit.limb(m.metal(g), (w / 2 - 0.12, 0, z), (w / 2 - 0.2, 0, z + 0.15), 0.02)
    if g.random() < 0.6:
        kit.begin(ID["shower curtain"])
        kit.slab(
            m.fitted(g, ("folds", "folds2", "stripes", "dots")),
            -w / 2,
            g.uniform(-0.2, 0.4) * w,
            d / 2 + 0.01,
            d / 2 + 0.04,
            0.15,
            2.0,
        )
    return kit


def ottoman(g: G) -> Kit:
    """A stool or pouf."""
    kit, z = Kit((0.5, 0.5, 0.42)).begin(ID["otherfurniture"]), g.uniform(0.35, 0.45)
    if g.random() < 0.5:
        kit.tube(m.fabric(g), (0, 0, 0), (0, 0, z), 0.24, g.uniform(0.85, 1.0))
    else:
        kit.slab(m.fabric(g), -0.25, 0.25, -0.25, 0.25, 0.1, z)
        _legs(kit, m.wood(g), 0.5, 0.5, 0.1, 0.02)
    return kit


def piano(g: G) -> Kit:
    """An upright piano."""
    kit, body = Kit((1.45, 0.6, 1.2)).begin(ID["otherfurniture"]), m.furniture(g)
    kit.slab(body, -0.72, 0.72, -0.3, 0.05, 0, 1.2)
    kit.slab(body, -0.72, 0.72, 0.05, 0.3, 0.58, 0.7)
    kit.slab(m.fitted(g, ("keys",)), -0.65, 0.65, 0.1, 0.28, 0.7, 0.715)
    for x in (-0.68, 0.68):
        kit.slab(body, x - 0.04, x + 0.04, 0.05, 0.28, 0, 0.58)
    return kit


def plant(g: G) -> Kit:
    """A pot with leaves."""
    kit, z = Kit((0.5, 0.5, 1.0)).begin(ID["otherprop"]), g.uniform(0.25, 0.4)
    kit.tube(m.surface(g, m.HARD), (0, 0, 0), (0, 0, z), 0.13, 1.3)
    leaf = m.solid((0.05, g.uniform(0.15, 0.4), 0.06), "leaves")
    for _ in range(int(g.integers(3, 6))):
        x, y = g.uniform(-0.16, 0.16, 2)
        kit.ball(
            leaf, (x, y, z + g.uniform(0.15, 0.6)), (g.uniform(0.2, 0.4), g.uniform(0.2, 0.4), g.uniform(0.2, 0.5))
        )
    return kit


def clothes(g: G) -> Kit:
    """A heap of clothes."""
    kit = Kit((0.6, 0.5, 0.25)).begin(ID["clothes"])
    for _ in range(3):
        x, y = g.uniform(-0.15, 0.15, 2)
        kit.ball(m.fabric(g), (x, y, 0.07), (g.uniform(0.3, 0.5), g.uniform(0.25, 0.4), g.uniform(0.12, 0.26)))
    return kit


def basin(g: G) -> Kit:
    """A washbasin on a vanity."""
    kit = _case(g, "cabinet", g.uniform(0.6, 0.9), 0.45, 0.78, 2, 1)
    z = kit.size[2]
    kit.begin(ID["sink"]).tube(m.white(g), (0, 0.02, z), (0, 0.02, z + 0.1), 0.17, 1.25)
    kit.limb(m.metal(g), (0, -0.17, z), (0, -0.05, z + 0.22), 0.013)
    kit.tops.clear()
    return kit
