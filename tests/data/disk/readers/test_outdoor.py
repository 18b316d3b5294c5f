"""What the readers of street scenes share: cameras, and what users are told about options."""

from __future__ import annotations

import pytest
import torch
from outdoor_copies import RELEASES, root_name

from mtlrepro.data import LAYOUTS
from mtlrepro.data.disk.description import load
from mtlrepro.data.disk.information import inform
from mtlrepro.data.disk.readers.outdoor import NORMALS, Outdoor
from mtlrepro.data.surface import RULES, camera_matrix
from mtlrepro.errors import SpecError


@pytest.mark.parametrize(
    ("key", "size", "fx", "fy", "u", "v"),
    [
        ("cityscapes", (1024, 2048), 2262.52, 2265.3017905988554, 1096.98, 513.137),
        ("cityscapes_sequence", (1024, 2048), 2262.52, 2265.3017905988554, 1096.98, 513.137),
        ("synthia", (760, 1280), 532.740352, 532.740352, 640.0, 380.0),
        ("virtual_kitti2", (375, 1242), 725.0087, 725.0087, 620.5, 187.0),
    ],
)
def test_published_cameras(key: str, size: tuple[int, int], fx: float, fy: float, u: float, v: float) -> None:
    """u and v count from the centre of the first pixel, a description's cx and cy from the picture's corner."""
    camera = load(LAYOUTS / f"{key}.toml").camera
    assert (camera["height"], camera["width"]) == size
    expected = torch.tensor([[fx, 0, u + 0.5], [0, fy, v + 0.5], [0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(camera_matrix(camera, size), expected, rtol=0, atol=1e-9)
    # Writers take the same for normals of any size; here it is as large as the release.
    writer = RELEASES[key](LAYOUTS / root_name(key), size, 0)
    torch.testing.assert_close(writer.camera(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("key", RELEASES)
def test_the_rules_for_normals_are_told_with_the_options(key: str) -> None:
    words = " ".join(inform(key).split())
    assert "from inverse depth with intrinsics that are not scaled" in words
    assert '"metric": correct geometry' in words


def test_reports_are_told_the_rule_for_normals() -> None:
    assert set(NORMALS) == set(RULES)
    assert Outdoor.remark(classes=8) == "normals=released (made as in the public code)"
    assert "cannot be compared with printed ones" in Outdoor.remark(normals="metric")
    with pytest.raises(SpecError, match="unknown rule for normals 'none'"):
        Outdoor.remark(normals="none")
