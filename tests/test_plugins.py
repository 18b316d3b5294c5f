"""What files and packages from outside bring: found, loaded lazily, and told in one sentence where it is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_files import NET, clean, install, write  # noqa: F401  (a fixture)

from mtlrepro import plugins
from mtlrepro.errors import SpecError
from mtlrepro.models import MODELS
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.plugins import PLUGINS_ENV, absolute, load, use
from mtlrepro.suite.plugged import use_plugins

pytestmark = pytest.mark.usefixtures("clean")

POINTS = "[mtlrepro.models]\nown_net = own_pkg.nets:Net\n"


def test_a_file_s_names_can_be_asked_for_like_built_in_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "my_method.py", NET + 'MODELS = {"my_net": Net, "my-single": Single}\n')
    monkeypatch.chdir(tmp_path)
    use_plugins(["my_method.py"])
    assert MODELS["my_net"].__name__ == "Net"
    assert MODELS["my-single"].single_task
    assert MODELS.target("my_net") == f"{file}:MODELS.my_net"
    assert os.environ[PLUGINS_ENV] == str(file)
    assert "my_net" not in MODELS  # the mapping holds what is built in, whatever is installed
    assert "my_net" not in list(MODELS)


def test_files_add_up_and_each_is_imported_once(tmp_path: Path) -> None:
    count = "import os\nos.environ['COUNT'] = os.environ.get('COUNT', '') + 'x'\n"
    first = write(tmp_path / "a.py", count + NET + 'MODELS = {"net_a": Net}\n')
    second = write(tmp_path / "b.py", NET + 'MODELS = {"net_b": Net}\n')
    os.environ.pop("COUNT", None)
    use_plugins([first])
    use_plugins([second, first])
    assert os.environ[PLUGINS_ENV].split(os.pathsep) == [str(first), str(second)]
    assert set(MODELS.plugged()) == {"net_a", "net_b"}
    assert MODELS["net_a"] is MODELS["net_a"] is load(f"{first}:Net")
    assert os.environ.pop("COUNT") == "x"


def test_a_name_can_be_its_own_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "my_method.py", NET)
    monkeypatch.chdir(tmp_path)
    assert MODELS["my_method.py:Net"] is MODELS[f"{file}:Net"]
    assert MODELS.target("./my_method.py:Net") == absolute("my_method.py:Net") == f"{file}:Net"
    assert MODELS["mtlrepro.models.baselines:MultiTask"] is MODELS["mtl"]
    assert absolute("mtl") == "mtl"
    assert absolute("a.b:C") == "a.b:C"


def test_modules_beside_a_file_can_be_imported_from_it(tmp_path: Path) -> None:
    write(tmp_path / "beside.py", NET)
    file = write(tmp_path / "my_method.py", "from beside import Net\n")
    assert MODELS[f"{file}:Net"].__module__ == "beside"
    assert sys.path[-1] == str(tmp_path)  # last: what is installed is not hidden


def test_a_package_is_listed_without_being_imported(tmp_path: Path) -> None:
    install(tmp_path, POINTS, {"own_pkg/__init__.py": "raise ValueError('imported')", "own_pkg/nets.py": NET})
    (entry,) = (MODELS.plugged()[name] for name in ["own_net"])
    assert (entry.target, entry.file) == ("own_pkg.nets:Net", "own-pkg 1.2")
    use_plugins([])
    with pytest.raises(SpecError, match=r"^own_pkg.nets: cannot be imported: ValueError: imported\. Correct it$"):
        MODELS["own_net"]
    write(tmp_path / "own_pkg/__init__.py", "")
    assert MODELS["own_net"].__name__ == "Net"


def test_built_in_names_ask_no_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(group: str) -> None:
        raise AssertionError("looked")

    monkeypatch.setattr(plugins, "offered", refuse)
    assert MODELS["mtl"].__name__ == "MultiTask"
    assert MODELS.target("mtl") == "mtlrepro.models.baselines:MultiTask"
    assert "mtl" in MODELS
    with pytest.raises(AssertionError, match="looked"):
        MODELS["mtll"]


def test_an_unknown_name_is_told_with_those_of_plugins(tmp_path: Path) -> None:
    use([write(tmp_path / "my_method.py", NET + 'MODELS = {"my_net": Net}\n')])
    with pytest.raises(SpecError, match=r"unknown architecture 'my_nett'\. Did you mean 'my_net'"):
        MODELS["my_nett"]
    with pytest.raises(SpecError, match="unknown objective 'my_net'"):
        OBJECTIVES["my_net"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "",
            r"my_method\.py: defines none of MODELS, OBJECTIVES, WEIGHTINGS, DATASETS\. Define .* my_method\.py:MyNet",
        ),
        ("MODELS = {}", "defines none of MODELS"),
        ("MODELS = [1]", r"my_method\.py: MODELS: is a list, not a dictionary\. Write MODELS = "),
        ("MODELS = {'a b': int}", r"my_method\.py: MODELS: 'a b' cannot be a name\. Name it with letters"),
        ("MODELS = {'a/b': int}", "'a/b' cannot be a name"),
        ("MODELS = {'a:b': int}", "'a:b' cannot be a name"),
        ("MODELS = {3: int}", "3 cannot be a name"),
        (NET + "MODELS = {'my_net': Net}\nOBJECTIVES = 3", "OBJECTIVES: is a int, not a dictionary"),
        (NET + "MODELS = {'mtl': Net}", r"MODELS\['mtl'\]: hides the built-in architecture 'mtl'\. Give it a name of"),
        ("MODELS = {'my_net': int}", r"MODELS\.my_net: 'my_net' is int, not a class derived from torch\.nn\.Module"),
        ("MODELS = {'my_net': lambda x: x}", "'my_net' is a function, not a class derived from torch.nn.Module"),
        (
            NET + "OBJECTIVES = {'my_net': Net}",
            r"is Net, not a class derived from mtlrepro\.objectives\.base\.Objective",
        ),
        ("DATASETS = {'mine': 'a.toml'}", "'mine' is a str, not a class"),
        (
            "\n\nx = 1 / 0",
            r"my_method\.py:3: cannot be imported: ZeroDivisionError: division by zero\. Correct the file",
        ),
        ("def f(:", r"my_method\.py:1: cannot be imported: SyntaxError"),
        ("import sys\nsys.exit(3)", r"my_method\.py:2: cannot be imported: SystemExit: 3"),
        (
            "import no_such_package",
            r"my_method\.py:1: cannot be imported: ModuleNotFoundError: No module named 'no_such",
        ),
    ],
)
def test_a_file_that_is_wrong_is_told_at_once(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=says):
        use_plugins([write(tmp_path / "my_method.py", text)])


@pytest.mark.parametrize("name", ["gone.py", "folder", "my_method.txt"])
def test_a_file_that_is_none_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write(tmp_path / "my_method.txt", "MODELS = {}")
    with pytest.raises(SpecError, match=rf"{name}: no such Python file\. Name a plugin by the path of its \.py file"):
        use_plugins([tmp_path / name])


def test_a_path_that_the_environment_cannot_hold_is_told(tmp_path: Path) -> None:
    file = write(tmp_path / f"a{os.pathsep}b" / "my_method.py", NET + 'MODELS = {"my_net": Net}\n')
    with pytest.raises(SpecError, match="in the path of a plugin"):
        use_plugins([file])


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("{file}:Nett", r"my_method\.py: unknown name 'Nett'\. Did you mean 'Net'"),
        ("{file}:", "names no class. Give MODULE:NAME or FILE.py:NAME"),
        (":Net", "names no class"),
        ("{file}:Net()", "names no class"),
        ("a/b.py:Net", "a/b.py: no such Python file"),
        ("a/b:Net", "'a/b' is neither a module nor a .py file. Give MODULE:NAME"),
        (
            "no_such_pkg.nets:Net",
            "no_such_pkg.nets: cannot be imported: ModuleNotFoundError.*Install it, set PYTHONPATH",
        ),
        ("json:dumps", "json: dumps: 'json:dumps' is a function, not a class derived from torch.nn.Module"),
    ],
)
def test_a_target_that_is_none_is_told(target: str, says: str, tmp_path: Path) -> None:
    file = write(tmp_path / "my_method.py", NET)
    with pytest.raises(SpecError, match=says):
        MODELS[target.format(file=file)]


def test_a_name_that_two_plugins_bring_is_told(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.py", NET + 'MODELS = {"my_net": Net}\n') for name in "ab"]
    with pytest.raises(SpecError, match=r"b\.py: MODELS\['my_net'\]: is brought by .*a\.py, too\. Rename it in one"):
        use_plugins(files)


def test_a_package_that_is_wrong_is_told(tmp_path: Path) -> None:
    points = "[mtlrepro.models]\nnothing = own_pkg.nets\n[mtlrepro.objectives]\njtr = own_pkg.nets:Net\n"
    install(tmp_path, points, {"own_pkg/__init__.py": "", "own_pkg/nets.py": NET})
    with pytest.raises(SpecError, match="names no class"):
        MODELS["nothing"]
    says = r"^own-pkg 1\.2: entry point 'jtr' of mtlrepro\.objectives: hides the built-in objective 'jtr'"
    with pytest.raises(SpecError, match=says):
        OBJECTIVES.plugged()
    assert OBJECTIVES["jtr"].__name__ == "JTR"


def test_processes_that_are_started_see_the_same(tmp_path: Path) -> None:
    use([write(tmp_path / "my_method.py", NET + 'MODELS = {"my_net": Net}\n')])
    code = "from mtlrepro.models import MODELS; print(MODELS['my_net'].__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "Net\n"


def test_built_in_names_import_nothing_of_plugins(tmp_path: Path) -> None:
    os.environ[PLUGINS_ENV] = str(write(tmp_path / "my_method.py", "raise ValueError"))
    assert MODELS["mtl"]
    with pytest.raises(SpecError, match="cannot be imported: ValueError"):
        MODELS["my_net"]


def test_a_file_without_a_class_is_no_name() -> None:
    with pytest.raises(SpecError, match=r"my_method\.py: names a file, but no architecture in it\. Give .*:CLASS"):
        MODELS.target("my_method.py")
