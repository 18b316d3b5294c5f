"""Every label is read once before a training begins, and not again while the files stay the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mtlrepro.data.disk import verify as module
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.verify import verify
from mtlrepro.errors import DataError


class Counting(Folder):
    """Counts the samples that are read."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.read_ids: list[str] = []

    def read(self, name, files):
        self.read_ids.append(name)
        return super().read(name, files)


def test_all_samples_are_decoded_once(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = Counting(tiny_dataset, "train")
    for _ in range(2):
        verify(dataset, dataset.digest(), tmp_path)
    assert sorted(dataset.read_ids) == sorted(dataset.ids)
    verify(dataset, "another", tmp_path)
    assert len(dataset.read_ids) == 2 * len(dataset)


def test_of_many_samples_an_even_part_is(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLES", 3)
    dataset = Counting(tiny_dataset, "train")
    verify(dataset, dataset.digest(), tmp_path)
    assert sorted(dataset.read_ids) == ["0", "3", "6"]


def test_a_bad_label_is_named_and_not_forgotten(tiny_dataset: Path, tmp_path: Path) -> None:
    file = shutil.copytree(tiny_dataset.parent, tmp_path / "street") / tiny_dataset.name
    label = file.parent / "semseg/train/6.png"
    stored = np.array(Image.open(label))
    stored[0, 0] = 77
    Image.fromarray(stored).save(label)
    dataset = Folder(file, "train")
    for _ in range(2):
        with pytest.raises(DataError, match=r"6\.png: semseg: label id 77 \(1 pixels\)"):
            verify(dataset, dataset.digest(), tmp_path / "manifests")
