"""The feature pyramid of MT-CP: a published vector, torchvision's pyramid as an oracle, parameters."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seeded_vectors import Stream, assert_sums
from torchvision.ops import FeaturePyramidNetwork

from mtlrepro.models.pyramid_fusion import PyramidFusion


def test_published_vector():
    stream, model = Stream(12, 0.1), PyramidFusion((8, 16, 32), 8)
    for layer in (*model.lateral, model.smooth):
        stream.fill(layer.weight, layer.bias)
    fused = model([stream.normal(1, 8, 7, 9), stream.normal(1, 16, 4, 5), stream.normal(1, 32, 2, 3)])
    assert fused.shape == (1, 8, 7, 9)
    assert_sums(fused, -98.634541, 271.791525, 230.343053, [-0.524875, -0.647865, -0.490413], -0.233909)


def test_published_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in PyramidFusion((256, 512, 1024), 256).parameters()) == 1_049_600


@settings(max_examples=10)
@given(sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4))
def test_finest_map_of_a_pyramid(sizes):
    widths = range(2, 2 + len(sizes))
    ours, theirs = PyramidFusion(widths, 3).double(), FeaturePyramidNetwork(list(widths), 3).double()
    for mine, yours in zip(ours.lateral, theirs.inner_blocks, strict=True):
        yours[0].load_state_dict(mine.state_dict())
    theirs.layer_blocks[0][0].load_state_dict(ours.smooth.state_dict())
    sizes = sorted(sizes, reverse=True)
    maps = [torch.randn(2, width, *size).double() for width, size in zip(widths, sizes, strict=True)]
    expected = theirs({str(place): m for place, m in enumerate(maps)})["0"]
    torch.testing.assert_close(ours(maps), expected)


def test_every_parameter_learns():
    model = PyramidFusion((2, 3), 4)
    model([torch.randn(1, 2, 4, 4), torch.randn(1, 3, 2, 2)]).square().sum().backward()
    assert all(p.grad.any() for p in model.parameters())
