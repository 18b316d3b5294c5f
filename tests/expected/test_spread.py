"""Printed standard deviations, pooled: every expectation is computed from the files' text alone."""

from __future__ import annotations

import math
import re
import tomllib
from pathlib import Path

import pytest
from expected_files import DELTA, DEP, EXPECTED, SEG, column, part, row, write

from mtlrepro.expected.load import load_table, table_file
from mtlrepro.expected.panel import Panel, panels
from mtlrepro.expected.spread import printed_spread


def of(paper: str, table: str, panel: str, key: str, root: Path = EXPECTED) -> tuple[float, int] | None:
    found: Panel = next(p for p in panels(load_table(table_file(root, paper, table))) if p.key == panel)
    return printed_spread(found, found.column(key))


def from_text(paper: str, dataset: str, metric: str, over: list[str] | None = None) -> tuple[float, int]:
    """Root of the mean variance over a paper's distinct, undoubted "mean ± sd", and runs - 1 for each."""
    seen: set[tuple[float, float]] = set()
    runs = set()
    for file in (EXPECTED / paper).glob("table_*.toml"):
        raw = tomllib.loads(file.read_text())
        sets = {s["key"]: s.get("dataset") for s in raw.get("sets", [])}
        groups = {g["key"]: g.get("dataset") for g in raw.get("groups", [])}
        for line in raw["rows"]:
            for c in raw["columns"]:
                where = sets.get(c.get("set")) or groups.get(line.get("group")) or raw["dataset"]
                text = "" if c["key"] in line.get("doubts", {}) else line["cells"].get(c["key"], "")
                if where == dataset and (c["metric"], c.get("over")) == (metric, over) and "±" in text:
                    mean, sd = re.sub(r"[+ ]", "", text).replace("–", "-").split("±")
                    seen.add((float(mean), float(sd)))
                    runs.add(raw["runs"])
    assert len(runs) == 1
    each = runs.pop() - 1
    return math.sqrt(sum(sd * sd for _, sd in seen) / len(seen)), each * len(seen)


SD = ["semseg.miou", "depth.rmse"]
SDN = [*SD, "normals.mean"]


@pytest.mark.parametrize(
    ("table", "panel", "key", "dataset", "metric", "over"),
    [
        ("1", "Synthia/S-D", "sd_seg", "synthia", "semseg.miou", None),
        ("1", "VKITTI2/S-D", "sd_dep", "vkitti2", "depth.rmse", None),
        ("1", "VKITTI2/S-D-N", "sdn_nor", "vkitti2", "normals.mean", None),
        ("1", "VKITTI2/S-D-N", "sdn_delta_sd", "vkitti2", "delta_m", SD),
        ("3", "S-D-N", "sdn_delta", "vkitti2", "delta_m", SDN),
        ("4a", "", "seg", "vkitti2", "semseg.miou", None),
        ("1", "Cityscapes/S-D-N", "sdn_dep", "cityscapes", "depth.rmse", None),
        ("2", "S-D-N-E", "sdne_seg", "nyuv2", "semseg.miou", None),
    ],
)
def test_dense_mtl_is_pooled_over_all_its_tables(
    table: str, panel: str, key: str, dataset: str, metric: str, over: list[str] | None
) -> None:
    spread = of("dense_mtl", table, panel, key)
    wanted = from_text("dense_mtl", dataset, metric, over)
    assert spread is not None
    assert (spread[0], spread[1]) == (pytest.approx(wanted[0]), wanted[1])


def test_jtr_table_14_is_the_only_spread_of_jtr() -> None:
    root = math.sqrt((0.247**2 + 0.574**2) / 2)
    assert of("jtr", "14", "", "seg") == (pytest.approx(root), 4)
    assert of("jtr", "14", "", "delta") == (pytest.approx(math.sqrt((0.88**2 + 0.58**2) / 2)), 4)
    # the other tables of the same dataset and protocol lean on it
    assert of("jtr", "1", "randomlabels", "seg") == (pytest.approx(root), 4)
    assert of("jtr", "1", "randomlabels", "dep") == (pytest.approx(math.sqrt((0.0059**2 + 0.0024**2) / 2)), 4)


@pytest.mark.parametrize(
    ("paper", "table", "panel", "key"),
    [
        ("mti_net", "2a", "", "seg"),
        ("mti_net", "5", "Ours/MT", "delta_st"),
        ("mt_cp", "1", "", "dep"),
        ("aware3d", "7", "795 (100%)", "edge"),
        ("jtr", "2", "onelabel", "seg"),  # another dataset than table 14
        ("dense_mtl", "5", "", "road"),  # one run
    ],
)
def test_a_figure_without_printed_deviation_has_none(paper: str, table: str, panel: str, key: str) -> None:
    assert of(paper, table, panel, key) is None


# --- the rule, on small tables ----------------------------------------------------------------------------------------


def test_degrees_of_freedom_weigh_the_variances(tmp_path: Path) -> None:
    write(tmp_path, column("seg", SEG), row("a", {"seg": "40.0 ± 0.3"}), table="1", runs=3)
    write(tmp_path, column("seg", SEG), row("b", {"seg": "41.0 ± 0.6"}), table="2", runs=6)
    root = math.sqrt((2 * 0.3**2 + 5 * 0.6**2) / 7)
    for table in ("1", "2"):
        assert of("p", table, "", "seg", tmp_path) == (pytest.approx(root), 7)


def test_the_same_result_printed_twice_counts_once(tmp_path: Path) -> None:
    sets = [part("sets", "A"), part("sets", "B", idem='"A"')]
    columns = [column("a", SEG, set='"A"'), column("b", SEG, set='"B"')]
    write(tmp_path, *sets, *columns, row("x", {"a": "40.0 ± 0.3", "b": "idem"}), table="1", runs=3)
    write(tmp_path, column("seg", SEG), row("x", {"seg": "40.0 ± 0.3"}), table="2", runs=3)
    write(tmp_path, column("seg", SEG), row("y", {"seg": "+40.0 ±0.3"}), table="3", runs=3)
    assert of("p", "2", "", "seg", tmp_path) == (pytest.approx(0.3), 2)


def test_a_doubtful_deviation_does_not_count(tmp_path: Path) -> None:
    doubts = {"doubts": '{ seg = "the deviation is ten times the others" }'}
    lines = [row("x", {"seg": "40.0 ± 0.3"}), row("y", {"seg": "41.0 ± 3.0"}, **doubts)]
    lines.append(row("z", {"seg": "? 42.0 ± 2.0"}, **doubts))
    write(tmp_path, column("seg", SEG), *lines, runs=3)
    assert of("p", "1", "", "seg", tmp_path) == (pytest.approx(0.3), 2)


def test_two_results_of_the_same_spread_count_twice(tmp_path: Path) -> None:
    rows = [row("x", {"seg": "40.0 ± 0.3"}), row("y", {"seg": "41.0 ± 0.3"})]
    write(tmp_path, column("seg", SEG), *rows, runs=3)
    assert of("p", "1", "", "seg", tmp_path) == (pytest.approx(0.3), 4)


def test_other_datasets_metrics_protocols_and_papers_do_not_count(tmp_path: Path) -> None:
    present = SEG.replace("miou/dataset@1", "miou/present@1")
    delta = column("delta", DELTA.replace(', "depth.rmse"', ""))
    columns = [column("seg", SEG), column("present", present), column("dep", DEP), delta]
    cells = {"seg": "40.0 ± 0.3", "present": "40.0 ± 0.4", "dep": "0.60 ± 0.05", "delta": "+1.0 ± 0.6"}
    write(tmp_path, '[baseline]\nrow = "x"', *columns, row("x", cells), runs=3)
    groups = part("groups", "g", dataset='"synthia"')
    write(tmp_path, groups, column("seg", SEG), row("x", {"seg": "1.0 ± 0.9"}, group='"g"'), table="2", runs=3)
    write(tmp_path, column("seg", SEG), row("x", {"seg": "1.0 ± 0.9"}), paper="q", runs=3)
    wide = [column("delta", DELTA), row("x", {"delta": "+2.0 ± 0.7"})]
    write(tmp_path, '[baseline]\nrow = "x"', *wide, table="4", runs=3)
    found = {key: of("p", "1", "", key, tmp_path) for key in cells}
    spreads = {"seg": 0.3, "present": 0.4, "dep": 0.05, "delta": 0.6}
    assert found == {key: (pytest.approx(sd), 2) for key, sd in spreads.items()}


def test_a_deviation_of_one_run_or_of_no_cell_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, column("seg", SEG), row("x", {"seg": "40.0 ± 0.3"}), table="1", runs=1)
    write(tmp_path, column("seg", SEG), row("x", {"seg": "40.0"}), row("y", {"seg": "-"}), table="2", runs=3)
    assert [of("p", table, "", "seg", tmp_path) for table in "12"] == [None, None]
