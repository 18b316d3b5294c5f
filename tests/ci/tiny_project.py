"""A checkout of two cheap tables that share no run: what pipelines are tried on."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SUITE = """
from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec
from mtlrepro.suite.table import Row, Table

MODEL = ModelSpec("stl", "hrnet18", ("{task}",))
SPEC = RunSpec(DataSpec("nyuv2", (480, 640)), MODEL, Recipe("adam", 1e-4, 1e-4, batch=6, epochs=80))
TABLE = Table("mini", "nyuv2", "{table}", [Row("One network", (SPEC,))])
"""
EXPECTED = """
schema_version = 2
paper = "mini"
table = "{table}"
dataset = "nyuv2"
caption = "A table of one run row and one quoted row"
source = "this test"
selection = "last"
runs = 1

[[columns]]
key = "x"
title = "X"
metric = "{metric}"
protocol = "{protocol}"
unit = "{unit}"
better = "{better}"

[[rows]]
name = "One network"
cells = {{ x = "0.667" }}

[[rows]]
name = "Copied"
origin = "quoted"
source = "another paper"
cells = {{ x = "0.593" }}
"""
SHARED = {"better": "lower"}
TABLES = (
    {**SHARED, "table": "1", "task": "depth", "metric": "depth.rmse", "protocol": "depth/pooled@1", "unit": "m"},
    {
        **SHARED,
        "table": "2",
        "task": "normals",
        "metric": "normals.mean",
        "protocol": "normals/pooled@1",
        "unit": "deg",
    },
)


def write_project(folder: Path) -> Path:
    """Suites and expected tables, as in a checkout."""
    (folder / "suites" / "mini").mkdir(parents=True)
    (folder / "expected" / "mini").mkdir(parents=True)
    for place in (folder / "suites", folder / "suites" / "mini"):
        (place / "__init__.py").touch()
    for table in TABLES:
        number = table["table"]
        (folder / "suites" / "mini" / f"test_nyuv2_table_{number}.py").write_text(SUITE.format(**table))
        (folder / "expected" / "mini" / f"table_{number}.toml").write_text(EXPECTED.format(**table))
    for name in ("protocols.toml", "tolerances.toml"):
        shutil.copy(ROOT / "expected" / name, folder / "expected")
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\naddopts = -p no:cacheprovider\n")
    return folder


def environment(shims: Path, **more: str) -> dict[str, str]:
    """What a runner has: this Python's programs, a pip that only notes what it is asked for, no GPU, no dataset."""
    shims.mkdir(parents=True, exist_ok=True)
    pip = shims / "pip"
    pip.write_text(f'#!/bin/sh\necho "$@" >> "{shims}/pip.log"\n')
    pip.chmod(0o755)
    left_out = ("MTLREPRO_DATA", "GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    path = os.pathsep.join([str(shims), str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**kept, "PATH": path, "CUDA_VISIBLE_DEVICES": "", "CI": "1", **more}
