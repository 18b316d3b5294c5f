"""Ranks share every batch: together they have what one process has."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_samples import TOY, sample

from mtlrepro.data.loader import TrainLoader
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.data.streams import Stream
from mtlrepro.errors import SpecError


class Toy:
    info = DatasetInfo("toys", tuple(TOY), class_names=("a", "b", "c"))

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return {**sample(16, 24, index), "intrinsics": torch.full((3, 3), float(index))}

    def digest(self):
        return str(self.n)


def odd(index, task):
    return index % 2 == 1 or task == "depth"


def loader(rank=0, ranks=1, workers=0, batch=6, extra=2, n=15, **options):
    streams = Stream(Toy(n), range(n), odd, batch), Stream(Toy(5), range(5), odd, extra) if extra else None
    options = {"augment": "flip_crop_photo", "views": 2, **options}
    return TrainLoader(streams, TOY, (16, 24), seed=0, workers=workers, rank=rank, ranks=ranks, **options)


def tensors(batch):
    """Everything of a batch that has a row a sample."""
    found = {"image": batch.image, "index": batch.index}
    for kind in ("targets", "labelled", "geometry"):
        found |= {f"{kind} {name}": value for name, value in getattr(batch, kind).items()}
    for k, view in enumerate(batch.others):
        found |= {f"image {k}": view.image, **{f"{name} {k}": value for name, value in view.targets.items()}}
        found[f"windows {k}"] = torch.tensor([list(map(float, window)) for window in view.windows])
    return found


def dealt(whole, main, extra):
    """The rows of a whole batch in the order in which the ranks have them, one rank after the other."""
    ranks = len(main)
    rows = [[*range(r, sum(main), ranks), *range(sum(main) + r, sum(main) + sum(extra), ranks)] for r in range(ranks)]
    return {name: value[list(itertools.chain(*rows))] for name, value in whole.items()}


@settings(max_examples=20)
@given(st.sampled_from([1, 2, 3, 6]), st.integers(0, 12))
def test_the_ranks_together_have_the_batch(ranks, step):
    whole = tensors(loader(extra=6).batch_at(step))
    batches = [loader(rank, ranks, extra=6).batch_at(step) for rank in range(ranks)]
    assert [batch.extra for batch in batches] == [6 // ranks] * ranks
    parts = [tensors(batch) for batch in batches]
    share = [6 // ranks] * ranks
    for name, value in dealt(whole, share, share).items():
        assert torch.equal(torch.cat([part[name] for part in parts]), value), name


@pytest.mark.parametrize(("workers", "ranks"), [(0, 2), (2, 2), (2, 1)])
@pytest.mark.parametrize("start", [0, 3])
def test_order_and_resuming_do_not_depend_on_workers_or_ranks(workers, ranks, start):
    steps = range(start, start + 4)
    want = [tensors(loader().batch_at(step)) for step in steps]
    found = []
    for rank in range(ranks):
        iterator = loader(rank, ranks, workers).batches(start)
        found.append([tensors(batch) for batch in itertools.islice(iterator, len(steps))])
        iterator.close()
    for number, whole in enumerate(want):
        for name, value in dealt(whole, [6 // ranks] * ranks, [2 // ranks] * ranks).items():
            assert torch.equal(torch.cat([one[number][name] for one in found]), value), (number, name)


def test_a_rank_sees_other_samples_from_epoch_to_epoch():
    one = loader(1, 2, extra=0)
    seen = [set(itertools.chain(*(one.indices_at(step) for step in (2 * e, 2 * e + 1)))) for e in range(10)]
    assert set.union(*seen) == set(range(15))
    assert all(len(rows) == 6 for rows in seen)


@pytest.mark.parametrize(
    ("options", "field", "samples"),
    [
        (dict(ranks=4), "recipe.batch", 6),
        (dict(ranks=3), "recipe.extra", 2),
        (dict(ranks=2, drop_last=False), "recipe.drop_last", 3),
    ],
)
def test_a_batch_that_cannot_be_shared(options, field, samples):
    with pytest.raises(SpecError, match=rf"{field}: {samples} samples of a step cannot be dealt out to \d processes"):
        loader(**options)
    assert loader(ranks=3, extra=0, drop_last=False).steps_per_epoch == 3
