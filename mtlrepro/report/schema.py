"""Documentation of `report.json`, generated from the dataclasses. `python -m mtlrepro.report.schema` prints it."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from mtlrepro.audit.items import Item
from mtlrepro.expected.findings import Finding
from mtlrepro.suite.results import (
    ORIGINS,
    SCHEMA_VERSION,
    TIERS,
    VERDICTS,
    Check,
    ColumnInfo,
    Part,
    RowResult,
    RunInfo,
    SessionResult,
    TableResult,
    Value,
)

CLASSES: tuple[Any, ...] = (
    SessionResult,
    TableResult,
    ColumnInfo,
    RowResult,
    Value,
    Check,
    Finding,
    Item,
    RunInfo,
    Part,
)

_HEAD = f"""# The JSON report

`report.json` holds one `SessionResult` (schema version {SCHEMA_VERSION}). This page is generated from the
dataclasses in `mtlrepro/suite/results.py` by `python -m mtlrepro.report.schema > docs/report-schema.md`.

- Read it with `mtlrepro.report.load_report(path)`: unknown or missing keys, wrong types and other schema versions are
  errors that name the file and the field.
- Keys marked *optional* may be left out; `null` is allowed where the type says so.
- A number that JSON cannot write is one of the strings `"nan"`, `"inf"`, `"-inf"`.
- Tiers: {", ".join(f"`{t}`" for t in TIERS)}. Verdicts: {", ".join(f"`{v}`" for v in VERDICTS)}. Origins of rows:
  {", ".join(f"`{o}`" for o in ORIGINS)}.
"""


def render_schema() -> str:
    """The text of `docs/report-schema.md`."""
    return "\n".join([_HEAD, *(_section(cls) for cls in CLASSES)])


def attributes(cls: Any) -> tuple[str, dict[str, str]]:
    """A dataclass's summary sentence(s) and its documented attributes, from a Google-style docstring."""
    summary, _, listing = (cls.__doc__ or "").partition("Attributes:")
    entries: dict[str, str] = {}
    for line in listing.splitlines():
        if match := re.match(r" {8}(\w+): (.*)", line):
            name, text = match.groups()
            entries[name] = text
        elif line.strip() and entries:
            entries[name] += " " + line.strip()
    return " ".join(summary.split()), entries


def _section(cls: Any) -> str:
    summary, texts = attributes(cls)
    lines = [f"## {cls.__name__}", "", summary, "", "| key | type | meaning |", "|---|---|---|"]
    for f in dataclasses.fields(cls):
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        kind = str(f.type).replace("|", "or").replace("None", "null")
        text = texts.get(f.name, "").replace("|", "\\|")
        lines.append(f"| `{f.name}` | {kind}{'' if required else ', *optional*'} | {text} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render_schema(), end="")
