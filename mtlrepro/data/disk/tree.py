"""What lies below a dataset's root: every folder listed once, and what is wrong with a folder said clearly."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mtlrepro.data.disk.paths import broken_link
from mtlrepro.errors import DataError


class Tree:
    """The files below a root, by paths relative to it with forward slashes.

    Links are followed. A folder is read from disk once, so that asking for a million files costs a few listings.

    Args:
        root: an existing folder.
    """

    def __init__(self, root: Path):
        self.root = root
        self._listed: dict[str, dict[str, bool]] = {}

    def entries(self, folder: str) -> dict[str, bool]:
        """What a folder holds: name -> is it a folder; nothing where there is no such folder.

        Raises:
            DataError: the folder cannot be read.
        """
        if folder not in self._listed:
            path = self.root / folder
            try:
                with os.scandir(path) as found:
                    self._listed[folder] = {entry.name: _is_dir(entry) for entry in found if _exists(entry)}
            except (FileNotFoundError, NotADirectoryError):
                self._listed[folder] = {}
            except PermissionError as error:
                mend = "Give yourself the right to read and enter it (chmod u+rx)"
                raise DataError(f"the folder cannot be read ({error.strerror})", file=path, mend=mend) from None
            except OSError as error:
                if error.errno != errno.ELOOP:
                    problem = f"the folder cannot be read ({error.strerror})"
                    raise DataError(problem, file=path, mend="Check the disk") from None
                self._listed[folder] = {}  # whoever misses a file there is told of the link by `near`
        return self._listed[folder]

    def holds(self, path: str) -> bool:
        """Whether there is such a file."""
        folder, _, name = path.rpartition("/")
        return self.entries(folder).get(name) is False

    def files(self, folder: str) -> Iterator[str]:
        """All files below a folder, at any depth.

        Raises:
            DataError: a folder cannot be read, or links lead in a circle.
        """
        yield from self._files(folder, ())

    def _files(self, folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
        entries = self.entries(folder)
        below = sorted(name for name, is_folder in entries.items() if is_folder)
        inside = f"{folder}/" if folder else ""
        yield from (inside + name for name, is_folder in entries.items() if not is_folder)
        if not below:
            return
        status = (self.root / folder).stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            problem = "a link leads back to a folder above it: the tree has no end"
            raise DataError(problem, file=self.root / folder, mend="Remove that link")
        for name in below:
            yield from self._files(inside + name, (*above, here))

    def instead(self, path: str) -> str:
        """What there is in place of a file that is missing, for an error message."""
        near = self.near(path)
        if near:
            return near
        folder = PurePosixPath(path).parent.as_posix()
        while folder != "." and not self.entries(folder):
            if os.path.isdir(self.root / folder):
                break
            folder = PurePosixPath(folder).parent.as_posix()
        folder = "" if folder == "." else folder
        names = sorted(name + "/" * is_folder for name, is_folder in self.entries(folder).items())
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        return f"{self.root / folder} holds {shown or 'nothing'}"

    def near(self, path: str) -> str:
        """A link or another name that explains why a file or folder is not found; "" where there is none."""
        above = [self.root / parent for parent in reversed(PurePosixPath(path).parents)]
        broken = next(filter(None, map(broken_link, [*above, self.root / path])), "")
        if broken:
            return broken
        alike = self._alike(path)
        if alike:
            return f"{self.root / alike} is there: names differ in upper and lower case"
        first = path.partition("/")[0]
        for inner in (name for name, is_folder in self.entries("").items() if is_folder):
            if os.path.isdir(self.root / inner / first):  # one that may not be looked into has none
                return f"{self.root / inner / first} is there: the tree lies one level too deep"
        return ""

    def _alike(self, path: str) -> str:
        """The path of a file that differs in upper and lower case alone, "" if there is none."""
        found = ""
        for part in path.split("/"):
            names = self.entries(found)
            same = part if part in names else next((n for n in names if n.casefold() == part.casefold()), None)
            if same is None:
                return ""
            found = f"{found}/{same}" if found else same
        return "" if found == path else found


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _exists(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is there itself: a link may lead nowhere, or to itself."""
    return not entry.is_symlink() or os.path.exists(entry.path)
