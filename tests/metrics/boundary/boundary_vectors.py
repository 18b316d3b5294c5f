"""The conformance vectors of one image and one annotator."""

from __future__ import annotations

import numpy as np
from boundary_maps import circles, jittered, lines


def shifted(seed, of):
    g = lines(of)
    return jittered(np.roll(g, (1, 1), (0, 1)), seed, 0.85, 0.02), g


def bars(gap):
    p, g = np.zeros((2, 480, 640), bool)
    p[200, 100:104] = g[200 + gap, 100:104] = True
    return p, g


def tiny():
    p, g = np.zeros((2, 20, 20), bool)
    p[10, 3:9] = g[11, 5:11] = True
    return p, g


NOTHING = np.zeros((40, 56), bool)
BUILD = {  # prediction, truth
    "B4a": lambda: shifted(51, 1),
    "B4b": lambda: shifted(52, 2),
    "B4c": lambda: (lines(1), lines(1)),
    "B4d": lambda: (lines(2), lines(2)),
    "B4e": tiny,
    "B4f": lambda: bars(6),
    "B4f far": lambda: bars(7),
    "B4g": lambda: bars(8),
    "B4g far": lambda: bars(9),
    "B4h": lambda: (circles(322, 241), circles(320, 240)),
    "B4i": lambda: (circles(320, 240), circles(320, 240)),
    "B4j": lambda: (NOTHING, lines(1)),
    "B4k": lambda: (lines(1), NOTHING),
    "B4l": lambda: (NOTHING, NOTHING),
}
VECTORS = [  # max_dist; n_p, n_g; pairs, matchable; reachable share, loss; mean of the public matcher, within
    ("B4a", 0.03, (310, 331), (291, 291, 329), 0, 0.307, 290.702, 0.5),
    ("B4b", 0.03, (305, 305), (276, 280, 299), 0.0857, 0.258, 275.740, 0.5),
    ("B4c", 0.03, (331, 331), (331, 331, 331), 0, 0.777, 330.190, 0.5),
    ("B4d", 0.03, (305, 305), (305, 305, 305), 0, 0.712, 304.235, 0.5),
    ("B4e", 0.05, (6, 6), (5, 5, 5), 0, 0, 5, 0),
    ("B4f", 0.0075, (4, 4), (4, 4, 4), 0, 0, 4, 0),
    ("B4f far", 0.0075, (4, 4), (0, 0, 0), 0, 0, 0, 0),
    ("B4g", 0.011, (4, 4), (4, 4, 4), 0, 0, 4, 0),
    ("B4g far", 0.011, (4, 4), (0, 0, 0), 0, 0, 0, 0),
    ("B4h", 0.0075, (6779, 6776), (6760, 6778, 6776), 0.0469, 12.618, 6746.2, 2),
    ("B4i", 0.0075, (6776, 6776), (6776, 6776, 6776), 0, 16.751, 6758.9, 2),
    ("B4j", 0.03, (0, 331), (0, 0, 0), 0, 0, 0, 0),
    ("B4k", 0.03, (331, 0), (0, 0, 0), 0, 0, 0, 0),
    ("B4l", 0.03, (0, 0), (0, 0, 0), 0, 0, 0, 0),
]
