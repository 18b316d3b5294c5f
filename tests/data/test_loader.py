"""Loading: a batch is a pure function of the seed and the step."""

import itertools
import shutil

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from mtlrepro.data import loader as loader_module
from mtlrepro.data.folder import Folder
from mtlrepro.data.loader import TrainLoader, eval_samples
from mtlrepro.data.sample import DatasetInfo, normalise
from mtlrepro.data.transforms import resize_image
from mtlrepro.errors import DataError, SpecError
from mtlrepro.tasks import make_tasks


class Numbers:
    """Sample i is filled with i; counts how often it is asked."""

    info = DatasetInfo("numbers", ("depth",))

    def __init__(self, n, size=(4, 6)):
        self.n, self.size, self.asked = n, size, []

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        self.asked.append(index)
        image = torch.arange(self.size[1]).expand(3, *self.size) + index
        return {"image": image.to(torch.uint8), "depth": image[0].float() + 1}

    def digest(self):
        return str(self.n)


DEPTH = make_tasks(("depth",), Numbers.info)


def numbers(n=10, batch=3, seed=0, augment="flip_zoom", size=(4, 6), **options):
    return TrainLoader(Numbers(n), DEPTH, size, augment, batch, seed, **options)


def tiny(description, workers=0, seed=0, size=(24, 40)):
    dataset = Folder(description, "train")
    tasks = make_tasks(dataset.info.tasks, dataset.info)
    return TrainLoader(dataset, tasks, size, "flip_zoom", 3, seed, workers)


def same(a, b):
    return (
        torch.equal(a.image, b.image)
        and torch.equal(a.index, b.index)
        and a.targets.keys() == b.targets.keys()
        and all(
            torch.equal(a.targets[k], b.targets[k]) and torch.equal(a.labelled[k], b.labelled[k]) for k in a.targets
        )
    )


@given(st.integers(0, 200), st.integers(0, 5))
def test_a_batch_depends_on_seed_and_step_alone(step, seed):
    used, fresh = numbers(seed=seed), numbers(seed=seed)
    for other in (step + 7, 0, max(step - 1, 0)):
        used.batch_at(other)
    torch.manual_seed(step)
    assert same(used.batch_at(step), fresh.batch_at(step))


def test_another_seed_is_another_order_and_another_augmentation():
    orders = [[numbers(seed=s).indices_at(step) for step in range(6)] for s in range(4)]
    assert all(a != b for a, b in itertools.combinations(orders, 2))
    images = [numbers(n=3, seed=s, augment="flip").batch_at(0).image for s in range(8)]
    assert len({tuple(i.flatten().tolist()) for i in images}) > 4


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 1000))
def test_every_epoch_is_a_permutation_with_the_rest_dropped(n, batch, epoch):
    assume(n >= batch)
    loader = numbers(n, batch)
    steps = loader.steps_per_epoch
    assert steps == n // batch
    seen = [i for step in range(epoch * steps, (epoch + 1) * steps) for i in loader.indices_at(step)]
    assert len(seen) == len(set(seen)) == steps * batch
    assert set(seen) <= set(range(n))


def test_epochs_differ_and_none_is_left_out_for_ever():
    loader = numbers(10, 3)
    epochs = [tuple(i for step in range(3 * e, 3 * e + 3) for i in loader.indices_at(step)) for e in range(20)]
    assert len(set(epochs)) == 20
    assert set().union(*epochs) == set(range(10))


def test_a_sample_is_augmented_anew_every_epoch():
    loader = numbers(3, 3, augment="flip")
    mirrored = set()
    for step in range(12):
        batch = loader.batch_at(step)
        is_mirrored = (batch.targets["depth"][:, 0, 0, 0] > batch.targets["depth"][:, 0, 0, 1]).tolist()
        mirrored |= set(zip(batch.index.tolist(), is_mirrored, strict=True))
    assert mirrored == {(i, m) for i in range(3) for m in (False, True)}


def test_resuming_at_any_step_gives_the_same_batches(tiny_dataset):
    whole = list(itertools.islice(tiny(tiny_dataset).batches(), 6))
    for start in range(6):
        rest = list(itertools.islice(tiny(tiny_dataset).batches(start), 6 - start))
        assert all(same(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_workers_change_the_speed_only(tiny_dataset):
    alone = list(itertools.islice(tiny(tiny_dataset).batches(2), 4))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    iterator = tiny(tiny_dataset, workers=2).batches(2)
    shared = list(itertools.islice(iterator, 4))
    iterator.close()
    assert all(same(a, b) for a, b in zip(alone, shared, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_error_in_a_worker_is_the_same_error(tiny_dataset, tmp_path):
    description = shutil.copytree(tiny_dataset.parent, tmp_path / "copy") / tiny_dataset.name
    messages = []
    for workers in (0, 1):
        loader = tiny(description, workers)
        for file in (description.parent / "depth/train").iterdir():
            file.write_bytes(b"")
        with pytest.raises(DataError) as caught:
            next(loader.batches())
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "not an npy file" in messages[0]


def test_samples_are_kept_in_memory_and_not_changed(monkeypatch):
    loader = numbers(6, 3)
    batches = [loader.batch_at(step) for step in range(8)]
    assert sorted(loader.dataset.asked) == list(range(6))
    assert all(same(loader.batch_at(step), batch) for step, batch in enumerate(batches))
    batches[0].image.zero_()
    batches[0].targets["depth"].zero_()
    assert not same(loader.batch_at(0), batches[0])
    monkeypatch.setattr(loader_module, "CACHE_BYTES", 100)
    uncached = numbers(6, 3)
    assert all(same(uncached.batch_at(step), loader.batch_at(step)) for step in range(8))
    assert len(uncached.dataset.asked) == 24


def test_batches_have_the_network_size_and_the_asked_tasks(tiny_dataset):
    dataset = Folder(tiny_dataset, "train")
    batch = TrainLoader(dataset, make_tasks(("depth",), dataset.info), (24, 40), "none", 2, 0).batch_at(0)
    assert batch.image.shape == (2, 3, 24, 40)
    assert {name: tuple(t.shape) for name, t in batch.targets.items()} == {"depth": (2, 1, 24, 40)}
    for position, index in enumerate(batch.index.tolist()):
        assert torch.equal(batch.image[position], normalise(resize_image(dataset[index]["image"], (24, 40))))


def test_too_few_samples():
    with pytest.raises(
        DataError, match=r"dataset numbers: train: the split has 2 samples, fewer than a batch of 3\. L"
    ):
        numbers(2, 3)
    assert numbers(3, 3).steps_per_epoch == 1


def test_an_unknown_augmentation():
    with pytest.raises(SpecError, match=r"unknown augmentation 'flipp'\. Did you mean 'flip'"):
        numbers(augment="flipp")


def test_evaluation_keeps_labels_native_and_in_order():
    dataset = Numbers(4)
    for index, (image, labels) in enumerate(eval_samples(dataset, (2, 3))):
        assert image.shape == (3, 2, 3)
        assert list(labels) == ["depth"]
        assert torch.equal(labels["depth"], dataset[index]["depth"])
    assert index == 3
