"""Datasets by name or description: building, finding, describing."""

import subprocess
import sys

import pytest

import mtlrepro.data
from mtlrepro.data import (
    DATA_ENV,
    DATASETS,
    build_dataset,
    data_root_of,
    dataset_class,
    dataset_info,
    description_file,
    find_dataset,
)
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.manual import describe
from mtlrepro.data.sample import Dataset
from mtlrepro.errors import DataError, ReproError, SpecError
from mtlrepro.spec import DataSpec


@pytest.fixture(autouse=True)
def _no_data_root(monkeypatch):
    monkeypatch.delenv(DATA_ENV, raising=False)


def test_a_description_is_a_dataset(tiny_dataset):
    for split, count in (("train", 8), ("val", 4)):
        dataset = build_dataset(DataSpec(str(tiny_dataset), (32, 32)), split)
        assert isinstance(dataset, Dataset)
        assert len(dataset) == count


def test_a_dataset_on_disk_is_a_folder_and_the_others_are_named(tiny_dataset):
    for name in DATASETS:
        on_disk = description_file(name) is not None
        assert issubclass(dataset_class(name), Folder) == on_disk
        assert (f"`{name}`" in mtlrepro.data.__doc__) != on_disk
    assert dataset_class(str(tiny_dataset)) is Folder
    with pytest.raises(SpecError, match="unknown dataset 'streat'"):
        dataset_class("streat")


def test_train_and_val_limit_their_split_alone(tiny_dataset):
    spec = DataSpec(str(tiny_dataset), (32, 32), train=3, val=2)
    train, val = build_dataset(spec, "train"), build_dataset(spec, "val")
    assert (train.ids, val.ids) == (["0", "1", "2"], ["0", "1"])
    scenes = DataSpec("scenes", (16, 16), train=5)
    assert len(build_dataset(scenes, "train")) == 5
    assert len(build_dataset(scenes, "val")) == 654


@pytest.mark.parametrize("number", [0, -1])
@pytest.mark.parametrize("name", ["tiny", "scenes"])
def test_limits_are_positive(tiny_dataset, name, number):
    spec = DataSpec(str(tiny_dataset) if name == "tiny" else name, (16, 16), val=number)
    with pytest.raises(SpecError, match=rf"data.val: {number} samples. Give a positive number"):
        build_dataset(spec, "val")


def test_a_limit_beyond_the_split(tiny_dataset):
    with pytest.raises(DataError, match="9 train samples are asked for, but the split has 8"):
        build_dataset(DataSpec(str(tiny_dataset), (32, 32), train=9), "train")


def test_unknown_names_suggest_known_ones(tiny_dataset):
    for call in (find_dataset, dataset_info, lambda name: build_dataset(DataSpec(name, (32, 32)), "val")):
        with pytest.raises(SpecError, match=r"unknown dataset 'nyuv'. Did you mean 'nyuv2'"):
            call("nyuv")
    with pytest.raises(SpecError, match=r"unknown split 'vall'. Did you mean 'val'"):
        build_dataset(DataSpec("scenes", (32, 32)), "vall")
    clases = (("clases", 13),)
    for call in (
        lambda: build_dataset(DataSpec("scenes", (32, 32), options=clases), "val"),
        lambda: dataset_info("scenes", clases),
    ):
        with pytest.raises(SpecError, match=r"scenes: options: unknown option 'clases'. Did you mean 'classes'"):
            call()
    for call in (
        lambda: build_dataset(DataSpec(str(tiny_dataset), (32, 32), options=clases), "val"),
        lambda: dataset_info(str(tiny_dataset), clases),
    ):
        with pytest.raises(SpecError, match=r"unknown option 'clases'. Known: none"):
            call()


def test_options_reach_the_dataset():
    assert len(build_dataset(DataSpec("scenes", (16, 16), options=(("classes", 13),)), "val").info.class_names) == 13
    assert len(dataset_info("scenes", (("classes", 13),)).class_names) == 13


def test_info_needs_no_files(tiny_dataset):
    assert len(dataset_info("nyuv2").class_names) == 40
    assert dataset_info("nyuv2").tasks == ("semseg", "normals", "edges", "depth")
    assert dataset_info(str(tiny_dataset)) == build_dataset(DataSpec(str(tiny_dataset), (32, 32)), "val").info


def test_the_data_root_is_given_or_from_the_environment(tmp_path, monkeypatch):
    assert data_root_of(None) is None
    monkeypatch.setenv(DATA_ENV, str(tmp_path))
    assert data_root_of(None) == tmp_path
    assert data_root_of("~/elsewhere").is_absolute()


def test_find_gives_a_place_or_one_line_of_reason(tiny_dataset, tmp_path, monkeypatch):
    assert find_dataset(str(tiny_dataset)) == tiny_dataset.parent
    assert find_dataset("scenes").is_dir()
    reason = find_dataset("nyuv2")
    assert reason.startswith("nyuv2: not found: no folder of datasets is known")
    assert DATA_ENV in reason
    assert "--data-root" in reason
    for given in (tmp_path, None):
        monkeypatch.setenv(DATA_ENV, str(tmp_path))
        reason = find_dataset("nyuv2", given)
        assert reason.startswith(f"nyuv2: not found: looked for {tmp_path / 'NYUD_MT' / 'images'}")
    (tmp_path / "NYUD_MT").mkdir()
    reason = find_dataset("nyuv2", tmp_path)
    assert f"{tmp_path / 'NYUD_MT' / 'gt_sets' / 'train.txt'}: no such file" in reason
    assert "no such description file" in find_dataset(str(tmp_path / "none.toml"))
    assert "\n" not in reason


def test_building_without_files_is_the_same_error(tmp_path):
    for root in (None, tmp_path):
        with pytest.raises(ReproError) as caught:
            build_dataset(DataSpec("nyuv2", (480, 640)), "train", root)
        assert str(caught.value) == find_dataset("nyuv2", root)


def test_readers_take_the_options_that_they_name_and_no_others():
    """Readers pass further arguments on to each other; these are no options."""
    assert len(dataset_info("cityscapes", (("classes", 19),)).class_names) == 19
    for option in ("args", "options", "description", "split"):
        with pytest.raises(SpecError, match=f"unknown option '{option}'"):
            dataset_info("synthia", ((option, 1),))


def test_a_description_in_words(tiny_dataset):
    text = describe(description_file("nyuv2"))
    for word in ("NYUD_MT/", "gt_sets/train.txt", "795 of them", "654 of them", "images/{id}.jpg", "depth/{id}.npy"):
        assert word in text
    assert "class id = stored value -1; 0, 255 = no label" in text
    assert "40 classes: wall, floor" in text
    assert "2 classes: floor, box" in describe(tiny_dataset)


def test_names_are_resolved_without_imports():
    """The verbs of the command line that only list names must not wait for torch."""
    program = (
        "import sys, mtlrepro.data as data\n"
        "print(data.description_file('nyuv2').name, data.description_file('scenes'), data.target('street.toml'))\n"
        "print('torch' in sys.modules, any('data.scenes' in name for name in sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.splitlines() == ["nyuv2.toml None mtlrepro.data.disk.folder:Folder", "False False"]
