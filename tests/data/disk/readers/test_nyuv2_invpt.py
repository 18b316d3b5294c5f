"""NYUD-v2 in the form of InvPT: PNG images, 8-bit normals, edges of 0 and 255."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from mtlrepro.data import build_dataset
from mtlrepro.data.disk.synthesize import synthesize
from mtlrepro.data.disk.synthesize.roundtrip import roundtrip
from mtlrepro.errors import SpecError
from mtlrepro.spec import DataSpec, options

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


@pytest.fixture(scope="module")
def holes(tmp_path_factory):
    """A copy whose first training picture has pixels of both mid-greys, almost mid-grey, black and one normal."""
    root = tmp_path_factory.mktemp("holes")
    synthesize("nyuv2_invpt", root, {"train": 1, "val": 1}, SIZE)
    dataset = build_dataset(DataSpec("nyuv2_invpt", SIZE), "train", root)
    file = root / "NYUDv2" / dataset.path_of("normals", dataset.ids[0])
    pixels = np.asarray(Image.open(file)).copy()
    pixels[0, 0], pixels[0, 1], pixels[0, 2], pixels[0, 3], pixels[0, 4] = 127, 128, (128, 127, 127), 0, (127, 127, 0)
    Image.fromarray(pixels).save(file)
    return root


def nyud(root, size=SIZE, split="train", **settings):
    return build_dataset(DataSpec("nyuv2_invpt", size, options=options(**settings)), split, root)


def test_mid_grey_is_no_direction(holes):
    normals = nyud(holes)[0]["normals"]
    assert normals[:, 0, :4].abs().max() == 0
    assert normals[2, 0, 4] < -0.99


def test_mid_grey_is_the_direction_that_it_then_is_for_a_published_reader(holes):
    plain, read = nyud(holes)[0], nyud(holes, unknown="direction")[0]
    corner = torch.tensor(3.0).rsqrt()
    wanted = torch.tensor([[-1, -1, -1], [1, 1, 1], [1, -1, -1], [-1, -1, -1]]) * corner
    assert torch.allclose(read["normals"][:, 0, :4].T, wanted, atol=1e-5)
    assert torch.allclose(read["normals"].norm(dim=0), torch.ones(SIZE), atol=1e-6), "every pixel is a unit vector"
    known = (plain["normals"] != 0).any(0)
    assert int((~known).sum()) >= 4
    assert torch.equal(read["normals"][:, known], plain["normals"][:, known]), "known normals bit for bit"
    assert all(torch.equal(read[task], plain[task]) for task in plain if task != "normals")


def test_no_grey_of_8_bits_is_without_direction():
    levels = torch.arange(256).float() * 2 / 255 - 1
    assert levels.abs().min() == pytest.approx(1 / 255, rel=1e-4)


def test_unknown_normals_at_another_size_are_those_of_the_nearest_pixel(holes):
    size = (32, 48)
    native, read = nyud(holes, unknown="direction")[0], nyud(holes, size, resized=size, unknown="direction")[0]
    rows, columns = [int((i + 0.5) * 40 / 32) for i in range(32)], [int((j + 0.5) * 56 / 48) for j in range(48)]
    assert torch.equal(read["normals"], native["normals"][:, rows][:, :, columns])
    assert (read["normals"] != 0).any(0).all()


def test_what_is_read_for_unknown_normals_is_part_of_the_digest_and_said(holes):
    digests = [nyud(holes, **settings).digest() for settings in ({}, {"unknown": "invalid"}, {"unknown": "direction"})]
    assert digests[0] == digests[1] != digests[2]
    assert "unknown=direction (mid-grey" in type(nyud(holes)).remark(unknown="direction")
    assert "unknown=invalid" in type(nyud(holes)).remark(resized=SIZE)


def test_another_reading_of_unknown_normals_is_refused(holes):
    with pytest.raises(SpecError, match="unknown reading of unknown normals 'grey'") as caught:
        nyud(holes, unknown="grey")
    assert caught.value.field == "unknown"
    with pytest.raises(SpecError, match="'grey'"):
        type(nyud(holes)).remark(unknown="grey")


def test_resized_as_a_published_loader_does(written):
    size = (32, 48)
    native = build_dataset(DataSpec("nyuv2_invpt", SIZE), "train", written)[0]
    dataset = build_dataset(DataSpec("nyuv2_invpt", size, options=options(resized=size)), "train", written)
    sample = dataset[0]
    assert {tuple(v.shape[-2:]) for v in sample.values()} == {size}
    assert dataset.digest() != build_dataset(DataSpec("nyuv2_invpt", size), "train", written).digest()
    floor = [int(i * 40 / 32) for i in range(32)], [int(j * 56 / 48) for j in range(48)]
    for task in ("semseg", "depth"):
        assert torch.equal(sample[task], native[task][floor[0]][:, floor[1]])
    rows = [int((i + 0.5) * 40 / 32) for i in range(32)], [int((j + 0.5) * 56 / 48) for j in range(48)]
    assert torch.equal(sample["normals"], native["normals"][:, rows[0]][:, :, rows[1]])
    picture = Image.fromarray(native["image"].permute(1, 2, 0).numpy())
    assert torch.equal(
        sample["image"].permute(1, 2, 0), torch.from_numpy(np.array(picture.resize((48, 32), Image.Resampling.LANCZOS)))
    )
    # An edge pixel is one where any of the two rows and two columns that it lies between has one.
    taps = [[(min(max((i + 0.5) * n / m - 0.5, 0), n - 1), n) for i in range(m)] for m, n in ((32, 40), (48, 56))]

    def around(place):
        x, n = place
        low = int(x)
        return [low] if x == low else [low, min(low + 1, n - 1)]

    expected = [
        [max(int(native["edges"][r, c]) for r in around(y) for c in around(x)) for x in taps[1]] for y in taps[0]
    ]
    assert sample["edges"].tolist() == expected
    assert sample["edges"].float().mean() > native["edges"].float().mean() > 0, "thicker"
