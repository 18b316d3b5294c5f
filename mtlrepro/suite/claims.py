"""Claims: the orderings that a paper asserts, judged from our own runs."""

from __future__ import annotations

import math
from dataclasses import replace

from mtlrepro.expected.panel import Ordering
from mtlrepro.expected.schema import COUNTED, TIMED, Column
from mtlrepro.suite.evidence import TIMING_TIERS, Evidence
from mtlrepro.suite.results import Check
from mtlrepro.suite.verdict import Comparison, exact_claim, tested_claim


def judge_claim(entry: Ordering, here: Evidence) -> Check:
    """An ordering: counts are compared at once, time and memory at bench too, trained figures at the full tier alone.

    Trained figures are paired by seed.
    """
    sides = [(here, entry.row), *((here.at(panel), name) for panel, name in entry.rivals)]
    quote = " ".join(filter(None, (entry.quote, entry.section and f"({entry.section})"))) or None
    lacking = [name for there, name in sides if there is None or name not in there.rows]
    if lacking:
        return Check("claim", entry.text, "SKIPPED", expected=quote, reason=f"row {lacking[0]!r} was not selected")
    columns = [(here.panel.printed.column(mine), theirs) for mine, theirs in entry.columns]
    timed = any(c.metric in TIMED for c, _ in columns)
    exact = all(c.metric in (*COUNTED, *TIMED) for c, _ in columns)
    rows = [there.rows[name] for there, name in sides if there is not None]
    tiers = {r.service.tier for r in rows}
    enough = TIMING_TIERS if exact else ("full",)
    if (timed or not exact) and not (len(tiers) == 1 and tiers <= set(enough)):
        reason = next((r.service.not_run for r in rows if r.service.not_run), f"no {enough[0]}-tier result")
        return Check("claim", entry.text, "SKIPPED", expected=quote, reason=reason)
    if timed or not exact:
        figures = [(here, entry.row, mine) for mine, _ in columns]
        figures += [
            (there, name, there.panel.printed.column(theirs))
            for there, name in sides[1:]
            if there
            for _, theirs in columns
        ]
        another = next((why for there, name, column in figures if (why := there.another(name, column))), "")
        if another:
            return Check("claim", entry.text, "SKIPPED", expected=quote, reason=another)
    comparisons = []
    for column, theirs in columns:
        for there, name in sides[1:]:
            assert there is not None
            other = there.panel.printed.column(theirs)
            ours, rival = here.value(entry.row, column), there.value(name, other)
            for who, where, found in ((entry.row, here, ours), (name, there, rival)):
                if found is None:
                    row = where.rows[who]
                    word, why = ("MISSING", row.error) if row.row.specs else ("SKIPPED", row.service.not_run)
                    reason = ": ".join(filter(None, (f"no figure of row {who!r}", why)))
                    return Check("claim", entry.text, word, expected=quote, reason=reason)
            assert ours is not None
            assert rival is not None
            if not math.isfinite(rival.mean):
                reason = f"row {name!r} diverged and cannot be compared with"
                return Check("claim", entry.text, "SKIPPED", expected=quote, reason=reason)
            sign = 1.0 if column.better == "higher" else -1.0
            label = column.title if len(sides) == 2 else f"{column.title} against {name}"
            comparisons.append(
                Comparison(
                    label,
                    sign * (ours.mean - rival.mean),
                    _paired(here, entry.row, column, there, name, other, sign),
                    here.spread(column)[0],
                    min(ours.n, rival.n),
                )
            )
    if not exact:
        return replace(tested_claim(entry.text, comparisons), expected=quote)
    tier = rows[0].service.tier if timed else "conformance"
    return replace(exact_claim(entry.text, comparisons), expected=quote, tier=tier)


def _paired(
    here: Evidence, row: str, column: Column, there: Evidence, name: str, other: Column, sign: float
) -> list[float]:
    """Gain over the rival, seed by seed."""
    pairs = zip(here.column_series(row, column), there.column_series(name, other), strict=False)
    return [sign * (a - b) for a, b in pairs]
