from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mtlrepro.engine import environment as module
from mtlrepro.engine.environment import EXTRAS, PACKAGES, environment, record_environment
from mtlrepro.errors import StoreError


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


# --- env.json of a run ------------------------------------------------------------------------------------------------

CPU = {"torch": "2.15.0", "timm": "1.0.31", "numpy": "2.4.6", "cpu": "AMD EPYC", "cores": "2", "gpu": "none"}
GPU = {**CPU, "transformers": "5.23.0", "cuda": "13.0", "gpu": "NVIDIA H200, NVIDIA H200"}


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Begin or resume a run on a host with an environment; what its env.json says then."""

    def work(host: str, here: dict[str, str], resumes: bool = True) -> dict[str, str]:
        monkeypatch.setattr(module, "environment", lambda: here)
        monkeypatch.setattr(module.socket, "gethostname", lambda: host)
        record_environment(tmp_path, resumes)
        return json.loads((tmp_path / "env.json").read_text())

    return work


def test_a_run_says_what_it_is_begun_with_and_where(on: Callable[..., dict[str, str]]) -> None:
    assert on("a", CPU, resumes=False) == {**CPU, "host": "a"}
    assert on("a", CPU) == {**CPU, "host": "a"}


def test_a_run_that_is_resumed_elsewhere_says_so(on: Callable[..., dict[str, str]]) -> None:
    on("a", GPU, resumes=False)
    assert on("b", GPU) == {**GPU, "host": "a, b"}
    other = {**GPU, "gpu": "NVIDIA A100"}
    assert on("b", other) == {**GPU, "host": "a, b", "resumed on": "NVIDIA A100"}
    assert on("b", other) == {**GPU, "host": "a, b", "resumed on": "NVIDIA A100"}
    assert on("a", GPU) == {**GPU, "host": "a, b, a", "resumed on": "NVIDIA A100; NVIDIA H200"}


@pytest.mark.parametrize("name", ["torch", "timm", "numpy", "transformers", "cuda"])
def test_a_run_is_not_continued_under_another_version(
    name: str, on: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    begun = on("a", GPU, resumes=False)
    with pytest.raises(StoreError) as caught:
        on("b", {**GPU, name: "9.9"})
    error = caught.value
    assert error.problem == f"begun with {name} {GPU[name]} on a; this is {name} 9.9 on b"
    assert (error.file, error.field) == (tmp_path / "env.json", name)
    assert f"Finish it with {name} {GPU[name]}" in error.mend
    assert json.loads((tmp_path / "env.json").read_text()) == begun  # nothing is lost


def test_a_run_is_not_continued_without_the_gpu_it_was_begun_on(on: Callable[..., dict[str, str]]) -> None:
    on("a", GPU, resumes=False)
    with pytest.raises(StoreError, match=r"begun with cuda 13.0 on a; this is cuda none on b"):
        on("b", CPU)


def test_what_decides_nothing_may_differ(on: Callable[..., dict[str, str]]) -> None:
    """An optional package that is missing here is told by the network that needs it."""
    on("a", {**CPU, "transformers": "5.23.0", "pillow": "11"}, resumes=False)
    assert on("b", {**CPU, "pillow": "12"})["pillow"] == "11"


def test_a_run_without_checkpoint_is_begun_anew_under_any_version(on: Callable[..., dict[str, str]]) -> None:
    on("a", GPU, resumes=False)
    assert on("b", CPU, resumes=False) == {**CPU, "host": "b"}


def test_runs_of_before_hosts_were_written_down_resume(on: Callable[..., dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text(json.dumps(CPU))
    assert on("b", CPU)["host"] == "an unknown host, b"
    (tmp_path / "env.json").write_text("{")
    with pytest.raises(StoreError, match="not valid JSON"):
        on("b", CPU)
