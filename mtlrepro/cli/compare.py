"""`mtlrepro compare`: a method of one's own as a row of a published table."""

from __future__ import annotations

import argparse
import shutil
import sys

from tabulate import tabulate

from mtlrepro.cli.base import Verb, add_plugins, add_store, add_suites
from mtlrepro.errors import SpecError


class Compare(Verb):
    """Train one's own method as a published table's row is trained."""

    interrupted = "interrupted; finished runs are kept, unfinished ones resume from their last checkpoint"
    summary = "add a row of your own method to a published table: same data, recipe, baseline and Δ_m"
    examples = """examples:
  mtlrepro compare --table mti_net/2a --model my_method.py:MyNet       beside the table's own method and its baseline
  mtlrepro compare --table mti_net/2a --model my_pkg.nets:MyNet --option width=64 --name "Mine, narrow" --seeds 3
  mtlrepro compare --table mti_net/2a --plugin my_method.py --model my_net --like PAD-Net --rows MTL PAD-Net
  mtlrepro compare --table jtr/nyuv2_13/1/onelabel --objective my_method.py:MyObjective --tier full --data-root /data"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--table", required=True, metavar="TABLE", help="one table, for example mti_net/2a")
        parser.add_argument(
            "--model",
            action="append",
            default=[],
            metavar="NAME",
            help="MODULE:CLASS, FILE.py:CLASS, a plugin's name or a built-in one; may be given several times",
        )
        parser.add_argument(
            "--objective", default="", metavar="NAME", help="the same for the objective (default: the printed row's)"
        )
        parser.add_argument(
            "--option", action="append", default=[], metavar="NAME=VALUE", help="a setting of the architecture"
        )
        parser.add_argument(
            "--objective-option", action="append", default=[], metavar="NAME=VALUE", help="a setting of the objective"
        )
        parser.add_argument(
            "--like",
            default="",
            metavar="ROW",
            help="the printed row whose data, recipe and tasks are taken (default: the table's own method)",
        )
        parser.add_argument("--name", action="append", default=[], help="name of the row, once for every --model")
        parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="further rows of the table to run")
        parser.add_argument("--all", action="store_true", help="run all rows of the table")
        parser.add_argument("--tier", default="auto", help="auto, smoke, bench or full (default auto)")
        parser.add_argument("--seeds", type=int, default=1, help="seeds of every run (default 1)")
        parser.add_argument(
            "--precision", default="paper", help="paper (default), tf32 or fast: arithmetic of every run"
        )
        add_plugins(parser)
        add_suites(parser)
        add_store(parser)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.progress import ProgressLine
        from mtlrepro.report import words, write_report
        from mtlrepro.report.headline import headline
        from mtlrepro.report.tables import measured_figures, named
        from mtlrepro.suite.compared import OBJECTIVE_OPTION, OPTION, Addition, add_rows, needed_rows, try_additions
        from mtlrepro.suite.execution import Execution
        from mtlrepro.suite.session import Options, Session
        from mtlrepro.suite.table import discover, select
        from mtlrepro.suite.variants import parse

        addition = Addition(
            tuple(options.model),
            options.objective,
            options.like,
            tuple(options.name),
            parse(options.option, OPTION, "width=64"),
            parse(options.objective_option, OBJECTIVE_OPTION, "weight=0.5"),
        )
        choice = Options(
            options.tier,
            options.seeds,
            options.runs,
            options.report,
            options.data_root,
            execution=Execution(options.precision),
        )
        tables = select(list(discover(options.suites)), [options.table])
        if len(tables) > 1:
            mend = f"Name one of {', '.join(bound.key for bound in tables)}"
            raise SpecError(f"{options.table!r} is {len(tables)} tables", field="--table", mend=mend)
        bound, own = add_rows(tables[0], addition)
        rows = needed_rows(bound, own, options.rows, options.all)
        progress = ProgressLine(width=shutil.get_terminal_size().columns)
        session = Session(choice, report=progress)
        try:
            try_additions(bound, own, options.tier, session.capacity)
            session.plan([(bound, row) for row in rows])
            progress.total = session.total_runs
            table = session.table(bound)
        finally:
            session.close()
            progress.clear()
        for tier, figures in measured_figures(table).items():
            cells = [[str(cell) for cell in row] for row in figures.itertuples(index=False)]
            _print(f"{words.title(table)}, {words.MEASURED[tier]}", list(figures.columns), cells)
        counts = [
            [str(named(row)), f"{row.resources['params'] / 1e6:.2f}", f"{row.resources['macs'] / 1e9:.2f}"]
            for row in table.rows
            if "macs" in row.resources
        ]
        _print("Counted of the networks at the paper's size", ["Row", "Parameters [M]", "MACs [G]"], counts)
        result = session.finish()
        for line in [*headline(result).sentences, *(row.own for row in own)]:
            print(line)
        for path in write_report(result, options.runs, options.report):
            print(path)
        failures = session.failures()
        for line in failures:
            print(line, file=sys.stderr)
        return 1 if failures else 0


def _print(title: str, heads: list[str], cells: list[list[str]]) -> None:
    sides = ["left", *(["right"] * (len(heads) - 1))]
    print(f"{title}:\n{tabulate(cells, headers=heads, disable_numparse=True, colalign=sides)}\n")
