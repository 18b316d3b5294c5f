"""`mtlrepro findings`: where papers and their public code disagree."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtlrepro.cli.base import Verb, add_expected
from mtlrepro.errors import SpecError, unknown


class Findings(Verb):
    """Disagreements between paper and code."""

    summary = "list where papers and their public code disagree, and which reading is followed here"
    examples = """examples:
  mtlrepro findings                       all papers
  mtlrepro findings mti_net jtr/3         a paper, a table
  mtlrepro findings --out findings.html   as a page; .md for Markdown"""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("tables", nargs="*", metavar="TABLE", help="paper or paper/table (default: all)")
        parser.add_argument("--out", type=Path, default=None, metavar="FILE", help="write .md or .html instead")
        add_expected(parser)

    def run(self, options: argparse.Namespace) -> int:
        from mtlrepro.expected.findings import load_findings
        from mtlrepro.expected.load import table_files
        from mtlrepro.expected.root import expected_root
        from mtlrepro.report.findings import findings_page
        from mtlrepro.report.html import render_page_html
        from mtlrepro.report.markdown import render_page_markdown
        from mtlrepro.report.writer import write_atomic

        root = expected_root(options.expected)
        tables: dict[str, list[str]] = {}
        for file in table_files(root):
            tables.setdefault(file.parent.name, []).append(file.stem.removeprefix("table_"))
        names = {*tables, *(f"{paper}/{t}" for paper, ids in tables.items() for t in ids)}
        for name in options.tables:
            if name not in names:
                raise unknown("table", name, names)
        found = []
        for paper, ids in tables.items():
            wanted = [t for t in ids if not options.tables or {paper, f"{paper}/{t}"} & set(options.tables)]
            found += [(paper, f) for f in load_findings(root, paper) if any(f.about(t) for t in wanted)]
        page = findings_page(found)
        if options.out is None:
            print(render_page_markdown(page), end="")
            return 0
        if options.out.suffix not in (".md", ".html"):
            raise SpecError(f"{options.out.suffix!r}", file=options.out, field="--out", mend="Name a .md or .html file")
        render = render_page_html if options.out.suffix == ".html" else render_page_markdown
        write_atomic(options.out, render(page).encode())
        print(options.out)
        return 0
