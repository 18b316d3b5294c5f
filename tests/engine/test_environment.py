from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch

from mtlrepro.engine import environment as module
from mtlrepro.engine.environment import EXTRAS, PACKAGES, environment


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    run = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that holds the module's file."""
    package = tmp_path / "mtlrepro" / "engine"
    package.mkdir(parents=True)
    (package / "environment.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    monkeypatch.setattr(module, "__file__", str(package / "environment.py"))
    return tmp_path


def test_everything_that_can_change_a_result_is_named() -> None:
    env = environment()
    assert {"mtlrepro", "python", *PACKAGES, *EXTRAS, "os", "cpu", "cores", "gpu", "commit"} <= env.keys()
    assert all(isinstance(v, str) and v for v in env.values())
    assert env["torch"] == torch.__version__.split("+")[0] or env["torch"] == torch.__version__
    assert ("cuda" in env) == torch.cuda.is_available()
    assert json.loads(json.dumps(env)) == env


def test_the_commit_and_whether_files_changed(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")[:12]
    assert module._commit() == head
    (checkout / "new").write_text("x")
    assert module._commit() == f"{head} + local changes"


def test_the_commit_of_a_surrounding_checkout_is_not_taken(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = checkout / "venv" / "mtlrepro" / "engine" / "environment.py"
    installed.parent.mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(installed))
    assert module._commit() == "unknown (not a checkout)"


def test_no_git_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object, **kwargs: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert module._commit() == "unknown (not a checkout)"


def test_an_extra_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXTRAS", ("no-such-package",))
    assert "no-such-package" not in environment.__wrapped__()
