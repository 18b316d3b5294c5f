"""Evidence made of figures chosen so that the right verdict is known, and a small project with two sets of columns."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from suite_fakes import EXPECTED, SUITES, body

from mtlrepro.engine.evaluate import record_key
from mtlrepro.expected.panel import Panel, trained
from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec
from mtlrepro.suite.evidence import Evidence, RowEvidence
from mtlrepro.suite.figures import usual_protocol
from mtlrepro.suite.judge import judge_table
from mtlrepro.suite.results import Check, RowResult, TableResult
from mtlrepro.suite.shrink import smoke
from mtlrepro.suite.table import BoundTable, Row, Table, bind, load_suite_file
from mtlrepro.suite.tiers import Service

Figures = dict[str, list[float]]
"""Metric id -> one value a seed, in the metric's own unit."""

TWO_SETS = """
schema_version = 2
paper = "mini"
table = "1"
dataset = "nyuv2"
caption = "Two sets of columns; Δ_m refers to the first set's baseline row in both"
source = "these tests"
selection = "last"
runs = 3

[baseline]
row = "Base"

[[sets]]
key = "S-D"
title = "'S-D'"

[[sets]]
key = "S-D-N"
baseline = { set = "S-D" }
COLUMNS
[[rows]]
name = "Base"
cells = { sd_seg = "30.00 ± 0.30", sd_dep = "0.700", sd_delta = "+ 0.00", sdn_seg = "30.50 ± 0.40", sdn_dep = "0.690" }

[[rows]]
name = "Method"
cells.sd_seg = "33.00"
cells.sd_dep = "0.650"
cells.sd_delta = "+ 8.57"
cells.sdn_seg = "34.00"
cells.sdn_dep = "0.640"
cells.sdn_delta = "+ 10.95"

[[rows]]
name = "Copied"
origin = "quoted"
source = "another paper"
cells = { sd_seg = "31.00" }

[[claims]]
text = "The method beats the baseline"
row = "Method"
over = ["Base"]
columns = ["sd_seg", "sd_dep", "sdn_seg", "sdn_dep"]
quote = "ours is better"

[[claims]]
text = "A third task helps"
row = "Method"
over = ["Method"]
columns = ["sdn_seg", "sdn_dep"]
over_columns = ["sd_seg", "sd_dep"]
"""
"""Panels "S-D" (three rows) and "S-D-N" (two); the Δ_m of the second refers to the first one's "Base"."""

MISSING = "the method is not written"


def _columns() -> str:
    kinds = {
        "seg": ("semseg.miou", "miou/dataset@1", "%", "higher"),
        "dep": ("depth.rmse", "depth/pooled@1", "m", "lower"),
        "delta": ("delta_m", "delta_m@1", "%", "higher"),
    }
    text = ""
    for prefix, name in (("sd", "S-D"), ("sdn", "S-D-N")):
        for kind, (metric, protocol, unit, better) in kinds.items():
            text += f'\n[[columns]]\nkey = "{prefix}_{kind}"\nset = "{name}"\ntitle = "{kind}"\nmetric = "{metric}"\n'
            text += f'protocol = "{protocol}"\nunit = "{unit}"\nbetter = "{better}"\n'
            text += 'over = ["semseg.miou", "depth.rmse"]\n' if kind == "delta" else ""
    return text


def write_expected(root: Path, text: str = TWO_SETS, paper: str = "mini", table: str = "1") -> Path:
    """An `expected` folder with one table, the real protocols and no tolerances; returns it."""
    folder = root / "expected" / paper
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"table_{table}.toml").write_text(text.replace("COLUMNS", _columns()))
    shutil.copy(EXPECTED / "protocols.toml", root / "expected")
    (root / "expected" / "tolerances.toml").touch()
    return root / "expected"


def paper_spec(arch: str, *main: str) -> RunSpec:
    """A paper-exact spec that has a twin at every tier."""
    model = ModelSpec(arch, "hrnet18", main)
    return RunSpec(DataSpec("nyuv2", (480, 640)), model, Recipe("adam", 1e-4, 1e-4, batch=6, epochs=80))


def two_sets(
    root: Path, missing: tuple[str, ...] = (), text: str = TWO_SETS, more: tuple[Row, ...] = ()
) -> dict[str, BoundTable]:
    """The panels of `TWO_SETS` by key, bound in a project below `root`; rows named in `missing` have no recipe.

    The rows of `more` are declared besides.
    """
    write_expected(root, text)
    rows = [
        Row(name, (paper_spec(arch, *tasks),), panel=panel)
        for panel, tasks in (("S-D", ("semseg", "depth")), ("S-D-N", ("semseg", "depth", "normals")))
        for name, arch in (("Base", "mtl"), ("Method", "padnet"))
        if name not in missing
    ]
    declared = Table("mini", "nyuv2", "1", [*more, *rows], MISSING if missing else "")
    return {b.expected.key: b for b in bind(declared, root / "suites" / "mini" / "test_nyuv2_table_1.py")}


def table(name: str) -> BoundTable:
    """A table of MTI-Net on NYUD-v2 that is one panel, without other readings of its rows."""
    file = SUITES / "mti_net" / f"test_nyuv2_table_{name.lower()}.py"
    declared = load_suite_file(file)
    (bound,) = bind(dataclasses.replace(declared, rows=[r for r in declared.rows if not r.reading_of]), file)
    return bound


def alone(bound: BoundTable, **changes: Any) -> BoundTable:
    """The panel otherwise, and as the only one of its table."""
    return dataclasses.replace(bound, **changes, siblings={})


def reprinted(bound: BoundTable, **changes: Any) -> BoundTable:
    """The panel alone, as if the table had been printed otherwise."""
    panel = bound.expected
    return alone(bound, expected=Panel(dataclasses.replace(panel.printed, **changes), panel.group, panel.set))


def printed(bound: BoundTable, row: str, factor: float = 1.0) -> Figures:
    """The figures that the paper prints for a row, times a factor."""
    return {m: [v * factor] for m, v in trained(bound.expected.metrics(bound.counterpart(row))).items()}


def row_of(
    bound: BoundTable, name: str, figures: Figures, tier: str | None = "full", costs: list[dict[str, int]] | None = None
) -> RowEvidence:
    """Evidence of one row whose view holds these figures; every spec holds those of its own main tasks."""
    row = bound.row(name)
    records = []
    for i, spec in enumerate(row.specs):
        mine = {m: v for m, v in figures.items() if m.partition(".")[0] in (*spec.model.main, *spec.model.aux)}
        seeds = len(next(iter(mine.values()), [0]))
        by_seed = []
        for seed in range(seeds):
            protocols = {m: bound.expected.protocols.get(m) or usual_protocol(m) for m in mine}
            metrics = {record_key(_view(spec, m, row), m, protocols[m]): v[seed] for m, v in mine.items()}
            by_seed.append({**body(), "key": f"{name}/{i}/{seed}", "reused": False, "metrics": metrics})
        records.append(by_seed)
    specs = row.specs if tier == "full" else tuple(smoke(s) for s in row.specs)
    service = Service(tier, specs if tier else (), "" if tier == "full" else "full: no dataset")
    return RowEvidence(row, service, records if tier else [], costs or [])


def _view(spec: RunSpec, metric: str, row: Row) -> str:
    return row.view if metric.partition(".")[0] in spec.model.main else "scale_0"


def evidence_of(bound: BoundTable, figures: Mapping[str, Figures], **more: Any) -> Evidence:
    """Evidence of the rows named, at the full tier."""
    return Evidence(bound, {name: row_of(bound, name, f) for name, f in figures.items()}, **more)


def siblings(panels: dict[str, BoundTable], figures: Mapping[tuple[str, str], Figures]) -> dict[str, Evidence]:
    """Evidence by panel, each beside the others, from (panel, row) -> figures."""
    found: dict[str, Evidence] = {}
    for key, bound in panels.items():
        rows = {name: f for (panel, name), f in figures.items() if panel == key}
        if rows:
            found[key] = evidence_of(bound, rows, siblings=found)
    return found


def judged(bound: BoundTable, figures: Callable[[str], Figures], tier: str | None = "full", **more: Any) -> TableResult:
    """The table with these figures for every row that has a recipe."""
    rows = {r.name: row_of(bound, r.name, figures(r.name), tier) for r in bound.rows}
    return judge_table(Evidence(bound, rows, **more))


def check_of(row: RowResult, subject: str, kind: str = "printed") -> Check:
    return next(c for c in row.checks if (c.kind, c.subject) == (kind, subject))


def row_named(result: TableResult, name: str) -> RowResult:
    return next(r for r in result.rows if r.name == name)


def claims_of(result: TableResult) -> dict[str, Check]:
    return {c.subject: c for c in result.claims}
