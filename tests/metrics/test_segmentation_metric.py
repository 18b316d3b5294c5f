import math

import numpy as np
import pytest
import torch
from numpy.random import RandomState
from torchmetrics.classification import MulticlassConfusionMatrix, MulticlassJaccardIndex

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.segmentation import MeanIoU, MeanIoUPresent, class_iou, confusion_matrix, mean_iou


def generator(seed, classes, top):
    """Conformance generator G: class `classes - 1` never occurs in the labels."""
    rs = RandomState(seed)
    gt, rnd = rs.randint(0, classes - 1, (2, 12, 16)), rs.randint(0, top, (2, 12, 16))
    keep, ign = rs.rand(2, 12, 16) < 0.6, rs.rand(2, 12, 16) < 0.15
    pred = np.where(keep, gt, rnd)
    return torch.from_numpy(pred), torch.from_numpy(np.where(ign, 255, gt))


def figures(pred, gt, classes):
    out = {}
    for metric in (MeanIoU(classes), MeanIoUPresent(classes)):
        metric.update(pred, gt)
        out |= metric.compute()
    return out


S1_IOU = [0.54838710, 0.55405405, 0.51219512, 0.58461538, 0.62365591, 0]
S2_IOU = [0.49367089, 0.60273973, 0.59375000, 0.55555556, 0.57333333, math.nan]


@pytest.mark.parametrize(
    ("seed", "top", "valid", "total", "iou", "zero", "skip", "pixel", "mean"),
    [
        (1, 6, 329, 851, S1_IOU, 0.47048460, 0.47048460, 0.69908815, 0.69735293),
        (2, 5, 323, 767, S2_IOU, 0.46984158, 0.56380990, 0.72136223, 0.72444601),
    ],
    ids=["S1", "S2"],
)
def test_vectors_with_absent_classes(seed, top, valid, total, iou, zero, skip, pixel, mean):
    pred, gt = generator(seed, 6, top)
    assert int((gt != 255).sum()) == valid
    assert int(pred.sum()) == total
    confusion = confusion_matrix(pred, gt, 6)
    assert int(confusion.sum()) == valid
    np.testing.assert_allclose(class_iou(confusion), iou, atol=1e-8)
    want = {"miou": zero, "miou_present": skip, "pixel_acc": pixel, "mean_acc": mean}
    assert figures(pred, gt, 6) == pytest.approx(want, rel=2e-7)


def test_vector_s3_single_class():
    zeros = torch.zeros(1, 4, 4, dtype=torch.int64)
    want = {"miou": 1 / 3, "miou_present": 1.0, "pixel_acc": 1.0, "mean_acc": 1.0}
    assert figures(zeros, zeros, 3) == pytest.approx(want)


def test_vector_s4_all_ignored_is_nan():
    zeros = torch.zeros(1, 4, 4, dtype=torch.int64)
    assert all(math.isnan(v) for v in figures(zeros, torch.full_like(zeros, 255), 3).values())


def test_vector_m1():
    rs = RandomState(101)
    metric = MeanIoU(40)
    for _ in range(3):
        gt = rs.randint(0, 40, (10, 12))
        pred = gt.copy()
        changed = rs.rand(10, 12) < 0.4
        pred[changed] = rs.randint(0, 40, changed.sum())
        gt[rs.rand(10, 12) < 0.1] = 255
        metric.update(torch.from_numpy(pred)[None], torch.from_numpy(gt)[None])
    want = {"miou": 0.37268559, "pixel_acc": 178 / 325, "mean_acc": 0.54501984}
    assert metric.compute() == pytest.approx(want, rel=1e-7)
    first = class_iou(metric.state["confusion"])[:5]
    np.testing.assert_allclose(first, [0.545455, 0.357143, 0.5, 0.454545, 0.2], atol=5e-7)


def test_vector_m1b():
    got = figures(torch.tensor([[[0, 1, 1, 3]]]), torch.tensor([[[0, 0, 1, 255]]]), 40)
    assert (got["miou"], got["miou_present"]) == pytest.approx((0.025, 0.5))


@pytest.mark.parametrize("seed", range(5))
def test_against_torchmetrics(seed):
    g = torch.Generator().manual_seed(seed)
    pred, gt = torch.randint(0, 5, (3, 9, 7), generator=g), torch.randint(0, 5, (3, 9, 7), generator=g)
    gt[torch.rand(gt.shape, generator=g) < 0.3] = 255
    confusion = MulticlassConfusionMatrix(7, ignore_index=255)(pred, gt)
    assert torch.equal(confusion_matrix(pred, gt, 7), confusion)
    jaccard = MulticlassJaccardIndex(7, average="macro", ignore_index=255)(pred, gt)
    assert figures(pred, gt, 7)["miou_present"] == pytest.approx(float(jaccard), rel=1e-6)


def test_uint8_and_int32_ids_count_alike():
    pred, gt = generator(1, 6, 6)
    want = confusion_matrix(pred, gt, 6)
    assert torch.equal(confusion_matrix(pred.int(), gt.byte(), 6), want)
    # class ids above 11 would overflow uint8 arithmetic
    big = torch.full((1, 2, 2), 250, dtype=torch.uint8)
    assert int(confusion_matrix(big, big, 251)[250, 250]) == 4


@pytest.mark.parametrize("bad", [-1, 6, 254])
def test_label_out_of_range_names_the_id(bad):
    pred, gt = generator(1, 6, 6)
    gt[0, 0, 0] = bad
    with pytest.raises(DataError, match=rf"class id {bad} of 6"):
        confusion_matrix(pred, gt, 6)


def test_bad_predictions():
    pred, gt = generator(1, 6, 6)
    with pytest.raises(SpecError, match="class id 6"):
        confusion_matrix(torch.full_like(pred, 6), gt, 6)
    with pytest.raises(SpecError, match="not logits"):
        confusion_matrix(pred.float(), gt, 6)
    with pytest.raises(SpecError, match=r"\(2, 12, 15\).*\(2, 12, 16\)"):
        confusion_matrix(pred[..., :-1], gt, 6)
    with pytest.raises(SpecError, match="'zero' or 'skip'"):
        mean_iou(torch.eye(2).long(), "nan")
