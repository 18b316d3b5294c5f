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

AS_SIXTEEN = {
    **{"road": 0, "sidewalk": 1, "building": 2, "wall": 3, "fence": 4, "pole": 5, "traffic light": 6},
    **{"traffic sign": 7, "tree": 8, "bush": 8, "sky": 9, "person": 10, "rider": 11, "car": 12, "van": 12},
    **{"bus": 13, "motorcycle": 14, "bicycle": 15},
}
"""Thing -> id among the 16 classes that Cityscapes and Synthia share; what is missing has none."""

AS_VIRTUAL_KITTI = {
    **{"terrain": 0, "sidewalk": 0, "sky": 1, "tree": 2, "bush": 3, "building": 4, "wall": 4, "road": 5},
    **{"guard rail": 6, "traffic sign": 7, "traffic light": 8, "pole": 9, "fence": 10, "truck": 11, "bus": 11},
    **{"car": 12, "van": 13},
}
"""Thing -> id among the 14 classes of Virtual KITTI 2."""
