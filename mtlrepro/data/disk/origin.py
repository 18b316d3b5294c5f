"""Is a dataset's folder the release, a synthetic copy of it, or built here from raw files?"""

from __future__ import annotations

from pathlib import Path

from mtlrepro.data.disk.marker import read_marker
from mtlrepro.data.disk.prepare.record import read_record

SYNTHETIC = "a synthetic copy"
PREPARED = "built here from raw files and differs from the release (see its PROVENANCE.md)"


def origin(root: Path) -> str:
    """`SYNTHETIC`, `PREPARED`, or "" for what nothing is known about: a release, or a dataset of the user's own.

    Raises:
        DataError: the file that says so is damaged.
    """
    if read_marker(root) is not None:
        return SYNTHETIC
    return PREPARED if read_record(root) is not None else ""
