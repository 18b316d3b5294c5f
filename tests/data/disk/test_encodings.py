"""Files to tensors: encodings, and one clear error for every damaged or wrong file."""

import io
import pickle
import struct
import zlib

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mtlrepro.data.disk.description import Description, Labels
from mtlrepro.data.disk.encodings import boundaries, read_image, read_label
from mtlrepro.errors import DataError

H, W = 6, 8
RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (H, W, 3), dtype=np.uint8)
IDS = RANDOM.integers(0, 3, (H, W), dtype=np.uint8)


def about(tmp_path, **labels):
    return Description(tmp_path / "toy.toml", "toy", ".", "{id}.png", {}, {}, labels, ("sky", "road", "car"))


def read(file, task, **storage):
    labels = Labels(path="{id}", **({"ignore": (255,)} | storage if task == "semseg" else storage))
    return read_label(task, file, labels, about(file.parent))


def saved(tmp_path, array, name="0.png", **options):
    file = tmp_path / name
    if name.endswith(".npy"):
        np.save(file, array)
    else:
        (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(file, **options)
    return file


def refused(file, task, **storage):
    with pytest.raises(DataError) as caught:
        read(file, task, **storage) if task != "image" else read_image(file)
    assert str(file) in str(caught.value)
    assert caught.value.mend
    assert "\n" not in str(caught.value)
    return caught.value


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


def png16(array):
    """The bytes of a PNG of 16 bits a channel, (H, W) or (H, W, channels), which Pillow cannot write."""
    h, w, n = (*array.shape, 1)[:3]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", w, h, 16, {1: 0, 2: 4, 3: 2, 4: 6}[n], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    sealed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(sealed)


def saved16(tmp_path, array):
    file = tmp_path / "0.png"
    file.write_bytes(png16(np.asarray(array)))
    return file


MAP = ((7, 0), (8, 2), (300, 1), (65535, 2))


@pytest.mark.parametrize("name", ["0.png", "0.npy"])
def test_ids_by_a_map_and_no_label_elsewhere(tmp_path, name):
    stored = np.array([[7, 8, 0], [255, 254, 7]], np.uint8)
    out = read(saved(tmp_path, stored, name), "semseg", ignore=(), map=MAP)
    assert out.dtype == torch.uint8
    assert out.tolist() == [[0, 2, 255], [255, 255, 0]]


def test_sixteen_bit_ids_by_a_map(tmp_path):
    stored = np.array([[7, 300, 299], [65535, 44, 0]], np.uint16)
    want = [[0, 1, 255], [2, 255, 255]]
    assert read(saved(tmp_path, stored), "semseg", ignore=(), map=MAP).tolist() == want
    assert read(saved(tmp_path, stored, "0.npy"), "semseg", ignore=(), map=MAP).tolist() == want


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_npy_ids_far_out_of_a_map(tmp_path, dtype):
    stored = np.array([[-1, 65536, 7, -(2**40), 2**40]], dtype)
    assert read(saved(tmp_path, stored, "0.npy"), "semseg", ignore=(), map=MAP).tolist() == [[255, 255, 0, 255, 255]]
    if dtype == np.float64:
        stored[0, 0] = 7.5
        assert "7.5 (1 such pixels)" in refused(saved(tmp_path, stored, "0.npy"), "semseg", ignore=(), map=MAP).problem


@given(st.dictionaries(st.integers(0, 65535), st.integers(0, 254), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_a_map_is_what_its_pairs_say(tmp_path_factory, pairs, seed):
    random = np.random.default_rng(seed)
    stored = np.where(
        random.random((5, 6)) < 0.5, random.choice(list(pairs), (5, 6)), random.integers(0, 65536, (5, 6))
    )
    file = saved(tmp_path_factory.getbasetemp(), stored.astype(np.uint16), "map.png")
    out = read(file, "semseg", ignore=(), map=tuple(sorted(pairs.items())))
    assert out.tolist() == [[pairs.get(v, 255) for v in row] for row in stored.tolist()]


@pytest.mark.parametrize(("name", "dtype"), [("0.png", np.uint8), ("0.png", np.uint16), ("0.npy", np.int64)])
def test_ids_that_neither_map_nor_ignore_names(tmp_path, name, dtype):
    ignore = (-1, 0, 255)
    stored = np.array([[7, 8, 0], [255, 0, 7]], dtype)
    want = [[0, 2, 255], [255, 255, 0]]
    assert read(saved(tmp_path, stored, name), "semseg", ignore=ignore, map=MAP).tolist() == want
    for wrong in (77, *((-2, 2**40) if dtype == np.int64 else ())):
        stored[0, :2] = wrong
        error = refused(saved(tmp_path, stored, name), "semseg", ignore=ignore, map=MAP)
        assert error.problem == f"label id {wrong} (2 pixels), but neither map nor ignore names it"
        assert f"if {wrong} means no label, add it to ignore" in error.mend
    if dtype == np.int64:
        stored[0, :2] = -1
        assert read(saved(tmp_path, stored, name), "semseg", ignore=ignore, map=MAP).tolist()[0] == [255, 255, 255]
        assert "label id -1" in refused(saved(tmp_path, stored, name), "semseg", ignore=(0, 255), map=MAP).problem


def test_ids_in_one_channel_of_sixteen_bits(tmp_path):
    stored = RANDOM.integers(0, 65536, (H, W, 3)).astype(np.uint16)
    stored[..., 1] = RANDOM.choice([7, 8, 300, 9], (H, W))
    out = read(saved16(tmp_path, stored), "semseg", ignore=(), map=MAP, channel=1)
    assert out.tolist() == [[dict(MAP).get(v, 255) for v in row] for row in stored[..., 1].tolist()]
    ids = np.zeros((H, W, 3), np.uint16)
    ids[0, 0], ids[0, 1] = 2, 255
    assert read(saved16(tmp_path, ids), "semseg", channel=0)[0, :3].tolist() == [2, 255, 0]
    ids[0, 2] = 300
    assert "label id 300 (1 pixels)" in refused(saved16(tmp_path, ids), "semseg", channel=0).problem


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_depth_in_one_channel_of_sixteen_bits(tmp_path, channels):
    stored = RANDOM.integers(0, 65536, (H, W, channels)).astype(np.uint16)
    out = read(saved16(tmp_path, stored[..., 0] if channels == 1 else stored), "depth", unit=0.01, channel=0)
    assert np.allclose(out.numpy(), stored[..., 0] / 100, rtol=1e-6, atol=0)


def test_a_channel_of_eight_bits(tmp_path):
    assert np.array_equal(read(saved(tmp_path, RGB), "depth", unit=1.0, channel=2).numpy(), RGB[..., 2])
    assert np.array_equal(read(saved(tmp_path, IDS), "depth", unit=1.0, channel=0).numpy(), IDS)


@pytest.mark.parametrize("task", ["semseg", "depth"])
def test_channels_that_are_not_there(tmp_path, task):
    error = refused(saved(tmp_path, RGB), task, channel=3)
    assert error.field == task
    assert error.problem == "PNG has 3 channels, and channel is 3 (the first is 0)"
    palette = refused(saved(tmp_path, Image.fromarray(IDS).convert("P")), task, channel=0)
    assert "PNG mode is P" in palette.problem
    error = refused(saved16(tmp_path, np.zeros((H, W, 2))), task, channel=0)
    assert "stored as LA;16B" in error.problem


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3), st.floats(0, 1))
@pytest.mark.filterwarnings("ignore")
def test_damage_of_sixteen_bit_files(tmp_path_factory, changes, kept):
    data = bytearray(png16(RANDOM.integers(0, 65536, (H, W, 3)).astype(np.uint16)))
    for place, value in changes:
        data[int(place * len(data))] = value
    file = tmp_path_factory.getbasetemp() / "damaged16.png"
    file.write_bytes(data[: round(kept * len(data))])
    try:
        depth = read(file, "depth", channel=0)
    except DataError as error:
        assert str(file) in str(error)  # noqa: PT017 - both outcomes are fine, other exceptions are not
    else:
        assert depth.ndim == 2


@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.8])
def test_truncated_sixteen_bit_files(tmp_path, kept):
    file = saved16(tmp_path, RANDOM.integers(0, 65536, (64, 64, 3)).astype(np.uint16))
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    error = refused(file, "depth", channel=0)
    assert "cannot be read" in error.problem
    assert "truncated or damaged" in error.mend
    assert "no such file" in refused(tmp_path / "none.png", "depth", channel=0).problem


# colours


COLOURS = ((210, 0, 200), (90, 200, 255), (0, 0, 0))


def test_colours_are_ids_and_other_colours_no_label(tmp_path):
    stored = np.array([[(210, 0, 200), (90, 200, 255), (0, 0, 0), (210, 0, 201), (200, 0, 210)]], np.uint8)
    out = read(saved(tmp_path, stored), "semseg", ignore=(), colours=COLOURS)
    assert out.dtype == torch.uint8
    assert out.tolist() == [[0, 1, 2, 255, 255]]


@pytest.mark.parametrize("mode", ["RGBA", "P", "L"])
def test_colours_need_rgb(tmp_path, mode):
    error = refused(saved(tmp_path, Image.fromarray(RGB).convert(mode)), "semseg", ignore=(), colours=COLOURS)
    assert error.problem == f"PNG mode is {mode}, expected RGB"


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
