"""What a user may call a dataset."""

import pytest

from mtlrepro.data import DATASETS, description_file
from mtlrepro.data.disk.description import load
from mtlrepro.data.disk.names import dataset_key
from mtlrepro.data.disk.synthesize import WRITERS
from mtlrepro.errors import SpecError


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("nyuv2", "nyuv2"),  # a key, although it is the folder of nyuv2_13 too
        ("nyud_mt", "nyuv2"),
        ("NYUD_MT/", "nyuv2"),
        ("Cityscapes2", "cityscapes_7"),
        ("TASKONOMY", "taskonomy"),
        ("some/where.toml", "some/where.toml"),
    ],
)
def test_names_of_datasets(name, key):
    assert dataset_key(name) == key


@pytest.mark.parametrize("name", ["nyudmt", "nyuv3", "scenes", "my.toml"])
def test_names_that_are_no_layouts(name):
    with pytest.raises(SpecError, match=f"unknown dataset '{name}'"):
        dataset_key(name, WRITERS)


def test_every_dataset_is_found_by_its_folder():
    folders = {key: load(file).root for key in DATASETS if (file := description_file(key)) is not None}
    assert len(folders) > 10
    for key, folder in folders.items():
        if folder not in DATASETS:  # a key is meant where a folder is called like one
            assert dataset_key(folder.upper()) == key
