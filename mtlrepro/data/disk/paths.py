"""What may be wrong with a path itself: it leads out of its folder, may not be read, or is a link that ends nowhere."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from mtlrepro.errors import DataError

_OUTSIDE = re.compile(r"/|.*(\\|[\x00-\x1f\x7f-\x9f]|(^|/)\.\.(/|$))", re.DOTALL)

_BROKEN = {
    errno.ENOENT: "leads nowhere",
    errno.ENOTDIR: "leads nowhere",
    errno.ELOOP: "leads in a circle",
}
"""Why a link cannot be followed, in words."""


def lies_below(path: str) -> bool:
    """Whether a path with forward slashes, relative to a folder, cannot lead out of it, whatever the system.

    Example:
        >>> lies_below("night/0"), lies_below("../night/0"), lies_below("/night/0")
        (True, False, False)
    """
    return _OUTSIDE.match(path) is None


def denied(path: Path) -> DataError:
    """The error for a file or folder that its user has no right to."""
    mend = "Give yourself the right to it: chmod u+r for files, chmod u+rx for folders and those above them"
    return DataError(f"cannot be read ({os.strerror(errno.EACCES)})", file=path, mend=mend)


def broken_link(path: Path) -> str:
    """What is wrong with a link that cannot be followed, in words; "" for all that can, and for what is no link."""
    if not os.path.islink(path):
        return ""
    try:
        path.stat()
    except OSError as error:
        why = _BROKEN.get(error.errno or 0, f"cannot be followed ({error.strerror})")
        return f"{path} is a link that {why}: remove or correct it"
    return ""
