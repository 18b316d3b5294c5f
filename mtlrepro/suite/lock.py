"""Locks of runs: files that name their holder and are touched while it lives, also on a network file system.

No clock is compared with another one, and no file system has to know advisory locks:

- A lock appears whole or not at all, by a hard link of a file that is complete (where there are no hard links, by
  exclusive creation).
- It is stale when its holder is a dead process of this boot and process namespace, or when it was watched for `STALE`
  seconds of the watcher's own time without a sign of life.
- It is removed, by its holder or by who takes over, only under a ticket: a second file made in the same way, whose name
  is the digest of the lock's content. So one of many removes it, and not one that came after it, unless it stood still
  for `STALE` seconds between a look and the removal: then the fence below keeps the successor from writing.
- A holder that stood still for long may have lost it: `Lock.check` says so, and is asked before anything is written
  (`mtlrepro.files.fenced`).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mtlrepro.errors import StoreError
from mtlrepro.files import write_failure

HEARTBEAT = 5.0
"""Seconds between signs of life of a lock's holder."""
STALE = 60.0
"""A lock that was watched for so many seconds without a sign of life may be taken over."""
GAP = 2 * HEARTBEAT
"""Seconds that one look can add to the time a lock was watched: a watcher that stood still itself saw nothing."""
POLL = (0.1, 2.0)
"""Seconds between looks while waiting: at first, and after a while, because a server has other clients too."""

NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK})

clock: Callable[[], float] = time.monotonic
"""The watcher's time, in seconds."""


class Look(NamedTuple):
    """What a lock was seen to be: equal looks are one sign of life."""

    text: str
    touched: int
    """Time of its last sign of life in nanoseconds, by whatever clock the file system has."""

    @property
    def owner(self) -> dict[str, Any]:
        """Who holds it: "host", "pid", "since" and more; empty for what is no lock (the remains of a power failure)."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def dead(self) -> bool:
        """Is the holder a process of this boot and process namespace that has ended?"""
        owner, here = self.owner, _here()
        if not here["boot"] or any(owner.get(name) != value for name, value in here.items()):
            return False
        return not _alive(owner.get("pid"), owner.get("started"))


def look(path: Path) -> Look | None:
    """Read a lock; None if there is none.

    It is opened for that: a network file system may answer a bare question about a file from what it remembers.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return Look(stream.read(), os.fstat(stream.fileno()).st_mtime_ns)
    except FileNotFoundError:
        return None


class Lock:
    """An exclusive lock file with a heartbeat.

    Args:
        path: the file, in an existing folder.
        note: more that it says, for who reads it.
    """

    def __init__(self, path: Path, note: Mapping[str, Any] | None = None):
        self.path = path
        self._note = dict(note or {})
        self._text = ""
        self._stop = threading.Event()
        self._beat: threading.Thread | None = None

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; without `wait`, False at once while somebody seems to hold it.

        Raises:
            StoreError: locks cannot be written here.
        """
        pause, longest = POLL
        try:
            while not (self._free() and self._create()):
                if not wait:
                    return False
                time.sleep(pause)
                pause = min(1.5 * pause, longest)
        except OSError as error:
            raise write_failure(self.path, error) from error
        self._beat = threading.Thread(target=self._heartbeat, daemon=True)
        self._beat.start()
        return True

    def release(self) -> None:
        """Let it go; a lock that somebody else took over stays."""
        self._stop.set()
        if self._beat is not None:
            self._beat.join()
        with contextlib.suppress(OSError):  # who comes next sees that this process is gone
            self._remove(self._text)

    def check(self) -> None:
        """Raise a `StoreError` unless the lock is still held."""
        try:
            seen = look(self.path)
        except OSError as error:
            raise write_failure(self.path, error) from error
        if seen is None or seen.text != self._text:
            owner = seen.owner if seen else {}
            who = f"process {owner.get('pid')} on {owner.get('host')}" if owner else "somebody"
            problem = f"this process stood still for so long that {who} took its work over"
            mend = "Nothing is lost: the other one goes on from the last checkpoint. Run the same command again"
            raise StoreError(problem, file=self.path, mend=mend)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def _create(self) -> bool:
        self._text = json.dumps({**_me(), "since": time.time(), "token": secrets.token_hex(8), **self._note})
        return _create(self.path, self._text)

    def _free(self) -> bool:
        """Whether nobody holds it, a stale lock removed if need be."""
        seen = look(self.path)
        return seen is None or (_stale(self.path, seen) and self._remove(seen.text, seen))

    def _remove(self, text: str, seen: Look | None = None) -> bool:
        """Remove the lock if it holds that text, and still is as it was seen; only its ticket's holder ever does."""
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        with _ticket(self.path, name) as mine:
            now = look(self.path) if mine else None
            if now is None or now.text != text or (seen is not None and now != seen):
                return False
            self.path.unlink()
            return True

    def _heartbeat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # a file system that is away for a while
                seen = look(self.path)
                if seen is None or seen.text != self._text:
                    return
                os.utime(self.path)


def _create(path: Path, text: str) -> bool:
    """Make a file that nobody else made, whole; False if there is one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_text(text)
        try:
            return _linked(temporary, path)
        except FileNotFoundError:  # swept away as the litter of a dead process, by who works here: nothing was made
            if not path.parent.is_dir():
                raise
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return _create_alone(path, text)
    finally:
        temporary.unlink(missing_ok=True)


def _linked(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        # A network file system may lose its answer and ask twice: the count of links tells who made it.
        return temporary.stat().st_nlink > 1
    return True


def _create_alone(path: Path, text: str) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    return True


@contextlib.contextmanager
def _ticket(path: Path, name: str) -> Iterator[bool]:
    """The right to remove a lock, for a moment; False if somebody else has it.

    Who dies with a ticket leaves it: it is stale as a lock is, and followed by one of the next number.
    """
    made: list[Path] = []
    for number in itertools.count():
        ticket = path.with_name(f".{path.name}.{name}.{number}")
        made.append(ticket)
        if _create(ticket, json.dumps(_me())):
            break
        seen = look(ticket)
        if seen is None or not _stale(ticket, seen):
            yield False
            return
    try:
        yield True
    finally:
        for ticket in made:
            ticket.unlink(missing_ok=True)


# --- staleness --------------------------------------------------------------------------------------------------------

_watched: dict[Path, tuple[Look, float, float]] = {}
"""Lock -> what was seen last, when, and for how long it has been so."""
_watching = threading.Lock()


def _stale(path: Path, seen: Look) -> bool:
    if seen.dead:
        return True
    now = clock()
    with _watching:
        before, last, silent = _watched.get(path, (seen, now, 0.0))
        silent = silent + min(max(now - last, 0.0), GAP) if before == seen else 0.0
        _watched[path] = (seen, now, silent)
    return silent >= STALE


@cache
def _here() -> dict[str, str]:
    """What a process number belongs to: host names repeat between containers, and numbers after a restart."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # nothing to tell dead processes by: their locks are watched
        boot = namespace = ""
    return {"host": socket.gethostname(), "boot": boot, "namespace": namespace}


def _me() -> dict[str, Any]:
    return {**_here(), "pid": os.getpid(), "started": _started(os.getpid())}


def _started(pid: int) -> str:
    """When a process of this boot began, in ticks; "" for one that has ended (a zombie included)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _alive(pid: object, started: object) -> bool:
    return isinstance(pid, int) and _started(pid) == started
