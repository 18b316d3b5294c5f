"""The program digest of plugins: what they can execute of their own and of this package, and nothing else."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_files import NET, clean, install, write  # noqa: F401  (a fixture)
from suite_fakes import make_spec

from mtlrepro.errors import SpecError
from mtlrepro.plugins import use
from mtlrepro.spec import ObjectiveSpec, RunSpec
from mtlrepro.suite.program import closure, model_digest, program_digest
from mtlrepro.suite.sources import sources

pytestmark = pytest.mark.usefixtures("clean")

POINTS = "[mtlrepro.models]\nown_net = own_pkg.zoo.nets:Net\n"
PACKAGE = {
    "own_pkg/__init__.py": "",
    "own_pkg/zoo/__init__.py": "",
    "own_pkg/zoo/nets.py": "from ..layers import Net\nimport own_pkg.far\n",
    "own_pkg/layers.py": NET,
    "own_pkg/far.py": "def f():\n    from own_pkg import later\n",
    "own_pkg/later.py": "",
    "own_pkg/unused.py": "",
    "helper.py": "",
}


def spec(arch: str) -> RunSpec:
    return make_spec(arch)


def edits(specs: list[RunSpec]) -> Callable[[Path], list[bool]]:
    """Which digests a comment in a file changes."""

    def changed(file: Path) -> list[bool]:
        before = [program_digest(s) for s in specs]
        file.write_text(file.read_text() + "\n# changed\n")
        return [a != b for a, b in zip(before, [program_digest(s) for s in specs], strict=True)]

    return changed


def test_an_edited_file_makes_its_own_runs_new_and_no_other_s(tmp_path: Path) -> None:
    first = write(tmp_path / "a" / "net.py", "import beside\n" + NET + 'MODELS = {"net_a": Net}\n')
    second = write(tmp_path / "b" / "net.py", NET + 'MODELS = {"net_b": Net}\n')
    beside, other = write(tmp_path / "a" / "beside.py", ""), write(tmp_path / "a" / "other.py", "")
    use([first, second])
    changed = edits([spec("mtl"), spec("net_a"), spec("net_b"), spec(f"{first}:Net")])
    assert changed(first) == [False, True, False, True]
    assert changed(beside) == [False, True, False, True]
    assert changed(second) == [False, False, True, False]
    assert changed(other) == [False] * 4


def test_a_package_is_followed_as_far_as_its_imports_reach(tmp_path: Path) -> None:
    install(tmp_path, POINTS, PACKAGE)
    changed = edits([spec("mtl"), spec("own_net"), spec("own_pkg.layers:Net")])
    assert changed(tmp_path / "own_pkg/zoo/nets.py") == [False, True, False]
    assert changed(tmp_path / "own_pkg/layers.py") == [False, True, True]
    assert changed(tmp_path / "own_pkg/later.py") == [False, True, False]
    assert changed(tmp_path / "own_pkg/zoo/__init__.py") == [False, True, False]
    assert changed(tmp_path / "own_pkg/__init__.py") == [False, True, True]
    assert changed(tmp_path / "own_pkg/unused.py") == [False, False, False]
    assert changed(tmp_path / "helper.py") == [False, False, False]


def test_a_class_that_a_file_takes_from_a_package_is_followed_there(tmp_path: Path) -> None:
    install(tmp_path / "site-packages", "", PACKAGE)
    file = write(tmp_path / "here" / "my_method.py", 'from own_pkg.zoo.nets import Net\nMODELS = {"my_net": Net}\n')
    use([file])
    own, _ = sources(f"{file}:MODELS.my_net")
    assert {"my_method", "own_pkg.layers", "own_pkg"} == set(own)


def test_what_it_imports_of_this_package_is_part_of_the_program(tmp_path: Path) -> None:
    file = write(tmp_path / "my_method.py", NET)
    _, outside = sources(f"{file}:Net")
    assert "mtlrepro.models.baselines" in outside
    assert "mtlrepro.models.heads" in closure(frozenset({"mtlrepro.models.baselines"}))
    plain = spec(f"{file}:Net")
    file.write_text(NET + "from mtlrepro.models import mti_net\n")
    assert "mtlrepro.models.mti_net" in sources(f"{file}:Net")[1]
    assert program_digest(plain) != program_digest(spec("mtl"))


def test_digests_depend_neither_on_where_a_plugin_lies_nor_on_which_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_in = program_digest(spec("mtl"))
    file = write(tmp_path / "a" / "my_method.py", NET + 'MODELS = {"my_net": Net}\n')
    use([file])
    here = program_digest(spec("my_net")), model_digest(spec("my_net").model)
    install(tmp_path / "site-packages", POINTS, PACKAGE)
    assert program_digest(spec("mtl")) == built_in
    assert program_digest(spec("my_net")) == here[0]
    (tmp_path / "b").mkdir()
    moved = Path(shutil.move(file, tmp_path / "b" / "my_method.py"))
    monkeypatch.setenv("MTLREPRO_PLUGINS", str(moved))
    assert (program_digest(spec("my_net")), model_digest(spec("my_net").model)) == here


def test_own_objectives_and_two_files_of_one_name_count_each(tmp_path: Path) -> None:
    objective = "from mtlrepro.objectives.supervised import Supervised\n\n\nclass Own(Supervised):\n    pass\n"
    net, other = write(tmp_path / "a" / "x.py", NET), write(tmp_path / "b" / "x.py", objective)
    both = dataclasses.replace(spec(f"{net}:Net"), objective=ObjectiveSpec(f"{other}:Own"))
    changed = edits([both, spec(f"{net}:Net")])
    assert changed(net) == [True, True]
    assert changed(other) == [True, False]


def test_a_module_beside_it_that_is_not_the_one_that_is_imported_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a" / "beside.py", "HERE = 'a'\n")
    write(tmp_path / "b" / "beside.py", "HERE = 'b'\n")
    first, second = (write(tmp_path / n / "net.py", "import beside\n" + NET) for n in "ab")
    program_digest(spec(f"{first}:Net"))
    with pytest.raises(
        SpecError, match=r"b/beside\.py: a plugin beside it imports 'beside', which is .*a/beside\.py inst"
    ):
        program_digest(spec(f"{second}:Net"))


def test_a_module_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    write(tmp_path / "beside.py", "def f(:\n")
    file = write(tmp_path / "net.py", NET + "\n\ndef later():\n    import beside\n")
    with pytest.raises(SpecError, match=r"beside\.py: cannot be imported: invalid syntax"):
        program_digest(spec(f"{file}:Net"))
    with pytest.raises(SpecError, match="its source cannot be read"):
        sources("builtins:int")


def test_a_package_of_one_file_and_one_without_init_are_found(tmp_path: Path) -> None:
    write(tmp_path / "helper.py", NET)
    write(tmp_path / "own_pkg" / "nets.py", "from own_pkg.layers import Net\n")
    write(tmp_path / "own_pkg" / "layers.py", NET)
    install(tmp_path, "", {})
    importlib.invalidate_caches()
    assert set(sources("helper:Net")[0]) == {"helper"}
    assert set(sources("own_pkg.nets:Net")[0]) == {"own_pkg.nets", "own_pkg.layers"}


def test_a_built_in_class_by_its_target_is_the_built_in_program() -> None:
    assert program_digest(spec("mtlrepro.models.baselines:MultiTask")) == program_digest(spec("mtl"))
