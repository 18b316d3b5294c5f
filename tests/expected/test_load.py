"""Table, protocol and tolerance files: what is read, and every way to write one wrong is told in one error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from expected_files import DEP, column, row, write, write_text

from mtlrepro.errors import SpecError
from mtlrepro.expected.load import load_table
from mtlrepro.expected.schema import Place

GOOD = """
schema_version = 2
paper = "p"
table = "1"
dataset = "nyuv2"
caption = "c"
source = "s"
selection = "last"
runs = 1
notes = ["n"]

[baseline]
row = "Base"

[[sets]]
key = "One"
title = "first"

[[sets]]
key = "Two"
idem = "One"
dataset = "nyuv2_13"
baseline = { set = "One" }
metrics = { table = "10" }

[[groups]]
key = "small"
dataset = "synthia"

[[groups]]
key = "large"

[[columns]]
key = "seg"
set = "One"
title = "Seg"
metric = "semseg.miou"
protocol = "miou/dataset@1"
unit = "%"
better = "higher"

[[columns]]
key = "params"
set = "One"
title = "Params"
metric = "params"
protocol = "params@1"
unit = "M"
better = "lower"
relative = true

[[columns]]
key = "delta"
set = "One"
title = "Delta"
metric = "delta_m"
protocol = "delta_m@1"
unit = "%"
better = "higher"
over = ["semseg.miou"]

[[columns]]
key = "seg2"
set = "Two"
title = "Seg"
metric = "semseg.miou"
protocol = "miou/dataset@1"
unit = "%"
better = "higher"

[[rows]]
group = "small"
name = "Base"
cells = { seg = "33.18", params = "8.0", delta = "+ 0.00", seg2 = "idem" }

[[rows]]
group = "small"
name = "Ours"
doubts = { seg = "blurred" }
set_aside = { params = "of another network" }
metrics = { table = "2", row = "MTL" }
repeats = [{ table = "3" }, { table = "4", row = "X" }]
cells = { seg = "? 34.10 ± 0.20", params = "+57%", delta = "-", seg2 = "35.00" }

[[rows]]
group = "large"
name = "Theirs"
origin = "quoted"
source = "their paper"
cells = { seg = "40.00" }

[[claims]]
text = "Ours beats Base"
row = "small/Ours"
over = ["small/Base"]
columns = ["seg"]

[[claims]]
text = "two tasks more help"
row = "small/Ours"
over = ["small/Ours"]
columns = ["seg2"]
over_columns = ["seg"]

[[deviations]]
row = "small/Ours"
column = "params"
observed = 8.9
reason = "r"
evidence = "e"
date = "2026-11-22"
"""


def test_a_good_file_is_read_whole(tmp_path: Path) -> None:
    path = write_text(tmp_path, GOOD)
    table = load_table(path)
    assert (table.paper, table.table, table.runs, table.selection) == ("p", "1", 1, "last")
    assert (table.notes, table.file) == (("n",), path)
    assert table.baseline == Place(row="Base")
    assert [(s.key, s.idem, s.dataset) for s in table.sets] == [("One", "", ""), ("Two", "One", "nyuv2_13")]
    assert (table.sets[1].baseline, table.sets[1].metrics) == (Place(set="One"), Place(table="10"))
    assert [g.key for g in table.groups] == ["small", "large"]
    assert [r.id for r in table.rows] == ["small/Base", "small/Ours", "large/Theirs"]
    ours, theirs = table.row("small", "Ours"), table.row("large", "Theirs")
    assert (ours.doubts, ours.set_aside) == ({"seg": "blurred"}, {"params": "of another network"})
    assert theirs.set_aside == {}
    assert ours.metrics == Place(table="2", row="MTL")
    assert ours.repeats == (Place(table="3"), Place(table="4", row="X"))
    assert [(r.origin, r.source) for r in (ours, theirs)] == [("run", ""), ("quoted", "their paper")]
    assert table.parsed["small/Ours", "delta"] is None
    assert ("large/Theirs", "delta") not in table.parsed
    seg = table.parsed["small/Ours", "seg"]
    assert seg is not None
    assert (seg.value, seg.sd, seg.reasoned) == (34.1, 0.2, True)
    assert [c.over_columns for c in table.claims] == [(), ("seg",)]
    assert table.deviations[0].observed == 8.9


def test_a_table_without_parts_needs_none_of_the_optional_keys(tmp_path: Path) -> None:
    text = GOOD.partition("notes")[0] + (
        '[[columns]]\nkey = "k"\ntitle = "t"\nmetric = "depth.rmse"\nprotocol = "depth/pooled@1"\nunit = "m"\n'
        'better = "lower"\n[[rows]]\nname = "r"\ncells = { k = "1.0" }\n'
    )
    table = load_table(write_text(tmp_path, text))
    assert (table.baseline, table.sets, table.groups, table.claims, table.deviations) == (None, (), (), (), ())
    assert table.rows[0].id == "r"


def test_units_scale_from_the_metric_s_own(tmp_path: Path) -> None:
    columns = {c.key: c.scale for c in load_table(write_text(tmp_path, GOOD)).columns}
    assert columns == {"seg": 100.0, "params": 1e-6, "delta": 1.0, "seg2": 100.0}


def test_a_delta_is_named_after_what_it_averages(tmp_path: Path) -> None:
    figures = [c.figure for c in load_table(write_text(tmp_path, GOOD)).columns]
    assert figures == ["semseg.miou", "params", "delta_m(semseg.miou)", "semseg.miou"]


# --- one error for everything that is wrong ---------------------------------------------------------------------------

SEG = 'protocol = "miou/dataset@1"\nunit = "%"\nbetter = "higher"'
"""The end of the first column."""

TWICE = SEG + '\n\n[[columns]]\nkey = "seg"\nset = "One"\ntitle = "Seg"\nmetric = "semseg.miou"\n' + SEG
KEY = 'key = "seg"\n'
SMALL = 'key = "small"\ndataset = "synthia"'
OURS = "rows[1] 'small/Ours'"

WRONG = {
    # the file
    "schema": ("schema_version = 2", "schema_version = 1", "schema_version", "reads 2", "Set it to 2"),
    "no schema": ("schema_version = 2\n", "", "schema_version", "None", "Set it to 2"),
    "toml": ('paper = "p"', "paper = ", None, "not valid TOML", "Correct"),
    "type": ("runs = 1", 'runs = "1"', "table.runs", "unexpected value '1'", "type int"),
    "notes": ('notes = ["n"]', 'notes = ["n", 1]', "table.notes", "unexpected value", "tuple[str"),
    "no runs": ("runs = 1", "runs = 0", "runs", "0 runs", "1 if"),
    "paper": ('paper = "p"', 'paper = "q"', "paper", "says 'q', its place says 'p'", "agree"),
    "table": ('table = "1"', 'table = "01"', "table", "says '01', its place says '1'", "agree"),
    "selection": ('"last"', '"lats"', "selection", "unknown selection 'lats'", "'last'"),
    # unknown keys, level by level
    "key": ('caption = "c"', 'caption = "c"\ncapton = "c"', "table", "unknown key 'capton'", "'caption'"),
    "row list": ('[[rows]]\ngroup = "large"', '[[row]]\ngroup = "large"', "table", "unknown key 'row'", "'rows'"),
    "baseline key": ('row = "Base"', 'row = "Base"\nrwo = "x"', "baseline", "unknown key 'rwo'", "'row'"),
    "set key": ('title = "first"', 'titel = "first"', "sets[0] 'One'", "unknown key 'titel'", "'title'"),
    "set place": ('{ set = "One" }', '{ ste = "One" }', "sets[1] 'Two'.baseline", "unknown key 'ste'", "'set'"),
    "group key": (SMALL, SMALL + '\nidm = ""', "groups[0] 'small'", "unknown key 'idm'", "'idem'"),
    "column key": ('title = "Seg"', 'titel = "Seg"', "columns[0] 'seg'", "unknown key 'titel'", "'title'"),
    "row key": ("doubts = {", "doubt = {", "rows[1] 'Ours'", "unknown key 'doubt'", "'doubts'"),
    "set aside key": ("set_aside =", "setaside =", "rows[1] 'Ours'", "unknown key 'setaside'", "'set_aside'"),
    "row place": ('row = "MTL"', 'rwo = "MTL"', "rows[1] 'Ours'.metrics", "unknown key 'rwo'", "'row'"),
    "repeat": ('row = "X"', 'rwo = "X"', "rows[1] 'Ours'.repeats[1]", "unknown key 'rwo'", "'row'"),
    "claim key": ('columns = ["seg"]', 'column = ["seg"]', "claims[0]", "unknown key 'column'", "'columns'"),
    "deviation key": ("observed = 8.9", "obsreved = 8.9", "deviations[0]", "unknown key 'obsreved'", "'observed'"),
    # missing keys, level by level
    "no source": ('source = "s"\n', "", "table", "missing key 'source'", "Add it"),
    "no set key": ('key = "One"\n', "", "sets[0]", "missing key 'key'", "Add it"),
    "no group key": (SMALL, 'dataset = "synthia"', "groups[0]", "missing key 'key'", "Add it"),
    "no title": ('title = "Seg"\n', "", "columns[0] 'seg'", "missing key 'title'", "Add it"),
    "no name": ('name = "Ours"\n', "", "rows[1]", "missing key 'name'", "Add it"),
    "no cells": ('cells = { seg = "40.00" }', "", "rows[2] 'Theirs'", "missing key 'cells'", "Add it"),
    "no text": ('text = "Ours beats Base"\n', "", "claims[0]", "missing key 'text'", "Add it"),
    "no reason": ('reason = "r"\n', "", "deviations[0]", "missing key 'reason'", "Add it"),
    # values of another type
    "baseline form": ('[baseline]\nrow = "Base"', 'baseline = "Base"', "baseline", "unexpected value 'Base'", "row ="),
    "place form": ('{ set = "One" }', '"One"', "sets[1] 'Two'.baseline", "unexpected value 'One'", "row ="),
    "place type": ('row = "Base"', "row = 1", "baseline.row", "unexpected value 1", "type str"),
    "repeats form": ('[{ table = "3" }, ', '["3", ', "rows[1] 'Ours'.repeats[0]", "unexpected value '3'", "row ="),
    "over": ('over = ["small/Base"]', 'over = "small/Base"', "claims[0].over", "unexpected value", "tuple[str"),
    "observed": ("observed = 8.9", 'observed = "8.9"', "deviations[0].observed", "unexpected value '8.9'", "float"),
    "cells form": ('cells = { seg = "40.00" }', 'cells = ["40.00"]', "rows[2] 'Theirs'.cells", "unexpected", "dict"),
    "relative": ("relative = true", 'relative = "yes"', "columns[1] 'params'.relative", "unexpected value", "bool"),
    # duplicates
    "column twice": (SEG, TWICE, "columns", "'seg' is there twice", "rename"),
    "row twice": ('name = "Ours"', 'name = "Base"', "rows", "'small/Base' is there twice", "rename"),
    "set twice": ('key = "Two"', 'key = "One"', "sets", "'One' is there twice", "rename"),
    "group twice": ('key = "large"', 'key = "small"', "groups", "'small' is there twice", "rename"),
    # names
    "idem": ('idem = "One"', 'idem = "Oen"', "sets 'Two'.idem", "unknown set 'Oen'", "'One'"),
    "set": (KEY + 'set = "One"', KEY + 'set = "Oen"', "columns[0] 'seg'.set", "unknown set 'Oen'", "'One'"),
    "no set": (KEY + 'set = "One"', KEY, "columns[0] 'seg'.set", "unknown set ''", "One"),
    "group": (
        'group = "small"\nname = "Ours"',
        'group = "smal"\nname = "Ours"',
        "rows[1] 'smal/Ours'.group",
        "'smal'",
        "'small'",
    ),
    "no group": (
        'group = "small"\nname = "Ours"',
        'name = "Ours"',
        "rows[1] 'Ours'.group",
        "unknown group ''",
        "small",
    ),
    "protocol": ("miou/dataset@1", "miou/datset@1", "columns[0] 'seg'.protocol", "'miou/datset@1'", "'miou/dataset@1'"),
    "task": ("semseg.miou", "semsge.miou", "columns[0] 'seg'.metric", "unknown task 'semsge'", "'semseg'"),
    "figure": (
        "semseg.miou",
        "semseg.moiu",
        "columns[0] 'seg'.metric",
        "unknown figure of miou/dataset@1 'moiu'",
        "'miou'",
    ),
    "figure of another": (
        "semseg.miou",
        "semseg.rmse",
        "columns[0] 'seg'.metric",
        "figure of miou/dataset@1 'rmse'",
        "miou",
    ),
    "metric": ("semseg.miou", "semseg", "columns[0] 'seg'.metric", "unknown metric 'semseg'", "<task>.<figure>"),
    "task averaged": (
        'over = ["semseg.miou"]',
        'over = ["semsge.miou"]',
        "columns[2] 'delta'.over",
        "task 'semsge'",
        "'semseg'",
    ),
    "unit": ('unit = "M"', 'unit = "k"', "columns[1] 'params'.unit", "unknown unit 'k'", "GiB"),
    "unit's case": ('unit = "M"', 'unit = "GIB"', "columns[1] 'params'.unit", "unknown unit 'GIB'", "'GiB'"),
    "unit of another": (
        SEG,
        SEG.replace('"%"', '"deg"'),
        "columns[0] 'seg'.unit",
        "unknown unit of miou/dataset@1 'deg'",
        "Known: %",
    ),
    "direction": (SEG, SEG.replace("higher", "hihger"), "columns[0] 'seg'.better", "direction 'hihger'", "'higher'"),
    "other direction": (
        SEG,
        SEG.replace("higher", "lower"),
        "columns[0] 'seg'.better",
        "'lower' for semseg.miou",
        "says higher",
    ),
    "origin": ('origin = "quoted"', 'origin = "quotd"', "rows[2] 'large/Theirs'.origin", "origin 'quotd'", "'quoted'"),
    "figure averaged": (
        'over = ["semseg.miou"]',
        'over = ["semseg.moiu"]',
        "columns[2] 'delta'.over",
        "figure 'moiu'",
        "'miou'",
    ),
    "derived key": ('source = "s"', 'source = "s"\nfile = "x"', "table", "unknown key 'file'", "Known"),
    "idem of a later set": ('title = "first"', 'idem = "Two"', "sets 'One'.idem", "unknown set 'Two'", "Known: none"),
    "idem of nothing": ('idem = "One"', "", "rows[0] 'small/Base'.seg2", "'idem' repeats nothing", "`idem`"),
    "doubt's type": ('"blurred"', "3", "rows[1] 'small/Ours'.doubts.seg", "3 is not a string", "sentence"),
    "set aside for": ('"of another network"', "3", OURS + ".set_aside.params", "3 is not a string", "sentence"),
    "set aside for nothing": ('"of another network"', '" "', OURS + ".set_aside.params", "no reason", "Say why"),
    "a column's baseline": (
        SEG,
        SEG + '\nbaseline = { row = "Base" }',
        "columns[0] 'seg'.baseline",
        "of its own",
        "delta_m",
    ),
    # what Δ and relative columns refer to
    "Δ without": ("[baseline]\nrow", "[[groups]]\nkey", "baseline.row", "no baseline row", "'params' refers to"),
    "relative metric": (SEG, SEG + "\nrelative = true", "columns[0] 'seg'.relative", "is relative", "Only resources"),
    "averages none": ('over = ["semseg.miou"]', "", "columns[2] 'delta'.over", "averages 0", "Name the metrics"),
    "averages": (SEG, SEG + '\nover = ["depth.rmse"]', "columns[0] 'seg'.over", "averages 1", "of it alone"),
    # rows and cells
    "column renamed": ('key = "params"', 'key = "prams"', "rows[0] 'small/Base'.cells", "column 'params'", "'prams'"),
    "cell of no column": (
        'cells = { seg = "? ',
        'cells = { sge = "? ',
        OURS + ".cells",
        "unknown column 'sge'",
        "'seg'",
    ),
    "doubt of no column": ("doubts = { seg", "doubts = { sge", OURS + ".doubts", "unknown column 'sge'", "'seg'"),
    "set aside of no column": ("{ params = ", "{ prams = ", OURS + ".set_aside", "unknown column 'prams'", "'params'"),
    "cell": ('seg = "40.00"', 'seg = "40.O0"', "row 'large/Theirs', seg", "'40.O0' is not a number", "as printed"),
    "unquoted cell": ('seg = "40.00"', "seg = 40.00", "row 'large/Theirs', seg", "40.0 is not a string", "Quote"),
    "lost": ('seg = "40.00"', 'seg = "?"', "rows[2] 'large/Theirs'.doubts", "'?' without a doubt", "Say why seg"),
    "reasoned": (
        'seg = "40.00"',
        'seg = "? 40.00"',
        "rows[2] 'large/Theirs'.doubts",
        "'? 40.00' without a doubt",
        "Say why seg",
    ),
    "no percent": ('params = "+57%"', 'params = "57"', OURS + ".params", "'57' does not fit", "percent sign"),
    "percent": ('params = "8.0"', 'params = "8%"', "rows[0] 'small/Base'.params", "'8%' does not fit", "percent sign"),
    **{
        f"cell {text!r}": (
            'seg = "40.00"',
            f'seg = "{text}"',
            "rows[2] 'large/Theirs'.seg",
            f"{text!r} does not fit",
            "semseg.miou in % are neither negative nor of another form",
        )
        for text in ("-40.00", "− 40.00", "–0.01 ± 0.01", "8h 20m", "17.5GiB")
    },
    "negative count": ('"8.0"', '"-8.0"', "rows[0] 'small/Base'.params", "'-8.0' does not fit", "neither negative"),
    "long cell": ('"40.00"', f'"{"4" * 41}"', "row 'large/Theirs', seg", "is not a number", "as printed"),
    "quoted": ('source = "their paper"', "", "rows[2] 'large/Theirs'.source", "with source ''", "Quoted rows have one"),
    "not quoted": ('origin = "quoted"', "", "rows[2] 'large/Theirs'.source", "'run' with source", "others none"),
    # claims
    "claim row": (
        'row = "small/Ours"\nover = ["small/Base"]',
        'row = "Ours"\nover = ["small/Base"]',
        "claims[0]",
        "unknown row 'Ours'",
        "'small/Ours'",
    ),
    "claim over": (
        'over = ["small/Base"]',
        'over = ["small/Bass"]',
        "claims[0]",
        "unknown row 'small/Bass'",
        "'small/Base'",
    ),
    "claim column": ('columns = ["seg"]', 'columns = ["sge"]', "claims[0].columns", "unknown column 'sge'", "'seg'"),
    "claim other": (
        'over_columns = ["seg"]',
        'over_columns = ["sge"]',
        "claims[1].columns",
        "unknown column 'sge'",
        "'seg'",
    ),
    "claim nothing": ('columns = ["seg"]', "columns = []", "claims[0]", "names no column", "Name the rows and columns"),
    "claim alone": ('over = ["small/Base"]', "over = []", "claims[0]", "no other row", "Name the rows and columns"),
    "claim itself": (
        'over = ["small/Base"]',
        'over = ["small/Ours"]',
        "claims[0].over",
        "against itself",
        "another row",
    ),
    "claim lengths": (
        'over_columns = ["seg"]',
        'over_columns = ["seg", "delta"]',
        "claims[1].over_columns",
        "differs in length",
        "one for each",
    ),
    "claim text": (
        'text = "two tasks more help"',
        'text = "Ours beats Base"',
        "claims[0].text",
        "'Ours beats Base' is there twice",
        "of its own",
    ),
    "claim figures": (
        'over_columns = ["seg"]',
        'over_columns = ["params"]',
        "claims[1].over_columns",
        "'seg2' against 'params'",
        "a figure with itself",
    ),
    "claim sets": (
        'columns = ["seg2"]\nover_columns = ["seg"]',
        'columns = ["seg2", "seg"]\nover_columns = ["seg", "seg"]',
        "claims[1].over_columns",
        "several sets",
        "one claim for each",
    ),
    # deviations
    "deviation row": (
        'row = "small/Ours"\ncolumn',
        'row = "Ours"\ncolumn',
        "deviations[0].row",
        "unknown row 'Ours'",
        "'small/Ours'",
    ),
    "deviation column": ('column = "params"', 'column = "parms"', "deviations[0].column", "column 'parms'", "'params'"),
    "deviation trained": (
        'column = "params"',
        'column = "seg"',
        "deviations[0].column",
        "'seg' is trained",
        "only resources",
    ),
    **{
        f"deviation {new}": (old, new, "deviations[0]", "observed", "such as 2026-11-22")
        for old, new in (
            ("observed = 8.9", "observed = inf"),
            ("observed = 8.9", "observed = nan"),
            ('date = "2026-11-22"', 'date = ""'),
            ('date = "2026-11-22"', 'date = "22.11.2026"'),
            ('date = "2026-11-22"', 'date = "2026-11-22 10:00"'),
        )
    },
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_told_with_file_field_and_mend(case: str, tmp_path: Path) -> None:
    old, new, field, says, mend = WRONG[case]
    assert GOOD.count(old) >= 1
    path = write_text(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        load_table(path)
    assert says in caught.value.problem
    assert Path(str(caught.value.file)) == path
    assert caught.value.field == field
    assert mend in caught.value.mend


HOURS = 'metric = "train_time"\nprotocol = "time/training@1"\nunit = "h"\nbetter = "lower"'
MEMORY = 'metric = "vram"\nprotocol = "vram@1"\nunit = "GiB"\nbetter = "lower"'
COUNT = 'metric = "params"\nprotocol = "params@1"\nunit = "M"\nbetter = "lower"'
RELATIVE = "\nrelative = true"
GAIN = 'metric = "delta_m"\nprotocol = "delta_m@1"\nunit = "%"\nbetter = "higher"\nover = ["semseg.miou"]'


@pytest.mark.parametrize(
    ("body", "text", "fits"),
    [
        (HOURS, "8h 20m", True),
        (HOURS, "8.3", False),
        (HOURS, "8GiB", False),
        (MEMORY, "17.5GiB", True),
        (MEMORY, "17.5", False),
        (MEMORY, "8h 20m", False),
        (COUNT, "8.0", True),
        (COUNT, "8GiB", False),
        (COUNT, "-8.0", False),
        (COUNT + RELATIVE, "+57%", True),
        (COUNT + RELATIVE, "-57%", True),
        (HOURS + RELATIVE, "-57%", True),
        (MEMORY + RELATIVE, "-57%", True),
        (GAIN, "- 1.71", True),
        (GAIN, "8h 20m", False),
        (GAIN, "17.5GiB", False),
    ],
    ids=lambda v: v.partition("\n")[0] + " relative" * ("relative" in v) if isinstance(v, str) else None,
)
def test_cells_have_the_form_of_their_column(body: str, text: str, fits: bool, tmp_path: Path) -> None:
    path = write(tmp_path, '[baseline]\nrow = "Base"', column("k", f'title = "K"\n{body}'), row("Ours", {"k": text}))
    if fits:
        assert load_table(path).parsed["Ours", "k"] is not None
        return
    with pytest.raises(SpecError, match="does not fit") as caught:
        load_table(path)
    assert (caught.value.file, caught.value.field) == (path, "rows[0] 'Ours'.k")
    assert caught.value.mend


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (COUNT, COUNT + RELATIVE),
        (GAIN, GAIN.replace("semseg.miou", "depth.rmse")),
        (DEP, DEP.replace('unit = "m"', 'unit = ""')),
        (DEP, DEP.replace("depth.rmse", "depth.rel")),
    ],
)
def test_a_claim_compares_the_same_figure_in_the_same_form(mine: str, theirs: str, tmp_path: Path) -> None:
    bodies = [body if "title" in body else f'title = "K"\n{body}' for body in (mine, theirs)]
    columns = [column(key, body) for key, body in zip("ab", bodies, strict=True)]
    claim = '[[claims]]\ntext = "t"\nrow = "Ours"\nover = ["Ours"]\ncolumns = ["a"]\nover_columns = ["{}"]\n'
    head = ('[baseline]\nrow = "Base"', *columns, row("Ours", {}))
    with pytest.raises(SpecError, match="'a' against 'b'") as caught:
        load_table(write(tmp_path, *head, claim.format("b")))
    assert (caught.value.field, caught.value.mend) == ("claims[0].over_columns", "Compare a figure with itself")


@pytest.mark.parametrize("kind", ["columns", "rows", "sets", "groups", "claims", "deviations"])
def test_a_list_that_is_none_is_told(kind: str, tmp_path: Path) -> None:
    path = write_text(tmp_path, f'{GOOD.partition("[baseline]")[0]}{kind} = "x"\n')
    with pytest.raises(SpecError, match="not an array of tables") as caught:
        load_table(path)
    assert (caught.value.file, caught.value.field, caught.value.mend) == (path, kind, f"Write each as [[{kind}]]")


def test_a_missing_or_unreadable_file_is_told(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "table_9.toml", "no such file"), (tmp_path, "cannot be read")):
        with pytest.raises(SpecError, match=says) as caught:
            load_table(path)
        assert caught.value.file == path
        assert caught.value.mend


@pytest.mark.parametrize("text", [f"x = {'9' * 5000}", f"x = {'[' * 100_000}"], ids=["digits", "depth"])
def test_a_file_beyond_what_can_be_parsed_is_told(text: str, tmp_path: Path) -> None:
    path = write_text(tmp_path, text)
    with pytest.raises(SpecError, match="not valid TOML") as caught:
        load_table(path)
    assert caught.value.file == path


def test_a_mark_at_the_start_and_other_line_ends_are_read(tmp_path: Path) -> None:
    plain, other = write_text(tmp_path, GOOD), write_text(tmp_path / "other", GOOD)
    other.write_bytes(
        b"\xef\xbb\xbf" + GOOD.replace('caption = "c"', 'caption = """c\nd"""').replace("\n", "\r\n").encode()
    )
    assert load_table(other) == replace(load_table(plain), file=other, caption="c\nd")


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    path = write_text(tmp_path, GOOD)
    path.write_bytes(b"\xff\xfe" + GOOD.encode())
    with pytest.raises(SpecError, match="not valid TOML") as caught:
        load_table(path)
    assert caught.value.file == path


def test_a_table_without_protocols_beside_it_is_told(tmp_path: Path) -> None:
    path = write_text(tmp_path, GOOD)
    (tmp_path / "protocols.toml").unlink()
    with pytest.raises(SpecError, match="no such file") as caught:
        load_table(path)
    assert caught.value.file == tmp_path / "protocols.toml"


def test_unknown_rows_and_columns_are_told_with_the_nearest(tmp_path: Path) -> None:
    table = load_table(write_text(tmp_path, GOOD))
    with pytest.raises(SpecError, match="Did you mean 'small/Ours'"):
        table.row("small", "Our")
    with pytest.raises(SpecError, match=r"unknown row 'large/Ours'.*'small/Ours'"):
        table.row("large", "Ours")
    with pytest.raises(SpecError, match="Did you mean 'seg'"):
        table.column("sgg")
