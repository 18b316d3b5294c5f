"""Taskonomy, split "Tiny": one folder a task, in it one a building, 16-bit PNG in the units of the release."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch

from mtlrepro.data.disk.synthesize.base import Writer, channels_last, whole
from mtlrepro.data.sample import Sample
from mtlrepro.data.scenes import taskonomy
from mtlrepro.data.scenes.classes import ID
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render

BUILDINGS = {
    "train": (
        *("allensville", "beechwood", "benevolence", "coffeen", "cosmos", "forkland", "hanson", "hiteman"),
        *("klickitat", "lakeville", "leonardo", "lindenwood", "marstons", "merom", "mifflinburg", "newfields"),
        *("onaga", "pinesdale", "pomaria", "ranchester", "shelbyville", "stockman", "tolstoy", "wainscott"),
        "woodbine",
    ),
    "val": ("ihlen", "mcdade", "muleshoe", "noxapater", "uvalda"),
}

UNCERTAIN, BACKGROUND = 0, 1
SEGMENTS = {
    **{"chair": 3, "sofa": 4, "bed": 6, "table": 7, "desk": 7, "toilet": 8, "television": 9, "sink": 13},
    **{"refridgerator": 14, "books": 15, "otherstructure": UNCERTAIN, "otherprop": UNCERTAIN},
}
"""NYUv2 class -> stored value of `segment_semantic`; all other classes are background."""

METRE = 512
"""Stored units of depth a metre."""
NOWHERE = 65535
"""Stored depth where there is none."""

STATISTICS = {"occlusion": (56.0248, 239.1265), "keypoints": (50.0, 100.0), "texture": (718.0, 1070.0)}
"""Task -> mean and deviation of stored 16-bit values, by which loaders standardise them."""
RESHADING = (0.4962, 0.2846)
"""The same for reshading, as fractions of 255."""

DOMAINS = {"segment_semantic": "segmentsemantic"}
"""Folder -> what the names of its files say, where that is not the same."""

FOLDERS = {"occlusion": "edge_occlusion", "keypoints": "keypoints2d", "texture": "edge_texture"}


class TaskonomyRelease(Writer):
    """`<domain>/<building>/point_<p>_view_<v>_domain_<domain>.png`; samples go round the buildings of a split."""

    native: ClassVar[tuple[int, int]] = (512, 512)

    def scenes(self, split: str, n: int) -> Iterator[tuple[str, Sample]]:
        """Rooms with the seven targets, standardised as the release's values are."""
        stored = torch.full((256,), BACKGROUND, dtype=torch.uint8)
        for name, value in SEGMENTS.items():
            stored[ID[name]] = value
        stored[stored == UNCERTAIN] = 255
        buildings = BUILDINGS[split]
        for i, number in enumerate(self.numbers(split, n)):
            room = render(layout(self.seed, number), *self.size, classes=40, seed=number)
            invalid = room["depth"] == 0
            sample = {
                "image": room["image"],
                "semseg": stored[room["semseg"].long()],
                "depth": room["depth"],
                "normals": room["normals"].masked_fill(invalid, 0.0),
                **_standardised(taskonomy.maps(room)),
            }
            yield f"{buildings[i % len(buildings)]}/point_{i // len(buildings)}_view_0", sample

    def store(self, split: str, name: str, sample: Sample) -> None:
        """One PNG a task. What the depth masks is stored as 0, the normals there as mid-grey."""
        ids, depth = sample["semseg"].numpy(), sample["depth"]
        self._png("rgb", name, channels_last(sample["image"]))
        self._png("segment_semantic", name, np.where(ids == 255, UNCERTAIN, ids).astype(np.uint8))
        self._png("depth_zbuffer", name, np.where(depth == 0, NOWHERE, whole(depth * METRE, 1, 8191)).astype(np.uint16))
        self._png("normal", name, channels_last(torch.from_numpy(whole((sample["normals"] + 1) * 127.5, 0, 255))))
        mean, deviation = RESHADING
        grey = whole((sample["reshading"].nan_to_num(-mean / deviation) * deviation + mean) * 255, 0, 255)
        self._png("reshading", name, np.stack([grey] * 3, -1))
        for task, (mean, deviation) in STATISTICS.items():
            values = sample[task].nan_to_num(-mean / deviation) * deviation + mean
            self._png(FOLDERS[task], name, whole(values, 0, 65535))

    def _png(self, folder: str, name: str, array: np.ndarray) -> None:
        self.png(f"{folder}/{name}_domain_{DOMAINS.get(folder, folder)}.png", array)


def _standardised(maps: Sample) -> Sample:
    """The scenes' maps, brought to the mean of the release's and standardised as those are."""
    out = {}
    for task, (own_mean, own_deviation) in taskonomy.STANDARD.items():
        raw = maps[task] * own_deviation + own_mean
        if task == "reshading":  # is a brightness of 0..1 here and there
            out[task] = (raw - RESHADING[0]) / RESHADING[1]
        else:
            mean, deviation = STATISTICS[task]
            out[task] = (raw * (mean / own_mean) - mean) / deviation
    return out
