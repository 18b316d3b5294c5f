import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import RandomState
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassJaccardIndex

from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.segmentation import (
    ClassIoU,
    MeanIoU,
    MeanIoUForeground,
    MeanIoUPresent,
    MeanIoUStrict,
    class_iou,
    confusion_matrix,
    mean_iou,
)

RULES = {"zero": MeanIoU, "skip": MeanIoUPresent, "nan": MeanIoUStrict, "foreground": MeanIoUForeground}
rules = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def generator(seed, classes, top):
    """Conformance generator G: class `classes - 1` never occurs in the labels."""
    rs = RandomState(seed)
    gt, rnd = rs.randint(0, classes - 1, (2, 12, 16)), rs.randint(0, top, (2, 12, 16))
    keep, ign = rs.rand(2, 12, 16) < 0.6, rs.rand(2, 12, 16) < 0.15
    pred = np.where(keep, gt, rnd)
    return torch.from_numpy(pred), torch.from_numpy(np.where(ign, 255, gt))


def noisy(seed, classes=5, shape=(3, 9, 7), ignored=0.3):
    g = torch.Generator().manual_seed(seed)
    pred, gt = torch.randint(0, classes, (2, *shape), generator=g)
    gt[torch.rand(gt.shape, generator=g) < ignored] = 255
    return pred, gt


def figures(metric, *batches):
    for pred, gt in batches:
        metric.update(torch.as_tensor(pred), torch.as_tensor(gt))
    return metric.compute()


def same(a, b, rel=1e-12):
    assert a == pytest.approx(b, rel=rel, nan_ok=True)


S1_IOU = [0.54838710, 0.55405405, 0.51219512, 0.58461538, 0.62365591, 0]
S2_IOU = [0.49367089, 0.60273973, 0.59375000, 0.55555556, 0.57333333, math.nan]


@pytest.mark.parametrize(
    ("seed", "top", "valid", "total", "iou", "zero", "skip", "strict", "pixel", "mean"),
    [
        (1, 6, 329, 851, S1_IOU, 0.47048460, 0.47048460, 0.47048461, 0.69908815, 0.69735293),
        (2, 5, 323, 767, S2_IOU, 0.46984158, 0.56380990, math.nan, 0.72136223, 0.72444601),
    ],
    ids=["S1", "S2"],
)
def test_vectors_with_absent_classes(seed, top, valid, total, iou, zero, skip, strict, pixel, mean):
    pred, gt = generator(seed, 6, top)
    assert int((gt != 255).sum()) == valid
    assert int(pred.sum()) == total
    confusion = confusion_matrix(pred, gt, 6)
    assert int(confusion.sum()) == valid
    np.testing.assert_allclose(class_iou(confusion), iou, atol=1e-8)
    for rule, miou in (("zero", zero), ("skip", skip), ("nan", strict), ("foreground", np.nanmean(iou[1:]))):
        same(figures(RULES[rule](6), (pred, gt)), {"miou": miou, "pixel_acc": pixel, "mean_acc": mean}, rel=2e-7)


def test_vector_s3_single_class():
    zeros = torch.zeros(1, 4, 4, dtype=torch.int64)
    for rule, miou in (("zero", 1 / 3), ("skip", 1.0), ("nan", math.nan), ("foreground", math.nan)):
        same(figures(RULES[rule](3), (zeros, zeros)), {"miou": miou, "pixel_acc": 1.0, "mean_acc": 1.0})


@rules
def test_vector_s4_all_ignored_is_nan(rule):
    zeros = torch.zeros(1, 4, 4, dtype=torch.int64)
    got = figures(rule(3), (zeros, torch.full_like(zeros, 255)))
    assert list(got) == ["miou", "pixel_acc", "mean_acc"]
    assert all(math.isnan(v) for v in got.values())


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
    same(metric.compute(), {"miou": 0.37268559, "pixel_acc": 178 / 325, "mean_acc": 0.54501984}, rel=1e-7)
    first = class_iou(metric.state["confusion"])[:5]
    np.testing.assert_allclose(first, [0.545455, 0.357143, 0.5, 0.454545, 0.2], atol=5e-7)


def test_vector_m1b():
    batch = torch.tensor([[[0, 1, 1, 3]]]), torch.tensor([[[0, 0, 1, 255]]])
    assert figures(MeanIoU(40), batch)["miou"] == pytest.approx(0.025)
    assert figures(MeanIoUPresent(40), batch)["miou"] == pytest.approx(0.5)


def test_vector_of_jtr():
    pred, gt = RandomState(17).randint(0, 3, (2, 5, 7)), RandomState(18).randint(-1, 3, (2, 5, 7))
    metric = MeanIoUStrict(3)
    got = figures(metric, (pred, np.where(gt < 0, 255, gt)))
    assert metric.state["confusion"].tolist() == [[6, 11, 4], [8, 3, 9], [6, 7, 5]]
    assert (got["miou"], got["pixel_acc"]) == pytest.approx((0.13722208, 0.23728813), rel=1e-7)


def test_vector_of_dense_mtl():
    rs = RandomState(2)
    logits, _, label = rs.randn(2, 4, 8, 12), rs.randn(2, 4, 4, 6), rs.randint(0, 5, (2, 8, 12))
    batch = logits.argmax(1), np.where(label == 4, 255, label)
    assert int((batch[1] != 255).sum()) == 157
    got = figures(MeanIoUPresent(4), batch)
    assert (got["miou"], got["pixel_acc"]) == pytest.approx((0.1508216, 0.2611465), rel=1e-6)
    got = figures(ClassIoU(["a", "b", "c", "d"]), batch)
    assert list(got.values()) == pytest.approx([0.1666667, 0.1267606, 0.1408451, 0.1690141], rel=1e-6)


def test_vector_of_mt_cp():
    rs = RandomState(30)
    metric = MeanIoU(40)
    for _ in range(2):
        shape = (2, 30, 40)
        gt, keep, noise = rs.randint(0, 40, shape), rs.rand(*shape) < 0.6, rs.randint(0, 40, shape)
        metric.update(
            torch.from_numpy(np.where(keep, gt, noise)), torch.from_numpy(np.where(rs.rand(*shape) < 0.1, 255, gt))
        )
    assert metric.compute()["miou"] == pytest.approx(0.439061, abs=5e-7)
    np.testing.assert_allclose(class_iou(metric.state["confusion"])[:3], [0.510791, 0.463087, 0.42], atol=5e-7)


@pytest.mark.parametrize("seed", range(5))
def test_against_torchmetrics(seed):
    pred, gt = noisy(seed)
    confusion = MulticlassConfusionMatrix(7, ignore_index=255)(pred, gt)
    assert torch.equal(confusion_matrix(pred, gt, 7), confusion)
    got = figures(MeanIoUPresent(7), (pred, gt))
    jaccard = MulticlassJaccardIndex(7, average="macro", ignore_index=255)(pred, gt)
    assert got["miou"] == pytest.approx(float(jaccard), rel=1e-6)
    each = MulticlassJaccardIndex(5, average=None, ignore_index=255)(pred, gt)
    assert list(figures(ClassIoU("abcde"), (pred, gt)).values()) == pytest.approx(each.tolist(), rel=1e-6)
    pixel = MulticlassAccuracy(7, average="micro", ignore_index=255)(pred, gt)
    assert got["pixel_acc"] == pytest.approx(float(pixel), rel=1e-6)
    # all of five classes occur in the labels, so its average is over the same ones
    mean = MulticlassAccuracy(5, average="macro", ignore_index=255)(pred, gt)
    assert got["mean_acc"] == pytest.approx(float(mean), rel=1e-6)


@rules
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 9))
def test_against_brute_force(rule, seed, classes):
    pred, gt = noisy(seed, shape=(2, 3, 4))
    pred, gt = pred.clamp(max=classes - 1), torch.where(gt == 255, 255, gt.clamp(max=classes - 1))
    pairs = [(p, g) for p, g in zip(pred.flatten().tolist(), gt.flatten().tolist(), strict=True) if g != 255]
    ious = []
    for c in range(classes):
        union = sum(c in pair for pair in pairs)
        ious.append(pairs.count((c, c)) / union if union else math.nan)
    counted = ious[1:] if rule is MeanIoUForeground else ious
    present = [v for v in counted if not math.isnan(v)]
    want = {
        MeanIoU: sum(present) / classes,
        MeanIoUPresent: sum(present) / max(len(present), 1),
        MeanIoUStrict: sum(counted) / classes,
        MeanIoUForeground: sum(present) / len(present) if present else math.nan,
    }[rule]
    got = figures(rule(classes), (pred, gt))
    assert got["miou"] == pytest.approx(want, nan_ok=True)
    same(figures(ClassIoU([f"c{k}" for k in range(classes)]), (pred, gt)), {f"iou_c{k}": v for k, v in enumerate(ious)})


@rules
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_invariants(rule, seed):
    pred, gt = noisy(seed)
    want = figures(rule(6), (pred, gt))
    assert 0 <= want["pixel_acc"] <= 1
    assert math.isnan(want["miou"]) or 0 <= want["miou"] <= 1
    other = torch.where(gt == 255, 5 - pred, pred)  # ignored pixels
    same(figures(rule(6), (other, gt)), want)
    same(figures(rule(6), (torch.where(gt == 255, 1000, pred), gt)), want)
    same(figures(rule(6), (pred.flip(-1), gt.flip(-1))), want)
    same(figures(rule(6), (pred[2:], gt[2:]), (pred[:2], gt[:2])), want)
    same(figures(rule(6).merge(rule(6)), (pred[[2, 0, 1]], gt[[2, 0, 1]])), want)


def test_background_costs_the_other_class_but_is_not_in_the_mean():
    gt = torch.tensor([[[0, 0, 0, 0, 1, 1]]])
    perfect, missed, invented = gt.clone(), gt.clone(), gt.clone()
    missed[..., -1], invented[..., 0] = 0, 1
    for pred, miou in ((perfect, 1.0), (missed, 1 / 2), (invented, 2 / 3)):
        got = figures(MeanIoUForeground(3), (pred, gt))
        assert got["miou"] == pytest.approx(miou)
        assert got["pixel_acc"] == float((pred == gt).double().mean())
    with pytest.raises(SpecError, match=r"miou/foreground@1: 1 classes. Name 2 or more"):
        MeanIoUForeground(1)


def test_class_iou_names_its_figures():
    metric = ClassIoU(["Road", "traffic light", " Sky "])
    assert metric.better == {"iou_road": "higher", "iou_traffic_light": "higher", "iou_sky": "higher"}
    assert ClassIoU.better == {"iou": "higher"}
    assert all(math.isnan(v) for v in metric.compute().values())
    got = figures(metric, (torch.tensor([[[0, 0, 1]]]), torch.tensor([[[0, 1, 1]]])))
    same(got, {"iou_road": 0.5, "iou_traffic_light": 0.5, "iou_sky": math.nan})


@pytest.mark.parametrize("names", [["a", "A"], ["a b", "a_b"], ["a", ""], ["st. pole"], []], ids=str)
def test_class_names_that_cannot_name_figures(names):
    with pytest.raises(SpecError, match="iou/class@1"):
        ClassIoU(names)


def test_class_iou_merges_only_with_the_same_names():
    pred, gt = noisy(0)
    parts = ClassIoU("abcde"), ClassIoU("abcde")
    got = figures(parts[0], (pred[:1], gt[:1])), figures(parts[1], (pred[1:], gt[1:]))
    assert got[0] != got[1]
    same(parts[0].merge(parts[1]).compute(), figures(ClassIoU("abcde"), (pred, gt)))
    with pytest.raises(SpecError, match="other classes"):
        ClassIoU("abcde").merge(ClassIoU("abced"))
    with pytest.raises(SpecError, match="cannot merge miou/dataset@1 into iou/class@1"):
        ClassIoU("abcde").merge(MeanIoU(5))


@pytest.mark.parametrize("a", RULES.values(), ids=RULES)
@pytest.mark.parametrize("b", RULES.values(), ids=RULES)
def test_protocols_do_not_mix(a, b):
    if a is not b:
        with pytest.raises(SpecError, match=f"cannot merge {b.protocol} into {a.protocol}"):
            a(3).merge(b(3))


def test_uint8_and_int32_ids_count_alike():
    pred, gt = generator(1, 6, 6)
    want = confusion_matrix(pred, gt, 6)
    assert torch.equal(confusion_matrix(pred.int(), gt.byte(), 6), want)
    # class ids above 11 would overflow uint8 arithmetic
    big = torch.full((1, 2, 2), 250, dtype=torch.uint8)
    assert int(confusion_matrix(big, big, 251)[250, 250]) == 4


@pytest.mark.parametrize("bad", [-1, 6, 250, 254, 256])
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
    with pytest.raises(SpecError, match="'zero', 'skip' or 'nan'"):
        mean_iou(torch.eye(2).long(), "mean")
    with pytest.raises(SpecError, match="parts: prediction holds"):
        confusion_matrix(torch.full_like(pred, 6), gt, 6, "parts")
