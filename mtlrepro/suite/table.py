"""Declared tables: which rows, and which runs each row is. No number in here; those are in `expected/`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mtlrepro.errors import SpecError, unknown
from mtlrepro.spec import RunSpec
from mtlrepro.suite.expected import ExpectedTable, load_table
from mtlrepro.suite.tolerances import Tolerances, load_tolerances


@dataclass(frozen=True)
class Row:
    """One method of a table.

    Attributes:
        name: as in the paper and in `expected/`.
        specs: paper-exact runs the row reads; several for single-task rows. Empty for quoted rows.
        view: which predictions are read: "final" or the name of a stage.
        missing: why the row cannot be run yet, for rows whose method does not exist here.
    """

    name: str
    specs: tuple[RunSpec, ...] = ()
    view: str = "final"
    missing: str = ""


@dataclass(frozen=True)
class Table:
    """A declared table; `suites/<paper>/test_<dataset>_table_<id>.py` holds one as `TABLE`."""

    paper: str
    dataset: str
    id: str
    rows: Sequence[Row]

    @property
    def key(self) -> str:
        """The name the command line uses, for example "mti_net/nyuv2/2a"."""
        return f"{self.paper}/{self.dataset}/{self.id}"


@dataclass(frozen=True)
class BoundTable:
    """A declared table together with what is expected of it."""

    table: Table
    expected: ExpectedTable
    tolerances: Tolerances
    measured: Path | None = None
    """Folder of this project's own recorded results."""

    printed_baseline: dict[str, float] = field(default_factory=dict)
    """Metric id -> the printed baseline's value, in the metric's own unit."""

    def row(self, name: str) -> Row:
        """The declared row of that name (SpecError with the nearest names)."""
        for row in self.table.rows:
            if row.name == name:
                return row
        raise unknown("row", name, [r.name for r in self.table.rows], field=self.table.key)

    def claims_of(self, row: str, text: str) -> bool:
        """Is the claim of that text one about that row?"""
        return any(c.row == row and c.text == text for c in self.expected.claims)


def bind(table: Table, file: Path) -> BoundTable:
    """Join a table declared in `file` with `expected/` beside the suites folder.

    Raises:
        SpecError: the expected file is missing or wrong, or its rows are not the declared ones.
    """
    root = suites_root(file).parent / "expected"
    expected = load_table(root / table.paper / f"table_{table.id}.toml")
    for name, says, is_ in (
        ("paper", expected.paper, table.paper),
        ("table", expected.table, table.id),
        ("dataset", expected.dataset, table.dataset),
    ):
        if says != is_:
            raise SpecError(
                f"says {says!r}, the table declared in {file} is of {is_!r}",
                file=expected.file,
                field=name,
                mend="Make them agree",
            )
    declared, printed = [r.name for r in table.rows], [r.name for r in expected.rows]
    for name in declared:
        expected.row(name)
    if declared != printed:
        gap = next((p for d, p in zip([*declared, None], printed, strict=False) if d != p), printed[-1])
        raise SpecError(
            "declared rows are not the printed ones, in printed order",
            file=file,
            field=gap,
            mend=f"Declare every row of {expected.file}",
        )
    source = (
        load_table(root / table.paper / f"table_{expected.baseline_table}.toml")
        if expected.baseline_table
        else expected
    )
    baseline = source.printed_metrics(source.baseline)
    return BoundTable(table, expected, load_tolerances(root / "tolerances.toml"), root / "measured", baseline)


def suites_root(file: Path) -> Path:
    """The `suites` folder a suite file lives in: its paper's folder's parent."""
    return file.resolve().parent.parent


def discover(suites: Path) -> Iterator[tuple[Path, Table]]:
    """All tables declared under a suites folder, in file order.

    Raises:
        SpecError: no such folder, or a suite file without a `TABLE`.
    """
    if not suites.is_dir():
        raise SpecError("no suites folder", file=suites, mend="Run from the checkout, or name the folder with --suites")
    for file in sorted(suites.glob("*/test_*.py")):
        yield file, load_suite_file(file)


def load_suite_file(file: Path) -> Table:
    """Import one suite file and return its `TABLE` (SpecError if it has none)."""
    root = str(suites_root(file).parent)
    if root not in sys.path:
        sys.path.insert(0, root)
    name = f"{suites_root(file).name}.{file.parent.name}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.exists():
        raise SpecError("no such suite file", file=file, mend="Name a suites/<paper>/test_<dataset>_table_<id>.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table = getattr(module, "TABLE", None)
    if not isinstance(table, Table):
        raise SpecError("declares no TABLE", file=file, mend="Assign a mtlrepro.suite.table.Table to TABLE")
    return table


def select(tables: Sequence[tuple[Path, Table]], patterns: Sequence[str]) -> list[BoundTable]:
    """Tables whose key contains every "/"-part of any pattern ("mti_net", "nyuv2", "2a", "mti_net/2a"); all for none.

    Raises:
        SpecError: a pattern that matches nothing, with the nearest keys.
    """
    chosen: dict[str, BoundTable] = {}
    for pattern in patterns or ["*"]:
        parts = [p for p in pattern.lower().split("/") if p and p != "*"]
        hits = [(f, t) for f, t in tables if all(p in t.key.lower().split("/") for p in parts)]
        if not hits:
            raise unknown("table", pattern, [t.key for _, t in tables])
        for file, table in hits:
            if table.key not in chosen:
                chosen[table.key] = bind(table, file)
    return list(chosen.values())
