"""Reports of parts become the report of the whole; what does not fit together is named."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from suite_fakes import SUITES, FakeLauncher

from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.spec import RunSpec
from mtlrepro.suite.merge import differing, merge_reports, missing_shards, together
from mtlrepro.suite.results import Check, ColumnInfo, Part, RowResult, RunInfo, SessionResult, TableResult, Value
from mtlrepro.suite.session import Options, Session
from mtlrepro.suite.shards import Shard, choose
from mtlrepro.suite.table import BoundTable, Row, discover, select

ENVIRONMENT = {"torch": "2.15.0", "cpu": "one", "commit": "abc"}


def figures(spec: RunSpec) -> dict[str, float]:
    """A figure for everything that a table may read of a run, another one for every spec."""
    value = 0.1 + int(spec.hash()[:4], 16) / 2**18
    return {
        f"{view}.{task}.{protocol}.{figure}": value
        for view in ("final", "initial", "regularizer", "average", *(f"scale_{i}" for i in range(4)))
        for task in spec.tasks
        for protocol, made in PROTOCOLS.get(task, {}).items()
        for figure in made.better
    }


def session(cases: Iterable[tuple[BoundTable, Row]], runs: Path) -> SessionResult:
    chosen = list(cases)
    whole = Session(Options("smoke", seeds=2, runs=runs), FakeLauncher(figures, step=0.01))
    whole.plan(chosen)
    for bound in {bound.key: bound for bound, _ in chosen}.values():
        whole.table(bound)
    return whole.finish()


def by_place(result: SessionResult) -> dict[tuple[str, ...], TableResult]:
    return {(t.paper, t.dataset, t.table, t.panel): t for t in result.tables}


@pytest.mark.parametrize("count", [3])
def test_shards_of_three_papers_merge_to_the_verdicts_of_one_session(tmp_path: Path, count: int) -> None:
    tables = select(list(discover(SUITES)), ["mt_cp", "aware3d/pascal_context", "mti_net/nyuv2/3"])
    cases = [(bound, row) for bound in tables for row in bound.rows]
    whole = session(cases, tmp_path)
    parts = {f"{k}/{count}": session(choose(cases, Shard(k, count), "smoke"), tmp_path) for k in range(1, count + 1)}
    assert all(part.tables for part in parts.values())
    merged, conflicts = merge_reports(dict(reversed(parts.items())))
    assert conflicts == []
    assert by_place(merged) == by_place(whole)
    assert any(c.verdict == "FAIL" for c in whole.checks()), "verdicts of more than one kind"
    key = {run.key for part in parts.values() for run in part.runs}
    assert len(merged.runs) == len(key) == sum(len(part.runs) for part in parts.values())
    assert {run.key: run for run in merged.runs} == {run.key: run for run in whole.runs}


# --- made-up reports --------------------------------------------------------------------------------------------------


def row(name: str, value: float = 0.5, **more: object) -> RowResult:
    return RowResult(name, tier="smoke", measured={"dep": Value(value)}, **more)  # type: ignore[arg-type]


def table(*rows: RowResult, names: tuple[str, ...] = ("a", "b", "c"), panel: str = "", **more: object) -> TableResult:
    column = ColumnInfo("dep", "Dep", "m", "lower", "depth/pooled@1")
    given = {"row_names": list(names), "panel": panel, **more}
    return TableResult("p", "1", "nyuv2", "caption", [column], list(rows), **given)  # type: ignore[arg-type]


def report(*tables: TableResult, runs: Iterable[RunInfo] = (), **more: object) -> SessionResult:
    base = SessionResult(
        "pytest", "2026-11-23T01:00:00+00:00", "smoke", 10.0, dict(ENVIRONMENT), list(tables), list(runs)
    )
    return replace(base, **more)  # type: ignore[arg-type]


def run(key: str, reused: bool, seconds: float = 1.0, directory: str = "") -> RunInfo:
    return RunInfo(key, directory, "label", "smoke", seconds, reused, 0)


def test_rows_are_in_printed_order_whatever_the_order_of_reports() -> None:
    reports = {name: report(table(row(name))) for name in "cab"}
    for order in itertools.permutations(reports):
        merged, conflicts = merge_reports({name: reports[name] for name in order})
        assert [r.name for r in merged.tables[0].rows] == ["a", "b", "c"]
        assert conflicts == []


def test_an_equal_row_is_there_once_and_an_unequal_one_is_named() -> None:
    first, same = report(table(row("a", math.nan))), report(table(row("a", math.nan, reused=True)))
    merged, conflicts = merge_reports({"x": first, "y": same})
    assert (len(merged.tables[0].rows), conflicts) == (1, [])
    other = report(table(row("a", 0.25), row("b")))
    merged, conflicts = merge_reports({"x": first, "y": other})
    assert conflicts == ["p/nyuv2/1: row 'a' is not the same in x and in y; that of x stands"]
    assert [r.name for r in merged.tables[0].rows] == ["a", "b"]
    assert math.isnan(merged.tables[0].rows[0].measured["dep"].mean)


def test_claims_and_columns_that_differ_are_named_and_notes_are_told_once() -> None:
    claim = Check("claim", "a beats b", "PASS", "full")
    one = table(row("a"), claims=[claim], notes=["n", "m"])
    two = table(row("b"), claims=[replace(claim, verdict="FAIL")], notes=["m", "o"])
    two.columns = [replace(two.columns[0], unit="cm")]
    merged, conflicts = merge_reports({"x": report(one), "y": report(two)})
    assert conflicts == [
        "p/nyuv2/1: its columns are not the same in x and in y; that of x stands",
        "p/nyuv2/1: claim 'a beats b' is not the same in x and in y; that of x stands",
    ]
    assert merged.tables[0].notes == ["n", "m", "o"]
    assert [c.verdict for c in merged.tables[0].claims] == ["PASS"]


def test_panels_stay_apart_and_an_unknown_row_of_another_program_is_kept() -> None:
    merged, conflicts = merge_reports(
        {
            "x": report(table(row("a"), panel="18")),
            "y": report(table(row("a", 0.1), panel="50"), table(row("d"), names=("d",))),
        }
    )
    assert [(t.panel, [r.name for r in t.rows]) for t in merged.tables] == [("18", ["a"]), ("50", ["a"]), ("", ["d"])]
    assert conflicts == []


def test_holm_is_made_anew_over_rows_of_several_sessions_alone() -> None:
    def checked(name: str, p: float) -> RowResult:
        return row(name, checks=[Check("printed", "dep", "FAIL", "full", p=p, holm="FAIL")])

    one, two = table(checked("a", 0.03), chance_failures=0.05), table(checked("b", 0.04), chance_failures=0.05)
    merged, _ = merge_reports({"x": report(one), "y": report(two)})
    assert [r.checks[0].holm for r in merged.tables[0].rows] == ["PASS", "PASS"]
    assert merged.tables[0].chance_failures == pytest.approx(0.1)
    both = table(checked("a", 0.03), checked("b", 0.04))
    alone, _ = merge_reports({"x": report(both), "y": report()})
    assert [r.checks[0].holm for r in alone.tables[0].rows] == ["FAIL", "FAIL"]


def test_a_run_is_there_once_and_new_if_anybody_made_it() -> None:
    reports = {
        "x": report(runs=[run("k", True, 1.0, "x"), run("l", True)]),
        "y": report(runs=[run("k", False, 2.0, "y")]),
    }
    for order in (reports, dict(reversed(reports.items()))):
        merged, _ = merge_reports(order)
        assert {r.key: (r.reused, r.directory) for r in merged.runs} == {"k": (False, "y"), "l": (True, "")}


def test_sessions_are_told_and_a_merged_report_can_be_merged_again() -> None:
    late = report(created="2026-11-23T02:00:00+00:00", environment={**ENVIRONMENT, "commit": "def"}, shard="1/3")
    early = report(shard="2/3", seconds=5.0)
    merged, _ = merge_reports({"1/3": late, "2/3": early})
    assert (merged.created, merged.seconds, merged.tier) == (late.created, 15.0, "smoke")
    assert merged.environment == {"torch": "2.15.0", "cpu": "one", "commit": "def (1/3); abc (2/3)"}
    assert differing(merged.parts) == ["commit"]
    assert missing_shards(merged.parts) == ["3/3"]
    again, _ = merge_reports({"merged": merged, "3/3": report(shard="3/3", tier="full")})
    assert [part.name for part in again.parts] == ["1/3", "2/3", "3/3"]
    assert (missing_shards(again.parts), again.tier, again.seconds) == ([], "smoke, full", 25.0)


def test_what_only_some_environments_tell_differs() -> None:
    assert together({"a": {"cuda": "13"}, "b": {}}) == {"cuda": "13 (a); not told (b)"}
    parts = [Part(n, "", "", "", 0.0, e) for n, e in {"a": {"cuda": "13"}, "b": {}}.items()]
    assert differing(parts) == ["cuda"]
