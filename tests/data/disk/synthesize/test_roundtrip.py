"""What was rendered comes back through the datasets' own readers, in the same units, to the format's precision."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from mtlrepro.data import build_dataset
from mtlrepro.data.disk.synthesize import RAW, WRITERS, synthesize
from mtlrepro.data.disk.synthesize.roundtrip import _COMPARE, Deviation, roundtrip, table
from mtlrepro.errors import DataError
from mtlrepro.spec import DataSpec

COUNTS, SIZE = {"train": 6, "val": 2}, (64, 96)

FLOAT_DEGREES = 1e-4
"""Scaling a float32 unit vector to length 1 again may turn it by so much."""
EIGHT_BIT_DEGREES = math.degrees(2 * math.asin(math.sqrt(3) / 255 / 2)) * 1.02
"""Half a level in each of three channels; making it a unit vector adds a second-order term."""

BOUNDS = {
    "nyuv2": {"image": 40, "semseg": 0, "depth": 0, "normals": FLOAT_DEGREES, "edges": 0},  # a JPEG's worst pixel
    "nyuv2_13": {"image": 1e-4, "semseg": 0, "depth": 0, "normals": FLOAT_DEGREES},
    "nyuv2_depth": {"image": 0, "depth": 0},
    "cityscapes_7": {"image": 1e-4, "semseg": 0, "depth": 0},
    "taskonomy": {
        "image": 0,
        "semseg": 0,
        "depth": 0.5 / 512,
        "normals": EIGHT_BIT_DEGREES,
        "occlusion": 0.5 / 239.1265 + 1e-6,
        "reshading": 0.5 / 255 / 0.2846 + 1e-6,
        "keypoints": 0.5 / 100 + 1e-6,
        "texture": 0.5 / 1070 + 1e-6,
    },
}
"""Dataset -> target -> the largest error that its file format explains."""

MEANS = {
    **{"image": 4, "depth": 0.05, "normals": 2, "frames": 4, "intrinsics": 1e-4, "frame_depth": 0.05},
    **{"motion, translation": 0.03, "motion, rotation": 0.1},
    **dict.fromkeys(("semseg", "parts", "saliency", "edges"), 0),
}
"""Target -> mean error that all other layouts keep; the tests of their readers state bounds."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Data root with a small synthetic copy of every layout here."""
    pytest.importorskip("h5py")
    root = tmp_path_factory.mktemp("rehearsal")
    for name in BOUNDS:
        synthesize(name, root, COUNTS, SIZE)
    return root


@pytest.mark.parametrize("name", BOUNDS)
def test_targets_come_back_to_the_formats_precision(written, name):
    rows = roundtrip(name, written)
    print(table(rows))
    assert {row.target for row in rows} == set(BOUNDS[name])
    for row in rows:
        assert row.worst <= BOUNDS[name][row.target], row
        assert row.misplaced == 0, row
        assert row.pixels > 0.5 * row.samples * SIZE[0] * SIZE[1], row
        assert row.samples == COUNTS["train"] + COUNTS["val"] * (name != "nyuv2_depth")


def test_a_jpeg_is_close_on_average(written):
    image = roundtrip("nyuv2", written)[0]
    assert image.target == "image"
    assert image.mean < 4


@pytest.mark.parametrize("name", sorted(set(WRITERS) - set(RAW) - set(BOUNDS)))
def test_every_layout_keeps_class_ids_and_what_is_valid(tmp_path, name):
    synthesize(name, tmp_path, {"train": 2, "val": 1}, SIZE)
    rows = {row.target: row for row in roundtrip(name, tmp_path)}
    print(table(list(rows.values())))
    assert {"image", "depth"} & set(rows)
    for target, row in rows.items():
        assert row.misplaced <= 1e-4 * row.pixels, row  # rounded depth may cross the limit of what normals count
        assert row.mean <= MEANS[target], row


@pytest.mark.parametrize("name", BOUNDS)
def test_a_copy_is_a_synthetic_dataset_of_the_registry(written, name):
    train = build_dataset(DataSpec(name, SIZE), "train", written)
    assert train.synthetic
    assert len(train) == COUNTS["train"]
    assert train[0]["image"].shape == (3, *SIZE)


def test_stored_forms_are_the_releases(written):
    ids = (written / "NYUD_MT/gt_sets/train.txt").read_text().split()
    assert len(ids) == COUNTS["train"]
    with Image.open(written / f"NYUD_MT/images/{ids[0]}.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", SIZE[::-1])
    with Image.open(written / f"NYUD_MT/segmentation/{ids[0]}.png") as image:
        assert image.mode == "L"
        assert np.asarray(image).min() >= 1
    for folder, shape, dtype in (
        ("depth", SIZE, np.float32),
        ("normals", (*SIZE, 3), np.float32),
        ("edge", SIZE, np.uint8),
    ):
        array = np.load(written / f"NYUD_MT/{folder}/{ids[0]}.npy")
        assert (array.shape, array.dtype) == (shape, dtype)

    for path, shape in (("image", (*SIZE, 3)), ("label", SIZE), ("depth", (*SIZE, 1)), ("normal", (*SIZE, 3))):
        array = np.load(written / f"nyuv2/val/{path}/0.npy")
        assert (array.shape, array.dtype) == (shape, np.float32)
    inverse = np.load(written / "cityscapes2/train/depth/0.npy")
    assert inverse.shape == (*SIZE, 1)
    assert 0.1 < inverse.max() <= 32257 / 65535

    point = "point_0_view_0_domain_"
    depth = np.asarray(Image.open(written / f"taskonomy/depth_zbuffer/allensville/{point}depth_zbuffer.png"))
    assert depth.dtype == np.uint16
    holes = depth == 65535
    assert holes.any()
    assert 0.3 * 512 < depth[~holes].min() < depth[~holes].max() < 9 * 512
    labels = np.asarray(Image.open(written / f"taskonomy/segment_semantic/allensville/{point}segmentsemantic.png"))
    assert labels.dtype == np.uint8
    assert labels.max() < 18
    assert len(list((written / "taskonomy/rgb").iterdir())) == 6 + 2


def test_the_depth_frames_are_views_of_the_same_rooms(written):
    h5py = pytest.importorskip("h5py")
    files = sorted((written / "nyudepthv2/train").glob("*/*.h5"))
    assert [f.parent.name for f in files] == ["room_000000"] * 4 + ["room_000001"] * 2
    with h5py.File(files[0]) as stream:
        assert {k: (v.shape, v.dtype) for k, v in stream.items()} == {
            "rgb": ((3, *SIZE), np.uint8),
            "depth": (SIZE, np.float32),
        }


def test_a_change_of_one_value_is_found(tmp_path):
    """The comparison itself: it must see a hole, another class and another unit."""
    root = synthesize("nyuv2", tmp_path, {"train": 1, "val": 1}, (32, 64))
    id_ = (root / "gt_sets/train.txt").read_text().strip()
    depth = np.load(root / f"depth/{id_}.npy")
    place = tuple(int(i) for i in np.argwhere(depth > 0)[0])
    depth[place] = 0
    np.save(root / f"depth/{id_}.npy", depth * 2)
    labels = np.asarray(Image.open(root / f"segmentation/{id_}.png")).copy()
    labels[3, 4] = labels[3, 4] % 40 + 1
    Image.fromarray(labels).save(root / f"segmentation/{id_}.png")
    rows = {row.target: row for row in roundtrip("nyuv2", tmp_path)}
    assert rows["depth"].misplaced == 1
    assert rows["depth"].worst == pytest.approx(depth.max(), rel=1e-6)
    assert rows["semseg"].worst == 1
    assert rows["semseg"].total == 1


def test_only_synthetic_copies_are_compared(tmp_path):
    with pytest.raises(DataError, match="no synthetic copy of nyuv2"):
        roundtrip("nyuv2", tmp_path)
    (tmp_path / "NYUD_MT").mkdir()
    with pytest.raises(DataError, match=r"no synthetic copy of nyuv2\. .*synthesize --layout nyuv2"):
        roundtrip("nyuv2", tmp_path)


def test_the_table_is_markdown():
    row = Deviation("nyuv2", "depth", "m")
    row.add(torch.tensor([0.5, 0.25, 9.0]), torch.tensor([True, True, False]), torch.tensor([False, False, True]))
    assert table([row]).splitlines()[2] == "| nyuv2 | depth | 1 | 0.5 | 0.375 | m | 1 |"
    assert math.isnan(Deviation("nyuv2", "depth", "m").mean)


def test_motions_are_told_in_metres_and_degrees(tmp_path):
    synthesize("nyuv2_video", tmp_path, COUNTS, SIZE)
    rows = {row.target: row for row in roundtrip("nyuv2_video", tmp_path)}
    print(table(list(rows.values())))
    assert {"frames", "frame_depth", "motion, translation", "motion, rotation"} <= set(rows)
    assert (rows["motion, translation"].unit, rows["motion, rotation"].unit) == ("m", "degrees")
    assert rows["motion, translation"].pixels == rows["motion, rotation"].samples == rows["depth"].samples
    assert 0 < rows["motion, translation"].worst < 0.1
    assert rows["motion, rotation"].worst < 0.1


def test_a_known_motion_error_is_measured():
    turned = torch.eye(4)[None]
    turned[0, :2, :2] = torch.tensor([[math.cos(0.01), -math.sin(0.01)], [math.sin(0.01), math.cos(0.01)]])
    turned[0, :3, 3] = torch.tensor([3.0, 0, 4])
    (_, _, shift), (_, _, turn) = _COMPARE["motion"]
    assert float(shift(torch.eye(4)[None], turned)[0]) == pytest.approx(5)
    assert float(turn(torch.eye(4)[None], turned)[0]) == pytest.approx(math.degrees(0.01), rel=1e-3)


def test_layouts_and_bounds_belong_together():
    assert set(BOUNDS) <= set(WRITERS)
