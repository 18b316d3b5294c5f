"""Parameters and multiply-accumulates of the MTI-Net paper's models, against published measurements."""

import pytest
import torch
from decoder_cost import backbone_cost, network_cost

from mtlrepro.profiling.cost import fvcore_cost, model_cost
from mtlrepro.spec import ModelSpec, options

NYUD = {"semseg": 40, "normals": 3, "edges": 1, "depth": 1}
PASCAL = {"semseg": 21, "parts": 7, "saliency": 1, "normals": 3, "edges": 1}
SD, SND, SNED = "semseg depth", "semseg normals depth", "semseg normals edges depth"
SMALL, FULL = "semseg parts saliency", "semseg parts saliency normals edges"
DATASETS = {"nyud": (NYUD, (480, 640)), "pascal": (PASCAL, (512, 512))}
WIDTHS = {"hrnet18": (18, 36, 72, 144), "hrnet48": (48, 96, 192, 384)}


def spec(arch, main, aux="", backbone="hrnet18", **values):
    return ModelSpec(arch, backbone, tuple(main.split()), tuple(aux.split()), options=options(**values))


# Spec, parameters, 10^9 multiply-accumulates, and the same with normalisation and resizing as fvcore counts them but
# without initial predictions, at 480x640. Measured on the public reference implementation; those of the ablations,
# which have no fourth figure, on a re-implementation of the paper's text.
ON_NYUD = [
    (spec("stl", "semseg"), 3_945_270, 11.367, 11.559),
    (spec("stl", "depth"), 3_934_701, 11.165, 11.309),
    (spec("mtl", SD), 4_019_251, 12.772, 12.995),
    (spec("padnet", SD, SD), 7_019_056, 70.245, 70.576),
    (spec("padnet", SD, SND), 9_590_451, 119.577, 119.947),
    (spec("padnet", SD, SNED), 12_161_332, 168.898, 169.308),
    (spec("mti_net", SD, SD), 8_578_179, 17.142, 17.364),
    (spec("mti_net", SD, SND), 11_587_653, 19.928, 20.161),
    (spec("mti_net", SD, SNED), 14_838_121, 22.879, 23.122),
    (spec("mti_net", SD, SD, fpm=False), 7_009_125, 15.486, None),
    (spec("mti_net", SD, SND, fpm=False), 8_994_987, 17.280, None),
    (spec("mti_net", SD, SNED, fpm=False), 10_980_301, 19.072, None),
    (spec("mti_net", SD, SD, scales=1), 3_898_314, 10.473, None),
    (spec("mti_net", SD, SD, scales=2), 4_122_351, 11.832, None),
    (spec("mti_net", SD, SD, scales=3), 5_014_840, 13.614, None),
    (spec("mti_net", SD, SD, fpm_reduction=1), 12_125_835, 19.573, None),
    (spec("stl", "semseg", backbone="hrnet48"), 65_874_520, 109.789, 110.326),
    (spec("stl", "depth", backbone="hrnet48"), 65_846_401, 109.250, 109.739),
    (spec("mtl", SD, backbone="hrnet48"), 66_395_801, 119.756, 120.374),
    (spec("mti_net", SD, SD, backbone="hrnet48"), 98_727_553, 150.716, 151.331),
    (spec("mti_net", SD, SNED, backbone="hrnet48"), 143_207_429, 191.498, 192.170),
]
# The same at 512x512. A network for edges alone is that for saliency alone.
ON_PASCAL = [
    (spec("stl", "semseg"), 3_940_121, 9.616, 9.760),
    (spec("stl", "parts"), 3_936_327, 9.554, 9.683),
    (spec("stl", "saliency"), 3_934_701, 9.527, 9.650),
    (spec("stl", "normals"), 3_935_243, 9.536, 9.661),
    (spec("mtl", SMALL), 4_089_709, 12.040, 12.243),
    (spec("mtl", FULL), 4_238_213, 14.447, 14.705),
    (spec("padnet", SMALL, SMALL), 12_083_608, 142.862, 143.190),
    (spec("padnet", FULL, FULL), 29_304_992, 424.900, 425.350),
    (spec("mti_net", SMALL, SMALL), 12_645_441, 18.903, 19.122),
    (spec("mti_net", SMALL, SMALL + " edges"), 16_391_629, 21.803, 22.032),
    (spec("mti_net", SMALL, SMALL + " normals"), 16_392_177, 21.804, 22.032),
    (spec("mti_net", SMALL, SMALL + " normals edges"), 20_379_907, 24.845, 25.083),
    (spec("mti_net", FULL, FULL), 24_494_171, 30.310, 30.602),
]


def label(value):
    if not isinstance(value, ModelSpec):
        return ""
    changed = [f"{k}={v}" for k, v in value.options]
    return "-".join([value.arch, value.backbone, *(value.aux or value.main), *changed])


def initial_predictions(model, dataset):
    """Multiply-accumulates of MTI-Net's 1x1 convolutions at strides 4, 8, and so on, from which nothing follows."""
    channels, (height, width) = DATASETS[dataset]
    outputs = sum(channels[t] for t in model.aux)
    return sum(c * outputs * (height >> s) * (width >> s) for s, c in enumerate(WIDTHS[model.backbone], start=2))


def assert_cost(model, dataset, params, gmacs, everything):
    found = network_cost(model, *DATASETS[dataset])
    assert found.params == params
    assert found.macs / 1e9 == pytest.approx(gmacs, abs=0.00051)  # to the printed digit
    if everything is not None:
        unneeded = initial_predictions(model, dataset) if model.arch == "mti_net" else 0
        assert (found.macs + found.extras - unneeded) / 1e9 == pytest.approx(everything, abs=0.00051)


@pytest.mark.parametrize(("model", "params", "gmacs", "everything"), ON_NYUD, ids=label)
def test_published_cost_on_nyud(model, params, gmacs, everything):
    assert_cost(model, "nyud", params, gmacs, everything)


@pytest.mark.parametrize(("model", "params", "gmacs", "everything"), ON_PASCAL, ids=label)
def test_published_cost_on_pascal(model, params, gmacs, everything):
    assert_cost(model, "pascal", params, gmacs, everything)


@pytest.mark.parametrize(
    ("backbone", "dataset", "params", "gmacs", "everything"),
    [
        ("hrnet18", "nyud", 3_860_720, 9.760, 9.873),
        ("hrnet18", "pascal", 3_860_720, 8.329, 8.425),
        ("hrnet48", "nyud", 65_325_120, 99.283, 99.692),
    ],
)
def test_published_cost_of_backbones(backbone, dataset, params, gmacs, everything):
    found = backbone_cost(backbone, DATASETS[dataset][1])[0]
    assert found.params == params
    assert [found.macs / 1e9, (found.macs + found.extras) / 1e9] == pytest.approx([gmacs, everything], abs=0.00051)


# Network -> change of parameters and of multiply-accumulates relative to two single-task networks, in percent.
RELATIVE = [
    (spec("mtl", SD), -49.0, -43.3),
    (spec("padnet", SD, SD), -10.9, 211.8),
    (spec("padnet", SD, SND), 21.7, 431),
    (spec("padnet", SD, SNED), 54.3, 650),
    (spec("mti_net", SD, SD), 8.9, -23.9),
    (spec("mti_net", SD, SND), 47.1, -11.6),
    (spec("mti_net", SD, SNED), 88.3, 1.5),
    (spec("mti_net", SD, SD, fpm_reduction=1), 53.9, -13.1),
]


def test_costs_relative_to_single_task_networks():
    known = {model: (params, gmacs) for model, params, gmacs, _ in ON_NYUD}
    single = [known[spec("stl", task)] for task in SD.split()]
    params, gmacs = map(sum, zip(*single, strict=True))
    assert (params, gmacs) == (7_879_971, pytest.approx(22.532))
    for model, of_params, of_gmacs in RELATIVE:
        more = [100 * (x / y - 1) for x, y in zip(known[model], (params, gmacs), strict=True)]
        assert more[0] == pytest.approx(of_params, abs=0.051), label(model)
        assert more[1] == pytest.approx(of_gmacs, abs=0.51 if abs(of_gmacs) > 400 else 0.051), label(model)


@pytest.mark.parametrize("model", [spec("padnet", SD, SNED), spec("mti_net", SD, SD)], ids=label)
def test_the_whole_costs_what_its_parts_do(model):
    whole, parts = model_cost(model, *DATASETS["nyud"]), network_cost(model, *DATASETS["nyud"])
    assert (whole.params, whole.macs) == (parts.params, parts.macs)
    assert whole.macs == sum(whole.by_operator.values())


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
