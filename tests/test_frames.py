"""`mtlrepro.load_expected` and `mtlrepro.load_results`: frames for notebooks, one line a cell, one line a check."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import mtlrepro
from mtlrepro.errors import SpecError, StoreError
from mtlrepro.expected.cells import parse

ROOT = Path(__file__).resolve().parents[1]
EXPECTED = ROOT / "expected"
NAMES = [
    "paper", "table", "panel", "dataset", "row", "column", "title", "metric", "protocol", "unit", "better", "over",
    "printed", "value", "sd", "half_unit", "relative", "origin", "source", "baseline", "selection", "runs", "doubt",
]  # fmt: skip


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return mtlrepro.load_expected(EXPECTED)


def documented(function: object) -> list[str]:
    """The column names that a docstring lists after "Columns:"."""
    text = re.search(r"Columns:(.*?)\n\n", str(function.__doc__), re.DOTALL)
    assert text
    words = re.sub(r"\([^)]*\)", "", text[1]).replace(" and ", ", ").strip(" .\n")
    return [w.strip() for w in words.split(",")]


def test_one_line_for_every_printed_cell(cells: pd.DataFrame) -> None:
    assert len(cells) == 1716
    raw = [tomllib.loads(f.read_text(encoding="utf-8")) for f in EXPECTED.glob("*/table_*.toml")]
    printed = {
        (table["paper"], table["table"], row.get("group", ""), row["name"], key): text
        for table in raw
        for row in table["rows"]
        for key, text in row["cells"].items()
    }
    sets = {
        (t["paper"], t["table"], c["key"]): (c.get("set", ""), c["metric"], c["unit"], c["protocol"], c["better"])
        for t in raw
        for c in t["columns"]
    }
    assert len(printed) == 1716
    for line in cells.itertuples():
        set_, *rest = sets[line.paper, line.table, line.column]
        group = line.panel.removesuffix(set_).removesuffix("/") if set_ else line.panel
        assert printed.pop((line.paper, line.table, group, line.row, line.column)) == line.printed
        assert rest == [line.metric, line.unit, line.protocol, line.better]
    assert printed == {}


def test_the_columns_are_the_documented_ones(cells: pd.DataFrame) -> None:
    assert list(cells.columns) == NAMES == documented(mtlrepro.load_expected)


def test_lines_come_table_by_table_in_natural_order(cells: pd.DataFrame) -> None:
    order = list(dict.fromkeys(zip(cells.paper, cells.table, strict=True)))
    assert [t for p, t in order if p == "jtr"] == [str(n) for n in range(1, 20)]
    assert [p for p, _ in order] == sorted(p for p, _ in order)


def test_values_are_those_of_the_printed_strings(cells: pd.DataFrame) -> None:
    for line in cells[cells.printed != "idem"].itertuples():
        cell = parse(line.printed)
        if cell is None:
            assert pd.isna([line.value, line.sd, line.half_unit]).all(), line
            continue
        assert (line.value, line.half_unit) == (cell.value, cell.half_unit)
        assert pd.isna(line.sd) if cell.sd is None else line.sd == cell.sd


def test_an_idem_cell_has_the_value_that_it_stands_for(cells: pd.DataFrame) -> None:
    idem = cells[cells.printed == "idem"]
    assert len(idem) > 5
    for line in idem.itertuples():
        group = line.panel.rpartition("/")[0]
        same = cells[(cells.paper == line.paper) & (cells.table == line.table) & (cells.row == line.row)]
        same = same[(same.metric == line.metric) & (same.printed != "idem")]
        same = same[[p.rpartition("/")[0] == group for p in same.panel]]
        assert line.value in set(same.value), line


def test_a_cell_as_a_reader_sees_it(cells: pd.DataFrame) -> None:
    mine = cells[(cells.paper == "mti_net") & (cells.table == "2a") & (cells.row == "Ours (w/ FPM) (N+E)")]
    seg, dep, delta = (mine[mine.column == key].iloc[0] for key in ("seg", "dep", "delta"))
    assert (seg.printed, seg.value, seg.unit, seg.metric, seg.dataset) == ("37.49", 37.49, "%", "semseg.miou", "nyuv2")
    assert (dep.printed, dep.half_unit, dep.better) == ("0.607", pytest.approx(0.0005), "lower")
    assert (delta.value, delta.over, delta.baseline) == (10.91, "semseg.miou, depth.rmse", "mti_net/2a [Single task]")
    assert (seg.over, seg.baseline, seg.origin, seg.source, seg.doubt) == ("", "", "run", "", "")


def test_a_delta_names_the_metrics_that_its_row_prints(cells: pd.DataFrame) -> None:
    mine = cells[(cells.paper == "mti_net") & (cells.table == "2b") & (cells.column == "delta")].set_index("row").over
    assert mine["MTL (s)"] == "semseg.miou, parts.miou, saliency.miou"
    assert mine["MTL (a)"] == "semseg.miou, parts.miou, saliency.miou, edges.odsf, normals.mean"


def test_relative_cells_quoted_rows_and_doubts(cells: pd.DataFrame) -> None:
    relative = cells[cells.relative]
    assert len(relative) > 10
    assert all("%" in text for text in relative.printed)
    assert all(relative.baseline != "")
    assert set(relative.metric) <= {"params", "macs", "added_params", "train_time", "vram"}
    assert set(cells.origin) == {"run", "quoted"}
    assert all((cells.origin == "quoted") == (cells.source != ""))
    assert all(cells[[p.startswith("?") for p in cells.printed]].doubt != "")
    assert set(cells[cells.baseline != ""].metric) <= {"delta_m", *relative.metric}


def test_the_folder_of_the_checkout_is_the_default(
    cells: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pd.testing.assert_frame_equal(mtlrepro.load_expected(), cells)
    with pytest.raises(SpecError, match="nowhere"):
        mtlrepro.load_expected("nowhere")


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["smoke_session", "full_session", "own_session"])
def test_one_line_for_every_check_of_a_report(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tests" / "report")
    import report_fakes

    from mtlrepro.report.jsonfile import to_text

    session = getattr(report_fakes, name)()
    path = tmp_path / "report.json"
    path.write_text(to_text(session))
    lines = mtlrepro.load_results(path)
    assert list(lines.columns) == documented(mtlrepro.load_results)
    assert len(lines) == len(session.checks())
    assert sorted(lines.verdict) == sorted(c.verdict for c in session.checks())
    assert set(lines.paper) == {session.tables[0].paper}
    claims = lines[lines.kind == "claim"]
    assert len(claims) == sum(len(t.claims) for t in session.tables)
    assert set(claims.row) <= {""}
    assert "" not in set(lines[lines.kind != "claim"].row)


def test_a_check_keeps_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "tests" / "report")
    from report_fakes import smoke_session

    from mtlrepro.report.jsonfile import to_text

    session = smoke_session()
    session.tables[0].panel = "onelabel"
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text(to_text(session))
    monkeypatch.chdir(tmp_path)
    lines = mtlrepro.load_results()  # report/report.json
    mine = lines[(lines.row == "MTL") & (lines.kind == "resource")].iloc[0]
    assert (mine.paper, mine.table, mine.panel, mine.dataset) == ("mti_net", "2a", "onelabel", "nyuv2")
    assert (mine.subject, mine.tier, mine.expected, mine.measured) == ("params", "conformance", "8.0", 7.88)
    assert (mine.difference, mine.band, mine.bound_by, mine.n) == (-0.12, 0.29, "tolerance", 1)


def test_a_report_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        mtlrepro.load_results(tmp_path / "report.json")
    (tmp_path / "report.json").write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(StoreError, match="schema version 1"):
        mtlrepro.load_results(tmp_path / "report.json")


def test_other_names_of_the_package_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="load_expcted"):
        mtlrepro.load_expcted  # noqa: B018
