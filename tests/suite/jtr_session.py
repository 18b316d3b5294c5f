"""Sessions over the tables of JTR whose trainings are stood in for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from suite_fakes import SUITES, FakeLauncher

from mtlrepro.spec import RunSpec
from mtlrepro.suite import session, tiers
from mtlrepro.suite.session import Options, Session
from mtlrepro.suite.table import BoundTable, bind, load_suite_file


def jtr(dataset: str, table: str, panel: str) -> BoundTable:
    """A panel of JTR."""
    file = SUITES / "jtr" / f"test_{dataset}_table_{table}.py"
    return next(b for b in bind(load_suite_file(file), file) if b.expected.key == panel)


def open_session(
    monkeypatch: pytest.MonkeyPatch,
    runs: Path,
    figures: Callable[[RunSpec], Any],
    gpus: int = 1,
    data: bool = True,
    **options: Any,
) -> tuple[Session, FakeLauncher]:
    """A session on a machine with these GPUs and, or not, every dataset."""
    monkeypatch.delenv("MTLREPRO_DATA", raising=False)
    monkeypatch.setattr(session, "_gpus", lambda: gpus)
    monkeypatch.setattr(session, "program_digest", lambda spec: "p" * 16)
    monkeypatch.setattr(session, "weights_digest", lambda tag: "")
    monkeypatch.setattr(
        tiers, "find_dataset", lambda name, root, cache: Path("/data") if data else f"{name}: not there"
    )
    monkeypatch.setattr(Session, "_manifest", lambda self, data: f"data of {data.name}")
    launcher = FakeLauncher(figures)
    return Session(Options(runs=runs, **options), launcher), launcher
