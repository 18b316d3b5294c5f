"""Parameters and multiply-accumulates of the MTI-Net paper's models, against published measurements."""

import pytest
import torch

from mtlrepro.models import build_model
from mtlrepro.profiling.cost import fvcore_cost, model_cost
from mtlrepro.spec import ModelSpec, options

NYUD = {"semseg": 40, "normals": 3, "edges": 1, "depth": 1}
PASCAL = {"semseg": 21, "parts": 7, "saliency": 1, "normals": 3, "edges": 1}
SD, SND, SNED = "semseg depth", "semseg normals depth", "semseg normals edges depth"
SMALL, FULL = "semseg parts saliency", "semseg parts saliency normals edges"


def spec(arch, main, aux="", backbone="hrnet18", **values):
    return ModelSpec(arch, backbone, tuple(main.split()), tuple(aux.split()), options=options(**values))


# Spec, parameters, 10^9 multiply-accumulates at 480x640, measured on the public reference implementation; those of the
# ablations on a re-implementation of the paper's text.
ON_NYUD = [
    (spec("stl", "semseg"), 3_945_270, 11.367),
    (spec("mtl", SD), 4_019_251, 12.772),
    (spec("padnet", SD, SD), 7_019_056, 70.245),
    (spec("padnet", SD, SNED), 12_161_332, 168.898),
    (spec("mti_net", SD, SD), 8_578_179, 17.142),
    (spec("mti_net", SD, SNED), 14_838_121, 22.879),
    (spec("mti_net", SD, SNED, fpm=False), 10_980_301, 19.072),
    (spec("mti_net", SD, SD, scales=1), 3_898_314, 10.473),
    (spec("mti_net", SD, SD, scales=3), 5_014_840, 13.614),
    (spec("mti_net", SD, SD, fpm_reduction=1), 12_125_835, 19.573),
    (spec("mti_net", SD, SNED, backbone="hrnet48"), 143_207_429, 191.498),
]
# The same at 512x512.
ON_PASCAL = [
    (spec("padnet", FULL, FULL), 29_304_992, 424.900),
    (spec("mti_net", SMALL, SMALL + " edges"), 16_391_629, 21.803),
    (spec("mti_net", FULL, FULL), 24_494_171, 30.310),
]
# Close relatives of the above, by their parameters only: a forward pass on the meta device takes half a second.
BY_PARAMETERS = [
    (spec("mtl", FULL), 4_238_213, PASCAL),
    (spec("mti_net", SD, SD, scales=2), 4_122_351, NYUD),
    (spec("mti_net", SD, SND), 11_587_653, NYUD),
    (spec("stl", "depth"), 3_934_701, NYUD),
    (spec("padnet", SD, SND), 9_590_451, NYUD),
    (spec("mti_net", SD, SD, fpm=False), 7_009_125, NYUD),
    (spec("mti_net", SD, SND, fpm=False), 8_994_987, NYUD),
    (spec("stl", "semseg", backbone="hrnet48"), 65_874_520, NYUD),
    (spec("stl", "depth", backbone="hrnet48"), 65_846_401, NYUD),
    (spec("mtl", SD, backbone="hrnet48"), 66_395_801, NYUD),
    (spec("mti_net", SD, SD, backbone="hrnet48"), 98_727_553, NYUD),
    (spec("stl", "semseg"), 3_940_121, PASCAL),
    (spec("stl", "parts"), 3_936_327, PASCAL),
    (spec("stl", "saliency"), 3_934_701, PASCAL),
    (spec("stl", "normals"), 3_935_243, PASCAL),
    (spec("stl", "edges"), 3_934_701, PASCAL),
    (spec("mtl", SMALL), 4_089_709, PASCAL),
    (spec("padnet", SMALL, SMALL), 12_083_608, PASCAL),
    (spec("mti_net", SMALL, SMALL), 12_645_441, PASCAL),
    (spec("mti_net", SMALL, SMALL + " normals"), 16_392_177, PASCAL),
    (spec("mti_net", SMALL, SMALL + " normals edges"), 20_379_907, PASCAL),
]


def label(value):
    if not isinstance(value, ModelSpec):
        return ""
    changed = [f"{k}={v}" for k, v in value.options]
    return "-".join([value.arch, value.backbone, *(value.aux or value.main), *changed])


def assert_cost(cost, params, gmacs):
    assert cost.params == params
    assert cost.macs / 1e9 == pytest.approx(gmacs, abs=0.00051)  # to the printed digit
    assert cost.macs == sum(cost.by_operator.values())


@pytest.mark.parametrize(("model", "params", "gmacs"), ON_NYUD, ids=label)
def test_published_cost_on_nyud(model, params, gmacs):
    assert_cost(model_cost(model, NYUD, (480, 640)), params, gmacs)


@pytest.mark.parametrize(("model", "params", "gmacs"), ON_PASCAL, ids=label)
def test_published_cost_on_pascal(model, params, gmacs):
    assert_cost(model_cost(model, PASCAL, (512, 512)), params, gmacs)


@pytest.mark.parametrize(("model", "params", "channels"), BY_PARAMETERS, ids=label)
def test_published_parameters(model, params, channels):
    with torch.device("meta"):
        assert sum(p.numel() for p in build_model(model, channels).parameters()) == params


def test_second_counter_agrees():
    model = spec("mti_net", SD, SD)
    ours, theirs = model_cost(model, NYUD), fvcore_cost(model, NYUD)
    assert theirs.params == ours.params
    # fvcore follows the final predictions only: the 1x1 initial predictions at four scales are not among them.
    initial = sum(c * 41 * (480 // s) * (640 // s) for c, s in zip((18, 36, 72, 144), (4, 8, 16, 32), strict=True))
    assert theirs.by_operator["conv"] == ours.by_operator["convolution"] - initial
    assert theirs.by_operator["linear"] == ours.by_operator["addmm"]
    assert theirs.macs / 1e9 == pytest.approx(17.364, abs=0.00051)  # published, with normalisation and resizing
    assert theirs.uncounted["aten::softmax"] == 3


def test_uncounted_operators_are_listed_with_their_calls():
    cost = model_cost(spec("mti_net", SD, SD, backbone="hrnet_nano"), NYUD, (64, 64))
    assert set(cost.by_operator) == {"convolution", "addmm"}
    assert cost.uncounted["_softmax"] == 3  # one a feature propagation module
    assert cost.uncounted["sigmoid"] == 8 + 6  # attention units and gates
    assert not set(cost.uncounted) & set(cost.by_operator)


def test_convolutions_grow_with_the_area_and_gates_do_not():
    model = spec("mti_net", SD, SD, backbone="hrnet_nano")
    once, twice = model_cost(model, NYUD, (64, 96)), model_cost(model, NYUD, (128, 192))
    assert twice.by_operator["convolution"] == 4 * once.by_operator["convolution"]
    assert twice.by_operator["addmm"] == once.by_operator["addmm"]


def test_weights_are_not_fetched():
    pinned = ModelSpec("stl", "hrnet18", ("depth",), weights="hrnet_w18_small_v2.ms_in1k")
    assert model_cost(pinned, NYUD, (32, 32)).params == 3_934_701


def test_the_operator_list_does_not_depend_on_the_deterministic_mode() -> None:
    spec, channels = ModelSpec("mtl", "hrnet_nano", ("depth", "semseg")), {"depth": 1, "semseg": 13}
    plain = model_cost(spec, channels, (64, 96))
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        assert model_cost(spec, channels, (64, 96)) == plain
        assert torch.is_deterministic_algorithms_warn_only_enabled(), "the mode is put back"
    finally:
        torch.use_deterministic_algorithms(False)
