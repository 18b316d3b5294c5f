"""Colour operations on many images at once, against those on one."""

import pytest
import torch

from mtlrepro.data.draws import Draws
from mtlrepro.data.transforms.batched_colours import TOGETHER, recoloured_together
from mtlrepro.data.transforms.photometric import OPERATIONS, draw_colours, recoloured


def picture(seed, size=(20, 31)):
    """Noise beside a grey ramp of 8-bit levels; the even ones are dull."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, *size, generator=generator)
    image[..., : size[1] // 3] = torch.randint(0, 256, (1, size[0], size[1] // 3), generator=generator) / 255
    return image if seed % 2 else image * 0.5 + 0.2


def test_every_operation_that_does_something_is_there():
    assert TOGETHER.keys() == OPERATIONS.keys() - {"identity"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_with_a_value_for_each_image(name):
    """As on one image, but for a last digit of sums; 8-bit operations, which compare and look up, exactly."""
    values = [sign * value for value in OPERATIONS[name].values for sign in (1, -1)[: 1 + OPERATIONS[name].signed]]
    images = [picture(seed) for seed in range(len(values))]
    before = [image.clone() for image in images]
    found = recoloured_together(images, [((name, value),) for value in values])
    want = torch.stack([OPERATIONS[name].apply(image, value) for image, value in zip(images, values, strict=True)])
    assert found.dtype == torch.float32
    exact = name in ("identity", "posterize", "solarize", "equalize")
    torch.testing.assert_close(found, want, rtol=0, atol=0 if exact else 2e-7)
    assert all(torch.equal(one, two) for one, two in zip(images, before, strict=True))


@pytest.mark.parametrize("images", [1, 5, 24])
def test_drawn_operations_stay_in_order_and_with_their_images(images):
    """A digit lost before values are cut off to 8 bits is one level, of a pixel in a thousand at most."""
    apart = set()
    for key in range(20):
        colours = [draw_colours(Draws("together", key, i)) for i in range(images)]
        pictures = [picture(i) for i in range(images)]
        found = recoloured_together(pictures, colours)
        want = torch.stack([recoloured(*pair) for pair in zip(pictures, colours, strict=True)])
        assert ((found - want).abs() > 1e-5).float().mean() < 1e-3
        apart |= {name for pair in colours for name, _ in pair}
    assert apart == OPERATIONS.keys()
