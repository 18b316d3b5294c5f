"""The file that tells a synthetic copy of a dataset from the dataset: what it holds, and that it proves nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mtlrepro.errors import DataError
from mtlrepro.files import write_json

NAME = "mtlrepro-synthetic.json"
SCHEMA = 1


@dataclass(frozen=True)
class Marker:
    """A synthetic copy: embedded scenes in a dataset's layout.

    Attributes:
        dataset: the dataset's key.
        counts: split -> number of samples.
        size: (height, width) of the images.
        seed: of the scenes.
    """

    dataset: str
    counts: dict[str, int]
    size: tuple[int, int]
    seed: int


def read_marker(root: Path) -> Marker | None:
    """The marker of a dataset's folder, None if it has none and so is no synthetic copy.

    Raises:
        DataError: there is one, but it is damaged.
    """
    file = root / NAME
    try:
        value = json.loads(file.read_text())
        if value["schema"] != SCHEMA:
            raise ValueError(f"schema {value['schema']}, expected {SCHEMA}")
        height, width = value["size"]
        counts = {str(split): int(n) for split, n in value["counts"].items()}
        return Marker(str(value["dataset"]), counts, (int(height), int(width)), int(value["seed"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        mend = "Make the copy anew with `mtlrepro data synthesize`"
        raise DataError(f"the marker of a synthetic copy is damaged ({error})", file=file, mend=mend) from None


def write_marker(root: Path, marker: Marker) -> None:
    """Mark a folder as a synthetic copy."""
    write_json(root / NAME, {"schema": SCHEMA, **asdict(marker)})
