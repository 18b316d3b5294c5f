"""Panels: the parts of a printed table, what they refer to, and what is printed elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from expected_files import DELTA, DEP, EXPECTED, PARAMS, SEG, column, part, row, write

from mtlrepro.errors import SpecError
from mtlrepro.expected.cells import Printed
from mtlrepro.expected.load import load_table, table_file
from mtlrepro.expected.panel import Located, Panel, locate, panel_key, panels, trained
from mtlrepro.expected.schema import Place, PrintedTable

COLUMNS = [column("seg", SEG), column("dep", DEP), column("delta", DELTA)]
BASE = row("Base", {"seg": "40.0", "dep": "0.60", "delta": "+0.00"})
OURS = row("Ours", {"seg": "44.0", "dep": "0.54", "delta": "+10.00"})
BASELINE = '[baseline]\nrow = "Base"'


def by_key(table: PrintedTable) -> dict[str, Panel]:
    return {p.key: p for p in panels(table)}


def at(found: Located | None) -> tuple[str, str, str, str]:
    """Table, group, set and row of a place."""
    assert found is not None
    return found.table.table, found.group, found.set, found.row.name


def texts(values: dict) -> dict[str, str]:
    return {figure: cell.text for figure, (_, cell) in values.items()}


def shipped(paper: str, table: str) -> PrintedTable:
    return load_table(table_file(EXPECTED, paper, table))


# --- the parts --------------------------------------------------------------------------------------------------------


def test_a_table_without_parts_is_one_panel(tmp_path: Path) -> None:
    table = load_table(write(tmp_path, BASELINE, *COLUMNS, BASE, OURS, runs=3))
    (panel,) = panels(table)
    assert (panel.key, panel.title, panel.dataset, panel.caption) == ("", "", "nyuv2", "c")
    assert (panel.paper, panel.table, panel.file, panel.runs) == ("p", "1", table.file, 3)
    assert [c.key for c in panel.columns] == ["seg", "dep", "delta"]
    assert [r.name for r in panel.rows] == ["Base", "Ours"]
    assert panel.baseline == "Base"
    assert {k: c.value for k, c in panel.cells(panel.row("Ours")).items()} == {"seg": 44.0, "dep": 0.54, "delta": 10.0}


def parted(tmp_path: Path) -> PrintedTable:
    """Two groups × two sets; the second group prints nothing in the second set but in one row."""
    sets = [part("sets", "A", title='"first"'), part("sets", "B", dataset='"nyuv2_13"', idem='"A"')]
    groups = [part("groups", "x", dataset='"synthia"'), part("groups", "y", title='"the y"'), part("groups", "z")]
    columns = [
        column(f"{s.lower()}_{k}", body, set=f'"{s}"')
        for s in "AB"
        for k, body in (("seg", SEG), ("dep", DEP), ("delta", DELTA))
    ]
    rows = [
        row(
            "Base",
            {"a_seg": "40.0", "a_dep": "0.60", "a_delta": "↓", "b_seg": "idem", "b_dep": "idem", "b_delta": "↓"},
            group='"x"',
        ),
        row("Ours", {"a_seg": "44.0", "a_dep": "-", "a_delta": "+1.0", "b_seg": "45.0"}, group='"x"'),
        row("Base", {"a_seg": "20.0", "a_dep": "0.90"}, group='"y"'),
        row("Ours", {"a_seg": "22.0", "a_dep": "0.80", "b_dep": "0.70"}, group='"y"'),
        row("Base", {"a_seg": "10.0"}, group='"z"'),
    ]
    return load_table(write(tmp_path, BASELINE, *sets, *groups, *columns, *rows))


def test_panels_are_groups_by_sets_that_print_something(tmp_path: Path) -> None:
    assert [p.key for p in panels(parted(tmp_path))] == ["x/A", "x/B", "y/A", "y/B", "z/A"]


def test_a_set_names_its_dataset_before_its_group_and_its_table(tmp_path: Path) -> None:
    datasets = {p.key: p.dataset for p in panels(parted(tmp_path))}
    assert datasets == {"x/A": "synthia", "x/B": "nyuv2_13", "y/A": "nyuv2", "y/B": "nyuv2_13", "z/A": "nyuv2"}


def test_titles_are_those_of_group_and_set(tmp_path: Path) -> None:
    found = by_key(parted(tmp_path))
    assert [found[k].title for k in ("x/A", "x/B", "y/A")] == ["x, first", "x, B", "the y, first"]
    assert found["y/A"].caption == "c [the y, first]"


def test_a_panel_has_the_rows_and_columns_it_prints(tmp_path: Path) -> None:
    found = by_key(parted(tmp_path))
    shape = {k: ([r.name for r in p.rows], [c.key for c in p.columns]) for k, p in found.items()}
    assert shape == {
        "x/A": (["Base", "Ours"], ["a_seg", "a_dep", "a_delta"]),
        "x/B": (["Base", "Ours"], ["b_seg", "b_dep", "b_delta"]),
        "y/A": (["Base", "Ours"], ["a_seg", "a_dep"]),
        "y/B": (["Ours"], ["b_dep"]),
        "z/A": (["Base"], ["a_seg"]),
    }


def test_a_panel_that_prints_nothing_is_none_but_can_be_asked(tmp_path: Path) -> None:
    empty = Panel(parted(tmp_path), "z", "B")
    assert (empty.rows, [c.key for c in empty.columns], empty.baseline) == ((), ["b_seg", "b_dep", "b_delta"], "")


@pytest.mark.parametrize(("group", "set_", "key"), [("", "", ""), ("g", "", "g"), ("", "s", "s"), ("g", "s", "g/s")])
def test_keys_name_group_and_set(group: str, set_: str, key: str) -> None:
    assert panel_key(group, set_) == key


def test_rows_and_columns_of_another_panel_are_told_with_the_nearest(tmp_path: Path) -> None:
    panel = by_key(parted(tmp_path))["y/A"]
    with pytest.raises(SpecError, match=r"unknown row 'Our'.*Did you mean 'Ours'") as caught:
        panel.row("Our")
    assert (caught.value.file, caught.value.field) == (panel.file, "y/A")
    with pytest.raises(SpecError, match=r"unknown column 'a_delta'.*Known: a_dep, a_seg"):
        panel.column("a_delta")
    assert (panel.row("Ours").id, panel.column("a_dep").metric) == ("y/Ours", "depth.rmse")


# --- cells ------------------------------------------------------------------------------------------------------------


def test_idem_is_the_cell_of_the_set_that_is_repeated(tmp_path: Path) -> None:
    panel = by_key(parted(tmp_path))["x/B"]
    base = panel.row("Base")
    assert {k: c.text for k, c in panel.cells(base).items()} == {"b_seg": "40.0", "b_dep": "0.60"}
    assert panel.cell(base, panel.column("b_delta")) is None
    assert trained(panel.metrics(panel.row("Base"))) == {"semseg.miou": pytest.approx(0.40), "depth.rmse": 0.60}


def test_idem_goes_through_several_sets_and_matches_by_metric(tmp_path: Path) -> None:
    sets = [part("sets", "A"), part("sets", "B", idem='"A"'), part("sets", "C", idem='"B"')]
    columns = [column(k, body, set=f'"{k[-1]}"') for k in ("seg_A", "dep_A", "dep_B", "seg_B", "dep_C")
               for body in [SEG if k.startswith("seg") else DEP]]  # fmt: skip
    cells = {"seg_A": "40.0", "dep_A": "0.60", "dep_B": "idem", "seg_B": "idem", "dep_C": "idem"}
    found = by_key(load_table(write(tmp_path, *sets, *columns, row("Base", cells))))
    assert {k: c.text for k, c in found["C"].cells(found["C"].rows[0]).items()} == {"dep_C": "0.60"}
    assert {k: c.text for k, c in found["B"].cells(found["B"].rows[0]).items()} == {"dep_B": "0.60", "seg_B": "40.0"}


def test_cells_without_a_value_are_none(tmp_path: Path) -> None:
    doubts = '{ dep = "lost", seg = "from Table 2" }'
    lines = [BASE, row("Ours", {"seg": "? 44.0", "dep": "?", "delta": "*"}, doubts=doubts)]
    (panel,) = panels(load_table(write(tmp_path, BASELINE, *COLUMNS, *lines)))
    cells = panel.cells(panel.row("Ours"))
    assert {k: (c.value, c.reasoned) for k, c in cells.items()} == {"seg": (44.0, True)}


def test_values_of_a_row_without_a_set_are_those_of_all_sets(tmp_path: Path) -> None:
    table = parted(tmp_path)
    ours = table.row("x", "Ours")
    assert texts(Located(table, "x", "", ours).values())["semseg.miou"] == "44.0"
    assert texts(Located(table, "x", "B", ours).values()) == {"semseg.miou": "45.0"}
    assert texts(Located(table, "y", "", table.row("y", "Ours")).values()) == {
        "semseg.miou": "22.0",
        "depth.rmse": "0.80",
    }


def test_averaged_leaves_out_what_is_printed_as_a_dash(tmp_path: Path) -> None:
    lines = [
        BASE,
        row("minus", {"seg": "44.0", "dep": "-", "delta": "+1.0"}),
        row("en dash", {"seg": "–", "dep": "0.6", "delta": "+1.0"}),
        row("star", {"seg": "*", "dep": "0.6", "delta": "+1.0"}),
        row("left out", {"seg": "44.0", "delta": "+1.0"}),
    ]
    (panel,) = panels(load_table(write(tmp_path, BASELINE, *COLUMNS, *lines)))
    averaged = {r.name: panel.averaged(r, panel.column("delta")) for r in panel.rows}
    both = ("semseg.miou", "depth.rmse")
    assert averaged == {
        "Base": both,
        "minus": ("semseg.miou",),
        "en dash": ("depth.rmse",),
        "star": both,
        "left out": both,
    }


def test_relative_cells_are_those_below_the_baseline(tmp_path: Path) -> None:
    lines = [row("Base", {"params": "8.0"}), row("Ours", {"params": "+57%"})]
    (panel,) = panels(load_table(write(tmp_path, BASELINE, column("params", PARAMS), *lines)))
    assert [panel.relative(n, panel.column("params")) for n in ("Base", "Ours")] == [False, True]
    assert trained(panel.metrics(panel.row("Base"))) == {}


def test_trained_metrics_are_in_their_own_unit() -> None:
    (panel,) = panels(shipped("mti_net", "2a"))
    values = panel.metrics(panel.row("Ours (w/ FPM)"))
    assert trained(values) == {"semseg.miou": pytest.approx(0.3512), "depth.rmse": pytest.approx(0.620)}
    assert "delta_m(semseg.miou, depth.rmse)" in values


# --- baselines --------------------------------------------------------------------------------------------------------


def test_the_baseline_is_a_row_of_the_same_group_and_set(tmp_path: Path) -> None:
    found = by_key(parted(tmp_path))
    assert at(found["x/B"].reference(found["x/B"].row("Ours"))) == ("1", "x", "B", "Base")
    assert at(found["y/A"].reference(found["y/A"].row("Ours"))) == ("1", "y", "A", "Base")
    assert [found[k].baseline for k in ("x/A", "x/B", "y/A")] == ["Base"] * 3


def two_sets(tmp_path: Path, *, table_: str = BASELINE, group: str = "", set_: str = "", col: str = "") -> Panel:
    """The panel g/B of a table whose levels name a baseline each; rows One, Two, Ours in groups g and h."""
    extra = {"baseline": group} if group else {}
    more = {"baseline": set_} if set_ else {}
    columns = [column(f"{s}_{k}", body, set=f'"{s}"') for s in "AB" for k, body in (("seg", SEG), ("dep", DEP))]
    delta = column("delta", DELTA, set='"B"', **({"baseline": col} if col else {}))
    rows = [
        row(name, {"A_seg": f"{10 * i}.0", "A_dep": "0.5", "B_seg": f"{10 * i + 1}.0", "delta": "+1.0"}, group=f'"{g}"')
        for g in "gh"
        for i, name in enumerate(("Base", "Other", "Ours"), 1)
    ]
    write(tmp_path, *COLUMNS, BASELINE, BASE, OURS, table="2")
    parts = [part("sets", "A"), part("sets", "B", **more), part("groups", "g", **extra), part("groups", "h")]
    path = write(tmp_path, table_, *parts, *columns, delta, *rows)
    return by_key(load_table(path))["g/B"]


@pytest.mark.parametrize(
    ("levels", "place", "here"),
    [
        ({}, ("1", "g", "B", "Base"), "Base"),
        ({"group": '{ row = "Other" }'}, ("1", "g", "B", "Other"), "Other"),
        ({"set_": '{ set = "A" }'}, ("1", "g", "A", "Base"), ""),
        ({"set_": '{ set = "A" }', "group": '{ row = "Other" }'}, ("1", "g", "A", "Other"), ""),
        ({"set_": '{ row = "Ours" }', "group": '{ row = "Other" }'}, ("1", "g", "B", "Ours"), "Ours"),
        ({"group": '{ group = "h" }'}, ("1", "h", "B", "Base"), ""),
        ({"table_": '[baseline]\nrow = "Base"\ngroup = "h"'}, ("1", "h", "B", "Base"), ""),
        ({"table_": '[baseline]\nrow = "Base"\ntable = "2"'}, ("2", "", "", "Base"), ""),
        ({"set_": '{ table = "2" }'}, ("2", "", "", "Base"), ""),
        ({"col": '{ set = "A" }'}, ("1", "g", "A", "Ours"), "Base"),
        ({"col": '{ row = "Other" }'}, ("1", "g", "B", "Other"), "Base"),
        ({"col": '{ group = "h", set = "A", row = "Base" }'}, ("1", "h", "A", "Base"), "Base"),
        ({"col": '{ table = "2" }', "set_": '{ set = "A" }'}, ("2", "", "", "Ours"), ""),
    ],
)
def test_the_innermost_level_that_says_something_counts(
    levels: dict[str, str], place: tuple[str, str, str, str], here: str, tmp_path: Path
) -> None:
    panel = two_sets(tmp_path, **levels)
    assert at(panel.reference(panel.row("Ours"), panel.column("delta"))) == place
    assert panel.baseline == here


def test_without_a_column_that_says_otherwise_the_panel_s_baseline_counts(tmp_path: Path) -> None:
    panel = two_sets(tmp_path, col='{ set = "A" }')
    assert at(panel.reference(panel.row("Ours"))) == ("1", "g", "B", "Base")
    assert at(panel.reference(panel.row("Ours"), panel.column("B_seg"))) == ("1", "g", "B", "Base")


def test_a_baseline_that_is_not_printed_is_none(tmp_path: Path) -> None:
    panel = two_sets(tmp_path, table_='[baseline]\nrow = ""')
    assert panel.reference(panel.row("Ours"), panel.column("delta")) is None
    assert panel.baseline == ""


def test_a_baseline_of_another_paper(tmp_path: Path) -> None:
    write(tmp_path, *COLUMNS, BASELINE, BASE, paper="q", table="7")
    table = load_table(write(tmp_path, '[baseline]\npaper = "q"\ntable = "7"\nrow = "Base"', *COLUMNS, OURS))
    (panel,) = panels(table)
    found = panel.reference(panel.row("Ours"))
    assert at(found) == ("7", "", "", "Base")
    assert str(found) == "q/7 [Base]"
    assert panel.baseline == ""


def test_a_place_keeps_the_group_and_set_that_the_other_table_has_too(tmp_path: Path) -> None:
    sets = [part("sets", "A"), part("sets", "B"), part("groups", "g")]
    cells = row("Base", {"seg": "1.0", "dep": "2.0"}, group='"g"')
    write(tmp_path, *sets, column("seg", SEG, set='"A"'), column("dep", DEP, set='"B"'), cells, table="3")
    table = load_table(write(tmp_path, BASELINE, *COLUMNS, BASE))
    found = locate(Place(table="3"), table, "g", "B", "Base")
    assert at(found) == ("3", "g", "B", "Base")
    assert texts(found.values()) == {"depth.rmse": "2.0"}
    assert (found.panel, str(found)) == ("g/B", "p/3 [g/B/Base]")


@pytest.mark.parametrize(
    ("place", "problem", "mend"),
    [
        (Place(row="Bsae"), "unknown row of table 1 'g/Bsae'", "Did you mean 'g/Base'"),
        (Place(set="C"), "unknown set 'C'", "Known: A, B"),
        (Place(group="gg"), "unknown group 'gg'", "Did you mean 'g'"),
        (Place(table="2", row="Bass"), "unknown row of table 2 'Bass'", "Did you mean 'Base'"),
        (Place(table="2", group="g"), "unknown group 'g'", "Known: none"),
        (Place(table="2", set="A"), "unknown set 'A'", "Known: none"),
        (Place(table="99"), "unknown table 'p/99'", "Known: p/1, p/2"),
        (Place(paper="qq"), "unknown table 'qq/1'", "Did you mean 'p/1'"),
    ],
)
def test_an_unknown_place_is_told_with_the_nearest_names(place: Place, problem: str, mend: str, tmp_path: Path) -> None:
    panel = two_sets(tmp_path)
    with pytest.raises(SpecError) as caught:
        locate(place, panel.printed, "g", "B", "Ours")
    assert problem in caught.value.problem
    assert mend in caught.value.mend
    assert (caught.value.file, caught.value.field) == (panel.file, f"row 'Ours': place {place}")


def test_places_read_like_a_citation() -> None:
    assert str(Place("p", "2a", "g", "s", "r")) == "p, Table 2a, g, s, r"
    assert str(Place(table="3", row="r")) == "Table 3, r"


# --- metrics printed elsewhere ----------------------------------------------------------------------------------------


def test_metrics_are_here_or_where_the_row_says(tmp_path: Path) -> None:
    write(tmp_path, BASELINE, *COLUMNS, BASE, OURS, table="2")
    lines = [
        row("Base", {"seg": "40.5", "delta": "+0.0"}, metrics='{ table = "2" }'),
        row("Mine", {"delta": "+9.0"}, metrics='{ table = "2", row = "Ours" }'),
        row("Alone", {"seg": "41.0", "delta": "+1.0"}),
    ]
    (panel,) = panels(load_table(write(tmp_path, BASELINE, *COLUMNS, *lines)))
    delta = "delta_m(semseg.miou, depth.rmse)"
    found = {r.name: texts(panel.metrics(r)) for r in panel.rows}
    assert found == {
        "Base": {"semseg.miou": "40.5", "depth.rmse": "0.60", delta: "+0.0"},
        "Mine": {"semseg.miou": "44.0", "depth.rmse": "0.54", delta: "+9.0"},
        "Alone": {"semseg.miou": "41.0", delta: "+1.0"},
    }
    assert trained(panel.metrics(panel.row("Mine"))) == {"semseg.miou": pytest.approx(0.44), "depth.rmse": 0.54}


def test_metrics_are_where_the_set_or_group_says_unless_the_row_says_otherwise(tmp_path: Path) -> None:
    write(tmp_path, BASELINE, *COLUMNS, BASE, OURS, table="2")
    write(tmp_path, BASELINE, *COLUMNS, row("Ours", {"seg": "50.0"}), row("X", {"seg": "60.0"}), table="3")
    parts = [
        part("sets", "A", metrics='{ table = "2" }'),
        part("sets", "B"),
        part("groups", "g"),
        part("groups", "h", metrics='{ table = "3" }'),
    ]
    columns = [column(f"delta{s}", DELTA, set=f'"{s}"') for s in "AB"]
    cells = {"deltaA": "+1.0", "deltaB": "+2.0"}
    rows = [
        row("Ours", cells, group='"g"'),
        row("Ours", cells, group='"h"'),
        row("Mine", cells, group='"h"', metrics='{ table = "3", row = "X" }'),
    ]
    found = by_key(load_table(write(tmp_path, BASELINE, *parts, *columns, *rows)))

    def seg(panel: str, name: str) -> str | None:
        return texts(found[panel].metrics(found[panel].row(name))).get("semseg.miou")

    assert [seg("g/A", "Ours"), seg("g/B", "Ours")] == ["44.0", None]
    assert [seg("h/A", "Ours"), seg("h/B", "Ours")] == ["44.0", "50.0"]
    assert [seg("h/A", "Mine"), seg("h/B", "Mine")] == ["60.0", "60.0"]


# --- claims, deviations, notes ----------------------------------------------------------------------------------------


def claim(text: str, row_: str, over: list[str], columns: list[str], over_columns: list[str] | None = None) -> str:
    return f'[[claims]]\ntext = "{text}"\nrow = "{row_}"\nover = {over}\ncolumns = {columns}\n' + (
        f"over_columns = {over_columns}\n" if over_columns else ""
    )


def test_claims_are_split_by_set_and_kept_with_their_row(tmp_path: Path) -> None:
    claims = [
        claim("both sets", "x/Ours", ["x/Base"], ["a_seg", "b_seg"]),
        claim("one set", "x/Ours", ["x/Base", "y/Base"], ["a_seg"]),
        claim("sets compared", "x/Ours", ["x/Ours", "y/Ours"], ["b_seg"], ["a_seg"]),
    ]
    path = parted(tmp_path).file
    text = path.read_text().replace('table = "1"', 'table = "1c"', 1) + "\n".join(claims)
    other = path.with_name("table_1c.toml")
    other.write_text(text)
    found = by_key(load_table(other))
    assert [c.text for c in found["x/A"].claims] == ["both sets", "one set"]
    assert [c.text for c in found["x/B"].claims] == ["both sets", "sets compared"]
    assert [c.columns for c in found["x/A"].claims] == [(("a_seg", "a_seg"),)] * 2
    assert [c.columns for c in found["x/B"].claims] == [(("b_seg", "b_seg"),), (("b_seg", "a_seg"),)]
    assert [c.rivals for c in found["x/A"].claims] == [(("x/A", "Base"),), (("x/A", "Base"), ("y/A", "Base"))]
    assert found["x/B"].claims[1].rivals == (("x/A", "Ours"), ("y/A", "Ours"))
    assert {c.row for c in (*found["x/A"].claims, *found["x/B"].claims)} == {"Ours"}
    assert found["y/A"].claims == ()


def test_deviations_are_those_of_the_panel_s_cells(tmp_path: Path) -> None:
    sets = [part("sets", "A"), part("sets", "B")]
    columns = [column(f"par{s}", PARAMS, set=f'"{s}"') for s in "AB"]
    rows = [row("Base", {"parA": "8.0", "parB": "9.0"}), row("Ours", {"parA": "+1%", "parB": "+2%"})]
    known = '[[deviations]]\nrow = "Ours"\ncolumn = "par{}"\nobserved = {}\nreason = "r"\nevidence = "e"\n'
    known += 'date = "2026-11-22"\n'
    text = [known.format("A", 1.5), known.format("B", 2.5)]
    found = by_key(load_table(write(tmp_path, BASELINE, *sets, *columns, *rows, *text)))
    assert {k: [(d.column, d.observed) for d in p.deviations] for k, p in found.items()} == {
        "A": [("parA", 1.5)],
        "B": [("parB", 2.5)],
    }


def test_notes_are_the_table_s_and_the_panel_s_doubts(tmp_path: Path) -> None:
    sets = [part("sets", "A"), part("sets", "B")]
    columns = [column("seg", SEG, set='"A"'), column("dep", DEP, set='"B"')]
    doubted = row("Ours", {"seg": "44.0", "dep": "?"}, doubts='{ seg = "blurred", dep = "lost" }')
    found = by_key(load_table(write(tmp_path, 'notes = ["n1", "n2"]', *sets, *columns, doubted)))
    assert {k: p.notes for k, p in found.items()} == {
        "A": ("n1", "n2", "Ours, Seg: blurred"),
        "B": ("n1", "n2", "Ours, Dep: lost"),
    }


# --- the shipped tables -----------------------------------------------------------------------------------------------


def cell(panel: Panel, name: str, key: str) -> Printed | None:
    return panel.cell(panel.row(name), panel.column(key))


def test_dense_mtl_table_1_has_six_panels() -> None:
    found = by_key(shipped("dense_mtl", "1"))
    groups, sets = ("Synthia", "VKITTI2", "Cityscapes"), ("S-D", "S-D-N")
    assert list(found) == [f"{g}/{s}" for g in groups for s in sets]
    assert [found[f"{g}/S-D"].dataset for g in groups] == ["synthia", "vkitti2", "cityscapes"]
    assert {p.baseline for p in found.values()} == {"STL [27]"}
    idem = cell(found["VKITTI2/S-D-N"], "STL [27]", "sdn_dep")
    assert idem is not None
    assert (idem.text, idem.value, idem.sd) == ("5.720 ± 0.027", 5.720, 0.027)
    lost = cell(found["VKITTI2/S-D-N"], "Ours", "sdn_nor")
    assert lost is not None
    assert (lost.value, lost.reasoned) == (14.44, True)
    assert cell(found["Synthia/S-D-N"], "Ours", "sdn_nor") is None


def test_mti_net_table_5_refers_to_two_single_task_rows() -> None:
    found = by_key(shipped("mti_net", "5"))
    panel = found["Ours/MT"]
    r18 = panel.row("R18-FPN")
    same, r50 = (panel.reference(r18, panel.column(k)) for k in ("delta_st", "delta_r50"))
    assert (at(same), at(r50)) == (("5", "Ours", "ST", "R18-FPN"), ("5", "Ours", "ST", "R50-FPN"))
    assert same is not None
    assert r50 is not None
    assert texts(same.values())["semseg.miou"] == "64.5"
    assert texts(r50.values())["semseg.miou"] == "67.7"
    assert (panel.baseline, panel.reference(r18)) == ("", None)
    other = found["ASTMT [29]/MT"]
    assert at(other.reference(other.row("R26-DLv3+"), other.column("delta_r50"))) == ("5", "Ours", "ST", "R50-FPN")


def test_mti_net_table_7a_has_its_metrics_from_table_2a() -> None:
    (panel,) = panels(shipped("mti_net", "7a"))
    mtl = texts(panel.metrics(panel.row("Multi-Task")))
    assert (mtl["semseg.miou"], mtl["depth.rmse"]) == ("32.09", "0.668")
    assert mtl["delta_m(semseg.miou, depth.rmse)"] == "-1.71%"
    assert trained(panel.metrics(panel.row("Multi-Task"))) == {
        "semseg.miou": pytest.approx(0.3209),
        "depth.rmse": 0.668,
    }
    assert len(panel.deviations) == 3


def test_jtr_table_12_reads_metrics_from_table_10_and_baselines_from_table_11() -> None:
    found = by_key(shipped("jtr", "12"))
    assert list(found) == ["NYU-v2 onelabel", "NYU-v2 randomlabels", "Cityscapes onelabel"]
    for key, panel in found.items():
        line = panel.row("Ours (JTR)")
        assert at(panel.reference(line, panel.columns[0])) == ("11", key, "", "STL")
        assert panel.baseline == ""
    random, city = found["NYU-v2 randomlabels"], found["Cityscapes onelabel"]
    assert trained(random.metrics(random.row("MTPSL"))) == {
        "semseg.miou": pytest.approx(0.3560),
        "depth.abs_err": 0.5576,
        "normals.mean": 29.70,
    }
    assert trained(city.metrics(city.row("Supervised MTL"))) == {
        "semseg.miou": pytest.approx(0.6835),
        "depth.abs_err": 0.0178,
    }
    base = city.reference(city.row("MTPSL"), city.columns[0])
    assert base is not None
    assert trained(base.values()) == {"semseg.miou": pytest.approx(0.7032), "depth.abs_err": 0.0134}


def test_mti_net_table_2b_averages_small_sets_over_three_tasks() -> None:
    (panel,) = panels(shipped("mti_net", "2b"))
    delta = panel.column("delta")
    assert panel.averaged(panel.row("MTL (s)"), delta) == ("semseg.miou", "parts.miou", "saliency.miou")
    assert panel.averaged(panel.row("MTL (a)"), delta) == delta.over


def test_jtr_table_14_refers_to_table_1() -> None:
    (panel,) = panels(shipped("jtr", "14"))
    assert at(panel.reference(panel.row("JTR"))) == ("1", "randomlabels", "", "Supervised MTL*")
