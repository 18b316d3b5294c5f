"""`export_table`: CSV that comes back whole, LaTeX that compiles, Markdown of one width; measured beside printed."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from report_fakes import full_session, row, session, smoke_session, table

from mtlrepro.errors import SpecError
from mtlrepro.expected.load import load_table, table_file, table_files
from mtlrepro.expected.panel import panels
from mtlrepro.report.export import export_table
from mtlrepro.suite.results import SessionResult, Value

EXPECTED = Path(__file__).resolve().parents[2] / "expected"
TABLES = [f"{f.parent.name}/{f.stem.removeprefix('table_')}" for f in table_files(EXPECTED)]


def frame(name: str, report: SessionResult | None = None) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(export_table(EXPECTED, name, "csv", report)), dtype=str, keep_default_na=False)


@pytest.mark.parametrize("name", TABLES)
def test_csv_holds_every_printed_string(name: str) -> None:
    data = frame(name)
    paper, _, table_id = name.partition("/")
    parts = panels(load_table(table_file(EXPECTED, paper, table_id)))
    lines = [(part, line) for part in parts for line in part.rows]
    assert list(data.Row) == [line.name for _, line in lines]
    assert ("Panel" in data) is (len(parts) > 1)
    printed = 0
    for (part, line), shown in zip(lines, data.to_dict("records"), strict=True):
        assert shown.get("Panel", "") == part.key
        for column in part.columns:
            assert shown[column.title] == line.cells.get(column.key, "")
            printed += column.key in line.cells
    body = data.drop(columns=["Row", "Panel"], errors="ignore")
    assert printed == int((body != "").to_numpy().sum())


@pytest.mark.parametrize("name", TABLES)
def test_latex_is_of_one_piece(name: str) -> None:
    text = export_table(EXPECTED, name, "latex")
    head, *lines = text.splitlines()
    assert head == r"% needs \usepackage{booktabs}"
    body = "\n".join(lines)
    bare = re.sub(r"\\[\\&%$#_{}]", "", body)  # without escaped signs and ends of lines
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search("[%#~]", bare)
    outside = re.sub(r"\$[^$]*\$", "", bare)
    assert not re.search("[_^]", outside), re.findall(".{20}[_^].{20}", outside)
    assert not re.search("[↑↓→←ΔΣδωσ±×°−–—≤≥∞²³]", body)
    assert re.findall(r"\\begin\{(\w+)\}", body) == ["table", "tabular"]
    assert re.findall(r"\\end\{(\w+)\}", body) == ["tabular", "table"]
    data = frame(name)
    assert rf"\begin{{tabular}}{{{'l' * data.shape[1]}}}" in body
    cells = [line for line in lines if line.endswith(r"\\")]
    assert len(cells) == 1 + len(data)
    assert {len(re.findall(r"(?<!\\)&", line)) for line in cells} == {data.shape[1] - 1}
    caption = next(line for line in lines if line.startswith(r"\caption"))
    assert caption.endswith("}")


@pytest.mark.parametrize("name", TABLES)
def test_markdown_has_lines_of_one_width(name: str) -> None:
    lines = export_table(EXPECTED, name, "markdown").splitlines()
    data = frame(name)
    assert len(lines) == len(data) + 2
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {data.shape[1] + 1}
    assert [c.strip() for c in lines[0].strip("|").split("|")] == [c.strip() for c in data.columns]
    for line, shown in zip(lines[2:], data.itertuples(index=False), strict=True):
        assert [c.strip() for c in line.strip("|").split("|")] == [str(v).strip() for v in shown]


def test_an_unknown_table_is_told_with_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"unknown table 'mti_net/2c'\. Did you mean 'mti_net/2"):
        export_table(EXPECTED, "mti_net/2c", "csv")


# --- measured figures -------------------------------------------------------------------------------------------------


def test_measured_figures_stand_beside_the_printed_ones() -> None:
    data = frame("mti_net/2a", full_session())
    titles = ["Seg ↑", "Dep ↓", "Δ_m% ↑"]
    assert list(data.columns) == ["Row", *(name for t in titles for name in (t, f"{t} (measured, full)"))]
    lines = data.set_index("Row")
    assert list(lines.loc["MTL"]) == ["32.09", "10.57", "0.668", "0.974", "- 1.71", "-9.50"]
    assert list(lines.loc["Single task"])[::2] == ["33.18", "0.667", "+ 0.00"]
    others = lines.drop(["MTL", "Single task"])
    assert (others[[c for c in data.columns if "measured" in c]] == "").to_numpy().all()


def test_several_seeds_show_their_deviation() -> None:
    report = full_session()
    report.tables[0].rows[1].measured["seg"] = Value(32.0, 3, 0.25)
    assert frame("mti_net/2a", report).set_index("Row").loc["MTL", "Seg ↑ (measured, full)"] == "32.00 ± 0.25"
    text = export_table(EXPECTED, "mti_net/2a", "latex", report)
    assert r"32.00 $\pm$ 0.25" in text
    assert "-9.50" in text
    assert "32.00 ± 0.25" in export_table(EXPECTED, "mti_net/2a", "markdown", report)


def test_the_tier_is_said_and_counts_are_conformance() -> None:
    report = session(table(row("Single Task", "smoke"), row("PAD-Net", "smoke")))
    report.tables[0].table = "7a"
    data = frame("mti_net/7a", report)
    assert "Δ_m % (measured, smoke)" in data
    lines = data.set_index("Row")
    assert lines.loc["PAD-Net", "Params (M) (measured, conformance)"] == "+7.88%"  # printed relative
    assert not [c for c in data.columns if "full" in c or "None" in c]


def test_a_report_of_another_table_changes_nothing() -> None:
    for name in ("mti_net/2b", "dense_mtl/2"):
        assert export_table(EXPECTED, name, "csv", smoke_session()) == export_table(EXPECTED, name, "csv")


def test_a_panel_takes_the_measured_figures_of_its_own() -> None:
    report = session(table(row("MTL [27]", "full"), paper="dense_mtl"))
    report.tables[0].table, report.tables[0].panel = "2", "S-D-N"
    report.tables[0].rows[0].measured = {"sdn_seg": Value(39.0), "sd_seg": Value(1.0)}
    data = frame("dense_mtl/2", report)
    column = "Semseg ↑ mIoU % (measured, full)"
    assert [c for c in data.columns if "measured" in c] == [column]
    shown = data[data[column] != ""]
    assert shown[["Panel", "Row", column]].to_numpy().tolist() == [["S-D-N", "MTL [27]", "39.00"]]


def test_measured_columns_stand_beside_printed_ones_where_the_first_row_has_none() -> None:
    report = full_session()
    report.tables[0].rows[0].measured = {}
    columns = list(frame("mti_net/2a", report).columns)
    assert columns.index("Seg ↑ (measured, full)") == columns.index("Seg ↑") + 1
