"""`mtlrepro list`: tables and their rows, architectures, backbones, datasets, tasks."""

from __future__ import annotations

import argparse

from tabulate import tabulate

from mtlrepro.cli.base import Verb, add_suites


class List(Verb):
    """List what there is."""

    summary = "list tables (with --rows their rows and runs), architectures, backbones, datasets and tasks"
    examples = """examples:
  mtlrepro list                      all tables and everything that can be named
  mtlrepro list mti_net/2a --rows    the rows of one table and the run each of them is"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "tables", nargs="*", metavar="TABLE", help="paper, dataset or table, for example mti_net, nyuv2, mti_net/2a"
        )
        parser.add_argument("--rows", action="store_true", help="list rows too")
        add_suites(parser)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.suite.table import discover, select

        chosen = select(list(discover(options.suites)), options.tables)
        if options.rows:
            rows = [
                [
                    b.table.key,
                    r.name,
                    "\n".join(s.label for s in r.specs) or r.missing or "quoted",
                    r.view,
                    b.expected.row(r.name).origin,
                ]
                for b in chosen
                for r in b.table.rows
            ]
            print(tabulate(rows, headers=["table", "row", "runs", "view", "origin"]))
            return 0
        tables = [
            [b.table.key, len(b.table.rows), len({s for r in b.table.rows for s in r.specs}), b.expected.caption]
            for b in chosen
        ]
        print(
            tabulate(tables, headers=["table", "rows", "distinct runs", "caption"], maxcolwidths=[None, None, None, 80])
        )
        if not options.tables:
            from mtlrepro.data import DATASETS
            from mtlrepro.models import BACKBONES, MODELS
            from mtlrepro.objectives import OBJECTIVES
            from mtlrepro.tasks import TASKS

            print()
            for registry in (MODELS, BACKBONES, OBJECTIVES, DATASETS, TASKS):
                print(f"{registry.kind}s: {', '.join(registry)}")
        return 0
