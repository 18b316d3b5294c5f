"""Cameras of samples: a pixel of this frame is seen at the same place of another one before and after every change."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_samples import TOY

from mtlrepro.data.draws import Draws
from mtlrepro.data.transforms.affine import rotate_sample
from mtlrepro.data.transforms.augment import AUGMENTATIONS, make_views
from mtlrepro.data.transforms.basic import flip_sample, resize_sample, zoom_sample
from mtlrepro.data.transforms.crop import Window, crop_sample
from mtlrepro.data.transforms.cut import cut_sample
from mtlrepro.data.transforms.fit import FITS, pad_sample
from mtlrepro.data.transforms.geometry import GEOMETRY, kept
from mtlrepro.data.transforms.rescale import rescale_sample

H, W = 60, 80
DEPTH = {"depth": TOY["depth"]}

CHANGES = {
    "flip": lambda s: flip_sample(s, DEPTH),
    "zoom": lambda s: zoom_sample(s, 1.5, DEPTH),
    "resize": lambda s: resize_sample(s, (45, 100), DEPTH),
    "cubic": lambda s: FITS["cubic"].sample(s, (100, 90), DEPTH),
    "crop": lambda s: crop_sample(s, Window(False, 1.5, 9, 20, 40, 53), DEPTH),
    "flip_crop": lambda s: crop_sample(s, Window(True, 1.2, 5, 3, 50, 66), DEPTH),
    "rotate": lambda s: rotate_sample(s, 17.0, 1.2, DEPTH),
    "rotate_out": lambda s: rotate_sample(s, -12.0, 0.8, DEPTH),
    "rescale": lambda s: rescale_sample(s, 1.37, DEPTH),
    "rescale_down": lambda s: rescale_sample(s, 0.61, DEPTH),
    "cut": lambda s: cut_sample(s, (7, 12), (40, 50), DEPTH),
    "pad": lambda s: pad_sample(s, (71, 90), DEPTH),
}


AXES = {"flip": torch.diag(torch.tensor([-1.0, 1, 1])), "flip_crop": torch.diag(torch.tensor([-1.0, 1, 1]))}
"""What changes turn the camera's axes by, besides rotations about the optical axis."""
DEGREES = {"rotate": 17.0, "rotate_out": -12.0}
SCALES = {"zoom": 1.5, "crop": 1.5, "flip_crop": 1.2, "rotate": 1.2, "rotate_out": 0.8}
SCALES |= {"rescale": 1.37, "rescale_down": 0.61}


def rotation(x, y, z):
    """About the x axis, then the y axis, then the z axis, in radians."""
    out = torch.eye(3, dtype=torch.float64)
    for axis, angle in enumerate((x, y, z)):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3, dtype=torch.float64)
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        out = turn @ out
    return out


def camera(h=H, w=W, fx=70.0, fy=66.0):
    return torch.tensor([[fx, 0, 0.53 * w], [0, fy, 0.46 * h], [0, 0, 1]], dtype=torch.float64)


def centres(h, w):
    v, u = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    return torch.stack([u, v, torch.ones_like(u)]).double()


def motions():
    out = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    out[0, :3, :3], out[0, :3, 3] = rotation(0.05, -0.08, 0.03), torch.tensor([0.1, -0.05, 0.2])
    out[1, :3, :3], out[1, :3, 3] = rotation(-0.02, 0.06, -0.09), torch.tensor([-0.2, 0.1, -0.1])
    return out


def plane(k, normal, offset, h=H, w=W):
    """Depth of the plane normal·X = offset."""
    rays = torch.einsum("ij,jhw->ihw", k.inverse(), centres(h, w))
    return offset / torch.einsum("i,ihw->hw", normal, rays)


def scene():
    """A sample that shows a slanted plane, painted so that red and green say where on it a pixel lies.

    The neighbouring frames show the same plane, so colours tell correspondences.
    """
    k, normal, offset = camera(), torch.tensor([0.12, -0.2, 1.0]).double(), 3.0
    motion = motions()

    def paint(depth, back):
        points = torch.einsum("ij,jhw->ihw", k.inverse(), centres(H, W)) * depth
        points = torch.einsum("ij,jhw->ihw", back[:3, :3], points) + back[:3, 3, None, None]
        return torch.stack([(points[0] + 4) / 8, (points[1] + 4) / 8, points[2] / 8]).float()

    depth = plane(k, normal, offset)
    frame_depth, frames = [], []
    for m in motion:  # X' = R X + t, so n·X = n·Rᵀ(X' - t)
        turned = m[:3, :3] @ normal
        frame_depth.append(plane(k, turned, offset + turned @ m[:3, 3]))
        frames.append(paint(frame_depth[-1], m.inverse()))
    return {
        "image": paint(depth, torch.eye(4).double()),
        "depth": depth.float(),
        "intrinsics": k.float(),
        "placement": torch.eye(3),
        "frames": torch.stack(frames),
        "frame_depth": torch.stack(frame_depth).float(),
        "motion": motion.float(),
    }


def correspondences(sample):
    """Where each pixel of this frame is seen in every other one: (K, 2, H, W) pixels, and its depth there (K, H, W)."""
    k, depth = sample["intrinsics"].double(), sample["depth"].double()
    points = torch.einsum("ij,jhw->ihw", k.inverse(), centres(*depth.shape)) * depth
    places, depths = [], []
    for motion in sample["motion"].double():
        moved = torch.einsum("ij,jhw->ihw", motion[:3, :3], points) + motion[:3, 3, None, None]
        pixel = torch.einsum("ij,jhw->ihw", k, moved)
        places.append(pixel[:2] / pixel[2:])
        depths.append(pixel[2])
    return torch.stack(places), torch.stack(depths)


def seen(maps, places):
    """Values (C, h, w) of the pixels that hold the places (2, h, w), and where places and pixels are well inside."""
    h, w = maps.shape[-2:]
    u, v = places.floor().long().unbind(0)
    inside = (u >= 1) & (u < w - 1) & (v >= 1) & (v < h - 1)
    return maps[..., v.clamp(0, h - 1), u.clamp(0, w - 1)], inside


def whole(depth, margin=3):
    """Where no pixel near by is invalid or outside: borders that a change brings in are no part of the scene."""
    holes = F.pad((depth == 0).float(), (margin,) * 4, value=1.0)
    return F.max_pool2d(holes[None], 2 * margin + 1, 1)[0] == 0


def levels(image):
    return image if image.is_floating_point() else image / 255


def check(sample, colour, relative):
    """Each pixel that another frame shows has its colour and depth there; the number of such pixels."""
    checked = 0
    for frame, far, place, depth in zip(sample["frames"], sample["frame_depth"], *correspondences(sample), strict=True):
        there, inside = seen(levels(frame), place)
        use = inside & whole(sample["depth"]) & seen(whole(far), place)[0]
        assert (levels(sample["image"]) - there).abs().amax(0)[use].max() < colour
        assert ((seen(far, place)[0] - depth).abs() / depth)[use].max() < relative
        checked += int(use.sum())
    return checked


def check_points(sample, axes, scale, tolerance, margin=3):
    """A pixel's point of the scene is the one that its colour names, but for the camera's axes and the scale."""
    k, depth = sample["intrinsics"].double(), sample["depth"].double()
    points = torch.einsum("ij,jhw->ihw", k.inverse(), centres(*depth.shape)) * depth * scale
    points = torch.einsum("ji,jhw->ihw", axes.double(), points)
    named = levels(sample["image"]) * 8 - torch.tensor([4, 4, 0])[:, None, None]
    use = whole(depth, margin)
    assert (points - named).abs().amax(0)[use].max() < tolerance


def test_the_scene_is_consistent():
    assert check(scene(), 0.012, 0.012) > 0.5 * 2 * H * W


@pytest.mark.parametrize("name", CHANGES)
def test_correspondences_survive(name):
    """To a pixel, which is 0.043 m wide on the plane: half a hundredth of the range of colours."""
    out = CHANGES[name](scene())
    assert set(out) == {"image", "depth", *GEOMETRY}
    h, w = out["image"].shape[-2:]
    assert {tuple(out[key].shape[-2:]) for key in ("depth", "frames", "frame_depth")} == {(h, w)}
    assert check(out, 0.02, 0.025) > 0.12 * 2 * h * w


def axes_of(name):
    return AXES.get(name, rotation(0, 0, -math.radians(DEGREES.get(name, 0.0))).float())


@pytest.mark.parametrize("name", CHANGES)
def test_points_of_the_scene_survive(name):
    check_points(CHANGES[name](scene()), axes_of(name), SCALES.get(name, 1.0), 0.08)


@pytest.mark.parametrize("name", CHANGES)
def test_the_placement_says_where_a_pixel_was(name):
    """A camera's matrix follows from its first one, the placement, and how the axes turned."""
    out = CHANGES[name](scene())
    expected = out["placement"].double() @ camera() @ axes_of(name).double().inverse()
    torch.testing.assert_close(out["intrinsics"].double(), expected, rtol=1e-5, atol=1e-4)
    assert (float(out["placement"][0, 0]) < 0) == (name in AXES)


def test_errors_would_show():
    """What the tests above say of a camera that was left behind."""
    toy = scene()
    for name in ("flip", "rotate", "zoom"):
        with pytest.raises(AssertionError):
            check({**CHANGES[name](toy), "motion": toy["motion"]}, 0.02, 0.025)
    for name in ("flip", "rotate", "zoom", "cut", "pad", "resize", "crop", "rescale"):
        left = {**CHANGES[name](toy), "intrinsics": toy["intrinsics"]}
        with pytest.raises(AssertionError):
            check_points(left, axes_of(name), SCALES.get(name, 1.0), 0.08)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(sorted(CHANGES)), min_size=2, max_size=4))
def test_however_changes_follow_each_other(names):
    """Motions stay rigid, and points of the scene are where their colours say."""
    toy, axes, scale = scene(), torch.eye(3).double(), 1.0
    for name in names:
        if name == "pad" or min(toy["image"].shape[-2:]) < 60 or toy["image"].shape[-1] < 80:
            toy = pad_sample(
                toy, tuple(max(n, m) for n, m in zip(toy["image"].shape[-2:], (71, 90), strict=True)), DEPTH
            )
        if name != "pad":
            toy, axes, scale = CHANGES[name](toy), axes_of(name).double() @ axes, scale * SCALES.get(name, 1.0)
    if whole(toy["depth"], 10).any():  # else the scene has become too small
        check_points(toy, axes, scale, 0.2, margin=10)  # each interpolation and each nearest pixel adds its part
    r = toy["motion"][:, :3, :3].double()
    assert torch.allclose(r @ r.mT, torch.eye(3).double().expand(2, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(r), torch.ones(2).double(), atol=1e-5)
    expected = torch.einsum("ij,kj->ki", axes, motions()[:, :3, 3]) / scale
    assert torch.allclose(toy["motion"][:, :3, 3].double(), expected, atol=1e-5)
    assert torch.equal(toy["motion"][:, 3], torch.tensor([[0.0, 0, 0, 1]]).expand(2, 4))
    assert torch.equal(toy["intrinsics"][2], torch.tensor([0.0, 0, 1]))


def test_a_mirrored_principal_point():
    toy = {"image": torch.zeros(3, 4, 10), "intrinsics": camera(4, 10).float(), "motion": motions().float()}
    out = flip_sample(toy, {})
    expected = toy["intrinsics"].clone()
    expected[0, 2] = 10 - expected[0, 2]
    assert torch.equal(out["intrinsics"], expected)
    mirror = torch.diag(torch.tensor([-1.0, 1, 1, 1]))
    assert torch.equal(out["motion"], mirror @ toy["motion"] @ mirror)
    assert torch.allclose(flip_sample(out, {})["intrinsics"], toy["intrinsics"])


def test_only_rotations_of_unequal_focal_lengths_shear():
    toy = {"image": torch.zeros(3, H, W), "intrinsics": camera(fx=70.0, fy=70.0).float()}
    k = rotate_sample(toy, 20.0, 1.1, {})["intrinsics"]
    assert k[1, 0].abs() < 1e-5
    assert k[0, 1].abs() < 1e-5
    assert k.diagonal().tolist() == pytest.approx([77, 77, 1], rel=1e-6)
    centre = torch.tensor([(W + 1) / 2, (H + 1) / 2, 1.0])  # the point that stays; from it, offsets turn
    offset = toy["intrinsics"][:, 2] - centre
    assert (k[:, 2] - centre).norm().item() == pytest.approx(1.1 * offset.norm().item(), rel=1e-5)


def test_each_key_alone():
    for key in GEOMETRY:
        toy = {"image": scene()["image"], "depth": scene()["depth"], key: scene()[key]}
        for change in CHANGES.values():
            assert set(change(toy)) == {"image", "depth", key}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_views_carry_their_camera_and_colours_leave_it_alone(name):
    toy = {**scene(), "unknown": torch.zeros(1)}
    toy["image"], toy["frames"] = ((toy[key] * 255).round().to(torch.uint8) for key in ("image", "frames"))
    size = (72, 88) if AUGMENTATIONS[name].fit == "pad" else (48, 60) if AUGMENTATIONS[name].native else (H, W)
    for key in range(4):
        ((view, _),) = make_views(toy, AUGMENTATIONS[name], DEPTH, Draws("camera", key), size=size)
        assert set(GEOMETRY) <= set(view)
        plain = {**kept(view, DEPTH), "image": view["image"]}
        if name in ("none", "flip", "flip_zoom", "flip_rotate", "flip_cut"):
            check(plain, 0.03, 0.03)
        assert view["frames"].shape[-2:] == view["image"].shape[-2:]
        assert view["intrinsics"].dtype == view["motion"].dtype == torch.float32
