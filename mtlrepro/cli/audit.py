"""`mtlrepro audit`: do the printed numbers follow from each other?"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mtlrepro.cli.base import Verb, add_expected
from mtlrepro.errors import unknown


class Audit(Verb):
    """Recompute printed numbers from printed numbers."""

    summary = "recompute printed Δ, means, repeats and claims from the other printed numbers"
    examples = """examples:
  mtlrepro audit                          all tables of all papers
  mtlrepro audit dense_mtl jtr/3          a paper, a table
  mtlrepro audit --out audit/             write audit.md, audit.html and audit.json there"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("tables", nargs="*", metavar="TABLE", help="paper or paper/table (default: all)")
        parser.add_argument("--out", type=Path, default=None, metavar="DIR", help="write the three files instead")
        add_expected(parser)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.audit.run import audit_table, unused
        from mtlrepro.expected.load import load_all
        from mtlrepro.expected.root import expected_root
        from mtlrepro.report.audit import audit_page
        from mtlrepro.report.html import render_page_html
        from mtlrepro.report.markdown import render_page_markdown
        from mtlrepro.report.writer import write_atomic

        tables = {f"{t.paper}/{t.table}": t for t in load_all(expected_root(options.expected))}
        names = {*tables, *(t.paper for t in tables.values())}
        for name in options.tables:
            if name not in names:
                raise unknown("table", name, names)
        wanted = {k: t for k, t in tables.items() if not options.tables or {k, t.paper} & set(options.tables)}
        items = [item for table in wanted.values() for item in audit_table(table)]
        page = audit_page(items)
        stale = unused(list(wanted.values()), items)
        for line in stale:
            print(line, file=sys.stderr)
        if options.out is None:
            print(render_page_markdown(page), end="")
            return 1 if stale else 0
        texts = {
            "audit.md": render_page_markdown(page),
            "audit.html": render_page_html(page),
            "audit.json": json.dumps([i.to_json() for i in items], indent=1, ensure_ascii=False) + "\n",
        }
        for name, text in texts.items():
            write_atomic(options.out / name, text.encode())
            print(options.out / name)
        return 1 if stale else 0
