"""Which samples and which of their labels a training may see."""

import itertools
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mtlrepro.data import build_dataset
from mtlrepro.data.loader import open_loader
from mtlrepro.data.partial import KEY, SETTINGS, label_mask
from mtlrepro.data.sample import DatasetInfo
from mtlrepro.data.streams import drawn_rows, extra_source, mask_of, source, training_streams
from mtlrepro.errors import DataError, SpecError
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, Recipe, RunSpec, options
from mtlrepro.tasks import make_tasks

BOTH, TINY_SIZE = ("semseg", "depth"), (32, 32)
DEPTH_ONLY = """
name = "far"
image = "image/{split}/{id}.png"

[tasks.depth]
path = "depth/{split}/{id}.npy"
"""


class Fake:
    """A split of a given length, on which only `len` is asked."""

    info = DatasetInfo("fake", BOTH)

    def __init__(self, length=20, root=None):
        self.length, self.root = length, root

    def __len__(self):
        return self.length


def data(name="fake", **changes):
    return DataSpec(name, TINY_SIZE, "flip", **changes)


def partial(labels="onelabel", **changes):
    return data(labels=labels, labels_over=BOTH, **changes)


def recipe(batch=4, extra=0):
    return Recipe("adam", 1e-3, 0.0, batch=batch, epochs=2, extra=extra)


def streams(spec, extra=0, length=20):
    return training_streams(spec, recipe(extra=extra), lambda _: Fake(length))


def table(stream, rows=None):
    return [[stream.labelled(i, task) for task in BOTH] for i in (stream.rows if rows is None else rows)]


def test_without_a_setting_every_label_may_be_seen():
    main, extra = streams(data())
    assert extra is None
    assert list(main.rows) == list(range(20))
    assert main.batch == 4
    assert all(all(row) for row in table(main))


@pytest.mark.parametrize("labels", ["onelabel", "full"])
def test_labels_are_those_of_the_setting(labels):
    main, extra = streams(partial(labels))
    mask = label_mask(labels, BOTH, 20)
    assert extra is None
    assert list(main.rows) == list(range(20))
    assert table(main) == [[mask.labelled(i, task) for task in BOTH] for i in range(20)]
    assert main.labelled(0, "normals")  # not dealt out
    assert [sum(row) for row in table(main)] == [1 if labels == "onelabel" else 2] * 20


@given(st.sampled_from(["full", "onelabel"]), st.integers(1, 99), st.integers(4, 60))
def test_samples_without_labels_stay_in_the_main_stream_unless_set_apart(labels, percent, length):
    main, extra = streams(partial(labels, unlabelled=percent), length=length)
    assert extra is None
    assert list(main.rows) == list(range(length))
    assert sum(not any(row) for row in table(main)) == length * percent // 100


UNLABELLED = ExtraData("unlabelled")


@given(st.sampled_from(["full", "onelabel"]), st.integers(10, 90), st.integers(10, 60), st.integers(1, 5))
def test_samples_without_labels_are_a_stream_of_their_own(labels, percent, length, count):
    spec = partial(labels, unlabelled=percent, extra=UNLABELLED)
    opened = []

    def open_train(asked):
        opened.append(asked)
        return Fake(length)

    main, extra = training_streams(spec, recipe(extra=count), open_train)
    assert opened == [source(spec)]
    assert extra is not None
    assert sorted([*main.rows, *extra.rows]) == list(range(length))
    assert len(extra.rows) == length * percent // 100
    assert (main.batch, extra.batch) == (4, count)
    assert extra.dataset is main.dataset
    assert all(any(row) for row in table(main))
    assert not any(any(row) for row in table(extra))


def test_samples_set_apart_of_which_a_step_takes_none_are_left_out():
    """The runs that learn from the labelled part alone."""
    beside, extra = streams(partial(unlabelled=50, extra=UNLABELLED), extra=2)
    main, nothing = streams(partial(unlabelled=50, extra=UNLABELLED))
    assert nothing is None
    assert list(main.rows) == list(beside.rows)
    assert len(main.rows) == 10
    assert table(main) == table(beside)
    assert not set(main.rows) & set(extra.rows)


def test_a_second_dataset_shows_the_labels_of_its_tasks_alone():
    spec = partial(extra=ExtraData("far", ("depth",), train=7, options=options(a=1)), train=20)
    sets = {source(spec): Fake(20), extra_source(spec): Fake(7)}
    main, extra = training_streams(spec, recipe(extra=3), sets.__getitem__)
    assert (len(main.rows), len(extra.rows)) == (20, 7)
    assert (main.dataset, extra.dataset) == tuple(sets.values())
    assert table(extra) == [[False, True]] * 7
    assert extra.batch == 3
    assert extra_source(spec) == DataSpec("far", TINY_SIZE, train=7, options=options(a=1))


def test_a_task_that_the_second_dataset_does_not_have_is_told():
    spec = data(extra=ExtraData("far", ("depth", "normal")))
    with pytest.raises(SpecError, match=r"data\.extra\.tasks: unknown task of dataset far: 'normal'") as caught:
        streams(spec, extra=2)
    assert caught.value.mend


def test_specs_over_the_same_samples_share_them():
    spec = data(train=5, val=3, options=options(classes=13))
    changed = replace(
        spec, augment="none", normalise="none", labels="onelabel", labels_over=BOTH, unlabelled=10, extra=UNLABELLED
    )
    assert source(changed) == source(spec) == source(source(spec))
    others = (replace(spec, train=6), replace(spec, val=4), replace(spec, name="b"), replace(spec, size=(64, 64)))
    assert len({source(spec), source(replace(spec, options=())), *map(source, others)}) == 6
    assert extra_source(spec) is None
    assert extra_source(changed) is None


@pytest.mark.parametrize(
    ("spec", "extra", "says"),
    [
        (data(), 2, r"recipe\.extra: 2 samples a step from the second stream ''"),
        (data(extra=ExtraData("far", ("depth",))), 0, r"recipe\.extra: 0 samples a step from the second stream 'far'"),
        (partial("onelabel", extra=UNLABELLED), 2, r"data\.extra: the label setting leaves no sample unlabelled"),
        (data(extra=UNLABELLED), 2, r"data\.extra: the label setting leaves no sample unlabelled"),
        (data(labels="onelabel"), 0, r"data\.labels_over: setting 'onelabel' over no tasks"),
        (data(unlabelled=50), 0, r"data\.labels_over: setting 'full' over no tasks"),
        (partial("onelabels"), 0, r"unknown label setting 'onelabels'\. Did you mean 'onelabel'"),
        (data(labels="randomlabels", labels_over=("depth",)), 0, r"does not fit 1 task"),
        (partial(unlabelled=100), 0, r"100 is no share of unlabelled images"),
    ],
)
def test_what_does_not_fit_together_is_told(spec, extra, says):
    with pytest.raises(SpecError, match=says) as caught:
        streams(spec, extra)
    assert caught.value.mend


def test_too_few_samples_are_left_for_a_batch(tiny_dataset):
    spec = run_of(DataSpec(str(tiny_dataset), TINY_SIZE, labels="full", labels_over=BOTH, unlabelled=90))
    assert loader_of(spec).steps_per_epoch == 2
    apart = replace(spec, data=replace(spec.data, extra=UNLABELLED))
    with pytest.raises(DataError, match="the split has 1 samples, fewer than a batch of 4"):
        loader_of(apart)


# published masks


def test_a_published_mask_in_the_datasets_folder_is_used_for_the_whole_dataset_only(tmp_path):
    weights = torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5)
    (tmp_path / "labels").mkdir()
    torch.save({KEY: weights}, tmp_path / "labels" / "onelabel.pth")
    mask = mask_of(partial(), Fake(10, tmp_path))
    assert mask.source == str(tmp_path / "labels" / "onelabel.pth")
    assert [mask.labelled(i, "semseg") for i in range(10)] == [True] * 5 + [False] * 5
    assert mask_of(partial(train=10), Fake(10, tmp_path)) == label_mask("onelabel", BOTH, 10)
    assert mask_of(partial(), Fake(10)) == label_mask("onelabel", BOTH, 10)
    assert mask_of(data(), Fake(10, tmp_path)) is None


def test_a_published_mask_that_is_not_the_one_of_its_dataset_is_refused(tmp_path):
    names = ("semseg", "depth")
    (tmp_path / "labels").mkdir()
    torch.save({KEY: torch.tensor([[1.0, 0.0]] * 2975)}, tmp_path / "labels" / "onelabel.pth")
    spec = replace(partial(), name="cityscapes_7", labels_over=names)
    with pytest.raises(DataError, match="is not the published mask"):
        mask_of(spec, Fake(2975, tmp_path))


# with real samples


def run_of(spec, extra=0, tasks=BOTH):
    return RunSpec(spec, ModelSpec("segnet", "segnet_nano", tasks), recipe(extra=extra))


def loader_of(spec, **changes):
    def open_train(asked):
        return build_dataset(asked, "train")

    tasks = make_tasks(spec.tasks, open_train(source(spec.data)).info)
    return open_loader(spec, tasks, open_train, seed=0, **changes)


@pytest.fixture(scope="module")
def far_dataset(tiny_dataset, tmp_path_factory):
    """A second dataset of 6 samples, labelled for depth alone; four times as deep."""
    folder = shutil.copytree(tiny_dataset.parent, tmp_path_factory.mktemp("far") / "copy")
    shutil.rmtree(folder / "semseg")
    for number in (6, 7):
        (folder / "image" / "train" / f"{number}.png").unlink()
    for file in (folder / "depth" / "train").iterdir():
        np.save(file, 4 * np.load(file))
    (folder / "far.toml").write_text(DEPTH_ONLY)
    return folder / "far.toml"


@pytest.mark.parametrize("labels", [*SETTINGS])
def test_batches_of_two_datasets(tiny_dataset, far_dataset, labels):
    over = BOTH
    extra = ExtraData(str(far_dataset), ("depth",))
    spec = DataSpec(str(tiny_dataset), TINY_SIZE, "flip", labels=labels, labels_over=over, extra=extra)
    loader = loader_of(run_of(spec, extra=2))
    mask = label_mask(labels, over, 8)
    for step in range(5):
        batch = loader.batch_at(step)
        rows = loader.indices_at(step)
        assert batch.index.tolist() == [*rows, *loader.extra_at(step)]
        assert batch.labelled["semseg"].tolist() == [mask.labelled(i, "semseg") for i in rows] + [False] * 2
        assert batch.labelled["depth"].tolist() == [mask.labelled(i, "depth") for i in rows] + [True] * 2
        assert (batch.targets["semseg"][4:] == 255).all()
        assert set(batch.targets["depth"][4:].unique().tolist()) == {8.0, 16.0}
        assert set(batch.targets["depth"][:4].unique().tolist()) <= {0.0, 2.0, 4.0}


def test_a_loader_can_be_sent_to_another_process(tiny_dataset, far_dataset):
    """Not every platform forks."""
    extra = ExtraData(str(far_dataset), ("depth",))
    data_ = DataSpec(str(tiny_dataset), TINY_SIZE, "flip", labels="onelabel", labels_over=BOTH, extra=extra)
    full = replace(data_, labels="full", labels_over=())
    for spec in (data_, full):
        loader = loader_of(run_of(spec, extra=2))
        sent = pickle.loads(pickle.dumps(loader))
        one, two = loader.batch_at(3), sent.batch_at(3)
        assert torch.equal(one.image, two.image)
        assert all(torch.equal(one.labelled[task], two.labelled[task]) for task in BOTH)


def test_a_nested_stream_is_a_pure_function_of_the_step(tiny_dataset):
    """Partial labels, some samples without any, all of them beside the others, in three views."""
    spec = DataSpec(
        str(tiny_dataset), TINY_SIZE, "crop_photo", labels="onelabel", labels_over=BOTH, unlabelled=50, extra=UNLABELLED
    )
    spec = run_of(spec, extra=3)
    whole = list(itertools.islice(loader_of(spec, views=3).batches(), 5))
    fresh = next(loader_of(spec, views=3).batches(4))
    assert torch.equal(fresh.image, whole[4].image)
    assert fresh.others[1].windows == whole[4].others[1].windows
    bare = label_mask("onelabel", BOTH, 8, unlabelled=50).rows(any_label=False)
    for batch in whole:
        labels = torch.stack([batch.labelled[task] for task in BOTH]).sum(0)
        assert labels.tolist() == [1] * 4 + [0] * 3
        assert set(batch.index[4:].tolist()) <= set(bare)


@given(st.integers(1, 900), st.integers(1, 100), st.integers(1, 100), st.integers(0, 9))
def test_a_share_of_the_samples_is_part_of_every_larger_one(count, one, other, seed):
    small, large = (drawn_rows(count, percent, seed) for percent in sorted((one, other)))
    assert set(small) <= set(large) <= set(range(count))
    assert (len(small), len(large)) == (count * min(one, other) // 100, count * max(one, other) // 100)
    assert small == sorted(set(small))


def test_the_drawn_share_is_that_of_the_published_generator():
    order = np.random.RandomState(0).permutation(795)
    assert drawn_rows(795, 25, 0) == sorted(order[:198])
    assert drawn_rows(795, 25, 1) != drawn_rows(795, 25, 0)
    assert drawn_rows(795, 100, 3) == list(range(795))


def test_training_sees_the_drawn_share_alone():
    main, _ = streams(data(percent=50))
    assert list(main.rows) == drawn_rows(20, 50, 0)
    labelled, unlabelled = streams(partial(unlabelled=50, percent=50, extra=UNLABELLED), extra=2)
    assert set(labelled.rows) <= set(drawn_rows(20, 50, 0))
    assert set(unlabelled.rows) | set(labelled.rows) == set(drawn_rows(20, 50, 0))
    assert not set(unlabelled.rows) & set(labelled.rows)
    loader = loader_of(run_of(DataSpec("scenes", TINY_SIZE, "flip", train=12, percent=50)))
    seen = {int(i) for step in range(loader.steps_per_epoch) for i in loader.batch_at(step).index}
    assert seen <= set(drawn_rows(12, 50, 0))


def test_a_share_without_unlabelled_samples_is_told():
    spec = partial(unlabelled=5, percent=5, extra=UNLABELLED)
    assert len(streams(replace(spec, percent=100), extra=2)[1].rows) == 1
    with pytest.raises(SpecError, match=r"data\.extra: the label setting leaves no sample unlabelled.*data\.percent"):
        streams(replace(spec, percent_seed=2), extra=2)


@pytest.mark.parametrize("percent", [0, 101, -5, True, 50.0, "50", None])
def test_a_share_that_is_none(percent):
    with pytest.raises(SpecError, match="from 1 to 100") as caught:
        streams(data(percent=percent))
    assert caught.value.field == "data.percent"
