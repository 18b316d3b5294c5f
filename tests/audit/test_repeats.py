"""Results printed twice: two prints agree if some number rounds to both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from audit_fakes import audited, column, delta, new_root, only, row, write_readings, write_table
from hypothesis import given, settings
from hypothesis import strategies as st

SEG = [column("seg")]
THERE = [{"table": "2", "row": "Same"}]


def repeated(
    root: Path, here: str, there: str, columns: list[Any] = SEG, others: list[Any] = SEG, baseline: Any = None
) -> list[Any]:
    """Items of a table whose row is printed again in table 2."""
    write_table(root, others, [row("Same", **{others[0]["key"]: there})], "2", baseline=baseline)
    write_table(root, columns, [row("Ours", **{columns[0]["key"]: here}, repeats=THERE)], baseline=baseline)
    return audited(root, "repeat")


@pytest.mark.parametrize(
    ("here", "there", "off"),
    [
        ("67.61", "67.61", 0),
        ("67.6", "67.61", 0),
        ("67.61", "67.6", 0),
        ("68", "67.61", 0),
        ("67.6", "67.65", 0),
        ("67.61 ± 0.20", "67.61 ± 0.30", 0),
        ("+ 67.61", "67.61", 0),
        ("67.71", "67.61", 0.09),
        ("67.51", "67.61", -0.09),
        ("67.5", "67.61", -0.055),
    ],
)
def test_prints_agree_where_a_number_rounds_to_both(tmp_path: Path, here: str, there: str, off: float) -> None:
    item = only(repeated(new_root(tmp_path), here, there))
    assert item.status == ("open" if off else "follows")
    assert item.off == pytest.approx(off)
    assert (item.row, item.printed, item.reading) == ("Ours", here, "")
    assert item.against == f"p/2 [Same], printed {there}"


GAIN = [column("params", relative=True)]
UNPRINTED = {"row": ""}


def test_prints_of_the_other_sign_do_not_agree(tmp_path: Path) -> None:
    item = only(repeated(new_root(tmp_path), "-57%", "+57%", GAIN, GAIN, UNPRINTED))
    assert (item.status, item.off) == ("open", pytest.approx(-113))


NUMBER = st.floats(-500, 500)


@settings(deadline=None, max_examples=50)
@given(value=NUMBER, digits=st.integers(0, 4), more=st.integers(0, 4))
def test_two_prints_of_one_number_always_agree(
    tmp_path_factory: pytest.TempPathFactory, value: float, digits: int, more: int
) -> None:
    here, there = (f"{'-' if value < 0 else ''}{abs(value):.{d}f}%" for d in (digits, more))
    root = new_root(tmp_path_factory.mktemp("one"))
    assert only(repeated(root, here, there, GAIN, GAIN, UNPRINTED)).status == "follows"
    back = new_root(tmp_path_factory.mktemp("back"))
    assert only(repeated(back, there, here, GAIN, GAIN, UNPRINTED)).status == "follows"


def root_with_fractions(folder: Path) -> Path:
    """A root whose vocabulary allows mIoU as a fraction too."""
    path = new_root(folder) / "protocols.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('units = ["%"]', 'units = ["%", ""]', 1), encoding="utf-8")
    return folder


def test_prints_in_other_units_are_compared_in_this_one_s(tmp_path: Path) -> None:
    fraction = [column("f", "seg", unit="")]
    assert only(repeated(root_with_fractions(tmp_path / "a"), "67.61", "0.676", SEG, fraction)).status == "follows"
    item = only(repeated(root_with_fractions(tmp_path / "b"), "67.61", "0.677", SEG, fraction))
    assert (item.low, item.high, item.off) == tuple(pytest.approx(v) for v in (67.65, 67.75, -0.035))


def test_lost_reasoned_and_missing_cells_are_left_out(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    columns = [column("seg"), column("dep"), column("nor"), column("parts")]
    doubts = {"seg": "lost", "dep": "lost"}
    rows = [row("Same", seg="1.0", dep="? 1.0", nor="1.0", doubts={"dep": "lost"})]
    write_table(root, columns, rows, "2", baseline=None)
    ours = row("Ours", seg="? 9.0", dep="9.0", nor="-", parts="9.0", doubts=doubts, repeats=THERE)
    write_table(root, columns, [ours], baseline=None)
    assert audited(root, "repeat") == []


def test_relative_and_absolute_prints_are_not_compared(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    relative, absolute = [column("params", relative=True)], [column("params")]
    write_table(root, absolute, [row("Same", params="8.0")], "2", baseline=None)
    write_table(root, relative, [row("Base", params="4.0"), row("Ours", params="+100%", repeats=THERE)])
    assert audited(root, "repeat") == []


def test_every_place_and_every_set_counts(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    sets = {"sets": [{"key": "A"}, {"key": "B", "idem": "A"}]}
    columns = [column("a", "seg", set="A"), column("b", "seg", set="B"), column("c", "dep", set="B")]
    write_table(root, columns, [row("Same", a="1.0", b="2.0", c="3.0")], "2", "other", baseline=None, **sets)
    both, second = {"paper": "other", "table": "2", "row": "Same"}, {"paper": "other", "table": "2", "set": "B"}
    ours = row("Same", seg="2.0", dep="3.0", repeats=[both, second])
    write_table(root, [column("seg"), column("dep")], [ours], baseline=None)
    items = audited(root, "repeat")
    assert [(i.column, i.status, i.against) for i in items] == [
        ("Seg", "open", "other/2 [Same], printed 1.0"),  # the first set that prints it
        ("Dep", "follows", "other/2 [Same], printed 3.0"),
        ("Seg", "follows", "other/2 [B/Same], printed 2.0"),
        ("Dep", "follows", "other/2 [B/Same], printed 3.0"),
    ]


def test_an_idem_cell_repeats_what_it_stands_for(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    sets = {"sets": [{"key": "A"}, {"key": "B", "idem": "A"}]}
    columns = [column("a", "seg", set="A"), column("b", "seg", set="B")]
    write_table(root, columns, [row("Same", a="1.0", b="idem")], "2", baseline=None, **sets)
    ours = row("Ours", seg="1.04", repeats=[{**THERE[0], "set": "B"}])
    write_table(root, SEG, [ours], baseline=None)
    assert only(audited(root, "repeat")).status == "follows"


DELTA = [column("seg"), column("dep"), delta("seg", "dep")]


@pytest.mark.parametrize(
    ("base", "same", "compared"),
    [
        ({"seg": "40.0", "dep": "0.5"}, {}, True),
        ({"seg": "40.00", "dep": "0.500"}, {}, True),  # the same figures with more digits
        ({"seg": "41.0", "dep": "0.5"}, {}, False),
        ({"seg": "40.0"}, {}, False),  # not known to be the same
        ({"seg": "40.0", "dep": "0.5"}, {"dep": "-"}, False),  # the mean of other metrics
    ],
)
def test_deltas_are_compared_where_metrics_and_baselines_are_the_same(
    tmp_path: Path, base: dict[str, str], same: dict[str, str], compared: bool
) -> None:
    root = new_root(tmp_path)
    write_table(root, DELTA, [row("Base", **base), row("Same", delta="+ 5.10", **same)], "2")
    ours = row("Ours", delta="+ 5.00", repeats=THERE)
    write_table(root, DELTA, [row("Base", seg="40.0", dep="0.5"), ours])
    items = audited(root, "repeat")
    assert [(i.column, i.status, i.off) for i in items] == (
        [("Delta", "open", pytest.approx(-0.09))] if compared else []
    )


def test_deltas_whose_baselines_are_not_printed_are_not_compared(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    write_table(root, DELTA, [row("Base", delta="+ 0.00"), row("Same", delta="+ 5.10")], "2")
    write_table(root, DELTA, [row("Base", delta="+ 0.00"), row("Ours", delta="+ 5.00", repeats=THERE)])
    assert audited(root, "repeat") == []


def test_deltas_over_other_metrics_are_other_figures(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    write_table(root, [column("seg"), delta("seg")], [row("Base", seg="40.0"), row("Same", delta="+ 5.10")], "2")
    write_table(root, DELTA, [row("Base", seg="40.0", dep="0.5"), row("Ours", delta="+ 5.00", repeats=THERE)])
    assert audited(root, "repeat") == []


@pytest.mark.parametrize(("how", "status"), [("stated", "explained"), ("open", "open")])
def test_a_reading_of_a_repeat_is_given_where_prints_differ_alone(tmp_path: Path, how: str, status: str) -> None:
    root = new_root(tmp_path)
    write_readings(root, {"kind": "repeat", "how": how})
    item = only(repeated(root, "6.79", "6.797"))
    assert (item.status, item.reading) == (status, "because")
    again = new_root(tmp_path / "again")
    write_readings(again, {"kind": "repeat", "how": how})
    item = only(repeated(again, "6.80", "6.797"))
    assert (item.status, item.reading) == ("follows", "")


@pytest.mark.parametrize(
    ("here", "there", "status"),
    [
        ("6.79", "6.797", "explained"),
        ("06.79 ± 0.52", "6.797 ± 0.520", "explained"),
        ("6.79", "9.99", "open"),
        ("6.81", "6.797", "open"),
    ],
)
def test_cut_off_digits_explain_a_repeat_only_if_they_do(tmp_path: Path, here: str, there: str, status: str) -> None:
    root = new_root(tmp_path)
    write_readings(root, {"kind": "repeat", "how": "truncated"})
    assert only(repeated(root, here, there)).status == status


def test_cut_off_digits_come_before_a_statement(tmp_path: Path) -> None:
    for name, here, reading in (("cut", "6.79", "cut"), ("not cut", "6.70", "said")):
        root = new_root(tmp_path / name)
        stated, cut = {"how": "stated", "text": "said"}, {"how": "truncated", "text": "cut"}
        write_readings(root, {"kind": "repeat", **stated}, {"kind": "repeat", **cut})
        item = only(repeated(root, here, "6.797"))
        assert (item.status, item.reading) == ("explained", reading)
