"""What boundary figures on PASCAL-Context are judged by: the contour of the 459 classes, not the training label."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat, savemat

from mtlrepro.cli import main
from mtlrepro.data import build_dataset
from mtlrepro.data.disk.readers.pascal_context import PascalContext, segments_of
from mtlrepro.data.disk.synthesize import synthesize
from mtlrepro.metrics.boundary.thinning import thin
from mtlrepro.metrics.boundary.truth import contours
from mtlrepro.metrics.odsf import BoundaryNMS, BoundaryPNG
from mtlrepro.spec import DataSpec
from mtlrepro.tasks import make_tasks

SIZE = (60, 90)
both = pytest.mark.parametrize("make", [BoundaryPNG, BoundaryNMS])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pascal_boundaries")
    synthesize("pascal_context", folder, {"train": 1, "val": 3}, SIZE)
    return folder


@pytest.fixture(scope="module")
def val(root):
    return build_dataset(DataSpec("pascal_context", SIZE), "val", root)


def class_map(val, name):
    """As stored, read another way."""
    return loadmat(val.root / f"pascal-context/trainval/{name}.mat")["LabelMap"]


def soft(val, name, seed):
    """A prediction as stored: blurred lines near the true ones, and clutter."""
    lines = thin(contours(class_map(val, name)))
    g = np.random.Generator(np.random.PCG64(seed))
    beside = np.roll(lines, (1, 0), (0, 1)) * 0.5
    kept = lines * (g.random(lines.shape) < 0.8)
    return np.floor(255 * np.clip(np.maximum(kept * 0.8, beside) + 0.2 * g.random(lines.shape), 0, 1)).astype(np.uint8)


def judged(metric, val, maps):
    """A metric over the split, judged by what the samples carry for it."""
    for i, name in enumerate(val.ids):
        probability = torch.from_numpy(maps[name] / 255)[None, None]
        metric.update(probability, val[i][metric.own_label][None, None])
    return metric.compute()


def test_segments_are_the_map_of_459_classes(val):
    for i, name in enumerate(val.ids):
        sample = val[i]
        assert sample["segments"].dtype == torch.int32
        assert sample["segments"].shape == sample["image"].shape[-2:]
        assert np.array_equal(contours(sample["segments"].numpy()), contours(class_map(val, name)))


def test_class_255_is_a_segment_like_any_other():
    classes = np.arange(460, dtype=np.uint16).reshape(20, 23)
    segments = segments_of(classes)
    assert len(np.unique(segments)) == 460
    assert 255 not in segments
    assert np.array_equal(segments[classes < 255], classes[classes < 255])


def test_class_255_counts_in_a_sample(root, tmp_path):
    shutil.copytree(root / "PASCAL_MT", tmp_path / "PASCAL_MT")
    copy = build_dataset(DataSpec("pascal_context", SIZE), "val", tmp_path)
    classes = np.full(SIZE, 254, np.uint16)
    classes[10:30, 20:50] = 255
    savemat(copy.root / f"pascal-context/trainval/{copy.ids[0]}.mat", {"LabelMap": classes})
    metric = BoundaryPNG(mode="exact")
    line = thin(contours(classes)).astype(np.float32)
    metric.update(torch.from_numpy(line)[None, None], copy[0]["segments"][None, None])
    assert metric.state["pooled"][1, 0] == line.sum() > 90
    assert metric.compute()["odsf"] == 1.0


def test_the_boundary_of_the_classes_is_a_perfect_prediction(val):
    own = {name: 255 * thin(contours(class_map(val, name))).astype(np.uint8) for name in val.ids}
    assert judged(BoundaryPNG(1e-4, mode="exact"), val, own)["odsf"] == 1.0  # the tolerance is below a pixel


def test_the_training_label_is_another_line(val):
    """Within a pixel, so the tolerance forgives most of it; without tolerance it is off by half."""
    trained = {name: 255 * val[i]["edges"].numpy() for i, name in enumerate(val.ids)}
    assert judged(BoundaryPNG(1e-4, mode="exact"), val, trained)["odsf"] < 0.8
    assert 0.9 < judged(BoundaryPNG(0.02, mode="exact"), val, trained)["odsf"] < 1.0


@both
def test_figures_are_those_of_the_command(make, val, tmp_path, capsys):
    maps = {name: soft(val, name, seed) for seed, name in enumerate(val.ids)}
    for name, stored in maps.items():
        Image.fromarray(stored).save(tmp_path / f"{name}.png")
    truth = str(val.root / "pascal-context/trainval/{id}.mat")
    names = tmp_path / "val.txt"
    names.write_text("\n".join(val.ids))
    chosen = ["--ids", str(names), "--protocol", make.protocol, "--out", str(tmp_path / "out"), "--workers", "1"]
    assert main(["eval", "edges", "--pred", str(tmp_path), "--gt", truth, *chosen]) == 0
    capsys.readouterr()
    told = json.loads((tmp_path / "out/edges.json").read_text())["figures"][make.protocol]
    assert judged(make(), val, maps) == pytest.approx(told, abs=1e-12)
    assert 0.5 < told["odsf"] < 0.99


def test_the_task_asks_for_it(val):
    """Of the figures of edges, the boundary figures alone are judged by segments."""
    (edges,) = make_tasks(["edges"], val.info).values()
    asked = {metric.protocol for metric in edges.metrics() if getattr(metric, "own_label", "")}
    assert asked == {"odsf/nms@1", "odsf/png@1"}


def test_the_training_label_stays(root, val):
    for dataset in (val, build_dataset(DataSpec("pascal_context", SIZE), "train", root)):
        assert dataset[0]["edges"].unique().tolist() == [0, 1]
        assert dataset[0]["edges"].dtype == torch.uint8


def test_a_report_says_that_all_images_count():
    said = PascalContext.remark(with_people=False)
    assert said == PascalContext.remark()
    assert said.startswith("boundaries=all val images")
    assert "2498 of the 5105" in said
    assert PascalContext.remark(with_people=True) == ""  # not all of them
