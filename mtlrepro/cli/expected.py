"""`mtlrepro expected`: record measured results, guard the printed strings, export a table."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtlrepro.cli.base import Verb, add_expected, add_suites


class Expected(Verb):
    """What is expected: recorded results, checksums, exports."""

    summary = "record measured results as the reference for regressions, guard printed strings, export a table"
    examples = """examples:
  mtlrepro expected update                              what the run store holds -> expected/measured/<machine>/
  mtlrepro expected update --runs nightly/runs
  mtlrepro expected checksums --check                   has a printed string changed?
  mtlrepro expected export mti_net/2a --format latex --report report/report.json"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        update = actions.add_parser("update", help="write finished runs of the store to expected/measured/<machine>/")
        update.add_argument("--runs", type=Path, default=Path("runs"), help="run store (default: runs/)")
        add_suites(update)
        sums = actions.add_parser("checksums", help="write expected/checksums.json, or compare with it")
        sums.add_argument("--check", action="store_true", help="compare instead; exit code 1 names changed tables")
        add_expected(sums)
        export = actions.add_parser("export", help="a table as CSV, LaTeX or Markdown, printed beside measured")
        export.add_argument("table", metavar="TABLE", help="paper/table, for example mti_net/2a")
        export.add_argument("--format", choices=("csv", "latex", "markdown"), default="csv", help="default csv")
        export.add_argument(
            "--report",
            type=Path,
            default=None,
            help="report.json with measured figures, and with other readings of printed rows",
        )
        export.add_argument("--out", type=Path, default=None, metavar="FILE", help="default: standard output")
        add_expected(export)

    def run(self, options: argparse.Namespace) -> int:
        return {"update": _update, "checksums": _checksums, "export": _export}[options.action](options)


def _update(options: argparse.Namespace) -> int:
    from mtlrepro.engine.environment import command
    from mtlrepro.errors import StoreError
    from mtlrepro.suite import recorded
    from mtlrepro.suite.store import Store
    from mtlrepro.suite.table import discover, select

    tables = select(list(discover(options.suites)), [])
    folder = options.suites.resolve().parent / "expected" / "measured"
    files = recorded.update(tables, Store(options.runs).finished(), folder, command())
    if not files:
        mend = "Run the tables first, with --seeds 3 for a spread; runs of an older program do not count"
        raise StoreError("no finished run belongs to these tables", file=options.runs, mend=mend)
    for file in files:
        print(file)
    return 0


def _checksums(options: argparse.Namespace) -> int:
    from mtlrepro.expected.checksums import changed, write_checksums
    from mtlrepro.expected.root import expected_root

    root = expected_root(options.expected)
    if not options.check:
        print(write_checksums(root))
        return 0
    tables = changed(root)
    for table in tables:
        print(f"{table}: printed strings or their meaning differ from {root / 'checksums.json'}")
    return 1 if tables else 0


def _export(options: argparse.Namespace) -> int:
    from mtlrepro.expected.root import expected_root
    from mtlrepro.report.export import export_table
    from mtlrepro.report.jsonfile import load_report
    from mtlrepro.report.writer import write_atomic

    report = load_report(options.report) if options.report else None
    text = export_table(expected_root(options.expected), options.table, options.format, report)
    if options.out is None:
        print(text, end="")
        return 0
    write_atomic(options.out, text.encode())
    print(options.out)
    return 0
