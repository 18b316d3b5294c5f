"""Domain adaptation: whose gradients are whose, whose samples are whose, batch norm by domain, bad input."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from two_domains import INFO, SIZE, WEIGHTS, make, mixed, net_of, part, toy_tasks

from mtlrepro.data.sample import Batch
from mtlrepro.engine.optim import build_optimizer, set_learning_rates
from mtlrepro.errors import SpecError
from mtlrepro.objectives.adaptation import Adaptation
from mtlrepro.objectives.multi_scale import MultiScale
from mtlrepro.spec import Recipe
from mtlrepro.tasks import make_tasks

# the two players


def published_maps(outputs, label, tasks, scales):
    """The maps as the paper and its public implementation have them, one by one."""
    z = 65536 / (100 * label[label > 0] + 1)
    found = {}
    for scale in (*scales, "final"):
        for task in tasks:
            raw = (outputs.final if scale == "final" else outputs.stages[scale])[task]
            raw = F.interpolate(raw, size=SIZE, mode="bilinear", align_corners=True)
            if task == "semseg":
                p = raw.softmax(1)
                found[f"{scale}/{task}"] = -p * (p + 1e-30).log() / math.log(4)
            else:
                found[f"{scale}/{task}"] = (raw.clamp(min=0) - z.min()) / (z.max() - z.min())
    return found


def bce(logits, label):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def take_turns(objective, net, batch):
    """One step with a backward call for every term, discriminators switched off and on: total and gradients."""
    first = len(batch.image) - batch.extra
    source, target = slice(first), slice(first, None)
    nets, tasks, scales = objective.discriminators, objective.tasks, objective.scales[:-1]
    label = batch.targets["depth"][source]
    nets.requires_grad_(False)
    ours = net(batch.image[source])
    supervised = MultiScale(tasks, objective.weights).losses(ours, part(batch, source)).total
    supervised.backward()
    theirs = net(batch.image[target])
    maps = published_maps(theirs, label, tasks, scales)
    adversarial = objective.weight * torch.stack([bce(nets[k](m), 0.0) for k, m in maps.items()]).mean()
    adversarial.backward()
    nets.requires_grad_(True)
    turns = []
    for outputs, side in ((ours, 0.0), (theirs, 1.0)):
        maps = published_maps(outputs, label, tasks, scales)
        turns.append(torch.stack([bce(nets[k](m.detach()), side) for k, m in maps.items()]).mean())
        turns[-1].backward()
    return (supervised + adversarial + sum(turns)).item()


def gradients(*modules):
    return [p.grad for module in modules for p in module.parameters()]


@given(
    st.integers(0, 10**6),
    st.sampled_from([("semseg", "depth"), ("semseg",), ("depth",)]),
    st.sampled_from([(), ("stage1",)]),
    st.sampled_from([0.0, 5e-3, 10.0]),
)
@settings(deadline=None, max_examples=25)
def test_one_backward_call_is_the_published_four(seed, names, scales, weight):
    tasks = toy_tasks(*names)
    batch = mixed(3, 2, seed)
    objective, net = make(tasks, scales, seed=seed, weight=weight), net_of(tasks, seed)
    twin, twin_net = copy.deepcopy(objective), copy.deepcopy(net)
    torch.manual_seed(seed)
    losses = objective(net, batch, 0.0)
    losses.total.backward()
    torch.manual_seed(seed)
    total = take_turns(twin, twin_net, batch)
    assert losses.total.item() == pytest.approx(total, rel=1e-10)
    for got, want in zip(gradients(objective, net), gradients(twin, twin_net), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-12)
    # what a call leaves behind: running averages and singular vectors
    for got, want in zip([*objective.buffers(), *net.buffers()], [*twin.buffers(), *twin_net.buffers()], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_each_player_learns_from_its_own_terms_alone():
    tasks, batch = toy_tasks(), mixed(2)
    seen = {}
    for weight in (0.0, 1.0):
        objective, net = make(tasks, weight=weight), net_of(tasks)
        torch.manual_seed(0)
        objective(net, batch, 0.0).total.backward()
        seen[weight] = objective, net
    # whatever the network is told, the discriminators learn the same
    one, other = (gradients(objective) for objective, _ in seen.values())
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert all(p.requires_grad for p in seen[1.0][0].parameters())
    # without adversary the network learns what the source teaches
    supervised, net = MultiScale(tasks, WEIGHTS).double(), net_of(tasks)
    supervised(net, part(batch, [0, 1]), 0.0).total.backward()
    for got, want in zip(gradients(seen[0.0][1]), gradients(net), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-14)


def test_terms_of_the_log_make_the_total():
    tasks, batch = toy_tasks(), mixed(2)
    objective, net = make(tasks, weight=0.25), net_of(tasks)
    losses = objective(net, batch, 0.0)
    maps = [f"{scale}/{task}" for scale in ("stage1", "final") for task in tasks]
    kinds = {kind: [losses.terms.pop(f"{kind}/{key}") for key in maps] for kind in ("adversarial", "discriminator")}
    supervised = MultiScale(tasks, WEIGHTS)(net_of(tasks), part(batch, [0, 1]), 0.0)
    assert losses.terms == supervised.terms
    assert not any(v.requires_grad for values in kinds.values() for v in values)
    adversarial, told = (torch.stack(values).mean() for values in kinds.values())
    assert losses.total.item() == pytest.approx((supervised.total + 0.25 * adversarial + told).item(), rel=1e-12)


def test_the_targets_labels_are_not_read_whether_there_are_any_or_not():
    """It is the stream that says whose a sample is."""
    tasks, totals = toy_tasks(), []
    hidden = mixed(2)
    for labelled in (hidden.labelled, {}, {task: torch.ones(4, dtype=torch.bool) for task in tasks}):
        torch.manual_seed(0)
        totals.append(make(tasks)(net_of(tasks), replace(hidden, labelled=labelled), 0.0).total)
    assert torch.isfinite(totals[0])
    assert torch.equal(totals[0], totals[1])
    assert torch.equal(totals[0], totals[2])


def test_samples_of_the_source_may_lack_labels():
    """They are still the source's: the network sees them there, and discriminators are told so."""
    tasks, batch = toy_tasks(), mixed(4)
    batch.targets["depth"][:2], batch.targets["semseg"][1] = 1e-3, 254  # poison, as near as nothing else is
    labels = {"depth": [False, False, True, True], "semseg": [True, False, True, True]}
    batch.labelled = {task: torch.tensor([*mask, False, False]) for task, mask in labels.items()}
    objective, net, seen = make(tasks), net_of(tasks), []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    losses = objective(net, batch, 0.0)
    assert [torch.equal(got, batch.image[rows]) for got, rows in zip(seen, (slice(4), slice(4, 6)), strict=True)]
    source = Batch(batch.image[:4], batch.targets, {task: mask[:4] for task, mask in batch.labelled.items()})
    source.targets = {task: target[:4] for task, target in batch.targets.items()}
    supervised = MultiScale(tasks, WEIGHTS)(net_of(tasks), source, 0.0)
    assert supervised.terms.items() <= losses.terms.items()
    # the range of depth is that of the labels that there are
    outputs = net_of(tasks)(source.image)
    known = published_maps(outputs, source.targets["depth"][2:], ("depth",), ("stage1",))
    for key, want in objective.maps(outputs, source).items():
        if key in known:
            torch.testing.assert_close(want, known[key])


def test_a_source_without_any_label_still_adapts():
    tasks, batch = toy_tasks(), mixed(2)
    batch.labelled = {task: torch.zeros(4, dtype=torch.bool) for task in tasks}
    objective, net = make(tasks, weight=1.0), net_of(tasks)
    losses = objective(net, batch, 0.0)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert net.last["semseg"].weight.grad.abs().sum() > 0  # fooled
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in objective.parameters())


def test_batch_norm_sees_the_source_and_then_the_target():
    tasks, batch = toy_tasks(), mixed(2, 3)
    objective, net, twin = make(tasks), net_of(tasks), net_of(tasks)
    seen = []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    objective(net, batch, 0.0)
    assert [torch.equal(image, batch.image[rows]) for image, rows in zip(seen, ([0, 1], [2, 3, 4]), strict=True)]
    for rows in ([0, 1], [2, 3, 4]):
        twin(batch.image[rows])
    assert net.norm.num_batches_tracked == 2
    assert torch.equal(net.norm.running_mean, twin.norm.running_mean)
    assert torch.equal(net.norm.running_var, twin.norm.running_var)


def test_one_discriminator_a_task_and_scale():
    full = Adaptation(toy_tasks(), WEIGHTS, scales=("stage1",))
    assert list(full.discriminators) == ["stage1/semseg", "stage1/depth", "final/semseg", "final/depth"]
    # 16 and 8 classes have 2,778,049 and 2,769,857; each class another 64 filters of 4 × 4
    assert sum(p.numel() for p in full.parameters()) == 2 * (2_762_689 + 3 * 16 * 64) + 2 * 2_762_689
    assert list(Adaptation(toy_tasks("depth"), WEIGHTS).discriminators) == ["final/depth"]


def test_discriminators_have_an_optimizer_and_a_schedule_of_their_own():
    objective = make(toy_tasks())
    (group,) = objective.groups()
    assert make(toy_tasks(), lr=0.1).groups()[0].lr == 0.1
    assert {id(p) for p in group.parameters} == {id(p) for p in objective.parameters()}
    want = {0: 1e-4, 1: 9.99990e-5, 100: 9.98999945e-5, 45_000: 5.35886731e-5, 89_999: 3.47681627e-9}
    # whatever the network's optimizer, its rate and its schedule are
    for name, lr, schedule in (("adam_b98", 2.5e-4, "constant"), ("sgd", 3e-2, "drop")):
        recipe = Recipe(name, lr, 1e-4, 2, 0, schedule=schedule, steps=90_000)
        own = build_optimizer(net_of(toy_tasks()), objective, recipe).param_groups[-1]
        assert (own["betas"], own["weight_decay"]) == ((0.9, 0.99), 0.0)
        got = {}
        for step in want:
            set_learning_rates([own], recipe, step)
            got[step] = own["lr"]
        assert got == pytest.approx(want, rel=1e-8)


def train(objective, net, batches, lr):
    """The losses of every step of Adam on both players."""
    optimizer = torch.optim.Adam([*net.parameters(), *objective.parameters()], lr=lr)
    seen = []
    for step, batch in enumerate(batches):
        torch.manual_seed(step)
        losses = objective(net, batch, 0.0)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        seen.append(losses)
    return seen


def test_same_seed_same_bits():
    tasks, batches = toy_tasks(), [mixed(2, 2, seed) for seed in range(4)]
    ends = []
    for _ in range(2):
        objective, net = make(tasks), net_of(tasks)
        train(objective, net, batches, 1e-2)
        ends.append([*objective.state_dict().values(), *net.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


# bad input


def test_tasks_need_a_map():
    known = "depth/inverse_berhu, depth/inverse_berhu_64, semseg/cross_entropy"
    with pytest.raises(SpecError, match=rf"tasks: unknown task/loss .* 'normals/l1'.*Known: {known}"):
        make(toy_tasks("semseg", "depth", "normals"))
    with pytest.raises(SpecError, match="'depth/l1'"):
        make(make_tasks(("depth",), INFO))


def test_options_out_of_range():
    for option, value in (("weight", -1.0), ("lr", 0.0), ("widths", ())):
        with pytest.raises(SpecError, match=rf"objective\.options\.{option}"):
            make(toy_tasks(), **{option: value})


def test_the_model_must_predict_at_every_scale():
    tasks = toy_tasks()
    with pytest.raises(SpecError, match=r"not predict semseg at 'stage2'\. It does at: final, stage1"):
        make(tasks, ("stage2",))(net_of(tasks), mixed(2), 0.0)


def test_a_batch_needs_two_samples_of_either_domain():
    tasks = toy_tasks()
    with pytest.raises(SpecError, match=r"recipe\.extra: the batch has no sample of the target domain.*data\.extra"):
        make(tasks)(net_of(tasks), mixed(4, 0), 0.0)
    for source, target, name in ((2, 1, "target"), (1, 2, "source"), (0, 2, "source")):
        field = "extra" if name == "target" else "batch"
        with pytest.raises(SpecError, match=rf"recipe\.{field}: batch norm .* two samples of the {name} domain, got"):
            make(tasks)(net_of(tasks), mixed(source, target), 0.0)
