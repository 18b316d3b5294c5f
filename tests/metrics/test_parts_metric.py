import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.parts import CLASSES, Parts, shows_parts
from mtlrepro.metrics.segmentation import MeanIoU, class_iou


def figures(metric, *batches):
    for pred, gt in batches:
        metric.update(torch.as_tensor(pred), torch.as_tensor(gt))
    return metric.compute()


def sample(seed, images=4):
    """Labels of which every other image shows no part, the last only ignored pixels."""
    rs = RandomState(seed)
    pred, gt = rs.randint(0, 7, (images, 6, 5)), rs.randint(0, 7, (images, 6, 5))
    gt[1::2] = 0
    gt[rs.rand(*gt.shape) < 0.2] = 255
    gt[-1] = 255
    return torch.from_numpy(pred), torch.from_numpy(gt)


def p1():
    rs = RandomState(3)
    gt = rs.randint(0, 7, (3, 8, 8))
    gt[1] = 0
    pred = np.where(rs.rand(3, 8, 8) < 0.7, gt, rs.randint(0, 7, (3, 8, 8)))
    return pred, gt


P1_IGNORED = [0.580645, 0.454545, 0.666667, 0.590909, 0.548387, 0.470588, 0.588235]
P1_COUNTED = [0.715789, 0.416667, 0.615385, 0.590909, 0.515152, 0.380952, 0.476190]


@pytest.mark.parametrize(
    ("make", "miou", "iou"),
    [(Parts, 0.55713957, P1_IGNORED), (lambda: MeanIoU(CLASSES), 0.53014917, P1_COUNTED)],
    ids=["ignored", "counted"],
)
def test_vector_p1(make, miou, iou):
    metric = make()
    assert figures(metric, p1())["miou"] == pytest.approx(miou, rel=1e-7)
    np.testing.assert_allclose(class_iou(metric.state["confusion"]), iou, atol=5e-7)


def test_vector_m2():
    rs = RandomState(104)
    metric = Parts()
    for image in range(4):
        gt, pred = rs.randint(0, 7, (8, 9)), rs.randint(0, 7, (8, 9))
        if image == 2:
            gt[:] = 0
        if image == 3:
            gt[rs.rand(8, 9) < 0.3] = 255
        metric.update(torch.from_numpy(pred)[None], torch.from_numpy(gt)[None])
    assert metric.compute()["miou"] == pytest.approx(0.08227099, rel=1e-6)
    want = [0.094340, 0.032258, 0.05, 0.155556, 0.017241, 0.090909, 0.135593]
    np.testing.assert_allclose(class_iou(metric.state["confusion"]), want, atol=5e-7)


def test_vector_of_mt_cp():
    rs = RandomState(34)
    metric = Parts()
    for batch in range(2):
        shape = (2, 20, 20)
        gt, keep, noise = rs.randint(0, 7, shape), rs.rand(*shape) < 0.7, rs.randint(0, 7, shape)
        pred = np.where(keep, gt, noise)
        if batch == 1:
            gt[1] = 255
        metric.update(torch.from_numpy(pred), torch.from_numpy(gt))
    assert metric.compute()["miou"] == pytest.approx(0.605252, abs=5e-7)
    want = [0.6, 0.598174, 0.596413, 0.573034, 0.624413, 0.648241, 0.596491]
    np.testing.assert_allclose(class_iou(metric.state["confusion"]), want, atol=5e-7)


def test_against_torchmetrics_on_the_images_with_parts():
    pred, gt = sample(0)
    got = figures(Parts(), (pred, gt))
    shown = pred[::2], gt[::2]
    iou = MulticlassJaccardIndex(7, average="macro", ignore_index=255)(*shown)
    pixel = MulticlassAccuracy(7, average="micro", ignore_index=255)(*shown)
    mean = MulticlassAccuracy(7, average="macro", ignore_index=255)(*shown)
    want = {"miou": float(iou), "pixel_acc": float(pixel), "mean_acc": float(mean)}
    assert got == pytest.approx(want, rel=1e-6)


def test_an_absent_class_counts_zero():
    gt = torch.tensor([[[0, 1, 1, 255]]])
    assert figures(Parts(), (gt.clamp(max=1), gt))["miou"] == pytest.approx(2 / 7)
    assert figures(Parts(4), (gt.clamp(max=1), gt))["miou"] == pytest.approx(2 / 4)


def test_which_images_show_parts():
    gt = torch.tensor([[0, 0, 0], [255, 255, 255], [0, 255, 0], [0, 6, 255], [1, 1, 1]]).view(5, 1, 3)
    assert shows_parts(gt).tolist() == [False, False, False, True, True]
    assert shows_parts(gt.byte()).tolist() == [False, False, False, True, True]


def test_an_image_without_parts_is_ignored_whatever_is_predicted():
    pred, gt = sample(1)
    want = figures(Parts(), (pred, gt))
    for anything in (0, 6, 1000):
        other = pred.clone()
        other[1::2] = anything
        assert figures(Parts(), (other, gt)) == want
    metric = Parts()
    assert all(math.isnan(v) for v in figures(metric, (pred[1::2], gt[1::2])).values())
    assert figures(metric, (pred[::2], gt[::2])) == want


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)), cut=st.integers(0, 4))
def test_invariants(seed, order, cut):
    pred, gt = sample(seed)
    want = figures(Parts(), (pred, gt))
    assert all(0 <= v <= 1 for v in want.values())
    assert figures(Parts(), (torch.where(gt == 255, 99, pred), gt)) == want
    assert figures(Parts(), (pred.flip(-2), gt.flip(-2))) == want
    one, two = Parts(), Parts()
    one.update(pred[order[:cut]], gt[order[:cut]])
    two.update(pred[order[cut:]], gt[order[cut:]])
    assert one.merge(two).compute() == want
    assert figures(Parts(), (pred.int(), gt.byte())) == want


def test_bad_input():
    pred, gt = sample(2)
    with pytest.raises(SpecError, match=r"parts: prediction \(3, 6, 5\)"):
        Parts().update(pred[:3], gt)
    with pytest.raises(SpecError, match=r"parts: .*\(B, H, W\)"):
        Parts().update(pred[0], gt[0])
    with pytest.raises(SpecError, match="parts: prediction is"):
        Parts().update(pred.float(), gt)
    with pytest.raises(SpecError, match="parts: prediction holds class id 7 of 7"):
        Parts().update(torch.full_like(pred, 7), gt)
    gt[1, 0, 0] = -1  # in an image that shows no part otherwise
    with pytest.raises(DataError, match="parts: label holds class id -1 of 7"):
        Parts().update(pred, gt)
    with pytest.raises(SpecError, match="cannot merge miou/dataset@1 into parts/dataset@1"):
        Parts().merge(MeanIoU(7))
