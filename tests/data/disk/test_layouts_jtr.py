"""The layouts of NYUv2-13, Cityscapes-7, Taskonomy and the depth-only frames of NYUv2: written small, read back."""

import dataclasses
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mtlrepro.data import build_dataset, dataset_info, dataset_length, description_file, find_dataset
from mtlrepro.data.disk.description import load
from mtlrepro.data.disk.folder import Folder
from mtlrepro.errors import DataError, MissingExtra, SpecError
from mtlrepro.spec import DataSpec

H, W = 6, 8
COUNT = {"train": 12, "val": 3}


def small(name, **counts):
    """A built-in description that asks for these counts in place of its own."""
    return dataclasses.replace(load(description_file(name)), counts=counts)


def refused(call, kind=DataError):
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert caught.value.file is not None
    assert caught.value.mend
    return caught.value


# npy arrays


def write_arrays(root, classes, labels, normals, dtype=np.float32):
    """A tree as the public arrays have it; returns what was stored, by (split, id)."""
    random, stored = np.random.default_rng(0), {}
    for split, count in COUNT.items():
        for i in range(count):
            arrays = {
                "image": random.random((H, W, 3)).astype(dtype),
                labels: random.integers(-1, classes, (H, W)).astype(dtype),
                "depth": random.uniform(0, 0.4922, (H, W, 1)).astype(dtype),
            }
            arrays["depth"][0, 0] = 0
            arrays[labels].flat[0] = i % classes  # tells one sample from another
            if normals:
                vectors = random.normal(size=(H, W, 3))
                arrays["normal"] = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(dtype)
                arrays["normal"][0, :2] = 0
            for kind, array in arrays.items():
                file = root / split / kind / f"{i}.npy"
                file.parent.mkdir(parents=True, exist_ok=True)
                np.save(file, array)
            stored[split, i] = arrays
    return stored


ARRAYS = {"nyuv2_13": ("nyuv2", 13, "label", True), "cityscapes_7": ("cityscapes2", 7, "label_7", False)}


@pytest.fixture(params=sorted(ARRAYS))
def arrays(request, tmp_path):
    """(description, data root, folder, what is stored, name of the labels' folder)."""
    folder, classes, labels, normals = ARRAYS[request.param]
    stored = write_arrays(tmp_path / folder, classes, labels, normals)
    return small(request.param, **COUNT), tmp_path, tmp_path / folder, stored, labels


def test_arrays_come_back_in_the_order_of_their_numbers(arrays):
    d, root, folder, stored, labels = arrays
    assert Folder.check(d, root) == folder
    for split, count in COUNT.items():
        dataset = Folder(d, split, root)
        assert dataset.ids == [str(i) for i in range(count)]
        for i in range(count):
            sample, raw = dataset[i], stored[split, i]
            assert list(sample) == ["image", *d.tasks]
            assert sample["image"].dtype == torch.float32
            assert np.array_equal(sample["image"].permute(1, 2, 0).numpy(), raw["image"])
            assert np.array_equal(sample["semseg"].numpy(), np.where(raw[labels] == -1, 255, raw[labels]))
            assert np.array_equal(sample["depth"].numpy(), raw["depth"][..., 0])
    assert dataset.info.inverse_depth is (d.name == "cityscapes_7")
    assert len(dataset.info.class_names) == {"nyuv2_13": 13, "cityscapes_7": 7}[d.name]


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_arrays_of_other_precision(tmp_path, dtype):
    stored = write_arrays(tmp_path / "nyuv2", 13, "label", True, dtype)
    sample, raw = Folder(small("nyuv2_13"), "val", tmp_path)[1], stored["val", 1]
    assert {tensor.dtype for tensor in sample.values()} == {torch.float32, torch.uint8}
    assert np.allclose(sample["image"].permute(1, 2, 0).numpy(), raw["image"], atol=1e-7)
    assert np.array_equal(sample["semseg"].numpy(), np.where(raw["label"] == -1, 255, raw["label"]))


def test_normals_are_of_unit_length_or_zero(tmp_path):
    stored = write_arrays(tmp_path / "nyuv2", 13, "label", True)
    vectors = stored["train", 0]["normal"] * np.float32(0.97)  # as after a resize
    vectors[1, 1] *= 0.01
    np.save(tmp_path / "nyuv2/train/normal/0.npy", vectors)
    normals = Folder(small("nyuv2_13"), "train", tmp_path)[0]["normals"]
    zero = torch.zeros(H, W, dtype=torch.bool)
    zero[0, :2] = zero[1, 1] = True
    assert torch.allclose(normals.norm(dim=0), (~zero).float(), atol=1e-6)
    assert (normals[:, zero] == 0).all()
    direction = stored["train", 0]["normal"].transpose(2, 0, 1)
    assert np.allclose(normals[:, ~zero].numpy(), direction[:, ~zero.numpy()], atol=1e-6)


def test_eight_bit_arrays_and_rounding_in_images(arrays):
    d, root, folder, stored, _ = arrays
    eight = (stored["train", 0]["image"] * 255).astype(np.uint8)
    np.save(folder / "train/image/0.npy", eight)
    over = stored["train", 1]["image"].copy()
    over[0, 0] = 1.0005, -0.0005, 1
    np.save(folder / "train/image/1.npy", over)
    train = Folder(d, "train", root)
    assert train[0]["image"].dtype == torch.uint8
    assert np.array_equal(train[0]["image"].permute(1, 2, 0).numpy(), eight)
    assert train[1]["image"][:, 0, 0].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.full((H, W, 3), 200.0), "floats from 0 to 200, expected [0, 1]"),
        (np.full((H, W, 3), -0.5), "floats from -0.5 to 0"),
        (np.full((H, W, 3), np.nan), "floats from nan to nan"),
        (np.zeros((3, H, W)), "array of shape (3, 6, 8) and dtype float64, expected (H, W, 3)"),
        (np.zeros((H, W, 3), np.int64), "dtype int64"),
    ],
)
def test_arrays_that_are_no_image(arrays, array, problem):
    d, root, folder, _, _ = arrays
    np.save(folder / "train/image/4.npy", array)
    error = refused(lambda: Folder(d, "train", root)[4])
    assert (error.file, error.field) == (folder / "train/image/4.npy", "image")
    assert problem in error.problem


@pytest.mark.parametrize("value", [-2, 0.5, math.nan, math.inf, 255.5, 1000])
def test_class_ids_that_are_none(arrays, value):
    d, root, folder, stored, labels = arrays
    for wrong in (value, float(len(d.classes))):
        ids = stored["val", 2][labels].copy()
        ids[2, 3:5] = wrong
        np.save(folder / "val" / labels / "2.npy", ids)
        error = refused(lambda: Folder(d, "val", root)[2])
        assert (error.file, error.field) == (folder / "val" / labels / "2.npy", "semseg")
        assert f"label id {wrong:g} (2 " in error.problem
    n = len(d.classes)
    assert error.problem == f"label id {n} (2 pixels), but the {n} classes are stored as 0..{n - 1}"


def test_ids_with_a_gap(arrays):
    d, root, folder, _, _ = arrays
    for split in COUNT:
        for kind in (folder / split).iterdir():
            (kind / "2.npy").rename(kind / "30.npy")
    error = refused(lambda: Folder.check(d, root))
    assert error.file == folder / "train/image/2.npy"
    assert "one with the id '30'" in error.problem
    assert "must be 0, 1, 2 ... without a gap" in error.problem
    assert "Restore the missing files" in error.mend


def test_files_that_are_missing_cut_or_misplaced(arrays, tmp_path_factory):
    d, root, folder, _, labels = arrays
    (folder / "train" / labels / "7.npy").rename(root / "aside.npy")
    error = refused(lambda: Folder(d, "train", root))
    assert (error.file, error.field) == (folder / "train" / labels / "7.npy", "semseg")
    assert "1 of 12 semseg files of the train split are missing" in error.problem
    (root / "aside.npy").rename(folder / "train" / labels / "7.npy")

    file = folder / "val/depth/0.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    assert "truncated or damaged" in refused(lambda: Folder.check(d, root)).mend
    file.write_bytes(whole)
    assert Folder.check(d, root) == folder

    more = dataclasses.replace(d, counts=COUNT | {"train": 795})
    assert refused(lambda: Folder.check(more, root)).problem == "the train split has 12 samples, expected 795"

    deeper = tmp_path_factory.mktemp("deeper")
    shutil.copytree(folder, deeper / folder.name / folder.name)
    error = refused(lambda: Folder.check(d, deeper))
    assert error.problem.startswith("no file of the train split: nothing in ")
    assert error.problem.endswith("train is there: the tree lies one level too deep")
    above = refused(lambda: Folder.check(d, folder))
    looked_for = folder / folder.name / "train" / "image"
    assert above.problem == f"not found: looked for {looked_for}; {folder} is the dataset itself"


def test_a_label_of_another_shape(arrays):
    d, root, folder, _, _ = arrays
    np.save(folder / "train/depth/1.npy", np.ones((H, W + 1, 1)))
    assert "label is 6x9 (height x width), but its image" in refused(lambda: Folder(d, "train", root)[1]).problem
    np.save(folder / "train/depth/1.npy", np.ones((1, H, W)))
    assert "array of shape (1, 6, 8)" in refused(lambda: Folder(d, "train", root)[1]).problem


def test_a_changed_file_changes_the_digest(arrays):
    d, root, folder, stored, _ = arrays
    before = Folder(d, "train", root).digest()
    assert Folder(d, "train", root).digest() == before
    np.save(folder / "train/depth/3.npy", stored["train", 3]["depth"] / 2)
    assert Folder(d, "train", root).digest() != before


# Taskonomy

PLACES = {"train": 2, "val": 1}
KINDS = {
    "rgb": "RGB",
    "segment_semantic": "L",
    "depth_zbuffer": "I;16",
    "normal": "RGB",
    "edge_occlusion": "I;16",
    "reshading": "RGB",
    "keypoints2d": "I;16",
    "edge_texture": "I;16",
}


DOMAINS = {"segment_semantic": "segmentsemantic"}
"""What names say where it is not the folder, as public loaders of Omnidata's download expect them."""


def ending(kind, suffix):
    return f"_domain_{DOMAINS.get(kind, kind)}.png" if suffix else ".png"


def write_taskonomy(root, d, suffix):
    """Views of every building of both splits; returns what was stored, by (building, view) and kind."""
    random, stored = np.random.default_rng(1), {}
    for split, views in PLACES.items():
        for building in d.splits[split]:
            for view in range(views):
                vectors = random.normal(size=(H, W, 3))
                vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
                arrays = {
                    "rgb": random.integers(0, 256, (H, W, 3), dtype=np.uint8),
                    "segment_semantic": random.integers(0, 18, (H, W), dtype=np.uint8),
                    "depth_zbuffer": random.integers(1, 8192, (H, W), dtype=np.uint16),
                    "normal": np.round((vectors + 1) / 2 * 255).astype(np.uint8),
                    "edge_occlusion": random.integers(0, 3000, (H, W), dtype=np.uint16),
                    "reshading": random.integers(0, 256, (H, W, 3), dtype=np.uint8),
                    "keypoints2d": random.integers(0, 3000, (H, W), dtype=np.uint16),
                    "edge_texture": random.integers(0, 9000, (H, W), dtype=np.uint16),
                }
                arrays["depth_zbuffer"][0, :3] = 8192, 65535, 8191
                arrays["normal"][0, 0] = 200, 200, 200  # no direction, and not to be read as one
                for kind, array in arrays.items():
                    file = root / kind / building / f"point_{7 - view}_view_{view}{ending(kind, suffix)}"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(array).save(file)
                stored[building, view] = arrays
    return stored


@pytest.fixture(scope="session", params=["plain", "with suffix"])
def buildings(request, tmp_path_factory):
    """(description, data root, what is stored, whether names carry the domain)."""
    d, root = load(description_file("taskonomy")), tmp_path_factory.mktemp("data")
    suffix = request.param != "plain"
    return d, root, write_taskonomy(root / "taskonomy", d, suffix), suffix


@pytest.fixture
def breakable(buildings, tmp_path):
    """The same as a copy that a test may break: (description, data root, path of a file by kind)."""
    d, root, _, suffix = buildings
    shutil.copytree(root / "taskonomy", tmp_path / "taskonomy")

    def file(kind):
        return tmp_path / "taskonomy" / kind / "ihlen" / f"point_7_view_0{ending(kind, suffix)}"

    return d, tmp_path, file


def test_taskonomy_in_physical_and_standardised_units(buildings):
    d, root, stored, _ = buildings
    assert find_dataset("taskonomy", root) == root / "taskonomy"
    train, val = Folder(d, "train", root), Folder(d, "val", root)
    assert (len(train), len(val)) == (50, 5)
    assert train.ids == sorted(train.ids)
    assert {name.split("/")[0] for name in val.ids} == {"ihlen", "mcdade", "muleshoe", "noxapater", "uvalda"}
    tasks = ("semseg", "depth", "normals", "occlusion", "reshading", "keypoints", "texture")
    assert train.info.tasks == tasks
    assert len(train.info.class_names) == 18
    for dataset, index in ((train, 0), (train, 49), (val, 3)):
        building, view = dataset.ids[index].split("/")
        raw = {kind: array.astype(np.float64) for kind, array in stored[building, int(view[-1])].items()}
        sample = dataset[index]
        assert tuple(sample) == ("image", *tasks)
        assert np.array_equal(sample["image"].permute(1, 2, 0).numpy(), raw["rgb"])
        ids = raw["segment_semantic"]
        assert np.array_equal(sample["semseg"].numpy(), np.where(ids == 0, 255, ids))
        valid = raw["depth_zbuffer"] < 2**13
        assert np.array_equal(sample["depth"].numpy(), np.where(valid, raw["depth_zbuffer"] / 512, 0))
        expected = {
            "occlusion": np.where(valid, (raw["edge_occlusion"] - 56.0248) / 239.1265, np.nan),
            "reshading": np.where(valid, (raw["reshading"].mean(-1) / 255 - 0.4962) / 0.2846, np.nan),
            "keypoints": (raw["keypoints2d"] - 50) / 100,
            "texture": (raw["edge_texture"] - 718) / 1070,
        }
        for task, values in expected.items():
            assert sample[task].dtype == torch.float32
            assert np.allclose(sample[task].numpy(), values, rtol=1e-6, atol=1e-6, equal_nan=True)
        vectors = np.where(valid[..., None], (raw["normal"] / 255 - 0.5) * 2, 0)
        vectors[valid] /= np.linalg.norm(vectors[valid], axis=-1, keepdims=True)
        assert np.allclose(sample["normals"].permute(1, 2, 0).numpy(), vectors, atol=1e-6)


def test_a_view_keeps_its_native_size_and_its_order(buildings):
    d, root, _, _ = buildings
    names = Folder(d, "train", root, length=3).ids
    assert names == ["allensville/point_6_view_1", "allensville/point_7_view_0", "beechwood/point_6_view_1"]
    assert {tensor.shape[-2:] for tensor in Folder(d, "train", root)[0].values()} == {(H, W)}


def test_names_of_class_maps_that_say_the_folder_are_read_too(breakable):
    d, root, file = breakable
    before = Folder(d, "val", root)[0]["semseg"]
    file("segment_semantic").rename(file("segment_semantic").with_name("point_7_view_0_domain_segment_semantic.png"))
    val = Folder(d, "val", root)
    assert val.path_of("semseg", val.ids[0]).endswith("_domain_segment_semantic.png")
    assert torch.equal(val[0]["semseg"], before)


def test_omnidata_s_level_between_domain_and_building_is_taken_out_by_the_commands(breakable):
    """The shell commands of `mtlrepro data info taskonomy`, on a tree as that download is."""
    d, root, _ = breakable
    folder = root / "taskonomy"
    for domain in list(folder.iterdir()):
        domain.rename(root / "aside")
        domain.mkdir()
        (root / "aside").rename(domain / "taskonomy")
    error = refused(lambda: Folder(d, "val", root))
    assert str(folder / "rgb") in error.problem
    (command,) = [line for line in d.origin["get"].splitlines() if line.startswith("  for ")]
    subprocess.run(["bash", "-euc", command], cwd=folder, check=True)
    assert Folder.check(d, root) == folder


@pytest.mark.parametrize(
    ("kind", "array", "problem"),
    [
        ("depth_zbuffer", np.ones((H, W), np.uint8), "an 8-bit PNG, but values up to 8191 are expected"),
        ("edge_occlusion", np.ones((H, W), np.uint8), "PNG mode is L, expected I or I;16"),
        ("keypoints2d", np.ones((H, W, 3), np.uint8), "PNG mode is RGB, expected I or I;16"),
        ("reshading", np.ones((H, W), np.uint16), "PNG mode is I;16, expected RGB"),
        ("segment_semantic", np.full((H, W), 18, np.uint8), "label id 18 (48 pixels), but the 18 classes"),
        ("normal", np.full((H, W, 3), 250, np.uint8), "46 normals are not unit vectors"),
        ("normal", np.full((H, W + 1, 3), 250, np.uint8), "label is 6x9 (height x width), but what masks it is 6x8"),
        ("reshading", np.ones((H + 1, W, 3), np.uint8), "label is 7x8 (height x width), but what masks it is 6x8"),
        ("edge_texture", np.ones((H + 1, W), np.uint16), "label is 7x8 (height x width), but its image"),
        ("rgb", np.ones((H, W, 4), np.uint8), "image mode is RGBA"),
    ],
)
def test_taskonomy_files_of_another_form(breakable, kind, array, problem):
    d, root, file = breakable
    Image.fromarray(array).save(file(kind))
    error = refused(lambda: Folder(d, "val", root)[0])
    assert error.file == file(kind)
    assert problem in error.problem
    assert find_dataset("taskonomy", root) == f"taskonomy: {error}"


def test_taskonomy_files_that_are_missing_cut_or_misplaced(breakable, tmp_path_factory):
    d, root, file = breakable
    texture = file("edge_texture")
    whole = texture.read_bytes()
    texture.write_bytes(whole[: len(whole) // 2])
    assert refused(lambda: Folder(d, "val", root).digest()).file == texture
    assert "truncated or damaged" in refused(lambda: Folder(d, "val", root)[0]).mend
    texture.unlink()
    error = refused(lambda: Folder(d, "val", root))
    assert (error.file, error.field) == (texture, "texture")
    assert "1 of 5 texture files of the val split are missing" in error.problem
    assert find_dataset("taskonomy", root) == f"taskonomy: {error}"

    shutil.rmtree(root / "taskonomy/rgb/woodbine")
    error = refused(lambda: Folder(d, "train", root))
    assert error.field == "splits.train"
    assert error.problem == "no image of the folder 'woodbine' of the train split"

    deeper = tmp_path_factory.mktemp("deeper") / "taskonomy"
    deeper.mkdir()
    (root / "taskonomy").rename(deeper / "taskonomy")
    error = refused(lambda: Folder(d, "train", deeper.parent))
    assert error.problem.endswith(f"{deeper / 'taskonomy/rgb'} is there: the tree lies one level too deep")
    assert find_dataset("taskonomy", root).startswith(f"taskonomy: not found: looked for {root}/taskonomy/rgb")


# depth-only frames of NYUv2


@pytest.fixture
def frames(tmp_path):
    """(data root, what is stored by id) of three frames in two scenes."""
    h5py = pytest.importorskip("h5py")
    random, stored = np.random.default_rng(2), {}
    for name in ("study_0001/00001", "bedroom_0078a/00010", "bedroom_0078a/00002"):
        stored[name] = {
            "rgb": random.integers(0, 256, (3, H, W), dtype=np.uint8),
            "depth": random.uniform(0.7, 9.9, (H, W)).astype(np.float32),
        }
        stored[name]["depth"][0, 0] = 0
        file = tmp_path / "nyudepthv2/train" / f"{name}.h5"
        file.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(file, "w") as stream:
            for key, array in stored[name].items():
                stream[key] = array
    return tmp_path, stored


def test_depth_frames(frames):
    root, stored = frames
    d = small("nyuv2_depth", train=3)
    train = Folder(d, "train", root)
    assert train.ids == sorted(stored)
    assert train.info.tasks == ("depth",)
    assert train.files() == [f"train/{name}.h5" for name in sorted(stored)]
    for i, name in enumerate(train.ids):
        assert list(train[i]) == ["image", "depth"]
        assert np.array_equal(train[i]["image"].numpy(), stored[name]["rgb"])
        assert np.array_equal(train[i]["depth"].numpy(), stored[name]["depth"])
    assert Folder.check(d, root) == root / "nyudepthv2"


def test_depth_frames_are_for_training_alone(frames):
    root, _ = frames
    (root / "nyudepthv2/val/official").mkdir(parents=True)
    error = refused(lambda: build_dataset(DataSpec("nyuv2_depth", (H, W)), "val", root), SpecError)
    assert error.problem == "unknown split 'val'"
    assert error.mend == "Known: train"
    assert "the train split has 3 samples, expected 47584" in find_dataset("nyuv2_depth", root)


def test_frames_of_another_form(frames):
    import h5py

    root, _ = frames
    d, file = small("nyuv2_depth"), root / "nyudepthv2/train/bedroom_0078a/00002.h5"
    before = Folder(d, "train", root).digest()

    def problem(**arrays):
        with h5py.File(file, "w") as stream:
            for key, array in arrays.items():
                stream[key] = array
        error = refused(lambda: Folder(d, "train", root)[0])
        assert error.file == file
        return error.problem

    rgb, depth = np.zeros((3, H, W), np.uint8), np.ones((H, W), np.float32)
    assert problem(rgb=rgb) == "no such array; the file holds rgb"
    assert problem() == "no such array; the file holds nothing"
    assert "expected (3, H, W) uint8" in problem(rgb=rgb.transpose(1, 2, 0), depth=depth)
    assert "expected (3, H, W) uint8" in problem(rgb=rgb / 255, depth=depth)
    assert "expected (H, W) numbers" in problem(rgb=rgb, depth=depth[None, None])
    assert "label is 6x7" in problem(rgb=rgb, depth=depth[:, 1:])
    assert "1 pixels are NaN" in problem(rgb=rgb, depth=np.where(np.eye(H, W) * np.arange(W) == 3, np.nan, depth))
    assert Folder(d, "train", root).digest() != before
    for kept in (0, 40, -100):
        whole = file.read_bytes()
        file.write_bytes(whole[:kept])
        assert "truncated or damaged" in refused(lambda: Folder(d, "train", root)[0]).mend
        file.write_bytes(whole)


def test_without_h5py_the_error_names_the_extra(frames, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    error = refused(lambda: Folder.check(small("nyuv2_depth"), frames[0]), MissingExtra)
    assert 'pip install "mtlrepro[hdf5]"' in error.mend


# by name


@pytest.mark.parametrize(
    ("name", "train", "val", "tasks"),
    [
        ("nyuv2", 795, 654, 4),
        ("nyuv2_13", 795, 654, 3),
        ("cityscapes_7", 2975, 500, 2),
        ("taskonomy", 262_745, None, 7),
        ("nyuv2_depth", 47_584, None, 1),
        ("scenes", 795, 654, 4),
    ],
)
def test_what_is_known_without_files(name, train, val, tasks, tmp_path):
    assert (dataset_length(name, "train"), dataset_length(name, "val")) == (train, val)
    assert len(dataset_info(name).tasks) == tasks
    assert "val" not in load(description_file(name)).splits if name == "nyuv2_depth" else True
    if name != "scenes":
        reason = find_dataset(name, tmp_path)
        assert reason.startswith(f"{name}: not found: looked for {tmp_path}")
        assert "\n" not in reason
    with pytest.raises(SpecError, match="unknown split 'test'"):
        dataset_length(name, "test")
