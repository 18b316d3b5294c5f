"""What every architecture keeps to: outputs, gradients, structure, ablations, errors for specs that do not fit."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_vectors import NYUD, PASCAL, spec

from mtlrepro.errors import SpecError
from mtlrepro.models import MODELS, build_model
from mtlrepro.models.distillation import AttentionUnit
from mtlrepro.models.fpm import FeaturePropagation
from mtlrepro.models.mti_net import MTINet

MAIN, ALL = "semseg depth", "semseg normals edges depth"
NARROW = (4, 8, 8, 8, 12)
SPECS = {
    "stl": spec("stl", "semseg"),
    "mtl": spec("mtl", MAIN),
    "padnet": spec("padnet", MAIN, ALL, width=32),
    "mti_net": spec("mti_net", MAIN, ALL),
    "mti_net one task": spec("mti_net", "depth", "depth"),
    "mti_net without fpm": spec("mti_net", MAIN, ALL, fpm=False),
    "mti_net softmax over tasks": spec("mti_net", MAIN, ALL, fpm_softmax="tasks"),
    "mti_net two scales": spec("mti_net", MAIN, ALL, scales=2),
    "mti_net skipped scale": spec("mti_net", MAIN, ALL, scales=(0, 2, 3)),
    "segnet": spec("segnet", MAIN, backbone="segnet_nano"),
    "segnet one task": spec("segnet", "normals", backbone="segnet_nano"),
    "deeplab": spec("deeplab", MAIN, backbone="resnet_nano", width=16),
    "deeplab_single": spec("deeplab_single", "depth", backbone="resnet_nano", width=16),
    "cross_stitch": spec("cross_stitch", MAIN, backbone="resnet_nano", width=16),
    "padnet on the last map": spec("padnet", MAIN, MAIN, backbone="resnet_nano_os16", width=32, maps="last"),
    "three_ways": spec("three_ways", MAIN, backbone="resnet_nano_os16", widths=NARROW),
    "three_ways one task": spec("three_ways", "depth", backbone="resnet_nano_os16", widths=NARROW),
    "dense_mtl": spec("dense_mtl", MAIN, backbone="resnet_nano_os16", widths=NARROW),
    "invpt": spec("invpt", MAIN, backbone="vit_nano", width=12, prediction_width=4),
    "atrc": spec("atrc", "semseg depth normals edges"),
}
SIZED = ("invpt",)
"""Those whose learned positions are those of one image size."""


STRIDES = {
    "initial": 4,
    "auxiliary": 4,
    "scale_0": 4,
    "scale_1": 8,
    "scale_2": 16,
    "scale_3": 32,
    "stage2": 4,
    "stage1": 2,
}
LAST_MAP = 16
CLASSES = {"semseg": 40, "edges": 2}
"""Of ATRC's auxiliary maps, which not all tasks have."""


ELSEWHERE = {"mt_cp", "mt_cp_single"}
"""Tried in test_mt_cp.py: their encoder wants larger images, and has parameters whose gradient starts at 0."""


def test_every_architecture_is_covered():
    assert {s.arch for s in SPECS.values()} | ELSEWHERE == set(MODELS)


@cache
def meta_model(name):
    with torch.device("meta"):
        return build_model(SPECS[name], NYUD)


@cache
def real_model(name, size=(64, 64)):
    torch.manual_seed(0)
    return build_model(SPECS[name], NYUD, size if name in SIZED else None).eval()


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(list(SPECS)), batch=st.integers(1, 2), height=st.integers(1, 4), width=st.integers(1, 4))
def test_output_sizes(name, batch, height, width):
    height, width = 32 * height, 32 * width
    with torch.no_grad():
        outputs = real_model(name, (height, width) if name in SIZED else (64, 64))(torch.zeros(batch, 3, height, width))
    assert {t: p.shape for t, p in outputs.final.items()} == {
        t: (batch, NYUD[t], height, width) for t in SPECS[name].main
    }
    channels = CLASSES if name == "atrc" else {t: NYUD[t] for t in SPECS[name].aux or SPECS[name].main}
    for stage, predictions in outputs.stages.items():
        stride = LAST_MAP if name in ("padnet on the last map", "invpt") else STRIDES[stage]
        size = height // stride, width // stride
        assert {t: p.shape for t, p in predictions.items()} == {t: (batch, c, *size) for t, c in channels.items()}
    backbone = real_model(name).backbone
    assert [tuple(f.shape) for f in outputs.features] == [
        (batch, c, height // s, width // s) for c, s in zip(backbone.channels, backbone.strides, strict=True)
    ]


def test_meta_device():
    outputs = meta_model("mti_net skipped scale").eval()(torch.empty(2, 3, 480, 640, device="meta"))
    assert outputs.final["semseg"].is_meta
    assert outputs.final["semseg"].shape == (2, 40, 480, 640)
    assert outputs.stages["scale_2"]["depth"].shape == (2, 1, 30, 40)


def test_stage_names():
    image = torch.zeros(1, 3, 64, 64)
    stages = {name: list(real_model(name)(image).stages) for name in SPECS}
    assert stages["stl"] == stages["mtl"] == stages["segnet"] == stages["deeplab"] == stages["cross_stitch"] == []
    assert stages["padnet"] == stages["padnet on the last map"] == stages["invpt"] == ["initial"]
    assert stages["atrc"] == ["auxiliary"]
    assert stages["three_ways"] == stages["three_ways one task"] == ["stage2"]
    assert stages["dense_mtl"] == ["stage1"]
    assert stages["mti_net"] == ["scale_0", "scale_1", "scale_2", "scale_3"]
    assert stages["mti_net two scales"] == ["scale_0", "scale_1"]
    assert stages["mti_net skipped scale"] == ["scale_0", "scale_2", "scale_3"]


def gradients(name, with_stages):
    model = real_model(name)
    outputs = model(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    predictions = list(outputs.final.values())
    if with_stages:
        predictions += [p for stage in outputs.stages.values() for p in stage.values()]
    loss = sum((p - 1).square().mean() for p in predictions)
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True))


def unused(name):
    """Layers that InvPT's published code has for nothing, and those of a last fusion that lead to a dropped scale."""
    if name == "invpt":
        return "taps.2.", "decoder.norm.", "decoder.widen.0.", "decoder.blocks.0.attention.fuse."
    dropped = set(range(4)) - set(getattr(real_model(name), "scales", range(4)))
    return tuple(f"backbone.stage4.0.fuse_layers.{s}." for s in dropped)


@pytest.mark.parametrize("name", SPECS)
def test_gradient_reaches_every_parameter(name):
    found = gradients(name, with_stages=True)
    assert all(n.startswith(unused(name)) for n, g in found.items() if g is None)
    used = {n: g for n, g in found.items() if g is not None}
    assert all(g.isfinite().all() for g in used.values())
    # A mask over one task is constant, and a gate with one hidden unit may rest at its ReLU: zero, yet connected.
    # DenseMTL's attention and ATRC's context start with a weight of zero, so that this weight alone has a gradient.
    constant = (".attention.",) if len(SPECS[name].aux) == 1 else ()
    weighted = (*(f".cross.0.{part}." for part in ("query", "key", "value")), ".contexts.", ".join.0.")
    zero = [n for n, g in used.items() if not g.any() and not any(p in n for p in (".gate.", *constant, *weighted))]
    assert zero == []


@pytest.mark.parametrize(
    ("name", "predictions"),
    [
        ("padnet", "predictions."),
        ("padnet on the last map", "predictions."),
        ("mti_net", "predictions."),
        ("three_ways", ".sides.2."),
        ("three_ways one task", ".sides.2."),
        ("dense_mtl", ".sides.1."),
    ],
)
def test_final_loss_skips_nothing_but_initial_predictions(name, predictions):
    without = [n for n, g in gradients(name, with_stages=False).items() if g is None]
    expected = [n for n, _ in real_model(name).named_parameters() if predictions in n]
    assert without == expected
    assert expected


@pytest.mark.parametrize("name", ["padnet", "mti_net"])
def test_auxiliary_tasks_reach_the_final_prediction(name):
    found = gradients(name, with_stages=False)
    assert any(g is not None and g.any() for n, g in found.items() if ".normals." in n and "features" in n)


@pytest.mark.parametrize("name", SPECS)
def test_float64(name):
    torch.manual_seed(0)
    model = build_model(SPECS[name], NYUD, (64, 64)).double().eval()
    image = torch.rand(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        double, single = model(image), real_model(name)(image.float())
    for task, prediction in double.final.items():
        assert prediction.dtype == torch.float64
        torch.testing.assert_close(prediction.float(), single.final[task], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("main", "aux", "channels", "units"),
    [
        (MAIN, MAIN, NYUD, 8),
        (MAIN, ALL, NYUD, 24),
        (" ".join(PASCAL), " ".join(PASCAL), PASCAL, 80),
        ("semseg parts saliency", "semseg parts saliency edges", PASCAL, 36),
    ],
)
def test_number_of_attention_units(main, aux, channels, units):
    with torch.device("meta"):
        model = build_model(spec("mti_net", main, aux), channels)
    assert sum(isinstance(m, AttentionUnit) for m in model.modules()) == units


def first_width(model, scale):
    return model.initial[str(scale)].features["depth"][0].conv1.in_channels


def test_heads_see_the_next_coarser_kept_scale():
    widths = (8, 16, 32, 64)
    assert [first_width(meta_model("mti_net"), s) for s in range(4)] == [8 + 16, 16 + 32, 32 + 64, 64]
    assert [first_width(meta_model("mti_net without fpm"), s) for s in range(4)] == list(widths)
    assert [first_width(meta_model("mti_net two scales"), s) for s in (0, 1)] == [8 + 16, 16]
    assert [first_width(meta_model("mti_net skipped scale"), s) for s in (0, 2, 3)] == [8 + 32, 32 + 64, 64]


def test_propagation_modules_are_at_all_kept_scales_but_the_finest():
    def scales(name):
        return list(meta_model(name).fpm)

    assert scales("mti_net") == ["1", "2", "3"]
    assert scales("mti_net skipped scale") == ["2", "3"]
    assert scales("mti_net without fpm") == []
    assert not any(isinstance(m, FeaturePropagation) for m in meta_model("mti_net without fpm").modules())


def test_number_and_indices_of_scales_are_one_network():
    def state(scales):
        torch.manual_seed(3)
        return build_model(spec("mti_net", MAIN, ALL, scales=scales), NYUD).state_dict()

    by_number, by_index = state(3), state((0, 1, 2))
    assert by_number.keys() == by_index.keys()
    assert all(torch.equal(t, by_index[name]) for name, t in by_number.items())


@pytest.mark.parametrize("scales", [0, 5, -1, (), (1, 2), (0, 0, 1), (0, 2, 1), (0, 4)])
def test_bad_scales_are_named(scales):
    with torch.device("meta"), pytest.raises(SpecError, match=r"scales: cannot keep scales.*from 1 to 4"):
        build_model(spec("mti_net", MAIN, MAIN, scales=scales), NYUD)


@pytest.mark.parametrize("width", [0, 30, "256"])
def test_bad_width_is_named(width):
    with torch.device("meta"), pytest.raises(SpecError, match=r"width: .*Give a multiple of 4"):
        build_model(spec("padnet", MAIN, MAIN, width=width), NYUD)


def unet(**values):
    return spec("three_ways", MAIN, backbone="resnet_nano_os16", **values)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (spec("invpt", MAIN, backbone="vit_nano"), "model.backbone: its learned positions .*Give build_model the size"),
        (spec("mti-net", MAIN, MAIN), "unknown architecture 'mti-net'. Did you mean 'mti_net'"),
        (spec("mtl", MAIN, backbone="hrnet"), "unknown backbone 'hrnet'. Did you mean 'hrnet"),
        (spec("mti_net", MAIN, MAIN, scale=3), "unknown option of architecture mti_net 'scale'. Did you mean 'scales'"),
        (spec("mtl", MAIN, width=64), "unknown option of architecture mtl 'width'. Known: none"),
        (spec("mtl", "semsge"), "unknown task 'semsge'. Did you mean 'semseg'"),
        (spec("mti_net", MAIN, "semseg normals"), "'depth' is not among .* add depth to aux"),
        (spec("padnet", MAIN), "'semseg' is not among .* add semseg, depth to aux"),
        (spec("segnet", MAIN), "model.backbone: .*got HRNet.*Name 'segnet' or 'segnet_nano'"),
        (spec("deeplab", MAIN, width=0), "width: no head has 0 channels"),
        (spec("padnet", MAIN, MAIN, maps="lest"), "maps: unknown choice of maps 'lest'. Did you mean 'last'"),
        (spec("three_ways", MAIN, backbone="resnet_nano"), "model.backbone: .* 4 maps .*resnet101_os16"),
        (unet(sides=(("normals", (1,)),)), "sides: unknown task 'normals'. Known: depth, semseg"),
        (unet(sides=(("depth", (5,)),)), r"sides: no decoder predicts at stages \(5, 0\)"),
        (unet(sigmoid=("dept",)), "sigmoid: unknown task 'dept'. Did you mean 'depth'"),
        (unet(widths=(4, 4, 4, 8)), "widths: no decoder has widths .*Give five positive numbers"),
        (unet(stages=(1,)), "unknown option of architecture three_ways 'stages'"),
        (spec("mtl", MAIN, ALL), "architecture mtl has no front-end.*Leave aux empty"),
        (spec("stl", MAIN), "single-task network cannot predict .*'mtl'"),
        (spec("mtl", "depth depth"), "named twice"),
        (spec("mtl", ""), "no main task"),
    ],
    ids=lambda value: value.arch if hasattr(value, "arch") else "",
)
def test_specs_that_do_not_fit(bad, message):
    with torch.device("meta"), pytest.raises(SpecError, match=message):
        build_model(bad, NYUD)


def test_names_resolve_to_classes():
    assert MODELS["mti_net"] is MTINet
