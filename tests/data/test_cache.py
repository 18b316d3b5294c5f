"""Decoded samples on disk: the same tensors, whatever happens to the files."""

import errno
import os
import shutil
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy_samples import sample, samples

from mtlrepro.data import cache
from mtlrepro.data.cache import SampleFiles, folder_of, nbytes, open_files
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.resident import BaseSamples
from mtlrepro.data.scenes.dataset import Scenes
from mtlrepro.data.streams import Stream
from mtlrepro.engine.run import Machine, execute
from mtlrepro.tasks import make_tasks

anywhere = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)


def bits(values):
    """Tensors as something that compares bit by bit, NaN and signed zeros included."""
    return {
        name: (v.dtype, tuple(v.shape), v.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        for name, v in values.items()
    }


# files


@anywhere
@given(samples, st.integers(0, 10**7))
def test_a_sample_comes_back_bit_by_bit(tmp_path, made, index):
    files = SampleFiles(tmp_path / "split")
    made["odd"] = torch.tensor([float("nan"), -0.0, float("inf"), 1e-42])
    made["flipped"] = made["image"].permute(2, 0, 1)
    files.write(index, made)
    assert bits(files.read(index)) == bits(made)
    assert bits(files.read(index, {"image", "odd"})) == bits(
        {k: v for k, v in made.items() if k not in ("image", "odd")}
    )
    assert SampleFiles(tmp_path / "other").read(index) is None


@anywhere
@given(st.data())
def test_a_damaged_file_is_no_file(tmp_path, data):
    files = SampleFiles(tmp_path / "split")
    files.write(0, sample(6, 7))
    (file,) = files.folder.iterdir()
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    assert files.read(0) is None
    files.write(0, sample(6, 7))
    assert files.read(0) is not None
    file.write_bytes(file.read_bytes()[: data.draw(st.integers(0, len(content) - 1))])
    assert files.read(0) is None


@anywhere
@given(st.binary(max_size=200))
def test_any_other_content_is_no_file_either(tmp_path, content):
    files = SampleFiles(tmp_path)
    (tmp_path / "000000.safetensors").write_bytes(content)
    assert files.read(0) is None


def test_a_foreign_safetensors_file_is_no_file(tmp_path):
    cache.save_file({"image": torch.zeros(3)}, tmp_path / "000000.safetensors")
    (tmp_path / "000001.safetensors").mkdir()
    assert [SampleFiles(tmp_path).read(i) for i in (0, 1)] == [None, None]


def test_writers_at_the_same_time_do_not_disturb_readers(tmp_path):
    made = sample(32, 40)
    SampleFiles(tmp_path).write(0, made)

    def use(number):
        files = SampleFiles(tmp_path)
        files.write(0, made)
        return files.read(0)

    with ThreadPoolExecutor(4) as pool:
        assert all(bits(found) == bits(made) for found in pool.map(use, range(40)))
    assert [f.name for f in tmp_path.iterdir()] == ["000000.safetensors"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written_is_told_once(tmp_path, monkeypatch, number):
    def fails(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(cache, "save_file", fails)
    files = SampleFiles(tmp_path / "split")
    with pytest.warns(RuntimeWarning, match=f"decoded samples are not kept in .*: {os.strerror(number)}"):
        files.write(0, sample(4, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files.write(1, sample(4, 5))
    assert files.read(0) is None
    assert list(files.folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(RuntimeWarning, match="are not kept"):
        SampleFiles(tmp_path / "file/split").write(0, sample(4, 5))


def test_what_a_killed_process_left_is_removed(tmp_path):
    files = SampleFiles(tmp_path)
    files.write(0, sample(4, 5))
    for name, age in ((".000001.safetensors.ab.tmp", 2 * cache.ABANDONED_SECONDS), (".000002.safetensors.cd.tmp", 0)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert files.has_room(1, 1)
    assert sorted(f.name for f in tmp_path.iterdir()) == [".000002.safetensors.cd.tmp", "000000.safetensors"]


# folders


class Split:
    kinds = ("image",)

    """A dataset that is asked for its name, length and digest only."""

    info = SimpleNamespace(name="split")

    def __init__(self, length=10, digest="1"):
        self.length, self.asked, self._digest = length, 0, digest

    def __len__(self):
        return self.length

    def digest(self):
        self.asked += 1
        return self._digest


def test_a_folder_is_of_one_split_in_one_form(tmp_path, monkeypatch):
    def name():
        return folder_of(tmp_path, Split(), [1, 2])

    first = name()
    assert first.parent == tmp_path
    assert first.name.startswith("split-")
    assert first == name()
    others = {folder_of(tmp_path, Split(digest="2"), [1, 2]), folder_of(tmp_path, Split(), [2, 1])}
    monkeypatch.setattr(cache, "SCHEMA", 2)
    others.add(name())
    monkeypatch.setattr(torch, "__version__", "2.0")
    others.add(name())
    monkeypatch.setattr(cache, "_reading_code", lambda: "other")
    assert len({first, *others, name()}) == 6


def test_a_split_is_kept_only_where_there_is_room(tmp_path, monkeypatch):
    def room(free, total=1000):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free, total=total))

    room(400)
    assert open_files(tmp_path, Split(10), [], 10)
    room(399)
    assert open_files(tmp_path, Split(10), [], 10) is None
    assert open_files(tmp_path, Split(9), [], 10)
    files = SampleFiles(folder_of(tmp_path, Split(10), []))
    files.write(3, sample(1, 1))
    assert open_files(tmp_path, Split(10), [], 10)  # nine are missing
    large = Split(26)
    room(1000)
    assert open_files(tmp_path, large, [], 10) is None
    assert large.asked == 0  # its digest would read all of it
    monkeypatch.setattr(cache, "CONTENTS_UP_TO", 9)
    assert open_files(tmp_path, Split(9), [], 10)
    assert open_files(tmp_path, Split(10), [], 10) is None  # its digest knows names and sizes alone


def test_folders_that_nobody_used_for_a_month_go(tmp_path):
    split = Split(10)
    mine = folder_of(tmp_path, split, [])
    for folder, days in ((mine, 40), (tmp_path / "split-old", 31), (tmp_path / "split-recent", 29)):
        folder.mkdir()
        (folder / "000000.safetensors").write_text("x")
        os.utime(folder, (time.time() - days * 86400,) * 2)
    open_files(tmp_path, split, [], 10)
    assert {folder.name for folder in tmp_path.iterdir()} == {mine.name, "split-recent"}
    assert time.time() - mine.stat().st_mtime < 86400


# datasets


@pytest.fixture
def train(tiny_dataset):
    return Folder(tiny_dataset, "train")


def base(dataset, tmp_path, tasks=("semseg", "depth"), size=(24, 40)):
    return BaseSamples(dataset, make_tasks(tasks, dataset.info), size, tmp_path / "decoded")


def undecodable(monkeypatch):
    def read(self, name, files):
        raise AssertionError(f"{name} is decoded")

    monkeypatch.setattr(Folder, "read", read)


@pytest.mark.parametrize("size", [(24, 40), (32, 32), None])
def test_samples_are_decoded_once_in_all_processes(train, tmp_path, monkeypatch, size):
    plain = BaseSamples(train, make_tasks(("semseg", "depth"), train.info), size)
    want = [bits(plain[i]) for i in range(len(plain))]
    first = base(train, tmp_path, size=size)
    assert [bits(first[i]) for i in range(len(first))] == want
    again = base(train, tmp_path, size=size)
    monkeypatch.setattr(first.dataset, "root", tmp_path)
    undecodable(monkeypatch)
    assert [bits(again[i]) for i in range(len(again))] == want
    assert again.digest() == train.digest()


def test_runs_on_other_tasks_share_files(train, tmp_path, monkeypatch):
    full = base(train, tmp_path)
    want = [bits(full[i]) for i in range(len(full))]
    runs = [base(train, tmp_path, tasks) for tasks in (("depth",), ("semseg",))]
    undecodable(monkeypatch)
    for tasks, run in zip((("depth",), ("semseg",)), runs, strict=True):
        assert [bits(run[i]) for i in range(8)] == [{k: w[k] for k in ("image", *tasks)} for w in want]
    assert len(list((tmp_path / "decoded").iterdir())) == 1


def test_damaged_files_are_made_again(train, tmp_path, monkeypatch):
    samples = base(train, tmp_path)
    want = [bits(samples[i]) for i in range(8)]
    (folder,) = (tmp_path / "decoded").iterdir()
    files = sorted(folder.iterdir())
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:-1])
    files[2].write_bytes(files[2].read_bytes()[:-1] + b"\x99")
    files[3].unlink()
    assert [bits(samples[i]) for i in range(8)] == want
    again = base(train, tmp_path)
    undecodable(monkeypatch)
    assert [bits(again[i]) for i in range(8)] == want


def test_a_full_disk_changes_no_sample(train, tmp_path, monkeypatch):
    def fails(tensors, file, metadata):
        raise OSError(errno.ENOSPC, "full")

    want = [bits(BaseSamples(train, make_tasks(("depth",), train.info), None)[i]) for i in range(8)]
    monkeypatch.setattr(cache, "save_file", fails)
    samples = base(train, tmp_path, ("depth",), None)
    with pytest.warns(RuntimeWarning, match="full"):
        assert [bits(samples[i]) for i in range(8)] == want


def test_generated_datasets_need_no_files(tmp_path):
    scenes = Scenes("train", (32, 48), 2)
    samples = base(scenes, tmp_path, ("depth",), (32, 48))
    assert torch.equal(samples[1]["depth"], scenes[1]["depth"])
    assert not (tmp_path / "decoded").exists()


@pytest.mark.parametrize(("augment", "workers"), [("flip_zoom", 0), ("flip_zoom", 2), ("flip_rotate", 0)])
def test_batches_are_the_same_with_and_without(train, tmp_path, monkeypatch, augment, workers):
    def batches(folder, workers=0):
        tasks = make_tasks(("semseg", "depth"), train.info)
        stream = Stream(train, range(8), lambda index, task: True, 3)
        iterator = TrainLoader((stream, None), tasks, (24, 40), augment, 0, workers, cache=folder).batches(1)
        found = [bits({"image": b.image, **b.targets}) for b in islice(iterator, 4)]
        iterator.close()
        return found

    plain = batches(None)
    assert batches(tmp_path, workers) == plain
    assert batches(tmp_path, workers) == plain
    kept = sum(nbytes(SampleFiles(folder).read(int(f.stem))) for folder in tmp_path.iterdir() for f in folder.iterdir())
    assert kept > 0


def test_a_run_is_the_same_with_and_without(tiny_spec, tmp_path):
    records, folder = [], tmp_path / "cache"
    for name, machine in (("plain", Machine()), ("cold", Machine(cache=folder)), ("warm", Machine(cache=folder))):
        (tmp_path / name).mkdir()
        records.append(execute(tiny_spec, 0, tmp_path / name, machine)["metrics"])
    assert records[0] == records[1] == records[2]
    counts = sorted(len(list(split.iterdir())) for split in (folder / "decoded").iterdir())
    assert counts == [4, 8]  # what is evaluated is kept as well
    assert list((folder / "manifests").iterdir())
