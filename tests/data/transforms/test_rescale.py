"""Rescaling by any factor: a direct evaluation of OpenCV's rules, and which pixels labels take."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from toy_samples import TOY, sample

from mtlrepro.data.transforms.rescale import rescale_sample, resize_floored, resize_linear

sizes = st.tuples(st.integers(2, 40), st.integers(2, 40))


@given(sizes, sizes, st.integers(0, 99))
def test_bilinear_is_torch_s_without_antialiasing(old, new, seed):
    maps = torch.rand(2, *old, generator=torch.Generator().manual_seed(seed))
    expected = F.interpolate(maps[None].double(), size=new, mode="bilinear", align_corners=False, antialias=False)[0]
    before = maps.clone()
    assert torch.allclose(resize_linear(maps, new).double(), expected, atol=1e-6)
    assert torch.equal(maps, before)


@given(sizes, sizes)
def test_labels_take_the_floored_pixel(old, new):
    """⌊i·old/new⌋ but where that is whole: then OpenCV's step, rounded twice, may fall short of it."""
    label = torch.arange(old[0] * old[1]).view(old)
    out = resize_floored(label, new)
    for i, j in np.ndindex(*new):
        row, column = divmod(int(out[i, j]), old[1])
        for found, at, n, m in ((row, i, old[0], new[0]), (column, j, old[1], new[1])):
            assert found == at * n // m or (at * n % m == 0 and found == at * n // m - 1)


@pytest.mark.parametrize(
    ("n", "m", "places", "sources"), [(24, 34, [17], [11]), (102, 72, [36, 60], [50, 84]), (244, 452, [113], [60])]
)
def test_where_the_step_of_opencv_falls_short(n, m, places, sources):
    out = resize_floored(torch.arange(n)[None], (1, m))[0]
    assert out[places].tolist() == sources
    whole = torch.arange(m) * n // m
    assert int((out != whole).sum()) <= 4


@given(sizes, st.floats(0.5, 2), st.integers(0, 99))
def test_a_rescaled_sample(size, scale, seed):
    toy = sample(*size, seed)
    before = {name: value.clone() for name, value in toy.items()}
    out = rescale_sample(toy, scale, TOY)
    new = int(size[0] * scale), int(size[1] * scale)
    assert {tuple(value.shape[-2:]) for value in out.values()} == {new}
    assert {k: v.dtype for k, v in out.items()} == {k: v.dtype for k, v in toy.items()}
    for name in ("semseg", "edges", "normals"):
        assert torch.equal(out[name], resize_floored(toy[name], new))
    assert torch.equal(out["depth"], resize_floored(toy["depth"], new) / scale)
    assert all(torch.equal(toy[name], before[name]) for name in toy)


def test_8_bit_images_are_cut_off():
    toy = {"image": torch.tensor([0, 3], dtype=torch.uint8).expand(3, 2, 2)}
    out = rescale_sample(toy, 2.0, {})["image"]
    assert out[0, 0].tolist() == [0, 0, 2, 3]  # 0, 0.75, 2.25, 3
    exact = rescale_sample({"image": toy["image"].float() / 255}, 2.0, {})["image"]
    assert (exact[0, 0] * 255).tolist() == pytest.approx([0, 0.75, 2.25, 3], abs=1e-5)
