"""MT-CP: public code's figures, what reads what, heads, ablations, any tasks and sizes, determinism, bad input."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from seeded_vectors import Stream
from torch import nn

from mtlrepro.errors import SpecError
from mtlrepro.models import build_decoder, build_model
from mtlrepro.models.handed import Handed
from mtlrepro.models.mt_cp import MTCP, SingleMTCP, TaskHeads, head_sets
from mtlrepro.spec import ModelSpec, options

NYUD = {"semseg": 40, "depth": 1, "normals": 3}
PASCAL = {"semseg": 21, "parts": 7, "saliency": 1}
CHANNELS = {**PASCAL, **NYUD, "edges": 1, "shading": 2}
ABLATIONS = [{}, {"cfm": False}, {"srm": False}, {"cfm": False, "srm": False}]


HEADS = head_sets((2, 8))


def handed(tasks=tuple(NYUD), width=16, size=(64, 96), batch=2, seed=0, arch=MTCP, **values):
    """A network on a map that is handed to it, and an image of the map's size."""
    torch.manual_seed(seed)
    model = arch(Handed((width,), (4,)), tuple(tasks), CHANNELS, **values)
    grid = [math.ceil(side / 4) for side in size]
    generator = torch.Generator().manual_seed(seed)
    model.backbone.maps = [torch.randn(batch, width, *grid, generator=generator)]
    return model, torch.zeros(batch, 3, *size)


def read(model, outputs):
    """Names of the parameters that predictions depend on."""
    predictions = [*outputs.final.values(), *(p for stage in outputs.stages.values() for p in stage.values())]
    model.zero_grad()
    sum((p - 1).square().mean() for p in predictions).backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(gradient.isfinite().all() for gradient in found.values())
    return set(found)


# Sums of absolute values, first and last values of a task's final and two intermediate predictions, all at the size of
# the image, in training on 16 channels. Measured on the public reference implementation, whose widths of 256 channels
# and multiples and parts of it were set to 16 and the same multiples and parts of that.
PUBLIC = {
    ("nyud", 40): {
        "semseg": [(87192.734625, 0.773603, 0.326398), (96309.362153, 0.246760, 0.168389),
                   (97201.190154, 0.373315, 0.035270)],
        "depth": [(1586.511682, -0.122882, -0.125764), (873.256758, 0.024326, 0.268043),
                  (2761.532641, -0.240968, -0.064487)],
        "normals": [(3663.152096, -0.204540, -0.246602), (8745.570439, 0.223961, 0.164502),
                    (8048.696662, -0.122321, 0.177887)],
    },
    ("pascal", 41): {
        "semseg": [(51832.694024, 0.161308, 0.472090), (48324.433112, 0.117588, -0.452784),
                   (50105.095744, 0.261301, 0.013016)],
        "parts": [(16756.362252, -0.350112, -0.193775), (19231.421148, -0.265674, -0.046781),
                  (20098.055891, 0.075478, 0.078429)],
        "saliency": [(2107.652283, -0.002014, -0.099265), (1420.317046, 0.095032, 0.054572),
                     (2032.441821, 0.115064, -0.093933)],
    },
}  # fmt: skip


@pytest.mark.parametrize(("heads", "seed"), PUBLIC)
def test_figures_of_the_public_code(heads, seed):
    expected, channels = PUBLIC[heads, seed], {"nyud": NYUD, "pascal": PASCAL}[heads]
    model, stream = MTCP(Handed((16,), (4,)), tuple(expected), channels, heads=heads), Stream(seed, 0.1)
    stream.fill(*ordered(model))
    for layer in model.modules():
        if isinstance(layer, nn.LayerNorm | nn.BatchNorm2d):
            layer.weight.data += 1
    model.backbone.maps = [stream.normal(2, 16, 16, 24)]
    outputs = model.train()(torch.zeros(2, 3, 64, 96))
    for task, figures in expected.items():
        stages = [F.interpolate(stage[task], (64, 96), mode="bilinear") for stage in outputs.stages.values()]
        for found, (absolute, first, last) in zip((outputs.final[task], *stages), figures, strict=True):
            flat = found.detach().double().flatten()
            assert flat.abs().sum().item() == pytest.approx(absolute, rel=1e-4)
            assert [flat[0].item(), flat[-1].item()] == pytest.approx([first, last], abs=1e-4)


def ordered(model):
    """All parameters, module by module: hierarchies, fusions, coherence, traces, intermediate and final heads."""
    parts = (model.transformers, model.fusions, model.coherence, model.traces, model.sides, model.heads)
    found = [p for part in parts for p in part.parameters()]
    assert len(found) == len(list(model.parameters()))
    return found


def test_shapes():
    model, image = handed()
    outputs = model(image)
    assert {t: p.shape for t, p in outputs.final.items()} == {t: (2, c, 64, 96) for t, c in NYUD.items()}
    assert {name: {t: p.shape for t, p in stage.items()} for name, stage in outputs.stages.items()} == {
        "trace_1": {t: (2, c, 4, 6) for t, c in NYUD.items()},
        "trace_2": {t: (2, c, 8, 12) for t, c in NYUD.items()},
    }
    assert outputs.features[0] is model.backbone.maps[0]
    assert len(outputs.features) == 1
    assert {t: tuple(b.shape[1] for b in branches) for t, branches in outputs.pairs.items()} == dict.fromkeys(
        NYUD, (16, 32)
    )


@pytest.mark.parametrize("values", ABLATIONS, ids=str)
def test_ablations_leave_out_what_they_say(values):
    model, image = handed(**values)
    seen = {}

    def note(name):
        return lambda module, inputs, output: seen.__setitem__(name, (inputs, output))

    for part in ("transformers", "fusions", "coherence", "traces", "heads"):
        for task, module in getattr(model, part).items():
            module.register_forward_hook(note((part, task)))
    outputs = model(image)
    cfm, srm = values.get("cfm", True), values.get("srm", True)
    assert list(outputs.pairs) == (list(NYUD) if cfm else [])
    assert list(outputs.stages) == (["trace_1", "trace_2"] if srm else [])
    for task in NYUD:
        scales = seen["transformers", task][1]
        assert all(one is other for one, other in zip(seen["fusions", task][0][0], scales, strict=True))
        reads = seen["fusions", task][1]
        if cfm:
            (main, others), (reads, pair) = seen["coherence", task]
            assert main is seen["fusions", task][1]
            assert [o is seen["fusions", t][1] for o, t in zip(others, (t for t in NYUD if t != task), strict=True)]
            assert outputs.pairs[task] is pair
        if srm:
            (start, maps), predicted = seen["traces", task]
            assert start is reads
            assert all(one is other for one, other in zip(maps, scales, strict=True))
            reads = predicted[-1]
        assert seen["heads", task][0][0] is reads


@pytest.mark.parametrize("values", ABLATIONS, ids=str)
@pytest.mark.parametrize("heads", HEADS)
def test_every_parameter_is_read(values, heads):
    model, image = handed(tuple(HEADS[heads]), heads=heads, **values)
    assert read(model, model(image)) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("cfm", [True, False])
@pytest.mark.parametrize("target", NYUD)
def test_tasks_reach_each_other_through_coherence_alone(target, cfm):
    model, image = handed(cfm=cfm)
    model(image).final[target].square().mean().backward()
    for part, everybody in (("transformers", cfm), ("fusions", cfm), ("coherence", False), ("traces", False)):
        reached = {t for t, m in getattr(model, part).items() if any(p.grad is not None for p in m.parameters())}
        assert reached == (set(NYUD) if everybody else {target} & set(getattr(model, part)))


def described(head):
    words = {
        nn.Conv2d: lambda m: f"{m.out_channels}" + "b" * (m.bias is not None),
        nn.BatchNorm2d: lambda m: "bn",
        nn.ReLU: lambda m: "relu",
        nn.Upsample: lambda m: f"x{m.scale_factor:g}" * (m.align_corners is True and m.mode == "bilinear"),
    }
    return " ".join(words[type(layer)](layer) for layer in head)


PUBLISHED = {  # layers of the final prediction, of each intermediate one, of the single-task network
    "nyud": {
        "semseg": ("256 bn relu 40b x2", "256 256 bn relu 40b", "256 bn relu 40b x2"),
        "depth": ("128b x2 32b relu 1b", "256 256 bn relu 1b", "128b x2 32b relu 1b"),
        "normals": ("256 bn relu 3b", "256 256 bn relu 3b", "256 bn relu 3b x2"),
    },
    "pascal": {
        "semseg": ("256 bn relu 40b x4", "256 256 bn relu 40b", "256 bn relu 40b x4"),
        "parts": ("256 bn relu 7b x4", "256 bn relu 7b", "256 bn relu 7b x4"),
        "saliency": ("256 bn relu 1b", "256 bn relu 1b", "256 bn relu 1b"),
    },
}


@pytest.mark.parametrize("heads", HEADS)
def test_published_heads(heads):
    assert set(HEADS[heads]) == set(PUBLISHED[heads])
    with torch.device("meta"):
        for task, (final, side, alone) in PUBLISHED[heads].items():
            kinds = HEADS[heads][task]
            found = [described(kind.build(256, CHANNELS[task])) for kind in (kinds.final, kinds.side, kinds.alone)]
            assert found == [final, side, alone]


def test_tasks_outside_a_published_set_get_the_plainest_heads():
    model, image = handed(("shading", "depth"), heads="pascal")
    plain = TaskHeads()
    assert described(model.heads["shading"]) == described(plain.final.build(16, 2)) == "16 bn relu 2b"
    assert described(model.sides["trace_2"]["depth"]) == "16 bn relu 1b"
    assert model(image).final["shading"].shape == (2, 2, 64, 96)


def test_finals_are_enlarged_corner_to_corner_then_about_centres():
    def enlarge(maps, factor):
        return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=True)

    def fit(maps):
        return F.interpolate(maps, size=(64, 96), mode="bilinear", align_corners=False)

    model, image = handed(srm=False, cfm=False)
    model.eval()
    features = {task: fuse(model.transformers[task](model.backbone.maps[0])) for task, fuse in model.fusions.items()}
    final, heads = model(image).final, model.heads
    assert torch.equal(final["semseg"], fit(enlarge(heads["semseg"][:4](features["semseg"]), 2)))
    depth = heads["depth"][0](features["depth"])
    assert torch.equal(final["depth"], fit(heads["depth"][2:](enlarge(depth, 2))))
    assert torch.equal(final["normals"], fit(heads["normals"](features["normals"])))
    model, image = handed(tuple(PASCAL), srm=False, cfm=False, heads="pascal")
    model.eval()
    features = model.fusions["parts"](model.transformers["parts"](model.backbone.maps[0]))
    assert torch.equal(model(image).final["parts"], enlarge(model.heads["parts"][:4](features), 4))


@settings(max_examples=6)
@given(
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)).map(lambda s: (16 * s[0] - s[1], 16 * s[1])),
    tasks=st.permutations(tuple(CHANNELS)).flatmap(lambda t: st.integers(2, 5).map(lambda n: t[:n])),
    heads=st.sampled_from(tuple(HEADS)),
    values=st.sampled_from(ABLATIONS),
)
def test_any_tasks_and_sizes(size, tasks, heads, values):
    model, image = handed(tasks, 4, size, 1, heads=heads, **values)
    outputs = model.eval()(image)
    assert {t: p.shape for t, p in outputs.final.items()} == {t: (1, CHANNELS[t], *size) for t in tasks}
    for stride, stage in zip((16, 8), outputs.stages.values(), strict=bool(outputs.stages)):
        grid = [math.ceil(side / stride) for side in size]
        assert {t: p.shape for t, p in stage.items()} == {t: (1, CHANNELS[t], *grid) for t in tasks}
    assert all(torch.isfinite(p).all() for p in outputs.final.values())


@settings(max_examples=3)
@given(tasks=st.permutations(tuple(NYUD)))
def test_order_of_tasks_only_permutes(tasks):
    (one, image), (other, _) = handed(width=4), handed(tasks, 4)
    state = one.state_dict()
    for task in NYUD:
        before, after = ([t for t in order if t != task] for order in (tuple(NYUD), tasks))
        if before != after:  # gates change places, and the channels that the joined branch reads
            for kind in ("weight", "bias"):
                first, second = (f"coherence.{task}.gates.{place}.0.{kind}" for place in (0, 1))
                state[first], state[second] = state[second], state[first]
            state[f"coherence.{task}.join.0.weight"] = state[f"coherence.{task}.join.0.weight"].roll(4, dims=1)
    other.load_state_dict(state)
    found, permuted = one.eval()(image).final, other.eval()(image).final
    for task in NYUD:
        torch.testing.assert_close(found[task], permuted[task])


@pytest.mark.parametrize("heads", HEADS)
def test_single_task_network_reads_the_first_stage(heads):
    for task, (_, _, alone) in PUBLISHED[heads].items():
        model, image = handed((task,), arch=SingleMTCP, heads=heads)
        assert described(model.head) == alone.replace("256", "16").replace("128", "8").replace("32", "2")
        outputs = model(image)
        assert {t: p.shape for t, p in outputs.final.items()} == {task: (2, CHANNELS[task], 64, 96)}
        assert (outputs.stages, outputs.pairs) == ({}, {})
        assert outputs.features == model.backbone.maps
        assert read(model, outputs) == {name for name, _ in model.named_parameters()}
    (refined,) = model.transformer(model.backbone.maps[0])
    expected = F.interpolate(model.head(refined), (64, 96), mode="bilinear")  # saliency: nothing before it
    assert heads != "pascal" or torch.equal(outputs.final[task], expected)


@pytest.mark.parametrize("backbone", ["mask2former_nano", "hrnet_nano"])
@pytest.mark.parametrize("arch", ["mt_cp", "mt_cp_single"])
def test_on_backbones(arch, backbone):
    torch.manual_seed(0)
    tasks = tuple(NYUD)[: 3 if arch == "mt_cp" else 1]
    model = build_model(ModelSpec(arch, backbone, tasks), NYUD)
    outputs = model(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)))
    assert outputs.features[0].shape == (2, model.backbone.channels[0], 16, 24)
    idle = {name for name, _ in model.named_parameters()} - read(model, outputs)
    assert bool(idle) is (backbone == "hrnet_nano")  # of its maps one is read
    assert all(name.startswith("backbone.") for name in idle)
    decoder = build_decoder(ModelSpec(arch, backbone, tasks), NYUD, model.backbone)
    assert not decoder.backbone.state_dict()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_same_seed_same_bits(device):
    def gradients():
        model, image = handed()
        model.to(device)
        model.backbone.maps = [m.to(device) for m in model.backbone.maps]
        read(model, model(image.to(device)))
        return [p.grad for p in model.parameters()]

    mode = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("error")
    try:
        assert all(torch.equal(a, b) for a, b in zip(gradients(), gradients(), strict=True))
    finally:
        torch.set_deterministic_debug_mode(mode)


@pytest.mark.parametrize(
    ("arch", "backbone", "tasks", "values", "message"),
    [
        ("mt_cp", "hrnet_nano", "depth", {}, r"model.main: .*\('depth',\)\. Name two or more tasks, switch cfm off"),
        ("mt_cp", "hrnet_nano", "semseg depth", {"heads": "nyuv2"}, "heads: unknown .* 'nyuv2'. Did you mean 'nyud'"),
        ("mt_cp", "hrnet_nano", "semseg depth", {"cfm": 1}, "cfm: cannot be 1. Give true or false"),
        ("mt_cp", "hrnet_nano", "semseg depth", {"srm": None}, "srm: cannot be None. Give true or false"),
        ("mt_cp", "hrnet_nano", "semseg depth", {"widths": 3}, "model.options: unknown option"),
        ("mt_cp", "resnet_nano_os16", "semseg depth", {}, "model.backbone: .*first has stride 2. Name 'mask2former"),
        ("mt_cp_single", "hrnet_nano", "semseg depth", {}, "model.main: .*Use one spec a task"),
        ("mt_cp_single", "hrnet_nano", "depth", {"heads": None}, "heads: unknown set of heads None"),
        ("mt_cp_single", "vit_nano", "depth", {}, "model.backbone: .*first has stride 8"),
    ],
)
def test_specs_that_do_not_fit(arch, backbone, tasks, values, message):
    spec = ModelSpec(arch, backbone, tuple(tasks.split()), options=options(**values))
    with torch.device("meta"), pytest.raises(SpecError, match=message):
        build_model(spec, NYUD, (64, 96))


@pytest.mark.parametrize(("arch", "tasks"), [(MTCP, ("semseg", "depth")), (SingleMTCP, ("depth",))])
def test_maps_that_windows_cannot_read(arch, tasks):
    with torch.device("meta"), pytest.raises(SpecError, match=r"model.backbone: 2 heads cannot share 27 channels\."):
        arch(Handed((27,), (4,)), tasks, NYUD)


def test_one_task_without_coherence():
    model, image = handed(("depth",), cfm=False)
    assert model(image).final["depth"].shape == (2, 1, 64, 96)
