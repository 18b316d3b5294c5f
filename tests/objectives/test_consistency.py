import numpy as np
import pytest
import torch
from mtpsl_maps import SEVEN, Pointwise, batch_of, drawn, giga_macs, model_of, one, poison, t64, toy_tasks, unit
from numpy.random import RandomState
from torch import nn

from mtlrepro.data.transforms.crop import Window
from mtlrepro.errors import SpecError
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives import build_objective
from mtlrepro.objectives.consistency import aligned, carry, near, pseudo_label, squared
from mtlrepro.spec import ObjectiveSpec, options

WHOLE = Window.whole((64, 64))
LOGITS = 2 * drawn(2, 1, 13, 4, 6)
DEPTH = t64(4 * RandomState(4).rand(1, 1, 4, 6))
NORMALS = t64(unit(drawn(6, 1, 3, 4, 6).numpy()))


@pytest.mark.parametrize(("threshold", "want"), [(0.95, 0.00168617), (0.5, 0.25935626)])
def test_published_self_pseudo_label(threshold, want):
    assert pseudo_label(LOGITS, LOGITS.softmax(1), threshold).item() == pytest.approx(want, abs=1e-8)


def test_published_teacher_and_student():
    student = 2 * drawn(9, 1, 13, 4, 6)
    assert pseudo_label(student, LOGITS.softmax(1), 0.5).item() == pytest.approx(2.79185893, abs=1e-8)


def test_published_depth():
    student = DEPTH + 0.1 * drawn(14, 1, 1, 4, 6)
    assert near(student, DEPTH).item() == pytest.approx(0.02310807, abs=1e-8)


@pytest.mark.parametrize(("threshold", "want"), [(0.1, 0.00215601), (1, 0.62921005)])
def test_published_normals(threshold, want):
    student = t64(unit((NORMALS + 0.1 * drawn(15, 1, 3, 4, 6)).numpy()))
    assert aligned(student, NORMALS, threshold).item() == pytest.approx(want, abs=1e-8)


def test_thresholds_leave_gradient_where_predictions_agree_only():
    student, teacher = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2).requires_grad_(), torch.tensor([1.05, 1.0])
    near(student, teacher.view(1, 1, 1, 2)).backward()
    assert student.grad.flatten().tolist() == [-0.5, 0.0]


def channels(tasks):
    return {name: task.channels for name, task in tasks.items()}


def make(tasks, **chosen):
    return build_objective(ObjectiveSpec("consistency", options=options(**chosen)), tasks)


class Replay(nn.Module):
    """Gives out prepared predictions for views one below the other, and keeps what it was asked."""

    def __init__(self, *views):
        super().__init__()
        self.views, self.asked = views, []

    def forward(self, image):
        self.asked.append(image)
        return Outputs({task: torch.cat([view[task] for view in self.views]) for task in self.views[0]})


def raw_maps(tasks, samples, seed):
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(samples, t.channels, 64, 64, generator=generator) for n, t in tasks.items()}


def test_mean_over_unlabelled_tasks_then_over_samples():
    names = ("semseg", "depth", "normals", "edges", "texture")
    tasks = toy_tasks(*names)
    patterns = ["10000", "01111", "00000", "11111"]
    batch = poison(batch_of(names, patterns, windows=(WHOLE,) * 4))
    teacher, student = ({n: r.requires_grad_() for n, r in raw_maps(tasks, 4, seed).items()} for seed in (0, 1))
    model = Replay(teacher, student)
    losses = make(tasks)(model, batch, 0.0)
    assert len(model.asked) == 1
    assert torch.equal(model.asked[0], torch.cat([batch.image, batch.others[0].image]))

    def read(maps):
        values = {n: maps[n].double() for n in names}
        values["semseg"] = values["semseg"].softmax(1)
        values["normals"] = nn.functional.normalize(values["normals"], dim=1)
        values["edges"] = values["edges"].sigmoid()
        return values

    a, b, want = read(student), read(teacher), 0.0
    for i, pattern in enumerate(patterns):
        missing = [n for n, bit in zip(names, pattern, strict=True) if bit == "0"]
        for n in missing:
            want += (a[n][i] - b[n][i]).square().mean().item() / len(missing) / 4
    got = sum(v for k, v in losses.terms.items() if k.startswith("consistency/"))
    supervised = sum(v for k, v in losses.terms.items() if k.startswith("final/"))
    assert got.item() == pytest.approx(want, rel=1e-5)
    assert losses.total.item() == pytest.approx((got + supervised).item(), rel=1e-5)
    losses.total.backward()
    for position, name in enumerate(names):
        missing = torch.tensor([pattern[position] == "0" for pattern in patterns])
        assert student[name].grad[missing].any()  # compared where there is no label
        assert not student[name].grad[~missing].any()
        assert not teacher[name].grad[missing].any()  # the teacher learns from labels alone
        assert torch.isfinite(student[name].grad).all()


def test_a_weight_is_a_unit_and_the_distance_a_square():
    tasks, batch = toy_tasks("depth"), batch_of(("depth",), ["0"], windows=(WHOLE,))
    views = raw_maps(tasks, 1, 0), raw_maps(tasks, 1, 1)
    spec = ObjectiveSpec("consistency", weights=options(depth=0.5))
    losses = build_objective(spec, tasks)(Replay(*views), batch, 0.0)
    plain = make(tasks)(Replay(*views), batch, 0.0)
    assert losses.total.item() == pytest.approx(0.25 * plain.total.item(), rel=1e-6)


def test_supervision_is_on_the_first_view():
    tasks = toy_tasks()
    batch = batch_of(SEVEN[:3], ["111"])
    model = Pointwise(channels(tasks))
    losses = make(tasks)(model, batch, 0.0)
    want = sum(t.loss(model(batch.image).final[n], batch.targets[n]) for n, t in tasks.items())
    assert losses.total.item() == pytest.approx(want.item(), rel=1e-6)
    assert all(k.startswith("final/") for k in losses.terms)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("loss", ["squared", "threshold"])
def test_an_equivariant_model_agrees_with_itself(flip, loss):
    """What a perfect model predicts on a view is what carrying its predictions gives."""
    tasks = toy_tasks()
    window = Window(flip, 1.5, 5, 7, 42, 42)
    rows, columns = torch.meshgrid(torch.linspace(0.5, 2, 64), torch.linspace(1, 3, 64), indexing="ij")
    plane = (rows + columns)[None, None]  # bilinear resizing is exact on it
    vectors = torch.tensor([0.6, -0.48, -0.64]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    first = {"semseg": torch.cat([plane * 0 + c for c in range(13)], 1), "depth": plane, "normals": vectors}
    seen = plane.flip(-1) if flip else plane
    cut = nn.functional.interpolate(seen[..., 5:47, 7:49], (64, 64), mode="bilinear", align_corners=True)
    mirrored = vectors * torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1) if flip else vectors
    second = {"semseg": first["semseg"], "depth": cut / 1.5, "normals": 3 * mirrored}
    batch = batch_of(SEVEN[:3], ["000"], windows=(window,))
    terms = make(tasks, loss=loss)(Replay(first, second), batch, 0.0).terms
    assert terms["consistency/depth"].item() == pytest.approx(0, abs=1e-6)
    assert torch.allclose(carry(tasks["depth"], plane, [window]), cut / 1.5)
    assert torch.allclose(carry(tasks["normals"], vectors, [window]), mirrored, atol=1e-6)
    if loss == "squared":
        assert sum(terms.values()).item() == pytest.approx(0, abs=1e-9)
        wrong = make(tasks)(Replay(first, first), batch, 0.0).terms
        assert wrong["consistency/depth"] > 0.1
        assert (wrong["consistency/normals"] > 0.1) == flip


def test_carried_normals_are_unit_vectors():
    tasks = toy_tasks("normals")
    rule = make(tasks).rules["normals"]
    raw = torch.randn(2, 3, 64, 64)
    windows = [Window(False, 1.2, 1, 2, 53, 53), Window(True, 1.5, 0, 9, 42, 42)]
    carried = rule.restore(carry(tasks["normals"], rule.teacher(tasks["normals"], raw), windows))
    assert torch.allclose(carried.norm(dim=1), torch.ones(2, 64, 64), atol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "threshold"])
def test_a_batch_is_the_mean_of_its_samples(loss):
    tasks = toy_tasks()
    model = Pointwise(channels(tasks))
    objective = make(tasks, loss=loss)
    batch = poison(batch_of(SEVEN[:3], ["100", "011", "000", "111"]))
    parameters = list(model.heads.parameters())
    whole = objective(model, batch, 0.0).total
    parts = [objective(model, one(batch, i), 0.0).total for i in range(4)]
    assert whole.item() == pytest.approx(sum(p.item() for p in parts) / 4, rel=1e-5)
    want = torch.autograd.grad(sum(parts) / 4, parameters)
    for got, mean in zip(torch.autograd.grad(whole, parameters), want, strict=True):
        assert torch.allclose(got, mean, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_any_number_of_tasks_and_samples_without_labels(k):
    tasks = toy_tasks(*SEVEN[:k])
    losses = make(tasks)(Pointwise(channels(tasks)), poison(batch_of(SEVEN[:k], ["0" * k] * 2)), 0.0)
    assert {f"consistency/{t}" for t in tasks} <= losses.terms.keys()
    assert losses.total.requires_grad
    assert torch.isfinite(losses.total)


@pytest.mark.parametrize(
    ("arch", "backbone"), [("segnet", "segnet_nano"), ("mtl", "hrnet_nano"), ("mti_net", "hrnet_nano")]
)
def test_it_runs_on_any_model_and_hidden_labels_do_not_leak(arch, backbone):
    names = ("semseg", "depth", "normals", "edges")
    tasks = toy_tasks(*names)
    torch.manual_seed(0)
    model = model_of(arch, backbone, names, tasks).train()
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    losses = make(tasks)(model, poison(batch_of(names, ["1001", "0110", "0000"])), 0.0)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert norm.num_batches_tracked == 1  # both views in one pass


def test_published_multiply_accumulates_a_sample():
    tasks = toy_tasks()
    with torch.device("meta"):
        model = model_of("segnet", "segnet", SEVEN[:3], tasks).train()
    batch = batch_of(SEVEN[:3], ["100"], (288, 384)).to("meta")
    assert f"{giga_macs(make(tasks), model, batch):.1f}" == "137.4"
    assert f"{giga_macs(build_objective(ObjectiveSpec('partial'), tasks), model, batch):.1f}" == "68.7"


def test_squared_is_a_mean_over_elements():
    a, b = RandomState(0).rand(2, 3, 4, 5), RandomState(1).rand(2, 3, 4, 5)
    want = np.array([np.mean((a[i] - b[i]) ** 2) for i in range(2)])
    assert np.allclose(squared(t64(a), t64(b)).numpy(), want)


def test_errors():
    with pytest.raises(SpecError, match="unknown loss 'square'"):
        make(toy_tasks(), loss="square")
    with pytest.raises(SpecError, match="unknown task of consistency loss 'threshold': 'edges'"):
        make(toy_tasks("edges"), loss="threshold")
    for weight in (-1, float("nan"), True, "big"):
        with pytest.raises(SpecError, match=r"objective\.options\.weight"):
            make(toy_tasks(), weight=weight)
