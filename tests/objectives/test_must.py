import pytest
import torch
from mtpsl_maps import SEVEN, Pointwise, batch_of, model_of, one, poison, toy_tasks
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models.outputs import Outputs
from mtlrepro.objectives import build_objective
from mtlrepro.spec import ObjectiveSpec, options


def make(tasks, **chosen):
    return build_objective(ObjectiveSpec("must", options=options(**chosen)), tasks)


def channels(tasks):
    return {name: task.channels for name, task in tasks.items()}


def teachers_of(tasks, seed=7):
    torch.manual_seed(seed)
    return [Pointwise({name: task.channels}) for name, task in tasks.items()]


def test_missing_labels_are_the_teachers_and_the_rest_the_datas():
    names = ("semseg", "depth", "normals", "edges", "texture")
    tasks = toy_tasks(*names)
    patterns = ["10110", "01001", "00000"]
    batch = poison(batch_of(names, patterns))
    batch.others = ()
    teachers = teachers_of(tasks)
    student = Pointwise(channels(tasks))
    objective = make(tasks, weight=0.5)
    objective.adopt(teachers)
    losses = objective(student, batch, 0.0)
    final = student(batch.image).final
    supervised = pseudo = 0.0
    for (name, task), teacher in zip(tasks.items(), teachers, strict=True):
        with torch.no_grad():
            raw = teacher(batch.image).final[name]
        label = {
            "semseg": raw.argmax(1),
            "normals": nn.functional.normalize(raw, dim=1),
            "edges": (raw > 0).float(),
        }.get(name, raw)
        mark = batch.labelled[name]
        given, taken = (
            task.sample_losses(final[name][m], t[m]).sum() / 3 for m, t in ((mark, batch.targets[name]), (~mark, label))
        )
        assert losses.terms[f"final/{name}"].item() == pytest.approx(given.item(), rel=1e-5)
        assert losses.terms[f"pseudo/{name}"].item() == pytest.approx(taken.item(), rel=1e-5)
        supervised, pseudo = supervised + given, pseudo + taken
    assert losses.total.item() == pytest.approx((supervised + 0.5 * pseudo).item(), rel=1e-5)


def test_teachers_see_the_students_view_in_evaluation_mode_without_gradient():
    class Teacher(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.asked = []

        def forward(self, image):
            self.asked.append((image, self.training, torch.is_grad_enabled()))
            return Outputs({"normals": self.norm(image)})

    tasks = toy_tasks("normals")
    teacher, objective = Teacher().train(), make(tasks)
    objective.adopt([teacher])
    objective.train()
    batch = batch_of(("normals",), ["1", "0", "0"])
    objective(Pointwise(channels(tasks)), batch, 0.0).total.backward()
    image, training, gradient = teacher.asked[-1]
    assert torch.equal(image, batch.image[1:])
    assert not training
    assert not gradient
    assert teacher.norm.weight.grad is None
    assert teacher.norm.num_batches_tracked == 0


def test_teachers_are_neither_trained_nor_checkpointed():
    tasks = toy_tasks()
    objective = make(tasks)
    objective.adopt(teachers_of(tasks))
    assert objective.state_dict() == {}
    assert not list(objective.parameters())


def test_with_all_labels_it_is_the_supervised_loss():
    tasks = toy_tasks()
    batch, model = batch_of(SEVEN[:3], ["111", "111"]), Pointwise(channels(tasks))
    want = build_objective(ObjectiveSpec("partial"), tasks)(model, batch, 0.0)
    got = make(tasks)(model, batch, 0.0)
    assert torch.equal(got.total, want.total)
    assert got.terms.keys() == want.terms.keys()


def test_a_batch_is_the_mean_of_its_samples():
    tasks = toy_tasks()
    objective, model = make(tasks), Pointwise(channels(tasks))
    objective.adopt(teachers_of(tasks))
    batch = poison(batch_of(SEVEN[:3], ["100", "011", "000", "111"]))
    parameters = list(model.heads.parameters())
    whole = objective(model, batch, 0.0).total
    mean = sum(objective(model, one(batch, i), 0.0).total for i in range(4)) / 4
    assert whole.item() == pytest.approx(mean.item(), rel=1e-5)
    want = torch.autograd.grad(mean, parameters)
    for got, other in zip(torch.autograd.grad(whole, parameters), want, strict=True):
        assert torch.allclose(got, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_any_number_of_tasks(k):
    tasks = toy_tasks(*SEVEN[:k])
    objective = make(tasks)
    objective.adopt(teachers_of(tasks))
    losses = objective(Pointwise(channels(tasks)), poison(batch_of(SEVEN[:k], ["0" * k])), 0.0)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert {f"pseudo/{t}" for t in tasks} <= losses.terms.keys()


@pytest.mark.parametrize(
    ("arch", "backbone"), [("segnet", "segnet_nano"), ("mtl", "hrnet_nano"), ("mti_net", "hrnet_nano")]
)
def test_it_runs_on_any_model_and_hidden_labels_do_not_leak(arch, backbone):
    names = ("semseg", "depth", "normals", "edges")
    tasks = toy_tasks(*names)
    torch.manual_seed(0)
    model = model_of(arch, backbone, names, tasks).train()
    objective = make(tasks)
    objective.adopt([model_of("segnet", "segnet_nano", (name,), tasks) for name in names])
    losses = objective(model, poison(batch_of(names, ["1001", "0110", "0000"])), 0.0)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_errors():
    tasks = toy_tasks()
    batch, model, objective = batch_of(SEVEN[:3], ["110"]), Pointwise(channels(tasks)), make(tasks)
    with pytest.raises(SpecError, match=r"normals: no teacher predicts this task.*`needs`"):
        objective(model, batch, 0.0)
    objective.adopt(teachers_of(tasks)[:2])
    with pytest.raises(SpecError, match="normals: no teacher"):
        objective(model, batch, 0.0)
    with pytest.raises(SpecError, match="depth: two teachers predict one task"):
        objective.adopt([*teachers_of(tasks), Pointwise({"depth": 1})])
    with pytest.raises(SpecError, match=r"objective\.options\.weight"):
        make(tasks, weight=-1)
