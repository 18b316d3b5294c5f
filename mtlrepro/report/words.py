"""The report's vocabulary: labels, legends and number formats. One place, so that every table says the same."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from mtlrepro.expected.cells import parse
from mtlrepro.suite.results import CONFORMANCE, VERDICTS, Check, ColumnInfo, RowResult, TableResult, Value

NONE = "–"
MINUS = "−"
DECIDED = frozenset({"PASS", "XFAIL", "IMPROVED", "FAIL"})
"""Verdicts that state the outcome of a comparison."""

EVIDENCE = {
    "full": "full: the paper's dataset, model and recipe",
    "bench": "bench: the paper's model at its resolution, synthetic scenes",
    "smoke": "smoke: a small twin of the model, synthetic scenes",
    "rehearsal": "rehearsal: a small twin of the model on synthetic copies of the dataset's files, a few steps",
    "conformance": "conformance: exact counts and formulas, nothing trained",
    "own": "own: a dataset and settings of the user's own, no paper's numbers involved",
}
"""Tier -> what it is, strongest first; "own" stands apart."""

MEASURED = {
    "full": "measured (full)",
    "bench": "measured (bench, synthetic scenes)",
    "smoke": "measured (smoke, synthetic scenes)",
    "rehearsal": "measured (rehearsal, synthetic files)",
    "conformance": "measured (conformance, exact count)",
    "own": "measured (own dataset)",
}
"""Tier -> heading of a figure that was measured there."""

ONLY_COUNTED = "counted, not trained"
"""What a row is whose parameters and MACs are all that was asked for."""

SYNTHETIC = ("bench", "smoke", "rehearsal")
"""Tiers whose figures come from the embedded scenes."""

KINDS = {
    "printed": "printed figures",
    "resource": "printed parameters, MACs, time and memory",
    "claim": "claims of the papers",
    "trivial": "better than the best constant predictor",
    "recorded": "this project's own recorded results",
    "run": "runs that failed, and rehearsals",
}

LEGEND = {
    "PASS": "inside the band, or the statement holds",
    "XFAIL": "outside the band for a registered reason, by the registered amount",
    "IMPROVED": "outside the band on the good side",
    "FAIL": "outside the band on the bad side, or the statement does not hold",
    "ERROR": "the run or the comparison broke",
    "MISSING": "no result or no expectation to compare",
    "SKIPPED": "not run or not comparable here, for the stated reason",
    "QUOTED": "the authors copied the figure from other work: no run here is held to it",
}
assert set(LEGEND) == set(VERDICTS)

BANDS = (
    "A printed figure passes within max(k·s, floor): k from Student's t, s the spread over seeds, floor half a unit of "
    "the last printed digit plus a stated practical tolerance. Positive gains are better."
)


def compared(check: Check) -> bool:
    """False for a paper's figure or claim whose measured twin comes from synthetic scenes: those are never compared."""
    if check.kind == "claim":  # those about parameters, MACs, time and memory need no data set
        return check.tier not in ("smoke", "rehearsal")
    return check.kind != "printed" or check.tier in (None, "full")


def verdict(check: Check) -> str:
    """The verdict that the report counts: a comparison that the evidence cannot carry counts as SKIPPED."""
    return check.verdict if compared(check) or check.verdict not in DECIDED else "SKIPPED"


def shown(check: Check) -> str:
    """The verdict as text, or "not compared (<tier>)"."""
    return check.verdict if compared(check) or check.verdict == "ERROR" else f"not compared ({check.tier})"


def is_copied(row: RowResult) -> bool:
    """True for a row whose printed figures the authors copied from another paper, whether it runs here or not."""
    return row.origin == "quoted"


def is_quoted(row: RowResult) -> bool:
    """True for a row that is copied and has no recipe here: one that has is counted at least."""
    return is_copied(row) and not (row.tier or row.runs or row.resources)


def is_reading(row: RowResult) -> bool:
    """True for another reading of a printed row."""
    return row.origin == "reading"


def is_users(row: RowResult) -> bool:
    """True for a user's own method in place of a printed row."""
    return row.origin == "own"


def is_unprinted(row: RowResult) -> bool:
    """True for a row that no paper prints: another reading of a printed row, or a user's own method."""
    return is_reading(row) or is_users(row)


def is_counted(row: RowResult) -> bool:
    """True for a row whose parameters and MACs are all that was asked for: nothing of it was trained."""
    return row.tier == CONFORMANCE


def mark(row: RowResult) -> str:
    """What a row that is not printed is; "" for a printed one."""
    if not is_unprinted(row):
        return ""
    return f"{'own method, like' if is_users(row) else 'another reading of'} {row.source}, not printed"


def is_delta(column: ColumnInfo) -> bool:
    """True for a column of Δ_m."""
    return column.protocol.startswith("delta_m") or column.key in ("delta", "delta_m")


def delta_name(table: TableResult) -> str:
    """How the Δ_m that stands for a row is called: of which column, where the table has several."""
    columns = [c for c in table.columns if is_delta(c)]
    if len(columns) < 2:
        return "Δ_m"
    found = next((c for c in columns if all(_stands(row, c) for row in table.rows)), None)
    return f"Δ_m of {found.title!r}" if found else "Δ_m"


def _stands(row: RowResult, column: ColumnInfo) -> bool:
    """Whether a row's Δ_m, printed and measured, are those of a column."""
    paper, own = parse(row.printed.get(column.key, NONE)), row.delta.get("own")
    if row.delta.get("paper") != (paper and paper.value):
        return False
    value = row.measured.get(column.key)
    return own is None or (value is not None and (value.mean == own or math.isnan(own)))


def cell_tier(row: RowResult, column: ColumnInfo) -> str | None:
    """Tier of the figure in `row.measured`: exact counts need no training, whatever served the row's other columns."""
    if column.protocol.split("@")[0] in ("params", "macs"):
        return CONFORMANCE
    return row.tier


def check_of(row: RowResult, column: ColumnInfo) -> Check | None:
    """The comparison of one cell against the paper."""
    return next((c for c in row.checks if c.subject == column.key and c.kind in ("printed", "resource")), None)


def is_own(table: TableResult) -> bool:
    """True for a comparison on a user's own dataset: nothing is printed anywhere."""
    return not any(row.printed for row in table.rows) and any(row.tier == "own" for row in table.rows)


def title(table: TableResult) -> str:
    """The table's name in headings and examples."""
    part = f" [{table.panel}]" if table.panel else ""
    return table.table if is_own(table) else f"{table.paper} table {table.table}{part}"


def heading(column: ColumnInfo) -> str:
    """A column's printed title with direction and unit, unless the title already tells them."""
    arrow = "" if re.search("[↑↓]", column.title) else {"higher": " ↑", "lower": " ↓"}.get(column.better, "")
    unit = (
        f" [{column.unit}]"
        if column.unit and not re.search(rf"(?<!\w){re.escape(column.unit)}(?!\w)", column.title)
        else ""
    )
    return f"{column.title}{unit}{arrow}"


def digits(column: ColumnInfo, printed: Iterable[str]) -> int | None:
    """Decimals to show of a measured figure: as printed; one more for counts, whose print is often rounded hard.

    Hours, which are printed with their minutes, have two.
    """
    found, kind = decimals(printed), column.protocol.split("@")[0]
    if kind == "time/training":
        return 2
    return found if found is None or kind not in ("params", "macs") else found + 1


def decimals(printed: Iterable[str]) -> int | None:
    """Most decimals among printed strings; None where no string holds a number."""
    found = [m.group(1) or "" for text in printed if (m := re.search(r"\d+(?:[.,](\d+))?", text))]
    return max((len(f) for f in found), default=None)


def number(value: float | None, digits: int | None = None, signed: bool = False) -> str:
    """A figure with `digits` decimals, or four significant digits; a dash for None."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return str(value)
    sign = "+" if signed else ""
    text = f"{value:{sign}.{digits}f}" if digits is not None else f"{value:{sign}.4g}"
    return text.replace("-", MINUS)


def measured(value: Value, digits: int | None) -> str:
    """Mean, and the deviation where there are several seeds."""
    text = number(value.mean, digits)
    return text if value.s is None or value.n < 2 else f"{text} ± {number(value.s, digits)}"


def percent(value: float, digits: int | None = 1) -> str:
    """A signed percentage, usually with one decimal."""
    return f"{number(value, digits, signed=True)} %"


def duration(seconds: float) -> str:
    """Seconds as a person would say them."""
    if not math.isfinite(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def plural(count: int, one: str, many: str = "") -> str:
    """`3 rows`, `1 row`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def listed(items: list[str], limit: int = 3) -> str:
    """The first few of a list, and how many more there are."""
    rest = len(items) - limit
    return "; ".join(items[:limit]) + (f"; and {rest} more" if rest > 0 else "")


def slug(text: str) -> str:
    """A file and anchor name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() or "x"
