"""DenseMTL: shapes, where blocks and sides stand, what is exchanged, determinism, bad input."""

from itertools import combinations, permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import spec
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models import build_model
from mtlrepro.models.attention import plain
from mtlrepro.models.xtam import ExchangeBlock, SpatialAttention

TASKS = ("semseg", "depth", "normals", "edges")
SD, SDN = (" ".join(TASKS[:n]) for n in (2, 3))
WIDTHS = (4, 4, 4, 8, 8)


def channels(classes):
    return {"semseg": classes, "depth": 1, "normals": 3, "edges": 2}


def published(tasks, **values):
    return spec("dense_mtl", tasks, backbone="resnet101_os16", **values)


def nano(tasks=SD, seed=0, **values):
    torch.manual_seed(seed)
    model = build_model(spec("dense_mtl", tasks, backbone="resnet_nano_os16", widths=WIDTHS, **values), channels(5))
    for module in model.modules():
        if isinstance(module, SpatialAttention):
            nn.init.normal_(module.alpha)
    return model


def image(batch=2, height=32, width=64):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_published_shapes():
    with torch.device("meta"):
        outputs = build_model(published(SD), channels(14)).eval()(torch.empty(1, 3, 64, 128))
    assert {t: p.shape[1:] for t, p in outputs.final.items()} == {"semseg": (14, 64, 128), "depth": (1, 64, 128)}
    assert {t: p.shape[1:] for t, p in outputs.stages["stage1"].items()} == {
        "semseg": (14, 32, 64),
        "depth": (1, 32, 64),
    }
    assert list(outputs.stages) == ["stage1"]
    assert [tuple(f.shape[1:]) for f in outputs.features] == [
        (64, 32, 64), (256, 16, 32), (512, 8, 16), (1024, 4, 8), (2048, 4, 8),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(320, 1024), (512, 1024), (448, 576)])
def test_grid_of_the_attention(size):
    grids = {}

    def note(stage, role):
        return lambda module, inputs, output: grids.setdefault((stage, role), set()).add(tuple(output.shape[-2:]))

    with torch.device("meta"):
        model = nano(stages=(4, 3, 2, 1)).eval()
        for stage, block in model.exchange.items():
            for module in block.modules():
                if isinstance(module, SpatialAttention):
                    for role in ("query", "key", "value"):
                        getattr(module, role).register_forward_hook(note(int(stage), role))
        model(torch.empty(1, 3, *size))
    eighth, sixteenth = ({(size[0] // s, size[1] // s)} for s in (8, 16))
    expected = {4: sixteenth, 3: eighth, 2: eighth, 1: eighth}
    assert grids == {(stage, role): g for stage, g in expected.items() for role in ("query", "key", "value")}


SUBSETS = [stages for n in range(5) for stages in combinations((4, 3, 2, 1), n)]


@pytest.mark.parametrize("stages", SUBSETS, ids=str)
def test_blocks_stand_at_any_stages(stages):
    model = nano(stages=stages)
    outputs = model(image())
    strides = {4: 16, 3: 8, 2: 4, 1: 2}
    assert list(outputs.stages) == [f"stage{s}" for s in stages or (1,)]
    assert list(outputs.final) == ["semseg", "depth"]
    for stage, predictions in zip(stages or (1,), outputs.stages.values(), strict=True):
        size = 32 // strides[stage], 64 // strides[stage]
        assert {t: p.shape for t, p in predictions.items()} == {"semseg": (2, 5, *size), "depth": (2, 1, *size)}
    predictions = [*outputs.final.values(), *(p for stage in outputs.stages.values() for p in stage.values())]
    sum((p - 1).square().mean() for p in predictions).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_order_of_stages_does_not_matter():
    one, other = nano(stages=(3, 1)).eval(), nano(stages=(1, 3)).eval()
    other.load_state_dict(one.state_dict())
    for mine, yours in zip(one(image()).final.values(), other(image()).final.values(), strict=True):
        assert torch.equal(mine, yours)


def test_sides_are_made_of_unrefined_features():
    model = nano(stages=(2, 1)).eval()
    found = model(image())
    for parameter in model.exchange["1"].parameters():
        nn.init.normal_(parameter)
    changed = model(image())
    for task in ("semseg", "depth"):
        assert torch.equal(found.stages["stage1"][task], changed.stages["stage1"][task])
        assert not torch.equal(found.final[task], changed.final[task])
    for parameter in model.exchange["2"].parameters():
        nn.init.normal_(parameter)
    later = model(image())
    assert torch.equal(changed.stages["stage2"]["depth"], later.stages["stage2"]["depth"])
    assert not torch.equal(changed.stages["stage1"]["depth"], later.stages["stage1"]["depth"])


def test_without_blocks_nothing_is_exchanged():
    model = nano(stages=())
    outputs = model(image())
    assert list(outputs.stages) == ["stage1"]
    outputs.final["depth"].mean().backward()
    assert all(p.grad is None for p in model.decoders["semseg"].parameters())


@pytest.mark.parametrize("task", TASKS)
def test_single_task_exchanges_nothing(task):
    model = nano(task, stages=(3, 1))
    assert not list(model.exchange.parameters())
    outputs = model(image())
    assert list(outputs.final) == [task]
    assert list(outputs.stages) == ["stage3", "stage1"]


@pytest.mark.parametrize(("target", "source"), list(permutations(TASKS[:3], 2)))
def test_every_task_reaches_every_other(target, source):
    # Without self-attention, another task's features are keys and values of the cross-task attention or nothing.
    model = nano(SDN, self_attention=False)
    with torch.no_grad():
        for place, other in enumerate(task for task in TASKS[:3] if task != target):
            if other != source:
                model.exchange["1"].fuse[target][0].weight[:, 4 * place : 4 * (place + 1)] = 0
    model(image()).final[target].mean().backward()
    reached = {t for t, d in model.decoders.items() if any(p.grad is not None and p.grad.any() for p in d.parameters())}
    assert reached == {target, source}


def test_sides_and_sigmoid_of_self_supervised_depth():
    model = nano(sides=(("semseg", (2,)), ("depth", (1, 2, 3))), sigmoid=("depth",)).eval()
    outputs = model(image())
    assert {stage: list(p) for stage, p in outputs.stages.items()} == {
        "stage3": ["depth"], "stage2": ["semseg", "depth"], "stage1": ["depth"],
    }  # fmt: skip
    disparities = [outputs.final["depth"], *(p["depth"] for p in outputs.stages.values())]
    assert all(d.min() > 0 and d.max() < 1 for d in disparities)
    assert outputs.final["semseg"].min() < 0


def test_lean_and_plain_attention_train_alike():
    gradients = []
    for form in (None, plain):
        model = nano(SDN, stages=(3, 1)).double()
        for module in model.modules():
            if isinstance(module, SpatialAttention) and form:
                module.attend = form
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        sum(p.square().mean() for p in model(image().double()).final.values()).backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@settings(max_examples=5)
@given(tasks=st.permutations(TASKS[:3]))
def test_order_of_tasks_only_permutes(tasks):
    one, other = nano(SDN).eval(), nano(" ".join(tasks)).eval()
    state, order = one.state_dict(), TASKS[:3]
    for task in order:
        sources = [[s for s in o if s != task] for o in (order, tasks)]
        key = f"exchange.1.fuse.{task}.0.weight"
        parts = dict(zip(sources[0], state[key].split(4, dim=1), strict=True))
        state[key] = torch.cat([parts[s] for s in sources[1]], dim=1)
    other.load_state_dict(state)
    found, permuted = one(image()), other(image())
    for task in order:
        torch.testing.assert_close(found.final[task], permuted.final[task])


def gradients(device):
    model = nano(SDN, stages=(3, 1)).to(device)
    torch.manual_seed(5)
    outputs = model(image().to(device))
    sum(p.square().mean() for p in (*outputs.final.values(), *outputs.stages["stage1"].values())).backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_seed_same_bits(device):
    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        assert all(torch.equal(a, b) for a, b in zip(gradients(device), gradients(device), strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stages": (1, 0)}, r"stages: no blocks can stand at stages \(1, 0\)"),
        ({"stages": (1, 1)}, "stages: .*Name any of 4, 3, 2, 1 once each"),
        ({"sides": (("edges", (1,)),)}, "sides: unknown task 'edges'"),
        ({"sides": (("depth", (5,)),)}, "sides: no decoder predicts at stages"),
        (
            {"widths": (4, 1, 4, 8, 8)},
            r"widths: no block can have features of width 1\. Give even numbers where blocks",
        ),
        ({"widths": (4, 4, 4, 5, 8), "stages": (3, 1)}, "widths: .* of width 5"),
        ({"widths": (4, 4.0, 4, 8, 8)}, "widths: .*Give five positive numbers"),
        ({"sides": (("depth", (0, 1)),)}, "sides: .*stage 0 always has one"),
        ({"sigmoid": ("dept",)}, "sigmoid: unknown task 'dept'. Did you mean 'depth'"),
        ({"fusion": "sum"}, "fusion: unknown fusion 'sum'"),
        ({"attention": "channels"}, "attention: unknown attention 'channels'. Did you mean 'channel'"),
    ],
)
def test_specs_that_do_not_fit(values, message):
    with torch.device("meta"), pytest.raises(SpecError, match=message):
        build_model(spec("dense_mtl", SD, backbone="resnet_nano_os16", **values), channels(5))


def test_widths_are_free_where_no_block_stands():
    for tasks, stages in ((SD, (2,)), ("depth", (1,))):
        with torch.device("meta"):
            build_model(
                spec("dense_mtl", tasks, backbone="resnet_nano_os16", widths=(3, 5, 4, 7, 9), stages=stages),
                channels(5),
            )


def test_training_on_one_image_is_refused():
    with pytest.raises(SpecError, match=r"recipe.batch: .*at least two images"):
        nano()(image(batch=1))


def test_backbone_without_its_stem_is_refused():
    with torch.device("meta"), pytest.raises(SpecError, match=r"model.backbone: a backbone with 4 maps"):
        build_model(spec("dense_mtl", SD, backbone="resnet_nano"), channels(5))


def test_options_reach_the_blocks():
    with torch.device("meta"):
        model = build_model(published(SDN, fusion="concat", attention="both", self_attention=False), channels(14))
    (block,) = (m for m in model.modules() if isinstance(m, ExchangeBlock))
    assert [type(m).__name__ for m in block.paths["depth"]["normals"].cross] == ["SpatialAttention", "ChannelAttention"]
    assert block.paths["depth"]["normals"].own is None
    assert list(block.paths["depth"]) == ["semseg", "normals"]
    assert block.fuse["depth"][0].in_channels == 3 * 128


@pytest.mark.parametrize("wrong", [{"fusion": "nope"}, {"attention": "nope"}])
def test_names_are_checked_where_no_block_stands(wrong):
    with pytest.raises(SpecError, match=r"unknown .* 'nope'"):
        build_model(spec("dense_mtl", "semseg", backbone="resnet_nano_os16", stages=(), **wrong), {"semseg": 3})
