"""`audit.toml`: what is read, and every way of writing it wrong is one error with file, entry and nearest name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from audit_fakes import audited, column, delta, new_root, row, toml, write_readings, write_table

from mtlrepro.audit.items import Item
from mtlrepro.audit.readings import HOW, Reading, load_readings
from mtlrepro.audit.run import unused
from mtlrepro.errors import SpecError
from mtlrepro.expected.load import load_all

CLAIM = {"text": "Ours beats Base", "row": "Ours", "over": ["Base"], "columns": ["seg"]}
GOOD: dict[str, Any] = {
    "table": "1",
    "kind": "delta",
    "how": "baseline",
    "text": "because",
    "rows": ["Ours"],
    "columns": ["delta"],
    "baseline": {"semseg.miou": "41.0"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = new_root(tmp_path)
    rows = [row("Base", seg="40.0"), row("Ours", seg="42.0", delta="9.0")]
    write_table(root, [column("seg"), delta("seg")], rows, claims=[CLAIM])
    return root


def test_a_good_file_is_read_whole(root: Path) -> None:
    write_readings(root, {**GOOD, "over": ["semseg.miou"], "divisor": 3, "precision": {"semseg.miou": 1}})
    (reading,) = load_readings(root, "p")
    assert (reading.table, reading.kind, reading.how, reading.text) == ("1", "delta", "baseline", "because")
    assert (reading.rows, reading.columns, reading.claims) == (("Ours",), ("delta",), ())
    assert {m: (c.text, c.half_unit) for m, c in reading.replaced().items()} == {
        "semseg.miou": ("41.0", pytest.approx(0.05))
    }
    assert (reading.over, reading.divisor, reading.precision) == (("semseg.miou",), 3, {"semseg.miou": 1})


def test_a_paper_without_a_file_has_no_readings(root: Path) -> None:
    assert load_readings(root, "p") == ()


@pytest.mark.parametrize(
    ("reading", "about"),
    [
        (Reading("1", "delta", "open", "t"), [True, True, True]),
        (Reading("1", "delta", "open", "t", rows=("g/A",)), [True, True, False]),
        (Reading("1", "delta", "open", "t", columns=("x",)), [True, False, True]),
        (Reading("1", "delta", "open", "t", rows=("g/A",), columns=("x",)), [True, False, False]),
    ],
)
def test_what_a_reading_is_about(reading: Reading, about: list[bool]) -> None:
    assert [reading.about(*cell) for cell in (("g/A", "x"), ("g/A", "y"), ("g/B", "x"))] == about


def changed(**by: Any) -> dict[str, Any]:
    return {k: v for k, v in {**GOOD, **by}.items() if v is not None}


WRONG: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "key": (changed(collumns=["delta"]), "readings[1]", "unknown key 'collumns'", "'columns'"),
    "kind": (changed(kind="dleta"), "readings[1].kind", "unknown kind 'dleta'", "'delta'"),
    "how": (changed(how="baselin"), "readings[1].how", "unknown how 'baselin'", "'baseline'"),
    "table": (changed(table="1a"), "readings[1].table", "unknown table '1a'", "'1'"),
    "row": (changed(rows=["Our"]), "readings[1].rows", "unknown row 'Our'", "'Ours'"),
    "column": (changed(columns=["dleta"]), "readings[1].columns", "unknown column 'dleta'", "'delta'"),
    "claim": (
        changed(kind="claim", how="open", claims=["Ours beats Bose"]),
        "readings[1].claims",
        "unknown claim 'Ours beats Bose'",
        "'Ours beats Base'",
    ),
    "no text": (changed(text=None), "readings[1]", "missing key 'text'", "Add it"),
    "no kind": (changed(kind=None), "readings[1]", "missing key 'kind'", "Add it"),
    "no how": (changed(how=None), "readings[1]", "missing key 'how'", "Add it"),
    "no table": (changed(table=None), "readings[1]", "missing key 'table'", "Add it"),
    "type": (changed(rows="Ours"), "readings[1].rows", "unexpected value 'Ours'", "Give a value of type"),
    "unquoted": (
        changed(baseline={"semseg.miou": 41.0}),
        "readings[1].baseline.semseg.miou",
        "41.0 is not a string",
        "Quote",
    ),
    "number": (changed(baseline={"semseg.miou": "4l"}), "readings[1].baseline.semseg.miou", "'4l' is not a", "digits"),
    "no baseline": (changed(baseline=None), "readings[1]", "says nothing about 'baseline'", "Give baseline a value"),
    "no metrics": (changed(how="subset"), "readings[1]", "says nothing about 'subset'", "a value"),
    "no divisor": (changed(how="divisor"), "readings[1]", "says nothing about 'divisor'", "Give divisor a value"),
    "no precision": (changed(how="precision"), "readings[1]", "says nothing about 'precision'", "Give precision"),
    **{
        f"precision of {half}": (
            changed(how="precision", precision={"semseg.miou": half}),
            "readings[1].precision.semseg.miou",
            repr(half),
            "above 0",
        )
        for half in (0, -0.5, math.inf, math.nan, "0.5")
    },
    "divisor below 0": (changed(how="divisor", divisor=-3), "readings[1].divisor", "-3", "a positive number"),
    "divisor as text": (changed(how="divisor", divisor="3"), "readings[1].divisor", "unexpected value '3'", "int"),
    "how of a mean": (changed(kind="mean", how="divisor", divisor=3), "readings[1].how", "how 'divisor'", "stated"),
    "how of a relative": (changed(kind="relative", how="runs"), "readings[1].how", "how 'runs'", "stated"),
    "how of a repeat": (changed(kind="repeat", how="subset"), "readings[1].how", "how 'subset'", "truncated"),
    "how of a claim": (changed(kind="claim", how="truncated"), "readings[1].how", "how 'truncated'", "stated"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_entry_is_told_with_file_entry_and_mend(root: Path, case: str) -> None:
    entry, field, says, mend = WRONG[case]
    path = root / "p" / "audit.toml"
    path.write_text(f"readings = {toml([GOOD, entry])}\n")
    with pytest.raises(SpecError) as caught:
        load_readings(root, "p")
    assert (Path(str(caught.value.file)), caught.value.field) == (path, field)
    assert says in caught.value.problem
    assert mend in caught.value.mend
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[reading]]\ntable = '1'", "unknown key 'reading'"),
        ("[readings]\ntable = '1'", "not an array of tables"),
        ("[[readings]\n", "not valid TOML"),
    ],
)
def test_a_file_of_another_form_is_told(root: Path, text: str, says: str) -> None:
    path = root / "p" / "audit.toml"
    path.write_text(text)
    with pytest.raises(SpecError, match=says) as caught:
        load_readings(root, "p")
    assert caught.value.file == path


@pytest.mark.parametrize("key", ["baseline", "over", "precision"])
def test_a_metric_that_the_table_does_not_have_is_told(root: Path, key: str) -> None:
    how = {"over": "subset"}.get(key, key)
    value = {"baseline": {"semseg.moiu": "41.0"}, "over": ["semseg.moiu"], "precision": {"semseg.moiu": 0.5}}[key]
    write_readings(root, changed(**{"how": how, key: value}))
    with pytest.raises(SpecError, match=r"semseg.moiu.*semseg.miou"):
        load_readings(root, "p")


def test_what_can_be_checked_comes_before_what_is_stated_and_what_is_open(root: Path) -> None:
    hows = ("open", "stated", "truncated", "open", "runs", "stated")
    write_readings(root, *({"how": how, "text": f"{how} {i}"} for i, how in enumerate(hows)))
    texts = [r.text for r in load_readings(root, "p")]
    assert texts == ["truncated 2", "runs 4", "stated 1", "stated 5", "open 0", "open 3"]


def test_a_wrong_entry_is_counted_as_in_the_file(root: Path) -> None:
    write_readings(root, {"how": "open"}, changed(rows=["Our"]))
    with pytest.raises(SpecError, match="unknown row 'Our'") as caught:
        load_readings(root, "p")
    assert caught.value.field == "readings[1].rows"


def test_a_link_to_nowhere_is_not_a_paper_without_a_file(root: Path) -> None:
    (root / "p" / "audit.toml").symlink_to(root / "nowhere.toml")
    with pytest.raises(SpecError, match="no such file") as caught:
        load_readings(root, "p")
    assert caught.value.file == root / "p" / "audit.toml"


def test_a_wrong_file_stops_the_audit_of_its_paper(root: Path) -> None:
    write_readings(root, changed(kind="dleta"))
    with pytest.raises(SpecError, match="unknown kind"):
        audited(root, "delta")


def test_readings_that_explain_nothing_are_found(root: Path) -> None:
    explains, wrong = changed(how="stated", text="used"), changed(text="does not hold")
    never = changed(how="open", kind="repeat", text="about nothing")
    write_readings(root, wrong, explains, never)
    items: list[Item] = audited(root, "delta")
    told = unused(list(load_all(root)), items)
    assert [line.partition(" explains nothing: ")[2] for line in told] == ["does not hold", "about nothing"]
    assert all(line.startswith("p/audit.toml: ") for line in told)
    assert unused([], items) == []


def test_the_kinds_are_those_of_items() -> None:
    from mtlrepro.audit import items

    assert tuple(HOW) == items.KINDS
    assert len({how for kinds in HOW.values() for how in kinds}) == 8
