"""What a prepared dataset says of itself: that it is no release, from which files it was made, and by what."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from mtlrepro import __version__
from mtlrepro.data.disk.arrays import check_regular
from mtlrepro.errors import DataError

NAME = "mtlrepro-prepared.json"
SCHEMA = 1

SAMPLED = 1 << 20
"""Bytes at either end of a source file that its fingerprint covers."""

VERSIONS = {"mtlrepro": __version__, "numpy": np.__version__, "pillow": PIL.__version__, "torch": torch.__version__}
"""Of what decides the bits."""


def new_record(dataset: str, source: dict[str, Any]) -> dict[str, Any]:
    """The record of a dataset that is prepared here and now.

    Args:
        dataset: its key.
        source: what tells this source from another, as JSON values.
    """
    return {"schema": SCHEMA, "dataset": dataset, "source": source, "versions": VERSIONS}


def read_record(root: Path) -> dict[str, Any] | None:
    """The record of a dataset's folder; None if it was not prepared here.

    Raises:
        DataError: there is one, but it is damaged.
    """
    file = root / NAME
    try:
        check_regular(file)
        value = json.loads(file.read_text(encoding="utf-8"))
        if value["schema"] != SCHEMA:
            raise ValueError(f"schema {value['schema']}, expected {SCHEMA}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        mend = f"Delete {root} and prepare it anew"
        raise DataError(f"the record of a prepared dataset is damaged ({error})", file=file, mend=mend) from None
    return value


def check_rows(root: Path, mask: Path) -> None:
    """Refuse a published mask of partial labels on arrays whose rows are in an order of their own.

    Row i of such a mask belongs to array i of the release that it was published with. Which image that is was never
    told, so arrays that were made anew cannot follow it (JTR, CVPR 2024; its masks are those of MTPSL).

    Args:
        root: folder of the dataset.
        mask: the file of a published mask.

    Raises:
        DataError: the arrays were prepared here.
    """
    if read_record(root) is not None:
        raise DataError(
            f"a published mask, but the arrays in {root} were made from raw files: their order is not the release's",
            file=mask,
            mend="Remove it to use a generated mask, or use the released arrays",
        )


def fingerprint(file: Path) -> dict[str, Any]:
    """Size of a file and SHA-256 of its first and last bytes: cheap for any size, and the same after a copy.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            ends = hashlib.sha256()
            for start in (0, max(0, size - SAMPLED)):
                stream.seek(start)
                ends.update(stream.read(SAMPLED))
    except OSError as error:
        mend = "Put it there, or change its permissions"
        raise DataError(f"cannot be read ({error.strerror})", file=file, mend=mend) from None
    return {"bytes": size, "ends_sha256": ends.hexdigest()}
