"""How pictures get the network's input size: padding that is exactly 0 once normalised, and its inverse."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from toy_samples import TOY, same, sample, unit_or_zero

from mtlrepro.data.sample import DatasetInfo, normalise, scaled, stack
from mtlrepro.data.transforms.basic import resize_image, resize_sample
from mtlrepro.data.transforms.fit import FITS, cut_centre, pad_image, pad_sample, resize_cubic
from mtlrepro.data.transforms.rescale import resize_floored
from mtlrepro.errors import DataError
from mtlrepro.tasks import make_tasks

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))


@given(sizes, st.tuples(st.integers(0, 9), st.integers(0, 9)), st.booleans(), st.integers(0, 99))
def test_the_canvas_is_0_once_normalised_and_the_picture_as_it_was(size, more, floating, seed):
    image = sample(*size, seed)["image"]
    image = image / 255 if floating else image
    canvas = (size[0] + more[0], size[1] + more[1])
    out = normalise(pad_image(image, canvas))
    top, left = more[0] // 2, more[1] // 2
    picture = torch.zeros(3, *canvas)
    picture[:, top : top + size[0], left : left + size[1]] = normalise(image)
    assert torch.equal(out, picture)
    assert torch.equal(cut_centre(out, size), normalise(image))


def test_the_published_margins():
    """425×560 on 448×576: 11 rows above, 12 below, 8 columns on either side."""
    inside = normalise(pad_image(torch.full((3, 425, 560), 255, dtype=torch.uint8), (448, 576)))[0] != 0
    rows, columns = (inside.any(1 - axis).nonzero().flatten() for axis in (0, 1))
    assert (rows[0], 447 - rows[-1], columns[0], 575 - columns[-1]) == (11, 12, 8, 8)


def test_labels_are_invalid_on_the_canvas():
    info = DatasetInfo("toy", ("reshading",))
    tasks = TOY | make_tasks(("reshading",), info)
    toy = sample(5, 7) | {"reshading": torch.randn(5, 7)}
    out = pad_sample(toy, (8, 8), tasks)
    for name, task in tasks.items():
        blank = task.unlabelled((8, 8))
        blank[..., 1:6, 0:7] = toy[name]
        assert torch.equal(out[name].nan_to_num(-1), blank.nan_to_num(-1))
        assert out[name].dtype == toy[name].dtype
        assert not task.valid(task.collate(out[name])[None])[..., 0, :].any()


@given(st.sampled_from(["resize", "cubic", "pad"]), sizes, st.integers(0, 99))
def test_training_and_evaluation_see_the_same_image(name, size, seed):
    toy, canvas = sample(*size, seed), (25, 27)
    assert torch.equal(FITS[name].sample(toy, canvas, TOY)["image"], FITS[name].image(toy["image"], canvas))


def test_the_usual_fit_is_the_one_of_recorded_runs():
    toy = sample(9, 14)
    assert same(FITS["resize"].sample(toy, (6, 20), TOY), resize_sample(toy, (6, 20), TOY))
    assert torch.equal(FITS["resize"].image(toy["image"], (6, 20)), resize_image(toy["image"], (6, 20)))


@given(sizes, sizes, st.integers(0, 99))
def test_cubic_images(old, new, seed):
    """Against the kernel in float64; 8 bits are rounded and clipped, as overshoots have to be."""
    image = sample(*old, seed)["image"]
    exact = F.interpolate(image[None].double(), size=new, mode="bicubic", align_corners=False)[0].clamp(0, 255)
    out = resize_cubic(image, new)
    assert out.dtype == torch.uint8
    assert (out - exact).abs().max() <= 0.5 + 1e-3
    floats = resize_cubic(image / 255, new)
    assert (floats * 255 - exact).abs().max() < 1e-3
    assert 0 <= floats.min() <= floats.max() <= 1


def kernel(d):
    d = abs(d)
    if d <= 1:
        return 1.25 * d**3 - 2.25 * d**2 + 1
    return -0.75 * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def cubic_matrix(n, m):
    """(m, n) float64: how much of each old pixel is in each new one; beyond the border the last is repeated."""
    weights = torch.zeros(m, n, dtype=torch.float64)
    for i in range(m):
        at = (i + 0.5) * n / m - 0.5
        for k in range(math.floor(at) - 1, math.floor(at) + 3):
            weights[i, min(max(k, 0), n - 1)] += kernel(at - k)
    return weights


@given(sizes, sizes, st.integers(0, 99))
def test_cubic_labels(old, new, seed):
    """In float64: vectors by the kernel, all else and what is valid by OpenCV's nearest pixel, thin edges too."""
    toy = sample(*old, seed)
    out = FITS["cubic"].sample(toy, new, TOY)
    rows, columns = (
        [min(math.floor(i * (1 / (m / n))), n - 1) for i in range(m)] for n, m in zip(old, new, strict=True)
    )
    for name in ("semseg", "edges", "depth"):
        assert torch.equal(out[name], toy[name][rows][:, columns])
    valid = (toy["normals"] != 0).any(0)[rows][:, columns]
    across, down = cubic_matrix(old[1], new[1]), cubic_matrix(old[0], new[0])
    exact = down @ toy["normals"].double() @ across.mT
    length = exact.norm(dim=0)
    error = ((out["normals"] - exact / length.clamp_min(1e-9)).norm(dim=0) * length)[valid & (length > 1e-3)]
    assert error.numel() == 0 or error.max() < 1e-5
    assert not out["normals"][:, ~valid].any()
    assert unit_or_zero(out["normals"])


def test_cubic_samples_move_their_camera():
    toy = {**sample(10, 20), "intrinsics": torch.tensor([[8.0, 0, 10], [0, 9, 5], [0, 0, 1]])}
    toy["frames"] = torch.stack([toy["image"], toy["image"].flip(-1)])
    toy["frame_depth"] = torch.stack([toy["depth"], toy["depth"].flip(-1)])
    out = FITS["cubic"].sample(toy, (15, 10), TOY)
    assert torch.allclose(out["intrinsics"], torch.tensor([[4.0, 0, 5], [0, 13.5, 7.5], [0, 0, 1]]))
    assert torch.equal(out["frames"][0], out["image"])
    assert torch.equal(out["frame_depth"][0], out["depth"])


def test_predictions_are_cut_only_where_images_were_padded():
    maps = torch.randn(1, 3, 8, 9)
    for name, fit in FITS.items():
        expected = maps[..., 1:6, 1:8] if name == "pad" else maps
        assert torch.equal(fit.prediction(maps, (5, 7)), expected)
    ids = torch.randint(0, 9, (1, 8, 9))
    assert torch.equal(FITS["pad"].prediction(ids, (8, 9)), ids)


def test_kept_samples_have_the_size_already():
    toy = sample(5, 7)
    assert same(FITS["keep"].sample({**toy, "more": toy["depth"]}, (5, 7), TOY), toy)
    assert FITS["keep"].image(toy["image"], (3, 3)) is toy["image"]
    with pytest.raises(DataError, match=r"data\.size: a sample of 5×7 where 5×8 is trained\. Give data\.size"):
        FITS["keep"].sample(toy, (5, 8), TOY)


def test_larger_pictures_are_refused():
    for make in (lambda: pad_image(sample(5, 7)["image"], (4, 9)), lambda: pad_sample(sample(5, 7), (9, 6), TOY)):
        with pytest.raises(DataError, match=r"data\.size: a picture of 5×7 on a canvas of .*Padding only enlarges"):
            make()


def test_a_batch_of_padded_samples():
    images, targets = stack([pad_sample(sample(h, 9), (12, 12), TOY) for h in (5, 8)], TOY, normalise)
    assert images.shape == (2, 3, 12, 12)
    assert torch.equal(images[0, :, 3:8, 1:10], normalise(sample(5, 9)["image"]))
    assert {name: target.shape[-2:] for name, target in targets.items()} == dict.fromkeys(TOY, (12, 12))
    unnormalised = scaled(pad_image(sample(5, 9)["image"], (12, 12)))
    assert unnormalised[:, 0, 0].tolist() == pytest.approx([0.485, 0.456, 0.406])


# predictions


@given(sizes, sizes, st.integers(0, 99))
def test_cubic_predictions_follow_the_labels(native, network, seed):
    """Class ids come back by the floored pixel, as labels went in; what is not a class is left to the evaluation."""
    ids = torch.randint(0, 9, (2, *network), generator=torch.Generator().manual_seed(seed))
    out = FITS["cubic"].prediction(ids, native)
    assert out.dtype == ids.dtype
    assert torch.equal(out, resize_floored(ids, native))
    probabilities = torch.rand(2, 1, *network)
    assert FITS["cubic"].prediction(probabilities, native) is probabilities


def test_cubic_predictions_of_opencv():
    """cv2.resize with INTER_NEAREST, 512 columns to 500; pixels that hold the centres lie up to one further right."""
    columns = FITS["cubic"].prediction(torch.arange(512).expand(1, 2, 512), (1, 500))[0, 0]
    assert columns[:45].tolist() == [*range(42), 43, 44, 45]
    assert columns[[123, 124, 125, 126, 498, 499]].tolist() == [125, 126, 128, 129, 509, 510]
