"""Parameters and multiply-accumulates of InvPT, and of MTI-Net on HRNet-48, against those of the public code.

The figures were measured with fvcore on the public reference implementations. Later papers quote 423 M parameters and
669 G "FLOPs" for InvPT with ViT-L and 176 M and 411 G with ViT-B, both on PASCAL-Context.
"""

import pytest
import torch
from fvcore_extras import FvcoreExtras
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.models import build_model
from mtlrepro.profiling.cost import fvcore_cost, model_cost
from mtlrepro.spec import ModelSpec, options

NYUD = {"semseg": 40, "depth": 1, "normals": 3, "edges": 1}
PASCAL = {"semseg": 21, "parts": 7, "saliency": 2, "normals": 3, "edges": 1}


def spec(arch, backbone, channels, **values):
    main = tuple(channels)
    return ModelSpec(arch, backbone, main, main if arch == "mti_net" else (), options=options(**values))


def counted(model, channels, size):
    """Cost, and 10^9 multiply-accumulates as fvcore counts them, norms and resizing included."""
    with FvcoreExtras() as extras:
        cost = model_cost(model, channels, size)
    return cost, (cost.macs + extras.total) / 1e9


def resized(channels, size):
    """What it takes to bring predictions to the size of the image, which the public code does for all of them."""
    return 4 * sum(channels.values()) * size[0] * size[1] / 1e9


# Backbone, tasks, size; parameters; multiply-accumulates of convolutions and matrix products; fvcore's 10^9.
INVPT = [
    ("vit_l16", NYUD, (448, 576), 402_092_888, 596_527_523_328, 597.53),
    ("vit_l16", PASCAL, (512, 512), 422_929_810, 666_943_156_224, 668.11),
    ("vit_b16", NYUD, (448, 576), 160_823_896, 339_690_991_104, 340.54),
    ("vit_b16", PASCAL, (512, 512), 176_347_794, 404_171_028_480, 405.18),
]


@pytest.mark.parametrize(("backbone", "channels", "size", "parameters", "macs", "published"), INVPT)
def test_invpt(backbone, channels, size, parameters, macs, published):
    cost, found = counted(spec("invpt", backbone, channels), channels, size)
    assert (cost.params, cost.macs) == (parameters, macs)
    assert found + resized(channels, size) == pytest.approx(published, abs=0.00501)  # printed with two decimals


def test_most_of_invpts_decoder_is_its_last_convolutions():
    with torch.device("meta"):
        model = build_model(spec("invpt", "vit_l16", NYUD), NYUD, (448, 576)).eval()
        coarse, fine = torch.empty(1, 1024, 14, 18), torch.empty(1, 576, 112, 144)

    def total(modules, maps):
        with torch.no_grad(), FlopCounterMode(display=False) as products, FvcoreExtras() as extras:
            for module in modules:
                module(maps)
        return (products.get_total_flops() // 2 + extras.total) / 1e9

    assert total(model.preliminary.values(), coarse) == pytest.approx(14.27, abs=0.00501)
    convolutions = total([head[:2] for head in model.heads.values()], fine)
    assert convolutions == pytest.approx(192.71, abs=0.00501)
    assert convolutions / 241.22 == pytest.approx(0.8, abs=0.005)


def test_both_counters_agree():
    small = spec("invpt", "vit_nano", NYUD, width=12, prediction_width=4)
    with FvcoreExtras() as extras:
        ours = model_cost(small, NYUD, (64, 96))
    traced = fvcore_cost(small, NYUD, (64, 96)).by_operator
    assert ours.macs == sum(traced.pop(name) for name in ("conv", "linear", "matmul"))
    assert extras.total == sum(traced.values())
    assert set(traced) == {"layer_norm", "batch_norm", "upsample_bilinear2d"}


@pytest.mark.parametrize(
    ("channels", "size", "parameters", "published"),
    [
        (NYUD, (448, 576), 165_402_153, 194.45),
        (NYUD, (480, 640), 165_402_153, 231.48),
        (PASCAL, (512, 512), 211_872_476, 241.18),
    ],
)
def test_mti_net_on_hrnet48(channels, size, parameters, published):
    cost, found = counted(spec("mti_net", "hrnet48", channels), channels, size)
    assert cost.params == parameters
    assert found == pytest.approx(published, abs=0.00501)


def test_parts_of_mti_net_on_hrnet48():
    with torch.device("meta"):
        model = build_model(spec("mti_net", "hrnet48", NYUD), NYUD)

    def sizes(parts):
        return [sum(p.numel() for p in part.parameters()) for part in parts.values()]

    assert sizes(model.fpm) == [1_112_856, 4_446_768, 17_777_760]
    assert sizes(model.initial) == [529_437, 2_109_453, 8_421_357, 21_263_277]
    assert sizes(model.distillation) == [497_664, 1_990_656, 7_962_624, 31_850_496]
    assert sum(sizes(model.heads)) == 2_114_685
