"""Tests on a real Slurm run by themselves where one answers; `cluster.py` beside this file starts one."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def _answers() -> bool:
    if shutil.which("sinfo") is None:
        return False
    try:
        return subprocess.run(["sinfo", "--noheader"], capture_output=True, timeout=10).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("slurm")]
    if marked and not _answers():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no Slurm answers `sinfo`"))
