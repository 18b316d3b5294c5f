"""What a user may call a dataset: its key, the folder of its release in any case, or a description file."""

from __future__ import annotations

from collections.abc import Collection

from mtlrepro.data import DATASETS, description_file
from mtlrepro.data.disk.description import load
from mtlrepro.errors import unknown


def dataset_key(name: str, among: Collection[str] | None = None) -> str:
    """The key behind a name.

    Args:
        name: a key or the folder name of a release, in any case; or the path of a description file, which stays as
            it is.
        among: the keys to choose from; by default all datasets, and description files.

    Raises:
        SpecError: unknown, with the nearest known names.

    Example:
        >>> dataset_key("nyud_mt")
        'nyuv2'
    """
    keys = DATASETS if among is None else among
    if name in keys or (among is None and name.endswith(".toml")):
        return name
    files = {key: description_file(key) for key in keys if key in DATASETS}
    folders = {key: load(file).root.casefold() for key, file in files.items() if file is not None}
    wanted = name.strip("/").casefold()
    found = [key for key in keys if key == wanted] or [key for key in folders if folders[key] == wanted]
    if not found:
        raise unknown("dataset", name, {*keys, *folders.values()})
    return found[0]
