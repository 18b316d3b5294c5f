"""Loading: labels that training may not see, and further views of the samples."""

import itertools

import pytest
import torch
from loader_samples import Numbers, even, numbers, same, whole
from toy_samples import sample

from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.data.streams import Stream
from mtlrepro.data.transforms.crop import Window
from mtlrepro.errors import SpecError
from mtlrepro.tasks import TASKS, make_tasks

# hidden labels


MAPS = ("occlusion", "reshading", "keypoints", "texture")


class Toy(Numbers):
    """Samples with every kind of label."""

    info = DatasetInfo("toys", tuple(TASKS), class_names=("a", "b", "c"))

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        maps = {name: torch.randn(32, 32, generator=generator) for name in MAPS}
        ids = {
            name: torch.randint(0, 2, (32, 32), generator=generator).to(torch.uint8) for name in ("parts", "saliency")
        }
        return {**maps, **ids, **sample(32, 32, index)}


ALL = make_tasks(Toy.info.tasks, Toy.info)


@pytest.mark.parametrize(("augment", "views"), [("flip_crop_photo", 3), ("flip_zoom", 1), ("flip", 2)])
def test_hidden_labels_are_erased_in_every_view(augment, views):
    main, extra = whole(Toy(6), 3, even), Stream(Toy(5), [1, 3], lambda i, task: False, 1)
    loader = TrainLoader((main, extra), ALL, (32, 32), augment, 0, views=views)
    for step in range(4):
        batch = loader.batch_at(step)
        assert len(batch.others) == views - 1
        for name, task in ALL.items():
            want = [even(i, name) for i in loader.indices_at(step)] + [False]
            assert batch.labelled[name].tolist() == want
            for view in (batch, *batch.others):
                assert task.valid(view.targets[name]).flatten(1).any(1).tolist() == want


def test_a_second_stream_may_have_an_augmentation_of_its_own():
    """Cut from larger pictures beside whole ones, as where one domain's pictures are wider."""

    class Wide(Toy):
        def __getitem__(self, index):
            return {name: value.repeat_interleave(2, -1) for name, value in super().__getitem__(index).items()}

    def never(index, task):
        return False

    main, extra = Stream(Wide(6), range(6), even, 2), Stream(Toy(5), range(5), never, 1, "none")
    loader = TrainLoader((main, extra), ALL, (32, 32), "flip_cut", 0)
    for step in range(3):
        batch, (index,) = loader.batch_at(step), loader.extra_at(step)
        assert batch.image.shape == (3, 3, 32, 32)
        expected = TrainLoader((Stream(Toy(5), [index], never, 1), None), ALL, (32, 32), "none", 0).batch_at(0)
        assert torch.equal(batch.image[2], expected.image[0])


def test_what_is_hidden_is_not_in_the_batch_at_all():
    """Another label there gives the same batch."""

    class Other(Toy):
        def __getitem__(self, index):
            found = super().__getitem__(index)
            return {**found, "semseg": (found["semseg"] + 1) % 3} if even(index, "depth") else found

    one, two = (
        TrainLoader((whole(dataset, 3, even), None), {"semseg": ALL["semseg"]}, (32, 32), "crop_photo", 0, views=2)
        for dataset in (Toy(6), Other(6))
    )
    assert all(same(one.batch_at(step), two.batch_at(step)) for step in range(4))


def test_a_label_that_a_dataset_does_not_have_is_invalid():
    loader = TrainLoader(
        (whole(Toy(3), 3), whole(Numbers(4, (32, 32)), 2, lambda _, task: task == "depth")), ALL, (32, 32), "flip", 0
    )
    batch = loader.batch_at(0)
    for name, task in ALL.items():
        assert batch.labelled[name].tolist() == [True] * 3 + [name == "depth"] * 2
        assert bool(task.valid(batch.targets[name][3:]).any()) == (name == "depth")


# views


def test_windows_say_what_a_view_shows():
    loader = TrainLoader((whole(Toy(6), 3), None), ALL, (32, 32), "flip_crop_photo", 0, views=3)
    batch = loader.batch_at(0)
    assert [len(view.windows) for view in batch.others] == [3, 3]
    assert all(isinstance(window, Window) for view in batch.others for window in view.windows)
    assert len({window for view in batch.others for window in view.windows}) > 3
    assert all(not window.flip for window in batch.others[1].windows)
    for view in batch.others:
        assert view.image.shape == batch.image.shape
        assert {k: (t.shape, t.dtype) for k, t in view.targets.items()} == {
            k: (t.shape, t.dtype) for k, t in batch.targets.items()
        }


def test_the_first_view_is_the_same_however_many_follow():
    one, three = (
        TrainLoader((whole(Toy(6), 3), None), ALL, (32, 32), "crop_photo", 0, views=views) for views in (1, 3)
    )
    for step in range(3):
        few, many = one.batch_at(step), three.batch_at(step)
        many.others = ()
        assert same(few, many)


def test_further_views_of_samples_without_any_label_share_their_window():
    none = whole(Toy(4), 4, lambda i, task: False)
    loader = TrainLoader((whole(Toy(4), 4), none), ALL, (32, 32), "flip_crop_photo", 0, views=3)
    apart = 0
    for step in range(3):
        first, second = loader.batch_at(step).others
        assert first.windows[4:] == second.windows[4:]
        assert not torch.equal(first.image[4:], second.image[4:])  # colours of their own
        apart += sum(a != b for a, b in zip(first.windows[:4], second.windows[:4], strict=True))
    assert apart > 6


def test_views_need_an_augmentation_that_makes_them():
    with pytest.raises(SpecError, match=r"data\.augment: .*makes one view of a sample, 2 are asked for"):
        numbers(views=2)


def test_workers_and_kills_change_nothing_with_views_and_a_second_stream(tiny_dataset):
    def made(workers):
        dataset = Folder(tiny_dataset, "train")
        tasks = make_tasks(dataset.info.tasks, dataset.info)
        streams = Stream(dataset, [0, 1, 2, 3, 4], even, 2), Stream(dataset, [5, 6, 7], even, 1)
        return TrainLoader(streams, tasks, (32, 64), "flip_crop_photo", 1, workers, 3, "none", drop_last=False)

    alone = list(itertools.islice(made(0).batches(), 7))
    assert all(same(made(0).batch_at(step), batch) for step, batch in reversed(list(enumerate(alone))))
    iterator = made(2).batches(1)
    shared = list(itertools.islice(iterator, 6))
    iterator.close()
    assert all(same(a, b) for a, b in zip(alone[1:], shared, strict=True))
    assert [len(batch.image) for batch in alone] == [3, 3, 2] * 2 + [3]
    assert not same(alone[0], alone[1])
