"""Δ_m, means and relative resources of small tables: what follows, what does not and by how much, what explains it."""

from __future__ import annotations

import itertools
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from audit_fakes import METRICS, audited, column, delta, new_root, only, row, write_readings, write_table
from hypothesis import given, settings
from hypothesis import strategies as st

from mtlrepro.audit.items import Item

TASKS = ("seg", "dep", "nor", "parts", "sal")
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the tables of all examples of a property; each gets an id of its own."""
    return new_root(tmp_path_factory.mktemp("many"))


def judged(root: Path, columns: list[Any], rows: list[Any], **top: Any) -> list[Item]:
    """The Δ items of a new table, without those of its baseline row."""
    table = f"n{next(NUMBERS)}"
    write_table(root, columns, rows, table, **top)
    return [i for i in audited(root, "delta", table) if i.row != "Base"]


AMOUNT = st.floats(1.0, 500.0)
FIGURES = st.lists(st.tuples(AMOUNT, st.integers(0, 3), AMOUNT, st.integers(0, 3)), min_size=1, max_size=5)
"""For each task: metric and digits of its print, baseline and digits of its print."""


def figures(drawn: list[tuple[float, int, float, int]], order: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Printed cells of the row and of the baseline row."""
    mine = {key: f"{value:.{digits}f}" for key, (value, digits, _, _) in zip(order, drawn, strict=False)}
    base = {key: f"{value:.{digits}f}" for key, (_, _, value, digits) in zip(order, drawn, strict=False)}
    return mine, base


def relative_gain(key: str, value: float, base: float) -> float:
    return 100 * (value - base) / base * (1 if METRICS[key][3] == "higher" else -1)


def signed(value: float, digits: int, sign: str = " ") -> str:
    return f"{'-' if value < 0 else '+'}{sign}{abs(value):.{digits}f}"


def extremes(mine: dict[str, str], base: dict[str, str]) -> tuple[float, float]:
    """Least and largest mean gain of any numbers that round to the prints, by trying the corners."""

    def ends(text: str) -> tuple[float, float]:
        half = 0.5 * 10 ** -len(text.partition(".")[2])
        return float(text) - half, float(text) + half

    gains = [[relative_gain(k, m, b) for m, b in product(ends(mine[k]), ends(base[k]))] for k in mine]
    return sum(map(min, gains)) / len(gains), sum(map(max, gains)) / len(gains)


@settings(deadline=None)
@given(FIGURES, st.permutations(TASKS), st.integers(0, 4), st.sampled_from(["", " "]))
def test_a_delta_of_the_unrounded_figures_always_follows(
    many: Path, drawn: list[tuple[float, int, float, int]], order: list[str], digits: int, gap: str
) -> None:
    mine, base = figures(drawn, order)
    value = sum(relative_gain(k, m, b) for k, (m, _, b, _) in zip(mine, drawn, strict=True)) / len(mine)
    columns = [*(column(k) for k in mine), delta(*mine)]
    item = only(judged(many, columns, [row("Base", **base), row("Ours", **mine, delta=signed(value, digits, gap))]))
    assert (item.status, item.off, item.reading) == ("follows", 0, "")
    assert (item.low, item.high) == tuple(pytest.approx(end, rel=1e-7, abs=1e-7) for end in extremes(mine, base))
    assert item.against.endswith("[Base]")


@settings(deadline=None)
@given(FIGURES, st.permutations(TASKS), st.integers(0, 3), st.floats(1e-3, 300), st.booleans())
def test_a_delta_beyond_the_prints_is_open_by_what_it_is_beyond(
    many: Path, drawn: list[tuple[float, int, float, int]], order: list[str], digits: int, beyond: float, above: bool
) -> None:
    mine, base = figures(drawn, order)
    low, high = extremes(mine, base)
    unit = 10.0**-digits
    value = round(high + beyond + unit, digits) if above else round(low - beyond - unit, digits)
    columns = [*(column(k) for k in mine), delta(*mine)]
    item = only(judged(many, columns, [row("Base", **base), row("Ours", **mine, delta=signed(value, digits))]))
    assert item.status == "open"
    assert item.off == pytest.approx((value - unit / 2 - high) if above else (value + unit / 2 - low), abs=1e-5)
    assert (item.off > 0) is above
    assert abs(item.off) > beyond - 1e-5


@pytest.mark.parametrize(
    ("cells", "off"),
    [
        ({"seg": "40", "delta": "+ 0.00"}, 0),
        ({"seg": "40", "delta": "- 0.00"}, 0),
        ({"delta": "0"}, 0),  # needs no figures
        ({"seg": "40", "delta": "+ 0.01"}, 0.005),  # an exact zero, however coarse the figures are
        ({"seg": "40", "delta": "- 1.0"}, -0.95),
    ],
)
def test_the_baseline_row_s_own_delta_is_exactly_0(tmp_path: Path, cells: dict[str, str], off: float) -> None:
    root = new_root(tmp_path)
    write_table(root, [column("seg"), delta("seg", "dep")], [row("Base", **cells)])
    item = only(audited(root, "delta"))
    assert (item.low, item.high, item.against) == (0, 0, "p/1 [Base]")
    assert (item.status, item.off) == ("open" if off else "follows", pytest.approx(off))


def test_a_row_of_the_baseline_s_name_in_another_set_is_not_the_baseline_row(tmp_path: Path) -> None:
    columns = [column("a", "seg", set="A"), column("b", "seg", set="B"), delta("seg", set="B")]
    sets = [{"key": "A"}, {"key": "B", "baseline": {"set": "A"}}]
    root = new_root(tmp_path)
    write_table(root, columns, [row("Base", a="40.0", b="44.0", delta="+10.0")], sets=sets)
    item = only(audited(root, "delta"))
    assert (item.status, item.against) == ("follows", "p/1 [A/Base]")
    assert item.low is not None
    assert item.low > 9


# --- where the figures are --------------------------------------------------------------------------------------------

THREE = [column("seg"), column("dep"), column("nor"), delta("seg", "dep", "nor")]
BASE = {"seg": "40.00", "dep": "0.500", "nor": "20.0"}
MINE = {"seg": "42.00", "dep": "0.490", "nor": "19.0"}
"""Gains of 5, 2 and 5 percent."""


@pytest.mark.parametrize("dash", ["-", "–", "−"])
def test_a_dash_is_left_out_of_the_average(tmp_path: Path, dash: str) -> None:
    root = new_root(tmp_path)
    ours = row("Ours", **{**MINE, "nor": dash}, delta="3.50")
    assert only(judged(root, THREE, [row("Base", **BASE), ours])).status == "follows"
    assert only(judged(root, THREE, [row("Base", **BASE), {**ours, "cells": {**ours["cells"], "delta": "4.00"}}])).off


@pytest.mark.parametrize(
    ("mine", "base", "why"),
    [
        ({"nor": None}, {}, "normals.mean of this row is not printed"),
        ({"nor": "?"}, {}, "normals.mean of this row is not printed"),
        ({}, {"dep": None}, "depth.rmse of the baseline row is not printed"),
        ({}, {"seg": "*"}, "semseg.miou of the baseline row is not printed"),
    ],
)
def test_what_is_not_printed_is_said(
    tmp_path: Path, mine: dict[str, str | None], base: dict[str, str | None], why: str
) -> None:
    cells = [{k: v for k, v in {**c, **changed}.items() if v} for c, changed in ((BASE, base), (MINE, mine))]
    doubts = {key: "lost" for key, text in mine.items() if text == "?"}
    rows = [row("Base", **cells[0]), row("Ours", **cells[1], delta="4.00", doubts=doubts)]
    item = only(judged(new_root(tmp_path), THREE, rows))
    assert (item.status, item.reading) == ("unchecked", why)
    assert (item.low, item.high, item.off) == (None, None, 0)


def test_no_row_is_printed_that_a_delta_refers_to(tmp_path: Path) -> None:
    item = only(judged(new_root(tmp_path), THREE, [row("Ours", **MINE, delta="4.00")], baseline={"row": ""}))
    assert (item.status, item.reading) == ("unchecked", "semseg.miou of the baseline row is not printed")


@pytest.mark.parametrize("where", ["mine", "base"])
def test_a_print_that_reaches_zero_cannot_be_checked(tmp_path: Path, where: str) -> None:
    base, mine = (
        {**cells, "dep": "0.0"} if name == where else cells for name, cells in (("base", BASE), ("mine", MINE))
    )
    item = only(judged(new_root(tmp_path), THREE, [row("Base", **base), row("Ours", **mine, delta="4.00")]))
    assert item.status == "unchecked"


def test_a_reasoned_delta_and_one_without_a_value_are_no_items(tmp_path: Path) -> None:
    rows = [row("Base", **BASE, delta="↓"), row("A", **MINE, delta="-"), row("B", **MINE)]
    rows.append(row("Ours", **MINE, delta="? 9.99", doubts={"delta": "lost"}))
    assert judged(new_root(tmp_path), THREE, rows) == []


@pytest.mark.parametrize("where", ["row", "groups", "sets"])
def test_metrics_printed_in_another_table_count(tmp_path: Path, where: str) -> None:
    root = new_root(tmp_path)
    write_table(root, THREE[:3], [row("Base", **BASE), row("Theirs", **MINE)], "m")
    place = {"table": "m", "row": "Theirs"}
    columns = [delta("seg", "dep", "nor"), column("params")]
    ours, top = row("Ours", delta="4.00"), {"baseline": {"table": "m", "row": "Base"}}
    if where == "row":
        ours["metrics"] = place
    elif where == "groups":
        top["groups"], ours["group"] = [{"key": "g", "metrics": place}], "g"
    else:
        top["sets"], columns = [{"key": "s", "metrics": place}], [{**c, "set": "s"} for c in columns]
    item = only(judged(root, columns, [ours], **top))
    assert (item.status, item.against) == ("follows", "p/m [Base]")
    assert item.low is not None


def test_a_cell_printed_here_comes_before_the_one_elsewhere(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    write_table(root, THREE[:3], [row("Base", **BASE), row("Ours", **MINE)], "m")
    ours = row("Ours", seg="44.00", delta="5.67", metrics={"table": "m"})  # 10, 2 and 5 percent
    item = only(judged(root, [column("seg"), THREE[3]], [ours], baseline={"table": "m", "row": "Base"}))
    assert item.status == "follows"


def test_a_delta_refers_to_what_its_column_set_or_group_says(tmp_path: Path) -> None:
    keys = ("seg", "delta", "same")
    like = {"seg": column("seg"), "delta": delta("seg"), "same": delta("seg", baseline={"set": "A"})}
    columns = [{**like[k], "key": f"{s}_{k}", "set": s} for s in ("A", "B") for k in keys]
    rows = [
        row("Base", "g", A_seg="40.00", B_seg="50.00"),
        row("Ours", "g", A_seg="42.00", A_delta="5.00", B_seg="44.00", B_delta="10.00", B_same="4.76"),
        row("Other", "h", A_seg="20.00", B_seg="10.00"),
        row("Ours", "h", A_seg="30.00", A_delta="50.00", B_seg="36.00", B_delta="80.00", B_same="20.00"),
    ]
    sets = [{"key": "A"}, {"key": "B", "baseline": {"set": "A"}}]
    groups = [{"key": "g"}, {"key": "h", "baseline": {"row": "Other"}}]
    items = judged(new_root(tmp_path), columns, rows, sets=sets, groups=groups)
    assert [(i.panel, i.status, i.against.partition(" ")[2]) for i in items] == [
        ("g/A", "follows", "[g/A/Base]"),
        ("g/B", "follows", "[g/A/Base]"),
        ("g/B", "follows", "[g/A/Ours]"),
        ("h/A", "follows", "[h/A/Other]"),
        ("h/B", "follows", "[h/A/Other]"),
        ("h/B", "follows", "[h/A/Ours]"),
    ]


def test_a_mean_of_printed_gains_follows_from_them_alone(tmp_path: Path) -> None:
    columns = [delta(k, key=k) for k in ("seg", "dep", "nor")] + [delta("seg", "dep", "nor")]
    gains = {"seg": "+1.00", "dep": "–2.50", "nor": "+6.10"}
    root = new_root(tmp_path)
    items = judged(root, columns, [row("Ours", **gains, delta="+1.533")], baseline={"row": ""})
    assert (only(items).column, only(items).status) == ("Delta", "follows")  # the gains themselves are measurements
    assert only(items).against == "the gains printed beside it"
    off = only(judged(root, columns, [row("Ours", **gains, delta="+1.60")], baseline={"row": ""}))
    assert (off.status, off.off) == ("open", pytest.approx(1.595 - 4.615 / 3))


# --- readings ---------------------------------------------------------------------------------------------------------

EXACT_BASE = {"seg": "40.0000", "dep": "0.500000", "nor": "20.0000"}
EXACT = {"seg": "42.0000 ± 1.0", "dep": "0.490000", "nor": "18.9520"}
"""Gains of 5, 2 and 5.24 percent, 4.08 in the mean to 0.001; run by run the mean may lie 0.0204 beside it."""

READINGS: dict[str, dict[str, Any]] = {
    "baseline": {"baseline": {"depth.rmse": "0.600000"}},
    "subset": {"over": ["semseg.miou", "depth.rmse"]},
    "divisor": {"divisor": 5},
    "precision": {"precision": {"normals.mean": 0.05}},
    "runs": {},
    "truncated": {},
}
PRINTS = {
    "baseline": ("9.525", {"baseline"}),
    "subset": ("3.500", {"subset"}),
    "divisor": ("2.448", {"divisor"}),
    "precision": ("4.160", {"precision"}),
    "runs": ("4.100", {"precision", "runs"}),
    "truncated": ("4.0", {"precision", "truncated"}),
    "none": ("5.000", set()),
}
"""A print for each reading, and every reading that it follows under."""


@pytest.mark.parametrize("case", PRINTS)
@pytest.mark.parametrize("how", READINGS)
def test_a_reading_explains_what_follows_under_it_and_nothing_else(tmp_path: Path, how: str, case: str) -> None:
    root = new_root(tmp_path)
    text, explains = PRINTS[case]
    base = {**EXACT_BASE, "seg": f"{EXACT_BASE['seg']} ± 0.8"}
    write_table(root, THREE, [row("Base", **base), row("Ours", **EXACT, delta=text)], runs=3)
    write_readings(root, {"how": how, **READINGS[how]})
    item = only(audited(root, "delta"))
    assert (item.status, item.reading) == (("explained", "because") if how in explains else ("open", ""))
    assert item.off != 0


@pytest.mark.parametrize(("how", "status"), [("stated", "explained"), ("open", "open")])
def test_a_statement_explains_and_an_open_entry_says_that_nothing_does(tmp_path: Path, how: str, status: str) -> None:
    root = new_root(tmp_path)
    write_table(root, THREE, [row("Base", **BASE), row("Ours", **MINE, delta="9.00"), row("B", **MINE, delta="4.00")])
    write_readings(root, {"how": how})
    ours, follows = (i for i in audited(root, "delta") if i.row in ("Ours", "B"))
    assert (ours.status, ours.reading) == (status, "because")
    assert (follows.status, follows.reading) == ("follows", "")


@pytest.mark.parametrize(
    ("text", "value", "explained"),
    [("-4.0", -4.08, True), ("-4.1", -4.18, True), ("-4.2", -4.08, False), ("-4.0", -3.92, False), ("0.0", 0.08, True)],
)
def test_digits_are_cut_off_towards_zero(tmp_path: Path, text: str, value: float, explained: bool) -> None:
    root = new_root(tmp_path)
    ours = row("Ours", seg=f"{100 + value:.4f}", delta=text)
    write_table(root, [column("seg"), delta("seg")], [row("Base", seg="100.0000"), ours])
    write_readings(root, {"how": "truncated"})
    assert only(audited(root, "delta")).status == ("explained" if explained else "open")


OTHER_KIND = {"how": "stated", "over": []}


@pytest.mark.parametrize(
    "about",
    [
        {"rows": ["Theirs"]},
        {"columns": ["other"]},
        OTHER_KIND | {"kind": "mean"},
        OTHER_KIND | {"kind": "repeat"},
        {"table": "2"},
    ],
    ids=str,
)
def test_a_reading_is_about_its_table_kind_rows_and_columns_alone(tmp_path: Path, about: dict[str, Any]) -> None:
    root = new_root(tmp_path)
    cells = {**MINE, "delta": "3.50", "other": "3.50"}
    columns, rows = [*THREE, delta("seg", "dep", "nor", key="other")], [row("Base", **BASE), row("Ours", **cells)]
    for table in ("1", "2"):
        write_table(root, columns, [*rows, row("Theirs", **cells)], table)
    write_readings(root, {"how": "subset", "over": ["semseg.miou", "depth.rmse"], **about})
    found = {(i.row, i.column): i.status for i in audited(root, "delta")}
    for (name, title), status in found.items():
        mine = (about.get("rows") == [name]) or (about.get("columns") == ["other"] and title == "Other")
        assert status == ("explained" if mine else "open"), (name, title)
    if about.get("table") == "2":
        assert {i.status for i in audited(root, "delta", "2")} == {"explained"}


def test_the_first_reading_that_holds_is_given(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    write_table(root, THREE, [row("Base", **BASE), row("Ours", **MINE, delta="3.00")])
    write_readings(
        root,
        {"how": "open", "text": "nothing is known"},
        {"how": "stated", "text": "too late, though said first"},
        {"how": "divisor", "divisor": 9, "text": "no"},
        {"how": "subset", "over": ["normals.mean"], "text": "does not hold either"},
        {"how": "divisor", "divisor": 4, "text": "this"},
        {"how": "stated", "text": "too late"},
    )
    item = only(audited(root, "delta"))
    assert (item.status, item.reading) == ("explained", "this")


RUNS = st.lists(st.floats(-0.02, 0.02), min_size=6, max_size=6)


@settings(deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=3), st.booleans())
def test_gains_averaged_over_runs_follow_under_that_reading(many: Path, noise: list[list[float]], sample: bool) -> None:
    """Whatever three runs did, and whether the printed deviations are of the sample or larger."""
    keys = TASKS[: len(noise)]
    mine, base, value = {}, {}, 0.0
    for key, drawn in zip(keys, noise, strict=True):
        runs = [[60 * (1 + e) for e in drawn[:3]], [50 * (1 + e) for e in drawn[3:]]]
        means = [sum(r) / 3 for r in runs]
        sds = [(sum((x - m) ** 2 for x in r) / 2) ** 0.5 for r, m in zip(runs, means, strict=True)]
        sds = sds if sample else [1.2 * s for s in sds]
        mine[key], base[key] = (f"{m:.2f} ± {s + 0.005:.2f}" for m, s in zip(means, sds, strict=True))
        value += sum(relative_gain(key, m, b) for m, b in zip(*runs, strict=True)) / 3 / len(keys)
    paper = f"q{next(NUMBERS)}"
    rows = [row("Base", **base), row("Ours", **mine, delta=signed(value, 2))]
    write_table(many, [*(column(k) for k in keys), delta(*keys)], rows, paper=paper, runs=3)
    write_readings(many, {"how": "runs"}, paper=paper)
    assert only(audited(many, "delta", paper=paper)).status in ("follows", "explained")


# --- class means and relative resources -------------------------------------------------------------------------------

CLASSES = [column("road"), column("car"), column("sky"), column("seg")]


@pytest.mark.parametrize(("seg", "off"), [("60.0", 0), ("60.2", 0.05), ("59.7", -0.2)])
def test_a_mean_over_classes(tmp_path: Path, seg: str, off: float) -> None:
    root = new_root(tmp_path)
    write_table(root, CLASSES, [row("Ours", road="90.0", car="50.2", sky="39.9", seg=seg)], baseline=None)
    item = only(audited(root, "mean"))
    allowed = (180.1 / 3 - 0.05, 180.1 / 3 + 0.05)
    assert (item.low, item.high) == (pytest.approx(allowed[0]), pytest.approx(allowed[1]))
    printed = (float(seg) - 0.05, float(seg) + 0.05)
    expected = max(printed[0] - allowed[1], 0) + min(printed[1] - allowed[0], 0)
    assert item.off == pytest.approx(expected, abs=1e-9)
    assert (item.off > 0, item.off < 0) == (off > 0, off < 0)
    assert item.status == ("open" if off else "follows")
    assert item.against == "the printed figures of the classes"


def test_a_mean_over_classes_of_which_one_is_lost_or_none_is_printed(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    rows = [
        row("Lost", road="90.0", car="?", sky="39.9", seg="60.0", doubts={"car": "lost"}),
        row("None", seg="60.0"),
    ]
    write_table(root, CLASSES, rows, baseline=None)
    items = audited(root, "mean")
    assert [i.status for i in items] == ["unchecked", "unchecked"]
    assert {i.reading for i in items} == {"the figures of the classes are not printed"}
    write_table(root, [column("seg")], [row("Ours", seg="60.0")], "2", baseline=None)
    assert audited(root, "mean", "2") == []


@pytest.mark.parametrize(("how", "status"), [("stated", "explained"), ("open", "open")])
def test_a_mean_over_classes_can_only_be_explained_by_a_statement(tmp_path: Path, how: str, status: str) -> None:
    root = new_root(tmp_path)
    write_table(root, CLASSES, [row("Ours", road="90.0", car="50.0", sky="40.0", seg="61.0")], baseline=None)
    write_readings(root, {"kind": "mean", "how": how})
    assert only(audited(root, "mean")).status == status


def test_relative_resources_are_named_as_not_checkable(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    columns = [column("params", relative=True)]
    write_table(root, columns, [row("Base", params="8.0"), row("Ours", params="+57%"), row("None", params="-")])
    item = only(audited(root, "relative"))  # the baseline row's amount is absolute, a dash is nothing
    assert (item.row, item.status, item.reading) == ("Ours", "unchecked", "the row's own amount is not printed")
    assert item.against == "p/1 [Base]"
    write_table(root, [column("params")], [row("Ours", params="8.0")], "2", baseline=None)
    assert audited(root, "relative", "2") == []


@pytest.mark.parametrize(("printed", "status"), [("+57%", "follows"), ("+56%", "open"), ("+58%", "open")])
def test_relative_resources_follow_from_amounts_printed_elsewhere(tmp_path: Path, printed: str, status: str) -> None:
    root = new_root(tmp_path)
    write_table(root, [column("params")], [row("Theirs", params="12.560")], "2", baseline=None)
    ours = row("Ours", params=printed, metrics={"table": "2", "row": "Theirs"})
    write_table(root, [column("params", relative=True)], [row("Base", params="8.000"), ours])
    item = only(audited(root, "relative"))
    assert (item.status, item.against) == (status, "p/2 [Theirs]")
    assert item.low == pytest.approx(100 * (12.5595 / 8.0005 - 1))
