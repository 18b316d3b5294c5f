"""A dataset on disk that trains in seconds: a box on a floor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

TINY_SIZE = (32, 32)
TINY = """
name = "tiny"
image = "image/{split}/{id}.png"

[tasks.semseg]
path = "semseg/{split}/{id}.png"
classes = ["floor", "box"]
ignore = [9]

[tasks.depth]
path = "depth/{split}/{id}.npy"
"""


def write_tiny_dataset(root: Path, train: int = 8, val: int = 4) -> Path:
    """A box on a floor: bright where the class is 1 and the depth small. Returns the description file."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for kind in ("image", "semseg", "depth"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            top, left = random.integers(0, 16, 2)
            box = np.zeros(TINY_SIZE, bool)
            box[top : top + 14, left : left + 14] = True
            image = (60 + 120 * box[..., None] + random.integers(0, 40, (*TINY_SIZE, 3))).astype(np.uint8)
            labels = box.astype(np.uint8)
            labels[0, :4] = 9
            Image.fromarray(image).save(root / "image" / split / f"{i}.png")
            Image.fromarray(labels).save(root / "semseg" / split / f"{i}.png")
            np.save(root / "depth" / split / f"{i}.npy", np.where(box, 2.0, 4.0).astype(np.float32))
    description = root / "tiny.toml"
    description.write_text(TINY)
    return description
