"""Description files: what is read, and one clear error for everything that is wrong."""

import re
import tomllib

import pytest

from mtlrepro.data.disk.description import check_own_files, default_palette, load, variants
from mtlrepro.data.disk.manual import FORMAT, describe
from mtlrepro.errors import DataError, ReproError, SpecError

GOOD = """
name = "street"
image = "image/{split}/{id}.png"

[tasks.semseg]
path = "semseg/{split}/{id}.png"
classes = ["sky", "road"]
ignore = [9]

[tasks.depth]
path = "depth/{split}/{id}.png"
unit = 0.001
"""

SEMSEG_PATH = 'path = "semseg/{split}/{id}.png"'
SEMSEG_PNG = f"""{SEMSEG_PATH}
classes = ["sky", "road"]
ignore = [9]"""
SEMSEG_NPY = 'path = "semseg/{split}/{id}.npy"\nclasses = ["sky", "road"]'
DEPTH_PATH = 'path = "depth/{split}/{id}.png"\nunit = 0.001'
COLOURS = "colours = [[210, 0, 200], [100, 60, 100]]"
CAMERA = "[camera]\nwidth = 64\nheight = 48\nfx = 60\nfy = 61.5\ncx = 32\ncy = 24\n"
SALIENCY = '[tasks.saliency]\npath = "{id}.png"\n'
TEXTURE = '[tasks.texture]\npath = "{id}.png"\nmean = 1'


def written(tmp_path, text):
    file = tmp_path / "street.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refused(tmp_path, text, kind=ReproError):
    """The message, which always names the file and says what to do."""
    file = written(tmp_path, text)
    with pytest.raises(kind) as caught:
        load(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)
    assert caught.value.mend
    return caught.value


def test_a_description_is_read_with_its_defaults(tmp_path):
    d = load(written(tmp_path, GOOD))
    assert (d.name, d.root, d.image) == ("street", ".", "image/{split}/{id}.png")
    assert d.splits == {"train": "train", "val": "val"}
    assert d.counts == {}
    assert d.tasks["semseg"].ignore == (9, 255)
    assert d.tasks["depth"].unit == 0.001
    assert d.info.tasks == ("semseg", "depth")
    assert d.info.class_names == ("sky", "road")
    assert len(set(d.info.palette)) == 2
    assert d.info.max_depth == 10.0


def test_the_manual_is_itself_a_valid_description(tmp_path):
    manual = "\n".join(line[4:] for line in FORMAT.splitlines() if line.startswith("    "))
    tomllib.loads(manual)
    d = load(written(tmp_path, manual))
    assert list(d.tasks) == ["semseg", "parts", "saliency", "depth", "normals", "edges", "occlusion"]
    assert d.origin["licence"] == "CC BY 4.0"
    assert d.tasks["saliency"].threshold == 0.5
    check_own_files(d)
    assert d.palette == ((0, 0, 255), (90, 90, 90), (128, 64, 128))
    assert d.splits["val"] == "lists/val.txt"


def test_a_byte_order_mark_is_no_error(tmp_path):
    assert load(written(tmp_path, "\ufeff" + GOOD)).name == "street"


def test_missing_description(tmp_path):
    with pytest.raises(DataError, match=r"none\.toml: no such description file\. .*data info folder"):
        load(tmp_path / "none.toml")


def test_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read as text .* Give a UTF-8 TOML file"):
        load(tmp_path)


def test_invalid_toml_names_the_line(tmp_path):
    error = refused(tmp_path, 'name = "street"\nimage = \n', DataError)
    assert "not valid TOML" in error.problem
    assert "line 2" in error.problem


@pytest.mark.parametrize(
    ("old", "new", "field", "hint"),
    [
        ("image =", "imgae =", None, "Did you mean 'image'?"),
        ("classes =", "clases =", "tasks.semseg", "Did you mean 'classes'?"),
        ("[tasks.depth]", "[tasks.dept]", "tasks", "Did you mean 'depth'?"),
        ("[tasks.semseg]", '[splits]\ntrian = "a"\n[tasks.semseg]', "splits", "Did you mean 'train'?"),
        ("[tasks.semseg]", "[counts]\ntest = 1\n[tasks.semseg]", "counts", "Known: train, val"),
        ("unit = 0.001", 'unit = 0.001\n[tasks.edges]\nfrom = "depth"', "tasks.edges.from", "Known: reader, semseg"),
        ("[tasks.semseg]", '[tasks.semseg]\nfrom = "semseg"', "tasks.semseg.from", "Known: reader"),
        ("[tasks.semseg]", "[origin]\nlicense = 'MIT'\n[tasks.semseg]", "origin", "Did you mean 'licence'?"),
        ("[tasks.semseg]", "[camera]\nfocal = 1\n[tasks.semseg]", "camera", "Known: cx, cy, fx"),
        (
            "[tasks.depth]",
            '[tasks.parts]\npath = "{id}.png"\nignore = [9]\n[tasks.depth]',
            "tasks.parts",
            "Known: from, path",
        ),
        ("unit = 0.001", f"unit = 1\n{TEXTURE}\ndeviation = 2\nmask = 'dept'", "tasks.texture.mask", "Known: depth"),
    ],
)
def test_unknown_names_suggest_known_ones(tmp_path, old, new, field, hint):
    error = refused(tmp_path, GOOD.replace(old, new), SpecError)
    assert error.field == field
    assert hint in error.mend


@pytest.mark.parametrize(
    ("old", "new", "field", "problem"),
    [
        ('name = "street"', "", "name", "missing"),
        ('name = "street"', "name = 3", "name", "expected str, got 3"),
        ('image = "image/{split}/{id}.png"', "", "image", "missing"),
        ("image/{split}/{id}.png", "image/{split}/x.png", "image", "must hold {id} once"),
        ("image/{split}/{id}.png", "image/{splt}/{id}.png", "image", "no placeholder but"),
        ("image/{split}/{id}.png", "image/{split}/{id}.gif", "image", "is not a .jpg or .jpeg or .png or .npy or .h5"),
        ("image/{split}/{id}.png", "/image/{split}/{id}.png", "image", "is not relative to root"),
        ("image/{split}/{id}.png", "image/{id}.png", "splits.train", "is the same for every split"),
        ("semseg/{split}/{id}.png", "semseg/{split}/{id}.jpg", "tasks.semseg.path", "is not a .png or .npy file"),
        ('classes = ["sky", "road"]', "", "tasks.semseg.classes", "missing"),
        ('classes = ["sky", "road"]', "classes = []", "tasks.semseg.classes", "1 to 255 class names"),
        ('classes = ["sky", "road"]', "classes = [1, 2]", "tasks.semseg.classes", "1 to 255 class names"),
        ("ignore = [9]", "ignore = [256]", "tasks.semseg.ignore", "ids -1..255"),
        ("ignore = [9]", "ignore = [true]", "tasks.semseg.ignore", "ids -1..255"),
        ("ignore = [9]", "offset = true", "tasks.semseg.offset", "expected int, got True"),
        ("ignore = [9]", "palette = [[0, 0, 0]]", "tasks.semseg.palette", "for each of 2 classes"),
        ("ignore = [9]", "palette = [[0, 0, 0], [0, 0, 256]]", "tasks.semseg.palette", "of 0..255"),
        ("unit = 0.001", "", "tasks.depth.unit", "missing for PNG depth"),
        ('{id}.png"\nunit = 0.001', '{id}.PNG"', "tasks.depth.unit", "missing for PNG depth"),
        ("unit = 0.001", "unit = -1", "tasks.depth.unit", "not a positive number"),
        ("unit = 0.001", "unit = inf", "tasks.depth.unit", "not a positive number"),
        ("unit = 0.001", 'unit = "mm"', "tasks.depth.unit", "expected int or float, got 'mm'"),
        ("unit = 0.001", 'unit = 1\n[tasks.edges]\npath = "e/{id}.png"\nfrom = "semseg"', "tasks.edges", "both path"),
        ("unit = 0.001", "unit = 1\n[tasks.edges]", "tasks.edges.path", "missing"),
        ("[tasks.semseg]", "max_depth = 0\n[tasks.semseg]", "max_depth", "not a positive number"),
        ("[tasks.semseg]", "[counts]\ntrain = 1.5\n[tasks.semseg]", "counts.train", "expected int, got 1.5"),
        ("[tasks.semseg]", "[splits]\ntrain = 1\n[tasks.semseg]", "splits.train", "expected str or list, got 1"),
        ("ignore = [9]", "ignore = [-2]", "tasks.semseg.ignore", "ids -1..255"),
        ("[tasks.semseg]", "inverse_depth = 1\n[tasks.semseg]", "inverse_depth", "expected bool, got 1"),
        ("[tasks.semseg]", "[splits]\ntrain = []\n[tasks.semseg]", "splits.train", "else than folders"),
        ("[tasks.semseg]", "[splits]\ntrain = ['a', 1]\n[tasks.semseg]", "splits.train", "else than folders"),
        ("[tasks.semseg]", "[splits]\ntrain = ''\nval = ''\n[tasks.semseg]", "splits", "there is no split"),
        (
            "[tasks.semseg]",
            "[splits]\ntrain = ['a']\nval = ['b', 'a']\n[tasks.semseg]",
            "splits",
            "'a' is listed twice",
        ),
        (
            "[tasks.semseg]",
            "numbered = true\n[splits]\nval = 'val.txt'\n[tasks.semseg]",
            "splits.val",
            "cannot be numb",
        ),
        ("[tasks.semseg]", "[about]\ntrain = '9'\n[tasks.semseg]", "about.train", "expected int, got '9'"),
        (
            "[tasks.semseg]",
            "[splits]\ntrain = ['a', '../b']\n[tasks.semseg]",
            "splits.train",
            "'../b' is no path below",
        ),
        ("[tasks.semseg]", "[splits]\ntrain = ['/a']\n[tasks.semseg]", "splits.train", "'/a' is no path below"),
        ("[tasks.semseg]", "[splits]\ntrain = '..'\n[tasks.semseg]", "splits.train", "'..' is no path below"),
        ("image/{split}/{id}.png", "../{split}/{id}.png", "image", "is no path below root"),
        ("image/{split}/{id}.png", "{split}\\\\{id}.png", "image", "is no path below root"),
        ("semseg/{split}/{id}.png", "a/../../{split}/{id}.png", "tasks.semseg.path", "is no path below root"),
        ("depth/{split}/{id}.png", "{split}/\\u0000{id}.png", "tasks.depth.path", "is no path below root"),
        ("[tasks.semseg]", "[files]\npose = '{id}/../../x'\n[tasks.semseg]", "files.pose", "is no path below root"),
        ("unit = 0.001", "unit = 1\nlimit = 0", "tasks.depth.limit", "0 leaves no value valid"),
        ("unit = 0.001", f"unit = 1\n{TEXTURE}", "tasks.texture.deviation", "missing"),
        ("unit = 0.001", 'unit = 1\n[tasks.texture]\npath = "{id}.npy"', "tasks.texture.path", "is not a .png file"),
        ("unit = 0.001", f"unit = 1\n{TEXTURE}\ndeviation = 0", "tasks.texture.deviation", "(1.0, 0.0) are no"),
        ("ignore = [9]", "ignore = [9, 7]\nmap = {7 = 0}", "tasks.semseg.ignore", "7 has a class in map"),
        ("ignore = [9]", "ignore = [65536]\nmap = {7 = 0}", "tasks.semseg.ignore", "else than ids -1..65535"),
        ("ignore = [9]", "ignore = [256]", "tasks.semseg.ignore", "else than ids -1..255"),
        ("ignore = [9]", "offset = 1\nmap = {7 = 0}", "tasks.semseg.offset", "no meaning beside map"),
        ("ignore = [9]", 'ignore = ["a"]\nmap = {7 = 0}', "tasks.semseg.ignore", "else than ids -1..65535"),
        ("ignore = [9]", "map = {}", "tasks.semseg.map", "is empty"),
        ("ignore = [9]", "map = [7, 8]", "tasks.semseg.map", "expected dict, got [7, 8]"),
        ("ignore = [9]", "map = {-1 = 0}", "tasks.semseg.map", "'-1' is not a stored value of 0..65535"),
        ("ignore = [9]", "map = {07 = 0}", "tasks.semseg.map", "'07' is not a stored value"),
        ("ignore = [9]", "map = {65536 = 0}", "tasks.semseg.map", "'65536' is not a stored value"),
        ("ignore = [9]", "map = {sky = 0}", "tasks.semseg.map", "'sky' is not a stored value"),
        ("ignore = [9]", "map = {7 = 2}", "tasks.semseg.map", "2, which 7 stands for, is not one of 2 class ids"),
        ("ignore = [9]", "map = {7 = -1}", "tasks.semseg.map", "-1, which 7 stands for, is not one of 2 class ids"),
        ("ignore = [9]", "map = {7 = true}", "tasks.semseg.map", "True, which 7 stands for"),
        ("ignore = [9]", f"{COLOURS}\nmap = {{7 = 0}}", "tasks.semseg.colours", "no meaning beside map"),
        ("ignore = [9]", f"{COLOURS}\nignore = [9]", "tasks.semseg.ignore", "no meaning beside colours"),
        ("ignore = [9]", f"{COLOURS}\nchannel = 0", "tasks.semseg.channel", "no meaning beside colours"),
        ("ignore = [9]", "colours = []", "tasks.semseg.colours", "for each of 2 classes"),
        ("ignore = [9]", "colours = [[0, 0, 0]]", "tasks.semseg.colours", "for each of 2 classes"),
        ("ignore = [9]", "colours = [[0, 0, 0], [0, 0, 256]]", "tasks.semseg.colours", "of 0..255"),
        ("ignore = [9]", "colours = [[0, 0, 0], [0, 0, 0]]", "tasks.semseg.colours", "two classes share a colour"),
        (SEMSEG_PNG, f"{SEMSEG_NPY}\n{COLOURS}", "tasks.semseg.colours", "only PNG files hold colours"),
        ("ignore = [9]", "channel = 4", "tasks.semseg.channel", "4 is not a channel of a PNG file"),
        ("ignore = [9]", "channel = true", "tasks.semseg.channel", "expected int, got True"),
        (SEMSEG_PNG, f"{SEMSEG_NPY}\nchannel = 0", "tasks.semseg.channel", "0 is not a channel of a PNG file"),
        ("unit = 0.001", "unit = 1\nchannel = -1", "tasks.depth.channel", "-1 is not a channel"),
        (SEMSEG_PATH, "path = []", "tasks.semseg.path", "[] are not different paths"),
        (SEMSEG_PATH, "path = ['{id}.png', 1]", "tasks.semseg.path", "are not different paths"),
        (SEMSEG_PATH, "path = ['{id}.png', '{id}.png']", "tasks.semseg.path", "are not different paths"),
        (SEMSEG_PATH, "path = ['{id}.png', '{id}.gif']", "tasks.semseg.path", "'{id}.gif' is not a .png or .npy"),
        (SEMSEG_PATH, "path = ['{id}.png', 'x.png']", "tasks.semseg.path", "'x.png' must hold {id} once"),
        (DEPTH_PATH, 'path = ["{id}.npy", "{id}.png"]', "tasks.depth.unit", "missing for PNG depth"),
        ('image = "image/{split}/{id}.png"', 'image = ["{id}.png"]', "image", "expected str, got ['{id}.png']"),
        (SEMSEG_PATH, f"{SEMSEG_PATH}\nfrom = 'reader'", "tasks.semseg", "both path and from are given"),
        ("[tasks.semseg]", "[files]\nimage = '{id}.txt'\n[tasks.semseg]", "files.image", "has a place of its own"),
        ("[tasks.semseg]", "[files]\ndepth = '{id}.txt'\n[tasks.semseg]", "files.depth", "has a place of its own"),
        ("[tasks.semseg]", "[files]\npose = 'a.txt'\n[tasks.semseg]", "files.pose", "'a.txt' must hold {id} once"),
        ("[tasks.semseg]", "[files]\npose = '/{id}'\n[tasks.semseg]", "files.pose", "is not relative to root"),
        ("[tasks.semseg]", "[files]\npose = 1\n[tasks.semseg]", "files.pose", "expected str, got 1"),
        ("[tasks.semseg]", "[camera]\nwidth = 64\n[tasks.semseg]", "camera.height", "missing"),
        ("[tasks.semseg]", f"{CAMERA.replace('60', '0')}[tasks.semseg]", "camera.fx", "0.0 is not a positive number"),
        ("[tasks.semseg]", f"{CAMERA.replace('60', '1e308')}[tasks.semseg]", "camera.fx", "of pixels below 1000000"),
        ("[tasks.semseg]", f"{CAMERA.replace('60', 'nan')}[tasks.semseg]", "camera.fx", "nan is not a positive"),
        ("[tasks.semseg]", f"{CAMERA.replace('60', '[6]')}[tasks.semseg]", "camera.fx", "expected int or float"),
        ("[tasks.semseg]", "[origin]\nurl = 1\n[tasks.semseg]", "origin.url", "expected str, got 1"),
        ("[tasks.depth]", f"{SALIENCY}threshold = 1\n[tasks.depth]", "tasks.saliency.threshold", "not in [0, 1)"),
        ("[tasks.depth]", f"{SALIENCY}threshold = nan\n[tasks.depth]", "tasks.saliency.threshold", "not in [0, 1)"),
    ],
)
def test_wrong_values_name_their_key(tmp_path, old, new, field, problem):
    assert old in GOOD
    error = refused(tmp_path, GOOD.replace(old, new), DataError)
    assert error.field == field
    assert problem in error.problem


def test_tasks_are_needed(tmp_path):
    head = 'name = "street"\nimage = "{split}/{id}.png"\n'
    assert refused(tmp_path, head, DataError).field == "tasks"
    assert "no task is described" in refused(tmp_path, head + "[tasks]", DataError).problem
    assert "expected a table" in refused(tmp_path, head + "[tasks]\ndepth = 3", DataError).problem
    error = refused(tmp_path, head + '[tasks.edges]\nfrom = "semseg"', DataError)
    assert "there is no semseg task" in error.problem
    error = refused(tmp_path, head + f"{TEXTURE}\ndeviation = 2\nmask = 'depth'", DataError)
    assert error.field == "tasks.texture.mask"
    assert "there is no depth task" in error.problem


def test_digest_follows_meaning_not_words(tmp_path):
    digest = load(written(tmp_path, GOOD)).digest()
    same = "# a comment\n" + GOOD.replace('name = "street"', 'name = "road"\nroot = "elsewhere"\nmax_depth = 3')
    assert load(written(tmp_path, same)).digest() == digest
    about = GOOD.replace("[tasks.semseg]", "[about]\ntrain = 9\n[tasks.semseg]")
    assert load(written(tmp_path, about)).digest() == digest
    for old, new in (
        ("0.001", "0.01"),
        ("0.001", "0.001\nlimit = 9"),
        ("[9]", "[8]"),
        ("depth/{split}", "far/{split}"),
        ('"sky"', '"air"'),
    ):
        assert load(written(tmp_path, GOOD.replace(old, new))).digest() != digest


def test_describe_tells_every_path_format_and_count(tmp_path):
    text = describe(written(tmp_path, GOOD.replace("[tasks.semseg]", "[counts]\ntrain = 367\n[tasks.semseg]")))
    assert re.search(r"image/train/\{id\}\.png\s+images of the train split, 367 of them", text)
    assert re.search(r"semseg/\{split\}/\{id\}\.png\s+semseg: 8-bit PNG, class id = stored value; 9, 255 = no", text)
    assert re.search(r"depth: grey PNG, value x 0\.001 m, 0 = invalid", text)
    assert "2 classes: sky, road" in text


@pytest.mark.parametrize("n", [1, 13, 40, 255])
def test_default_colours_are_distinct(n):
    colours = default_palette(n)
    assert len(colours) == n
    assert len(set(colours)) == n
    assert all(0 <= v <= 255 for colour in colours for v in colour)


@pytest.mark.parametrize("source", ['path = "edges/{split}/{id}.png"', 'from = "semseg"'])
def test_how_far_a_boundary_may_be_off(tmp_path, source):
    edges = f"{GOOD}\n[tasks.edges]\n{source}\n"
    usual, wider = load(written(tmp_path, edges)), load(written(tmp_path, edges + "tolerance = 0.011"))
    assert (usual.info.edge_tolerance, wider.info.edge_tolerance) == (0.0075, 0.011)
    assert usual.digest() != wider.digest()  # figures of runs depend on it
    for value in ("0", "1.5", "nan", '"wide"'):
        error = refused(tmp_path, edges + f"tolerance = {value}")
        assert error.field == "tasks.edges.tolerance"
    assert refused(tmp_path, GOOD + "tolerance = 0.01").field == "tasks.depth"


def test_a_unit_that_is_said_and_one_that_is_not(tmp_path):
    text = GOOD.replace(DEPTH_PATH, 'path = "depth/{split}/{id}.npy"')
    plain, said = load(written(tmp_path, text)), load(written(tmp_path, text + "\nunit = 1"))
    assert (plain.tasks["depth"].unit, said.tasks["depth"].unit) == (None, 1.0)
    assert plain.tasks["depth"].scale == said.tasks["depth"].scale == 1.0
    assert plain.digest() == said.digest()  # samples are the same
    assert load(written(tmp_path, text + "\nunit = 2")).digest() != said.digest()


def test_ids_that_a_map_ignores(tmp_path):
    d = load(written(tmp_path, GOOD.replace("ignore = [9]", "map = {7 = 0}\nignore = [300, -1]")))
    labels = d.tasks["semseg"]
    assert (labels.map, labels.ignore) == (((7, 0),), (-1, 255, 300))
    assert "class id 7 -> 0; -1, 255, 300 = no label" in describe(d.file)


def test_stored_ids_by_a_map(tmp_path):
    d = load(written(tmp_path, GOOD.replace("ignore = [9]", "map = {21 = 1, 7 = 0, 8 = 0}\nchannel = 0")))
    labels = d.tasks["semseg"]
    assert labels.map == ((7, 0), (8, 0), (21, 1))
    assert (labels.ignore, labels.offset, labels.colours, labels.channel) == ((), 0, (), 0)
    assert re.search(
        r"semseg: 8- or 16-bit PNG, channel 0, stored value -> class id 7 -> 0, 8 -> 0, 21 -> 1; every other = no",
        describe(d.file),
    )
    turned = load(written(tmp_path, GOOD.replace("ignore = [9]", "map = {8 = 0, 7 = 0, 21 = 1}\nchannel = 0")))
    assert turned.digest() == d.digest()


def test_colours_of_classes(tmp_path):
    d = load(written(tmp_path, GOOD.replace("ignore = [9]", COLOURS)))
    assert d.tasks["semseg"].colours == d.palette == ((210, 0, 200), (100, 60, 100))
    assert "sky (210, 0, 200), road (100, 60, 100)" in describe(d.file)
    assert "a colour a class, as below; every other = no label" in describe(d.file)
    shown = load(written(tmp_path, GOOD.replace("ignore = [9]", f"{COLOURS}\npalette = [[0, 0, 1], [0, 0, 2]]")))
    assert shown.palette == ((0, 0, 1), (0, 0, 2))
    assert shown.digest() == d.digest()


def test_several_paths_of_a_task(tmp_path):
    d = load(written(tmp_path, GOOD.replace(SEMSEG_PATH, "path = ['a/{id}.png', 'b/{split}/{id}.npy']")))
    labels = d.tasks["semseg"]
    assert (labels.path, labels.others) == ("a/{id}.png", ("b/{split}/{id}.npy",))
    assert labels.paths == ("a/{id}.png", "b/{split}/{id}.npy")
    assert load(written(tmp_path, GOOD)).tasks["semseg"].others == ()
    assert re.search(r"  a/\{id\}\.png +semseg: 8-bit PNG, ", describe(d.file)) is None  # the file was written anew
    written(tmp_path, GOOD.replace(SEMSEG_PATH, "path = ['a/{id}.png', 'b/{split}/{id}.npy']"))
    assert re.search(r"\n  a/\{id\}\.png +semseg: 8-bit PNG, ", describe(d.file))
    assert re.search(r"\n  or b/\{split\}/\{id\}\.npy +semseg: npy \(H, W\), ", describe(d.file))


@pytest.mark.parametrize("task", ["semseg", "parts", "saliency", "depth", "normals", "edges", "texture"])
def test_labels_that_the_datasets_reader_makes(tmp_path, task):
    keys = 'classes = ["sky"]\nmap = {7 = 0}' if task == "semseg" else ""
    head = 'name = "street"\nimage = "{split}/{id}.png"\n'
    d = load(written(tmp_path, f'{head}[tasks.{task}]\nfrom = "reader"\n{keys}'))
    labels = d.tasks[task]
    assert (labels.path, labels.paths, labels.derived) == (None, (), "reader")
    assert labels.map == (((7, 0),) if keys else ())
    assert f"{task}: made of the other files when they are read" in describe(d.file)
    with pytest.raises(DataError, match=rf"street\.toml: tasks\.{task}\.from: 'reader' asks .* Give a path"):
        check_own_files(d)


def test_boundaries_of_labels_that_the_reader_makes(tmp_path):
    text = GOOD.replace(SEMSEG_PATH, 'from = "reader"') + '[tasks.edges]\nfrom = "semseg"'
    d = load(written(tmp_path, text))
    assert [labels.derived for labels in d.tasks.values()] == ["reader", None, "semseg"]


def test_further_files_camera_and_origin(tmp_path):
    tables = f"[files]\npose = 'pose/{{id}}.txt'\nflow = '{{split}}/{{id}}'\n{CAMERA}[origin]\nurl = 'https://x.org'\n"
    plain, d = (
        load(written(tmp_path, GOOD)),
        load(written(tmp_path, GOOD.replace("[tasks.semseg]", f"{tables}[tasks.semseg]"))),
    )
    assert (plain.files, plain.camera, plain.origin) == ({}, {}, {})
    assert d.files == {"pose": "pose/{id}.txt", "flow": "{split}/{id}"}
    assert d.camera == {"width": 64, "height": 48, "fx": 60, "fy": 61.5, "cx": 32, "cy": 24}
    assert d.origin == {"url": "https://x.org"}
    text = describe(d.file)
    assert re.search(r"\n  pose/\{id\}\.txt +pose: needed for reading\n", text)
    assert "of 64x48 pictures: focal lengths 60 and 61.5, principal point (32, 24)." in text
    digests = {plain.digest(), d.digest()}
    for old, new in (("pose/{id}.txt", "poses/{id}.txt"), ("fx = 60", "fx = 61")):
        digests.add(load(written(tmp_path, d.file.read_text().replace(old, new))).digest())
        written(tmp_path, GOOD.replace("[tasks.semseg]", f"{tables}[tasks.semseg]"))
    assert len(digests) == 4
    assert load(written(tmp_path, d.file.read_text().replace("x.org", "y.org"))).digest() == d.digest()


def test_how_parts_and_saliency_are_stored(tmp_path):
    text = GOOD + f'[tasks.parts]\npath = "p/{{id}}.npy"\n{SALIENCY}threshold = 0.25\n'
    d = load(written(tmp_path, text))
    assert d.info.tasks == ("semseg", "depth", "parts", "saliency")
    assert d.tasks["saliency"].threshold == 0.25
    assert re.search(r"parts: npy \(H, W\), class id = stored value 0\.\.6; 255 = no label", describe(d.file))
    assert "saliency: 8-bit grey PNG, value / 255, foreground above 0.25" in describe(d.file)
    other = load(written(tmp_path, text.replace("0.25", "0.5")))
    assert other.digest() != d.digest()


def test_what_a_description_may_say_of_splits(tmp_path):
    d = load(written(tmp_path, GOOD.replace("[tasks.semseg]", "[splits]\nval = ''\n[tasks.semseg]")))
    assert d.splits == {"train": "train"}
    folders = "inverse_depth = true\n[splits]\ntrain = ['a', 'b']\nval = ['c']\n[about]\nval = 7\n[tasks.semseg]"
    text = GOOD.replace("image/{split}/", "image/").replace("[tasks.semseg]", folders)
    d = load(written(tmp_path, text))
    assert d.splits == {"train": ("a", "b"), "val": ("c",)}
    assert d.about == {"val": 7}
    assert d.info.inverse_depth
    assert "2 folders of the train split: a, b" in describe(d.file)
    assert re.search(
        r"image/\{id\}\.png\s+images of the val split, about 7, in the folders named below", describe(d.file)
    )


def test_optional_texts_in_file_names():
    assert variants("d/{id}[_depth].png") == ("d/{id}_depth.png", "d/{id}.png")
    for plain in ("d/{id}.png", "d[1]/{id}.png", "{id}/x[1].png"):
        assert variants(plain) == (plain,)
