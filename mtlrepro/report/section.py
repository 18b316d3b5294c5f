"""One table's part of a report, before any markup."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from mtlrepro.report.curves import Panel
from mtlrepro.report.figures import Picture
from mtlrepro.report.gallery import Sheet
from mtlrepro.report.page import Cell, Frame
from mtlrepro.report.weights import WeightPanel
from mtlrepro.suite.results import TableResult


@dataclass
class TableSection:
    """One table of a paper: figures first, then everything behind them.

    `bars`, `curves`, `weights` and `gallery` are pictures for Markdown; HTML draws the same from the table, from
    `losses`, `evaluations` and `weighed`, and from `sheets`.
    """

    slug: str
    title: str
    table: TableResult
    printed: pd.DataFrame
    measured: dict[str, pd.DataFrame]
    evidence: list[str]
    checks: list[Cell]
    frames: list[Frame]
    statements: list[str]
    footnote: str
    bars: Picture | None = None
    curves: Picture | None = None
    weights: Picture | None = None
    losses: list[Panel] = field(default_factory=list)
    evaluations: list[Panel] = field(default_factory=list)
    weighed: list[WeightPanel] = field(default_factory=list)
    gallery: list[Picture] = field(default_factory=list)
    sheets: list[Sheet] = field(default_factory=list)
    curves_note: str = ""
    gallery_note: str = ""
    left_out: str = ""
    """Which of `sheets` are not in `gallery`, as a sentence."""

    @property
    def ran(self) -> bool:
        """Whether anything of the table was run or counted here."""
        return any(row.tier or row.measured for row in self.table.rows)
