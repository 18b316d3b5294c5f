"""Parameters and multiply-accumulates of cross-stitch networks and their baselines, measured on the public code."""

import pytest

from mtlrepro.profiling.cost import fvcore_cost, model_cost
from mtlrepro.spec import ModelSpec

NYUD = {"semseg": 40, "depth": 1}
PASCAL = {"semseg": 21, "parts": 7, "saliency": 1, "normals": 3, "edges": 1}
# Architecture, backbone, tasks, parameters, 10^9 multiply-accumulates at 480x640 and at 512x512.
PUBLISHED = [
    ("deeplab_single", "resnet50_os8", {"semseg": 40}, 39_643_752, 191.7),
    ("deeplab_single", "resnet50_os8", {"depth": 1}, 39_633_729, 191.7),
    ("deeplab", "resnet50_os8", NYUD, 55_769_449, 266.6),
    ("cross_stitch", "resnet50_os8", NYUD, 79_292_841, 383.4),
    ("deeplab_single", "resnet18_os8", {"semseg": 21}, 15_904_085, 66.9),
    ("deeplab", "resnet18_os8", PASCAL, 34_795_873, 142.1),
    ("cross_stitch", "resnet18_os8", PASCAL, 79_525_921, 334.6),
]


def spec(arch, backbone, channels):
    return ModelSpec(arch, backbone, tuple(channels))


@pytest.mark.parametrize(("arch", "backbone", "channels", "parameters", "macs"), PUBLISHED)
def test_published_cost(arch, backbone, channels, parameters, macs):
    size = (480, 640) if backbone == "resnet50_os8" else (512, 512)
    found = model_cost(spec(arch, backbone, channels), channels, size)
    assert found.params == parameters
    assert found.macs / 1e9 == pytest.approx(macs, abs=0.05)


def test_units_cost_no_multiply_accumulates_that_are_counted():
    whole = model_cost(spec("cross_stitch", "resnet_nano", NYUD), NYUD, (64, 96))
    parts = [model_cost(spec("deeplab_single", "resnet_nano", {t: c}), NYUD, (64, 96)) for t, c in NYUD.items()]
    assert whole.macs == sum(part.macs for part in parts)
    assert whole.params == sum(part.params for part in parts) + 2 * 2 * (32 + 48 + 64 + 96)
    assert whole.uncounted["addcmul"] == 8


def test_counted_twice():
    network = spec("cross_stitch", "resnet_nano", NYUD)
    ours, theirs = (count(network, NYUD, (64, 96)) for count in (model_cost, fvcore_cost))
    assert (ours.params, ours.macs) == (theirs.params, theirs.by_operator["conv"])
