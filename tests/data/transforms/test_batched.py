"""Views of several samples at once, without their colours, against those of one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_samples import TOY, sample

from mtlrepro.data.draws import Draws
from mtlrepro.data.transforms.augment import Augmentation, draw_changes, make_views
from mtlrepro.data.transforms.batched import fits_together, views_together

sizes = st.tuples(st.integers(2, 40), st.integers(2, 40))


def facing(h, w, seed):
    """A sample whose vectors do not cancel each other out: what is left of opposite ones has few digits."""
    made = sample(h, w, seed)
    normals = made["normals"]
    normals[2] = torch.where((normals != 0).any(0), normals[2].abs() + 0.5, 0.0)
    return {**made, "normals": torch.nn.functional.normalize(normals, dim=0)}


@given(
    st.sampled_from([{"crop": True}, {"flip": True, "crop": True}, {"zoom": True}, {"flip": True, "zoom": True}]),
    sizes,
    st.integers(0, 999),
    st.integers(1, 6),
    st.booleans(),
)
def test_views_are_those_of_each_sample(kind, size, key, number, floating):
    """Images and vectors of crops within 1e-5, ten times what sums of four products lose; all else exactly."""
    augmentation, count = Augmentation(**kind), 1 if "zoom" in kind else 3
    samples = [facing(*size, key + k) for k in range(number)]
    if floating:
        samples = [{**one, "image": one["image"] / 255} for one in samples]
    alone = [
        make_views(one, augmentation, TOY, Draws(key, k), count, aligned=k % 2 == 1) for k, one in enumerate(samples)
    ]
    changes = [draw_changes(augmentation, size, Draws(key, k), count, aligned=k % 2 == 1) for k in range(number)]
    views = views_together(samples, augmentation, TOY, changes)
    assert len(views) == count
    for k, view in enumerate(views):
        assert view.keys() == {"image", *TOY}
        for name, found in view.items():
            want = torch.stack([of_sample[k][0][name] for of_sample in alone])
            assert found.dtype == want.dtype
            if augmentation.crop and name in ("image", "normals"):
                torch.testing.assert_close(found, want, rtol=0, atol=1e-5)
                assert torch.equal(found == 0, want == 0) or name == "image"  # invalid vectors
            else:
                assert torch.equal(found, want), name
        if k:
            assert [change[k].window for change in changes] == [of_sample[k][1] for of_sample in alone]


@pytest.mark.parametrize("size", [(288, 384), (128, 256), (256, 256)])
def test_crops_read_where_torch_reads_at_the_papers_sizes(size):
    """A ramp shows where a pixel was read: at 384 columns the source is off by 1e-5 of a pixel where it is rounded
    otherwise, and what is rounded to another pixel is off by 1."""
    ramp = torch.arange(size[1]).expand(size) / size[1], torch.arange(size[0])[:, None].expand(size) / size[0]
    made = {"image": torch.stack([*ramp, ramp[0]]), **dict.fromkeys(TOY, torch.zeros(size, dtype=torch.uint8))}
    made["normals"] = torch.zeros(3, *size)
    made["depth"] = ramp[0] + ramp[1] * size[1]
    changes = [draw_changes(Augmentation(flip=True, crop=True), size, Draws("ramp", k), 1, False) for k in range(9)]
    (view,) = views_together([made] * 9, Augmentation(flip=True, crop=True), TOY, changes)
    for k in range(9):
        ((want, _),) = make_views(made, Augmentation(flip=True, crop=True), TOY, Draws("ramp", k))
        torch.testing.assert_close(view["image"][k], want["image"], rtol=0, atol=5e-7)
        assert torch.equal(view["depth"][k], want["depth"])


def test_samples_with_a_camera_or_with_images_of_two_kinds_do_not_fit_together():
    one, two = sample(4, 6, 1), sample(4, 6, 2)
    assert fits_together([one, two])
    assert not fits_together([one, {**two, "intrinsics": torch.eye(3)}])
    assert not fits_together([one, {**two, "image": two["image"] / 255}])
