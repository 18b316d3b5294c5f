"""The task decoder: vectors of the public implementation, sizes, padding, bad input."""

import pytest
import torch
from dense_vectors import assert_sums, fill, fill_conv_norm
from model_vectors import randn
from torch import nn
from torch.nn import functional as F

from mtlrepro.errors import SpecError
from mtlrepro.models.unet import Decoder

RESNET = (64, 256, 512, 1024, 2048)


def small() -> Decoder:
    decoder = Decoder((4, 8, 8, 8, 16), 3, (1, 0), widths=(4, 4, 4, 8, 8)).eval()
    pyramid = decoder.start["4"]
    for seed, block in zip(range(600, 618, 3), (*pyramid.branches, pyramid.pooled, pyramid.project), strict=True):
        fill_conv_norm(block, seed, 0.1)
    convolutions = [decoder.join["4"], *(part[str(s)] for s in (3, 2, 1, 0) for part in (decoder.start, decoder.join))]
    for seed, block in enumerate(convolutions, start=618):
        fill(block[0], seed, 0.1)
    fill(decoder.sides["0"], 627, 0.1)
    fill(decoder.sides["1"], 628, 0.1)
    return decoder


SHAPES = ((1, 4, 32, 48), (1, 8, 16, 24), (1, 8, 8, 12), (1, 8, 4, 6), (1, 16, 4, 6))
VECTORS = {
    4: ((8, 4, 6), 34.52645, (-0.053246, -0.463499, 0.963326)),
    3: ((8, 8, 12), 154.34597, (-0.872082, 0.666153, 0.269906)),
    2: ((4, 16, 24), 122.23320, (-0.257356, 1.623150, -0.033330)),
    1: ((4, 32, 48), 408.05413, (-0.412345, 1.622996, -0.134724)),
    0: ((4, 64, 96), 823.56690, (0.166803, -0.098795, -0.135122)),
}
SIDES = {
    0: ((3, 64, 96), 464.09965, (0.028999, -0.053288, 0.134468)),
    1: ((3, 32, 48), -126.84000, (0.183260, -0.008857, 0.083206)),
}


@torch.no_grad()
def test_vectors():
    decoder, features = small(), None
    maps = [randn(seed, shape)[0] for seed, shape in enumerate(SHAPES, start=700)]
    for stage, (shape, total, at) in VECTORS.items():
        features = decoder.run(stage, maps, features)
        assert features.shape[1:] == shape
        assert_sums(features, total, at)
        if stage in SIDES:
            shape, total, at = SIDES[stage]
            prediction = decoder.predict(stage, features)
            assert prediction.shape[1:] == shape
            assert_sums(prediction, total, at)


@pytest.mark.parametrize(
    ("outputs", "sides", "sigmoid", "count"),
    [
        (14, (1, 0), False, 22_064_156),
        (16, (1, 0), False, 22_064_544),
        (16, (2, 0), False, 22_064_544),
        (40, (1, 0), False, 22_069_200),
        (1, (1, 0), False, 22_061_634),
        (3, (1, 0), False, 22_062_022),
        (2, (1, 0), False, 22_061_828),
        (1, (3, 2, 1, 0), True, 22_066_628),
    ],
)
def test_published_sizes(outputs, sides, sigmoid, count):
    with torch.device("meta"):
        decoder = Decoder(RESNET, outputs, sides, sigmoid=sigmoid)
    assert sum(p.numel() for p in decoder.parameters()) == count
    assert [conv.dilation[0] for conv, _, _ in decoder.start["4"].branches] == [1, 6, 12, 18]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in [*decoder.join.modules(), *decoder.sides.modules()])


def test_finest_map_of_the_same_resolution_is_not_resized():
    decoder = Decoder((4, 8, 8, 8, 16), 1, (0,), widths=(4, 4, 4, 8, 8)).eval()
    maps = [torch.zeros(1, c, 8, 8) for c in (4, 8, 8, 8, 16)]
    assert decoder.run(1, maps, torch.zeros(1, 4, 8, 8)).shape == (1, 4, 8, 8)
    assert decoder.run(0, maps, torch.zeros(1, 4, 8, 8)).shape == (1, 4, 16, 16)  # stage 0 always


def test_sigmoid_sides():
    torch.manual_seed(0)
    decoder = Decoder((4, 8, 8, 8, 16), 1, (1, 0), widths=(4, 4, 4, 8, 8), sigmoid=True)
    features = 10 * randn(0, (2, 4, 5, 6))[0]
    conv = decoder.sides["1"][0]
    padded = F.pad(features, (1, 1, 1, 1), mode="reflect")
    expected = torch.sigmoid(F.conv2d(padded, conv.weight, conv.bias))
    assert torch.equal(decoder.predict(1, features), expected)
    assert 0 < expected.min() < 0.5 < expected.max() < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((4, 8, 8, 8), 1, (0,)), "model.backbone: a backbone with 4 maps"),
        ((RESNET, 1, (0,), (4, 4, 4, 8)), "widths: no decoder has widths"),
        ((RESNET, 1, (0,), (4, 4, 0, 8, 8)), "widths: .*Give five positive numbers"),
        ((RESNET, 1, (1,)), "sides: no decoder predicts at stages .*stage 0 always has one"),
        ((RESNET, 1, (0, 5)), "sides: no decoder"),
        ((RESNET, 1, (0, 1, 1)), "sides: no decoder"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message):
    with torch.device("meta"), pytest.raises(SpecError, match=message):
        Decoder(*arguments)
