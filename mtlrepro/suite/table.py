"""Declared tables: which rows, and which runs each row is. No number in here; those are in `expected/`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mtlrepro.audit.readings import load_readings
from mtlrepro.errors import SpecError, unknown
from mtlrepro.expected.findings import load_findings
from mtlrepro.expected.load import load_table, table_file
from mtlrepro.expected.panel import Panel, panels
from mtlrepro.expected.schema import COUNTED, PrintedRow
from mtlrepro.expected.tolerances import Tolerances, load_tolerances
from mtlrepro.spec import RunSpec


@dataclass(frozen=True)
class Row:
    """One method of a table.

    Attributes:
        name: as in the paper and in `expected/`; a name of its own for another reading of a printed row.
        specs: paper-exact runs the row reads; several for single-task rows. Empty for quoted rows.
        view: which predictions are read: "final" or the name of a stage.
        missing: why the row cannot be run yet, for rows whose method does not exist here.
        panel: the panel it is a line of, where the printed table has several.
        epochs: length of the training whose time is printed, where it is not that of the specs.
        reading_of: the printed row of its panel that it reads otherwise, where paper and public code leave two
            readings of one method; such a row is not printed, so nothing printed is held against it.
        counted: of another reading: the parameters and MACs of its specs are all that is read of it. Nothing is
            trained, at any tier.
        own: of a row of a user's own method, which is not printed either: what it is, in a sentence. `reading_of` is
            then the printed row in whose place it stands.
        like: of such a row: for each of its specs the one of that printed row that it was made of. Its twins take
            their data and recipes from the twins of these.
    """

    name: str
    specs: tuple[RunSpec, ...] = ()
    view: str = "final"
    missing: str = ""
    panel: str = ""
    epochs: int = 0
    reading_of: str = ""
    counted: bool = False
    own: str = ""
    like: tuple[RunSpec, ...] = ()


@dataclass(frozen=True)
class Table:
    """A declared table; `suites/<paper>/test_<dataset>_table_<id>.py` holds one as `TABLE`.

    Attributes:
        paper, dataset, id: as in `expected/`; of a table with several datasets the panels of this one.
        rows: recipes of the rows that can be run, and other readings of printed rows.
        missing: why the other rows cannot be run yet; empty if every row has a recipe or is quoted.
        references: runs that a panel's Δ_m refers to where the paper does not print them in this table; a row of
            them is named as the reference is, and is neither shown nor judged.
    """

    paper: str
    dataset: str
    id: str
    rows: Sequence[Row] = ()
    missing: str = ""
    references: Sequence[Row] = ()

    @property
    def key(self) -> str:
        """The name the command line uses, for example "mti_net/nyuv2/2a"."""
        return f"{self.paper}/{self.dataset}/{self.id}"


@dataclass(frozen=True)
class BoundTable:
    """A panel of a declared table together with what is expected of it."""

    table: Table
    expected: Panel
    rows: tuple[Row, ...]
    """One for every line of the panel, in printed order; below each the other readings of it, as declared."""
    tolerances: Tolerances
    measured: Path | None = None
    """Folder of this project's own recorded results."""
    reference: Row | None = None
    """Runs that its Δ_m refers to where the paper does not print them in this table."""
    siblings: Mapping[str, BoundTable] = field(default_factory=dict, compare=False, repr=False)
    """All panels of the declared table by their key, this one included."""

    @property
    def key(self) -> str:
        """The name the command line uses, for example "mti_net/nyuv2/2a" or "jtr/nyuv2_13/1/onelabel"."""
        return "/".join(filter(None, (self.table.key, self.expected.key)))

    def row(self, name: str) -> Row:
        """The declared row or reference of that name (SpecError with the nearest names)."""
        for row in (*self.rows, *filter(None, [self.reference])):
            if row.name == name:
                return row
        raise unknown("row", name, [r.name for r in self.rows], field=self.key)

    def line(self, name: str) -> PrintedRow:
        """What is printed of a row: of another reading nothing; its `source` is the row that it reads otherwise.

        Of a user's own row nothing either; its `source` is the row in whose place it stands.
        """
        row = self.row(name)
        origin = "own" if row.own else "reading"
        of = row.reading_of
        return PrintedRow(name, {}, self.expected.group, origin, of) if of else self.expected.row(name)

    def counterpart(self, name: str) -> PrintedRow:
        """The printed line behind a row: its own, or the one that it reads otherwise.

        Another reading averages the same metrics and refers to the same baseline.
        """
        of = next((row.reading_of for row in self.rows if row.name == name), "")
        return self.expected.row(of or name)

    def claims_of(self, row: str, text: str) -> bool:
        """Is the claim of that text one about that row?"""
        return any(c.row == row and c.text == text for c in self.expected.claims)


def bind(table: Table, file: Path) -> list[BoundTable]:
    """Join a table declared in `file` with `expected/` beside the suites folder, panel by panel.

    Raises:
        SpecError: the expected file is missing or wrong, has no panel of that dataset, a declared row is not printed,
            a printed row is neither declared nor quoted and the table does not say why, another reading has no
            run, a printed name, or no printed row of its panel that it reads otherwise, a row that is only counted is
            no other reading, asks for what a training gives, or has no column to be counted for, or a run does not
            need what it starts from.
    """
    root = suites_root(file).parent / "expected"
    printed = load_table(table_file(root, table.paper, table.id))
    for name, says, is_ in (("paper", printed.paper, table.paper), ("table", printed.table, table.id)):
        if says != is_:
            text = f"says {says!r}, the table declared in {file} is of {is_!r}"
            raise SpecError(text, file=printed.file, field=name, mend="Make them agree")
    every = panels(printed)
    mine = [p for p in every if p.dataset == table.dataset]
    if not mine:
        raise unknown("dataset", table.dataset, {p.dataset for p in every}, file=printed.file)
    for row in (*table.rows, *table.references):
        if row.panel not in [p.key for p in mine]:
            raise unknown("panel", row.panel, [p.key for p in mine], file=file, field=row.name)
        if row.counted:
            _check_counted(row, next(p for p in mine if p.key == row.panel), file)
        for spec in row.specs:
            _check_start(spec, row, file)
    if wrong := next((r for r in table.references if r.reading_of), None):
        mend = "Leave `reading_of` out, or move it to `rows`"
        raise SpecError("a reference that is a reading", file=file, field=wrong.name, mend=mend)
    for row in table.rows:
        panel = next(p for p in mine if p.key == row.panel)
        if row.reading_of:
            _check_reading(table, row, panel, file)
        elif panel.row(row.name).origin == "run" and not (row.specs or row.missing):
            raise SpecError("has neither specs nor a reason", file=file, field=row.name, mend="Give it one of them")
        if [(r.panel, r.name) for r in table.rows].count((row.panel, row.name)) > 1:
            raise SpecError("is declared twice", file=file, field=row.name, mend="Remove one")
    tolerances = load_tolerances(root / "tolerances.toml")
    load_findings(root, table.paper)  # read before hours of training, not after
    load_readings(root, table.paper)
    siblings: dict[str, BoundTable] = {}
    for panel in mine:
        panel.check()
        rows = _complete(table, panel, file)
        reference = next((r for r in table.references if r.panel == panel.key), None)
        siblings[panel.key] = BoundTable(table, panel, rows, tolerances, root / "measured", reference, siblings)
    return list(siblings.values())


def _check_reading(table: Table, row: Row, panel: Panel, file: Path) -> None:
    """Another reading has a run, a name of its own and a row of the panel, printed and no copy, that it reads."""
    run = [line.name for line in panel.rows if line.origin == "run"]
    if row.reading_of not in run:
        raise unknown("row to read otherwise", row.reading_of, run, file=file, field=row.name)
    if row.name in [line.name for line in panel.rows] + [r.name for r in table.references]:
        mend = f"Give this reading of {row.reading_of!r} a name of its own"
        raise SpecError("is the name of a printed row or a reference", file=file, field=row.name, mend=mend)
    if not row.specs:
        raise SpecError("a reading without specs", file=file, field=row.name, mend="Give it specs, or leave it out")


def _check_start(spec: RunSpec, row: Row, file: Path) -> None:
    """The runs that one starts from fit it, and those that they start from fit them; of the paper's networks."""
    for need in spec.needs:
        _check_start(need, row, file)
    if spec.start:
        from mtlrepro.engine.begin import begun_from

        try:
            begun_from(spec)
        except SpecError as error:
            field = f"{row.name}: {error.field}"
            raise SpecError(error.problem, file=file, field=field, mend=error.mend) from error


def _check_counted(row: Row, panel: Panel, file: Path) -> None:
    """A row that is only counted is another reading, asks for nothing that a training gives, and has a column."""
    columns = any(c.metric in COUNTED for c in panel.columns)
    faults = {
        "is counted and no other reading": "" if row.reading_of else "`counted` out: what is printed is trained",
        "is counted and has a view of predictions": "" if row.view == Row.view else "`view` out, or train it",
        "is counted and has a length of training": "`epochs` out, or train it" if row.epochs else "",
        "is counted where neither parameters nor MACs are printed": "" if columns else "it out, or train it",
    }
    for problem, what in faults.items():
        if what:
            raise SpecError(problem, file=file, field=row.name, mend=f"Leave {what}")


def _complete(table: Table, panel: Panel, file: Path) -> tuple[Row, ...]:
    """A row for every printed line: the declared one, or one that says why there is none; then its other readings."""
    mine = [r for r in table.rows if r.panel == panel.key]
    declared = {r.name: r for r in mine if not r.reading_of}
    rows = []
    for line in panel.rows:
        if line.name not in declared and line.origin == "run" and not table.missing:
            mend = f"Declare every row of {panel.file}, or say in `missing` why it cannot be run"
            raise SpecError("a printed row without recipe", file=file, field=line.name, mend=mend)
        missing = table.missing if line.origin == "run" else ""
        rows.append(declared.get(line.name, Row(line.name, missing=missing, panel=panel.key)))
        rows += [r for r in mine if r.reading_of == line.name]
    return tuple(rows)


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
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a suite file does wrong, its author wants one line that names it
        text = f"cannot be imported: {type(error).__name__}: {error}"
        raise SpecError(text, file=file, mend="Correct the suite file") from error
    table = getattr(module, "TABLE", None)
    if not isinstance(table, Table) or not all(isinstance(row, Row) for row in table.rows):
        raise SpecError("declares no TABLE", file=file, mend="Assign a mtlrepro.suite.table.Table to TABLE")
    return table


def select(tables: Sequence[tuple[Path, Table]], patterns: Sequence[str]) -> list[BoundTable]:
    """Tables whose key contains every "/"-part of any pattern ("mti_net", "nyuv2", "2a", "mti_net/2a"); all for none.

    Raises:
        SpecError: a pattern that matches nothing, with the nearest keys.
    """
    bound = [b for file, table in tables for b in bind(table, file)]
    chosen: dict[str, BoundTable] = {}
    for pattern in patterns or ["*"]:
        parts = [p for p in pattern.lower().split("/") if p and p != "*"]
        hits = [b for b in bound if all(p in b.key.lower().split("/") for p in parts)]
        if not hits:
            names = {n for b in bound for n in (b.table.paper, b.table.dataset, f"{b.table.paper}/{b.table.id}")}
            raise unknown("table", pattern, names)
        chosen |= {b.key: b for b in hits}
    return list(chosen.values())
