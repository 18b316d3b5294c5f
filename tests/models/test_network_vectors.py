"""Whole networks on HRNet-18 against numbers of the public reference implementation, under formula weights."""

from functools import cache, partial

import pytest
import torch
from model_vectors import NYUD, assert_vector, formula_weights, image, spec
from torch import nn

from mtlrepro.models import build_model
from mtlrepro.models.hrnet import HRNET18

assert_network = partial(assert_vector, rel=1e-3)
MAIN, ALL = "semseg depth", "semseg normals edges depth"


@cache
def outputs(arch, main, aux=""):
    model = formula_weights(build_model(spec(arch, main, aux, backbone="hrnet18"), NYUD))
    with torch.no_grad():
        return model(image())


def test_backbone():
    vectors = [(11.83176, 15.86119), (13.75337, 19.33723), (12.01611, 16.80615), (10.88014, 15.19426)]
    features = outputs("stl", "semseg").features
    assert [tuple(f.shape) for f in features] == [(1, 18, 16, 24), (1, 36, 8, 12), (1, 72, 4, 6), (1, 144, 2, 3)]
    for found, vector in zip(features, vectors, strict=True):
        assert_network(found, *vector)
    assert_network(features[0], *vectors[0], (1.114771, 10.17339, 9.095568))


def test_backbone_with_timms_nearest_fusion_differs_as_published():
    backbone = formula_weights(HRNET18.build())
    for module in backbone.modules():
        if isinstance(module, nn.Upsample):
            module.mode, module.align_corners = "nearest", None
    with torch.no_grad():
        features = backbone(image())
    assert_network(features[0], 12.76545, 17.45796)
    assert_network(features[3], 11.3133, 15.7064)


@pytest.mark.parametrize(("arch", "tasks"), [("stl", "semseg"), ("mtl", MAIN)])
def test_baselines_semseg(arch, tasks):
    final = outputs(arch, tasks).final
    assert_network(final["semseg"], 2.356799, 12.50746, (4.412085, 4.412085, 4.31566))


def test_baseline_depth():
    assert_network(outputs("mtl", MAIN).final["depth"], -1.612239, 2.92678, (-2.134117, -2.134117, -2.099446))


def test_padnet():
    found = outputs("padnet", MAIN, MAIN)
    assert_network(found.final["semseg"], 5.446842, 20.12078, (3.380147, 3.380147, 2.754044))
    assert_network(found.final["depth"], -13.68964, 10.17399, (4.852208, 4.852208, 4.164265))
    initial = found.stages["initial"]
    assert_network(initial["semseg"], 1.136136, 10.43532, (1.379102, -0.7509404, -0.4549115))
    assert_network(initial["depth"], -12.6675, 7.235844, (0.8695517, -0.2382276, -0.5455735))


def test_padnet_with_auxiliary_tasks():
    found = outputs("padnet", MAIN, ALL)
    assert_network(found.final["semseg"], 10.94465, 37.78733)
    assert_network(found.final["depth"], -6.511297, 14.69105)


def test_mti_net():
    found = outputs("mti_net", MAIN, MAIN)
    assert_network(found.final["semseg"], 1.783093, 20.24853, (4.144892, 4.144892, 3.79808))
    assert_network(found.final["depth"], -4.7013, 15.51882, (-11.2252, -11.2252, -11.3842))


MTI_STAGES = {
    ("scale_0", "semseg"): (-1.02877, 15.67051, (-26.88969, -19.61938, -20.17399)),
    ("scale_0", "depth"): (-10.42525, 4.722036, (-17.99361, -17.02085, -17.21631)),
    ("scale_1", "semseg"): (2.916154, 22.44478),
    ("scale_1", "depth"): (-8.499549, 10.16534),
    ("scale_2", "semseg"): (0.9231696, 19.6813),
    ("scale_2", "depth"): (-19.84884, 11.20471),
    ("scale_3", "semseg"): (4.568467, 23.88566),
    ("scale_3", "depth"): (3.883758, 3.639031),
}


@pytest.mark.parametrize(("stage", "task"), MTI_STAGES)
def test_mti_net_initial_predictions(stage, task):
    assert_network(outputs("mti_net", MAIN, MAIN).stages[stage][task], *MTI_STAGES[stage, task])


def test_mti_net_with_auxiliary_tasks():
    found = outputs("mti_net", MAIN, ALL)
    assert_network(found.final["semseg"], 1.490681, 34.00571, (19.86517, 19.86517, 19.64675))
    assert_network(found.final["depth"], -8.986142, 19.83522, (-16.65813, -16.65813, -16.94644))
    finest = found.stages["scale_0"]
    assert_network(finest["normals"], -13.65321, 15.90428, (-2.49777, 0.9379711, -3.834932))
    assert_network(finest["edges"], -9.192394, 5.473777, (-8.888551, -8.413935, -6.85803))
