"""Batches augmented as a whole, against the same batches made one sample after the other."""

import itertools
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from toy_samples import same, sample

from mtlrepro.data import loader as loader_module
from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.data.streams import Stream
from mtlrepro.data.transforms.augment import AUGMENTATIONS
from mtlrepro.data.transforms.batched import BATCHED
from mtlrepro.tasks import TASKS, make_tasks

SIZE = (27, 40)
FIELDS = ("image", "normals")
"""What is interpolated."""

CASES = [
    (name, views)
    for name, augmentation in AUGMENTATIONS.items()
    if augmentation in BATCHED
    for views in ((1,) if augmentation.zoom else (1, 3))
]


class Toy:
    """Every kind of label, with invalid pixels; images of 8 bits; some samples' vectors are a little short."""

    info = DatasetInfo("toys", tuple(TASKS), class_names=("a", "b", "c"))
    left_out: tuple[str, ...] = ()

    def __init__(self, n, size=SIZE):
        self.n, self.size = n, size

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        noise = torch.randn(5, *self.size, generator=generator)
        noise[:, 3:9, 5:11] = float("nan")
        maps = dict(zip(("occlusion", "reshading", "keypoints", "texture"), noise[:4], strict=True))
        ids = torch.randint(0, 7, (2, *self.size), generator=generator).to(torch.uint8)
        ids[:, -4:] = 255
        made = sample(*self.size, index)
        # All in one half-space: where opposite vectors meet, next to nothing is left of them, nor of the digits.
        valid = (made["normals"] != 0).any(0)
        made["normals"][2] = torch.where(valid, made["normals"][2].abs() + 0.5, 0.0)
        normals = F.normalize(made["normals"], dim=0) * (0.995 if index % 4 == 1 else 1.0)
        binary = torch.where(ids[1] == 255, ids[1], ids[1] % 2)
        return {**maps, "parts": ids[0], "saliency": binary, **made, "normals": normals}

    def digest(self):
        return "toys"


class Floats(Toy):
    """Images in [0, 1]."""

    def __getitem__(self, index):
        made = super().__getitem__(index)
        return {**made, "image": made["image"] / 255}


class DepthOnly(Toy):
    info = DatasetInfo("depths", ("depth",))

    def __getitem__(self, index):
        return {name: value for name, value in super().__getitem__(index).items() if name in ("image", "depth")}


ALL = make_tasks(Toy.info.tasks, Toy.info)


def some(index, task):
    """Depth of even samples, everything else of odd ones, nothing of every fifth."""
    return index % 5 != 4 and (task == "depth") == (index % 2 == 0)


def streams(dataset=None, extra=None, **options):
    main = Stream(dataset or Toy(12), range(12), some, 5)
    return main, Stream(extra, range(len(extra)), lambda index, task: task == "depth", 2, **options) if extra else None


def both(monkeypatch, *args, **options):
    """Two loaders: one that cannot make batches as a whole, and one that can do nothing else."""
    apart, whole = (TrainLoader(*args, **options) for _ in range(2))
    assert not apart._together  # on the host
    whole._together = True

    def batches(steps):
        for step in range(steps):
            want = apart.batch_at(step)
            with monkeypatch.context() as patch:
                patch.setattr(loader_module, "make_views", None)
                yield want, whole.batch_at(step)

    return batches


def assert_same(found, want, field=lambda name, found, want: torch.equal(found, want)):
    """Field by field; `field` judges what is interpolated."""
    assert torch.equal(found.index, want.index)
    assert {k: v.tolist() for k, v in found.labelled.items()} == {k: v.tolist() for k, v in want.labelled.items()}
    assert (found.normalise, found.extra) == (want.normalise, want.extra)
    assert all(map(same, (found.geometry, found.beside), (want.geometry, want.beside)))
    assert [view.windows for view in found.others] == [view.windows for view in want.others]
    for one, two in zip((found, *found.others), (want, *want.others), strict=True):
        assert one.targets.keys() == two.targets.keys()
        for name, value in {"image": one.image, **one.targets}.items():
            other = two.image if name == "image" else two.targets[name]
            assert (value.dtype, value.shape, value.is_contiguous()) == (other.dtype, other.shape, True), name
            if name in FIELDS:
                assert field(name, value, other), name
            else:
                assert torch.equal(value.nan_to_num(-9), other.nan_to_num(-9)), name


def near(name, found, want):
    """Within 1e-5: some ten times what rounding does to sums of four products up to 1, and to their normalisation."""
    return (found - want).abs().max() < 1e-5


def near_but_for_levels(name, found, want):
    """As `near`, where images lost or won a level of 255 here and there: colour operations cut values off to 8 bits.

    To equalise histograms may then move all pixels of a level. What happens before, and colours by themselves, are held
    to 1e-5 elsewhere.
    """
    off = (found - want).abs()
    return near(name, found, want) if name != "image" else (off > 1e-5).float().mean() < 0.02 and off.mean() < 1e-3


@pytest.mark.parametrize("dataset", [Toy, Floats])
@pytest.mark.parametrize(("augment", "views"), CASES)
def test_batches_are_those_of_one_sample_after_the_other(augment, views, dataset, monkeypatch):
    batches = both(monkeypatch, streams(dataset(12)), ALL, SIZE, augment, 0, views=views)
    augmentation, seen = AUGMENTATIONS[augment], set()
    for want, found in batches(12):
        assert_same(found, want, *[near_but_for_levels] * augmentation.photometric)
        seen |= {window for view in found.others for window in view.windows}
    assert views == 1 or len(seen) > 20


@pytest.mark.parametrize("normalise", ["none", "centred"])
@pytest.mark.parametrize("size", [SIZE, (16, 16), (40, 61)])
def test_sizes_and_normalisations(size, normalise, monkeypatch):
    """Samples are brought to the network's input size before."""
    batches = both(monkeypatch, streams(), ALL, size, "flip_crop_photo", 3, views=2, normalise=normalise)
    for want, found in batches(4):
        assert_same(found, want, near_but_for_levels)


@pytest.mark.parametrize(("augment", "views"), [("flip_zoom", 1), ("flip_crop_photo", 3), ("crop_photo", 2)])
def test_a_second_stream_and_labels_that_a_dataset_does_not_have(augment, views, monkeypatch):
    batches = both(
        monkeypatch, streams(extra=DepthOnly(5, (20, 31))), ALL, SIZE, augment, 0, views=views, drop_last=False
    )
    for want, found in batches(8):
        assert_same(found, want, near_but_for_levels)
        for name, task in ALL.items():
            for view in (found, *found.others):
                shown = task.valid(view.targets[name]).flatten(1).any(1)
                assert shown.tolist() == found.labelled[name].tolist()


def test_samples_are_not_changed(monkeypatch):
    made = TrainLoader(streams(), ALL, SIZE, "flip_crop_photo", 0, views=2)
    made._together = True
    for step in range(6):
        made.batch_at(step)
    for (_, index), kept in made._base._kept.items():
        for name, value in Toy(12)[index].items():
            assert torch.equal(kept[name].nan_to_num(-9), value.nan_to_num(-9)), name


# which batches


def test_augmentations_with_a_batched_form():
    assert {name for name, one in AUGMENTATIONS.items() if one in BATCHED} == {
        name for name, one in AUGMENTATIONS.items() if one.zoom or one.crop
    }


class Posed(Toy):
    def __getitem__(self, index):
        camera = torch.tensor([[9.0, 0, 12], [0, 9, 11], [0, 0, 1]])
        return {**super().__getitem__(index), "intrinsics": camera, "frames": super().__getitem__(index)["image"][None]}


@pytest.mark.parametrize("given", ["camera", "camera beside", "native", "mirrored", "two augmentations", "two dtypes"])
def test_other_batches_are_made_one_sample_after_the_other(given, monkeypatch):
    """The camera moves with the views; where one sample cannot be batched, none is."""
    chosen = {
        "camera": (streams(Posed(12)), "flip_crop_photo"),
        "camera beside": (streams(extra=Posed(5)), "flip_crop_photo"),
        "native": (streams(), "scale_flip_distort_small"),
        "mirrored": (streams(), "flip_photo"),
        "two augmentations": (streams(extra=Toy(5), augment="flip"), "crop_photo"),
        "two dtypes": (streams(extra=Floats(5)), "crop_photo"),
    }
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=1e9))
    which, augment = chosen[given]
    on_device = TrainLoader(which, ALL, SIZE, augment, 0, device="meta")
    made, host = (TrainLoader(which, ALL, SIZE, augment, 0) for _ in range(2))
    made._together = on_device._together
    monkeypatch.setattr(loader_module, "views_together", None)
    for step in range(3):
        assert_same(made.batch_at(step), host.batch_at(step))
    assert bool(made.batch_at(0).geometry) == (given == "camera")
    assert bool(made.batch_at(0).beside) == (given == "camera beside")


@pytest.mark.parametrize(("augment", "views"), CASES)
def test_a_device_gets_them_without_a_value_read_back(augment, views, monkeypatch):
    """Tensors without values stand for those of a GPU; every question for one raises."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=1e9))
    monkeypatch.setattr(loader_module, "make_views", None)
    made = TrainLoader(streams(), ALL, SIZE, augment, 0, views=views, device="meta")
    for batch in itertools.islice(made.batches(), 6):
        for view in (batch, *batch.others):
            assert {t.device.type for t in (view.image, *view.targets.values())} == {"meta"}
