"""Findings as tables: where a paper and its public code disagree, and what is followed here."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mtlrepro.expected.findings import Finding
from mtlrepro.report.page import Frame, Page

LEAD = [
    "Where a paper and its public code, or two places of one paper, disagree in a way that matters to a table. What "
    "this suite follows is built here, or decided for methods that are not here yet. The setting switches the reading; "
    "where none is given there is one reading only.",
]


def findings_page(findings: Sequence[tuple[str, Finding]]) -> Page:
    """The findings of papers, given as (paper, finding)."""
    papers = dict.fromkeys(paper for paper, _ in findings)
    frames = [
        Frame(paper, findings_frame([f for p, f in findings if p == paper], True), folded=False) for paper in papers
    ]
    return Page("Where papers and their public code disagree", LEAD, frames)


def findings_frame(findings: Sequence[Finding], tables: bool = False) -> pd.DataFrame:
    """One line a finding; with the tables it matters to where they are not known from the context."""
    lines = [
        [
            *([", ".join(f.tables).replace("*", "all")] if tables else []),
            f.title,
            _placed(f.paper, f.paper_place),
            _placed(f.code, f.code_place),
            f.ours,
            f.key,
            f.effect,
        ]
        for f in findings
    ]
    names = ["Subject", "Paper", "Public code", "This suite follows", "Setting", "Effect"]
    return pd.DataFrame(lines, columns=["Tables", *names] if tables else names, dtype=object)


def _placed(text: str, place: str) -> str:
    return f"{text} ({place})" if place else text
