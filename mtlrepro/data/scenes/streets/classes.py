"""Names and colours of the seven Cityscapes categories (Cordts et al., CVPR 2016), and the things they consist of."""

from __future__ import annotations

CITYSCAPES7 = ("flat", "construction", "object", "nature", "sky", "human", "vehicle")

FLAT, CONSTRUCTION, OBJECT, NATURE, SKY, HUMAN, VEHICLE = range(7)

PALETTE7 = (
    (128, 64, 128),
    (70, 70, 70),
    (220, 220, 0),
    (107, 142, 35),
    (70, 130, 180),
    (220, 20, 60),
    (0, 0, 142),
)
"""RGB of a typical class of each category in the published colour scheme."""

THINGS = {
    "road": FLAT,
    "sidewalk": FLAT,
    "building": CONSTRUCTION,
    "wall": CONSTRUCTION,
    "fence": CONSTRUCTION,
    "guard rail": CONSTRUCTION,
    "pole": OBJECT,
    "traffic light": OBJECT,
    "traffic sign": OBJECT,
    "tree": NATURE,
    "bush": NATURE,
    "terrain": NATURE,
    "sky": SKY,
    "person": HUMAN,
    "rider": HUMAN,
    "car": VEHICLE,
    "van": VEHICLE,
    "truck": VEHICLE,
    "bus": VEHICLE,
    "motorcycle": VEHICLE,
    "bicycle": VEHICLE,
}
"""What streets are made of -> its category; as fine as the labels of any dataset that streets are written in."""

ROAD, SIDEWALK = range(2)
BUILDING, WALL, FENCE, GUARD_RAIL = range(2, 6)
POLE, TRAFFIC_LIGHT, TRAFFIC_SIGN = range(6, 9)
TREE, BUSH, TERRAIN = range(9, 12)
CLOUD = 12
PERSON, RIDER = range(13, 15)
CAR, VAN, TRUCK, BUS, MOTORCYCLE, BICYCLE = range(15, 21)
