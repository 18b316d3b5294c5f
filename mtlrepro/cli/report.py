"""`mtlrepro report`: write Markdown and HTML again from a report.json, or one report from several."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mtlrepro.cli.base import Verb
from mtlrepro.errors import SpecError

if TYPE_CHECKING:
    from mtlrepro.suite.results import SessionResult


class Report(Verb):
    """Render a stored session, or several as one."""

    summary = "render the report again from a report.json and the run store, or merge the reports of several sessions"
    examples = """examples:
  mtlrepro report                                      report/report.json with the runs in runs/
  mtlrepro report nightly/report.json --out nightly/html
  mtlrepro report shard-*/report/report.json --runs shard-*/runs --out merged     one report of all shards

Exit code 1: two of the reports have the same row otherwise; the first one given stands."""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "files",
            nargs="*",
            type=Path,
            metavar="FILE",
            help="report.json of a session, or of several to merge (default: report/report.json)",
        )
        parser.add_argument(
            "--runs",
            nargs="+",
            action="extend",
            type=Path,
            metavar="DIR",
            help="run stores with curves and pictures (default: runs/)",
        )
        parser.add_argument(
            "--out", type=Path, default=None, help="folder to write to (default: the file's folder; merged: report/)"
        )

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.report import load_report, write_report
        from mtlrepro.report.headline import headline
        from mtlrepro.suite.merge import merge_reports

        files, stores = options.files or [Path("report/report.json")], options.runs or [Path("runs")]
        if options.runs and (lost := [store for store in stores if not store.is_dir()]):
            mend = "Give the folders that the sessions had as --runs; a report without any needs no --runs"
            raise SpecError("no such folder", file=lost[0], field="--runs", mend=mend)
        if twice := next((file for file in files if files.count(file) > 1), None):
            raise SpecError("is given twice", file=twice, mend="Give each report once")
        reports = {file: load_report(file) for file in files}
        conflicts: list[str] = []
        if len(reports) == 1:
            result, out = reports[files[0]], options.out or files[0].parent
        else:
            result, conflicts = merge_reports(_named(reports))
            out = options.out or Path("report")
        for line in headline(result).sentences:
            print(line)
        for path in write_report(_found(result, stores), stores[0], out):
            print(path)
        for line in conflicts:
            print(line, file=sys.stderr)
        return 1 if conflicts else 0


def _named(reports: dict[Path, SessionResult]) -> dict[str, SessionResult]:
    """Reports by their shard where each is another one, else by their file."""
    shards = [result.shard for result in reports.values()]
    distinct = all(shards) and len(set(shards)) == len(shards)
    return {result.shard if distinct else str(file): result for file, result in reports.items()}


def _found(result: SessionResult, stores: Sequence[Path]) -> SessionResult:
    """The result with the directories of its runs as they lie in the first of these stores that has them."""
    runs = []
    for run in result.runs:
        places = [store / run.key for store in stores if (store / run.key).is_dir()]
        runs.append(replace(run, directory=str(places[0].resolve())) if places else run)
    return replace(result, runs=runs)
