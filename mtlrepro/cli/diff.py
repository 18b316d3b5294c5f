"""`mtlrepro diff`: tonight against last night, run store against run store or report against report."""

from __future__ import annotations

import argparse
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mtlrepro.cli.base import Verb, add_expected, add_suites
from mtlrepro.errors import SpecError

if TYPE_CHECKING:
    from mtlrepro.suite.difference import Difference, Spread
    from mtlrepro.suite.recorded import Recorded

FAIL_ON = ("worse", "changed", "none")


class Diff(Verb):
    """Compare two nights."""

    summary = (
        "compare two run stores or two reports: what is identical, within the spread of seeds, worse, better, gone"
    )
    examples = """examples:
  mtlrepro diff last/runs tonight/runs                          figures, ends of runs, time and memory
  mtlrepro diff last/report.json tonight/report.json            rows, and verdicts that changed
  mtlrepro diff last/runs tonight/runs --tables mti_net/2a --out difference/ --fail-on changed

Exit code 0: nothing of the kind that --fail-on names; 1: something; 2: bad input."""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("last", type=Path, metavar="LAST", help="run store, or report.json, to compare with")
        parser.add_argument("tonight", type=Path, metavar="TONIGHT", help="run store, or report.json, to look at")
        parser.add_argument(
            "--tables",
            nargs="+",
            metavar="TABLE",
            help="only what these tables read, by the figures that they print (default: everything, by the main figure "
            "of each task)",
        )
        parser.add_argument(
            "--out", type=Path, metavar="DIR", help="write difference.md and difference.html with curves there"
        )
        parser.add_argument(
            "--fail-on",
            choices=FAIL_ON,
            default="worse",
            help="what makes the exit code 1: anything worse (default), anything that differs but times, or nothing",
        )
        add_suites(parser)
        add_expected(parser)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.report.difference import difference_page, difference_text
        from mtlrepro.report.html import render_page_html
        from mtlrepro.report.markdown import render_page_markdown
        from mtlrepro.report.writer import append_summary, write_atomic

        found = _compare(options)
        page = difference_page(found)
        print(difference_text(page), end="")
        markdown = render_page_markdown(page)
        if options.out is not None:
            for name, text in (("difference.md", markdown), ("difference.html", render_page_html(page))):
                write_atomic(options.out / name, text.encode())
                print(options.out / name)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            append_summary(Path(summary), markdown + "\n")
        fails = {"worse": found.worse, "changed": found.changed, "none": False}
        return 1 if fails[options.fail_on] else 0


def _compare(options: argparse.Namespace) -> Difference:
    from mtlrepro.expected.tolerances import SPEED, load_tolerances
    from mtlrepro.report import load_report
    from mtlrepro.suite.difference import compare
    from mtlrepro.suite.nights import Night, read_night, report_night
    from mtlrepro.suite.recorded import load, wanted
    from mtlrepro.suite.table import discover, select

    stores = [path.is_dir() for path in (options.last, options.tonight) if path.exists()]
    if len(set(stores)) > 1:
        mend = "Give two run stores, or two report.json"
        raise SpecError("a run store and a report cannot be compared", file=options.tonight, mend=mend)
    runs = tables = None
    if options.tables:
        chosen = select(list(discover(options.suites)), options.tables)
        runs, tables = wanted(chosen), {bound.key for bound in chosen}

    def read(path: Path) -> Night:
        return report_night(str(path), load_report(path), tables) if path.is_file() else read_night(path, runs)

    last, tonight = map(read, (options.last, options.tonight))
    root = _expected(options.expected)
    if root is None:
        return compare(last, tonight)
    here = next(iter(tonight.entries.values())).machine

    @cache
    def reference(tier: str) -> Recorded | None:
        return load(root / "measured", tier, here)

    def known(figure: str, tier: str) -> Spread:
        found = reference(tier)
        return found.spread(figure) if found else None

    tolerances = load_tolerances(root / "tolerances.toml")
    limits = {name: limit for name in SPEED if (limit := tolerances.regression(name)) is not None}
    return compare(last, tonight, known, limits)


def _expected(given: Path | None) -> Path | None:
    """The folder of recorded results and limits; a project without any is compared by its own seeds alone."""
    from mtlrepro.expected.root import expected_root

    try:
        return expected_root(given)
    except SpecError:
        if given is not None:
            raise
        return None
