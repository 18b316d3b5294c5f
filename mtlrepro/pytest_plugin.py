"""pytest interface: a suite file's `TABLE` becomes one test a row; a report is left at the end.

Options: --tier --seeds --data-root --data-option --precision --plugin --runs --report --shard; pytest's own --strict
makes IMPROVED fail.
`-k "not reading"` leaves out the rows that are other readings of a printed one, `-k reading` selects them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mtlrepro.errors import ReproError
from mtlrepro.progress import ProgressLine

if TYPE_CHECKING:
    from mtlrepro.suite.results import RowResult
    from mtlrepro.suite.session import Session
    from mtlrepro.suite.table import BoundTable, Row

SHOWN_CHECKS = 12
"""Checks a failure lists at most; the report has all."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("mtlrepro", "reproduction suites")
    group.addoption(
        "--tier", default="auto", help="auto (strongest this machine can serve, row by row), smoke, bench or full"
    )
    group.addoption("--seeds", type=int, default=1, help="seeds of every run (default 1)")
    group.addoption(
        "--data-root", type=Path, default=None, help="folder of the papers' datasets (default: $MTLREPRO_DATA)"
    )
    group.addoption(
        "--data-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="read datasets that have this setting so, whatever is declared, such as policy=disjoint",
    )
    group.addoption(
        "--precision", default="paper", help="paper (default), tf32 or fast: arithmetic of every run, part of its spec"
    )
    group.addoption(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="a file that defines MODELS, OBJECTIVES, WEIGHTINGS or DATASETS of your own (or set $MTLREPRO_PLUGINS)",
    )
    group.addoption("--runs", type=Path, default=Path("runs"), help="run store (default: runs/)")
    group.addoption("--report", type=Path, default=Path("report"), help="folder of the report (default: report/)")
    group.addoption(
        "--shard",
        default="1/1",
        metavar="K/N",
        help="the K-th of N parts of the selected tables, of about equal work; those that share runs stay together",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the per-session state."""
    if files := config.getoption("plugin"):
        from mtlrepro.suite.plugged import use_plugins

        try:
            use_plugins(files)
        except ReproError as error:
            raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(SuitePlugin(config), "mtlrepro-session")


def pytest_pycollect_makeitem(collector: pytest.Module, name: str, obj: object) -> list[pytest.Item] | None:
    """Turn `TABLE` of a suite file into row items."""
    if name != "TABLE":
        return None
    from mtlrepro.suite.table import Table, bind

    if not isinstance(obj, Table):
        return None
    try:
        panels = bind(obj, collector.path)
    except ReproError as error:
        raise collector.CollectError(str(error)) from error
    return [
        RowItem.from_parent(collector, name=_row_id(bound, row), bound=bound, row=row)
        for bound in panels
        for row in bound.rows
    ]


def _plugin(config: pytest.Config) -> SuitePlugin:
    plugin = config.pluginmanager.get_plugin("mtlrepro-session")
    assert isinstance(plugin, SuitePlugin)
    return plugin


def _row_id(bound: BoundTable, row: Row) -> str:
    table, name = bound.table, "/".join(filter(None, (row.panel, row.name)))
    return f"{table.paper}-{table.dataset}-table_{table.id}[{name}]"


class VerdictFailure(Exception):
    """A row has checks that are not green."""


class RowItem(pytest.Item):
    """One row of a table."""

    def __init__(self, *, bound: BoundTable, row: Row, **kwargs: Any):
        super().__init__(**kwargs)
        self.bound, self.row = bound, row
        if row.reading_of:
            self.extra_keyword_matches.add("reading")
        self.outcome: RowResult | None = None

    def runtest(self) -> None:
        """Wait for the row's runs and hold its checks and claims to account."""
        from mtlrepro.suite.outcome import describe

        session = _plugin(self.config).session
        table = session.table(self.bound)
        self.outcome = next(r for r in table.rows if r.name == self.row.name)
        claims = [c for c in table.claims if self.bound.claims_of(self.row.name, c.subject)]
        lines = [(f"{c.kind}: {c.subject}", describe(c)) for c in [*self.outcome.checks, *claims]]
        self.user_properties += [("tier", self.outcome.tier or "none"), *lines]
        end = session.outcome(self.bound, self.row.name)
        if end.failures:
            rest = len(end.failures) - SHOWN_CHECKS
            more = [f"... and {rest} more in the report"] if rest > 0 else []
            raise VerdictFailure("\n".join([*end.failures[:SHOWN_CHECKS], *more]))
        if end.skipped:
            pytest.skip(end.skipped)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Verdicts and user errors are told in a line each, without a traceback."""
        if isinstance(excinfo.value, VerdictFailure | ReproError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where and what, for pytest's own report."""
        return self.path, None, self.name


class SuitePlugin:
    """Plans when the items are known, runs while they execute, reports at the end.

    Under pytest-xdist every worker executes runs itself, sharing them through the store's locks; the controller
    gathers the rows from the test reports. Without it a pool with one process a device does the work.
    """

    def __init__(self, config: pytest.Config):
        self.config = config
        self._session: Session | None = None
        self._progress = ProgressLine(enabled=False)
        self._parts: list[str] = []
        self._error: ReproError | None = None
        self._reports: list[Path] = []
        self._headline: list[str] = []
        self._nothing_here = False
        """All rows that were selected belong to other shards."""

    @property
    def session(self) -> Session:
        """The session; created on first use, so that plain test runs never pay for it."""
        if self._session is None:
            from mtlrepro.suite.execution import Execution
            from mtlrepro.suite.launch import Inline
            from mtlrepro.suite.session import Options, Session, devices
            from mtlrepro.suite.variants import parse

            option = self.config.getoption
            options = Options(
                option("tier"),
                option("seeds"),
                option("runs"),
                option("report"),
                option("data_root"),
                _strict(self.config),
                parse(option("data_option")),
                Execution(option("precision")),
            )
            worker = getattr(self.config, "workerinput", None)
            if worker is not None:
                names = devices()
                self._session = Session(options, Inline(names[int(worker["workerid"][2:]) % len(names)]))
            else:
                writer = self.config.get_terminal_writer()
                enabled = writer.hasmarkup and not os.environ.get("CI")
                self._progress = ProgressLine(lambda text: writer.write(text, flush=True), enabled, writer.fullwidth)
                self._session = Session(options, report=self._progress)
        return self._session

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the shard's part of the rows that -k, -m and the like left."""
        if config.getoption("shard") == "1/1":
            return
        from mtlrepro.suite.shards import choose, parse

        try:
            shard = parse(config.getoption("shard"))
            rows = [(i.bound, i.row) for i in items if isinstance(i, RowItem)]
            kept = {(bound.key, row.name) for bound, row in choose(rows, shard, config.getoption("tier"))}
        except ReproError as error:
            raise pytest.UsageError(str(error)) from error
        dropped = [i for i in items if isinstance(i, RowItem) and (i.bound.key, i.row.name) not in kept]
        items[:] = [i for i in items if i not in dropped]
        config.hook.pytest_deselected(items=dropped)
        self._nothing_here = bool(dropped) and not kept

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Plan and launch what the selected rows need."""
        rows = [i for i in session.items if isinstance(i, RowItem)]
        if not rows or self.config.option.collectonly:
            return
        try:
            self.session.plan([(i.bound, i.row) for i in rows])
            self._progress.total = self.session.total_runs
        except ReproError as error:
            raise pytest.UsageError(str(error)) from error

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Attach the row's result to its report, as JSON text: it travels from xdist workers so."""
        report = yield
        if isinstance(item, RowItem) and report.when == "call" and item.outcome is not None:
            from mtlrepro.report.jsonfile import to_text

            report.mtlrepro = to_text(self.session.part(item.bound, item.row.name))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather row results."""
        part = getattr(report, "mtlrepro", None)
        if part is not None:
            self._parts.append(part)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear from an xdist worker whether the shard is empty."""
        self._nothing_here |= getattr(node, "workeroutput", {}).get("mtlrepro_nothing_here", False)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop the launcher and write the report, where the rows were gathered (not in an xdist worker)."""
        if self._session is not None:
            self._session.close()
            self._progress.clear()
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["mtlrepro_nothing_here"] = self._nothing_here
            return
        empty = self._nothing_here and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
        if empty:  # more shards than groups of tables: nothing is wrong, and a merged report counts the shard as there
            session.exitstatus = pytest.ExitCode.OK
        if not (self._parts or empty) or self.config.option.collectonly:
            return
        from mtlrepro.report import write_report
        from mtlrepro.report.headline import headline
        from mtlrepro.report.jsonfile import parse_report
        from mtlrepro.suite.merge import merge

        shard = self.config.getoption("shard")
        whole = replace(self.session.finish(), shard="" if shard == "1/1" else shard)
        result = merge([parse_report(json.loads(p)) for p in self._parts], whole)
        try:
            self._reports = write_report(result, self.config.getoption("runs"), self.config.getoption("report"))
        except ReproError as error:
            self._error = error
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        self._headline = headline(result).sentences

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The report's first lines and where it is."""
        if not self._headline:
            return
        terminalreporter.section("reproduction report")
        for line in self._headline:
            terminalreporter.write_line(line)
        for path in self._reports:
            terminalreporter.write_line(f"  {path}")
        if self._error is not None:
            terminalreporter.write_line(f"ERROR: {self._error}", red=True)


def _strict(config: pytest.Config) -> bool:
    """pytest's own --strict: an option up to version 8, an ini value that the option sets from 9 on."""
    try:
        return bool(config.getini("strict"))
    except (KeyError, ValueError):
        return bool(config.getoption("strict", False))
