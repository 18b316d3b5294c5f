"""Datasets of a user's own classes: built, described, found, and told where they lack something."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugin_files import clean, write  # noqa: F401  (a fixture)

from mtlrepro.cli import main
from mtlrepro.data import build_dataset, dataset_info, dataset_length, description_file, find_dataset
from mtlrepro.errors import SpecError
from mtlrepro.plugins import use
from mtlrepro.spec import DataSpec, options

pytestmark = pytest.mark.usefixtures("clean")

DATA = '''
import torch

from mtlrepro.data.sample import DatasetInfo


class Stripes:
    """Stripes whose distance is their brightness."""

    def __init__(self, split, size, length=None, *, period=4):
        self.split, self.size, self.period = split, size, period
        self.length = {"train": 6, "val": 3}[split] if length is None else length

    @property
    def info(self):
        return DatasetInfo("stripes", ("semseg", "depth"), ("dark", "bright"), ((0, 0, 0), (255, 255, 255)))

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if not 0 <= index < self.length:
            raise IndexError(index)
        rows = (torch.arange(self.size[0]) + index) // self.period % 2
        bright = rows[:, None].expand(self.size).contiguous()
        image = (60 + 120 * bright).to(torch.uint8).expand(3, *self.size).contiguous()
        return {"image": image, "semseg": bright.to(torch.uint8), "depth": 1.0 + bright.float()}

    def digest(self):
        return f"{self.split} {self.size} {self.length} {self.period}"


class Small(Stripes):
    def __init__(self, split, length):
        super().__init__(split, (32, 32), length)

    @classmethod
    def info_of(cls):
        return DatasetInfo("small", ("depth",))


class Lacking:
    def __init__(self, split, length):
        pass


class Broken(Lacking):
    def __init__(self, split, length):
        raise FileNotFoundError("no stripes.npy")


class Odd(Stripes):
    info = "stripes"


DATASETS = {"stripes": Stripes, "small": Small}
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = write(tmp_path / "my_data.py", DATA)
    use([file])
    return file


def test_a_plugin_s_dataset_is_built_as_its_spec_says(file: Path) -> None:
    spec = DataSpec("stripes", (32, 64), val=2, options=options(period=8))
    train, val = (build_dataset(spec, split) for split in ("train", "val"))
    assert (len(train), len(val)) == (6, 2)
    assert train[0]["image"].shape == (3, 32, 64)
    assert val.digest() == "val (32, 64) 2 8"
    assert len(build_dataset(DataSpec(f"{file}:Small", (64, 64), train=4), "train")) == 4
    assert dataset_info("stripes", spec.options).tasks == ("semseg", "depth")
    assert dataset_info("small").name == "small"  # by its class alone
    assert (dataset_length("stripes", "train"), description_file("stripes")) == (None, None)
    assert find_dataset("stripes") == file.parent


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("{file}:Lacking", "Lacking: has no info, no __len__, no __getitem__, no digest. See mtlrepro.data.sample"),
        ("{file}:Broken", "Broken: cannot be built: FileNotFoundError: no stripes.npy. A dataset's class takes split"),
        ("{file}:Odd", "Odd.info: is a str. Return a mtlrepro.data.sample.DatasetInfo"),
        ("stripe", "unknown dataset 'stripe'. Did you mean 'stripes'"),
    ],
)
def test_what_it_lacks_is_told(name: str, says: str, file: Path) -> None:
    with pytest.raises(SpecError) as caught:
        dataset_info(name.format(file=file))
    assert says in str(caught.value)


def test_why_it_cannot_be_used_is_one_line(file: Path) -> None:
    found = find_dataset(f"{file}:Broken")
    assert isinstance(found, str)
    assert "FileNotFoundError: no stripes.npy" in found
    with pytest.raises(SpecError, match="unknown option 'periods'"):
        build_dataset(DataSpec("stripes", (32, 32), options=options(periods=8)), "val")


def test_methods_are_compared_on_it(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In worker processes."""
    folders = ["--runs", str(tmp_path / "runs"), "--report", str(tmp_path / "report")]
    length = ["--size", "32x32", "--epochs", "1", "--batch", "2"]
    code = main(["run", "--dataset", "stripes", "--methods", "mtl", "--plugin", str(file), *length, *folders])
    out = capsys.readouterr()
    assert code in (0, 1)  # a few steps need not beat the best constant
    assert "1 run (0 reused)" in out.out, out.err
    assert "stripes" in (tmp_path / "report" / "report.md").read_text()
