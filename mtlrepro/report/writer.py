"""Writes the report's files. Everything is rendered in memory first; each file then appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from mtlrepro.errors import StoreError
from mtlrepro.files import replace_file
from mtlrepro.report.jsonfile import to_text
from mtlrepro.suite.results import SessionResult

SUMMARY_LIMIT = 1024 * 1024
"""GitHub refuses a job summary above 1 MiB a step."""


def write_report(result: SessionResult, runs_root: Path, out: Path) -> list[Path]:
    """Write `report.md`, `report.html`, `report.json` and `figures/*.png`; append the CI job summary.

    The job summary goes to the file that the environment variable GITHUB_STEP_SUMMARY names, if it is set.

    Args:
        result: what the session concluded.
        runs_root: the run store; run directories are looked up there by key, then where the session recorded them.
        out: folder of the report, created if needed.

    Returns:
        Paths of the files written: the three reports, then the figures.

    Raises:
        StoreError: a file or folder cannot be written; names it.
    """
    from mtlrepro.report.content import build
    from mtlrepro.report.html import render_html
    from mtlrepro.report.markdown import render_markdown, render_summary

    content = build(result, Path(runs_root))
    out = Path(out)
    files: dict[Path, bytes] = {
        out / "report.md": render_markdown(content).encode(),
        out / "report.html": render_html(content).encode(),
        out / "report.json": to_text(result).encode(),
    }
    files |= {out / "figures" / f"{picture.name}.png": picture.png for picture in content.pictures()}
    for path, data in files.items():
        write_atomic(path, data)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        append_summary(Path(summary), render_summary(content))
    return list(files)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file as `mtlrepro.files.replace_file` does (StoreError naming the file on failure)."""
    try:
        replace_file(path, data)
    except OSError as error:
        raise _unwritable(path, error) from error


def append_summary(path: Path, text: str) -> None:
    """Append to the job summary, cut at a line so that the whole file stays within `SUMMARY_LIMIT` bytes."""
    try:
        room = SUMMARY_LIMIT - (path.stat().st_size if path.exists() else 0)
        data = cut(text, room).encode()
        with path.open("ab") as stream:
            stream.write(data)
    except OSError as error:
        raise _unwritable(path, error) from error


def cut(text: str, limit: int) -> str:
    """The longest run of whole lines within `limit` UTF-8 bytes, with a note where something was left out.

    Example:
        >>> cut("one\\n", 100)
        'one\\n'
    """
    if len(text.encode()) <= limit:
        return text
    note = "\n*The summary was cut here at its size limit; report.md and report.html are complete.*\n"
    room = limit - len(note.encode())
    if room < 0:
        return ""
    kept = text.encode()[:room].decode(errors="ignore")
    return kept[: kept.rfind("\n") + 1] + note


def _unwritable(path: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    return StoreError(
        f"cannot be written ({reason})", file=path, mend="Give the report a folder that is writable and has room"
    )
