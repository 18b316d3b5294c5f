"""Names and colours of the seven Cityscapes categories (Cordts et al., CVPR 2016), in the published order."""

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
