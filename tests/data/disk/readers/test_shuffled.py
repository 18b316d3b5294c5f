"""Random splits: conformance vectors of the permutations, overlaps, and what may not be split."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outdoor_copies import COUNTS, copy, read

from mtlrepro.data import dataset_info
from mtlrepro.data.disk.readers.outdoor import Outdoor
from mtlrepro.data.disk.readers.shuffled import POLICIES, Shuffled, dealt
from mtlrepro.errors import DataError, SpecError
from mtlrepro.spec import options

COUNTS_OF = {2126: {"train": 1700, "val": 426}, 9400: {"train": 7520, "val": 1880}}


def _dealt(n: int, policy: str, seed: int = 42) -> dict[str, list[int]]:
    parts = dealt([f"{i:05d}" for i in range(n)], COUNTS_OF[n], policy, seed)
    return {split: [int(name) for name in names] for split, names in parts.items()}


@pytest.mark.parametrize(
    ("n", "train", "released", "disjoint"),
    [
        (2126, [369, 1633, 1072, 1082, 888], [982, 649, 1001, 1706, 1413], [1440, 1112, 1900, 1982, 583]),
        (9400, [3594, 2947, 8605, 1681, 3903], [8214, 4965, 8748, 9210, 8209], [7127, 5954, 8106, 3662, 2879]),
    ],
)
def test_conformance(n: int, train: list[int], released: list[int], disjoint: list[int]) -> None:
    for policy, val in (("released", released), ("disjoint", disjoint)):
        parts = _dealt(n, policy)
        assert parts["train"][:5] == train
        assert parts["val"][:5] == val
        assert {split: len(names) for split, names in parts.items()} == COUNTS_OF[n]


@pytest.mark.parametrize(
    ("n", "seed", "shared"),
    [(2126, 42, 348), (2126, 43, 337), (2126, 44, 350), (9400, 42, 1506), (9400, 43, 1500), (9400, 44, 1505)],
)
def test_the_released_split_overlaps_as_measured(n: int, seed: int, shared: int) -> None:
    parts = _dealt(n, "released", seed)
    assert len({*parts["train"]} & {*parts["val"]}) == shared


@pytest.mark.parametrize("n", COUNTS_OF)
def test_all_images_train_where_another_dataset_is_judged(n: int) -> None:
    parts, released = _dealt(n, "all"), _dealt(n, "released")
    assert sorted(parts["train"]) == list(range(n))
    assert parts["train"][: len(released["train"])] == released["train"]
    assert parts["val"] == released["val"]


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 2**32))
def test_disjoint_deals_every_name_once_in_any_order_of_names(train: int, val: int, seed: int) -> None:
    names, counts = [f"n{i}" for i in range(train + val)], {"train": train, "val": val}
    parts = dealt(names, counts, "disjoint", seed)
    assert sorted(parts["train"] + parts["val"]) == sorted(names)
    assert dealt(names[::-1], counts, "disjoint", seed) == parts


@pytest.mark.parametrize("key", ["synthia", "virtual_kitti2"])
def test_readers_split_a_copy_by_policy(key: str) -> None:
    both = {policy: [read(key, split, policy=policy) for split in COUNTS] for policy in ("released", "disjoint")}
    for policy, readers in both.items():
        assert [len(reader) for reader in readers] == list(COUNTS.values()), policy
    train, val = both["disjoint"]
    assert not {*train.ids} & {*val.ids}
    assert train.ids == both["released"][0].ids
    assert len({r.digest() for r in (train, val, both["released"][0], read(key, split_seed=43))}) == 4
    with pytest.raises(SpecError, match="unknown split policy 'disjunct'"):
        read(key, policy="disjunct")


@pytest.mark.parametrize("key", ["synthia", "virtual_kitti2"])
def test_a_policy_is_told_and_refused_without_files(key: str) -> None:
    with pytest.raises(SpecError, match="unknown split policy 'disjunct'"):
        dataset_info(key, options(policy="disjunct"))
    assert dataset_info(key, options(policy="disjoint")) == dataset_info(key)
    said = Shuffled.remark(policy="disjoint", split_seed=7, size=(64, 96))
    assert said.startswith(f"{Outdoor.remark()}, policy=disjoint (no validation image is a training image")
    assert said.endswith(", split_seed=7")
    assert Shuffled.remark() == Shuffled.remark(policy="released", split_seed=42, normals="released")
    with pytest.raises(SpecError, match="unknown split policy"):
        Shuffled.remark(policy="disjunct")


def test_values_that_stand_are_policies() -> None:
    ((name, values),) = Shuffled.KEPT.items()
    assert name == "policy"
    assert {*values} == {"all"} < {*POLICIES}
    assert not Outdoor.KEPT


@pytest.mark.parametrize("key", ["synthia", "virtual_kitti2"])
def test_readers_expect_what_the_policy_deals(key: str) -> None:
    train, val = (read(key, split, policy="all") for split in COUNTS)
    assert train.expected() == val.expected() == {"train": 5, "val": 1}
    assert (len(train), len(val)) == (5, 1)
    released = read(key)
    assert released.expected() == COUNTS
    assert train.ids[:4] == released.ids
    assert val.ids == read(key, "val").ids
    assert train.overlapping
    assert {*val.ids} <= {*train.ids}
    assert train.digest() != released.digest()
    assert read(key, policy="all", length=2).ids == train.ids[:2]


def test_a_missing_image_is_no_other_split(tmp_path: Path) -> None:
    root = copy("synthia", tmp_path)
    next((root / "RGB").iterdir()).unlink()
    with pytest.raises(DataError, match="4 images, expected 5"):
        read("synthia", base=tmp_path)


def test_a_copy_without_marker_is_held_to_be_incomplete(tmp_path: Path) -> None:
    copy("synthia", tmp_path, marked=False)
    with pytest.raises(DataError, match="5 images, expected 9400"):
        read("synthia", base=tmp_path)
