"""`expected/checksums.json`: one digest a table over its printed strings and what they mean, against accidental edits.

The papers' texts are not part of the repository; a changed digit is noticed by its table's digest.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from mtlrepro.expected.load import load_all
from mtlrepro.expected.schema import PrintedTable
from mtlrepro.files import read_json, write_json
from mtlrepro.spec import digest

FILE = "checksums.json"


def checksum(table: PrintedTable) -> str:
    """Digest of a table's cells in printed order and of what they mean; words around them are left out."""
    said = asdict(table)
    for key in ("file", "source", "caption", "notes", "claims", "deviations"):
        del said[key]
    for part in (*said["columns"], *said["sets"], *said["groups"]):
        del part["title"]
    for row in said["rows"]:
        del row["doubts"], row["set_aside"], row["source"]
    said["rows"] = [[list(row.pop("cells").items()), row] for row in said["rows"]]
    return digest(said)


def checksums(root: Path) -> dict[str, str]:
    """ "<paper>/<table>" -> digest, of every table below `expected/`."""
    return {f"{t.paper}/{t.table}": checksum(t) for t in load_all(root)}


def write_checksums(root: Path) -> Path:
    """Write `checksums.json` for the tables as they are now."""
    path = root / FILE
    write_json(path, checksums(root))
    return path


def changed(root: Path) -> list[str]:
    """Tables whose digest is not the stored one, or that are only on one side.

    Raises:
        StoreError: no `checksums.json`, or it cannot be read.
    """
    stored = read_json(root / FILE, "Write it with `mtlrepro expected checksums`")
    now = checksums(root)
    return sorted(key for key in {*stored, *now} if stored.get(key) != now.get(key))
