"""Both nearest rules against their definitions, Lanczos against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mtlrepro.data.disk.readers.resizing import lanczos, nearest

sides = st.integers(1, 60)


@given(sides, sides, sides, sides)
def test_centre_is_pillows_nearest(h: int, w: int, height: int, width: int) -> None:
    label = np.random.default_rng(h * 61 + w).integers(0, 255, (h, w), np.uint8)
    expected = np.array(Image.fromarray(label).resize((width, height), Image.Resampling.NEAREST))
    assert np.array_equal(nearest(torch.from_numpy(label), (height, width), "centre").numpy(), expected)


@given(sides, sides)
def test_floor_rounds_the_scaled_index_down(n: int, m: int) -> None:
    found = nearest(torch.arange(n)[None], (1, m), "floor")[0]
    exact = torch.tensor([i * n // m for i in range(m)])
    # Where the quotient is whole, inverting the factor twice may fall just below it.
    assert bool(((found == exact) | ((found == exact - 1) & (torch.arange(m) * n % m == 0))).all())
    assert 0 <= int(found.min()) <= int(found.max()) < n


def test_the_rules_differ_in_six_of_ten_columns_of_virtual_kitti() -> None:
    columns = torch.arange(1242)[None]
    floor, centre = (nearest(columns, (1, 1024), rule) for rule in ("floor", "centre"))
    assert float((floor != centre).double().mean()) == pytest.approx(0.605, abs=0.0006)


def test_lanczos_is_pillows() -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    expected = np.array(Image.fromarray(image).resize((13, 11), Image.Resampling.LANCZOS))
    assert np.array_equal(lanczos(tensor, (11, 13)).permute(1, 2, 0).numpy(), expected)
    assert lanczos(tensor, (20, 30)) is tensor
