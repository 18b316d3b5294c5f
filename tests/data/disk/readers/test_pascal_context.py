"""PASCAL-Context: what comes back of rendered labels, and what the MATLAB files mean."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat, savemat

from mtlrepro.data import build_dataset, find_dataset
from mtlrepro.data.disk.readers import pascal_context as reader
from mtlrepro.data.disk.synthesize import synthesize
from mtlrepro.data.disk.synthesize.roundtrip import roundtrip
from mtlrepro.errors import DataError
from mtlrepro.metrics.boundary.thinning import thin
from mtlrepro.spec import DataSpec

SIZE = (40, 60)
COUNTS = {"train": 6, "val": 2}
EIGHT_BIT_DEGREES = math.degrees(2 * math.asin(math.sqrt(3) / 255 / 2)) * 1.02
"""Half a level in each of three channels; making it a unit vector adds a second-order term."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("pascal")
    synthesize("pascal_context", root, COUNTS, SIZE)
    return root


@pytest.fixture
def copy(written, tmp_path):
    """A data root that a test may break, and its PASCAL_MT."""
    return shutil.copytree(written / "PASCAL_MT", tmp_path / "PASCAL_MT")


def dataset(release, split="train", cache=None, **options):
    return build_dataset(DataSpec("pascal_context", SIZE, options=tuple(options.items())), split, release.parent, cache)


def refused(release, index=0, split="train", **options):
    with pytest.raises(DataError) as caught:
        _ = dataset(release, split, **options)[index]
    assert "\n" not in str(caught.value)
    assert caught.value.mend
    return caught.value


def anno(*objects):
    """PASCAL-Part's struct; an object is (class_ind, mask, [(part_name, mask) ...])."""

    def struct(fields, rows):
        out = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
        for i, row in enumerate(rows):
            out[0, i] = row
        return out if rows else np.zeros((0, 0))

    rows = [("thing", float(i), mask, struct(("part_name", "mask"), parts)) for i, mask, parts in objects]
    return {"anno": {"imname": "x", "objects": struct(("class", "class_ind", "mask", "parts"), rows)}}


def box(top, bottom, left, right, size=(6, 8)):
    mask = np.zeros(size, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


# --- round trip -----------------------------------------------------------------------------------------------------


def test_what_was_rendered_comes_back(written):
    rows = {row.target: row for row in roundtrip("pascal_context", written)}
    assert list(rows) == ["image", "semseg", "parts", "saliency", "normals", "edges"]
    exact = [rows[target] for target in ("semseg", "parts", "saliency", "edges")]
    assert [(row.worst, row.misplaced) for row in exact] == [(0, 0)] * 4
    assert rows["normals"].worst <= EIGHT_BIT_DEGREES
    assert rows["normals"].misplaced == 0
    assert rows["image"].mean < 5  # of 255: JPEG
    assert rows["parts"].pixels > 0
    assert 0.1 < rows["normals"].pixels / rows["semseg"].pixels < 0.9


def test_samples_of_varying_size_in_the_published_order(written):
    train = dataset(written / "PASCAL_MT")
    assert train.info.tasks == ("semseg", "parts", "saliency", "normals", "edges")
    assert train.info.class_names[15] == "person"
    assert len(train.info.class_names) == 21
    assert train.info.palette[15] == (192, 128, 128)
    assert train.info.edge_tolerance == 0.0075
    assert [train[i]["image"].shape[1:] for i in range(3)] == [SIZE, SIZE[::-1], SIZE]
    sample = train[1]
    assert list(sample) == ["image", *train.info.tasks, "segments"]
    assert {v.shape[-2:] for v in sample.values()} == {SIZE[::-1]}
    folders = [train.path_of("semseg", name).split("/")[1] for name in train.ids]
    assert folders == ["VOC12", "pascal-context"] * 3
    assert len(dataset(written / "PASCAL_MT", "val")) == 2


def test_a_whole_dataset_is_looked_over(written):
    assert find_dataset("pascal_context", written) == written / "PASCAL_MT"


def test_the_digest_covers_matlab_files(copy):
    before = dataset(copy).digest()
    file = copy / f"human_parts/{dataset(copy).ids[0]}.mat"
    savemat(file, anno((15, box(0, 2, 0, 2, SIZE), [("head", box(0, 2, 0, 2, SIZE))])))
    assert dataset(copy).digest() != before


# --- semantic classes -----------------------------------------------------------------------------------------------


def test_the_class_map_of_voc_wins(copy):
    name = dataset(copy).ids[0]
    shutil.copy(copy / f"semseg/VOC12/{name}.png", copy / f"semseg/pascal-context/{name}.png")
    expected = dataset(copy)[0]["semseg"]
    Image.fromarray(np.full(SIZE, 3, np.uint8)).save(copy / f"semseg/pascal-context/{name}.png")
    assert torch.equal(dataset(copy)[0]["semseg"], expected)
    (copy / f"semseg/VOC12/{name}.png").unlink()
    assert dataset(copy)[0]["semseg"].unique().tolist() == [3]


def test_a_class_map_that_is_nowhere(copy):
    name = dataset(copy).ids[0]
    (copy / f"semseg/VOC12/{name}.png").unlink()
    error = refused(copy)
    assert error.field == "semseg"
    assert name in error.file.name


def test_labels_of_another_size_are_resized_by_nearest_neighbour(copy):
    first = dataset(copy)[0]
    name = dataset(copy).ids[0]
    for path in (f"semseg/VOC12/{name}.png", f"sal_distill/{name}.png", f"normals_distill/{name}.png"):
        with Image.open(copy / path) as image:
            image.resize((SIZE[1] * 2, SIZE[0] * 2), Image.Resampling.NEAREST).save(copy / path)
    file = copy / f"pascal-context/trainval/{name}.mat"
    classes = loadmat(file)["LabelMap"]
    savemat(file, {"LabelMap": classes.repeat(2, 0).repeat(2, 1)})
    second = dataset(copy)[0]
    for task in ("semseg", "saliency", "normals", "parts", "segments"):
        assert torch.equal(first[task], second[task]), task
    assert second["edges"].shape == SIZE  # thin lines of a larger map: most are lost, as in the published readers


def turned(file):
    with Image.open(file) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(file)


def turned_classes(file):
    savemat(file, {"LabelMap": loadmat(file)["LabelMap"].T.copy()})


def turned_part(file):
    mask = box(2, 9, 3, 7, SIZE[::-1])
    savemat(file, anno((15, mask, [("head", mask)])))


@pytest.mark.parametrize(
    ("path", "turn", "task"),
    [
        ("semseg/VOC12/{}.png", turned, "semseg"),
        ("sal_distill/{}.png", turned, "saliency"),
        ("normals_distill/{}.png", turned, "normals"),
        ("pascal-context/trainval/{}.mat", turned_classes, "edges"),
        ("human_parts/{}.mat", turned_part, "parts"),
    ],
)
def test_a_label_turned_against_its_image_is_refused(copy, path, turn, task):
    file = copy / path.format(dataset(copy).ids[0])
    turn(file)
    error = refused(copy)
    assert (error.file, error.field) == (file, task)
    assert "label is 60x40 (height x width), but its image is 40x60" in error.problem


@pytest.mark.parametrize(("width", "good"), [(57, False), (58, True), (60, True), (63, True), (64, False)])
def test_shapes_may_differ_by_a_twentieth(width, good):
    label, file = torch.zeros(40, width, dtype=torch.uint8), Path("label.png")
    if good:
        assert reader.fitted(label, SIZE, file, "semseg").shape == SIZE
    else:
        with pytest.raises(DataError, match="of another shape"):
            reader.fitted(label, SIZE, file, "semseg")


# --- the map of 459 classes -----------------------------------------------------------------------------------------

GOLDEN_EDGES = """
000000000000000000000000000000
000001000001000001000001000000
000001000000100001000001000000
000001000011010001000001000000
000001001100001111000001000000
111111110000000000111111111110
000000100000000001000001000000
000000100000000001000001000000
000001000000000000100001000000
000001000000000000010001000000
111111000000000000101111111110
000000100000000001000001000001
000000100000000001000001000010
000000100000000001000001000100
000000111000000011000001001000
111111000110011100111111110000
000001000001100001000000100000
000001000001000001000001000000
000001000001000001000010000000
000001000001000001000100000000
"""
"""Of `shapes`, by OpenCV 5.0 (Laplacian) and scikit-image 0.26 (thin)."""


def shapes():
    g = np.random.Generator(np.random.PCG64(7))
    classes = np.kron(g.integers(0, 460, (4, 5)), np.ones((5, 6), int))
    y, x = np.mgrid[:20, :30]
    classes[(x - 12) ** 2 + (y - 9) ** 2 < 40] = 100
    classes[x + y > 40] = 284
    return classes.astype(np.uint16)


def test_edges_are_those_of_the_reference_operators():
    lines = reader.context_edges(shapes())
    assert lines.dtype == np.uint8
    assert ["".join(map(str, row)) for row in lines] == GOLDEN_EDGES.split()


def test_edges_by_the_definition():
    """Each pixel against its four neighbours; outside, the row behind the border's stands in."""
    g = np.random.Generator(np.random.PCG64(0))
    for _ in range(20):
        height, width = g.integers(2, 15, 2)
        classes = g.integers(0, 5, (height, width)).astype(np.uint16)
        outline = np.zeros((height, width), bool)
        for y in range(height):
            for x in range(width):
                around = 0
                for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                    row, column = abs(y + dy), abs(x + dx)
                    row = 2 * (height - 1) - row if row >= height else row
                    column = 2 * (width - 1) - column if column >= width else column
                    around += int(classes[row, column])
                outline[y, x] = around != 4 * int(classes[y, x])
        assert np.array_equal(reader.context_edges(classes), thin(outline))


def test_normals_are_valid_by_class(copy):
    train = dataset(copy)
    name = train.ids[0]
    assert len(reader.VALID_NORMALS) == len(set(reader.VALID_NORMALS)) == 170
    classes = np.zeros(SIZE, np.uint16)
    classes[0, :4] = 427, 428, 3, 459  # tvmonitor, and neighbours without
    savemat(copy / f"pascal-context/trainval/{name}.mat", {"LabelMap": classes})
    valid = train[0]["normals"].abs().sum(0) > 0
    assert valid.nonzero().tolist() == [[0, 0], [0, 2]]
    length = train[0]["normals"].norm(dim=0)[valid]
    assert length.sub(1).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"Labels": np.zeros(SIZE)}, "no such variable; the file holds Labels"),
        ({"LabelMap": np.full(SIZE, 460)}, "class id 460 (2400 pixels), expected 0 to 459"),
        ({"LabelMap": np.full(SIZE, 1.5)}, "class id 1.5"),
        ({"LabelMap": np.full(SIZE, np.nan)}, "class id nan"),
        ({"LabelMap": np.zeros((*SIZE, 3))}, "expected a map (H, W)"),
        ({"LabelMap": "text"}, "expected a map (H, W)"),
        ({"LabelMap": np.zeros((0, 0))}, "expected a map (H, W)"),
    ],
)
def test_a_wrong_class_map(copy, variables, problem):
    file = copy / f"pascal-context/trainval/{dataset(copy).ids[0]}.mat"
    savemat(file, variables)
    error = refused(copy)
    assert (error.file, error.field) == (file, "LabelMap")
    assert problem in error.problem


@pytest.mark.parametrize("folder", ["human_parts", "pascal-context/trainval"])
@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_matlab_file(copy, folder, share):
    file = copy / folder / f"{dataset(copy).ids[0]}.mat"
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert refused(copy).file == file


# --- parts ----------------------------------------------------------------------------------------------------------


def parts_of(tmp_path, *objects, size=(6, 8)):
    savemat(tmp_path / "a.mat", anno(*objects))
    return reader.read_parts(tmp_path / "a.mat", size)


def test_the_names_of_the_six_parts():
    assert len(reader.PART_OF) == 24
    assert [len(names) for names in reader.PART_NAMES] == [0, 10, 2, 2, 4, 2, 4]
    assert [reader.PART_OF[n] for n in ("hair", "neck", "ruarm", "lhand", "luleg", "rfoot")] == [1, 2, 3, 4, 5, 6]


def test_later_parts_and_people_overwrite_earlier_ones(tmp_path):
    everything = box(0, 6, 0, 8)
    first = (15, everything, [("torso", box(0, 6, 0, 4)), ("nose", box(0, 2, 0, 8))])
    second = (15, everything, [("lhand", box(1, 3, 0, 2))])
    found = parts_of(tmp_path, first, (12, everything, [("tail", everything)]), second)
    expected = np.zeros((6, 8), np.uint8)
    expected[:, :4], expected[:2], expected[1:3, :2] = 2, 1, 4
    assert np.array_equal(found.numpy(), expected)
    assert found.dtype == torch.uint8


@pytest.mark.parametrize(
    "objects",
    [
        (),
        [(12, box(0, 6, 0, 8), [("head", box(0, 2, 0, 2))])],
        [(15, box(0, 6, 0, 8), [])],
        [(15, box(0, 6, 0, 8), [("head", box(0, 0, 0, 0))])],
    ],
    ids=["nothing", "a dog", "a person without parts", "a part without pixels"],
)
def test_without_a_part_of_a_person_nothing_is_known(tmp_path, objects):
    found = parts_of(tmp_path, *objects, size=(3, 5))
    assert found.unique().tolist() == [255]


def test_parts_of_another_size_than_the_image_are_resized(copy):
    train = dataset(copy)
    mask = np.zeros((SIZE[0] // 2, SIZE[1] // 2), np.uint8)
    mask[3, 4] = 1
    savemat(copy / f"human_parts/{train.ids[0]}.mat", anno((15, mask, [("head", mask)])))
    expected = torch.zeros(SIZE, dtype=torch.uint8)
    expected[6:8, 8:10] = 1
    assert torch.equal(train[0]["parts"], expected)


def without(key):
    content = anno((15, box(0, 6, 0, 8), [("head", box(0, 2, 0, 2))]))
    objects = content["anno"]["objects"]
    kept = [name for name in objects.dtype.names if name != key]
    out = np.empty((1, 1), dtype=[(name, object) for name in kept])
    out[0, 0] = tuple(objects[0, 0][name] for name in kept)
    return {"anno": {"imname": "x", "objects": out}}


ONE = np.uint8([[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("content", "field", "problem"),
    [
        ({"annotation": 1}, "anno", "no such variable; the file holds annotation"),
        ({"anno": 3.0}, "anno", "no field objects"),
        ({"anno": {"imname": "x"}}, "anno", "no field objects"),
        (without("parts"), "anno.objects(1)", "has no field parts"),
        (without("class_ind"), "anno.objects(1)", "has no field class_ind"),
        (anno((15, ONE, [("tail", ONE)])), "anno.objects(1).parts(1)", "part_name 'tail' is none of hair"),
        (anno((15, ONE, [("head", ONE * 0.5)])), "anno.objects(1).parts(1)", "has no mask"),
        (anno((15, ONE, [("head", ONE), ("hair", box(0, 1, 0, 1))])), "anno.objects(1).parts(2)", "mask is 6x8, those"),
    ],
)
def test_a_struct_that_is_not_pascal_parts(tmp_path, content, field, problem):
    file = tmp_path / "a.mat"
    savemat(file, content)
    with pytest.raises(DataError) as caught:
        reader.read_parts(file, (2, 2))
    assert (caught.value.file, caught.value.field) == (file, field)
    assert problem in caught.value.problem
    assert caught.value.mend


# --- images with people ---------------------------------------------------------------------------------------------


def people(release, split="train"):
    """Ids whose annotation holds a person, found with another way of reading."""
    ids = (release / f"ImageSets/Context/{split}.txt").read_text().split()
    found = []
    for name in ids:
        objects = loadmat(release / f"human_parts/{name}.mat")["anno"]["objects"][0, 0]
        if any(int(thing["class_ind"].item()) == 15 for thing in objects.flat):
            found.append(name)
    return found


def listed(release, value, split="train"):
    file = release / f"ImageSets/Parts/{split}.txt"
    file.parent.mkdir(exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return file


def test_images_with_people_are_found_by_reading_all(copy):
    expected = people(copy)
    assert 0 < len(expected) < COUNTS["train"]
    assert dataset(copy, with_people=True).ids == expected
    assert len(dataset(copy)) == COUNTS["train"]


def test_the_list_of_the_release_is_taken_if_it_has_the_same_ids(copy):
    ids = dataset(copy).ids
    listed(copy, {name: [15, 3] if i == 4 else [3, -1] for i, name in enumerate(ids)})
    assert dataset(copy, with_people=True).ids == [ids[4]]
    listed(copy, {name: [3] for name in ids})
    assert "no image of the train split shows a person" in refused(copy, with_people=True).problem
    listed(copy, {name: [] for name in ids[1:]})
    assert dataset(copy, with_people=True).ids == people(copy)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"2008_000000": 15}'])
def test_a_damaged_list(copy, text):
    file = listed(copy, text)
    error = refused(copy, with_people=True)
    assert error.file == file
    assert "delete it" in error.mend


def test_people_without_a_pixel_do_not_count(tmp_path):
    savemat(tmp_path / "a.mat", anno((15, box(0, 0, 0, 0), []), (15, box(0, 1, 0, 1), []), (9, box(0, 1, 0, 1), [])))
    assert reader.categories(tmp_path / "a.mat") == [-1, 15, 9]


def test_what_was_found_is_remembered_until_a_file_changes(copy, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    found = dataset(copy, cache=cache, with_people=True).ids
    read = []
    original = reader.categories
    monkeypatch.setattr(reader, "categories", lambda file: read.append(file) or original(file))
    assert dataset(copy, cache=cache, with_people=True).ids == found
    assert read == []
    file = copy / f"human_parts/{found[0]}.mat"
    savemat(file, anno((9, box(0, 1, 0, 1), [])))
    assert dataset(copy, cache=cache, with_people=True).ids == found[1:]
    assert read == [file]


def test_the_search_for_people_shows_its_progress(copy, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    dataset(copy, cache=tmp_path / "cache", with_people=True)
    assert "1/6 files of train looked through for people" in capsys.readouterr().err
