"""Runs in the report: equal specs and environments once, differing environments said, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_fakes import row, session, table, write_run

from mtlrepro.report import write_report
from mtlrepro.report.ledger import ledger, outline, unlike
from mtlrepro.report.rundir import RunFiles, read_run
from mtlrepro.suite.results import RunInfo, SessionResult

SPEC = {"data": {"name": "nyuv2", "size": [64, 96]}, "objective": {"losses": [["depth", "berhu"]], "options": []}}


def info(key: str, seed: int = 0, tier: str = "smoke") -> RunInfo:
    return RunInfo(key, f"runs/{key}", "mtl/hrnet_nano", tier, 61.0, False, seed)


def files(**environments: dict[str, str]) -> dict[str, RunFiles]:
    return {key: RunFiles(Path(key), spec=SPEC, environment=facts) for key, facts in environments.items()}


def result(*runs: RunInfo) -> SessionResult:
    rows = [row("A", key=runs[0].key), row("B", key=runs[-1].key)]
    rows[0].runs = [run.key for run in runs[:-1]]
    return session(table(*rows), runs=list(runs))


def test_seeds_of_one_spec_share_it_and_tiers_do_not() -> None:
    runs = (info("a"), info("b", 1), info("c", tier="full"))
    found = ledger(result(*runs), files(a={}, b={}, c={}), {0: "t0"})
    assert [(s.anchor, s.tier, [r.seed for r in s.runs]) for s in found.specs] == [
        ("run-a", "smoke", [0, 1]),
        ("run-c", "full", [0]),
    ]
    assert found.specs[0].rows == [("t0", "mti_net table 2a: A")]
    assert found.of_run["b"] is found.specs[0]
    assert [entry.anchor for entry in found.of_row(row("A", key="c"))] == ["run-c"]


def test_runs_whose_spec_is_lost_are_kept_apart() -> None:
    lost = {key: RunFiles(Path(key), problems=["spec.json is missing"]) for key in "ab"}
    found = ledger(result(info("a"), info("b")), lost, {0: "t0"})
    assert [s.outline for s in found.specs] == ["", ""]
    assert found.specs[0].runs[0].problems == "spec.json is missing"
    assert found.specs[0].runs[0].environment == 0


def test_equal_environments_are_told_once_and_others_by_what_differs() -> None:
    base = {"torch": "2.15.0", "gpu": "none", "cpu": "x"}
    runs = files(a=base, b=dict(base), c={**base, "torch": "2.11.0", "cuda": "12.8"})
    found = ledger(result(info("a"), info("b"), info("c")), runs, {0: "t0"})
    assert found.environments == [(1, 2, base), (2, 1, {"torch": "2.11.0", "cuda": "12.8"})]
    assert [r.environment for s in found.specs for r in s.runs] == [1, 1, 2]


def test_a_table_of_differing_environments_says_so() -> None:
    one = {"torch": "2.15.0", "gpu": "NVIDIA A100", "cpu": "x", "commit": "a"}
    other = {"torch": "2.11.0", "gpu": "NVIDIA H100", "cpu": "y", "commit": "b"}
    of = result(info("a"), info("b", 1), info("c")).tables[0]
    assert unlike(of, files(a=one, b=one, c=dict(one, commit="c", cpu="z"))) == []
    assert unlike(of, files(a=one, b=other, c=one)) == [
        "The runs of this table were made under different versions of torch: 2.15.0 (2 runs of A, B); 2.11.0 "
        "(1 run of A).",
        "The runs of this table were made under different GPUs: NVIDIA A100 (2 runs of A, B); NVIDIA H100 (1 run of "
        "A).",
    ]
    assert unlike(of, files(a=one, b={}, c=one)) == []  # of a run without env.json nothing is known


def test_both_forms_of_the_report_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    runs = [write_run(tmp_path / "runs", key * 16) for key in "ab"]
    (Path(runs[1].directory) / "env.json").write_text(json.dumps({"torch": "2.11.0"}))
    of = result(*runs)
    write_report(of, tmp_path / "runs", tmp_path / "report")
    for name in ("report.md", "report.html"):
        assert "made under different versions of torch" in (tmp_path / "report" / name).read_text()


def test_the_outline_has_every_filled_field() -> None:
    value = {**SPEC, "needs": [{"model": {"arch": "mtl"}}, {"model": {"arch": "stl"}}], "weights": None, "flag": False}
    assert outline(value) == (
        "data\n  name: nyuv2\n  size: [64, 96]\nobjective\n  losses\n    depth: berhu\n"
        "needs\n  1\n    model\n      arch: mtl\n  2\n    model\n      arch: stl\nflag: false"
    )


def test_a_run_directory_gives_spec_needs_environment_and_checkpoint(tmp_path: Path) -> None:
    run = write_run(tmp_path, "a" * 16)
    folder = Path(run.directory)
    (folder / "spec.json").write_text(json.dumps({"spec": SPEC, "needs": ["b" * 16]}))
    (folder / "checkpoint.safetensors").write_bytes(b"x" * 100)
    found = read_run(folder)
    assert (found.spec, found.needs, found.checkpoint) == (SPEC, ["b" * 16], 100)
    assert found.environment["torch"] == "2.15.0"
    (folder / "env.json").unlink()
    assert read_run(folder).problems == ["env.json is missing"]
