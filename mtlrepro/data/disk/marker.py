"""The file that tells a synthetic copy of a dataset from the dataset: what it holds, and that it proves nothing."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from mtlrepro.data import DATASETS, description_file
from mtlrepro.data.disk.arrays import check_regular
from mtlrepro.data.disk.description import SPLITS, load
from mtlrepro.data.disk.paths import denied
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
        DataError: there is one, but it is damaged or may not be read.
    """
    file = root / NAME
    try:
        check_regular(file)
        value = json.loads(file.read_text())
        if value["schema"] != SCHEMA:
            raise ValueError(f"schema {value['schema']}, expected {SCHEMA}")
        height, width = value["size"]
        counts = {str(split): int(n) for split, n in value["counts"].items()}
        if not counts or not counts.keys() <= {*SPLITS} or min(counts.values()) < 1:
            raise ValueError(f"counts {counts}")
        return Marker(str(value["dataset"]), counts, (int(height), int(width)), int(value["seed"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise denied(file if os.access(root, os.X_OK) else root) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        mend = "Make the copy anew with `mtlrepro data synthesize`"
        raise DataError(f"the marker of a synthetic copy is damaged ({error})", file=file, mend=mend) from None


def marker_of(root: Path, name: str) -> Marker | None:
    """The marker of the folder that a dataset is read from, None if that is no synthetic copy.

    It must be a copy of this dataset, or of one whose files lie in a folder of that name: several datasets share one.

    Args:
        root: the folder.
        name: the dataset's, in its description.

    Raises:
        DataError: there is a marker, but it is damaged, may not be read, or is that of another dataset.
    """
    marker = read_marker(root)
    if marker is None or marker.dataset == name:
        return marker
    file = description_file(marker.dataset) if marker.dataset in DATASETS else None
    if file is None or load(file).root != Path(os.path.abspath(root)).name:
        problem = f"marks a synthetic copy of {marker.dataset!r}, which is not {name!r}"
        mend = f"Take it out of this folder, and make a copy of {name} with `mtlrepro data synthesize`"
        raise DataError(problem, file=root / NAME, field="dataset", mend=mend)
    return marker


def write_marker(root: Path, marker: Marker) -> None:
    """Mark a folder as a synthetic copy."""
    write_json(root / NAME, {"schema": SCHEMA, **asdict(marker)})
