"""Every printed string is in the text of its paper, row by row in printed order.

The texts are not part of the repository. Name a folder with <paper>.txt files in MTLREPRO_PAPERS to run this; the
finder itself is always tested, on a small text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from expected_files import EXPECTED, SHIPPED

from mtlrepro.expected.cells import DASHES, IDEM, NO_VALUE
from mtlrepro.expected.load import load_table
from mtlrepro.expected.schema import PrintedTable

GAP = 80
"""Characters without a digit that may stand between two cells of a row: other cells without a value, markup."""

BETWEEN = 260
"""Characters between two rows: a row's name, a heading, the line of a table that stands beside."""

NAMES_APART = {
    ("dense_mtl", "3"): "printed as check marks, whose places the text has lost",
    ("dense_mtl", "A2"): "figures of a running sentence",
    ("jtr", "8"): "a formula (L_Recon), garbled in the text",
    ("jtr", "11"): "the lines are named by dataset and scenario, which are groups here",
}
"""Tables with rows whose names do not stand before their cells, and why."""


@dataclass(frozen=True)
class Lines:
    """What is looked for: row id -> (column key, printed string) in printed order, and where it comes from."""

    what: str
    rows: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def normalised(text: str) -> str:
    """Plain minus signs, "±" without the words around it or blanks."""
    text = text.translate(DASHES).replace("\xa0", " ")
    return re.sub(r"\s*±(?:plus-or-minus)?(?:\\pm)?\s*", "±", text)


def lines(table: PrintedTable) -> Lines:
    """The cells that must be found; those without a digit in print, lost ones and reasoned ones are left out."""
    keys = [c.key for c in table.columns]
    rows = []
    for row in table.rows:
        cells = [(k, row.cells[k]) for k in keys if k in row.cells]
        rows.append((row.id, tuple((k, t) for k, t in cells if t not in (*NO_VALUE, IDEM) and not t.startswith("?"))))
    return Lines(f"{table.paper} table {table.table}", tuple(r for r in rows if r[1]))


@cache
def pattern(cell: str) -> str:
    """A cell's string as a whole: no digit, sign or deviation before it or after it that it does not have."""
    parts = [re.escape(p) for p in re.split(r"\s+", normalised(cell))]
    joined = r"\s*".join(parts)
    joined = re.sub(r"^(\\?[+-])", r"\1[ ]?", joined)
    signed = cell.translate(DASHES)[0] in "+-"
    before = r"(?<![\d.±+-])" if signed else r"(?<![\d.±+-])(?<![+-] )"
    return before + joined + r"(?![\d%±A-Za-z]|\.\d)"


@cache
def row_pattern(cells: tuple[str, ...]) -> re.Pattern[str]:
    """The cells of a row, one after the other with no digit between them."""
    return re.compile(rf"[^\d]{{1,{GAP}}}?".join(map(pattern, cells)))


def places(wanted: Lines, text: str) -> list[tuple[int, int]]:
    """Start and end of as many first rows as stand one after the other, in the most complete place."""
    best: list[tuple[int, int]] = []
    for start in row_pattern(tuple(t for _, t in wanted.rows[0][1])).finditer(text):
        spans = [start.span()]
        for _, cells in wanted.rows[1:]:
            at = spans[-1][1]
            found = row_pattern(tuple(t for _, t in cells)).search(text, at, at + 3 * BETWEEN)
            if found is None or found.start() - at > BETWEEN:
                break
            spans.append(found.span())
        if len(spans) > len(best):
            best = spans
        if len(best) == len(wanted.rows):
            break
    return best


def first_missing(wanted: Lines, text: str) -> str | None:
    """None if the rows are in the text, one after the other; else what is missing, in the most complete place."""
    count = len(places(wanted, text))
    if count == len(wanted.rows):
        return None
    name, cells = wanted.rows[count]
    lonely = [t for _, t in cells if not re.search(pattern(t), text)]
    where = f"; nowhere in the text: {', '.join(map(repr, lonely))}" if lonely else ""
    return f"{wanted.what}, row {name!r}: {' | '.join(t for _, t in cells)}{where}"


def bare(text: str) -> str:
    """Letters and digits alone, without markup."""
    return re.sub(r"<[^>]*>|\\(?:times|downarrow)|[\W_]", "", text)


def unnamed(wanted: Lines, names: dict[str, str], text: str) -> list[str]:
    """Rows whose name does not stand before their cells; blanks, marks and cells without a digit may follow it."""
    spans = places(wanted, text)
    ends = [max(0, spans[0][0] - BETWEEN), *(end for _, end in spans)]
    found = zip(wanted.rows, spans, ends, strict=False)
    return [row for (row, _), (start, _), end in found if not bare(text[end:start]).endswith(bare(names[row]))]


def changed(wanted: Lines) -> Iterator[tuple[str, Lines]]:
    """The same lines with one digit of one cell changed, for every cell; always the last one."""
    for i, (name, cells) in enumerate(wanted.rows):
        for j, (key, text) in enumerate(cells):
            last = max(m.start() for m in re.finditer(r"\d", text))
            other = text[:last] + str((int(text[last]) + 1) % 10) + text[last + 1 :]
            row = (name, (*cells[:j], (key, other), *cells[j + 1 :]))
            yield f"{name}, {key}", replace(wanted, rows=(*wanted.rows[:i], row, *wanted.rows[i + 1 :]))


# --- the finder can fail ----------------------------------------------------------------------------------------------

TEXT = normalised(
    """Prose with 33.18 and 0.667 in it.
Method	Seg	Dep	Δ	Method	IoU
Single task [1]	33.18	0.667	+ 0.00	FCN [26]	29.2 ± 0.30
MTL	32.09	-	– 1.71	Context [22]	40.6 ±0.4
Ours (N) 12	\\downarrow	0.607	+10.91	<i>idem</i> Ours	35.45

±plus-or-minus\\pm

0.247
"""
)
LEFT = Lines(
    "left",
    (
        ("Single task", (("a", "33.18"), ("b", "0.667"), ("c", "+ 0.00"))),
        ("MTL", (("a", "32.09"), ("c", "− 1.71"))),
        ("Ours", (("b", "0.607"), ("c", "+ 10.91"))),
    ),
)
RIGHT = Lines(
    "right",
    (("FCN", (("i", "29.2 ± 0.30"),)), ("Context", (("i", "40.6 ± 0.4"),)), ("Ours", (("i", "35.45 ± 0.247"),))),
)


def test_tables_that_stand_side_by_side_are_found() -> None:
    assert [first_missing(wanted, TEXT) for wanted in (LEFT, RIGHT)] == [None, None]


@pytest.mark.parametrize("wanted", [LEFT, RIGHT], ids=["left", "right"])
def test_every_changed_digit_is_noticed(wanted: Lines) -> None:
    tried = list(changed(wanted))
    assert len(tried) == sum(len(cells) for _, cells in wanted.rows)
    for where, other in tried:
        assert first_missing(other, TEXT) is not None, where


@pytest.mark.parametrize(
    ("row", "key", "text"),
    [
        (0, "a", "33.1"),
        (0, "a", "3.18"),
        (0, "a", "33.180"),
        (0, "a", "33"),
        (1, "c", "1.71"),
        (1, "c", "+ 1.71"),
        (2, "c", "10.91"),
        (2, "c", "+10.91%"),
    ],
)
def test_other_digits_and_signs_are_noticed(row: int, key: str, text: str) -> None:
    name, cells = LEFT.rows[row]
    rows = list(LEFT.rows)
    rows[row] = (name, tuple((k, text if k == key else t) for k, t in cells))
    missing = first_missing(replace(LEFT, rows=tuple(rows)), TEXT)
    assert missing is not None
    assert missing.startswith(f"left, row {name!r}: ")


@pytest.mark.parametrize("text", ["29.2", "29.2 ± 0.3", "0.30", "29.2 ± 0.301"])
def test_another_deviation_is_noticed(text: str) -> None:
    assert first_missing(Lines("right", (("FCN", (("i", text),)), *RIGHT.rows[1:])), TEXT) is not None


def test_a_left_out_cell_exchanged_cells_and_exchanged_rows_are_noticed() -> None:
    first, second, third = LEFT.rows
    left_out = (first[0], (first[1][0], first[1][2]))
    exchanged = (first[0], (first[1][1], first[1][0], first[1][2]))
    for rows in ((left_out, second, third), (exchanged, second, third), (first, third, second), (second, first, third)):
        assert first_missing(Lines("left", rows), TEXT) is not None


def test_what_is_missing_is_told_with_its_place() -> None:
    _, second, third = LEFT.rows
    rows = (LEFT.rows[0], ("MTL", (("a", "32.08"), ("c", "− 1.71"))), third)
    missing = first_missing(Lines("left", rows), TEXT)
    assert missing == "left, row 'MTL': 32.08 | − 1.71; nowhere in the text: '32.08'"
    assert second not in rows


def test_a_row_s_name_stands_before_its_cells() -> None:
    names = {"Single task": "Single task [1]", "MTL": "MTL", "Ours": "Ours (N) 12"}
    assert unnamed(LEFT, names, TEXT) == []
    assert unnamed(LEFT, {**names, "MTL": "MTL (a)"}, TEXT) == ["MTL"]
    assert unnamed(LEFT, {**names, "MTL": "Ours (N) 12", "Ours": "MTL"}, TEXT) == ["MTL", "Ours"]


def test_the_cells_that_are_looked_for_are_those_in_print() -> None:
    wanted = dict(lines(load_table(EXPECTED / "dense_mtl" / "table_1.toml")).rows)
    assert dict(wanted["VKITTI2/STL [27]"]) == {
        "sd_seg": "84.53 ± 0.06",
        "sd_dep": "5.720 ± 0.027",
        "sdn_nor": "23.14 ± 0.68",
    }
    assert "sdn_nor" not in dict(wanted["VKITTI2/Ours"])


# --- the papers -------------------------------------------------------------------------------------------------------


@cache
def paper_text(paper: str) -> str:
    """A paper's text; skips where there is none."""
    folder = os.environ.get("MTLREPRO_PAPERS")
    if not folder:
        pytest.skip("MTLREPRO_PAPERS is not set: name a folder with the papers' texts as <paper>.txt")
    path = Path(folder) / f"{paper}.txt"
    if not path.is_file():
        pytest.skip(f"MTLREPRO_PAPERS has no {path.name}")
    return normalised(path.read_text())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_printed_string_is_in_the_paper(path: Path) -> None:
    table = load_table(path)
    text = paper_text(table.paper)
    assert first_missing(lines(table), text) is None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_row_has_its_name_in_the_paper(path: Path) -> None:
    table = load_table(path)
    text, names = paper_text(table.paper), {r.id: r.name for r in table.rows}
    missing = unnamed(lines(table), names, text)
    assert bool(missing) is ((table.paper, table.table) in NAMES_APART), missing


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_changed_digit_is_noticed_in_the_paper(path: Path) -> None:
    table = load_table(path)
    text = paper_text(table.paper)
    unnoticed = [where for where, other in changed(lines(table)) if first_missing(other, text) is None]
    assert unnoticed == []
