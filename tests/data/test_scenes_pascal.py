"""The rooms with people: whom they show, how rooms are chosen, and that neither position nor colour gives labels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from mtlrepro.data import build_dataset, dataset_info
from mtlrepro.data.sample import Dataset
from mtlrepro.data.scenes.classes import NYU13, NYU40
from mtlrepro.data.scenes.dataset import Scenes
from mtlrepro.data.scenes.pascal import LEAST, ROOMS, PascalScenes, people
from mtlrepro.data.scenes.rooms import layout
from mtlrepro.data.scenes.sample import render
from mtlrepro.errors import SpecError
from mtlrepro.spec import DataSpec
from mtlrepro.tasks import make_tasks

SIZE = (48, 64)
TASKS = ("semseg", "parts", "saliency", "normals", "edges")


@pytest.fixture(scope="module")
def train() -> PascalScenes:
    return PascalScenes("train", SIZE, 64)


@pytest.fixture(scope="module")
def val() -> PascalScenes:
    return PascalScenes("val", SIZE, 24)


def test_what_the_dataset_is(train: PascalScenes) -> None:
    assert isinstance(train, Dataset)
    rooms = Scenes("train", SIZE, 1).info
    assert train.info == dataclasses.replace(rooms, name="scenes_pascal", tasks=TASKS, edge_tolerance=0.0075)
    assert dataset_info("scenes_pascal", (("classes", 13),)).class_names == NYU13


def test_samples_are_those_of_their_rooms(train: PascalScenes) -> None:
    for i in range(3):
        room = train.room(i)
        expected = render(layout(0, room), *SIZE, seed=room)
        assert all(torch.equal(train[i][name], value) for name, value in expected.items())
    for name, task in make_tasks(TASKS, train.info).items():
        task.collate(train[0][name])


def test_somebody_is_in_every_picture(train: PascalScenes, val: PascalScenes) -> None:
    shares = []
    for dataset in (train, val):
        for i in range(len(dataset)):
            sample = dataset[i]
            parts, person = sample["parts"], sample["semseg"] == NYU40.index("person")
            assert torch.equal(parts > 0, person)
            assert int(parts.max()) <= 6
            assert len(parts.unique()) > 2, "several parts"
            shares.append(float(person.double().mean()))
    assert min(shares) > LEAST / 2  # finer pixels than those that were judged
    assert LEAST < np.mean(shares) < 2 * LEAST
    seen = torch.stack([train[i]["parts"] for i in range(len(train))])
    assert all(float((seen == part).any(2).any(1).double().mean()) > 0.8 for part in range(1, 7))


def test_somebody_is_in_small_and_in_wide_pictures() -> None:
    for size in ((24, 32), (32, 32), (16, 64)):
        dataset = PascalScenes("train", size, 8)
        assert all(bool(((dataset[i]["parts"] > 0) & (dataset[i]["parts"] < 7)).any()) for i in range(8))


def test_something_is_salient_and_it_is_not_the_people_alone(train: PascalScenes) -> None:
    salient = torch.stack([train[i]["saliency"] for i in range(len(train))]).bool()
    person = torch.stack([train[i]["parts"] for i in range(len(train))]) > 0
    assert float(salient.any(2).any(1).double().mean()) > 0.95
    assert 0.1 < float(salient.double().mean()) < 0.4
    assert 0.75 < float(salient[person].double().mean()) < 0.99
    assert 0.5 < float(person[salient].double().mean()) < 0.95


def test_a_room_is_the_first_of_its_own_that_shows_people(train: PascalScenes) -> None:
    for number in (0, 7, 1_000_003):
        room = train.room(number)
        assert number * ROOMS <= room < (number + 1) * ROOMS
        assert people(layout(0, room)) >= LEAST
        assert all(people(layout(0, earlier)) < LEAST for earlier in range(number * ROOMS, room))
    assert [train.room(i) - i * ROOMS for i in range(12)] != [0] * 12


def test_people_are_told_from_the_layout_as_pixels_tell_them() -> None:
    for i in range(8):
        scene = layout(0, i)
        sample = render(scene, 24, 32)
        assert people(scene) == float((sample["semseg"] == NYU40.index("person")).double().mean())


def test_splits_share_no_room_and_length_only_extends(train: PascalScenes, val: PascalScenes) -> None:
    rooms = [{dataset.room(first + i) for i in range(12)} for dataset, first in ((train, 0), (val, 1_000_000))]
    assert [len(found) for found in rooms] == [12, 12]
    assert not rooms[0] & rooms[1]
    again = build_dataset(DataSpec("scenes_pascal", SIZE, train=4), "train")
    for i in reversed(range(4)):
        assert all(torch.equal(again[i][name], value) for name, value in train[i].items())
    other = PascalScenes("train", SIZE, 4, seed=1)
    assert not any(torch.equal(other[i]["image"], train[i]["image"]) for i in range(4))
    assert len({train.digest(), val.digest(), other.digest(), Scenes("train", SIZE, 64).digest()}) == 4


def test_neither_position_nor_colour_gives_the_labels(train: PascalScenes, val: PascalScenes) -> None:
    """The commonest label by position and by colour, fitted on 64 rooms, is far from useful on 24 others."""
    splits = [(dataset, range(len(dataset))) for dataset in (train, val)]
    images = [torch.stack([d[i]["image"] for i in numbers]).long() for d, numbers in splits]
    place = [torch.arange(SIZE[0] * SIZE[1]).view(SIZE).expand(len(i), *SIZE) for i in images]
    colour = [(i[:, 0] // 32) * 64 + (i[:, 1] // 32) * 8 + i[:, 2] // 32 for i in images]
    for name, kinds, limit in (("parts", 7, 0.2), ("saliency", 2, 0.5)):
        labels = [torch.stack([d[i][name] for i in numbers]).long() for d, numbers in splits]
        # Pixels of rare labels count more, or every guess would be the background.
        weight = labels[0].numel() / torch.bincount(labels[0].flatten(), minlength=kinds).float()
        for cue, values in ((place, SIZE[0] * SIZE[1]), (colour, 512)):
            for count in (torch.ones(kinds), weight):
                votes = torch.zeros(values, kinds)
                votes.index_put_((cue[0].flatten(), labels[0].flatten()), count[labels[0].flatten()], accumulate=True)
                assert _miou(votes.argmax(1)[cue[1]], labels[1], kinds) < limit, name


def test_bad_arguments() -> None:
    with pytest.raises(SpecError, match="20 classes"):
        PascalScenes("val", SIZE, 1, classes=20)


def _miou(guess: Tensor, labels: Tensor, kinds: int) -> float:
    hits = [((guess == c) & (labels == c)).sum() / ((guess == c) | (labels == c)).sum() for c in range(kinds)]
    return float(torch.stack(hits).mean())
