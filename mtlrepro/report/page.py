"""What reports and pages are made of, before any markup: cells, titled tables, and a page of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from mtlrepro.report.curves import Panel


@dataclass(frozen=True)
class Cell:
    """A cell with more than plain text: a small second line, and verdict badges as (verdict, label) pairs."""

    text: str = ""
    detail: str = ""
    badges: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        labels = ", ".join(label for _, label in self.badges)
        return " ".join(part for part in (self.text, f"({self.detail})" if self.detail else "", labels) if part)


@dataclass
class Frame:
    """A titled table; `folded` ones are closed at first in HTML and left to HTML where they say nothing new."""

    title: str
    data: pd.DataFrame
    folded: bool = True


@dataclass
class Page:
    """A page beside the report: a title, some sentences, titled tables. Markdown and HTML render the same.

    Attributes:
        panels: curves below the tables, in HTML alone.
    """

    title: str
    lead: list[str]
    frames: list[Frame]
    panels: list[Panel] = field(default_factory=list)
