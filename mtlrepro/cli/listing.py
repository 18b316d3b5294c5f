"""`mtlrepro list`: tables and their rows, architectures, backbones, datasets, tasks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from mtlrepro.cli.base import Verb, add_plugins, add_suites

if TYPE_CHECKING:
    from mtlrepro.suite.table import BoundTable


class List(Verb):
    """List what there is."""

    summary = "list tables (--rows: rows and runs, --cells: printed cells), architectures, backbones, datasets, tasks"
    examples = """examples:
  mtlrepro list                      all tables and everything that can be named
  mtlrepro list mti_net/2a --rows    the rows of one table and the run each of them is
  mtlrepro list mti_net/2a --cells   every printed cell of it, with protocol, unit, baseline and doubts"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "tables", nargs="*", metavar="TABLE", help="paper, dataset or table, for example mti_net, nyuv2, mti_net/2a"
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--rows", action="store_true", help="list rows and their runs")
        what.add_argument("--cells", action="store_true", help="list printed cells")
        add_plugins(parser)
        add_suites(parser)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.suite.table import discover, select

        chosen = select(list(discover(options.suites)), options.tables)
        if options.cells:
            _print_cells(chosen, options.suites.resolve().parent / "expected")
            return 0
        if options.rows:
            _print_rows(chosen)
            return 0
        tables = [
            [
                b.key,
                len(b.expected.rows),
                len({s for r in b.rows if not r.counted for s in r.specs}),
                b.expected.caption,
            ]
            for b in chosen
        ]
        print(
            tabulate(tables, headers=["table", "rows", "distinct runs", "caption"], maxcolwidths=[None, None, None, 80])
        )
        if not options.tables:
            from mtlrepro.data import DATASETS
            from mtlrepro.metrics.protocols import PROTOCOLS
            from mtlrepro.models import BACKBONES, MODELS
            from mtlrepro.objectives import OBJECTIVES
            from mtlrepro.objectives.weighting import WEIGHTINGS
            from mtlrepro.suite.plugged import REGISTRIES
            from mtlrepro.tasks import TASKS

            print()
            for registry in (MODELS, BACKBONES, OBJECTIVES, WEIGHTINGS, DATASETS, TASKS):
                print(f"{registry.kind}s: {', '.join(registry)}")
            for registry in REGISTRIES:
                for name, entry in registry.plugged().items():
                    print(f"{registry.kind} of a plugin: {name} ({entry.file}, {entry.field})")
            for task, protocols in PROTOCOLS.items():
                print(f"protocols of {task}: {', '.join(protocols)}")
        return 0


def _print_rows(chosen: list[BoundTable]) -> None:
    """The printed rows; below them those that are other readings of printed rows, if there are any."""
    lines: dict[bool, list[list[str]]] = {False: [], True: []}
    for bound in chosen:
        for row in bound.rows:
            labels = [*(s.label for s in row.specs), *(["(counted, not trained)"] if row.counted else [])]
            line, runs = bound.line(row.name), "\n".join(labels) or row.missing or "quoted"
            last = row.reading_of or line.origin
            lines[bool(row.reading_of)].append([bound.key, row.name, runs, row.view, last])
    heads = ["table", "row", "runs", "view"]
    print(tabulate(lines[False], headers=[*heads, "origin"]))
    if lines[True]:
        print("\nNot printed, another reading of a printed row:\n")
        print(tabulate(lines[True], headers=[*heads, "reading of"]))


def _print_cells(chosen: list[BoundTable], root: Path) -> None:
    from mtlrepro.expected.frame import load_expected

    cells = load_expected(root)
    names = ["paper", "table", "panel", "row", "title", "printed", "unit", "metric", "protocol", "origin", "baseline"]
    wanted = {(b.expected.paper, b.expected.table, b.expected.key) for b in chosen}
    mine = [key in wanted for key in zip(cells.paper, cells.table, cells.panel, strict=True)]
    shown = cells[mine][[*names, "doubt"]]
    print(tabulate(shown.values.tolist(), headers=list(shown.columns), disable_numparse=True))
