"""`mtlrepro report`: write Markdown and HTML again from a report.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtlrepro.cli.base import Verb


class Report(Verb):
    """Render a stored session."""

    summary = "render the Markdown and HTML report again from a report.json and the run store"
    examples = """examples:
  mtlrepro report                                      report/report.json with the runs in runs/
  mtlrepro report nightly/report.json --out nightly/html"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "file", nargs="?", type=Path, default=Path("report/report.json"), help="report.json of a session"
        )
        parser.add_argument(
            "--runs", type=Path, default=Path("runs"), help="run store with curves and pictures (default: runs/)"
        )
        parser.add_argument("--out", type=Path, default=None, help="folder to write to (default: the file's folder)")

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.report import load_report, write_report
        from mtlrepro.report.headline import headline

        result = load_report(options.file)
        for line in headline(result).sentences:
            print(line)
        for path in write_report(result, options.runs, options.out or options.file.parent):
            print(path)
        return 0
