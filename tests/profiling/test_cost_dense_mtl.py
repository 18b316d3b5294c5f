"""Parameters and multiply-accumulates of DenseMTL's networks, against measurements of the public implementation.

The paper prints neither; the figures below were measured with fvcore on its public reference implementation.
"""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from fvcore_extras import FvcoreExtras
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.models import build_model
from mtlrepro.models.outputs import Outputs
from mtlrepro.models.resnet import RESNET101_OS16, ResNetConfig
from mtlrepro.models.xtam import ExchangeBlock
from mtlrepro.profiling import cost
from mtlrepro.profiling.cost import fvcore_cost, model_cost
from mtlrepro.spec import ModelSpec, options

S, SD, SDN, SDNE = "semseg", "semseg depth", "semseg depth normals", "semseg depth normals edges"
NETWORKS = {
    "STL": ("deeplab", {"aligned": False}),
    "MTL": ("deeplab", {"aligned": False}),
    "PAD-Net": ("padnet", {"maps": "last"}),
    "3-ways": ("three_ways", {}),
    "Ours": ("dense_mtl", {}),
}


def spec(network, tasks, backbone="resnet101_os16", **values):
    arch, fixed = NETWORKS[network]
    main = tuple(tasks.split())
    return ModelSpec(arch, backbone, main, main if arch == "padnet" else (), options=options(**fixed, **values))


def channels(classes):
    return {"semseg": classes, "depth": 1, "normals": 3, "edges": 2}


CLASSES = (14, 16, 40, 8)
# Network and tasks -> parameters with so many classes.
PARAMETERS = {
    ("STL", S): (58_629_198, 58_629_712, 58_635_880, 58_627_656),
    ("STL", "depth"): (58_625_857,),
    ("STL", "normals"): (58_626_371,),
    ("STL", "edges"): (58_626_114,),
    ("MTL", SD): (74_754_895, 74_755_409, 74_761_577, 74_753_353),
    ("MTL", SDN): (90_881_106, 90_881_620, 90_887_788, 90_879_564),
    ("MTL", SDNE): (107_007_060, 107_007_574, 107_013_742),
    ("PAD-Net", SD): (46_709_342, 46_710_370, 46_722_706, 46_706_258),
    ("PAD-Net", SDN): (52_350_564, 52_351_592, 52_363_928),
    ("PAD-Net", SDNE): (60_350_568, 60_351_596, 60_363_932),
    ("3-ways", SD): (87_215_774, 87_216_162, 87_220_818, 87_214_610),
    ("3-ways", SDN): (110_457_444, 110_457_832, 110_462_488),
    ("3-ways", SDNE): (134_288_744, 134_289_132, 134_293_788),
    ("Ours", SD): (87_399_070, 87_399_458, 87_404_114, 87_397_906),
    ("Ours", SDN): (111_006_564, 111_006_952, 111_011_608),
    ("Ours", SDNE): (135_386_472, 135_386_860, 135_391_516),
}


@cache
def encoder():
    with torch.device("meta"):
        return RESNET101_OS16.build()


@cache
def meta_model(network, tasks, classes=14, **values):
    # What stands on the meta device holds no values, so one encoder serves all networks.
    with torch.device("meta"), pytest.MonkeyPatch.context() as patch:
        shared = encoder()
        patch.setattr(ResNetConfig, "build", lambda config, **_: shared)
        return build_model(spec(network, tasks, **values), channels(classes))


def size_of(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(("network", "tasks"), PARAMETERS)
def test_parameters(network, tasks):
    for classes, expected in zip(CLASSES, PARAMETERS[network, tasks], strict=False):
        assert size_of(meta_model(network, tasks, classes)) == expected


@pytest.mark.parametrize(("classes", "semseg"), [(14, 16_129_038), (16, 16_129_552), (40, 16_135_720)])
def test_parts_of_the_baselines(classes, semseg):
    model = meta_model("MTL", SDNE, classes)
    assert size_of(model.backbone) == 42_500_160
    heads = {"semseg": semseg, "depth": 16_125_697, "normals": 16_126_211, "edges": 16_125_954}
    assert {task: size_of(head) for task, head in model.heads.items()} == heads


@pytest.mark.parametrize(
    ("tasks", "sizes"), [(SD, (1_564_431, 2_359_296, 285_455)), (SDN, (2_345_490, 7_077_888, 427_026))]
)
def test_parts_of_padnet(tasks, sizes):
    model = meta_model("PAD-Net", tasks)
    initial = size_of(model.initial_features, model.initial_predictions)
    assert (initial, size_of(model.distillation), size_of(model.heads)) == sizes
    assert size_of(model) == size_of(model.backbone) + sum(sizes)


@pytest.mark.parametrize(("tasks", "size"), [(SD, 589_824), (SDN, 1_769_472), (SDNE, 3_538_944)])
def test_distillation_of_three_ways(tasks, size):
    assert size_of(meta_model("3-ways", tasks).distillation) == size


@pytest.mark.parametrize(("network", "published"), [("3-ways", 99_721_648), ("Ours", 99_904_944)])
def test_self_supervised_depth(network, published):
    sides = (("semseg", (2,)), ("depth", (1, 2, 3)))
    pose = 12_500_492  # belongs to the objective here
    assert size_of(meta_model(network, SD, 16, sides=sides, sigmoid=("depth",))) == published - pose


# 10^9 multiply-accumulates of whole networks, fvcore's figures for batch norm and resizing included.
SYNTHIA, VKITTI2, NYUDV2 = (16, (512, 1024)), (14, (320, 1024)), (40, (448, 576))
MACS = {
    ("STL", S): {VKITTI2: 85.00, SYNTHIA: 136.01, NYUDV2: 66.97},
    ("STL", "depth"): {NYUDV2: 66.92},
    ("STL", "normals"): {NYUDV2: 66.93},
    ("STL", "edges"): {NYUDV2: 66.93},
    ("MTL", SD): {NYUDV2: 82.71},
    ("MTL", SDN): {VKITTI2: 124.96, NYUDV2: 98.44},
    ("MTL", SDNE): {NYUDV2: 114.17},
    ("PAD-Net", SD): {NYUDV2: 55.49},
    ("PAD-Net", SDN): {VKITTI2: 77.64, NYUDV2: 61.18},
    ("PAD-Net", SDNE): {NYUDV2: 69.25},
    ("3-ways", SD): {NYUDV2: 191.68},
    ("3-ways", SDN): {VKITTI2: 349.68, SYNTHIA: 559.57},
    ("3-ways", SDNE): {NYUDV2: 369.54},
    ("Ours", SD): {VKITTI2: 299.89, SYNTHIA: 492.81, NYUDV2: 234.56},
    ("Ours", SDN): {VKITTI2: 520.73, SYNTHIA: 871.92, NYUDV2: 403.98},
    ("Ours", SDNE): {NYUDV2: 625.49},
}
# The exchange block's share.
BLOCKS = {
    SD: {VKITTI2: 69.07, SYNTHIA: 123.39, NYUDV2: 52.15},
    SDN: {VKITTI2: 207.14, SYNTHIA: 370.08, NYUDV2: 156.39},
    SDNE: {NYUDV2: 312.74},
}
ROWS = [(*row, *setting, macs) for row, settings in MACS.items() for setting, macs in settings.items()]


def nano(network, tasks):
    values = {"width": 8} if network in ("STL", "MTL", "PAD-Net") else {"widths": (4, 4, 8, 8, 8)}
    return spec(network, tasks, "resnet_nano_os16", **values)


@pytest.mark.parametrize("network", ["MTL", "PAD-Net", "3-ways", "Ours"])
def test_extras_are_those_of_fvcore(network):
    with FvcoreExtras() as extras:
        model_cost(nano(network, SD), channels(14), (64, 96))
    counted = fvcore_cost(nano(network, SD), channels(14), (64, 96)).by_operator
    assert extras.total == sum(n for name, n in counted.items() if name not in ("conv", "matmul"))


def subsampled(tasks, size):
    """What fvcore counts where the public implementation sub-samples queries by nearest resizing: 1 an element.

    Here that is slicing.
    """
    count = len(tasks.split())
    return count * (count - 1) * 128 * size[0] * size[1] // 8**2


def averaged(tasks, size):
    """What fvcore counts where the public implementation averages the image in a pyramid.

    There that is adaptive pooling (1 an element of the input) and bilinear resizing (4 an element of the result), here
    a mean and an expansion.
    """
    return len(tasks.split()) * (2048 + 4 * 256) * size[0] * size[1] // 16**2


@pytest.mark.parametrize(("network", "tasks", "classes", "size", "macs"), ROWS)
def test_macs(network, tasks, classes, size, macs, monkeypatch):
    monkeypatch.setattr(cost, "build_model", lambda *_: meta_model(network, tasks, classes))
    with FvcoreExtras() as extras:
        found = model_cost(spec(network, tasks), channels(classes), size).macs + extras.total
    found += subsampled(tasks, size) if network == "Ours" else 0
    found += averaged(tasks, size) if network != "PAD-Net" else 0
    assert found / 1e9 == pytest.approx(macs, abs=0.00501)  # printed with two decimals


@pytest.mark.parametrize(("tasks", "setting"), [(tasks, setting) for tasks in BLOCKS for setting in BLOCKS[tasks]])
def test_macs_of_the_block(tasks, setting):
    _, size = setting
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as products, FvcoreExtras() as extras:
        block = ExchangeBlock(tasks.split(), 128, 4).eval()
        block({task: torch.empty(1, 128, size[0] // 2, size[1] // 2) for task in tasks.split()})
    found = products.get_total_flops() // 2 + extras.total + subsampled(tasks, size)
    assert found / 1e9 == pytest.approx(BLOCKS[tasks][setting], abs=0.00501)


def test_both_counters_agree():
    network = spec("Ours", SD, "resnet_nano_os16", widths=(4, 4, 4, 8, 8), stages=(3, 1))
    ours, traced = (count(network, channels(5), (64, 96)) for count in (model_cost, fvcore_cost))
    sides = (5 + 1) * (4 * 32 * 48 + 8 * 8 * 12)  # which the trace of the final predictions does not need
    assert ours.params == traced.params
    assert ours.macs - sides == sum(traced.by_operator[name] for name in ("conv", "matmul"))


def test_attention_is_counted_by_both_counters():
    ours, theirs = (count(nano("Ours", SDN), channels(14), (64, 96)).by_operator for count in (model_cost, fvcore_cost))
    pairs, places, width = 6, 8 * 12, 4
    assert ours["bmm"] == theirs["matmul"] == pairs * places * places * width * 2


class Fused(nn.Module):
    """Attention of PyTorch's own function, as a network."""

    def forward(self, image):
        query, key = image.flatten(2).mT, image[..., ::2, ::2].flatten(2).mT
        return Outputs({"depth": F.scaled_dot_product_attention(query, key, key[..., :2])})


@pytest.mark.parametrize("count", [model_cost, fvcore_cost])
def test_fused_attention_is_counted(count, monkeypatch):
    monkeypatch.setattr(cost, "build_model", lambda *_: Fused())
    queries, keys = 32 * 64, 16 * 32
    found = count(ModelSpec("fused", "none", ("depth",)), {}, (32, 64))
    assert found.macs == queries * keys * (3 + 2)
    assert not any("attention" in name for name in found.uncounted)
