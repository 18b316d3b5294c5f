"""A small dataset with every kind of label, sound as it is, for tests that damage it."""

import numpy as np
from PIL import Image

H, W = 16, 24
IDS = {"train": [f"t{i}" for i in range(6)], "val": [f"v{i}" for i in range(3)]}

DESCRIPTION = """
name = "own"
image = "image/{id}.png"
max_depth = 10.0

[splits]
train = "lists/train.txt"
val = "lists/val.txt"

[counts]
train = 6
val = 3

[tasks.semseg]
path = "semseg/{id}.png"
classes = ["sky", "road", "car", "tree"]

[tasks.depth]
path = "depth/{id}.npy"

[tasks.normals]
path = "normals/{id}.npy"

[tasks.edges]
path = "edges/{id}.png"

[tasks.saliency]
path = "saliency/{id}.png"
threshold = 0.5

[tasks.occlusion]
path = "occlusion/{id}.png"
mean = 0.0
deviation = 1000.0

[tasks.reshading]
path = "reshading/{id}.png"
mean = 0.5
deviation = 0.25

[tasks.keypoints]
path = "keypoints/{id}.png"
mean = 0.0
deviation = 1000.0

[tasks.texture]
path = "texture/{id}.png"
mean = 0.0
deviation = 1000.0
"""


def write(root):
    """All files of the dataset below `root`; returns the description file."""
    for number, name in enumerate(IDS["train"] + IDS["val"]):
        random = np.random.default_rng(number)
        png(root, "image", name, random.integers(20, 250, (H, W, 3)))
        png(root, "semseg", name, np.arange(H * W).reshape(H, W) % 4)
        npy(root, "depth", name, random.uniform(1, 4, (H, W)))
        vectors = random.normal(size=(H, W, 3))
        vectors[..., 2] = -1 - np.abs(vectors[..., 2])
        npy(root, "normals", name, vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
        png(root, "edges", name, 255 * (np.indices((H, W))[1] == 5))
        png(root, "saliency", name, 255 * (np.indices((H, W))[1] < 9))
        png(root, "reshading", name, random.integers(0, 255, (H, W, 3)))
        for task in ("occlusion", "keypoints", "texture"):
            png(root, task, name, random.integers(0, 3000, (H, W)), np.uint16)
    for split, names in IDS.items():
        listed(root, split, names)
    file = root / "own.toml"
    file.write_text(DESCRIPTION)
    return file


def listed(root, split, names):
    """The id list of a split."""
    (root / "lists").mkdir(exist_ok=True)
    (root / "lists" / f"{split}.txt").write_text("\n".join(names))


def png(root, kind, name, values, dtype=np.uint8):
    """One PNG."""
    (root / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values).astype(dtype)).save(root / kind / f"{name}.png")


def npy(root, kind, name, values):
    """One npy file of float32."""
    (root / kind).mkdir(parents=True, exist_ok=True)
    np.save(root / kind / f"{name}.npy", np.asarray(values, np.float32))


def change(root, kind, function, names=IDS["train"]):
    """Replace the npy arrays of samples by a function of their number and values."""
    for number, name in enumerate(names):
        file = root / kind / f"{name}.npy"
        np.save(file, np.asarray(function(number, np.load(file)), np.float32))


def redraw(root, kind, function, names=IDS["train"], dtype=np.uint8):
    """Replace the PNGs of samples by a function of their number."""
    for number, name in enumerate(names):
        png(root, kind, name, np.broadcast_to(function(number), np.asarray(function(number)).shape), dtype)
