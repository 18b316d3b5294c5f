"""The folder that a dataset lies in, and what is there in its place."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

from mtlrepro.data.disk.description import Description
from mtlrepro.data.disk.paths import broken_link, denied
from mtlrepro.data.disk.tree import Tree
from mtlrepro.errors import DataError


def find_root(d: Description, base: Path | str | None) -> Path:
    """The folder that a dataset lies in.

    Raises:
        DataError: there is none, or it may not be looked at.
    """
    root = (Path(base) if base is not None else d.file.parent) / Path(d.root).expanduser()
    try:
        if stat.S_ISDIR(root.stat().st_mode):
            return root
        remark = f"{root} is a file"
    except PermissionError:
        raise denied(root) from None
    except NotADirectoryError:
        remark = f"{next(above for above in root.parents if above.exists())} is a file"
    except (OSError, ValueError):  # a name with a NUL is a ValueError
        remark = _instead(root)
    remark = remark and f"; {remark}"
    if base is None:
        mend = "Correct root in the description"
        raise DataError(f"no such folder: {root}{remark}", file=d.file, field="root", mend=mend)
    mend = f"Put {d.root} into {base}, or set MTLREPRO_DATA or --data-root to the folder that holds it"
    here, names = Path(base).absolute(), PurePosixPath(d.root).parts
    if here.is_dir() and [part.casefold() for part in here.parts[-len(names) :]] == [n.casefold() for n in names]:
        remark = f"; {here} is the dataset itself"
        mend = f"Set MTLREPRO_DATA or --data-root to {here.parents[len(names) - 1]}"
    elif here.is_file():
        mend = f"Set MTLREPRO_DATA or --data-root to the folder that holds {d.root}"
    raise DataError(
        f"not found: looked for {root / PurePosixPath(fill(d, d.image, next(iter(d.splits)))).parent}{remark}",
        file=d.name,
        mend=mend,
    )


def fill(d: Description, pattern: str, split: str) -> str:
    """A pattern of one split, in which only `{id}` is open."""
    value = d.splits[split]
    stands_for = value if isinstance(value, str) and not value.endswith(".txt") else split
    return str(PurePosixPath(pattern.replace("{split}", stands_for)))  # without "./" and "//", as files are listed


def _instead(root: Path) -> str:
    """What is wrong with a link on the way to a root, or what there is beside it; "" if that tells nothing."""
    broken = next(filter(None, map(broken_link, reversed(root.parents))), "")
    return broken or Tree(root.parent).near(root.name)
