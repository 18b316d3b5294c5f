"""Claims: the print shows them, ties, says otherwise, or has lost what they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from audit_fakes import audited, column, delta, new_root, only, row, write_readings, write_table

from mtlrepro.audit.items import Item
from mtlrepro.errors import SpecError

COLUMNS = [column("seg"), column("dep")]
TEXT = "Ours beats the others"


def claim(over: list[str], columns: list[str], name: str = "Ours", **more: Any) -> dict[str, Any]:
    return {"text": TEXT, "row": name, "over": over, "columns": columns, **more}


def shown(root: Path, ours: dict[str, Any], rivals: dict[str, dict[str, Any]], columns: list[str]) -> Item:
    rows = [row("Ours", **ours), *(row(name, **cells) for name, cells in rivals.items())]
    write_table(root, COLUMNS, rows, claims=[claim(list(rivals), columns)], baseline=None)
    return only(audited(root, "claim"))


BASE = {"seg": "40.0", "dep": "0.500"}


def test_a_claim_that_every_column_and_rival_shows(tmp_path: Path) -> None:
    rivals = {"A": BASE, "B": {"seg": "41.99", "dep": "0.491"}}
    item = shown(new_root(tmp_path), {"seg": "42.0", "dep": "0.490"}, rivals, ["seg", "dep"])
    assert (item.status, item.off, item.reading) == ("follows", 0, "")
    assert (item.row, item.printed, item.column) == ("Ours", TEXT, "Seg, Dep")
    assert (item.low, item.high) == (None, None)
    assert item.against == "4 printed comparisons"


@pytest.mark.parametrize(
    ("cells", "columns", "off", "against"),
    [
        ({"seg": "40.0"}, ["seg"], 0, "Seg against A: 40.0, 40.0"),
        ({"seg": "40.00"}, ["seg"], 0, "Seg against A: 40.00, 40.0"),
        ({"seg": "39.0"}, ["seg"], -1.0, "Seg against A: 39.0, 40.0"),
        ({"dep": "0.600"}, ["dep"], -0.1, "Dep against A: 0.600, 0.500"),
        ({"seg": "50.0", "dep": "0.600"}, ["seg", "dep"], -0.1, "Dep against A: 0.600, 0.500"),
        (
            {"seg": "39.0", "dep": "0.600"},
            ["seg", "dep"],
            -1.0,
            "Seg against A: 39.0, 40.0; Dep against A: 0.600, 0.500",
        ),
    ],
)
def test_a_tie_or_the_contrary_is_open_with_the_cells_that_say_so(
    tmp_path: Path, cells: dict[str, str], columns: list[str], off: float, against: str
) -> None:
    item = shown(new_root(tmp_path), cells, {"A": BASE}, columns)
    assert (item.status, item.against, item.reading) == ("open", against, "")
    assert item.off == pytest.approx(off)


def test_a_claim_about_a_lost_cell_cannot_be_shown(tmp_path: Path) -> None:
    ours = {"seg": "42.0", "dep": "?", "doubts": {"dep": "lost"}}
    item = shown(new_root(tmp_path / "a"), ours, {"A": BASE, "B": BASE}, ["seg", "dep"])
    assert (item.status, item.reading) == ("unchecked", "not printed: Dep of Ours")
    rivals = {"A": BASE, "B": {"seg": "-", "dep": "0.5"}, "C": {"seg": "1.0"}}
    item = shown(new_root(tmp_path / "b"), {"seg": "42.0", "dep": "0.490"}, rivals, ["seg", "dep"])
    assert (item.status, item.reading) == ("unchecked", "not printed: Seg of B, Dep of C")
    assert item.against == "4 printed comparisons"


def test_a_lost_cell_does_not_hide_one_that_contradicts(tmp_path: Path) -> None:
    ours = {"seg": "39.0", "dep": "?", "doubts": {"dep": "lost"}}
    item = shown(new_root(tmp_path), ours, {"A": BASE}, ["seg", "dep"])
    assert (item.status, item.against) == ("open", "Seg against A: 39.0, 40.0")


def test_a_reasoned_cell_counts_as_printed(tmp_path: Path) -> None:
    ours = {"seg": "? 42.0", "doubts": {"seg": "from the text"}}
    assert shown(new_root(tmp_path), ours, {"A": BASE}, ["seg"]).status == "follows"


@pytest.mark.parametrize(("how", "status"), [("stated", "explained"), ("open", "open")])
def test_a_reading_names_the_claims_it_is_about(tmp_path: Path, how: str, status: str) -> None:
    root = new_root(tmp_path)
    write_readings(root, {"kind": "claim", "how": how, "claims": [TEXT]})
    item = shown(root, {"seg": "39.0"}, {"A": BASE}, ["seg"])
    assert (item.status, item.reading) == (status, "because")
    other = new_root(tmp_path / "other")
    write_readings(other, {"kind": "claim", "how": how})  # names none
    item = shown(other, {"seg": "39.0"}, {"A": BASE}, ["seg"])
    assert (item.status, item.reading) == ("open", "")
    third = new_root(tmp_path / "third")
    write_readings(third, {"kind": "claim", "how": how, "claims": [TEXT]})
    item = shown(third, {"seg": "50.0"}, {"A": BASE}, ["seg"])
    assert (item.status, item.reading) == ("follows", "")


def test_a_reading_by_arithmetic_cannot_explain_a_claim(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    write_readings(root, {"kind": "claim", "how": "truncated", "claims": [TEXT]})
    with pytest.raises(SpecError, match="unknown how 'truncated'"):
        shown(root, {"seg": "39.0"}, {"A": BASE}, ["seg"])


SETS = {"sets": [{"key": "A"}, {"key": "B", "idem": "A"}]}
TWO = [column("a", "seg", set="A"), column("b", "seg", set="B"), column("a_dep", "dep", set="A")]
TWO += [column("b_dep", "dep", set="B")]


@pytest.mark.parametrize(
    ("b", "b_dep", "status", "against"),
    [
        ("42.0", "0.490", "follows", "2 printed comparisons"),
        ("42.0", "0.510", "open", "B_dep against Ours: 0.510, 0.500"),
        ("idem", "0.490", "open", "B against Ours: 40.0, 40.0"),  # what it stands for cannot beat itself
        ("?", "0.490", "unchecked", "1 printed comparisons"),
    ],
)
def test_a_claim_across_sets_compares_a_row_with_itself(
    tmp_path: Path, b: str, b_dep: str, status: str, against: str
) -> None:
    root = new_root(tmp_path)
    ours = row("Ours", a="40.0", a_dep="0.500", b=b, b_dep=b_dep, doubts={"b": "lost"} if b == "?" else {})
    across = claim(["Ours"], ["b", "b_dep"], over_columns=["a", "a_dep"])
    write_table(root, TWO, [ours], claims=[across], baseline=None, **SETS)
    item = only(audited(root, "claim"))
    assert (item.panel, item.status) == ("B", status)
    assert item.against == against


def test_a_claim_about_several_sets_is_one_item_for_each(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    rows = [row("Ours", a="42.0", b="39.0"), row("Base", a="40.0", b="40.0")]
    write_table(root, TWO, rows, claims=[claim(["Base"], ["a", "b"])], **SETS)
    assert [(i.panel, i.status) for i in audited(root, "claim")] == [("A", "follows"), ("B", "open")]


def test_a_claim_across_groups(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    rows = [row("Ours", "more", seg="42.0"), row("Ours", "less", seg="40.0"), row("Base", "less", seg="43.0")]
    groups = [{"key": "more"}, {"key": "less"}]
    beats = claim(["less/Ours"], ["seg"], "more/Ours")
    loses = claim(["less/Ours", "less/Base"], ["seg"], "more/Ours", text="and the baseline")
    write_table(root, [column("seg")], rows, claims=[beats, loses], baseline=None, groups=groups)
    items = audited(root, "claim")
    assert [(i.panel, i.row, i.status) for i in items] == [("more", "Ours", "follows"), ("more", "Ours", "open")]
    assert items[1].against == "Seg against Base: 42.0, 43.0"


def test_a_claim_about_gains_reads_them_as_they_are_printed(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    rows = [row("Base", seg="40.0", delta="+ 0.00"), row("Ours", seg="41.0", delta="- 1.71")]
    write_table(root, [column("seg"), delta("seg")], rows, claims=[claim(["Base"], ["delta"])])
    item = only(audited(root, "claim"))
    assert (item.status, item.against) == ("open", "Delta against Base: - 1.71, + 0.00")


@pytest.mark.parametrize(
    ("name", "rival", "status", "against"),
    [
        ("Less", "Base", "follows", "1 printed comparisons"),
        ("Base", "More", "follows", "1 printed comparisons"),
        ("More", "Base", "open", "Params against Base: +5%, 8.0"),
        ("Base", "Less", "open", "Params against Less: 8.0, -5%"),
        ("Same", "Base", "open", "Params against Base: +0%, 8.0"),
    ],
)
def test_the_baseline_row_of_a_relative_column_counts_as_0_percent(
    tmp_path: Path, name: str, rival: str, status: str, against: str
) -> None:
    root = new_root(tmp_path)
    rows = [row(n, params=p) for n, p in {"Base": "8.0", "Less": "-5%", "More": "+5%", "Same": "+0%"}.items()]
    write_table(root, [column("params", relative=True)], rows, claims=[claim([rival], ["params"], name)])
    item = only(audited(root, "claim"))
    assert (item.status, item.against) == (status, against)
    assert item.off == (0 if status == "follows" or name == "Same" else -5)


@pytest.mark.parametrize(
    ("elsewhere", "why"),
    [
        ({}, "no panel"),
        ({"Theirs": {"seg2": "1.0"}}, "no such row in the panel"),
        ({"Base": {"dep2": "1.0"}}, "no such column in the panel"),
    ],
)
def test_a_rival_that_its_panel_does_not_print_cannot_be_compared(
    tmp_path: Path, elsewhere: dict[str, dict[str, str]], why: str
) -> None:
    root = new_root(tmp_path)
    columns = [column("seg", set="A"), column("seg2", "seg", set="B"), column("dep2", "dep", set="B")]
    cells = {"Base": {"seg": "40.0"}, "Theirs": {"seg": "40.0"}}
    rows = [row("Ours", "here", seg="42.0")]
    rows += [row(name, "there", **own, **elsewhere.get(name, {})) for name, own in cells.items()]
    parts = {"sets": [{"key": "A"}, {"key": "B"}], "groups": [{"key": "here"}, {"key": "there"}]}
    across = claim(["there/Base"], ["seg"], "here/Ours", over_columns=["seg2"])
    write_table(root, columns, rows, claims=[across], baseline=None, **parts)
    item = only(audited(root, "claim"))
    assert (item.status, item.reading) == ("unchecked", "not printed: Seg of Base"), why
