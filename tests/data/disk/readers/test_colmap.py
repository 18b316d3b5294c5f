"""COLMAP's text format: what is read, and which line is wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mtlrepro.data.disk.readers import colmap
from mtlrepro.errors import DataError

CAMERAS = """\
# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
# Number of cameras: 2
7 PINHOLE 640 480 518.857901 519.469611 325.0824 253.2362
2 PINHOLE 64 48 50 51 32 24
"""

IMAGES = """\
# Image list with two lines of data per image:
#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME
#   POINTS2D[] as (X, Y, POINT3D_ID)
# Number of images: 3, mean observations per image: 1
5 0.5 0.5 0.5 0.5 1 2 3 7 00001.jpg
10.5 20.25 9 30 40 -1 639.5 0 4

4 2 0 0 0 0 0 -1 2 a name with blanks.jpg

9 0.7071067811865476 0 0 0.7071067811865476 0 0 0 7 00002.jpg
1 1 -1
"""

POINTS = """\
# Number of points: 3, mean track length: 1
9 1 2 3 10 20 30 0.5 5 0
4 0.5 -0.5 2e1 0 0 0 -1 5 2 9 0
123456789012 0 0 0 0 0 0 0
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in zip(colmap.FILES, (CAMERAS, IMAGES, POINTS), strict=True):
        (tmp_path / name).write_text(text)
    return tmp_path


def edited(folder, name, old, new):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    return folder


def refused(folder, name, line=None):
    with pytest.raises(DataError) as caught:
        colmap.read(folder)
    error = caught.value
    assert error.file == folder / name
    assert error.field == (None if line is None else f"line {line}")
    assert error.mend
    assert "\n" not in str(error)
    return error.problem


def test_a_complete_reconstruction(folder):
    model = colmap.read(folder)
    assert list(model.pictures) == ["00001.jpg", "a name with blanks.jpg", "00002.jpg"]
    assert model.ids.tolist() == [4, 9, 123456789012]
    assert model.places.tolist() == [[0.5, -0.5, 20], [1, 2, 3], [0, 0, 0]]
    first = model.pictures["00001.jpg"]
    assert first.camera == 7
    # A third of a turn about (1, 1, 1) sends x to y, y to z, z to x.
    assert first.pose.tolist() == [[0, 0, 1, 1], [1, 0, 0, 2], [0, 1, 0, 3], [0, 0, 0, 1]]
    assert first.points.tolist() == [9, 4]
    assert first.pixels.tolist() == [[10.5, 20.25], [639.5, 0]]
    assert model.depths("00001.jpg").tolist() == [2 + 3, -0.5 + 3]
    second = model.pictures["a name with blanks.jpg"]
    assert (len(second.points), second.pixels.shape) == (0, (0, 2))
    assert second.pose[:3].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -1]]
    assert len(model.pictures["00002.jpg"].points) == 0
    camera = model.cameras[7]
    assert (camera.width, camera.height) == (640, 480)
    assert camera.matrix.tolist() == [[518.857901, 0, 325.0824], [0, 519.469611, 253.2362], [0, 0, 1]]


def test_blank_lines_between_entries_and_windows_line_ends(folder):
    expected = colmap.read(folder)
    for name in colmap.FILES:
        text = (folder / name).read_text()
        (folder / name).write_bytes((text.replace("1 1 -1\n", "1 1 -1\n\n\n").replace("\n", "\r\n") + "\r\n").encode())
    model = colmap.read(folder)
    assert list(model.pictures) == list(expected.pictures)
    assert np.array_equal(model.places, expected.places)


@given(st.tuples(*[st.floats(-2, 2)] * 4).filter(lambda q: np.linalg.norm(q) > 1e-3))
def test_rotation_is_scipys(quaternion):
    w, x, y, z = quaternion
    assert np.allclose(colmap.rotation(np.array(quaternion)), Rotation.from_quat([x, y, z, w]).as_matrix(), atol=1e-12)


@pytest.mark.parametrize("name", colmap.FILES)
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    assert refused(folder, name) == "no such file"


def test_another_camera_model(folder):
    edited(folder, "cameras.txt", "2 PINHOLE 64 48 50 51 32 24", "2 SIMPLE_RADIAL 64 48 50 32 24 0.1")
    assert "SIMPLE_RADIAL, expected PINHOLE" in refused(folder, "cameras.txt", 5)


@pytest.mark.parametrize(
    ("name", "old", "new", "line", "problem"),
    [
        ("cameras.txt", "51 32 24", "51 32", 5, "expected CAMERA_ID PINHOLE"),
        ("cameras.txt", "64 48 50", "64 48 -50", 5, "must be positive"),
        ("cameras.txt", "64 48 50", "64 4.8 50", 5, "4.8"),
        ("images.txt", "1 2 3 7 00001.jpg", "1 2 3 7", 5, "expected IMAGE_ID"),
        ("images.txt", "1 2 3 7", "1 two 3 7", 5, "two"),
        ("images.txt", "1 2 3 7", "1 nan 3 7", 5, "not finite"),
        ("images.txt", "4 2 0 0 0", "4 0 0 0 0", 8, "quaternion is zero"),
        ("images.txt", "00002.jpg", "00001.jpg", 10, "'00001.jpg' is listed twice"),
        ("images.txt", "639.5 0 4", "639.5 0", 6, "8 numbers, expected triples"),
        ("images.txt", "blanks.jpg\n\n", "blanks.jpg\n", 9, "00002.jpg"),
        ("images.txt", "1 1 -1\n", "", 10, "no line of points follows image '00002.jpg'"),
        ("images.txt", "2 3 7", "2 3 8", None, "has camera 8, which"),
        ("images.txt", "20.25 9", "20.25 8", None, "shows point 8, which"),
        ("images.txt", "Number of images: 3", "Number of images: 4", None, "promises 4 images, but holds 3"),
        ("points3D.txt", "9 1 2 3 10 20 30 0.5 5 0", "9 1 2", 2, "expected POINT3D_ID X Y Z"),
        ("points3D.txt", "Number of points: 3", "Number of points: 30", None, "promises 30 points, but holds 3"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(folder, name, old, new, line, problem):
    assert problem in refused(edited(folder, name, old, new), name, line)


@pytest.mark.parametrize("name", colmap.FILES)
def test_a_file_cut_before_its_last_line_is_refused(folder, name):
    content = (folder / name).read_bytes()
    for length in range(content.rindex(b"\n", 0, -1)):
        (folder / name).write_bytes(content[:length])
        with pytest.raises(DataError) as caught:
            colmap.read(folder)
        assert caught.value.mend


def test_bytes_that_are_no_text(folder):
    (folder / "images.txt").write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refused(folder, "images.txt")
