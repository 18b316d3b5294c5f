"""Every task has a place in every objective that reads tasks by name."""

import pytest
import torch
from jtr_maps import drawn_labels, noise, tasks_of

from mtlrepro.objectives.consistency import RULES
from mtlrepro.objectives.mtpsl import PAIR_FORMS
from mtlrepro.objectives.must import PSEUDO
from mtlrepro.objectives.task_maps import MAP_FORMS
from mtlrepro.tasks import TASKS

every_task = pytest.mark.parametrize("name", list(TASKS))


def test_no_task_is_forgotten():
    assert set(PAIR_FORMS) == set(MAP_FORMS) == set(RULES["squared"]) == set(TASKS)
    assert set(TASKS) - set(RULES["threshold"]) == {"saliency", "edges"}


@every_task
@pytest.mark.parametrize("forms", [PAIR_FORMS, MAP_FORMS], ids=["mtpsl", "task_maps"])
def test_predictions_and_labels_have_the_channels_of_the_task(name, forms):
    task = tasks_of((name,), 4)[name]
    raw, target = noise(0, {name: task}, 2, (4, 6))[name], drawn_labels(1, {name: task}, 2, (4, 6))[name]
    form = forms[name]
    for maps in (form.prediction(task, raw), form.label(task, target)):
        assert maps.shape == (2, task.channels, 4, 6)
        assert torch.isfinite(form.scale(maps)).all()


@every_task
def test_what_a_teacher_predicts_becomes_a_label(name):
    task = tasks_of((name,), 4)[name]
    raw = noise(2, {name: task}, 2, (4, 6))[name]
    label = PSEUDO.get(name, lambda decoded: decoded)(task.decode(raw))
    assert torch.isfinite(task.loss(raw, label))
    if name in ("saliency", "edges"):
        assert set(label.unique().tolist()) == {0.0, 1.0}


@every_task
def test_predictions_are_no_distance_from_themselves(name):
    task, rule = tasks_of((name,), 4)[name], RULES["squared"][name]
    raw = noise(3, {name: task}, 2, (4, 6))[name]
    same = rule.distance(rule.student(task, raw), rule.restore(rule.teacher(task, raw)))
    assert same.shape == (2,)
    assert same.abs().max() < 1e-12
    assert (rule.distance(rule.student(task, raw), rule.teacher(task, -raw)) > 0).all()
