import itertools
import math

import pytest
import torch

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import DataError
from mtlrepro.tasks import TASKS, make_tasks
from mtlrepro.tasks.trivial import trivial_figures

INFO = DatasetInfo("toy", tuple(TASKS), class_names=tuple("abc"))
TOY = make_tasks(TASKS, INFO)
MAPS = ("occlusion", "reshading", "keypoints", "texture")
CLASSES = ("semseg", "parts")
every_task = pytest.mark.parametrize("name", list(TASKS))


def labels(name, n=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    out = []
    for _ in range(n):
        hole = torch.rand(5, 6, generator=g) < 0.2
        if name in CLASSES:
            out.append((torch.rand(5, 6, generator=g) * 5).clamp(max=2).byte().masked_fill(hole, 255))
        elif name == "depth":
            out.append((torch.rand(5, 6, generator=g) * 5 + 1).masked_fill(hole, 0))
        elif name == "normals":
            lean = torch.tensor([0.5, 0.2, -1.0]).view(3, 1, 1)
            out.append(
                torch.nn.functional.normalize(torch.randn(3, 5, 6, generator=g) + lean, dim=0).masked_fill(hole, 0)
            )
        elif name in MAPS:
            skewed = torch.randn(5, 6, generator=g).exp() - 1
            out.append(skewed.masked_fill(hole, math.nan))
        else:
            out.append((torch.rand(5, 6, generator=g) < 0.2).byte().masked_fill(hole, 255))
    return out


def targets(name, values):
    return torch.stack([TOY[name].collate(v) for v in values])


def score(name, constant, target):
    out = {}
    for metric in (m for m in TOY[name].metrics() if not m.costly):
        metric.update(constant.expand_as(target), target)
        out |= {f"{metric.protocol}.{figure}": value for figure, value in metric.compute().items()}
    return out


@every_task
def test_shape_and_figures(name):
    values = labels(name)
    constant = TOY[name].trivial(iter(values))
    assert tuple(constant.shape) == ((1, 1, 1) if name in CLASSES else (1, 3 if name == "normals" else 1, 1, 1))
    target = targets(name, values)
    got = trivial_figures(TOY[name], values, target.split(3))
    assert got == pytest.approx(score(name, constant, target))
    assert set(got) == {f"{m.protocol}.{f}" for m in TOY[name].metrics() if not m.costly for f in m.better}
    assert all(math.isfinite(v) for v in got.values())


@pytest.mark.parametrize(
    ("name", "figure", "sign", "others"),
    [
        ("semseg", "miou/dataset@1.pixel_acc", 1, [torch.full((1, 1, 1), c) for c in range(3)]),
        ("parts", "parts/dataset@1.pixel_acc", 1, [torch.full((1, 1, 1), c) for c in range(7)]),
        ("saliency", "saliency/jaccard@1.miou", 1, [torch.full((1, 1, 1, 1), p / 50) for p in range(51)]),
        ("saliency", "saliency/f03@1.maxf", 1, [torch.full((1, 1, 1, 1), p / 50) for p in range(51)]),
        ("depth", "depth/pooled@1.rmse", -1, [torch.full((1, 1, 1, 1), d) for d in (1.0, 3.0, 3.4, 3.6, 6.0)]),
        ("edges", "edges/bce@1.bce", -1, [torch.full((1, 1, 1, 1), p / 50) for p in range(1, 50)]),
        ("edges", "edges/pixels@1.f", 1, [torch.full((1, 1, 1, 1), p / 50) for p in range(50)]),
        ("texture", "errors/l1@1.abs_err", -1, [torch.full((1, 1, 1, 1), p / 50) for p in range(-50, 50)]),
    ],
)
def test_no_other_constant_is_better(name, figure, sign, others):
    values = labels(name)
    target = targets(name, values)
    best = score(name, TOY[name].trivial(values), target)[figure]
    assert all(sign * score(name, other, target)[figure] <= sign * best + 1e-9 for other in others)


def test_normals_maximise_the_mean_cosine():
    values = labels("normals")
    constant = TOY["normals"].trivial(values)
    assert torch.linalg.vector_norm(constant).item() == pytest.approx(1)
    target = targets("normals", values)
    cosine = lambda n: (target * n).sum().item()  # noqa: E731
    others = [torch.tensor(v, dtype=torch.float32) for v in itertools.product((-1, 0, 1), repeat=3) if any(v)]
    assert all(cosine(torch.nn.functional.normalize(o, dim=0).view(1, 3, 1, 1)) <= cosine(constant) for o in others)


def test_known_constants():
    assert TOY["semseg"].trivial([torch.tensor([[0, 2, 2, 255, 255, 255]], dtype=torch.uint8)]).item() == 2
    assert TOY["depth"].trivial([torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 5.0]])]).item() == 3.0
    # 1 edge and 19 others at 0.95 to 0.05 weigh the same
    edges = torch.zeros(4, 5, dtype=torch.uint8)
    edges[0, 0] = 1
    assert TOY["edges"].trivial([edges]).item() == pytest.approx(0.5)
    up = torch.tensor([0.0, -1.0, 0.0]).view(3, 1, 1)
    assert TOY["normals"].trivial([torch.cat([up, -up], 2)]).flatten().tolist() == [0, 0, -1]


@pytest.mark.parametrize("numbers", [1, 3, 4, 1001])
@pytest.mark.parametrize("shift", [-300.0, -0.4, 0.0, 0.3, 40.0])
def test_the_constant_of_a_map_is_the_median(numbers, shift):
    values = torch.randn(numbers, generator=torch.Generator().manual_seed(numbers)) + shift
    rows = [row[None] for row in torch.cat([values, torch.full((4,), math.nan)]).split(7)]
    assert TOY["reshading"].trivial(rows).item() == pytest.approx(values.median().item(), rel=2**-11, abs=1e-7)


def test_the_median_of_codes_is_exact_and_of_both_zeros_zero():
    codes = [torch.tensor([[-0.5, 0.25, 0.25, 2.0, 7.0]])]
    assert TOY["keypoints"].trivial(codes).item() == 0.25
    assert TOY["keypoints"].trivial([torch.tensor([[-1.0, -0.0, 0.0, 0.0, 1.0]])]).item() == 0.0
    assert TOY["keypoints"].trivial([torch.tensor([[-1.0, -2.0, -3.0]])]).item() == -2.0


def test_without_any_edge_the_constant_still_fires():
    constant = TOY["edges"].trivial([torch.zeros(4, 5, dtype=torch.uint8)])
    target = torch.ones(1, 1, 2, 2)
    assert score("edges", constant, target)["edges/pixels@1.f"] == 1.0


@every_task
def test_no_valid_label_is_an_error(name):
    invalid = {"depth": 0, "normals": 0, **dict.fromkeys(MAPS, math.nan)}.get(name, 255)
    blank = torch.full_like(labels(name)[0], invalid)
    for values in ([blank], []):
        with pytest.raises(DataError, match=f"{name}: no .* pixel in the training set"):
            TOY[name].trivial(values)
