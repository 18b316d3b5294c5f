"""What a prepared dataset tells its reader, beside its files."""

from __future__ import annotations

from collections.abc import Mapping

FILE = "PROVENANCE.md"

MASK_NOTE = {
    "labels/README.md": b"""# No published mask belongs here

Row i of a published mask of partial labels (MTPSL, JTR) belongs to array i of the release that it came with. These
arrays were made from raw files, in an order of their own, which the folder rows/ lists. A published mask would give
each image the labels of another, so generated masks are used instead.
"""
}
"""Put where a user would place a mask file."""

HEAD = """# {title}

Made by `mtlrepro data prepare {name}` from {source}. It is not the public release in this layout:
figures on it are comparable with a paper's as far as the steps below agree with the paper's own, which are lost.
Sizes and digests of the source files and the versions of what made this are in `mtlrepro-prepared.json`.

| files | content | how made |
|---|---|---|
"""


def page(name: str, title: str, source: str, rows: Mapping[str, tuple[str, str]], notes: str = "") -> bytes:
    """The page in Markdown.

    Args:
        name: dataset key.
        title: of the page.
        source: the raw files in words.
        rows: path pattern -> (content, how it was made).
        notes: further paragraphs.
    """
    table = "".join(f"| `{path}` | {content} | {how} |\n" for path, (content, how) in rows.items())
    return (HEAD.format(title=title, name=name, source=source) + table + (f"\n{notes}" if notes else "")).encode()
