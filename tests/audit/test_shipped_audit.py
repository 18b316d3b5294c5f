"""What the audit says of the shipped papers: the known results, each recomputed here with plain floats."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product
from pathlib import Path

import pytest
from audit_fakes import EXPECTED, REPOSITORY

from mtlrepro.audit.items import KINDS, Item, count
from mtlrepro.audit.run import audit_table, unused
from mtlrepro.cli import main
from mtlrepro.expected.load import load_all, load_table, table_file
from mtlrepro.expected.panel import Panel, panels

PAPERS = ("aware3d", "dense_mtl", "jtr", "mt_cp", "mti_net")


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return [item for table in load_all(EXPECTED) for item in audit_table(table)]


def of(items: list[Item], paper: str, *tables: str, kind: str = "delta") -> list[Item]:
    return [i for i in items if (i.paper, i.kind) == (paper, kind) and (not tables or i.table in tables)]


def number(text: str) -> tuple[float, float]:
    """Value and half a unit of the last digit of a printed string, without the package."""
    plain = re.sub("[−–]", "-", text).removeprefix("? ")
    if time := re.fullmatch(r"(\d+)h (\d+)m", plain):
        return int(time[1]) + int(time[2]) / 60, 0.5 / 60
    match = re.match(r"\s*([+-]?)\s*(\d+)(?:\.(\d+))?", plain)
    assert match, text
    return float(f"{match[1]}{match[2]}.{match[3] or 0}"), 0.5 * 10 ** -len(match[3] or "")


def panel_of(item: Item) -> Panel:
    table = load_table(table_file(EXPECTED, item.paper, item.table))
    return next(p for p in panels(table) if p.key == item.panel)


def gains(item: Item) -> list[tuple[float, float, float]]:
    """Least, middle and largest gain of each metric that an item's Δ averages; only the strings are the package's."""
    panel = panel_of(item)
    row = panel.row(item.row)
    column = next(c for c in panel.columns if c.title == item.column and row.cells.get(c.key) == item.printed)
    mine, reference = panel.metrics(row), panel.reference(row, column)
    base = reference.metrics() if reference else {}
    found = []
    for metric in panel.averaged(row, column):
        if metric not in mine:
            beside = next(c for c in panel.columns if c.over == (metric,))
            value, half = number(row.cells[beside.key])
            found.append((value - half, value, value + half))
            continue
        sign = 100 if mine[metric][0].better == "higher" else -100
        (value, half), (ref, ref_half) = number(mine[metric][1].text), number(base[metric][1].text)
        corners = [
            sign * (v / r - 1) for v, r in product((value - half, value + half), (ref - ref_half, ref + ref_half))
        ]
        found.append((min(corners), sign * (value / ref - 1), max(corners)))
    return found


# --- the whole ------------------------------------------------------------------------------------------------------


def test_every_paper_and_kind_has_items(items: list[Item]) -> None:
    assert {i.paper for i in items} == set(PAPERS)
    assert set(count(items)) == set(KINDS)
    assert len(items) > 800
    assert Counter(i.status for i in items)["follows"] > 0.85 * len(items)


def test_whatever_does_not_follow_has_a_reading_and_whatever_follows_none(items: list[Item]) -> None:
    assert [i for i in items if i.status != "follows" and not i.reading] == []
    assert [i for i in items if i.status == "follows" and i.reading] == []


def test_no_reading_is_out_of_date(items: list[Item]) -> None:
    assert unused(list(load_all(EXPECTED)), items) == []


def test_signs_and_places_of_items(items: list[Item]) -> None:
    for item in (i for i in items if i.kind != "claim"):
        assert (item.off == 0) is (item.status in ("follows", "unchecked")), item
        if item.low is not None and item.high is not None:
            assert item.low <= item.high
            value, half = number(item.printed)
            gap = max(value - half - item.high, 0) + min(value + half - item.low, 0)
            assert item.off == pytest.approx(gap, abs=1e-7), item


@pytest.mark.parametrize("paper", PAPERS)
def test_every_delta_that_follows_follows_by_plain_arithmetic_too(items: list[Item], paper: str) -> None:
    checked = 0
    for item in of(items, paper):
        if item.status == "unchecked":
            continue
        own = f"{item.paper}/{item.table} [{'/'.join(filter(None, (item.panel, item.row)))}]"
        parts = [(0.0, 0.0, 0.0)] if item.against == own else gains(item)  # the baseline row against itself
        printed, half = number(item.printed)
        low, middle, high = (sum(p[k] for p in parts) / len(parts) for k in range(3))
        assert (low, high) == (pytest.approx(item.low, abs=1e-6), pytest.approx(item.high, abs=1e-6)), item
        follows = low - half - 1e-9 <= printed <= high + half + 1e-9
        assert follows is (item.status == "follows"), item
        if follows:
            assert abs(printed - middle) <= half + 1.001 * max(high - middle, middle - low) + 1e-9, item
        checked += 1
    assert checked >= {"jtr": 100, "mti_net": 40, "dense_mtl": 60}.get(paper, 0)


# --- JTR ------------------------------------------------------------------------------------------------------------


def jtr_rows() -> dict[tuple[str, str], tuple[float, float]]:
    """(group, row) -> sum of the seven printed gains and the printed mean of JTR's Table 3."""
    table = load_table(table_file(EXPECTED, "jtr", "3"))
    sums = {}
    for row in table.rows:
        gains = [number(text)[0] for key, text in row.cells.items() if key != "delta"]
        assert len(gains) == 7
        sums[row.group, row.name] = (sum(gains), number(row.cells["delta"])[0])
    return sums


def test_the_mean_of_jtr_s_table_3_is_a_sixteenth_of_the_sum_but_in_one_row(items: list[Item]) -> None:
    sums = jtr_rows()
    assert len(sums) == 9
    odd = ("randomlabels", "MTPSL [33]")
    for place, (total, printed) in sums.items():
        assert abs(total / 7 - printed) > 1.5, place
        assert (abs(total / 16 - printed) < 1.2e-3) is (place != odd), place
    found = {(i.panel, i.row): i for i in of(items, "jtr", "3")}
    assert set(found) == set(sums)
    assert {k: i.status for k, i in found.items()} == {k: "open" if k == odd else "explained" for k in sums}
    assert all("16" in i.reading for i in found.values())
    assert found[odd].off == pytest.approx(1.261 - sums[odd][0] / 7, abs=0.01)


def test_every_other_delta_of_jtr_follows(items: list[Item]) -> None:
    others = [i for i in of(items, "jtr") if i.table != "3"]
    assert Counter(i.status for i in others)["follows"] >= 90
    assert {i.status for i in others} == {"follows", "unchecked"}
    assert {i.table for i in others if i.status == "unchecked"} == {"13"}  # prints gains of metrics it does not print


# --- MTI-Net --------------------------------------------------------------------------------------------------------


def test_no_delta_of_mti_net_s_table_2b_follows(items: list[Item]) -> None:
    rows = [i for i in of(items, "mti_net", "2b") if i.row != "Single task"]
    assert [i.status for i in rows] == ["open"] * 7
    for item in rows:
        middle = sum(g[1] for g in gains(item)) / len(gains(item))
        assert 0.90 < number(item.printed)[0] / middle < 0.96, item
        assert 0.14 < abs(item.off) < 0.27
        assert (item.off > 0) is (middle < 0), item  # each printed gain or loss is too small


def test_five_deltas_of_mti_net_s_table_s1_do_not_follow(items: list[Item]) -> None:
    rows = {i.row: i for i in of(items, "mti_net", "S1") if i.row != "Single task"}
    assert {name for name, i in rows.items() if i.status == "open"} == {
        "MTL (a)",
        "Ours (s)(E)",
        "Ours (s)(N)",
        "Ours (s)(E+N)",
        "Ours (a)",
    }
    assert {name for name, i in rows.items() if i.status == "follows"} == {"MTL (s)", "Ours (s)"}
    assert all(abs(i.off) < 0.15 for i in rows.values())


def test_the_other_tables_of_mti_net_follow(items: list[Item]) -> None:
    for table in ("2a", "3"):
        found = of(items, "mti_net", table)
        assert len(found) >= 4
        assert {i.status for i in found} == {"follows"}, table
    odd = {i.row: i.status for i in of(items, "mti_net", "4") if i.status != "follows"}
    assert odd == {"Front-end @ 1/32 scale": "explained", "Front-end @ 1/16 scale": "explained"}


def test_two_scales_of_mti_net_s_table_4_follow_from_depths_of_two_digits() -> None:
    """The reading, by hand: -1.87 and +0.02 follow if 0.670 and 0.660 are 0.67 and 0.66."""
    for seg, depth, printed in ((32.02, 0.67, -1.87), (33.02, 0.66, 0.02)):
        for half, follows in ((0.005, True), (0.0005, False)):
            slack = 0.005 / 33.18 * 50 * 2 + half / 0.667 * 50 + 0.0005 * depth / 0.667**2 * 50 + 0.005
            middle = 50 * (seg / 33.18 - 1) + 50 * (1 - depth / 0.667)
            assert (abs(middle - printed) <= slack) is follows


# --- DenseMTL -------------------------------------------------------------------------------------------------------


def test_dense_mtl_s_table_2_follows_from_other_single_task_figures_than_printed(items: list[Item]) -> None:
    found = of(items, "dense_mtl", "2")
    assert len(found) == 16
    assert {i.status for i in found} == {"explained"}
    printed = {"semseg.miou": 38.70, "depth.rmse": 0.635, "normals.mean": 36.90}
    other = {"semseg.miou": 38.70, "depth.rmse": 0.6465, "normals.mean": 36.61}
    for item in found:
        panel = panel_of(item)
        row = panel.row(item.row)
        column = next(c for c in panel.columns if c.title == item.column)
        figures = {m: number(cell.text) for m, (_, cell) in panel.metrics(row).items()}
        value, half = number(item.printed)
        for base, follows in ((printed, False), (other, True)):
            parts = [
                100 * (figures[m][0] / base[m] - 1) * (1 if m == "semseg.miou" else -1)
                for m in panel.averaged(row, column)
            ]
            # an mIoU of two decimals, a depth of three, normals of two: 0.013, 0.077 or 0.14 and 0.014 percent each
            slack = sum(100 * (figures[m][1] + _half(m, base is other)) / base[m] for m in column.over) / len(parts)
            assert (abs(sum(parts) / len(parts) - value) <= half + 1.02 * slack) is follows, (item, base)
        assert item.off > 0.2  # all sixteen are higher than the printed row gives


def _half(metric: str, other: bool) -> float:
    return 0.005 if metric != "depth.rmse" else 0.00005 if other else 0.0005


def test_the_deltas_of_dense_mtl_that_nothing_explains(items: list[Item]) -> None:
    odd = [(i.table, i.panel, i.row) for i in of(items, "dense_mtl") if i.status == "open"]
    assert odd == [
        ("1", "VKITTI2/S-D-N", "PAD-Net [33]"),
        ("4b", "", "channel"),
        ("4b", "", "both"),
        ("7a", "", "10 / 1 / 1"),
    ]


# --- repeats --------------------------------------------------------------------------------------------------------


def test_two_papers_print_invpt_s_parts_differently(items: list[Item]) -> None:
    found = [i for i in of(items, "mt_cp", "2", kind="repeat") if i.row == "InvPT [50]" and i.status != "follows"]
    assert [(i.printed, i.status) for i in found] == [("67.71", "open")]
    assert "aware3d/2" in found[0].against
    assert "67.61" in found[0].against
    assert found[0].off == pytest.approx(0.09)


def test_repeats_are_numerous_and_differ_in_four_places(items: list[Item]) -> None:
    repeats = [i for i in items if i.kind == "repeat"]
    assert len(repeats) > 250
    assert [(i.paper, i.table, i.row) for i in repeats if i.status != "follows"] == [
        ("dense_mtl", "6a", "MTL target"),
        ("dense_mtl", "7b", "100 / 1 / 100"),
        ("dense_mtl", "7b", "100 / 1 / 100"),
        ("mt_cp", "2", "InvPT [50]"),
    ]


# --- the files in docs/ ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    assert main(["audit", "--expected", str(EXPECTED), "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("name", ["audit.md", "audit.json", "audit.html"])
def test_the_page_in_docs_is_up_to_date(written: Path, name: str) -> None:
    fresh, kept = (folder / name for folder in (written, REPOSITORY / "docs"))
    again = f"docs/{name} is out of date; write it again with `mtlrepro audit --out docs`"
    assert kept.is_file(), again
    if fresh.read_text(encoding="utf-8") != kept.read_text(encoding="utf-8"):
        pytest.fail(again)
