"""Whole networks with PASCAL-Context's tasks, and on HRNet-48, against the public reference implementation.

The figures were measured on it under formula weights. Layers of the same shape share weights, so that saliency and
edges, of one channel each, coincide.
"""

from functools import cache, partial

import pytest
import torch
from model_vectors import NYUD, PASCAL, assert_vector, formula_weights, image, spec

from mtlrepro.models import build_model

assert_network = partial(assert_vector, rel=1e-3)
SMALL, FULL = "semseg parts saliency", "semseg parts saliency normals edges"
SPECS = {
    "MTI (a)": (spec("mti_net", FULL, FULL, backbone="hrnet18"), PASCAL),
    "MTI (s)(E)": (spec("mti_net", SMALL, SMALL + " edges", backbone="hrnet18"), PASCAL),
    "PAD-Net (a)": (spec("padnet", FULL, FULL, backbone="hrnet18"), PASCAL),
    "MTL (a)": (spec("mtl", FULL, backbone="hrnet18"), PASCAL),
    "MTI on HRNet-48": (spec("mti_net", "semseg depth", "semseg depth", backbone="hrnet48"), NYUD),
}
VECTORS = {
    "MTI (a)": {
        "final": {
            "semseg": (0.4027674, 44.76892, (30.39236, 30.39236, 30.13441)),
            "parts": (2.204034, 55.5352, (16.8977, 16.8977, 16.93869)),
            "saliency": (-13.05292, 24.12133, (-20.73578, -20.73578, -20.96828)),
            "normals": (66.61455, 41.0884, (79.75699, 79.75699, 80.1473)),
            "edges": (-13.05292, 24.12133, (-20.73578, -20.73578, -20.96828)),
        },
        "scale_0": {
            "semseg": (-2.063172, 17.21401, (-0.6621321, 1.196641, 0.2163914)),
            "parts": (3.570263, 25.76055, (3.857607, 5.391526, 4.505478)),
            "saliency": (-8.990629, 5.710545, (-18.72012, -16.98181, -13.52539)),
            "normals": (-14.7925, 15.93099, (-3.235292, -0.4056492, -4.682478)),
            "edges": (-8.990629, 5.710545, (-18.72012, -16.98181, -13.52539)),
        },
        "scale_1": {
            "semseg": (5.305101, 16.30903, (-6.55264, 0.5684863, 4.549853)),
            "parts": (-9.613404, 14.42601, (-14.41476, -12.39154, -17.13333)),
            "saliency": (-7.767013, 11.68291, (7.563163, 1.475573, -6.363577)),
            "normals": (-1.430931, 10.91947, (-12.93397, -6.293233, -4.347961)),
            "edges": (-7.767013, 11.68291, (7.563163, 1.475573, -6.363577)),
        },
        "scale_2": {
            "semseg": (-5.28775, 26.74526, (-1.402056, 10.89039, 8.822024)),
            "parts": (5.049643, 21.77278, (-17.87421, -26.17212, -26.52261)),
            "saliency": (-26.29453, 12.13173, (-15.5389, -11.24048, -14.1513)),
            "normals": (13.99505, 11.70381, (-5.260064, 3.544665, 3.077366)),
            "edges": (-26.29453, 12.13173, (-15.5389, -11.24048, -14.1513)),
        },
        "scale_3": {
            "semseg": (1.028618, 21.2312, (-18.70157, -9.077545, -13.8839)),
            "parts": (0.5343778, 32.34564, (9.282112, 1.097168, -5.142122)),
            "saliency": (3.883763, 3.639038, (4.672908, 8.532143, 6.52001)),
            "normals": (14.44221, 24.42984, (3.158351, -6.956499, -22.2497)),
            "edges": (3.883763, 3.639038, (4.672908, 8.532143, 6.52001)),
        },
    },
    "MTI (s)(E)": {
        "final": {
            "semseg": (0.5672453, 36.8054, (24.36526, 24.36526, 24.09544)),
            "parts": (2.525829, 43.88534, (11.36247, 11.36247, 11.43486)),
            "saliency": (-8.986142, 19.83521, (-16.65814, -16.65814, -16.94644)),
        },
        "scale_0": {
            "semseg": (-1.900782, 14.36196, (2.993572, 1.954303, 1.701152)),
            "parts": (2.911042, 20.85009, (3.276266, 4.957601, 6.779627)),
            "saliency": (-9.192392, 5.473778, (-8.888538, -8.413921, -6.858028)),
            "edges": (-9.192392, 5.473778, (-8.888538, -8.413921, -6.858028)),
        },
        "scale_1": {
            "semseg": (5.466537, 15.34527, (-9.498545, -6.122242, -0.2612588)),
            "parts": (-8.805224, 14.8019, (-13.05023, -16.40414, -22.21713)),
            "saliency": (-5.189735, 9.711076, (11.47807, 4.332729, 0.7337348)),
            "edges": (-5.189735, 9.711076, (11.47807, 4.332729, 0.7337348)),
        },
        "scale_2": {
            "semseg": (-4.086729, 27.46525, (1.032082, 10.33707, 4.277874)),
            "parts": (4.930505, 21.87885, (-14.67606, -23.27341, -25.12863)),
            "saliency": (-22.42844, 11.50166, (-12.1489, -7.407042, -13.3725)),
            "edges": (-22.42844, 11.50166, (-12.1489, -7.407042, -13.3725)),
        },
        "scale_3": {
            "semseg": (1.028618, 21.2312, (-18.70157, -9.077545, -13.8839)),
            "parts": (0.5343778, 32.34564, (9.282112, 1.097168, -5.142122)),
            "saliency": (3.883763, 3.639038, (4.672908, 8.532143, 6.52001)),
            "edges": (3.883763, 3.639038, (4.672908, 8.532143, 6.52001)),
        },
    },
    "PAD-Net (a)": {
        "final": {
            "semseg": (7.146604, 59.04741, (-11.18328, -11.18328, -9.562029)),
            "parts": (-36.74739, 53.08096, (-11.71633, -11.71633, -12.21889)),
            "saliency": (-2.843317, 18.22368, (-1.145402, -1.145402, -1.952786)),
            "normals": (1.957177, 49.73117, (-24.49465, -24.49465, -23.25414)),
            "edges": (-2.843317, 18.22368, (-1.145402, -1.145402, -1.952786)),
        },
        "initial": {
            "semseg": (2.341098, 10.88485, (-3.238397, -0.7089834, 0.4897132)),
            "parts": (-3.017718, 11.73013, (0.6538609, 0.6330357, 0.8942077)),
            "saliency": (-12.6675, 7.235842, (0.8695502, -0.2382288, -0.5455794)),
            "normals": (3.322204, 11.17986, (1.125082, 1.581867, 1.226804)),
            "edges": (-12.6675, 7.235842, (0.8695502, -0.2382288, -0.5455794)),
        },
    },
    "MTL (a)": {
        "final": {
            "semseg": (0.6541743, 12.22, (-3.249155, -3.249155, -3.328107)),
            "parts": (1.11643, 14.3968, (0.3333623, 0.3333623, 0.3135029)),
            "saliency": (-1.61224, 2.92678, (-2.13412, -2.13412, -2.099449)),
            "normals": (18.06603, 10.45022, (15.25444, 15.25444, 15.2476)),
            "edges": (-1.61224, 2.92678, (-2.13412, -2.13412, -2.099449)),
        },
    },
    "MTI on HRNet-48": {
        "final": {
            "semseg": (-736.0764, 50761.07, (-21910.51, -21910.51, -21205.38)),
            "depth": (8533.618, 17298.17, (-31933.54, -31933.54, -31980.54)),
        },
        "scale_0": {
            "semseg": (4943.823, 63772.92, (-14638.63, -25484.12, -29966.62)),
            "depth": (9182.316, 27257.93, (-16564.77, -17456.68, -11823.75)),
        },
        "scale_1": {
            "semseg": (9822.745, 57233.66, (12018.7, 27170.19, 63242.65)),
            "depth": (18844.17, 15171.81, (9664.0, -36.8291, -2875.132)),
        },
        "scale_2": {
            "semseg": (1168.05, 54353.57, (37661.62, 11435.73, 27916.55)),
            "depth": (13261.99, 16596.62, (-2050.991, 9171.992, 25596.68)),
        },
        "scale_3": {
            "semseg": (-4985.595, 46000.92, (-72865.41, -122475.8, -70022.38)),
            "depth": (-8038.656, 26099.47, (27886.61, 490.3336, -2417.796)),
        },
    },
}
"""Network -> stage -> task -> mean, standard deviation and first three values of the prediction."""


@cache
def outputs(name):
    model, channels = SPECS[name]
    network = formula_weights(build_model(model, channels))
    with torch.no_grad():
        found = network(image())
    return {"final": found.final, **found.stages}


@pytest.mark.parametrize("name", SPECS)
def test_every_prediction_is_the_published_codes(name):
    found, wanted = outputs(name), VECTORS[name]
    assert {stage: list(tasks) for stage, tasks in found.items()} == {s: list(t) for s, t in wanted.items()}
    for stage, tasks in wanted.items():
        for task, vector in tasks.items():
            assert_network(found[stage][task], *vector)


@pytest.mark.parametrize("name", SPECS)
def test_the_final_predictions_have_the_size_of_the_image(name):
    channels = SPECS[name][1]
    assert {t: p.shape for t, p in outputs(name)["final"].items()} == {
        t: (1, channels[t], 64, 96) for t in SPECS[name][0].main
    }


def test_the_coarsest_scale_does_not_depend_on_what_else_is_predicted():
    for task in ("semseg", "parts", "saliency"):
        few, all_five = (outputs(name)["scale_3"][task] for name in ("MTI (s)(E)", "MTI (a)"))
        torch.testing.assert_close(few, all_five, rtol=1e-5, atol=1e-4)
