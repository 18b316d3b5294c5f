"""The files of `expected/` as they are shipped: every one loads, and every name they use exists."""

from __future__ import annotations

import inspect
import pkgutil
from collections import Counter
from importlib import import_module

import pytest
from expected_files import EXPECTED, SHIPPED

import mtlrepro.metrics
from mtlrepro.expected.load import load_all, load_table, table_files
from mtlrepro.expected.panel import locate, panels
from mtlrepro.expected.protocols import load_vocabulary
from mtlrepro.expected.schema import Place, PrintedTable
from mtlrepro.expected.tolerances import load_tolerances
from mtlrepro.metrics.base import Metric
from mtlrepro.tasks import TASKS

TABLES = {
    "aware3d": ["1", "2", "3", "4", "5", "6", "7"],
    "dense_mtl": ["1", "2", "3", "4a", "4b", "5", "6a", "6b", "7a", "7b", "A2"],
    "jtr": [str(i) for i in range(1, 20)],
    "mt_cp": ["1", "2", "3", "4"],
    "mti_net": ["2a", "2b", "3", "4", "5", "6a", "6b", "7a", "7b", "S1", "S2a", "S2b", "S3a", "S3b", "S3c"],
}
VALUES = {"aware3d": 156, "dense_mtl": 400, "jtr": 462, "mt_cp": 90, "mti_net": 498}
"""Cells with a number of their own ("idem" is not one); a cell that goes missing is noticed here."""

PANELS = {"aware3d": 11, "dense_mtl": 19, "jtr": 42, "mt_cp": 4, "mti_net": 20}


@pytest.fixture(params=SHIPPED, ids=lambda p: f"{p.parent.name}-{p.stem}")
def shipped(request: pytest.FixtureRequest) -> PrintedTable:
    return load_table(request.param)


def test_every_table_of_the_papers_is_there() -> None:
    found: dict[str, list[str]] = {}
    for table in load_all(EXPECTED):
        found.setdefault(table.paper, []).append(table.table)
    assert found == TABLES
    assert len(SHIPPED) == len(table_files(EXPECTED)) == 56


def test_every_value_is_there() -> None:
    values, parts = Counter[str](), Counter[str]()
    for table in load_all(EXPECTED):
        values[table.paper] += sum(cell is not None for cell in table.parsed.values())
        parts[table.paper] += len(panels(table))
    assert dict(values) == VALUES
    assert dict(parts) == PANELS
    assert values.total() >= 1300


def test_a_table_says_what_its_place_says(shipped: PrintedTable) -> None:
    assert shipped.file == EXPECTED / shipped.paper / f"table_{shipped.table}.toml"
    place = "appendix A.2" if shipped.table == "A2" else f"Table {shipped.table}"  # a comparison in the running text
    assert place in shipped.source


def test_every_place_resolves(shipped: PrintedTable) -> None:
    for panel in panels(shipped):
        for row in panel.rows:
            here = locate(Place(), shipped, panel.group, panel.set, row.name)
            assert (here.row, here.panel) == (row, panel.key)
            own = {c.figure: panel.cell(row, c) for c in panel.columns}
            found = panel.metrics(row)
            assert {f for f, cell in own.items() if cell is not None} <= set(found)
            for place in row.repeats:
                there = locate(place, shipped, panel.group, panel.set, row.name)
                assert there.row is not row or there.panel != panel.key, f"{here} repeats itself"
            for column in panel.columns:
                base = panel.reference(row, column)
                assert base is None or base.row.name


INCOMPLETE = {
    ("dense_mtl", "1"): {"Synthia/Ours"},  # its normals are lost in the available text
    ("mti_net", "7b"): {"Multi-Task"},  # printed nowhere else
    ("jtr", "3"): None,  # every row: relative gains on Taskonomy, whose metrics are not printed
    ("jtr", "13"): None,
}
"""Tables with rows whose Δ_m averages metrics that the paper does not print, and those rows."""


def test_every_delta_finds_the_metrics_it_averages(shipped: PrintedTable) -> None:
    lacking, unprinted, deltas = set(), set(), set()
    for panel in panels(shipped):
        for row in panel.rows:
            for column in (c for c in panel.columns if c.over and panel.cell(row, c) is not None):
                needed = set(panel.averaged(row, column))
                assert needed
                deltas.add(row.id)
                base = panel.reference(row, column)
                if base is None:
                    unprinted.add(row.id)
                else:
                    assert needed <= set(base.metrics()), f"{base}, which {row.id}, {column.key} refers to"
                if not needed <= set(panel.metrics(row)):
                    lacking.add(row.id)
    rows = INCOMPLETE.get((shipped.paper, shipped.table), set())
    assert lacking == (deltas if rows is None else rows)
    assert unprinted == (deltas if rows is None else set())


def test_every_cell_belongs_to_one_panel(shipped: PrintedTable) -> None:
    seen = Counter(
        (r.id, k) for p in panels(shipped) for r in p.rows for k in r.cells if k in {c.key for c in p.columns}
    )
    assert set(seen) == set(shipped.parsed)
    assert set(seen.values()) == {1}


def test_every_claim_is_asserted_by_a_panel(shipped: PrintedTable) -> None:
    asserted = {c.text for p in panels(shipped) for c in p.claims}
    assert asserted == {c.text for c in shipped.claims}
    keys = {p.key for p in panels(shipped)}
    for panel in panels(shipped):
        for claim in panel.claims:
            assert {where for where, _ in claim.rivals} <= keys


def test_every_deviation_is_registered_in_one_panel(shipped: PrintedTable) -> None:
    registered = [(d.row, d.column) for p in panels(shipped) for d in p.deviations]
    assert sorted(registered) == sorted((d.row, d.column) for d in shipped.deviations)


def test_a_doubt_says_something(shipped: PrintedTable) -> None:
    for row in shipped.rows:
        for key, text in row.doubts.items():
            assert len(text) > 20, (row.id, key)


def test_rows_as_printed() -> None:
    golden = {
        ("mti_net", "2a", "Ours (w/ FPM) (N+E)"): "37.49 | 0.607 | + 10.91",
        ("mti_net", "7b", "ASTMT"): "-51.0% | -1.0% | -0.87%",
        ("dense_mtl", "6b", "MTL-UDA"): "57.26 ± 0.71 | 11.85 ± 0.32 | -05.31 ± 0.82",
        (
            "dense_mtl",
            "1",
            "Cityscapes/STL [27]",
        ): "67.93 ± 0.06 | 6.622 ± 0.020 | ↓ | idem | idem | ↓ | 44.10 ± 0.01 | ?",
        ("jtr", "6", "Ours (JTR)"): "9h 00m | 17.5GiB | 10h 50m | 16.2GiB",
        ("jtr", "12", "MTPSL"): "+15.33 | +16.43 | –11.43",
        ("mt_cp", "3", "STL Depth"): "- | 0.4923 | -",
        ("aware3d", "7", "198 (25%)/Ours"): "44.79 | 0.5972 | 21.57 | 74.80",
    }
    for (paper, table, row), printed in golden.items():
        lines = {r.id: r.cells for r in load_table(EXPECTED / paper / f"table_{table}.toml").rows}
        assert " | ".join(lines[row].values()) == printed, (paper, table)


# --- protocols and tolerances -----------------------------------------------------------------------------------------

VOCABULARY = load_vocabulary(EXPECTED / "protocols.toml")


def metric_classes() -> list[type[Metric]]:
    """Every metric protocol of the package."""
    found: dict[str, type[Metric]] = {}
    for module in pkgutil.iter_modules(mtlrepro.metrics.__path__):
        for name, cls in inspect.getmembers(import_module(f"mtlrepro.metrics.{module.name}"), inspect.isclass):
            if issubclass(cls, Metric) and "protocol" in vars(cls):
                found[name] = cls
    return list(found.values())


def test_metric_classes_are_found() -> None:
    assert {c.protocol for c in metric_classes()} >= {"miou/dataset@1", "depth/pooled@1", "normals/pooled@1"}


@pytest.mark.parametrize("cls", metric_classes(), ids=lambda c: c.__name__)
def test_metric_classes_have_the_directions_of_their_protocol(cls: type[Metric]) -> None:
    assert cls.better
    for figure, direction in cls.better.items():
        assert VOCABULARY.protocols[cls.protocol].direction(figure) == direction, figure


def test_every_protocol_of_a_table_exists_and_every_protocol_is_used() -> None:
    named = {c.protocol for table in load_all(EXPECTED) for c in table.columns}
    assert named <= set(VOCABULARY.protocols)
    spare = set(VOCABULARY.protocols) - named - {c.protocol for c in metric_classes()}
    # what is left is told apart from its siblings in a note or a finding
    text = "\n".join(f.read_text() for f in EXPECTED.glob("*/*.toml"))
    assert [p for p in sorted(spare) if p not in text] == []


def test_every_protocol_says_what_it_is_and_whose() -> None:
    for protocol in VOCABULARY.protocols.values():
        assert protocol.id.rpartition("@")[2].isdigit()
        assert len(protocol.says) > 20
        assert protocol.source
        assert protocol.figures


def test_every_task_that_can_be_run_is_in_the_vocabulary() -> None:
    assert {name for name in TASKS} <= set(VOCABULARY.tasks)
    tasks = {c.metric.partition(".")[0] for t in load_all(EXPECTED) for c in t.columns if "." in c.metric}
    assert tasks <= set(VOCABULARY.tasks)


def test_every_tolerance_is_one_of_a_protocol() -> None:
    prefixes = [t.protocol for t in load_tolerances(EXPECTED / "tolerances.toml").tolerances]
    assert prefixes
    assert [p for p in prefixes if not any(k.startswith(p) for k in VOCABULARY.protocols)] == []
    assert len(set(prefixes)) == len(prefixes)


def test_every_protocol_of_a_table_has_a_tolerance_with_its_evidence() -> None:
    tolerances = load_tolerances(EXPECTED / "tolerances.toml")
    for protocol in {c.protocol for table in load_all(EXPECTED) for c in table.columns}:
        found = tolerances.of(protocol)
        assert protocol.startswith(found.protocol), protocol
        assert found.relative or found.absolute, protocol
        assert len(found.evidence) > 40, protocol
