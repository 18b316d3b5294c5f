"""One file to one tensor, reader by reader, and the arrays below them."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from offline_maps import save, save_bsds
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

from mtlrepro.data.disk.arrays import read_mat, read_npy, read_pixels
from mtlrepro.errors import DataError
from mtlrepro.metrics.boundary.truth import READINGS
from mtlrepro.offline import readers
from mtlrepro.offline.readers import Stored

PLAIN = Stored()
kept = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
sides = hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=9)
suffixes = st.sampled_from([".png", ".npy", ".mat"])


@kept
@given(array=hnp.arrays(np.uint8, sides), suffix=suffixes)
def test_class_ids_round_trip(array: np.ndarray, suffix: str, tmp_path: Path) -> None:
    ids = readers.read_classes(save(tmp_path / f"f{suffix}", array), Stored(ignore=(255,)))
    assert ids.dtype == torch.int64
    assert ids.tolist() == [array.tolist()]


@kept
@given(
    array=hnp.arrays(np.int16, sides, elements=st.integers(-3, 300)),
    offset=st.integers(-2, 2),
    ignore=st.lists(st.integers(-3, 300), max_size=3),
    suffix=st.sampled_from([".npy", ".mat"]),
)
def test_ids_are_shifted_unless_ignored(
    array: np.ndarray, offset: int, ignore: list[int], suffix: str, tmp_path: Path
) -> None:
    how = Stored(offset=offset, ignore=tuple(map(float, ignore)))
    if any(v + offset == 255 and v not in ignore for v in array.ravel().tolist()):  # it would read as no label
        with pytest.raises(DataError, match=rf"holds class id 255.*If {255 - offset} means no label"):
            readers.read_classes(save(tmp_path / f"f{suffix}", array), how)
        return
    ids = readers.read_classes(save(tmp_path / f"f{suffix}", array), how)[0]
    assert ids.tolist() == [[255 if v in ignore else v + offset for v in row] for row in array.tolist()]


@kept
@given(array=hnp.arrays(np.uint16, sides), unit=st.sampled_from([0.001, 1 / 256, 1.0]), suffix=suffixes)
def test_depth_round_trips_in_its_unit(array: np.ndarray, unit: float, suffix: str, tmp_path: Path) -> None:
    depth = readers.read_depth(save(tmp_path / f"f{suffix}", array), Stored(unit=unit, ignore=(7.0,)))
    assert depth.dtype == torch.float64
    assert depth.shape == (1, 1, *array.shape)
    assert depth[0, 0].tolist() == [[0.0 if v == 7 else v * unit for v in row] for row in array.tolist()]


@kept
@given(
    array=hnp.arrays(
        st.sampled_from([np.float32, np.float64]), sides, elements=st.floats(0, 100, width=32) | st.just(math.nan)
    )
)
def test_depth_in_metres_is_left_alone(array: np.ndarray, tmp_path: Path) -> None:
    depth = readers.read_depth(save(tmp_path / "f.npy", array), PLAIN)[0, 0].numpy()
    assert np.array_equal(depth, array.astype(np.float64), equal_nan=True)
    void = readers.read_depth(tmp_path / "f.npy", Stored(ignore=(math.nan, 3.0)))[0, 0].numpy()
    assert np.array_equal(void, np.where(np.isnan(array) | (array == 3), 0, array.astype(np.float64)))


@kept
@given(array=hnp.arrays(np.uint8, sides), suffix=suffixes)
def test_bytes_are_fractions_of_255(array: np.ndarray, suffix: str, tmp_path: Path) -> None:
    p = readers.read_probability(save(tmp_path / f"f{suffix}", array), PLAIN)
    assert p.dtype == torch.float64
    assert p.shape == (1, 1, *array.shape)
    assert (p * 255).to(torch.uint8)[0, 0].tolist() == array.tolist()
    fractions = readers.read_probability(save(tmp_path / "g.npy", array / 255), PLAIN)
    assert torch.equal(p, fractions)


@kept
@given(array=hnp.arrays(np.float32, sides, elements=st.floats(0, 1, width=32) | st.just(math.nan)))
def test_probabilities_keep_their_nan(array: np.ndarray, tmp_path: Path) -> None:
    p = readers.read_probability(save(tmp_path / "f.npy", array), PLAIN)[0, 0].numpy()
    assert np.array_equal(p, array, equal_nan=True)


def test_a_16_bit_png_is_no_probability(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 to 255"):
        readers.read_probability(save(tmp_path / "f.png", np.full((4, 5), 40000, np.uint16)), PLAIN)


@kept
@given(
    array=hnp.arrays(bool, sides),
    top=st.sampled_from([1, 255]),
    void=st.sampled_from([None, 7, 128]),
    suffix=suffixes,
)
def test_masks_of_1_or_255(array: np.ndarray, top: int, void: int | None, suffix: str, tmp_path: Path) -> None:
    stored, expected = (array * np.uint8(top)).astype(np.uint8), array.astype(float)
    if void:
        stored[0], expected[0] = void, 255
    mask = readers.read_mask(save(tmp_path / f"f{suffix}", stored), Stored(ignore=(float(void),) if void else ()))
    assert mask.dtype == torch.float32
    assert mask[0, 0].tolist() == expected.tolist()


def test_masks_with_255_for_void(tmp_path: Path) -> None:
    stored = np.array([[0, 1, 255], [1, 0, 255]], np.uint8)
    mask = readers.read_mask(save(tmp_path / "f.png", stored), Stored(ignore=(255.0,)))
    assert mask[0, 0].tolist() == stored.tolist()
    with pytest.raises(DataError, match="--ignore"):
        readers.read_mask(tmp_path / "f.png", PLAIN)
    with pytest.raises(DataError, match="value nan"):
        readers.read_mask(save(tmp_path / "f.npy", np.array([[0, math.nan]])), PLAIN)
    void = readers.read_mask(tmp_path / "f.npy", Stored(ignore=(math.nan,)))
    assert void.tolist() == [[[[0, 255]]]]


@kept
@given(shape=sides, first=st.booleans(), suffix=st.sampled_from([".npy", ".mat"]), seed=st.integers(0, 99))
def test_vectors_round_trip(shape: tuple[int, int], first: bool, suffix: str, seed: int, tmp_path: Path) -> None:
    array = np.random.default_rng(seed).normal(size=(*shape, 3))
    laid = array.transpose(2, 0, 1) if first and shape[1] != 3 else array
    vectors = readers.read_normals(save(tmp_path / f"f{suffix}", laid), PLAIN)
    assert vectors.dtype == torch.float64
    assert np.array_equal(vectors[0].numpy(), array.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("colour", "vector"),
    [
        ((255, 128, 0), (1, 1 / 255, -1)),
        ((127, 128, 127), (-1 / 255, 1 / 255, -1 / 255)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 255, 255), (0, 0, 0)),
        ((127, 127, 127), (0, 0, 0)),
        ((128, 128, 128), (0, 0, 0)),
        ((60, 60, 60), (-135 / 255,) * 3),
    ],
)
def test_vectors_of_colours(colour: tuple[int, ...], vector: tuple[float, ...], tmp_path: Path) -> None:
    file = save(tmp_path / "f.png", np.full((2, 5, 3), colour, np.uint8))
    assert readers.read_normals(file, PLAIN)[0, :, 1, 3].tolist() == pytest.approx(vector)


def test_a_length_one_axis_is_dropped(tmp_path: Path) -> None:
    array = np.arange(20).reshape(4, 5)
    for shape in ((1, 4, 5), (4, 5, 1)):
        assert readers.read_classes(save(tmp_path / "f.npy", array.reshape(shape)), PLAIN)[0].tolist() == array.tolist()
    with pytest.raises(DataError, match="expected"):
        readers.read_classes(save(tmp_path / "f.npy", array.reshape(4, 1, 5)), PLAIN)


@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16"])
def test_modes_of_pngs(mode: str, tmp_path: Path) -> None:
    array = np.array([[0, 1, 1], [1, 0, 0]])
    if mode == "I;16":
        image = Image.fromarray(array.astype(np.uint16))
    else:
        image = Image.fromarray(array.astype(bool) if mode == "1" else array.astype(np.uint8))
    if mode == "P":
        image.putpalette([9, 9, 9, 200, 0, 0])
    image.save(tmp_path / "f.png")
    assert readers.read_classes(tmp_path / "f.png", PLAIN)[0].tolist() == array.tolist()


# Boundaries.


@pytest.mark.parametrize("suffix", [".png", ".npy", ".mat"])
@pytest.mark.parametrize("reading", READINGS)
def test_boundaries_are_read_as_asked(reading: str, suffix: str, tmp_path: Path) -> None:
    array = np.zeros((12, 14), np.uint8)
    array[3:8, 4:9] = 1
    array[0] = 7
    edge = readers.read_boundaries(save(tmp_path / f"f{suffix}", array), Stored(reading=reading, ignore=(7.0,)))
    clean = array if reading == "contour" else array == 1
    expected = np.where(array == 7, 255, READINGS[reading](clean))
    assert edge.dtype == torch.float32
    assert edge[0, 0].tolist() == expected.tolist()


@given(count=st.integers(1, 4), seed=st.integers(0, 9))
@kept
def test_every_annotator_counts(count: int, seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    drawn = [random.random((9, 11)) < 0.4 for _ in range(count)]
    file = save_bsds(tmp_path / "f.mat", drawn)
    assert readers.read_boundaries(file, PLAIN)[0].tolist() == np.stack(drawn).astype(float).tolist()
    thin = readers.read_boundaries(file, Stored(reading="thin"))[0].numpy()
    assert np.array_equal(thin, np.stack([READINGS["thin"](d) for d in drawn]))


def test_the_usual_variable_is_taken_where_there_are_several(tmp_path: Path) -> None:
    cells = np.empty((1, 1), dtype=object)
    cells[0, 0] = {"Boundaries": np.eye(6, dtype=np.uint8)}
    savemat(tmp_path / "f.mat", {"groundTruth": cells, "meta": 3, "mine": np.ones((6, 6))})
    assert readers.read_boundaries(tmp_path / "f.mat", PLAIN).tolist() == [[np.eye(6).tolist()]]
    assert readers.read_boundaries(tmp_path / "f.mat", Stored(key="mine")).sum() == 36
    with pytest.raises(DataError, match=r"no variable 'other'.*groundTruth, meta, mine"):
        readers.read_boundaries(tmp_path / "f.mat", Stored(key="other"))
    with pytest.raises(DataError, match="more than one variable"):
        readers.read_classes(tmp_path / "f.mat", PLAIN)


def test_annotators_where_one_map_is_read(tmp_path: Path) -> None:
    file = save_bsds(tmp_path / "f.mat", [np.eye(6), np.eye(6)])
    with pytest.raises(DataError, match=r"a cell array, expected a label map.*odsf/bsds@1") as caught:
        readers.read_boundaries(file, Stored(reading="contour"))
    assert caught.value.file == file


# Arrays.


def _npy(file: Path) -> np.ndarray:
    return read_npy(file, "map")


def test_matlab_logicals_and_sparse_maps(tmp_path: Path) -> None:
    savemat(tmp_path / "f.mat", {"x": np.eye(5, dtype=bool)})
    assert readers.read_mask(tmp_path / "f.mat", PLAIN).sum() == 5
    savemat(tmp_path / "f.mat", {"x": csc_matrix(np.eye(5))})
    with pytest.raises(DataError, match="expected"):
        readers.read_mask(tmp_path / "f.mat", PLAIN)


@pytest.mark.parametrize(
    ("read", "name"),
    [(read_pixels, "f.png"), (_npy, "f.npy"), (read_mat, "f.mat")],
)
def test_missing_files(read: Callable[[Path], Any], name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / name)


def _stored() -> dict[str, bytes]:
    random = np.random.default_rng(0)
    array = random.integers(0, 255, (9, 11)).astype(np.uint8)
    files = {}
    for suffix in ("png", "npy", "mat"):
        buffer = io.BytesIO()
        if suffix == "png":
            Image.fromarray(array).save(buffer, "PNG")
        elif suffix == "npy":
            np.save(buffer, array)
        else:
            savemat(buffer, {"x": array, "s": {"y": array[:3]}}, do_compression=True)
        files[suffix] = buffer.getvalue()
    return files


def _failure(read: Callable[[Path], Any], file: Path) -> DataError | None:
    """What reading raised, if it was the one kind of error; any other one goes through."""
    found = None
    try:
        read(file)
    except DataError as error:
        found = error
    if found is not None:
        assert found.file == file
        assert "\n" not in str(found)
    return found


@pytest.mark.parametrize("suffix", ["png", "npy", "mat"])
def test_a_file_cut_anywhere_is_one_error(suffix: str, tmp_path: Path) -> None:
    whole, file = _stored()[suffix], tmp_path / f"f.{suffix}"
    read = {"png": read_pixels, "npy": _npy, "mat": read_mat}[suffix]
    cut = 0
    for length in range(0, len(whole), 1 if len(whole) < 500 else 3):
        file.write_bytes(whole[:length])
        error = _failure(read, file)
        cut += error is not None
    assert cut > len(whole) / 5


@pytest.mark.parametrize("suffix", ["png", "npy"])
def test_an_altered_byte_is_one_error_or_none(suffix: str, tmp_path: Path) -> None:
    whole, file = _stored()[suffix], tmp_path / f"f.{suffix}"
    read = {"png": read_pixels, "npy": _npy}[suffix]
    for place in range(min(len(whole), 128)):
        changed = bytearray(whole)
        changed[place] ^= 0x15
        file.write_bytes(bytes(changed))
        _failure(read, file)
