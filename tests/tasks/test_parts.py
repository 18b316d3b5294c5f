"""Human parts: fixed classes, labels without a person, and published vectors."""

import dataclasses

import pytest
import torch
from invpt_maps import invpt_maps

from mtlrepro.data.sample import DatasetInfo, as_targets
from mtlrepro.data.transforms.basic import flip_sample, resize_sample, zoom_sample
from mtlrepro.errors import DataError
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.tasks import make_tasks
from mtlrepro.tasks.semseg import voc_palette

INFO = DatasetInfo("toy", ("semseg", "parts"), class_names=("sky", "road"), palette=((9, 9, 9), (8, 8, 8)))
TASKS = make_tasks(INFO.tasks, INFO)
TASK = TASKS["parts"]


def ids(values):
    return torch.tensor(values, dtype=torch.uint8)


def test_classes_are_those_of_the_task_not_of_the_dataset():
    assert TASK.channels == 7
    assert TASKS["semseg"].channels == 2
    assert make_tasks(["parts"], dataclasses.replace(INFO, class_names=()))["parts"].channels == 7
    picture = TASK.picture(torch.arange(7)[None])
    assert [tuple(colour) for colour in picture[0].tolist()] == list(voc_palette(7))
    assert [m.protocol for m in TASK.metrics()] == list(PROTOCOLS["parts"])


def test_vector_of_invpt():
    logits, target = invpt_maps()["parts"]
    (metric,) = TASK.metrics()
    metric.update(TASK.decode(logits), target)
    assert metric.compute()["miou"] == pytest.approx(0.0605338, abs=5e-8)


def test_a_label_without_a_part_is_ignored_as_a_whole():
    assert TASK.collate(ids([[0, 0], [0, 255]])).tolist() == [[255, 255], [255, 255]]
    assert TASK.collate(ids([[0, 0], [6, 255]])).tolist() == [[0, 0], [6, 255]]
    assert TASK.collate(TASK.unlabelled((2, 3))).tolist() == [[255] * 3] * 2


def test_a_crop_that_leaves_the_person_out_is_ignored():
    label = torch.zeros(8, 12, dtype=torch.uint8)
    label[0, :2] = 3
    sample = {"image": torch.zeros(3, 8, 12, dtype=torch.uint8), "parts": label}
    tasks = {"parts": TASK}
    assert (TASK.collate(sample["parts"]) == 0).any()
    zoomed = zoom_sample(sample, 1.5, tasks)
    assert (TASK.collate(zoomed["parts"]) == 255).all()


def test_geometry_moves_ids_and_changes_none():
    label = torch.arange(12, dtype=torch.uint8).remainder(7).view(3, 4)
    sample, tasks = {"image": torch.zeros(3, 3, 4, dtype=torch.uint8), "parts": label}, {"parts": TASK}
    assert torch.equal(flip_sample(sample, tasks)["parts"], label.flip(-1))
    large = resize_sample(sample, (6, 8), tasks)["parts"]
    assert torch.equal(large, label.repeat_interleave(2, 0).repeat_interleave(2, 1))


def test_the_constant_is_that_of_labels_with_a_part():
    shown = ids([[2, 2, 2, 0, 0, 255]])
    empty = ids([[0, 0, 0, 0, 0, 0]])
    assert TASK.trivial([shown, empty, empty]).item() == 2
    with pytest.raises(DataError, match="parts: no labelled pixel"):
        TASK.trivial([empty])


def test_a_label_without_parts_is_ignored_also_where_a_whole_batch_is_made_on_a_device():
    labels = torch.zeros(3, 4, 5, dtype=torch.uint8)
    labels[1, 2, 2] = 3
    labels[2, 0] = 255
    found = as_targets(TASK, labels)
    assert torch.equal(found, torch.stack([TASK.collate(label) for label in labels]))
    assert found[0].eq(255).all()
    assert found[1].eq(0).sum() == 19
