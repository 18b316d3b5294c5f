"""The full tier from end to end on synthetic copies: real files, readers, transforms, pytest and report, no licence."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mtlrepro.cli import main
from mtlrepro.data import DATASETS, dataset_info
from mtlrepro.data.disk.synthesize import WRITERS, synthesize
from mtlrepro.engine.run import Machine, execute
from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec

ROOT = Path(__file__).parents[2]
COUNTS = {"train": 8, "val": 2}
SIZE = (64, 96)

ROWS = {
    "nyuv2": "(mti_net and table_2a and MTL)",
    "nyuv2_13 with nyuv2_depth": "(nyuv2_13_table_1 and depth-extended and Ours)",
    "cityscapes_7": "(cityscapes_7_table_2 and Ours)",
    "taskonomy": "(taskonomy_table_3 and onelabel and Ours and not randomlabels)",
    "pascal_context": "(mti_net and table_7b and Ours and not reading)",
}
"""Datasets -> a row that trains on each."""
ROWLESS = sorted({name for name in WRITERS if name in DATASETS} - {*ROWS, "nyuv2_13", "nyuv2_depth", "nyuv2_video"})
"""The papers' other datasets, but for those that are streams of training samples alone."""


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies")


def copies(names: Sequence[str], data_root: Path) -> None:
    for name in names:
        synthesize(name, data_root, COUNTS if name != "taskonomy" else {"train": 16, "val": 2}, SIZE, 0)


@pytest.mark.slow
def test_a_table_of_every_dataset_runs_at_tier_full(data_root: Path, tmp_path: Path) -> None:
    copies(("nyuv2", "nyuv2_13", "nyuv2_depth", "cityscapes_7", "taskonomy", "pascal_context"), data_root)
    command = [sys.executable, "-m", "pytest", "suites/", "-k", " or ".join(ROWS.values()), "--tier", "full", "-q"]
    command += ["--data-root", data_root, "--runs", tmp_path / "runs", "--report", tmp_path / "report"]
    command += ["-p", "no:cacheprovider"]
    environment = {**os.environ, "CI": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr

    report = json.loads((tmp_path / "report/report.json").read_text())
    rows = [(table["dataset"], row) for table in report["tables"] for row in table["rows"]]
    assert {dataset for dataset, _ in rows} == {"nyuv2", "nyuv2_13", "cityscapes_7", "taskonomy", "pascal_context"}
    for _, row in rows:
        assert row["tier"] == "rehearsal"
        assert row["metrics"]
        verdicts = {check["kind"]: check["verdict"] for check in row["checks"] if check["tier"] == "rehearsal"}
        assert verdicts["run"] == "PASS"
    text = (tmp_path / "report/report.md").read_text()
    assert "No printed number of a paper was confirmed or refuted by this report" in text
    assert "is a synthetic copy" in text
    checks = [check for _, row in rows for check in row["checks"]]
    assert not [c for c in checks if c["kind"] == "printed" and c["verdict"] in ("PASS", "FAIL", "IMPROVED")]


@pytest.mark.parametrize("name", ROWLESS)
def test_every_other_dataset_trains_and_evaluates(name: str, tmp_path: Path) -> None:
    data_root = tmp_path / "data"
    copies([name], data_root)
    info = dataset_info(name)
    data = DataSpec(name, SIZE, "flip")
    spec = RunSpec(data, ModelSpec("mtl", "hrnet_nano", info.tasks), Recipe("adam", 1e-3, 1e-4, batch=4, epochs=1))
    (tmp_path / "run").mkdir()
    record = execute(spec, 0, tmp_path / "run", Machine(data_root=data_root))
    assert record["steps"] == COUNTS["train"] // 4
    assert {key.split(".")[1] for key in record["metrics"]} == set(info.tasks)
    finite = {key.split(".")[1] for key, value in record["metrics"].items() if math.isfinite(value)}
    assert finite == set(info.tasks)


def test_a_comparison_on_a_papers_dataset(data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copies(["pascal_context"], data_root)
    arguments = ["run", "--dataset", "pascal_context", "--methods", "mtl", "--size", "64x96", "--epochs", "1"]
    arguments += ["--batch", "4", "--tasks", "semseg", "parts", "saliency", "--data-root", str(data_root)]
    main([*arguments, "--runs", str(tmp_path / "runs"), "--report", str(tmp_path / "report")])
    text = (tmp_path / "report/report.md").read_text()
    assert "no paper's number is involved. pascal_context in" in text
    assert text.count("PASCAL_MT is a synthetic copy.") == 2  # in the first lines, and below the table
