"""Augmentations of native samples: published figures, the order of draws, and what must not change."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import RandomState
from toy_samples import TOY, same, sample, unit_or_zero

from mtlrepro.data.draws import Draws
from mtlrepro.data.sample import DatasetInfo, normalise, stack
from mtlrepro.data.transforms import distort as distort_module
from mtlrepro.data.transforms import rescale
from mtlrepro.data.transforms.affine import rotate_sample
from mtlrepro.data.transforms.augment import AUGMENTATIONS, make_views
from mtlrepro.data.transforms.basic import flip_sample
from mtlrepro.data.transforms.crop import Window
from mtlrepro.data.transforms.cut import cut_sample, draw_place
from mtlrepro.data.transforms.distort import distort
from mtlrepro.data.transforms.fit import FITS, cut_centre
from mtlrepro.data.transforms.rescale import rescale_sample, resize_floored, resize_linear
from mtlrepro.errors import DataError, SpecError
from mtlrepro.tasks import make_tasks

NATIVE = {name: augmentation for name, augmentation in AUGMENTATIONS.items() if augmentation.native}
SIX = DatasetInfo("six", ("semseg", "depth", "normals", "edges"), class_names=tuple("abcdef"))
TASKS = make_tasks(SIX.tasks, SIX)
SIZE = (16, 24)

keys = st.integers(0, 10**6)


class Python(Draws):
    """Numbers of Python's `random`, from which the public implementation draws."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def uniform(self):
        return self.random.random()

    def choice(self, values):
        return values[self.random.randint(0, len(values) - 1)]


def published():
    """The sample behind the figures, which were made by the public implementation."""
    r = RandomState(11)
    image = r.randint(0, 256, (24, 32, 3)).astype("uint8")
    semseg = r.randint(0, 6, (24, 32)).astype("uint8")
    depth = r.rand(24, 32) * 9 + 0.5
    depth[:2] = 0
    normals = r.randn(24, 32, 3)
    normals /= (normals**2).sum(-1, keepdims=True) ** 0.5
    normals[-3:] = 0
    edges = (r.rand(24, 32) < 0.1).astype("uint8")
    return {
        "image": torch.from_numpy(image).permute(2, 0, 1),
        "semseg": torch.from_numpy(semseg),
        "depth": torch.from_numpy(depth).float(),
        "normals": torch.from_numpy(normals).float().permute(2, 0, 1),
        "edges": torch.from_numpy(edges),
    }


SCALED = {
    0: ((42, 56), 5998.8722, 145540.94),
    1: ((16, 22), 2232.2733, 136077.14),
    2: ((46, 61), 6597.8825, 154682.34),
    5: ((34, 45), 4867.3213, 144409.41),
    7: ((23, 31), 3273.6094, 146986.60),
}
"""Seed -> size, sum of depth, and sum of the image after the cut, in fractions of a level."""

FINAL = {
    0: (144977, (63, 156, 105, 100, 194, 65), 229.1304, 964, 1130.6026, 55105.9599, 36),
    1: (84306, (79, 95, 89, 2, 76, 141), -634.2003, 9084, 21612.2733, 58156.5313, 8199),
    2: (129329, (69, 53, 94, 38, 65, 156), -43.6999, 1066, 965.5876, 91784.2930, 42),
    5: (135466, (125, 98, 134, 68, 125, 130), 63.4471, 1028, 1379.0452, -30.8092, 35),
    7: (152878, (47, 43, 164, 122, 118, 217), 365.2583, 1007, 1949.2869, -11.5322, 37),
}
"""Seed -> distorted image (sum, first pixels), and sums of image, semseg, depth, normals and edges at the end."""


@pytest.mark.parametrize("seed", SCALED)
def test_figures_of_the_public_implementation_while_scaling(seed):
    size, depth, image = SCALED[seed]
    toy, draws = published(), Python(seed)
    scale = 0.5 + 1.5 * draws.uniform()
    assert (int(24 * scale), int(32 * scale)) == size
    assert resize_floored(toy["depth"], size).div(scale).sum().item() == pytest.approx(depth, abs=2e-3)
    place = draw_place(size, SIZE, draws, resize_floored(toy["semseg"], size))
    cut = cut_sample({"image": resize_linear(toy["image"].float(), size)}, place, SIZE, {})["image"]
    assert cut.double().sum().item() == pytest.approx(image, abs=0.02)


@pytest.mark.parametrize("seed", FINAL)
def test_figures_of_the_public_implementation_at_the_end(seed, monkeypatch):
    """OpenCV rounds what it otherwise cuts off in rows of less than 32 pixels, as these are."""
    monkeypatch.setattr(distort_module, "_eight_bits", lambda levels: levels.round().to(torch.uint8))
    total, first, *sums = FINAL[seed]
    ((view, window),) = make_views(published(), AUGMENTATIONS["scale_flip_distort"], TASKS, Python(seed), size=SIZE)
    assert window == Window.whole(SIZE)
    height, width = (min(n, m) for n, m in zip(SCALED[seed][0], SIZE, strict=True))
    coloured = cut_centre(view["image"], (height, width)) * 255
    # One level where the sums of a bilinear interpolation end at a whole level.
    assert coloured.double().sum().item() == pytest.approx(total, abs=2.1)
    assert coloured.permute(1, 2, 0).flatten()[:6].tolist() == pytest.approx(first, abs=1e-3)
    image, targets = stack([view], TASKS, normalise)
    invalid = (targets["normals"] == 0).all(1, keepdim=True)
    ends = [
        image,
        targets["semseg"],
        torch.where(targets["depth"] == 0, 255.0, targets["depth"]),
        torch.where(invalid, 255.0, targets["normals"]),
        targets["edges"],
    ]
    for end, expected, error in zip(ends, sums, (0.04, 0, 1e-3, 1e-3, 0), strict=True):
        assert end.double().sum().item() == pytest.approx(expected, abs=error + 1e-4)
    assert image[0, :, : (SIZE[0] - height) // 2].eq(0).all()


def recorded(name, toy, draws, size):
    """The steps of each augmentation, one after the other."""
    if name == "flip_rotate":
        toy = flip_sample(toy, TOY) if draws.uniform() < 0.5 else toy
        toy = rotate_sample(toy, 40 * draws.uniform() - 20, 0.75 + 0.5 * draws.uniform(), TOY)
        return FITS["cubic"].sample(toy, size, TOY)
    if name == "flip_cut":
        top = draws.choice(range(toy["image"].shape[1] - size[0] + 1))
        toy = cut_sample(toy, (top, draws.choice(range(toy["image"].shape[2] - size[1] + 1))), size, TOY)
        return flip_sample(toy, TOY) if draws.uniform() < 0.5 else toy
    if name.startswith("scale_flip_distort"):
        toy = rescale_sample(toy, 0.5 + 1.5 * draws.uniform(), TOY)
        place = draw_place(toy["image"].shape[1:], size, draws, toy["semseg"])
        toy = cut_sample(toy, place, size, TOY)
        toy = flip_sample(toy, TOY) if draws.uniform() < 0.5 else toy
    fit = FITS["resize" if name.endswith("_small") else "pad"]
    return fit.sample({**toy, "image": distort(toy["image"], draws)}, size, TOY)


@pytest.mark.parametrize("name", NATIVE)
def test_steps_and_their_order(name):
    for key in range(30):
        toy, size = sample(11, 17, key), (14, 20) if name == "distort" else (8, 9)
        ((view, window),) = make_views(toy, AUGMENTATIONS[name], TOY, Draws("steps", key), size=size)
        assert window == Window.whole(size)
        expected = recorded(name, toy, Draws("steps", key), size)
        assert all(torch.allclose(view[field], expected[field], atol=1e-5) for field in ("image", *TOY))


@given(st.sampled_from(sorted(NATIVE)), st.tuples(st.integers(4, 24), st.integers(4, 24)), keys)
def test_views_have_the_size_of_the_network_and_valid_labels(name, native, key):
    size = {"distort": (24, 24), "flip_cut": (3, 4)}.get(name, (12, 18))
    toy = sample(*native, key % 50)
    before = {field: value.clone() for field, value in toy.items()}
    ((view, _),) = make_views({**toy, "unknown": torch.zeros(1)}, NATIVE[name], TOY, Draws("views", key), size=size)
    assert same(before, toy)
    assert set(view) == {"image", *TOY}
    assert {tuple(value.shape[-2:]) for value in view.values()} == {size}
    assert {field: view[field].dtype for field in TOY} == {field: toy[field].dtype for field in TOY}
    assert unit_or_zero(view["normals"])
    image = view["image"] if view["image"].dtype == torch.uint8 else view["image"] * 255
    assert 0 <= image.min() <= image.max() <= 255.01
    for field, task in TOY.items():
        task.collate(view[field])
        assert set(view[field].unique().tolist()) <= {0, 255, *toy[field].unique().tolist()} or field in (
            "depth",
            "normals",
        )


@given(st.sampled_from(sorted(NATIVE)), keys)
def test_hidden_labels_stay_hidden(name, key):
    """Not even the border that a rotation brings in becomes background."""
    toy = sample(11, 13, key % 50) | {field: task.unlabelled((11, 13)) for field, task in TOY.items()}
    size = (16, 16) if name == "distort" else (9, 9)
    ((view, _),) = make_views(toy, NATIVE[name], TOY, Draws("hidden", key), size=size)
    for field, task in TOY.items():
        assert torch.equal(view[field], task.unlabelled(size))


def test_images_of_an_augmentation_have_one_dtype():
    small = ("flip_cut", "scale_flip_distort_small", "distort_small")
    expected = dict.fromkeys(NATIVE, torch.float32) | dict.fromkeys(small, torch.uint8)
    for name, dtype in expected.items():
        toy = sample(10, 9) if name == "flip_cut" else sample(9, 9)
        seen = {
            make_views(toy, NATIVE[name], TOY, Draws("dtype", key), size=(9, 9))[0][0]["image"].dtype
            for key in range(8)
        }
        assert seen == {dtype}


def test_cuts_are_chosen_by_classes_whether_or_not_they_are_a_task():
    """A rare class in a corner: more cuts show a quarter of it where the classes are known."""
    toy = sample(32, 32)
    toy["semseg"] = torch.zeros(32, 32, dtype=torch.uint8)
    toy["semseg"][:12, :12] = 1
    toy["depth"] = 1.0 + toy["semseg"]
    depth = {"depth": TOY["depth"]}
    shown = {}
    for known in (True, False):
        told = toy if known else {"image": toy["image"], "depth": toy["depth"]}
        views = [
            make_views(told, NATIVE["scale_flip_distort"], depth, Draws("classes", key), size=(16, 16))[0][0]["depth"]
            for key in range(60)
        ]
        # Depth was divided by the scale, but stays twice as large where the class is 1.
        shares = [(v > 1.5 * v[v > 0].min()).sum() / (v > 0).sum() for v in views]
        shown[known] = sum(0.25 < share < 0.75 for share in shares)
    assert shown[True] > shown[False] + 12


def test_native_augmentations_make_one_view():
    for name in NATIVE:
        expected = (
            "data.augment: .* of native samples makes one view of a sample, 2 are asked for. Use one of: none, flip"
        )
        with pytest.raises(SpecError, match=expected):
            make_views(sample(9, 9), AUGMENTATIONS[name], TOY, Draws(0), 2)


def test_samples_that_do_not_fit_are_refused():
    toy = sample(9, 12)
    with pytest.raises(DataError, match=r"data.size: a picture of 9×12 on a canvas of 9×11\. Padding only enlarges"):
        make_views(toy, AUGMENTATIONS["distort"], TOY, Draws(0), size=(9, 11))
    with pytest.raises(DataError, match=r"data.size: a sample of 9×12 where 10×12 is trained"):
        make_views(toy, AUGMENTATIONS["flip_cut"], TOY, Draws(0), size=(10, 12))


def test_cuts_of_samples_that_have_the_size_already_are_refused():
    """They would be no cuts: the reader has squeezed whole pictures to the size of the cut."""
    mend = r"Give options size = \[512, 1024\], what pictures are resized to before the cut"
    for size in ((9, 12), None):
        with pytest.raises(SpecError, match=rf"data\.options: samples have the network's size, 9×12, .*{mend}"):
            make_views(sample(9, 12), AUGMENTATIONS["flip_cut"], TOY, Draws(0), size=size)
    ((view, _),) = make_views(sample(9, 13), AUGMENTATIONS["flip_cut"], TOY, Draws(0), size=(9, 12))
    assert view["image"].shape == (3, 9, 12)


def test_class_ids_are_rescaled_once(monkeypatch):
    resized = []
    monkeypatch.setattr(
        rescale, "resize_floored", lambda maps, size: resized.append(maps) or resize_floored(maps, size)
    )
    for tasks, labels in ((TOY, 4), ({"depth": TOY["depth"]}, 2)):
        resized.clear()
        make_views(sample(9, 12), NATIVE["scale_flip_distort"], tasks, Draws(0), size=(24, 24))
        assert len(resized) == labels


def test_without_a_size_samples_keep_theirs():
    for name in set(NATIVE) - {"flip_cut"}:
        ((view, window),) = make_views(sample(9, 12), AUGMENTATIONS[name], TOY, Draws(0))
        assert window == Window.whole((9, 12))
        assert view["image"].shape == (3, 9, 12)
