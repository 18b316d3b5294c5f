"""NYUD-v2 in the form of InvPT: PNG images, 8-bit normals, edges of 0 and 255."""

import math

import numpy as np
import pytest
from PIL import Image

from mtlrepro.data import build_dataset
from mtlrepro.data.disk.synthesize import synthesize
from mtlrepro.data.disk.synthesize.roundtrip import roundtrip
from mtlrepro.spec import DataSpec

SIZE = (40, 56)
EIGHT_BIT_DEGREES = math.degrees(2 * math.asin(math.sqrt(3) / 255 / 2)) * 1.02
"""Half a level in each of three channels; making it a unit vector adds a second-order term."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("invpt")
    synthesize("nyuv2_invpt", root, {"train": 2, "val": 1}, SIZE)
    return root


def test_what_was_rendered_comes_back(written):
    rows = {row.target: row for row in roundtrip("nyuv2_invpt", written)}
    assert list(rows) == ["image", "semseg", "depth", "normals", "edges"]
    assert rows.pop("normals").worst <= EIGHT_BIT_DEGREES
    assert [(row.worst, row.misplaced) for row in rows.values()] == [(0, 0)] * 4


def test_stored_forms_are_the_releases(written):
    name = (written / "NYUDv2/gt_sets/val.txt").read_text().strip()
    forms = {}
    for folder in ("images", "segmentation", "normals", "edge"):
        with Image.open(written / f"NYUDv2/{folder}/{name}.png") as image:
            forms[folder] = (image.mode, image.size)
    size = SIZE[::-1]
    assert forms == {
        "images": ("RGB", size),
        "segmentation": ("L", size),
        "normals": ("RGB", size),
        "edge": ("L", size),
    }
    assert set(np.unique(np.asarray(Image.open(written / f"NYUDv2/edge/{name}.png")))) == {0, 255}


def test_mid_grey_is_no_direction(written):
    dataset = build_dataset(DataSpec("nyuv2_invpt", SIZE), "train", written)
    file = written / "NYUDv2" / dataset.path_of("normals", dataset.ids[0])
    pixels = np.asarray(Image.open(file)).copy()
    pixels[0, 0], pixels[0, 1], pixels[0, 2] = 127, 128, (127, 127, 0)
    Image.fromarray(pixels).save(file)
    normals = dataset[0]["normals"]
    assert normals[:, 0, :2].abs().max() == 0
    assert normals[2, 0, 2] < -0.99
