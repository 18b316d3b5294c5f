import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from small_copies import DESCRIPTION, IDS, H, W, change, listed, npy, png, redraw, write

from mtlrepro.data import DATASETS, dataset_info
from mtlrepro.data.disk.checkup import checkup
from mtlrepro.data.disk.checkup.findings import Case, Split, judge
from mtlrepro.data.disk.checkup.rules import RULES
from mtlrepro.data.disk.checkup.statistics import Facts, Label, Statistics
from mtlrepro.data.disk.folder import Folder
from mtlrepro.data.disk.synthesize import WRITERS, synthesize

CORNER = np.indices((H, W)).sum(0)[..., None] < 4
MAPS = ("occlusion", "keypoints", "texture")


def column(width):
    return 255 * (np.indices((H, W))[1] % width == 0)


def copy(root, kind, source, target):
    shutil.copy(root / kind / f"{source}.png", root / kind / f"{target}.png")


def swap(root):
    (root / "own.toml").write_text(DESCRIPTION)
    listed(root, "train", IDS["val"])
    listed(root, "val", IDS["train"])


def never(root):
    """200 samples that lack the last class."""
    names = [f"t{i}" for i in range(200)]
    for name in names:
        png(root, "image", name, np.random.default_rng(hash(name) % 2**32).integers(0, 255, (8, 8, 3)))
        png(root, "semseg", name, np.arange(64).reshape(8, 8) % 3)
    listed(root, "train", names)
    kept = DESCRIPTION.partition("[tasks.depth]")[0].replace("train = 6", "train = 200")
    (root / "own.toml").write_text(kept)


def about(root):
    """6 samples where there should be about 7."""
    text = DESCRIPTION.replace("train = 6\n", "").replace("val = 3\n", "")
    (root / "own.toml").write_text(text.replace("[counts]", "[about]\ntrain = 7"))


def twin(root):
    copy(root, "image", "t0", "T0")


DAMAGE = {
    "depth_zeros": lambda root: change(root, "depth", lambda i, d: np.where(np.indices(d.shape)[1] < 17, 0, d)),
    "depth_far": lambda root: change(root, "depth", lambda i, d: d * 1000),
    "depth_near": lambda root: change(root, "depth", lambda i, d: d / 1000),
    "depth_mixed": lambda root: change(root, "depth", lambda i, d: d * 6 if i % 2 else d / 12),
    "depth_constant": lambda root: change(root, "depth", lambda i, d: np.full_like(d, 2), ["t4"]),
    "normals_sides": lambda root: change(root, "normals", lambda i, n: n * (1, 1, -1 if i % 2 else 1)),
    "normals_constant": lambda root: change(root, "normals", lambda i, n: 0 * n + (0, 0, -1), ["v1"]),
    "normals_missing": lambda root: change(root, "normals", lambda i, n: n * CORNER),
    "depth_none": lambda root: change(root, "depth", lambda i, d: d * 0, ["t4"]),
    "normals_none": lambda root: change(root, "normals", lambda i, n: n * 0, ["t4"]),
    "semseg_one_class": lambda root: redraw(root, "semseg", lambda i: np.full((H, W), 2)),
    "semseg_unlabelled": lambda root: redraw(root, "semseg", lambda i: np.full((H, W), 255)),
    "class_never_seen": never,
    "edges_none": lambda root: redraw(root, "edges", lambda i: np.zeros((H, W))),
    "edges_dense": lambda root: redraw(root, "edges", lambda i: column(2)),
    "edges_thick": lambda root: redraw(root, "edges", lambda i: 255 * (np.indices((H, W))[1] < 5)),
    "saliency_none": lambda root: redraw(root, "saliency", lambda i: np.zeros((H, W))),
    **{
        f"{task}_constant": lambda root, t=task: redraw(root, t, lambda i: np.full((H, W), 700), dtype=np.uint16)
        for task in MAPS
    },
    "reshading_constant": lambda root: redraw(root, "reshading", lambda i: np.full((H, W, 3), 80)),
    "image_black": lambda root: redraw(root, "image", lambda i: np.zeros((H, W, 3)), ["t2"]),
    "image_flat": lambda root: redraw(root, "image", lambda i: np.full((H, W, 3), (99, 20 * i, 50))),
    "image_grey": lambda root: redraw(root, "image", lambda i: np.arange(H * W).reshape(H, W) % (200 + i)),
    "too_few": about,
    "swapped_splits": swap,
    "shared_files": lambda root: listed(root, "val", ["v0", "v1", "t0"]),
    "shared_pictures": lambda root: copy(root, "image", "t0", "v0"),
    "repeated_pictures": lambda root: copy(root, "image", "t0", "t1"),
    "same_but_case": twin,
}
ALSO = {
    "image_black": {"image_flat", "image_grey"},
    "depth_none": {"depth_zeros"},
    "normals_none": {"normals_missing"},
}
"""Rules that the same damage concerns."""


@pytest.fixture
def root(tmp_path):
    write(tmp_path)
    return tmp_path


def test_nothing_is_suspicious_about_a_sound_dataset(root):
    assert checkup(str(root / "own.toml")).ok


@pytest.mark.parametrize("rule", DAMAGE)
def test_damage_is_found_by_its_rule(root, rule):
    DAMAGE[rule](root)
    found = checkup(str(root / "own.toml"))
    assert {finding.rule for finding in found.findings} == {rule} | ALSO.get(rule, set())
    assert not found.ok
    for finding in found.findings:
        assert finding.what
        assert finding.mend
        assert finding.evidence
        assert f"[{finding.rule}]" in found.text()


def test_every_rule_has_a_damage_that_it_finds():
    assert {rule.name for rule in RULES} == {*DAMAGE, "image_size", "left_out"}
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_examples_name_the_damaged_samples(root):
    DAMAGE["depth_constant"](root)
    (finding,) = checkup(str(root / "own.toml")).findings
    assert finding.split == "train"
    assert finding.examples == ("t4 (0)",)


def test_an_image_of_another_size_than_the_release(tmp_path):
    copied = synthesize("nyuv2_13", tmp_path, {"train": 2, "val": 1}, (32, 48))
    for kind, shape in (("image", (30, 48, 3)), ("label", (30, 48)), ("depth", (30, 48))):
        array = np.load(copied / "train" / kind / "1.npy")
        np.save(copied / "train" / kind / "1.npy", array[:30].reshape(shape))
    np.save(copied / "train/normal/1.npy", np.load(copied / "train/normal/1.npy")[:30])
    found = checkup("nyuv2_13", tmp_path)
    assert [(f.rule, f.examples) for f in found.findings] == [("image_size", ("1 (30x48)",))]


def test_a_few_odd_samples_among_many_are_tolerated(root):
    names = [f"t{i}" for i in range(120)]
    for i, name in enumerate(names):
        png(root, "image", name, np.random.default_rng(i + 50).integers(0, 255, (H, W, 3)))
        npy(root, "depth", name, np.random.default_rng(i).uniform(1, 4, (H, W)) * (CORNER[..., 0] | (i != 7)))
    listed(root, "train", names)
    tasks = DESCRIPTION.replace("train = 6", "train = 120").partition("[tasks.semseg]")[0]
    (root / "own.toml").write_text(tasks + '[tasks.depth]\npath = "depth/{id}.npy"\n')
    assert checkup(str(root / "own.toml")).ok
    change(root, "depth", lambda i, d: d * CORNER[..., 0], names[10:12])
    (finding,) = checkup(str(root / "own.toml")).findings
    assert finding.rule == "depth_zeros"
    assert finding.what.startswith("depth: 3 of 120 samples")


def test_taskonomy_may_lack_all_depth_of_a_view_which_is_told(tmp_path):
    """All of a stored map is 65535, no measurement: usual in the release, and yet worth a line."""
    copied = synthesize("taskonomy", tmp_path, {"train": 6, "val": 2}, (64, 64))
    file = sorted(copied.rglob("*depth_zbuffer.png"))[0]
    Image.fromarray(np.full((64, 64), 65535, np.uint16)).save(file)
    found = checkup("taskonomy", tmp_path)
    assert "depth_none" not in {finding.rule for finding in found.findings}
    (note,) = (note for note in found.notes if "no valid pixel of depth" in note)
    assert any(name in note for split in found.splits for name in split.statistics.names)


@pytest.mark.parametrize(
    ("function", "rules"),
    [
        (lambda i, d: d * 1000 if i % 2 else d, {"depth_far", "depth_mixed"}),  # some in millimetres
        (lambda i, d: d * 10, {"depth_far"}),  # all in decimetres
        (lambda i, d: d / 1000 if i == 3 else d, {"depth_near"}),  # one in kilometres
    ],
)
def test_depth_in_other_units(root, function, rules):
    change(root, "depth", function)
    found = checkup(str(root / "own.toml"))
    assert {finding.rule for finding in found.findings} == rules
    assert {finding.split for finding in found.findings} == {"train"}


def test_embedded_rooms_in_decimetres(tmp_path):
    copied = synthesize("nyuv2_13", tmp_path, {"train": 5, "val": 3}, (48, 64))
    (copied / "mtlrepro-synthetic.json").unlink()
    for file in copied.glob("*/depth/*.npy"):
        np.save(file, np.load(file) * 10)
    found = checkup("nyuv2_13", tmp_path)
    assert [(f.rule, f.split) for f in found.findings if f.rule != "image_size"] == [
        ("depth_far", "train"),
        ("depth_far", "val"),
    ]


@pytest.mark.parametrize("name", ["synthia", "virtual_kitti2"])
def test_skies_of_computed_streets_are_not_far(name):
    """A third of the pictures may show more sky, at 655.35 m, than all else."""
    info = dataset_info(name)
    depths = [np.full((1, 4, 4), 655.35 if i % 3 == 0 else 12.0 + i, np.float32) for i in range(12)]
    statistics = Statistics()
    for i, depth in enumerate(depths):
        label = Label("float32 4x4", float(depth.min()), float(depth.max()), {"median": float(np.median(depth))})
        statistics.add(str(i), Facts({"depth": label}, bytes([i]), (4, 4)))
    case = Case(name, info, (Split("train", 12, 12, statistics),))
    rules = [rule for rule in RULES if rule.name in ("depth_far", "depth_near", "depth_mixed")]
    assert judge(case, rules) == ()
    assert {f.rule for f in judge(replace(case, dataset="other"), rules)} == {"depth_far"}


def test_samples_left_out_are_said_and_suspicious_if_many(root, monkeypatch):
    monkeypatch.setattr(Folder, "left_out", {"frames without a pose": 2})
    found = checkup(str(root / "own.toml"))
    assert [(f.rule, f.split) for f in found.findings] == [("left_out", "train"), ("left_out", "val")]
    assert found.findings[0].what == "2 of 8 samples are left out, 25%"
    assert found.findings[0].examples == ("2: frames without a pose",)
    assert found.text().count("  2 left out: frames without a pose") == 2
    assert found.json()["splits"]["train"]["left_out"] == {"frames without a pose": 2}
    monkeypatch.setattr(Folder, "left_out", {"frames without a pose": 0})
    assert checkup(str(root / "own.toml")).ok


def test_what_is_left_out_is_there(root, monkeypatch):
    about(root)
    monkeypatch.setattr(Folder, "left_out", {"frames without a pose": 1})
    found = checkup(str(root / "own.toml"))
    assert {f.rule for f in found.findings} == {"left_out"}
    assert "train: 6 samples, about 7 expected" in found.text()


@pytest.mark.parametrize("name", [name for name in WRITERS if name in DATASETS])
def test_no_rule_speaks_of_embedded_scenes(tmp_path, name):
    synthesize(name, tmp_path, {"train": 5, "val": 2}, (48, 64))
    found = checkup(name, tmp_path)
    assert found.ok, found.text()
    assert found.synthetic
    assert "a rehearsal" in found.notes[0]
