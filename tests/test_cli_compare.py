"""`mtlrepro compare` by the real command line, with the worked example of the documentation."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plugin_files import NET, clean, install, write  # noqa: F401  (a fixture)

from mtlrepro.cli import main
from mtlrepro.plugins import PLUGINS_ENV
from mtlrepro.suite import session, shrink
from mtlrepro.suite.launch import Inline, RunJob
from mtlrepro.suite.shrink import ROOMS_13, SmokeTwin

pytestmark = pytest.mark.usefixtures("clean")

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "own-method.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    return [shlex.split(line)[1:] for block in blocks("console") for line in block.splitlines() if "mtlrepro" in line]


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without GPU, a folder of one's own, and small twins that make a few steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MTLREPRO_DATA", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(session, "_gpus", lambda: 0)
    monkeypatch.setitem(shrink.SMOKE_DATA, "nyuv2", SmokeTwin(ROOMS_13, (32, 64), train=4, batch=2, epochs=1))
    monkeypatch.setattr(shrink, "SMOKE_VAL", 2)


class Stopped(Exception):
    """Nothing is trained."""


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be trained; the launcher stops there."""
    runs: list[Any] = []

    class Planner(Inline):
        def submit(self, jobs: Any) -> None:
            runs.extend(job.run.spec for job in jobs if isinstance(job, RunJob))
            raise Stopped

    monkeypatch.setattr(session, "Pool", lambda devices, report: Planner())
    return runs


def compare(*arguments: str) -> int:
    folders = ["--runs", "runs", "--report", "report", "--suites", str(ROOT / "suites")]
    return main(["compare", *arguments, *folders])


def report() -> dict[str, Any]:
    (table,) = json.loads(Path("report/report.json").read_text())["tables"]
    return {row["name"]: row for row in table["rows"]}


def test_the_example_is_about_sixty_lines() -> None:
    (code,) = blocks("python")
    assert 45 <= len(code.splitlines()) <= 65


@pytest.mark.slow
def test_the_example_runs_as_the_guide_says(capsys: pytest.CaptureFixture[str]) -> None:
    """In worker processes, which import the plugin by themselves."""
    Path("my_method.py").write_text(blocks("python")[0])
    first = commands()[0]
    assert first[0] == "compare"
    compare(*first[1:])
    out = capsys.readouterr()
    assert "mti_net table 2a, measured (smoke, synthetic scenes):" in out.out
    assert re.search(r"^gated_heads \(own method, like MTL, not printed\) +\d", out.out, re.MULTILINE)
    assert "Counted of the networks at the paper's size" in out.out
    assert "Besides, 1 row of the user's own, which no paper prints" in out.out
    assert "'gated_heads' is a user's own row: architecture gated_heads in place of what 'MTL' has" in out.out
    assert not [line for line in out.err.splitlines() if "gated_heads" in line and "recorded" in line]
    rows = report()
    assert list(rows) == ["Single task", "MTL", "gated_heads"]
    mine, mtl = rows["gated_heads"], rows["MTL"]
    assert (mine["origin"], mine["source"], mine["tier"], mine["printed"]) == ("own", "MTL", "smoke", {})
    assert mine["delta"].keys() == {"own"}
    assert mtl["resources"]["params"] < mine["resources"]["params"] < 1.05 * mtl["resources"]["params"]
    for name in ("report.md", "report.html"):
        text = (Path("report") / name).read_text()
        assert "own method, like MTL, not printed" in text
        assert "is a user" in text
    specs = [json.loads(f.read_text())["spec"]["model"] for f in Path("runs").glob("*/spec.json")]
    (spec,) = [model for model in specs if model["arch"] == "gated_heads"]
    assert spec["options"] == [["reduction", 8]]


def test_the_example_as_a_package_is_listed_and_found(
    planned: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pyproject,) = blocks("toml")
    name, version = (re.search(rf'^{key} = "(.*)"', pyproject, re.MULTILINE)[1] for key in ("name", "version"))
    group = re.search(r'entry-points\."(.*)"', pyproject)[1]
    point = pyproject.splitlines()[-1].replace('"', "")
    install(tmp_path / "site", f"[{group}]\n{point}\n", {"my_method.py": blocks("python")[0]}, name)
    assert version == "0.1"
    assert main(["list", "--suites", str(ROOT / "suites")]) == 0
    assert "architecture of a plugin: gated_heads (gated-heads 1.2, entry point" in capsys.readouterr().out
    assert "my_method" not in sys.modules  # listed, not imported
    with pytest.raises(Stopped):
        compare(*commands()[-1][1:])
    assert {spec.model.arch for spec in planned} == {"stl", "mtl", "gated_heads"}
    del sys.modules["my_method"]


def test_every_option_reaches_the_plan(planned: list[Any], tmp_path: Path) -> None:
    write(tmp_path / "my_method.py", NET)
    arguments = ["--table", "mti_net/2a", "--tier", "smoke", "--model", "my_method.py:Net", "--name", "Mine"]
    more = [
        "--option",
        "width=8",
        "--like",
        "PAD-Net",
        "--rows",
        "MTL",
        "--precision",
        "tf32",
        "--objective",
        "partial",
    ]
    with pytest.raises(Stopped):
        compare(*arguments, *more)
    found = {spec.model.arch: spec for spec in planned}
    mine = f"{tmp_path / 'my_method.py'}:Net"
    assert set(found) == {"stl", "mtl", "padnet", mine}
    assert found[mine].model.options == (("width", 8),)
    assert {spec.recipe.precision for spec in planned} == {"tf32"}
    assert (found[mine].objective.name, found["padnet"].objective.name) == ("partial", "supervised")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--table", "mti_net", "--model", "mtl"], " tables. Name one of mti_net/nyuv2/2a, "),
        (["--table", "mti_net/2c", "--model", "mtl"], "unknown table 'mti_net/2c'"),
        (["--table", "mti_net/2a"], "nothing to compare. Give --model, such as my_method.py:MyNet, or --objective"),
        (["--table", "mti_net/2a", "--model", "mine"], "unknown architecture 'mine'"),
        (["--table", "mti_net/2a", "--model", "gone.py:Net"], "gone.py: no such Python file"),
        (["--table", "mti_net/2a", "--plugin", "gone.py"], "gone.py: no such Python file"),
        (["--table", "mti_net/2a", "--model", "mtl", "--seeds", "0"], "--seeds: 0 seeds. Give at least 1"),
        (["--table", "mti_net/2a", "--model", "mtl", "--tier", "smok"], "unknown tier 'smok'. Did you mean 'smoke'"),
        (["--table", "mti_net/2a", "--model", "mtl", "--option", "width"], "--option: 'width' is not NAME=VALUE"),
        (["--table", "mti_net/2a", "--model", "mtl", "--rows", "MLT"], "unknown row 'MLT'"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mtlrepro: error: ")
    assert says in line


def test_pytest_and_run_take_plugins_too(planned: list[Any], tmp_path: Path, tiny_dataset: Path) -> None:
    file = write(tmp_path / "my_method.py", NET + 'MODELS = {"my_net": Net}\n')
    with pytest.raises(Stopped):
        main(["run", "--dataset", str(tiny_dataset), "--methods", "my_net", "mtl", "--plugin", str(file)])
    assert [spec.model.arch for spec in planned] == ["my_net", "mtl"]
    assert os.environ[PLUGINS_ENV] == str(file)
    os.environ[PLUGINS_ENV] = ""
    write(tmp_path / "test_it.py", "from mtlrepro.models import MODELS\ndef test_it():\n    assert MODELS['my_net']\n")
    for plugin, code, says in ((file.name, 0, "1 passed"), ("gone.py", 4, "gone.py: no such Python file")):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--plugin", plugin, "test_it.py"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout
        assert says in done.stdout + done.stderr
