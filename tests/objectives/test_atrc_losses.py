"""Losses of ATRC: published vectors, classes of depth and normals, weights, missing labels, a step of training."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives import build_objective
from mtlrepro.objectives.atrc import ATRC, class_loss, depth_classes, hemisphere, nearest_direction, two_class_loss
from mtlrepro.spec import ModelSpec, ObjectiveSpec, options
from mtlrepro.tasks import make_tasks

CHANNELS = {"semseg": 13, "parts": 7, "saliency": 2, "edges": 2, "depth": 40, "normals": 40}
ALL = tuple(CHANNELS)
INFO = DatasetInfo("toy", ALL, class_names=tuple(str(c) for c in range(13)))
NYUD = ("semseg", "depth", "normals", "edges")
PUBLISHED = (("normals", "l1_sum"), ("edges", "weighted_cross_entropy_80"))


def t32(array):
    return torch.from_numpy(array.astype("float32"))


def unit(array):
    return array / (array**2).sum(1, keepdims=True) ** 0.5


def test_vectors():
    r = RandomState(6)
    normals = unit(r.randn(2, 3, 4, 5))
    normals[0, :, 0, 0] = 0
    logits, directions = t32(r.randn(2, 4, 4, 5)), torch.tensor([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, -1.0]])
    found = class_loss(logits, nearest_direction(t32(normals), directions))
    assert found.item() == pytest.approx(1.7604126, rel=1e-6)
    depth = r.rand(2, 1, 4, 5) * 9 + 0.5
    depth[0, 0, 1, 1] = 0
    found = class_loss(t32(r.randn(2, 40, 4, 5)), depth_classes(t32(depth)))
    assert found.item() == pytest.approx(3.9579833, rel=1e-6)
    logits, edges = t32(r.randn(2, 2, 4, 5)), (r.rand(2, 1, 4, 5) < 0.2).astype("float32")
    edges[0, 0, 2, 2] = 255
    task = make_tasks(("edges",), INFO, PUBLISHED[1:])["edges"]
    assert two_class_loss(task, logits, t32(edges)).item() == pytest.approx(0.2792069, rel=1e-6)


def test_vector_of_depth_classes():
    metres = torch.tensor([0.5, 0.7, 1, 2, 5, 9.99, 10, 20, 0]).view(1, 1, 3, 3)
    assert depth_classes(metres).flatten().tolist() == [0, 0, 5, 15, 29, 39, 39, 39, 255]


@given(st.floats(0.01, 600), st.floats(0.01, 600))
def test_depth_classes_grow_and_are_as_wide_everywhere(first, second):
    one, other = depth_classes(torch.tensor([first, second], dtype=torch.float64).view(2, 1, 1, 1)).flatten().tolist()
    assert (one - other) * (first - second) >= 0
    assert 0 <= one <= 39
    if 0.7 < first < 10:
        start, ratio = 0.7 * (10 / 0.7) ** (one / 40), (10 / 0.7) ** (1 / 40)
        assert start * (1 - 1e-12) <= first <= start * ratio * (1 + 1e-12)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), count=st.integers(1, 50))
def test_nearest_direction_by_brute_force(seed, count):
    normals = torch.from_numpy(unit(RandomState(seed).randn(2, 3, 3, 4)))
    normals[1, :, 2, 3] = 0
    directions = torch.from_numpy(unit(RandomState(seed + 1).randn(count, 3)))
    found = nearest_direction(normals, directions)
    away = torch.cdist(normals.permute(0, 2, 3, 1).reshape(-1, 3), directions).view(2, 3, 4, count)
    expected = away.argmin(3)
    expected[1, 2, 3] = 255
    assert torch.equal(found, expected)


def test_directions_are_spread_evenly():
    directions = hemisphere(40).double()
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(40).double())
    assert (directions[:, 2] > 0).all()
    assert directions.mean(0)[2].item() == pytest.approx(0.5, abs=1e-6)  # as of the hemisphere itself
    assert directions.mean(0)[:2].abs().max() < 0.02
    apart = (directions @ directions.T - 2 * torch.eye(40)).amax(1).arccos().rad2deg()
    assert 17 < apart.min() < apart.max() < 26  # 40 caps of a hemisphere's area would be 25.7 degrees apart


def batch_of(tasks=NYUD, size=(12, 16), seed=0):
    g = torch.Generator().manual_seed(seed)
    shape = (2, 1, *size)
    targets = {
        "semseg": torch.randint(0, 13, (2, *size), generator=g),
        "parts": torch.randint(0, 7, (2, *size), generator=g),
        "saliency": (torch.rand(shape, generator=g) < 0.4).float(),
        "edges": (torch.rand(shape, generator=g) < 0.2).float(),
        "depth": torch.rand(shape, generator=g) * 9 + 0.5,
        "normals": torch.nn.functional.normalize(torch.randn(2, 3, *size, generator=g), dim=1),
    }
    return Batch(torch.rand(2, 3, *size, generator=g), {t: targets[t] for t in tasks})


def objective(tasks=ALL, losses=(), weights=(), info=INFO, **settings_):
    return build_objective(
        ObjectiveSpec("atrc", weights, options(**settings_), losses), make_tasks(tasks, info, losses)
    )


def outputs_of(found, seed=1, size=(12, 16), auxiliary=ALL):
    g = torch.Generator().manual_seed(seed)
    final = {n: torch.randn(2, t.channels, *size, generator=g).requires_grad_() for n, t in found.tasks.items()}
    maps = {n: torch.randn(2, CHANNELS[n], 3, 4, generator=g).requires_grad_() for n in auxiliary}
    return Outputs(final, {"auxiliary": maps})


def values_of(losses):
    return {name: term.item() for name, term in losses.terms.items()}


def test_total_weighs_final_and_auxiliary_alike():
    weights = tuple((t, 2.0 + i) for i, t in enumerate(ALL))
    found, batch = objective(weights=weights), batch_of(ALL)
    losses = found.losses(outputs_of(found), batch)
    assert set(losses.terms) == {f"{stage}/{t}" for stage in ("final", "auxiliary") for t in ALL}
    expected = sum(w * (losses.terms[f"final/{t}"] + losses.terms[f"auxiliary/{t}"]) for t, w in weights)
    assert losses.total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert not any(v.requires_grad for v in losses.terms.values())


@pytest.mark.parametrize("task", ALL)
def test_auxiliary_loss_is_written_out(task):
    found, batch = objective(losses=PUBLISHED), batch_of(ALL)
    outputs = outputs_of(found)
    logits = outputs.stages["auxiliary"][task]
    logits = torch.nn.functional.interpolate(logits, (12, 16), mode="bilinear").double().log_softmax(1)
    target, share = batch.targets[task], None
    if task in ("saliency", "edges"):
        share = 0.8 if task == "edges" else (target == 0).double().mean().item()
        classes = target.long()
    elif task == "depth":
        classes = depth_classes(target)[:, None]
    elif task == "normals":
        up = torch.cat([target[:, :2], target[:, 2:].abs()], 1)
        classes = nearest_direction(up, hemisphere(40))[:, None]
    else:
        classes = target[:, None]
    values = -logits.gather(1, classes)
    if share is not None:
        values = values * torch.where(classes == 1, share, 1 - share)
    term = found.losses(outputs, batch).terms[f"auxiliary/{task}"]
    assert term.item() == pytest.approx(values.mean().item(), rel=1e-5)


def test_two_output_channels_change_the_final_prediction_alone():
    one, two = objective(("saliency",)), objective(("saliency",), (("saliency", "two_classes"),))
    batch, outputs = batch_of(("saliency",)), outputs_of(two, auxiliary=("saliency",))
    logits = outputs.final["saliency"]
    single = Outputs({"saliency": logits[:, 1:] - logits[:, :1]}, outputs.stages)
    assert two.losses(outputs, batch).terms == one.losses(single, batch).terms


@pytest.mark.parametrize("task", ALL)
def test_unlabelled_samples_and_pixels_cannot_leak(task):
    found, batch = objective((task,)), batch_of((task,))
    outputs = outputs_of(found, auxiliary=(task,))
    first = Outputs({task: outputs.final[task][:1]}, {"auxiliary": {task: outputs.stages["auxiliary"][task][:1]}})
    alone = found.losses(first, Batch(batch.image[:1], {task: batch.targets[task][:1]}))
    batch.labelled = {task: torch.tensor([True, False])}
    batch.targets[task][1] = 254 if batch.targets[task].dtype == torch.int64 else float("nan")
    losses = found.losses(outputs, batch)
    assert values_of(losses) == pytest.approx(values_of(alone))
    losses.total.backward()
    gradient = outputs.stages["auxiliary"][task].grad
    assert gradient[0].any()
    assert not gradient[1].any()
    batch.labelled = {task: torch.tensor([False, False])}
    nothing = found.losses(outputs, batch)
    assert not nothing.total.requires_grad
    assert set(values_of(nothing).values()) == {0}


@pytest.mark.parametrize("task", ALL)
def test_labels_without_a_valid_pixel_cost_nothing(task):
    found, batch = objective((task,)), batch_of((task,))
    label = found.tasks[task].unlabelled((12, 16))
    batch.targets[task] = torch.stack([found.tasks[task].collate(label)] * 2)
    losses = found.losses(outputs_of(found, auxiliary=(task,)), batch)
    assert losses.terms == {f"final/{task}": 0, f"auxiliary/{task}": 0}
    losses.total.backward()


def test_sign_of_z_is_a_convention_unless_centroids_are_given():
    batch = batch_of(("normals",))
    mirrored = copy.deepcopy(batch)
    mirrored.targets["normals"][:, 2] *= -1
    centroids = tuple(map(tuple, hemisphere(40).tolist()))
    for settings_, alike in (({}, True), ({"centroids": centroids}, False)):
        found = objective(("normals",), **settings_)
        outputs = outputs_of(found, auxiliary=("normals",))
        one, other = (found.losses(outputs, b).terms["auxiliary/normals"] for b in (batch, mirrored))
        assert (one == other) == alike


def test_directions_are_no_state():
    assert objective(("normals",)).state_dict() == {}
    assert dict(objective(("normals",)).named_buffers())["directions"].shape == (40, 3)
    with torch.device("meta"):
        assert objective(("normals",)).directions.is_meta


@pytest.mark.parametrize(
    "centroids",
    [((0.0, 0.0, 1.0),), ((0.0, 1.0),) * 40, ((0.0, 0.0, 2.0),) * 40, ((math.nan, 0.0, 0.0),) * 40],
)
def test_centroids_that_do_not_fit_are_named(centroids):
    with pytest.raises(SpecError, match=r"centroids: cannot classify normals by these .* Give 40 unit vectors"):
        ATRC(make_tasks(("normals",), INFO), {"normals": 1.0}, centroids=centroids)


def test_inverse_depth_has_no_classes():
    info = DatasetInfo("odd", ("depth",), inverse_depth=True)
    found = objective(("depth",), info=info)
    with pytest.raises(SpecError, match="relations: depth of dataset 'odd' is inverse"):
        found.losses(outputs_of(found, auxiliary=("depth",)), batch_of(("depth",)))
    assert found.losses(outputs_of(found, auxiliary=()), batch_of(("depth",))).terms.keys() == {"final/depth"}


def trained(relations, steps=6):
    """Totals of some steps of a small network, and a checksum of what it has become."""
    torch.manual_seed(0)
    tasks = make_tasks(NYUD, INFO, PUBLISHED)
    spec = ModelSpec("atrc", "hrnet_nano", NYUD, options=options(relations=relations))
    model = build_model(spec, {n: t.channels for n, t in tasks.items()}).train()
    weights = (("normals", 10.0), ("edges", 50.0))
    found = build_objective(ObjectiveSpec("atrc", weights, losses=PUBLISHED), tasks, model.backbone.channels)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, weight_decay=5e-4)
    batch, totals = batch_of(size=(64, 96)), []
    for task, value in {"semseg": 3, "depth": 2, "edges": 0}.items():
        batch.targets[task].fill_(value)  # something that a few steps can learn
    for step in range(steps):
        losses = found(model, batch, step / steps)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        totals.append(losses.total.item())
    return totals, sum(p.double().abs().sum().item() for p in model.parameters()), losses


NONE = ("none",) * 4
NEAR = (("semseg", ("none", "local", "global", "none")), ("depth", NONE), ("normals", NONE), ("edges", NONE))


@pytest.mark.parametrize("relations", ["nyud_hrnet18", NEAR], ids=["label", "near"])
def test_training_learns_and_repeats_to_the_bit(relations):
    totals, checksum, losses = trained(relations)
    assert totals[-1] < 0.8 * totals[0]
    auxiliary = {"auxiliary/" + t for t in NYUD} if relations != NEAR else set()
    assert set(losses.terms) == {"final/" + t for t in NYUD} | auxiliary
    assert trained(relations)[:2] == (totals, checksum)
