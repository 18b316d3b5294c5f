import json

import pytest

from mtlrepro.data import DATASETS, description_file
from mtlrepro.data.disk.description import load
from mtlrepro.data.disk.information import inform, overview
from mtlrepro.data.disk.origin import PREPARED
from mtlrepro.data.disk.prepare import PREPARATIONS
from mtlrepro.data.disk.prepare.record import NAME, new_record
from mtlrepro.data.disk.synthesize import WRITERS, synthesize
from mtlrepro.errors import DataError, SpecError

ON_DISK = [name for name in DATASETS if description_file(name) is not None]


@pytest.mark.parametrize("name", ON_DISK)
def test_a_dataset_on_disk_says_where_it_comes_from_and_where_it_goes(name):
    d, text = load(description_file(name)), inform(name)
    assert d.origin.keys() >= {"title", "url", "get"}
    assert d.origin["url"].startswith("https://")
    assert d.origin["title"] in text
    assert "licence:" in text
    assert "  size:" in text
    assert f"Put the folder {d.root} into" in " ".join(text.split())
    assert f"mtlrepro data check {name}" in text
    assert all(pattern in text for pattern in (d.image, *(t.path for t in d.tasks.values() if t.path)))
    assert ("data synthesize --layout" in text) == (name in WRITERS)
    assert ("data prepare" in text) == (name in PREPARATIONS)


def test_what_a_preparation_needs_is_named():
    text = inform("nyuv2")
    for file in PREPARATIONS["nyuv2"].needs:
        assert file in text


def test_options_with_their_meaning_and_default():
    text = " ".join(inform("scenes").split())
    assert "needs no files" in text
    assert "classes: 40 or 13, the NYUv2 label set. (default 40)" in text


def test_paragraphs_are_joined_and_commands_kept():
    text = inform("nyuv2")
    assert "\n              tar xzf NYUD_MT.tgz -C DATA\n" in text
    assert max(len(line) for line in inform("nyuv2_invpt").splitlines()) < 121


def test_a_description_of_ones_own(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text('name = "own"\nimage = "{split}/{id}.png"\n[tasks.depth]\npath = "{split}_depth/{id}.npy"\n')
    text = inform(str(file))
    assert f"The files are sought in {tmp_path}" in " ".join(text.split())
    assert "licence" not in text
    file.write_text(file.read_text() + '[origin]\ntitle = "Mine"\nlicence = "CC0"\n')
    assert "licence:  CC0" in inform(str(file))
    with pytest.raises(DataError):
        inform(str(tmp_path / "none.toml"))


def test_an_unknown_name():
    with pytest.raises(SpecError, match="nyuv2"):
        inform("nyuv")


def test_the_overview_says_what_is_here(tmp_path, monkeypatch):
    monkeypatch.delenv("MTLREPRO_DATA", raising=False)
    synthesize("nyuv2_13", tmp_path, {"train": 2, "val": 1}, (32, 48))
    rows = {line.split()[0]: line for line in overview(tmp_path).splitlines()}
    assert list(rows)[1:] == list(DATASETS)
    assert "795/654" in rows["nyuv2_13"]
    assert "(a synthetic copy)" in rows["nyuv2_13"]
    assert "generated" in rows["scenes"]
    assert f"{tmp_path / 'NYUD_MT'} (not found)" in rows["nyuv2"]
    assert overview().splitlines()[-1].startswith("No folder of datasets is known: set MTLREPRO_DATA")


def test_the_overview_opens_no_dataset(tmp_path, monkeypatch):
    """Readers may take minutes to find their samples."""
    synthesize("nyuv2_video", tmp_path, {"train": 2}, (32, 48))
    monkeypatch.setattr("mtlrepro.data.disk.folder.Folder.__init__", lambda *a, **k: pytest.fail("opened"))
    rows = {line.split()[0]: line for line in overview(tmp_path).splitlines()}
    assert rows["nyuv2_video"].endswith("nyu_data (a synthetic copy)")


def test_the_overview_tells_copies_apart(tmp_path):
    synthesize("cityscapes", tmp_path, {"train": 1, "val": 1}, (32, 64))
    (tmp_path / "nyuv2" / "train").mkdir(parents=True)
    (tmp_path / "nyuv2" / NAME).write_text(json.dumps(new_record("nyuv2_13", {})))
    (tmp_path / "NYUD_MT" / "images").mkdir(parents=True)
    (tmp_path / "cityscapes2").mkdir()
    (tmp_path / "cityscapes2/mtlrepro-synthetic.json").write_text("{")
    rows = {line.split()[0]: line for line in overview(tmp_path).splitlines()}
    assert rows["cityscapes"].endswith(f"{tmp_path / 'cityscapes'} (a synthetic copy)")
    assert "(a synthetic copy of cityscapes, lacks leftImg8bit_sequence)" in rows["cityscapes_sequence"]
    assert rows["nyuv2_13"].endswith(f"({PREPARED})")
    assert "(lacks segmentation, lacks normals, lacks edge, lacks depth, lacks gt_sets)" in rows["nyuv2"]
    assert "damaged" in rows["cityscapes_7"]


@pytest.mark.parametrize("name", DATASETS)
def test_options_are_told_without_a_module_to_look_into(name):
    options = inform(name).partition("Options of the reader")[2]
    assert "mtlrepro." not in options
    assert "see `" not in options


@pytest.mark.parametrize("name", ["virtual_kitti2", "synthia", "cityscapes", "pascal_context"])
def test_the_heading_tells_how_a_table_is_run_with_an_option(name):
    heading = "Options of the reader (for the runs of a table: mtlrepro run TABLE --data-option NAME=VALUE):"
    assert heading in inform(name).splitlines()


@pytest.mark.parametrize("name", ["scenes", "drives"])
def test_what_no_table_declares_has_no_such_heading(name):
    assert "Options of the reader:" in inform(name).splitlines()
