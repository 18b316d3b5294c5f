"""The MTI-Net tables planned for real at smoke: embedded scenes, the program's own digest, nothing trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from suite_fakes import SUITES, FakeLauncher

from mtlrepro.suite.program import closure, program_digest
from mtlrepro.suite.session import Options, Session
from mtlrepro.suite.table import bind, discover


def test_smoke_needs_no_data_and_fifty_three_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTLREPRO_DATA", raising=False)
    launcher = FakeLauncher(lambda spec: {})
    session = Session(Options("smoke", runs=tmp_path), launcher)
    bound = [b for f, t in discover(SUITES) for b in bind(t, f)]
    session.plan([(b, r) for b in bound if b.table.paper == "mti_net" for r in b.rows])
    assert session.total_runs == len({r.key for r in launcher.runs}) == 53
    assert len({r.data for r in launcher.runs}) == 2  # one set of scenes serves all rows of a dataset
    assert {r.spec.model.backbone for r in launcher.runs} == {"hrnet_nano", "fpn_nano"}
    assert {r.program for r in launcher.runs} == {program_digest(r.spec) for r in launcher.runs}
    assert len({r.program for r in launcher.runs}) > 4  # single-task, multi-task, PAD-Net and MTI-Net, by their tasks
    assert "mtlrepro.data.scenes.primitives" in closure(frozenset({"mtlrepro.data.scenes.dataset"}))
