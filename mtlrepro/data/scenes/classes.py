"""Class names, the 40 → 13 mapping and colours of the NYUv2 label sets, plus person parts.

Ids are 0-based and follow the published order: 40 classes from Gupta et al. (CVPR 2013), 13 classes from
Couprie et al. (ICLR 2013). In pixel labels 255 means "ignore".
"""

from __future__ import annotations

import colorsys

IGNORE = 255

NYU40 = (
    "wall",
    "floor",
    "cabinet",
    "bed",
    "chair",
    "sofa",
    "table",
    "door",
    "window",
    "bookshelf",
    "picture",
    "counter",
    "blinds",
    "desk",
    "shelves",
    "curtain",
    "dresser",
    "pillow",
    "mirror",
    "floor mat",
    "clothes",
    "ceiling",
    "books",
    "refridgerator",
    "television",
    "paper",
    "towel",
    "shower curtain",
    "box",
    "whiteboard",
    "person",
    "night stand",
    "toilet",
    "sink",
    "lamp",
    "bathtub",
    "bag",
    "otherstructure",
    "otherfurniture",
    "otherprop",
)

NYU13 = (
    "bed",
    "books",
    "ceiling",
    "chair",
    "floor",
    "furniture",
    "objects",
    "picture",
    "sofa",
    "table",
    "tv",
    "wall",
    "window",
)

NYU40_TO_13 = (
    11,
    4,
    5,
    0,
    3,
    8,
    9,
    11,
    12,
    5,
    7,
    5,
    12,
    9,
    5,
    12,
    5,
    6,
    6,
    4,
    6,
    2,
    1,
    5,
    10,
    6,
    6,
    6,
    6,
    6,
    6,
    5,
    6,
    6,
    6,
    6,
    6,
    6,
    5,
    6,
)
"""13-class id of each 40-class id. The published mapping covers every class, so no entry is `IGNORE`."""

PARTS = ("background", "head", "torso", "upper arm", "lower arm", "upper leg", "lower leg")
"""Person parts by id, the six-part grouping of PASCAL-Context multi-task benchmarks."""

CLASS_SETS = {40: NYU40, 13: NYU13}

# Ids by name, so that builders read as words.
ID = {name: i for i, name in enumerate(NYU40)}

# Classes of the building shell: never salient, never an instance.
SHELL = frozenset(ID[n] for n in ("wall", "floor", "ceiling"))
# Classes fixed to the shell or flat on it: they are instances, but a person would not call them the subject.
FIXTURES = frozenset(
    ID[n]
    for n in (
        "door",
        "window",
        "blinds",
        "curtain",
        "floor mat",
        "otherstructure",
        "whiteboard",
        "paper",
        "shower curtain",
    )
)


def palette(count: int) -> tuple[tuple[int, int, int], ...]:
    """`count` well separated RGB colours: hues by the golden angle, three lightness and two saturation levels.

    Example:
        >>> palette(2)
        ((215, 66, 71), (122, 184, 138))
    """
    colours = []
    for i in range(count):
        lightness = (0.55, 0.60, 0.36, 0.76)[i % 4]
        saturation = (0.65, 0.30, 0.55)[i % 3]
        rgb = colorsys.hls_to_rgb((i * 0.381966 + 0.99434) % 1.0, lightness, saturation)
        colours.append(tuple(round(255 * c) for c in rgb))
    return tuple(colours)  # type: ignore[arg-type]
