"""What the report shows of the session as a whole, as data frames of text."""

from __future__ import annotations

import pandas as pd

from mtlrepro.report import words
from mtlrepro.report.headline import Headline
from mtlrepro.report.rundir import RunFiles
from mtlrepro.report.tables import NONE, Cell, badge, difference, frame, resource_frame
from mtlrepro.suite.results import RowResult, SessionResult, TableResult


def all_resources(result: SessionResult) -> pd.DataFrame:
    """Cost over all tables; rows that show the same runs at the same cost are named once."""
    first: dict[tuple, tuple[TableResult, RowResult]] = {}
    names: dict[tuple, list[str]] = {}
    for table in result.tables:
        for row in table.rows:
            if row.resources:
                identity = tuple(row.runs) or (table.dataset, row.name)
                key = (table.paper, identity, tuple(sorted(row.resources.items())))
                first.setdefault(key, (table, row))
                names.setdefault(key, []).append(f"{table.paper} {table.table}: {row.name}")
    lines = [
        (*entry, names[key][0] + (f" (+{len(names[key]) - 1} more)" if len(names[key]) > 1 else ""))
        for key, entry in first.items()
    ]
    return resource_frame(lines, "Table and row")


def matrix(headline: Headline) -> pd.DataFrame:
    """Checks per kind and tier, one column a verdict that occurs."""
    shown = list(headline.verdicts)
    lines = [
        [words.KINDS.get(kind, kind), tier or NONE, *(str(row.get(v, "")) for v in shown)]
        for (kind, tier), row in headline.matrix.items()
    ]
    return pd.DataFrame(lines, columns=["Checks of", "Tier", *shown], dtype=object)


def not_run(headline: Headline) -> pd.DataFrame:
    """Grouped reasons for everything that is missing."""
    lines = [[g.what, str(g.count), g.reason, words.listed(g.examples)] for g in headline.not_run]
    return frame(lines, ["What", "Count", "Why", "For example"])


def attention(headline: Headline) -> pd.DataFrame:
    """Everything outside its band, failed or broken, with its reason."""
    lines = [
        [badge(c), where, c.subject, c.tier or "", c.expected or "", words.number(c.measured), difference(c), c.reason]
        for where, c in headline.attention
    ]
    return frame(lines, ["Verdict", "Where", "Subject", "Tier", "Expected", "Measured", "Difference", "Reason"])


def runs(result: SessionResult, files: dict[str, RunFiles]) -> pd.DataFrame:
    """Every run once: what it was, how long it took, what its directory lacks."""
    lines = []
    for run in result.runs:
        found = files[run.key]
        steps = found.result.get("steps") or (found.steps[-1] if found.steps else None)
        spent = found.result.get("seconds")
        parts = (
            [f"{name} {words.duration(float(s))}" for name, s in spent.items() if isinstance(s, int | float)]
            if isinstance(spent, dict)
            else []
        )
        state = "reused" if run.reused else "new"
        work = words.duration(run.seconds)
        lines.append(
            [
                run.label,
                run.tier,
                str(run.seed),
                str(steps or NONE),
                work,
                ", ".join(parts),
                state,
                run.key,
                "; ".join(found.problems),
            ]
        )
    return frame(lines, ["Run", "Tier", "Seed", "Steps", "Work", "Of which", "State", "Key", "Missing"])


def environment(result: SessionResult) -> pd.DataFrame:
    """Where and how the session ran."""
    facts = {"command": result.command, "created": result.created, "tier asked for": result.tier}
    return pd.DataFrame(list({**facts, **result.environment}.items()), columns=["What", "Value"], dtype=object)


def legend() -> pd.DataFrame:
    """What each verdict means."""
    return pd.DataFrame(
        [[Cell(badges=((v, v),)), text] for v, text in words.LEGEND.items()],
        columns=["Verdict", "Meaning"],
        dtype=object,
    )
