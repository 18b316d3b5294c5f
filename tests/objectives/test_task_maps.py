from itertools import permutations

import pytest
import torch
from mtpsl_maps import SEVEN, Pointwise, batch_of, in_double, model_of, one, poison, toy_tasks
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.objectives import build_objective
from mtlrepro.objectives.latent import one_hot
from mtlrepro.spec import ObjectiveSpec, options

KINDS = ("direct_map", "perceptual_map")
WIDTHS = (4, 4, 6, 6, 8)


def make(kind, tasks, **chosen):
    torch.manual_seed(0)
    return build_objective(ObjectiveSpec(kind, options=options(**{"widths": WIDTHS, **chosen})), tasks)


def channels(tasks):
    return {name: task.channels for name, task in tasks.items()}


def shown(name, raw):
    return {"semseg": raw.softmax(1), "normals": nn.functional.normalize(raw, dim=1)}.get(name, raw)


def test_direct_maps_lead_from_unlabelled_predictions_to_labels():
    tasks = toy_tasks()
    objective, model = make("direct_map", tasks, weight=2), Pointwise(channels(tasks))
    batch = poison(batch_of(SEVEN[:3], ["110", "001"]))
    losses = objective(model, batch, 0.0)
    assert {k for k in losses.terms if k.startswith("direct/")} == {
        "direct/normals/semseg",
        "direct/normals/depth",
        "direct/semseg/normals",
        "direct/depth/normals",
    }
    final, total = model(batch.image).final, 0.0
    for s, t in permutations(tasks, 2):
        for i in range(2):
            if not batch.labelled[s][i] and batch.labelled[t][i]:
                mapped = objective.maps[f"{s}_{t}"](shown(s, final[s][i : i + 1]))
                total = total + tasks[t].loss(mapped, batch.targets[t][i : i + 1]) / 2
    supervised = build_objective(ObjectiveSpec("partial"), tasks)(model, batch, 0.0).total
    assert losses.total.item() == pytest.approx((supervised + 2 * total).item(), rel=1e-5)
    losses.total.backward()
    assert objective.maps["normals_depth"].head[1].weight.grad.any()
    assert objective.maps["semseg_depth"].head[1].weight.grad is None


def test_perceptual_maps_compare_encodings_and_learn_from_label_pairs():
    tasks = toy_tasks()
    objective, model = make("perceptual_map", tasks, weight=2), Pointwise(channels(tasks))
    batch = poison(batch_of(SEVEN[:3], ["110", "001"]))
    losses = objective(model, batch, 0.0)
    final, compared, learnt = model(batch.image).final, 0.0, 0.0
    for s, t in permutations(tasks, 2):
        net = objective.maps[f"{s}_{t}"]
        for i in range(2):
            target = batch.targets[s][i : i + 1]
            label = one_hot(target, 13) if s == "semseg" else target
            if batch.labelled[s][i]:
                seen, wanted = net.encoder(shown(s, final[s][i : i + 1]))[-1], net.encoder(label)[-1]
                compared = compared + (seen - wanted).square().mean() / 2
                if batch.labelled[t][i]:
                    learnt = learnt + tasks[t].loss(net(label), batch.targets[t][i : i + 1]) / 2
    supervised = build_objective(ObjectiveSpec("partial"), tasks)(model, batch, 0.0).total
    assert losses.total.item() == pytest.approx((supervised + 2 * compared + learnt).item(), rel=1e-5)
    # the maps learn from label pairs only, the model from the comparison only
    parameters = list(objective.parameters())
    got = torch.autograd.grad(losses.total, parameters, allow_unused=True, retain_graph=True)
    want = torch.autograd.grad(learnt, parameters, allow_unused=True)
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.allclose(a, b, rtol=1e-4, atol=1e-6)
    assert sum(a is not None for a in got) == len(list(objective.maps["semseg_depth"].parameters())) * 2
    heads = list(model.heads.parameters())
    for a, b in zip(
        torch.autograd.grad(losses.total, heads), torch.autograd.grad(supervised + 2 * compared, heads), strict=True
    ):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-6)


def test_perceptual_maps_stay_as_drawn_with_one_label_a_sample():
    tasks = toy_tasks()
    objective, model = make("perceptual_map", tasks), Pointwise(channels(tasks))
    objective(model, poison(batch_of(SEVEN[:3], ["100", "010", "001"])), 0.0).total.backward()
    assert all(p.grad is None for p in objective.parameters())
    assert all(head.weight.grad.any() for head in model.heads.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_the_mean_of_its_samples(kind):
    tasks = toy_tasks()
    objective, model = make(kind, tasks).double(), Pointwise(channels(tasks)).double()
    batch = in_double(poison(batch_of(SEVEN[:3], ["100", "011", "000", "111"])))
    parameters = [*model.heads.parameters(), *objective.parameters()]
    whole = objective(model, batch, 0.0).total
    mean = sum(objective(model, one(batch, i), 0.0).total for i in range(4)) / 4
    assert whole.item() == pytest.approx(mean.item(), rel=1e-9)
    want = torch.autograd.grad(mean, parameters, allow_unused=True)
    for got, other in zip(torch.autograd.grad(whole, parameters, allow_unused=True), want, strict=True):
        assert (got is None and other is None) or torch.allclose(got, other, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_any_number_of_tasks_and_samples_without_labels(kind, k):
    tasks = toy_tasks(*SEVEN[:k])
    objective, model = make(kind, tasks), Pointwise(channels(tasks))
    assert len(objective.maps) == k * (k - 1)
    losses = objective(model, poison(batch_of(SEVEN[:k], ["1" + "0" * (k - 1), "0" * k])), 0.0)
    assert torch.isfinite(losses.total)
    nothing = objective(model, poison(batch_of(SEVEN[:k], ["0" * k])), 0.0)
    assert not nothing.total.requires_grad
    assert set(nothing.terms) == {f"final/{t}" for t in tasks}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arch", "backbone"), [("segnet", "segnet_nano"), ("mtl", "hrnet_nano"), ("mti_net", "hrnet_nano")]
)
def test_it_runs_on_any_model_and_hidden_labels_do_not_leak(kind, arch, backbone):
    names = ("semseg", "depth", "normals", "edges", "texture")
    tasks = toy_tasks(*names)
    model = model_of(arch, backbone, names, tasks).train()
    objective = make(kind, tasks)
    losses = objective(model, poison(batch_of(names, ["10011", "01101", "00000"])), 0.0)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    for part in (model, objective):
        assert all(torch.isfinite(p.grad).all() for p in part.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", KINDS)
def test_errors(kind):
    with pytest.raises(SpecError, match=r"objective\.options\.weight"):
        make(kind, toy_tasks(), weight=float("nan"))
    with pytest.raises(SpecError, match="five stages"):
        make(kind, toy_tasks(), widths=(4, 4))
