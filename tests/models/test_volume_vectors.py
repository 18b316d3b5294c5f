"""The 3D-aware regularizer's published figures: weights, rendered maps, parameters, multiply-accumulates."""

import pytest
import torch
from model_vectors import randn
from shape_vectors import assert_statistics, fill_by_shape
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.data.frustum import grid_points
from mtlrepro.models.compositing import midpoints
from mtlrepro.models.triplane import TriplaneEncoder
from mtlrepro.models.volume import Volume, reference_render

SMALL = {"semseg": 5, "depth": 1, "normals": 3, "edges": 1}
DEPTH = {
    "5x6": (0.433205, 0.442632, 0.166591, 0.319516, 0.487716, -0.011532),
    "10x12": (0.327997, 0.329651, 0.166591, 0.144237, 0.405771, -0.011532),
    "full": (0.075383, 0.075581, 0.089028, 0.077637, 0.055122, 0.054919),
}
FIGURES = {
    "5x6": {
        "semseg": (-0.100894, 0.664578, 0.236594, 0.083936, 0.405919, 0.406562),
        "normals": (0.041612, 0.512106, 0.621915, 0.707266, -0.327963, 0.645486),
    },
    "10x12": {
        "semseg": (-0.046150, 0.471778, 0.236594, -0.760566, 0.204799, 0.406562),
        "normals": (0.047617, 0.519411, 0.621915, 0.707266, -0.278893, 0.645486),
    },
    "full": {
        "semseg": (-0.010450, 0.120544, -0.109133, 0.328776, 0.024900, -0.142437),
        "normals": (0.076146, 0.554987, 0.474743, -0.720332, 0.659199, -0.609255),
    },
}
"""Mean, mean absolute value and four elements of each map; normals have unit length. Edges have the figures of depth:
the same shapes, the same weights."""


def small():
    return fill_by_shape(Volume(SMALL, channels=4, hidden=4, samples=4))


def orthographic(volume, planes, size):
    return volume(planes, size)


def along_points(volume, planes, size):
    return volume.seen(planes, grid_points(midpoints(4).expand(len(planes), *size, 4)))


def plain(volume, planes, size):
    return reference_render(volume, planes, grid_points(midpoints(4).expand(len(planes), *size, 4)), 2 / 4)[0]


@pytest.mark.parametrize("form", [orthographic, along_points, plain])
@pytest.mark.parametrize("case", FIGURES)
def test_rendered_maps(form, case):
    if case == "full":
        planes, size = fill_by_shape(TriplaneEncoder(3, 4, hidden=12))(randn(9, (2, 3, 5, 6))[0]), (5, 6)
    else:
        planes, size = randn(7, (1, 3, 4, 5, 6))[0], tuple(map(int, case.split("x")))
    maps = form(small(), planes, size)
    for task, figures in {**FIGURES[case], "depth": DEPTH[case], "edges": DEPTH[case]}.items():
        assert maps[task].shape == (len(planes), SMALL[task], *size)
        assert_statistics(F.normalize(maps[task], dim=1) if task == "normals" else maps[task], *figures)


def test_weights_of_two_rays():
    points = grid_points(midpoints(4).expand(1, 5, 6, 4))
    _, weights = reference_render(small(), randn(7, (1, 3, 4, 5, 6))[0], points, 2 / 4)
    found = weights["semseg"].view(30, 4)
    assert found[0].tolist() == pytest.approx([0.166471, 0.134241, 0.122963, 0.135197], abs=1e-5)
    assert found[17].tolist() == pytest.approx([0.126815, 0.100731, 0.100077, 0.105950], abs=1e-5)


def count(module):
    return sum(p.numel() for p in module.parameters())


NYUD = {"semseg": 40, "depth": 1, "normals": 3, "edges": 1}
PASCAL = {"semseg": 21, "parts": 7, "saliency": 2, "normals": 3, "edges": 1}
FIELDS = {
    "nyud": {"semseg": 6760, "depth": 4225, "normals": 4355, "edges": 4225},
    "pascal": {"semseg": 5525, "parts": 4615, "saliency": 4290, "normals": 4355, "edges": 4225},
}


@pytest.mark.parametrize(("tasks", "fields"), [(NYUD, FIELDS["nyud"]), (PASCAL, FIELDS["pascal"])])
def test_field_sizes(tasks, fields):
    volume = Volume(tasks)
    assert volume.density is not None
    assert count(volume.density) == 4225
    assert {task: count(field) for task, field in volume.fields.items()} == fields


ROWS = [
    (NYUD, 1024, 64, (56, 72), (28, 36), 2_125_806, 14.74, (8.48, 1.07, 4.97)),
    (NYUD, 1024, 32, (56, 72), (28, 36), 2_125_806, 11.61, None),
    (NYUD, 1024, 96, (56, 72), (28, 36), 2_125_806, 17.86, None),
    (PASCAL, 1024, 64, (64, 64), (32, 32), 2_129_251, 15.86, (8.61, 1.09, 5.94)),
    (NYUD, 768, 64, (56, 72), (28, 36), 1_683_438, 12.95, (6.69, 1.07, 4.97)),
    (NYUD, 720, 64, (56, 72), (112, 144), 1_600_494, 12.61, (6.36, 1.07, 4.97)),
    (PASCAL, 720, 64, (64, 64), (128, 128), 1_603_939, 13.70, (6.46, 1.09, 5.94)),
]


@pytest.mark.parametrize(("tasks", "inputs", "samples", "size", "native", "parameters", "total", "parts"), ROWS)
def test_cost_of_the_plain_form(tasks, inputs, samples, size, native, parameters, total, parts):
    """The printed figures are fvcore's of the plain form.

    Beside convolutions and matrix products it counts 2 operations for each value of a batch norm, and 4 for each value
    that is resized or looked up bilinearly in a plane; these are no multiply-accumulates of a learnt layer.
    """
    with torch.device("meta"):
        encoder, volume = TriplaneEncoder(inputs).eval(), Volume(tasks, samples=samples)
        cells = size[0] * size[1]
        features = torch.empty(cells * samples, 64)
        with FlopCounterMode(display=False) as convolutions:
            encoder(torch.empty(1, inputs, *size))
        with FlopCounterMode(display=False) as density:
            volume.density(features)
        with FlopCounterMode(display=False) as fields:
            for field in volume.fields.values():
                field(features)
    assert count(encoder) + count(volume) == parameters
    macs = [counter.get_total_flops() / 2 for counter in (convolutions, density, fields)]
    norms = 2 * 2 * 192 * cells
    assert size != native
    shares = (macs[0] + norms) / 1e9, macs[1] / 1e9, macs[2] / 1e9
    if parts:
        assert shares == pytest.approx(parts, abs=0.0055)
    lookups = 4 * 3 * 64 * cells * samples
    resizing = 4 * inputs * cells
    assert sum(shares) + (lookups + resizing) / 1e9 == pytest.approx(total, abs=0.006)
