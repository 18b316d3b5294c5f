"""Loading: a batch is a pure function of the seed and the step."""

import itertools
import math
import shutil

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from loader_samples import Numbers, numbers, same, tiny, whole

from mtlrepro.data import resident as resident_module
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.loader import TrainLoader, eval_samples
from mtlrepro.data.sample import centred, normalise, restored, scaled
from mtlrepro.data.transforms.basic import resize_image
from mtlrepro.errors import DataError, SpecError
from mtlrepro.tasks import make_tasks


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
    assert sorted(loader.main.dataset.asked) == list(range(6))
    assert all(same(loader.batch_at(step), batch) for step, batch in enumerate(batches))
    batches[0].image.zero_()
    batches[0].targets["depth"].zero_()
    assert not same(loader.batch_at(0), batches[0])
    monkeypatch.setattr(resident_module, "CACHE_BYTES", 100)
    uncached = numbers(6, 3)
    assert all(same(uncached.batch_at(step), loader.batch_at(step)) for step in range(8))
    assert len(uncached.main.dataset.asked) == 24


def test_batches_have_the_network_size_and_the_asked_tasks(tiny_dataset):
    dataset = Folder(tiny_dataset, "train")
    depth = make_tasks(("depth",), dataset.info)
    batch = TrainLoader((whole(dataset, 2), None), depth, (24, 40), "none", 0).batch_at(0)
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


# the last batch


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 50))
def test_without_dropping_every_epoch_is_whole_and_its_last_batch_small(n, batch, epoch):
    assume(n >= batch)
    loader = numbers(n, batch, drop_last=False)
    steps = loader.steps_per_epoch
    assert steps == math.ceil(n / batch)
    batches = [loader.indices_at(step) for step in range(epoch * steps, (epoch + 1) * steps)]
    assert sorted(itertools.chain(*batches)) == list(range(n))
    assert [len(b) for b in batches] == [batch] * (n // batch) + [n % batch] * (n % batch > 0)


def test_a_small_last_batch_is_a_batch():
    loader = numbers(5, 3, drop_last=False, extra=whole(Numbers(4), 2))
    batch = loader.batch_at(1)
    assert batch.image.shape == (2 + 2, 3, 4, 6)
    assert batch.index.tolist() == [*loader.indices_at(1), *loader.extra_at(1)]
    assert numbers(5, 3).steps_per_epoch == 1


# the second stream


@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 40))
def test_the_second_stream_goes_round_without_replacement(n, batch, start):
    loader = numbers(extra=whole(Numbers(n), batch))
    drawn = [i for step in range(start + 3 * n) for i in loader.extra_at(step)]
    passes = [drawn[k : k + n] for k in range(0, len(drawn) - n + 1, n)]
    assert len(passes) >= 3
    assert all(sorted(one) == list(range(n)) for one in passes)
    fresh = numbers(extra=whole(Numbers(n), batch))  # a run that resumes
    assert fresh.extra_at(start) == drawn[start * batch : (start + 1) * batch]


def test_every_pass_of_the_second_stream_has_an_order_of_its_own():
    def order(seed):
        loader = numbers(extra=whole(Numbers(8), 4), seed=seed)
        return [tuple(loader.extra_at(2 * k) + loader.extra_at(2 * k + 1)) for k in range(6)]

    assert len({*order(0), *order(1)}) == 12


def test_the_second_stream_follows_the_first_and_changes_nothing_in_it():
    alone, beside = numbers(), numbers(extra=whole(Numbers(7), 2))
    assert beside.steps_per_epoch == alone.steps_per_epoch
    for step in range(9):
        one, both = alone.batch_at(step), beside.batch_at(step)
        assert both.index.tolist() == [*alone.indices_at(step), *beside.extra_at(step)]
        assert torch.equal(both.image[:3], one.image)
        assert torch.equal(both.targets["depth"][:3], one.targets["depth"])
        assert (one.extra, both.extra) == (0, 2)
    assert alone.extra_at(0) == []


def test_the_camera_of_the_second_stream_is_known_though_the_first_has_none():
    class Filmed(Numbers):
        def __getitem__(self, index):
            intrinsics = torch.diag(torch.tensor([index + 1.0, 2.0, 1.0]))
            return {**super().__getitem__(index), "intrinsics": intrinsics, "motion": torch.eye(4)[None]}

    loader = numbers(augment="none", extra=whole(Filmed(7), 2))
    batch = loader.batch_at(2).to("cpu")
    assert batch.geometry == {}
    assert {key: tuple(value.shape) for key, value in batch.beside.items()} == {
        "intrinsics": (2, 3, 3),
        "motion": (2, 1, 4, 4),
    }
    assert batch.beside["intrinsics"][:, 0, 0].tolist() == [i + 1.0 for i in loader.extra_at(2)]
    assert numbers(augment="none").batch_at(2).beside == {}


def test_a_sample_of_the_second_stream_is_augmented_anew_every_step():
    loader = numbers(3, 3, augment="flip", extra=whole(Numbers(1), 1))
    depths = [loader.batch_at(step).targets["depth"][3, 0, 0] for step in range(20)]
    assert len({bool(row[0] > row[1]) for row in depths}) == 2


def test_a_sample_that_comes_twice_in_a_step_is_augmented_twice():
    loader = numbers(3, 3, augment="flip", extra=whole(Numbers(1), 8))
    depths = [row for step in range(3) for row in loader.batch_at(step).targets["depth"][3:, 0, 0]]
    assert len(depths) == 24
    assert 4 < sum(bool(row[0] > row[1]) for row in depths) < 20


class Far(Numbers):
    """The same samples, 100 m farther away."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return {**sample, "depth": sample["depth"] + 100}


def test_samples_of_two_datasets_are_not_mixed_up_in_memory():
    loader = numbers(4, 4, augment="none", extra=whole(Far(4), 4))
    for step in range(2):
        depth = loader.batch_at(step).targets["depth"].amax((1, 2, 3))
        assert (depth[:4] < 100).all()
        assert (depth[4:] >= 100).all()


@pytest.mark.parametrize(("name", "function"), [("none", scaled), ("imagenet", normalise), ("centred", centred)])
def test_the_networks_input_is_what_the_spec_says(name, function):
    loader = numbers(3, 3, augment="none", normalise=name)
    batch = loader.batch_at(0)
    images = torch.stack([loader.main.dataset[i]["image"] for i in batch.index.tolist()])
    assert torch.equal(batch.image, function(images))
    assert batch.normalise == name
    torch.testing.assert_close(restored(batch.image, batch.normalise), images / 255)
    with pytest.raises(
        SpecError, match=r"data\.normalise: unknown normalisation 'imagenett'\. Did you mean 'imagenet'"
    ):
        numbers(normalise="imagenett")


def test_evaluation_keeps_labels_native_and_in_order():
    dataset = Numbers(4)
    for index, (image, labels) in enumerate(eval_samples(dataset, (2, 3))):
        assert image.shape == (3, 2, 3)
        assert list(labels) == ["depth"]
        assert torch.equal(labels["depth"], dataset[index]["depth"])
    assert index == 3
