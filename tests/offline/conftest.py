from __future__ import annotations

from pathlib import Path

import pytest
from offline_maps import Caller


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Caller:
    """`mtlrepro eval` with a new --out for each call."""
    return Caller(capsys, tmp_path)
