"""Compiled loops: found where they are kept, and compiled anew where they cannot be."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mtlrepro.metrics.boundary
from mtlrepro.metrics.boundary.thinning import thin

FOLDER = Path(mtlrepro.metrics.boundary.__file__).parent


def compiled_names(tree: ast.Module) -> set[str]:
    return {
        f.name
        for f in tree.body
        if isinstance(f, ast.FunctionDef)
        and any(isinstance(d, ast.Name) and d.id == "compiled" for d in f.decorator_list)
    }


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.py")), ids=lambda f: f.stem)
def test_compiled_functions_call_none_of_another_file(file: Path) -> None:
    """What is kept of a caller would outlive a change of the other file."""
    trees = {f: ast.parse(f.read_text()) for f in FOLDER.glob("*.py")}
    elsewhere = {name for f, tree in trees.items() if f != file for name in compiled_names(tree)}
    here = [f for f in trees[file].body if isinstance(f, ast.FunctionDef) and f.name in compiled_names(trees[file])]
    called = {n.func.id for f in here for n in ast.walk(f) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert called & elsewhere == set()


def test_there_are_compiled_functions() -> None:
    assert sum(len(compiled_names(ast.parse(f.read_text()))) for f in FOLDER.glob("*.py")) >= 6


@pytest.mark.slow
def test_without_a_place_to_keep_them_they_still_run(tmp_path: Path) -> None:
    code = (
        "import numba.core.caching as c; c.CacheImpl._locator_classes = []; import numpy as np; "
        "from mtlrepro.metrics.boundary.thinning import thin; print(int(thin(np.ones((5, 9))).sum()))"
    )
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout.strip(), done.returncode) == (str(int(thin(np.ones((5, 9))).sum())), 0), done.stderr
