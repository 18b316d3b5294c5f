"""Small table files, written beside a copy of the repository's protocols."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = ROOT / "expected"
SHIPPED = sorted(EXPECTED.glob("*/table_*.toml"))

HEAD = """
schema_version = 2
paper = "{paper}"
table = "{table}"
dataset = "nyuv2"
caption = "c"
source = "s"
selection = "last"
runs = {runs}
"""
SEG = 'title = "Seg"\nmetric = "semseg.miou"\nprotocol = "miou/dataset@1"\nunit = "%"\nbetter = "higher"'
DEP = 'title = "Dep"\nmetric = "depth.rmse"\nprotocol = "depth/pooled@1"\nunit = "m"\nbetter = "lower"'
DELTA = (
    'title = "Delta"\nmetric = "delta_m"\nprotocol = "delta_m@1"\nunit = "%"\nbetter = "higher"\n'
    'over = ["semseg.miou", "depth.rmse"]'
)
PARAMS = 'title = "Params"\nmetric = "params"\nprotocol = "params@1"\nunit = "M"\nbetter = "lower"\nrelative = true'


def column(key: str, body: str, **more: str) -> str:
    """A `[[columns]]` entry; `more` are further keys with their TOML text."""
    return "\n".join(["[[columns]]", f'key = "{key}"', body, *(f"{k} = {v}" for k, v in more.items()), ""])


def row(name: str, cells: dict[str, str], **more: str) -> str:
    """A `[[rows]]` entry; `more` are further keys with their TOML text."""
    listed = ", ".join(f'{k} = "{v}"' for k, v in cells.items())
    return "\n".join(
        ["[[rows]]", f'name = "{name}"', f"cells = {{ {listed} }}", *(f"{k} = {v}" for k, v in more.items()), ""]
    )


def part(kind: str, key: str, **more: str) -> str:
    """A `[[sets]]` or `[[groups]]` entry; `more` are further keys with their TOML text."""
    return "\n".join([f"[[{kind}]]", f'key = "{key}"', *(f"{k} = {v}" for k, v in more.items()), ""])


def write(root: Path, *body: str, paper: str = "p", table: str = "1", runs: int = 1) -> Path:
    """Write a table of a head and `body` to root/<paper>/table_<table>.toml; tables are cached by path."""
    return write_text(root, "\n".join([HEAD.format(paper=paper, table=table, runs=runs), *body]), paper, table)


def write_text(root: Path, text: str, paper: str = "p", table: str = "1") -> Path:
    """Write a table file as it is."""
    path = root / paper / f"table_{table}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not (root / "protocols.toml").exists():
        shutil.copy(EXPECTED / "protocols.toml", root / "protocols.toml")
    path.write_text(text)
    return path
