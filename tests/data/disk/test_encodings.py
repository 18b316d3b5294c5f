"""Files to tensors: encodings, and one clear error for every damaged or wrong file."""

import io
import pickle

import h5py
import numpy as np
import pytest
import torch
from encoding_files import IDS, RANDOM, RGB, H, W, read, refused, saved
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mtlrepro.data.disk.encodings import boundaries, read_image
from mtlrepro.errors import DataError

# images


@pytest.mark.parametrize(("array", "mode"), [(RGB, "RGB"), (IDS, "L")])
def test_images_are_rgb_channels_first(tmp_path, array, mode):
    image = read_image(saved(tmp_path, array))
    expected = array if mode == "RGB" else np.repeat(array[..., None], 3, -1)
    assert image.dtype == torch.uint8
    assert image.is_contiguous()
    assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("mode", ["RGBA", "P", "I;16", "1"])
def test_other_image_modes_are_refused(tmp_path, mode):
    image = Image.fromarray(IDS.astype(np.uint16)) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    error = refused(saved(tmp_path, image), "image")
    assert f"image mode is {mode}, expected RGB or L" in error.problem


@pytest.mark.parametrize("name", ["0.png", "0.jpg"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_truncated_images(tmp_path, name, kept):
    file = saved(tmp_path, RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8), name)
    data = file.read_bytes()
    file.write_bytes(data[: int(kept * len(data))])
    error = refused(file, "image")
    assert "cannot be read" in error.problem
    assert "truncated or damaged" in error.mend


def test_a_missing_file_and_a_text_file(tmp_path):
    assert "no such file" in refused(tmp_path / "0.png", "image").problem
    (tmp_path / "0.png").write_text("not a picture")
    assert "cannot be read" in refused(tmp_path / "0.png", "image").problem


def _valid_files():
    buffers = {}
    for name, form in (("0.png", "PNG"), ("0.jpg", "JPEG")):
        buffers[name] = io.BytesIO()
        Image.fromarray(RGB).save(buffers[name], form)
    buffers["0.npy"] = io.BytesIO()
    np.save(buffers["0.npy"], np.ones((H, W), np.float32))
    return {name: buffer.getvalue() for name, buffer in buffers.items()}


VALID = _valid_files()


@given(
    st.sampled_from(sorted(VALID)),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    st.floats(0, 1),
)
@pytest.mark.filterwarnings("ignore")
def test_damage_is_a_data_error_or_harmless(tmp_path_factory, name, changes, kept):
    data = bytearray(VALID[name])
    for place, value in changes:
        data[int(place * len(data))] = value
    file = tmp_path_factory.getbasetemp() / name
    file.write_bytes(data[: round(kept * len(data))])
    try:
        tensor = read(file, "depth") if name.endswith(".npy") else read_image(file)
    except DataError as error:
        assert str(file) in str(error)  # noqa: PT017 - both outcomes are fine, other exceptions are not
    else:
        assert tensor.ndim in (2, 3)


# semantic labels


def test_ids_with_ignore_and_offset(tmp_path):
    stored = np.array([[0, 1, 2], [3, 9, 255]], np.uint8)
    out = read(saved(tmp_path, stored), "semseg", ignore=(0, 9, 255), offset=-1)
    assert out.dtype == torch.uint8
    assert out.tolist() == [[255, 0, 1], [2, 255, 255]]


def test_palette_indices_are_the_ids(tmp_path):
    image = Image.fromarray(IDS)
    image.putpalette([7, 7, 7] * 256)
    assert image.mode == "P"
    assert np.array_equal(read(saved(tmp_path, image), "semseg").numpy(), IDS)


@pytest.mark.parametrize(("offset", "value", "span"), [(0, 3, "0..2"), (-1, 0, "1..3"), (-1, 4, "1..3")])
def test_an_id_out_of_range_names_value_and_mend(tmp_path, offset, value, span):
    stored = np.full((4, 4), -offset + 1, np.uint8)
    stored[1, :2] = value
    error = refused(saved(tmp_path, stored), "semseg", offset=offset)
    assert error.field == "semseg"
    assert error.problem == f"label id {value} (2 pixels), but the 3 classes are stored as {span}"
    assert f"If {value} means no label, add it to ignore = [...] of [tasks.semseg]" in error.mend
    assert "toy.toml" in error.mend


@pytest.mark.parametrize(("task", "array"), [("semseg", RGB), ("depth", RGB), ("edges", RGB)])
def test_colours_where_one_channel_is_needed(tmp_path, task, array):
    error = refused(saved(tmp_path, array), task)
    assert error.field == task
    assert "PNG mode is RGB" in error.problem
    assert "one 8-" in error.mend


def test_sixteen_bit_ids_are_refused(tmp_path):
    assert "mode is I" in refused(saved(tmp_path, IDS.astype(np.uint16)), "semseg").problem


# parts and saliency


@pytest.mark.parametrize("name", ["0.png", "0.npy"])
def test_parts(tmp_path, name):
    stored = np.array([[0, 1, 6], [255, 0, 3]], np.uint8)
    out = read(saved(tmp_path, stored, name), "parts")
    assert out.dtype == torch.uint8
    assert np.array_equal(out.numpy(), stored)
    assert (read(saved(tmp_path, np.array([[0, 0, 255]], np.uint8), name), "parts") == 255).all()


def test_parts_out_of_range(tmp_path):
    for name, array in (("0.png", np.array([[0, 7, 7]], np.uint8)), ("0.npy", np.array([[0, 7, 7]], np.int64))):
        error = refused(saved(tmp_path, array, name), "parts")
        assert error.field == "parts"
        assert error.problem == "label id 7 (2 pixels), but parts are stored as 0..6, and 255 is no label"
    assert "label id -1" in refused(saved(tmp_path, np.array([[-1.0, 0]]), "0.npy"), "parts").problem
    assert "PNG mode is RGB" in refused(saved(tmp_path, RGB), "parts").problem


@pytest.mark.parametrize(
    ("threshold", "want"), [(0.5, [0, 0, 0, 1, 1]), (0.0, [0, 1, 1, 1, 1]), (0.9, [0, 0, 0, 0, 1])]
)
def test_saliency_above_its_threshold(tmp_path, threshold, want):
    stored = np.array([[0, 1, 127, 128, 255]], np.uint8)
    out = read(saved(tmp_path, stored), "saliency", threshold=threshold)
    assert out.dtype == torch.uint8
    assert out.tolist() == [want]
    assert read(saved(tmp_path, stored / 255, "0.npy"), "saliency", threshold=threshold).tolist() == [want]


@pytest.mark.parametrize("name", ["0.png", "0.npy"])
def test_saliency_of_one_bit(tmp_path, name):
    assert np.array_equal(read(saved(tmp_path, IDS == 1, name), "saliency").numpy(), IDS == 1)


@pytest.mark.parametrize("value", [-0.1, 255.0, np.nan])
def test_saliency_out_of_range(tmp_path, value):
    error = refused(saved(tmp_path, np.array([[0.0, 1.0, value]]), "0.npy"), "saliency")
    assert error.field == "saliency"
    assert "expected [0, 1]" in error.problem
    assert "PNG mode is RGB" in refused(saved(tmp_path, RGB), "saliency").problem


# depth


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f4", np.float64, np.uint16, np.int32])
@pytest.mark.parametrize("axes", [2, 3])
def test_depth_npy_in_metres(tmp_path, dtype, axes):
    stored = np.arange(H * W).reshape(H, W).astype(dtype)
    out = read(saved(tmp_path, stored if axes == 2 else stored[..., None], "0.npy"), "depth", unit=0.5)
    assert out.dtype == torch.float32
    assert np.array_equal(out.numpy(), 0.5 * stored.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_depth_png_in_its_unit(tmp_path, dtype):
    stored = (np.arange(H * W).reshape(H, W) * (1 if dtype == np.uint8 else 900)).astype(dtype)
    out = read(saved(tmp_path, stored), "depth", unit=0.001)
    assert np.allclose(out.numpy(), stored / 1000, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("value", "problem"),
    [(np.nan, "1 pixels are NaN"), (np.inf, "NaN or infinite"), (-0.5, "negative depth, down to -0.5 m")],
)
def test_impossible_depths(tmp_path, value, problem):
    stored = np.ones((H, W), np.float32)
    stored[2, 3] = value
    error = refused(saved(tmp_path, stored, "0.npy"), "depth")
    assert error.field == "depth"
    assert problem in error.problem
    assert "Store 0" in error.mend


@pytest.mark.parametrize(
    ("task", "array"),
    [
        ("depth", np.ones((H, W), complex)),
        ("depth", np.full((H, W), "far")),
        ("depth", np.ones((H, W, 2))),
        ("depth", np.ones(H)),
        ("normals", np.ones((H, W))),
        ("normals", np.ones((3, H, W))),
        ("edges", np.ones((1, H, W, 1))),
    ],
)
def test_wrong_dtypes_and_shapes(tmp_path, task, array):
    error = refused(saved(tmp_path, array, "0.npy"), task)
    assert error.field == task
    assert f"array of shape {array.shape} and dtype {array.dtype}, expected (H, W" in error.problem


@pytest.mark.parametrize("name", ["0.npy", "0.h5"])
@pytest.mark.parametrize("dtype", [np.uint16, np.int64, bool])
def test_whole_numbers_of_no_unit_are_no_metres(tmp_path, name, dtype):
    stored = (IDS * np.uint16(900)).astype(dtype)
    file = tmp_path / name
    if name == "0.npy":
        np.save(file, stored)
    else:
        with h5py.File(file, "w") as stream:
            stream["depth"] = stored
    error = refused(file, "depth")
    assert error.field == "depth"
    assert f"whole numbers ({stored.dtype})" in error.problem
    assert f"Add unit = 0.001 to [tasks.depth] of {tmp_path / 'toy.toml'} if they are millimetres" in error.mend
    assert np.array_equal(read(file, "depth", unit=1.0).numpy(), stored.astype(np.float32))


# what is in a file must be what its name says, and in the file itself


@pytest.mark.parametrize(("form", "name"), [("JPEG", "0.png"), ("PNG", "0.jpg"), ("EPS", "0.png"), ("BMP", "0.jpeg")])
def test_another_format_under_this_name(tmp_path, form, name):
    file = tmp_path / name
    Image.fromarray(RGB).save(file, form)
    error = refused(file, "image")
    expected = "PNG" if name == "0.png" else "JPEG"
    assert error.problem == f"cannot be read (not a {expected} file)"
    assert "of another format than its name says" in error.mend


def test_a_jpeg_is_no_label_map(tmp_path):
    Image.fromarray(np.zeros((H, W), np.uint8)).save(tmp_path / "0.png", "JPEG")
    assert "not a PNG file" in refused(tmp_path / "0.png", "semseg").problem


def _external(stream, other):
    stream["depth"] = h5py.ExternalLink(other, "depth")


def _soft(stream, other):
    stream["far"] = np.ones((H, W), np.float32)
    stream["depth"] = h5py.SoftLink("/far")


def _elsewhere(stream, other):
    stream.create_dataset("depth", (H, W), np.float32, external=[(other, 0, h5py.h5f.UNLIMITED)])


def _virtual(stream, other):
    layout = h5py.VirtualLayout((H, W), np.float32)
    layout[:] = h5py.VirtualSource(other, "depth", (H, W))
    stream.create_virtual_dataset("depth", layout)


def _group(stream, other):
    stream.create_group("depth")


def _text(stream, other):
    stream["depth"] = "far"


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (_external, "is a link, not an array of this file"),
        (_soft, "is a link, not an array of this file"),
        (_elsewhere, "its values lie in another file"),
        (_virtual, "its values lie in another file"),
        (_group, "no such array; the file holds depth"),
        (_text, "array of shape () and dtype object, expected (H, W) numbers"),
    ],
)
def test_hdf5_values_come_from_the_file_itself(tmp_path, write, problem):
    other = tmp_path / "secret.h5"
    with h5py.File(other, "w") as stream:
        stream["depth"] = np.ones((H, W), np.float32)
    with h5py.File(tmp_path / "0.h5", "w") as stream:
        write(stream, str(other))
    error = refused(tmp_path / "0.h5", "depth")
    assert error.field == "depth"
    assert error.problem == problem


def test_hdf5_arrays_of_other_axes_are_not_read(tmp_path):
    with h5py.File(tmp_path / "0.h5", "w") as stream:  # 4 TB, none of them written
        stream.create_dataset("depth", (1 << 20, 1 << 20, 1, 1), np.float32, chunks=(16, 16, 1, 1))
    assert "expected (H, W) numbers" in refused(tmp_path / "0.h5", "depth").problem


@pytest.mark.parametrize("name", ["0.png", "0.npy", "0.h5"])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, name):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    file = tmp_path / name
    file.touch()
    monkeypatch.setattr(Image, "open", refuse)  # whoever runs the tests may be allowed everything
    monkeypatch.setattr(type(file), "open", refuse)
    monkeypatch.setattr(h5py, "File", refuse)
    error = refused(file, "depth", unit=1.0)
    assert error.problem == "cannot be read (Permission denied)"
    assert "chmod u+r" in error.mend


class Trap:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


@pytest.mark.parametrize("task", ["depth", "normals", "edges"])
def test_pickles_are_refused_and_never_run(tmp_path, task):
    objects = np.empty((1,), object)
    objects[0] = Trap(tmp_path / "sprung")
    error = refused(saved(tmp_path, objects, "0.npy"), task)
    assert "pickled objects, which are never loaded" in error.problem
    (tmp_path / "1.npy").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    assert "not an npy file" in refused(tmp_path / "1.npy", task).problem
    assert not (tmp_path / "sprung").exists()


def test_truncated_npy(tmp_path):
    file = saved(tmp_path, np.ones((H, W)), "0.npy")
    file.write_bytes(file.read_bytes()[:-8])
    assert "truncated or damaged" in refused(file, "depth").mend


def test_an_npy_header_without_its_closing_brace(tmp_path):
    file = saved(tmp_path, np.ones((H, W)), "0.npy")
    file.write_bytes(file.read_bytes().replace(b"}", b" ", 1))
    assert "truncated or damaged" in refused(file, "depth").mend


# normals


def unit_vectors():
    vectors = RANDOM.normal(size=(H, W, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    vectors[0, :2] = 0
    return vectors


def test_normals_npy(tmp_path):
    stored = unit_vectors()
    out = read(saved(tmp_path, stored * 1.03, "0.npy"), "normals")
    assert out.shape == (3, H, W)
    assert out.dtype == torch.float32
    assert torch.allclose(out.permute(1, 2, 0).double(), torch.from_numpy(stored), atol=1e-6)
    assert out[:, 0, :2].abs().max() == 0


def test_normals_png(tmp_path):
    stored = unit_vectors()
    coded = np.round((stored + 1) / 2 * 255).astype(np.uint8)
    coded[0, 0] = 0
    assert coded[0, 1].tolist() in ([127] * 3, [128] * 3)
    out = read(saved(tmp_path, coded), "normals")
    assert torch.allclose(out.permute(1, 2, 0).double(), torch.from_numpy(stored), atol=0.01)
    assert torch.allclose(out.norm(dim=0)[1:], torch.ones(H - 1, W), atol=1e-6)
    assert out[:, 0, :2].abs().max() == 0


@pytest.mark.parametrize("factor", [0.5, 2.0, 100.0])
def test_vectors_that_are_not_unit(tmp_path, factor):
    error = refused(saved(tmp_path, unit_vectors() * factor, "0.npy"), "normals")
    assert error.field == "normals"
    assert "46 normals are not unit vectors" in error.problem
    assert "Store unit vectors" in error.mend


def test_a_few_short_vectors_are_stretched(tmp_path):
    stored = np.zeros((20, 20, 3))
    stored[..., 2] = -1
    stored[3, 4, 2] = -0.5
    assert read(saved(tmp_path, stored, "0.npy"), "normals")[:, 3, 4].tolist() == [0, 0, -1]


def test_nan_normals_and_grey_normals(tmp_path):
    stored = unit_vectors()
    stored[1, 1, 0] = np.nan
    assert "NaN or infinite" in refused(saved(tmp_path, stored, "0.npy"), "normals").problem
    assert "mode is L, expected RGB" in refused(saved(tmp_path, IDS), "normals").problem


# edges and boundaries


@pytest.mark.parametrize(
    ("name", "dtype", "top"),
    [
        ("0.npy", np.uint8, 1),
        ("0.npy", bool, 1),
        ("0.npy", np.float32, 1),
        ("0.png", np.uint8, 1),
        ("0.png", np.uint8, 255),
    ],
)
def test_edges(tmp_path, name, dtype, top):
    stored = ((IDS == 1) * top).astype(dtype)
    out = read(saved(tmp_path, stored, name), "edges")
    assert out.dtype == torch.uint8
    assert np.array_equal(out.numpy(), IDS == 1)


def test_one_bit_edges(tmp_path):
    assert np.array_equal(read(saved(tmp_path, IDS == 1), "edges").numpy(), IDS == 1)


@pytest.mark.parametrize(
    ("name", "values", "wrong"), [("0.npy", [0, 0.5, 1], 0.5), ("0.npy", [0, 255], 255), ("0.png", [0, 1, 255], 1)]
)
def test_other_edge_values(tmp_path, name, values, wrong):
    array = np.array([values], np.float32 if name == "0.npy" else np.uint8)
    error = refused(saved(tmp_path, array, name), "edges")
    assert error.field == "edges"
    assert f"value {wrong}" in error.problem


def brute_force_boundaries(labels):
    h, w = labels.shape
    out = np.zeros((h, w), np.uint8)
    for y in range(h):
        for x in range(w):
            near = [labels[b, a] for b, a in ((y, x + 1), (y + 1, x)) if b < h and a < w]
            here = labels[y, x]
            if here != 255 and any(n not in (here, 255) for n in near):
                out[y, x] = 1
            elif here == 255 or 255 in near:
                out[y, x] = 255
    return out


@given(st.integers(1, 7), st.integers(1, 7), st.data())
def test_boundaries_against_a_brute_force(h, w, data):
    ids = data.draw(st.lists(st.sampled_from([0, 1, 2, 255]), min_size=h * w, max_size=h * w))
    labels = np.array(ids, np.uint8).reshape(h, w)
    out = boundaries(torch.from_numpy(labels))
    assert out.dtype == torch.uint8
    assert np.array_equal(out.numpy(), brute_force_boundaries(labels))
