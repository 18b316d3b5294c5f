"""Samples that stay in memory, and the batches that are made of them there."""

import itertools
import multiprocessing
import pickle
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_samples import INFO, TOY, sample

from mtlrepro.data import resident
from mtlrepro.data.draws import Draws
from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.resident import BaseSamples, Resident
from mtlrepro.data.sample import IMAGENET_MEAN, IMAGENET_STD, DatasetInfo, as_targets
from mtlrepro.data.streams import Stream
from mtlrepro.data.transforms.augment import AUGMENTATIONS, random_rescale_cut
from mtlrepro.errors import DataError
from mtlrepro.tasks import TASKS, make_tasks

SIZE = (24, 32)
GPU = torch.device("cuda", 0)


class Toy:
    """Noise of two sizes: even samples are the network's input, odd ones twice as wide."""

    info = INFO

    def __init__(self, n, sizes=(SIZE, (24, 64))):
        self.n, self.sizes, self.asked = n, sizes, []

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        self.asked.append(index)
        return sample(*self.sizes[index % 2], index)

    def digest(self):
        return str(self.n)


def odd(index, task):
    return index % 2 == 1 or task == "depth"


def loader(augment="flip_zoom", workers=0, device="cpu", sizes=(SIZE, SIZE), size=SIZE, extra=True, **options):
    streams = Stream(Toy(8, sizes), range(8), odd, 3), Stream(Toy(5, sizes), [0, 2, 3], odd, 2) if extra else None
    return TrainLoader(streams, TOY, size, augment, 0, workers, device=device, **options)


def filled_by_workers(**options):
    """As on a GPU: workers read samples, this process keeps them and makes the batches."""
    made = loader(workers=2, **options)
    made._base._enabled = True
    return made


def tensors(batch):
    views = (batch, *batch.others)
    return {
        "index": batch.index,
        **{f"labelled {k}": v for k, v in batch.labelled.items()},
        **{
            f"{name} {n}": v
            for n, view in enumerate(views)
            for name, v in {"image": view.image, **view.targets}.items()
        },
    }


def assert_same(one, two, **tolerance):
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name].cpu(), value.cpu(), **{"rtol": 0, "atol": 0, **tolerance}, msg=name)


def workers_end(within=10.0):
    end = time.monotonic() + within
    while multiprocessing.active_children() and time.monotonic() < end:
        time.sleep(0.02)
    return not multiprocessing.active_children()


# numbers


def brute_force(made, mirrored, scale):
    """Flip, zoom and normalise one sample in float64, pixel by pixel."""
    h, w = made["depth"].shape
    image, normals = made["image"].double().numpy(), made["normals"].double().numpy()
    flat = {name: made[name].double().numpy() for name in ("semseg", "depth", "edges")}
    if mirrored:
        image, normals, flat = image[..., ::-1], normals[..., ::-1].copy(), {k: v[..., ::-1] for k, v in flat.items()}
        normals[0] *= -1
    out = {name: np.zeros((h, w)) for name in flat} | {"image": np.zeros((3, h, w)), "normals": np.zeros((3, h, w))}
    for i, j in itertools.product(range(h), range(w)):
        y, x = i / scale + h / 2 * (1 - 1 / scale), j / scale + w / 2 * (1 - 1 / scale)
        y, x = round(y, 9), round(x, 9)
        for name, values in flat.items():
            out[name][i, j] = values[round(y), round(x)]
        top, left = int(y), int(x)
        corners = [(r, c) for r in (top, top + 1) for c in (left, left + 1)]
        shares = [(1 - abs(y - r)) * (1 - abs(x - c)) for r, c in corners]
        mixed = {
            name: sum(s * v[:, min(r, h - 1), min(c, w - 1)] for s, (r, c) in zip(shares, corners, strict=True))
            for name, v in (("image", image), ("normals", normals))
        }
        out["image"][:, i, j] = mixed["image"]
        length = np.linalg.norm(mixed["normals"])
        if normals[:, round(y), round(x)].any() and length > 1e-6:
            out["normals"][:, i, j] = mixed["normals"] / length
    tie = np.abs(out["image"] % 1 - 0.5) < 1e-4 if scale > 1 else np.zeros((3, h, w), bool)
    out["image"] = out["image"].round()
    out["depth"] /= scale
    return out, tie


@pytest.mark.parametrize("make", [loader, filled_by_workers], ids=["read here", "read by workers"])
def test_batches_are_what_an_oracle_makes(make):
    made = make(extra=False)
    seen = set()
    mean, std = (np.array(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    for step, batch in enumerate(itertools.islice(made.batches(), 6)):
        for row, index in enumerate(batch.index.tolist()):
            draws = Draws("augment", 0, step // made.steps_per_epoch, index)
            mirrored, scale = draws.uniform() < 0.5, draws.choice((1.0, 1.2, 1.5))
            seen.add((mirrored, scale))
            want, tie = brute_force(made.main.dataset[index], mirrored, scale)
            levels = (batch.image[row].double().numpy() * std + mean) * 255
            off = np.abs(levels - want["image"])
            assert off[~tie].max() < 1e-3
            assert off.max() < 1.001  # float32 may round a half the other way
            for name in TOY:
                if odd(index, name):
                    found = batch.targets[name][row].double().numpy()
                    np.testing.assert_allclose(found.reshape(want[name].shape), want[name], atol=2e-5, err_msg=name)
    assert len(seen) > 4


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_all_ways_to_make_batches_give_the_same(augment):
    views = 1 if AUGMENTATIONS[augment].zoom or AUGMENTATIONS[augment].native else 2
    size = (16, 24) if AUGMENTATIONS[augment].fit == "keep" else (24, 64)
    ways = [
        make(augment=augment, views=views, sizes=((20, 30), (24, 64)), size=size)
        for make in (loader, filled_by_workers)
    ]
    ways.append(loader(augment, workers=2, views=views, sizes=((20, 30), (24, 64)), size=size))
    found = []
    for way in ways:
        iterator = way.batches(1)
        found.append([tensors(batch) for batch in itertools.islice(iterator, 5)])
        iterator.close()
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert_same(one, two)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=4))
def test_targets_made_of_a_whole_batch_are_those_of_each_label(seeds):
    info = DatasetInfo("toys", tuple(TASKS), class_names=("a", "b", "c"))
    for name, task in make_tasks(TASKS, info).items():
        labels = [sample(5, 6, seed).get(name, task.unlabelled((5, 6))) for seed in seeds]
        want = torch.stack([task.collate(label) for label in labels])
        found = as_targets(task, torch.stack(labels))
        assert found.dtype == want.dtype
        assert torch.equal(found.nan_to_num(-9), want.nan_to_num(-9))


def test_where_a_sample_is_cut_does_not_depend_on_the_tasks():
    class Plain(Toy):
        def __getitem__(self, index):
            semseg = torch.zeros(self.sizes[index % 2], dtype=torch.uint8)
            semseg[:, :10] = 1
            return {**super().__getitem__(index), "semseg": semseg}

    cuts = []
    for names in (("depth",), ("depth", "semseg")):
        tasks = {name: TOY[name] for name in names}
        stream = Stream(Plain(8), range(8), lambda index, task: True, 4)
        made = TrainLoader((stream, None), tasks, (12, 16), "scale_flip_distort", 0)
        cuts.append([made.batch_at(step).targets["depth"] for step in range(6)])
    assert all(torch.equal(one, two) for one, two in zip(*cuts, strict=True))


def test_a_camera_reaches_the_batch():
    class Posed(Toy):
        def __getitem__(self, index):
            camera = torch.tensor([[9.0, 0, 12], [0, 9, 11], [0, 0, 1]])
            motion, frames = torch.eye(4).expand(2, 4, 4), torch.full((2, 3, *SIZE), index, dtype=torch.uint8)
            return {**super().__getitem__(index), "intrinsics": camera, "motion": motion, "frames": frames}

    both = Posed(6, (SIZE, SIZE)), Toy(4, (SIZE, SIZE))
    main, extra = (Stream(dataset, range(len(dataset)), odd, 3) for dataset in both)
    batch = TrainLoader((main, None), TOY, SIZE, "flip", 0).batch_at(0)
    assert {k: tuple(v.shape) for k, v in batch.geometry.items()} == {
        "intrinsics": (3, 3, 3), "motion": (3, 2, 4, 4), "frames": (3, 2, 3, *SIZE),
    }  # fmt: skip
    assert set(batch.geometry["intrinsics"][:, 0, 2].tolist()) <= {12.0, SIZE[1] - 12.0}
    assert {v.device.type for v in batch.to("meta").geometry.values()} == {"meta"}
    assert TrainLoader((main, extra), TOY, SIZE, "flip", 0).batch_at(0).geometry == {}  # not every sample has one


# what is kept


def test_workers_read_every_sample_once_and_end():
    made = filled_by_workers(extra=False)
    want = [tensors(batch) for batch in itertools.islice(loader(extra=False).batches(), 12)]
    iterator = made.batches()
    steps = 0
    while not made._base.complete:
        assert_same(tensors(next(iterator)), want[steps])
        steps += 1
    for step in range(steps, 12):
        assert_same(tensors(next(iterator)), want[step])
        assert workers_end()
    assert made.main.dataset.asked == []  # in this process
    made.release()
    assert not made._base.complete
    assert_same(tensors(next(iterator)), tensors(loader(extra=False).batch_at(12)))


def test_a_wrong_label_is_named_when_it_is_kept():
    class Wrong(Toy):
        def __getitem__(self, index):
            return {**super().__getitem__(index), "semseg": torch.full(SIZE, 7, dtype=torch.uint8)}

    memory = Resident([(BaseSamples(Wrong(4), TOY, SIZE), range(4))], torch.device("meta"))
    with pytest.raises(DataError, match="semseg: label holds class id 7 of 3 classes"):
        memory.keep(*memory.fetch((0, 1)))


def test_a_gpu_takes_all_samples_or_none(monkeypatch):
    rows = sum(t.numel() * t.element_size() for t in sample(*SIZE).values())
    for share, fits in ((11 * rows, True), (11 * rows - 1, False)):
        total = SimpleNamespace(total_memory=share / resident.DEVICE_SHARE)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device, total=total: total)
        assert loader(device=GPU)._base.fits == fits  # 8 samples and 3


def test_the_host_keeps_as_many_as_there_is_room_for(monkeypatch):
    one = sum(t.numel() * t.element_size() for t in sample(*SIZE).values())
    monkeypatch.setattr(resident, "CACHE_BYTES", 3 * one)
    made = loader(extra=False)
    for step in range(8):
        made.batch_at(step)
    kept = [i for i in range(8) if made.main.dataset.asked.count(i) == 1]
    assert len(kept) >= 3
    assert len(made.main.dataset.asked) > 8
    assert len(made._base.missing()) == 5


def test_workers_are_given_nothing_large():
    made = loader(sizes=((240, 320), (240, 320)), size=(240, 320))
    for step in range(4):
        made.batch_at(step)
    assert len(made._base._kept) > 6
    made.main.dataset.asked.clear()
    assert len(pickle.dumps(made.batch_at)) < 20_000
    assert len(pickle.dumps(made._base.fetch)) < 20_000
    assert torch.equal(pickle.loads(pickle.dumps(made)).batch_at(1).image, made.batch_at(1).image)


@pytest.mark.parametrize("make", [lambda: loader(workers=2), filled_by_workers], ids=["batches", "samples"])
@pytest.mark.parametrize("end", ["close", "drop", "error"])
def test_an_iterator_that_ends_ends_its_workers(make, end):
    iterator = make().batches()
    next(iterator)
    assert len(multiprocessing.active_children()) == 2
    if end == "close":
        iterator.close()
    elif end == "error":
        with pytest.raises(KeyError):
            iterator.throw(KeyError)
    del iterator
    assert workers_end()


# on a GPU


@pytest.mark.parametrize(
    "augment", [name for name, one in AUGMENTATIONS.items() if random_rescale_cut not in one.steps]
)
def test_no_value_is_read_back(augment, monkeypatch):
    """Tensors without values, of which any question raises, stand for those of a GPU; only shapes are looked at."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=1e9))
    views = 1 if AUGMENTATIONS[augment].zoom or AUGMENTATIONS[augment].native else 2
    size = (16, 24) if AUGMENTATIONS[augment].fit == "keep" else SIZE
    for workers in (0, 2):
        made = loader(augment, workers, "meta", size=size, views=views)
        for batch in itertools.islice(made.batches(), 6):
            for view in (batch, *batch.others):
                assert {t.device.type for t in (view.image, *view.targets.values())} == {"meta"}
            assert {t.device.type for t in (batch.index, *batch.labelled.values())} == {"cpu"}
            want = loader(augment, size=size, views=views).batch_at(0)
            assert {k: (v.shape, v.dtype) for k, v in batch.targets.items()} == {
                k: (v.shape, v.dtype) for k, v in want.targets.items()
            }


@pytest.mark.gpu
@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_gpu_makes_the_batches_of_a_cpu(augment, workers):
    views = 1 if AUGMENTATIONS[augment].zoom or AUGMENTATIONS[augment].native else 2
    options = dict(augment=augment, views=views, size=(16, 24) if AUGMENTATIONS[augment].fit == "keep" else (24, 64))
    want = [tensors(loader(sizes=((20, 30), (24, 64)), **options).batch_at(step)) for step in range(6)]
    iterator = loader(sizes=((20, 30), (24, 64)), workers=workers, device=GPU, **options).batches()
    for one, batch in zip(want, iterator, strict=False):
        assert batch.image.device == GPU
        assert {t.device for t in batch.targets.values()} == {GPU}
        assert {t.device.type for t in (batch.index, *batch.labelled.values())} == {"cpu"}
        two = tensors(batch)
        for name, value in one.items():  # one level of 255 at most, where a value was rounded to 8 bits
            difference = (two[name].cpu().double() - value.double()).abs()
            assert difference.max() < (1.3 / 255 / min(IMAGENET_STD) if name.startswith("image") else 1e-4), name
            assert (difference > 1e-4).double().mean() < 0.01, name
    iterator.close()


@pytest.mark.gpu
@pytest.mark.parametrize("augment", [name for name, augmentation in AUGMENTATIONS.items() if not augmentation.native])
def test_nothing_waits_for_the_gpu(augment):
    made = loader(augment=augment, device=GPU, size=SIZE)
    for step in range(20):
        made.batch_at(step)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(20):
            made.batch_at(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
