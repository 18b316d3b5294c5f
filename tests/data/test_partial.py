import contextlib
import hashlib
import os
import pickle
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlrepro.data import published_masks
from mtlrepro.data.partial import KEY, SETTINGS, LabelMask, label_mask, published_file
from mtlrepro.data.published_masks import PUBLISHED, Published, check_published, identify
from mtlrepro.errors import DataError, SpecError

TASKS = ("semseg", "depth", "normals", "occlusion", "reshading", "keypoints", "texture")
TRIO = TASKS[:3]
FOLDER = os.environ.get("MTLREPRO_MASKS")
"""A folder with the released files as <dataset>/<setting>.pth."""

lengths = st.integers(0, 400)
names = st.sampled_from(list(SETTINGS))
several = st.integers(2, len(TASKS))


def counts(mask: LabelMask) -> list[int]:
    return [sum(row[k] for row in mask.table) for k in range(len(mask.tasks))]


def sizes(mask: LabelMask) -> set[int]:
    return {sum(row) for row in mask.table}


def save(file: Path, rows) -> Path:
    torch.save({KEY: torch.tensor(rows, dtype=torch.float32)}, file)
    return file


# Generated masks


@given(lengths, st.integers(1, len(TASKS)))
def test_onelabel_is_balanced(length, columns):
    mask = label_mask("onelabel", TASKS[:columns], length)
    assert sizes(mask) <= {1}
    assert len(mask.table) == sum(counts(mask)) == length
    assert max(counts(mask)) - min(counts(mask)) <= 1


@pytest.mark.parametrize("known", [p for p in PUBLISHED if p.setting == "onelabel"], ids=lambda p: p.name)
def test_onelabel_has_the_counts_of_the_published_masks(known):
    mask = label_mask("onelabel", known.columns, known.rows)
    assert tuple(counts(mask)) == known.counts
    assert identify(mask) == ""
    check_published(mask, known.dataset, known.setting)


@given(names, lengths, several)
def test_every_image_has_as_many_labels_as_its_setting_allows(name, length, columns):
    allowed = {
        "full": {columns},
        "onelabel": {1},
        "randomlabels": set(range(1, columns)),
        "halflabels": {columns // 2, (columns + 1) // 2},
    }
    mask = label_mask(name, TASKS[:columns], length)
    assert sizes(mask) <= allowed[name]
    assert len(mask.table) == length


@pytest.mark.parametrize(("name", "allowed"), [("randomlabels", range(1, 7)), ("halflabels", (3, 4))])
def test_numbers_and_subsets_are_uniform(name, allowed):
    length = 42_000
    mask = label_mask(name, TASKS, length)
    for size in allowed:
        rows = [row for row in mask.table if sum(row) == size]
        subsets = list(combinations(range(7), size))
        assert len(rows) == pytest.approx(length / len(allowed), rel=0.05)
        for subset in subsets:  # five standard deviations
            expected = length / len(allowed) / len(subsets)
            found = sum(all(row[k] for k in subset) for row in rows)
            assert abs(found - expected) < 5 * expected**0.5
    assert sum(counts(mask)) / length == pytest.approx(3.5, abs=0.05)


def test_randomlabels_of_three_tasks_resembles_the_published_mask():
    mask = label_mask("randomlabels", TRIO, 795)
    singles = sum(sum(row) == 1 for row in mask.table)
    assert abs(singles - 397.5) < 5 * (795 / 4) ** 0.5
    assert all(abs(n - 397.5) < 5 * (795 / 4) ** 0.5 for n in counts(mask))


@given(names, lengths, several, st.integers(0, 99))
def test_unlabelled_images_lose_all_and_the_others_nothing(name, length, columns, percent):
    whole = label_mask(name, TASKS[:columns], length)
    mask = label_mask(name, TASKS[:columns], length, unlabelled=percent)
    gone = mask.rows(any_label=False)
    assert len(gone) == length * percent // 100
    assert mask.rows(any_label=True) == sorted(set(range(length)) - set(gone))
    assert all(mask.table[i] == whole.table[i] for i in mask.rows(any_label=True))


@given(lengths, st.lists(st.integers(0, 99), min_size=2, max_size=4).map(sorted))
def test_a_larger_share_holds_a_smaller_one_in_every_setting(length, shares):
    gone = [set(label_mask("onelabel", TRIO, length, unlabelled=p).rows(any_label=False)) for p in shares]
    assert all(few <= many for few, many in pairwise(gone))
    other = label_mask("randomlabels", TRIO, length, unlabelled=shares[0])
    assert set(other.rows(any_label=False)) == gone[0]


def test_which_images_are_unlabelled_does_not_hang_together_with_their_task():
    left = label_mask("onelabel", TRIO, 9000, unlabelled=50)
    assert all(abs(n - 1500) < 5 * (3000 / 4) ** 0.5 for n in counts(left))


GOLDEN = {
    "full": "559720291a96e0b6b7f82d25dcc822da9733ef293f841a537fe461b96f5da289",
    "onelabel": "789432ac99de22b77a51b99c11bc8c504bee347307555f693291c43b899c597f",
    "randomlabels": "17081dc3eddbcf843d5b945e84985485abe0f70de40b53ae038804567e9eac1b",
    "halflabels": "82b7f765a12f56bb9283e65f33ebf376648de1f2ac5ebe649ee2a4ff4befe59e",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_masks_stay_what_they_are(name):
    """A changed mask is another experiment: runs made before would no longer be comparable."""
    tasks = tuple("abcdefg")
    assert label_mask(name, tasks, 97).digest() == GOLDEN[name]


def test_another_process_makes_the_same_mask():
    code = "from mtlrepro.data.partial import label_mask as m; print(m('halflabels', tuple('abcdefg'), 97).digest())"
    env = os.environ | {"PYTHONHASHSEED": "77"}
    assert subprocess.check_output([sys.executable, "-c", code], env=env, text=True).strip() == GOLDEN["halflabels"]


def test_the_global_generator_is_neither_read_nor_moved():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = label_mask("randomlabels", TASKS, 50, unlabelled=30)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert label_mask("randomlabels", TASKS, 50, unlabelled=30) == first


# The mask itself


def test_labelled_reads_the_table_and_lets_other_tasks_pass():
    mask = LabelMask(("depth", "semseg"), ((True, False), (False, True), (False, False)))
    assert [mask.labelled(i, "depth") for i in range(3)] == [True, False, False]
    assert [mask.labelled(i, "semseg") for i in range(3)] == [False, True, False]
    assert all(mask.labelled(i, "edges") for i in range(3))


def test_codes_are_one_digit_for_four_tasks():
    assert LabelMask(TRIO, ((True, False, False), (False, False, True), (False, True, True))).codes() == "146"
    row = (True, False, False, False, False, True, True)
    assert LabelMask(TASKS, (row, (False,) * 7)).codes() == "6100"
    assert LabelMask(TRIO, ()).codes() == ""


@given(names, st.integers(0, 60), several)
def test_codes_tell_the_table(name, length, columns):
    mask = label_mask(name, TASKS[:columns], length)
    width = 1 + (columns > 4)
    codes = [int(mask.codes()[i : i + width], 16) for i in range(0, len(mask.codes()), width)]
    assert tuple(tuple(bool(c >> k & 1) for k in range(columns)) for c in codes) == mask.table


def test_digests_tell_masks_apart_and_sources_do_not():
    mask = label_mask("onelabel", TRIO, 30)
    others = [
        label_mask("onelabel", TRIO, 31),
        label_mask("onelabel", TRIO, 30, unlabelled=10),
        label_mask("onelabel", TRIO[::-1], 30),
        label_mask("randomlabels", TRIO, 30),
    ]
    assert len({mask.digest(), *(m.digest() for m in others)}) == 5
    twin = LabelMask(mask.tasks, mask.table, "elsewhere.pth")
    assert twin == mask
    assert hash(twin) == hash(mask)
    assert twin.digest() == mask.digest()
    assert pickle.loads(pickle.dumps(mask)) == mask


# Bad requests


def test_an_unknown_setting_is_named():
    with pytest.raises(SpecError, match=r"unknown label setting 'onelabels'\. Did you mean 'onelabel'"):
        label_mask("onelabels", TRIO, 10)


@pytest.mark.parametrize("percent", [-1, 100, 33.5, "30"])
def test_a_share_out_of_range_is_refused(percent):
    with pytest.raises(SpecError, match="0 to 99"):
        label_mask("onelabel", TRIO, 10, unlabelled=percent)


@pytest.mark.parametrize(
    ("name", "tasks"), [("randomlabels", TASKS[:1]), ("halflabels", TASKS[:1]), ("onelabel", ()), ("full", ())]
)
def test_a_setting_that_needs_more_tasks_is_refused(name, tasks):
    with pytest.raises(SpecError, match=f"'{name}' does not fit {len(tasks)} task"):
        label_mask(name, tasks, 10)


# Files

ROWS = [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]


@pytest.fixture
def file(tmp_path):
    (tmp_path / "labels").mkdir()
    return save(tmp_path / "labels" / "onelabel.pth", ROWS)


def test_a_file_is_found_and_read(file, tmp_path):
    assert published_file(tmp_path, "onelabel") == file
    assert published_file(tmp_path, "randomlabels") is None
    assert published_file(tmp_path / "x", "onelabel") is None
    mask = label_mask("onelabel", TRIO, 4, published=file)
    assert mask.table == tuple(tuple(map(bool, row)) for row in ROWS)
    assert (mask.codes(), mask.source) == ("1421", str(file))
    half = label_mask("onelabel", TRIO, 4, unlabelled=50, published=file)
    assert half.rows(any_label=False) == label_mask("full", TRIO, 4, unlabelled=50).rows(any_label=False)
    assert half.source == str(file)


class Touch:
    """What a hostile file would hold: a call made while it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


SOUND = torch.tensor(ROWS, dtype=torch.float32)
BAD = {
    "a list": ([SOUND], "holds a list"),
    "a tensor": (SOUND, "holds a Tensor"),
    "another key": ({"weights": SOUND}, r"the keys \['weights'\]"),
    "two keys": ({KEY: SOUND, "more": SOUND}, "expected the single key"),
    "no tensor": ({KEY: ROWS}, "labels_weights: is list"),
    "other numbers": ({KEY: SOUND.double()}, "labels_weights: is torch.float64 of 2 axes"),
    "one axis": ({KEY: SOUND[0]}, "labels_weights: is torch.float32 of 1 axes"),
    "columns": ({KEY: SOUND[:, :2]}, r"labels_weights: 2 columns, expected 3 \(semseg, depth, normals\)"),
    "rows": ({KEY: SOUND[:3]}, "labels_weights: 3 rows, but there are 4 images. .*remove it"),
    "halves": ({KEY: SOUND / 2}, "labels_weights: holds values other than 0 and 1"),
    "NaN": ({KEY: SOUND * float("nan")}, "labels_weights: holds values other than 0 and 1"),
    "two labels": ({KEY: 1 - SOUND}, r"labels_weights: row 0 has 2 labels, 'onelabel' allows \[1\]"),
    "no label": ({KEY: SOUND * torch.tensor([[1], [1], [0], [1]])}, "row 2 has 0 labels"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_holds_something_else_is_refused(case, file):
    content, message = BAD[case]
    torch.save(content, file)
    with pytest.raises(DataError, match=message) as error:
        label_mask("onelabel", TRIO, 4, published=file)
    assert error.value.file == file
    assert "mask" in error.value.mend


def test_code_in_a_file_is_not_executed(file, tmp_path):
    torch.save({KEY: Touch(str(tmp_path / "made"))}, file)
    with pytest.raises(DataError, match="cannot be read as a mask"):
        label_mask("onelabel", TRIO, 4, published=file)
    file.write_bytes(pickle.dumps(Touch(str(tmp_path / "made")), protocol=2))
    with pytest.raises(DataError, match="cannot be read as a mask"):
        label_mask("onelabel", TRIO, 4, published=file)
    assert not (tmp_path / "made").exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.pth: cannot be read as a mask \(FileNotFoundError\)"):
        label_mask("onelabel", TRIO, 4, published=tmp_path / "gone.pth")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("modern", [True, False])
def test_a_damaged_file_is_refused_or_read_but_nothing_else(modern, tmp_path):
    file = tmp_path / "onelabel.pth"
    torch.save({KEY: SOUND}, file, _use_new_zipfile_serialization=modern)
    sound = file.read_bytes()

    def read():
        return label_mask("onelabel", TRIO, 4, published=file)

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, len(sound) - 1), st.integers(0, 255), st.booleans())
    def damaged(place, value, cut):
        file.write_bytes(sound[:place] + (b"" if cut else bytes([value]) + sound[place + 1 :]))
        with contextlib.suppress(DataError):
            assert len(read().table) == 4

    damaged()
    file.write_bytes(sound[: len(sound) // 2])
    with pytest.raises(DataError, match="cannot be read as a mask"):
        read()


# Published masks


@pytest.fixture
def known(file, monkeypatch):
    sha = hashlib.sha256(b"1421").hexdigest()
    record = Published("toy", "onelabel", 4, TRIO, (2, 1, 1), hashlib.sha256(file.read_bytes()).hexdigest(), sha)
    monkeypatch.setattr(published_masks, "PUBLISHED", (record,))
    return record


def test_a_published_mask_is_known_by_its_codes(file, known):
    mask = label_mask("onelabel", TRIO, 4, published=file)
    for made in (mask, mask.without(50)):
        assert identify(made) == "published toy onelabel"
        check_published(made, "toy", "onelabel")
    renamed = label_mask("onelabel", TRIO[::-1], 4, published=file)
    assert identify(renamed) == ""


def test_another_file_in_its_place_is_refused(file, known):
    save(file, ROWS[::-1])
    mask = label_mask("onelabel", TRIO, 4, unlabelled=50, published=file)
    assert identify(mask) == ""
    with pytest.raises(DataError, match="not the published mask toy onelabel") as error:
        check_published(mask, "toy", "onelabel")
    text = str(error.value)
    assert all(part in text for part in (str(file), KEY, known.codes_sha256, known.file_sha256, "generated mask"))
    assert hashlib.sha256(b"1241").hexdigest() in text
    check_published(mask, "other", "onelabel")
    check_published(mask, "toy", "randomlabels")


def test_records_are_sound():
    for record in PUBLISHED:
        assert record.setting in SETTINGS
        assert len(record.columns) == len(record.counts)
        assert record.rows <= sum(record.counts) < record.rows * len(record.columns)
        assert all(len(sha) == 64 == len(f"{int(sha, 16):064x}") for sha in (record.file_sha256, record.codes_sha256))
    assert len({record.codes_sha256 for record in PUBLISHED}) == len({r.name for r in PUBLISHED}) == len(PUBLISHED)


REAL = {
    "nyuv2_13 onelabel": (740305, "1444424212222144441111444111111422124411"),
    "nyuv2_13 randomlabels": (1111083, "6322314523131325151331113625341545526416"),
    "cityscapes_7 onelabel": (6648745, "2121111211122111112111122221121111121112"),
}


@pytest.mark.skipif(FOLDER is None, reason="MTLREPRO_MASKS names no folder with the released files")
@pytest.mark.parametrize("record", PUBLISHED, ids=lambda p: p.name)
def test_the_released_files(record):
    file = Path(FOLDER or "", record.dataset, f"{record.setting}.pth")
    mask = label_mask(record.setting, record.columns, record.rows, published=file)
    assert identify(mask) == f"published {record.name}"
    check_published(mask, record.dataset, record.setting)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == record.file_sha256
    assert tuple(counts(mask)) == record.counts
    checksum = sum(i * int(code) for i, code in enumerate(mask.codes()))
    assert (checksum, mask.codes()[:40]) == REAL[record.name]
