"""Small raw files as the official ones are, with random content, for the tests of preparations."""

import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

from mtlrepro.data.disk.marker import Marker, write_marker

LABELLED, SPLITS, MAPPING = "nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat"
MAP_CLASS = np.random.default_rng(7).integers(1, 41, 894)


def fake_labelled_mat(path, n, h, w, seed=0):
    """A MATLAB 7.3 file of n random frames; returns (images, depths, labels) as (n, h, w[, 3])."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (n, h, w, 3), np.uint8)
    depths = random.uniform(0.7, 9.9, (n, 1, 1)) + np.linspace(0, 0.1, w) + random.normal(0, 1e-3, (n, h, w))
    labels = random.integers(0, 895, (n, (h + 7) // 8, (w + 7) // 8)).repeat(8, 1).repeat(8, 2)[:, :h, :w]
    depths, labels = depths.astype(np.float32), labels.astype(np.uint16)
    with h5py.File(path, "w", userblock_size=512) as stream:
        stream["images"] = images.transpose(0, 3, 2, 1)
        stream["depths"] = depths.transpose(0, 2, 1)
        stream["rawDepths"] = depths.transpose(0, 2, 1)
        stream["labels"] = labels.transpose(0, 2, 1)
        stream["names"] = np.zeros((1, 894), np.uint16)
    return images, depths, labels


def nyu_source(folder, train=(2, 3, 5), val=(1, 4), size=(48, 64), marked=True):
    """The three files of NYU Depth v2; returns what the .mat file holds."""
    folder.mkdir()
    held = fake_labelled_mat(folder / LABELLED, len(train) + len(val), *size)
    write_splits(folder, train, val)
    savemat(folder / MAPPING, {"mapClass": MAP_CLASS[None].astype(np.uint8)})
    if marked:
        write_marker(folder, Marker("nyu_depth_v2", {"train": len(train), "val": len(val)}, size, 0))
    return held


def write_splits(folder, train, val):
    columns = (np.array(list(frames), np.uint16)[:, None] for frames in (train, val))
    savemat(folder / SPLITS, dict(zip(("trainNdxs", "testNdxs"), columns, strict=True)))


CITIES = {"train": ("ulm/ulm_000001_000019", "aachen/aachen_000002_000019", "aachen/aachen_000001_000019")}
CITIES["val"] = ("munster/munster_000000_000019", "lindau/lindau_000000_000019")


def cityscapes_source(folder, size=(256, 512), seed=0):
    """The raw release of Cityscapes; returns {split/city/name: (image, label ids, disparity)}."""
    random, held = np.random.default_rng(seed), {}
    h, w = size
    for split, names in CITIES.items():
        for name in names:
            image = random.integers(0, 256, (h, w, 3), np.uint8)
            labels = random.integers(0, 34, (h, w), np.uint8)
            disparity = random.integers(0, 32258, (h, w)).astype(np.uint16)
            disparity[random.random((h, w)) < 0.2] = 0
            files = {
                f"leftImg8bit/{split}/{name}_leftImg8bit.png": image,
                f"gtFine/{split}/{name}_gtFine_labelIds.png": labels,
                f"gtFine/{split}/{name}_gtFine_instanceIds.png": labels,
                f"disparity/{split}/{name}_disparity.png": disparity,
            }
            for file, array in files.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / file, compress_level=1)
            held[f"{split}/{name}"] = (image, labels, disparity)
    counts = {split: len(names) for split, names in CITIES.items()}
    write_marker(folder, Marker("cityscapes", counts, size, 0))
    return held


def contents(folder):
    """Relative path -> bytes of every file below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
