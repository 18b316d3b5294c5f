"""`expected/<paper>/findings.toml`: where a paper and its public code, or two places of one paper, disagree."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mtlrepro.errors import SpecError, unknown
from mtlrepro.expected.tomlfile import check_known, read_toml, take_all
from mtlrepro.spec import DataSpec, ModelSpec, ObjectiveSpec, Recipe

ALL = "*"
"""As a table: every table of the paper."""

_SPECS: dict[str, Any] = {"data": DataSpec, "model": ModelSpec, "objective": ObjectiveSpec, "recipe": Recipe}
KEYS = ("protocol", "selection", *(f"{part}.{f.name}" for part, c in _SPECS.items() for f in dataclasses.fields(c)))
"""What can switch a reading today: a column's protocol, a table's selection rule, or a field of a run's spec."""


@dataclass(frozen=True)
class Finding:
    """One disagreement.

    Attributes:
        id: unique name, starts with the paper.
        tables: ids of the tables it matters to, or "*".
        title: what it is about, in a few words.
        paper: what the paper says.
        paper_place: where.
        code: what the public code does.
        code_place: where.
        ours: what this suite follows, or is decided to follow once the method is here.
        key: the setting that switches it (`KEYS`; "model.options.<name>" for an option), "" where there is none.
        effect: how much it matters, where somebody measured it, with the source.
    """

    id: str
    tables: tuple[str, ...]
    title: str
    paper: str
    paper_place: str
    code: str
    code_place: str
    ours: str
    key: str = ""
    effect: str = ""

    def about(self, table: str) -> bool:
        """Does it matter to that table?"""
        return ALL in self.tables or table in self.tables


@cache
def load_findings(root: Path, paper: str) -> tuple[Finding, ...]:
    """The findings about a paper; none if it has no `findings.toml`.

    Raises:
        SpecError: unknown or missing key, a table that does not exist, a setting that does not exist, an id twice.
    """
    path = root / paper / "findings.toml"
    if not (path.exists() or path.is_symlink()):
        return ()
    raw = read_toml(path)
    check_known("key", raw, ("findings",), path, None)
    findings = tuple(take_all(Finding, raw, "findings", path))
    tables = [f.stem.removeprefix("table_") for f in path.parent.glob("table_*.toml")]
    ids = [f.id for f in findings]
    for finding in findings:
        where = f"findings {finding.id!r}"
        check_known("table", finding.tables, [*tables, ALL], path, f"{where}.tables")
        prefix = re.escape(paper.replace("_", "-"))
        if not re.fullmatch(rf"{prefix}(-[a-z0-9]+)+", finding.id):
            mend = f"Write it in kebab case and begin with {prefix}-"
            raise SpecError(f"{finding.id!r} as an id", file=path, field=f"{where}.id", mend=mend)
        if not finding.tables:
            raise SpecError("no table", file=path, field=f"{where}.tables", mend="Name those it matters to, or '*'")
        if ids.count(finding.id) > 1:
            raise SpecError("is there twice", file=path, field=where, mend="Rename one")
        head, _, option = finding.key.rpartition(".")
        known = finding.key in KEYS or (head in KEYS and head.endswith(".options") and option.isidentifier())
        if finding.key and not known:
            raise unknown("setting", finding.key, KEYS, file=path, field=f"{where}.key")
    return findings
