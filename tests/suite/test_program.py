"""The program digest: it changes with every file a run can execute, and with no other."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jtr_session import open_session
from suite_fakes import SUITES

from mtlrepro.errors import SpecError
from mtlrepro.spec import DataSpec, ExtraData, ModelSpec, ObjectiveSpec, Recipe, RunSpec, options
from mtlrepro.suite import program, session
from mtlrepro.suite.program import NEUTRAL, closure, imports, model_digest, program_digest, weights_digest
from mtlrepro.suite.store import Run
from mtlrepro.suite.table import bind, load_suite_file

PADNET = RunSpec(
    DataSpec("nyuv2", (64, 96)),
    ModelSpec("padnet", "hrnet18", ("semseg", "depth"), ("semseg", "depth")),
    Recipe("adam", 1e-4, 1e-4, 6, 80),
)
MTINET = dataclasses.replace(PADNET, model=dataclasses.replace(PADNET.model, arch="mti_net"))
NORMALS = dataclasses.replace(PADNET, model=dataclasses.replace(PADNET.model, aux=("semseg", "normals", "depth")))


def forget() -> None:
    program._digest.cache_clear()
    program.imports.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that the digest is taken of."""
    copy = tmp_path / "mtlrepro"
    shutil.copytree(program.ROOT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(program, "ROOT", copy)
    forget()
    yield copy
    monkeypatch.undo()
    forget()


@pytest.fixture
def changed_by(package: Path) -> Callable[..., list[bool]]:
    """Which digests a comment in a file changes: by default PAD-Net's, MTI-Net's and PAD-Net's with normals."""

    def digests(specs: tuple[RunSpec, ...]) -> list[str]:
        forget()
        return [program_digest(s) for s in specs]

    def check(file: str, *specs: RunSpec) -> list[bool]:
        specs = specs or (PADNET, MTINET, NORMALS)
        before = digests(specs)
        path = package / file
        path.write_text(path.read_text() + "\n# changed\n")
        return [a != b for a, b in zip(before, digests(specs), strict=True)]

    return check


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("models/mti_net.py", [False, True, False]),
        ("models/padnet.py", [True, False, True]),
        ("models/hrnet.py", [True, True, True]),
        ("tasks/depth.py", [True, True, True]),
        ("tasks/normals.py", [False, False, True]),
        ("metrics/normals.py", [False, False, True]),
        ("engine/train.py", [True, True, True]),
        ("engine/evaluate.py", [True, True, True]),
        ("objectives/supervised.py", [True, True, True]),
        ("data/disk/folder.py", [True, True, True]),
        ("data/transforms/basic.py", [True, True, True]),
        ("spec.py", [True, True, True]),
        ("profiling/speed.py", [True, True, True]),  # seconds and memory are a result of a run like any other
        ("report/html.py", [False, False, False]),
        ("suite/judge.py", [False, False, False]),
        ("files.py", [False, False, False]),
        ("cli/run.py", [False, False, False]),
        ("errors.py", [False, False, False]),
    ],
)
def test_a_change_makes_again_what_it_can_affect(file: str, expected: list[bool], changed_by) -> None:
    assert changed_by(file) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("objectives/jtr.py", [False, True, False, False]),
        ("objectives/mtpsl.py", [False, False, True, False]),
        ("objectives/consistency.py", [False, False, True, False]),
        ("objectives/supervised.py", [True, True, True, True]),
        ("models/autoencoder.py", [False, True, False, False]),
        ("models/mapping.py", [False, False, True, False]),
        ("data/streams.py", [True, True, True, True]),
        ("data/scenes/streets/dataset.py", [False, False, False, True]),
    ],
)
def test_the_objective_s_networks_and_the_second_dataset_are_part_of_the_program(
    file: str, expected: list[bool], changed_by
) -> None:
    plain = dataclasses.replace(PADNET, data=DataSpec("scenes", (64, 96)))
    jtr, mtpsl = (dataclasses.replace(plain, objective=ObjectiveSpec(name)) for name in ("jtr", "mtpsl"))
    streets = dataclasses.replace(plain.data, extra=ExtraData("streets", ("depth",)))
    assert changed_by(file, plain, jtr, mtpsl, dataclasses.replace(plain, data=streets)) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("tasks/normals.py", [True, True, True, True]),
        ("tasks/depth.py", [True, False, False, True]),
        ("metrics/depth.py", [True, False, False, True]),
        ("tasks/semseg.py", [False, False, False, False]),
    ],
)
def test_tasks_that_an_objective_loads_beside_the_model_s_are_part_of_the_program(
    file: str, expected: list[bool], changed_by
) -> None:
    """Labels of normals are made of depth where the dataset says so, and an objective can make them."""
    model = ModelSpec("deeplab", "resnet_nano", ("normals",))
    made = dataclasses.replace(
        PADNET, data=DataSpec("drives", (64, 128)), model=model, objective=ObjectiveSpec("multi_scale")
    )
    supervised = dataclasses.replace(made, objective=ObjectiveSpec())
    stored = dataclasses.replace(made, data=DataSpec("scenes", (64, 96)))
    of_what_is_judged = dataclasses.replace(made, data=DataSpec("scenes", (64, 96), val_name="drives"))
    assert changed_by(file, made, supervised, stored, of_what_is_judged) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("objectives/aware3d.py", [True, True, False]),
        ("objectives/atrc.py", [False, True, False]),
        ("models/volume.py", [True, True, False]),
    ],
)
def test_the_objective_that_another_one_adds_to_is_part_of_the_program(
    file: str, expected: list[bool], changed_by
) -> None:
    alone, with_base = ObjectiveSpec("aware3d"), ObjectiveSpec("aware3d", options=options(base="atrc"))
    objectives = (alone, with_base, ObjectiveSpec("multi_scale"))
    specs = [dataclasses.replace(PADNET, data=DataSpec("scenes", (64, 96)), objective=one) for one in objectives]
    assert changed_by(file, *specs) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("data/disk/readers/synthia.py", [True, True, False]),
        ("data/disk/readers/cityscapes.py", [False, True, True]),
        ("data/scenes/drives/dataset.py", [False, False, True]),
    ],
)
def test_the_dataset_that_is_judged_on_is_part_of_the_program(file: str, expected: list[bool], changed_by) -> None:
    games = dataclasses.replace(PADNET, data=DataSpec("synthia", (512, 1024)))
    judged = dataclasses.replace(games, data=dataclasses.replace(games.data, val_name="cityscapes"))
    other = dataclasses.replace(judged, data=DataSpec("drives", (512, 1024), val_name="cityscapes"))
    assert changed_by(file, games, judged, other) == expected


def test_a_task_without_labels_is_told() -> None:
    with pytest.raises(SpecError, match="dataset 'streets' has no labels for task 'normals'"):
        program_digest(dataclasses.replace(NORMALS, data=DataSpec("streets", (64, 96))))


def test_a_second_stream_of_the_same_dataset_adds_nothing() -> None:
    beside = dataclasses.replace(PADNET.data, extra=ExtraData("unlabelled"))
    assert program_digest(dataclasses.replace(PADNET, data=beside)) == program_digest(PADNET)


def test_costs_depend_on_the_model_alone(package: Path) -> None:
    def both() -> tuple[str, str]:
        forget()
        return model_digest(PADNET.model), model_digest(MTINET.model)

    before = both()
    for file in ("engine/train.py", "tasks/depth.py"):
        (package / file).write_text((package / file).read_text() + "\n# changed\n")
    assert both() == before
    (package / "models" / "padnet.py").write_text((package / "models" / "padnet.py").read_text() + "\n# changed\n")
    assert [a == b for a, b in zip(both(), before, strict=True)] == [False, True]


def test_relative_and_nested_imports_are_followed(package: Path) -> None:
    folder = package / "zoo"
    (folder / "cats").mkdir(parents=True)
    (folder / "__init__.py").write_text("from .dog import bark\n")
    (folder / "dog.py").write_text("def bark():\n    from ..registry import Registry\n    return Registry\n")
    (folder / "cats" / "__init__.py").write_text("")
    (folder / "cats" / "tom.py").write_text("from . import jerry\nfrom .. import dog\nimport mtlrepro.metrics.delta\n")
    (folder / "cats" / "jerry.py").write_text("import json\nfrom mtlrepro import errors\n")
    forget()
    assert imports("mtlrepro.zoo") == ("mtlrepro.zoo.dog",)
    assert imports("mtlrepro.zoo.dog") == ("mtlrepro.registry", "mtlrepro.zoo")
    assert set(imports("mtlrepro.zoo.cats.tom")) == {
        "mtlrepro.zoo",
        "mtlrepro.zoo.cats",
        "mtlrepro.zoo.cats.jerry",
        "mtlrepro.zoo.dog",
        "mtlrepro.metrics.delta",
    }
    reached = closure(frozenset({"mtlrepro.zoo.cats.tom"}))
    assert {"mtlrepro.zoo.dog", "mtlrepro.registry", "mtlrepro.metrics.delta", "mtlrepro.metrics"} <= reached
    assert not reached & NEUTRAL


PRETRAINED = dataclasses.replace(
    PADNET,
    model=dataclasses.replace(PADNET.model, weights="resnet101.tv_in1k"),
    objective=ObjectiveSpec("self_supervised", options=options(pose="resnet18", pose_weights="resnet18.tv_in1k")),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pinned weights are looked for."""
    monkeypatch.setenv("MTLREPRO_WEIGHTS", str(tmp_path))
    return tmp_path


def test_weights_of_the_hub_and_random_ones_add_nothing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    assert weights_digest(PRETRAINED) == weights_digest(PADNET) == ""  # nothing there
    (folder / "resnet101.tv_in1k.pth").write_bytes(b"backbone")
    assert weights_digest(PADNET) == ""
    monkeypatch.delenv("MTLREPRO_WEIGHTS")
    assert weights_digest(PRETRAINED) == ""


def test_a_run_s_key_knows_every_file_of_pinned_weights(folder: Path) -> None:
    found = [weights_digest(PRETRAINED)]
    for name in ("resnet101.tv_in1k.pth", "resnet18.tv_in1k.pth", "resnet18.tv_in1k.safetensors"):
        (folder / name).write_bytes(name.encode())
        found.append(weights_digest(PRETRAINED))
    (folder / "resnet18.tv_in1k.safetensors").write_bytes(b"another training")
    found.append(weights_digest(PRETRAINED))
    (folder / "resnet101.tv_in1k.pth").unlink()
    found.append(weights_digest(PRETRAINED))
    assert len(set(found)) == len(found) == 6


def test_the_backbone_s_weights_alone_are_named_as_before_objectives_had_some(folder: Path) -> None:
    """Sessions look recorded runs up by a key that holds this."""
    (folder / "resnet101.tv_in1k.pth").write_bytes(b"backbone")
    plain = dataclasses.replace(PRETRAINED, objective=ObjectiveSpec())
    assert weights_digest(plain) == hashlib.sha256(b"backbone").hexdigest()[:16]
    assert weights_digest(PRETRAINED) == weights_digest(plain)  # the pose network's come from the hub
    random = options(pose="resnet18", pose_weights=None)
    assert weights_digest(dataclasses.replace(PRETRAINED, objective=ObjectiveSpec(options=random))) == (
        weights_digest(plain)
    )


@pytest.mark.parametrize(("tier", "changes"), [("full", True), ("smoke", False)])
def test_a_session_s_runs_know_the_weights_of_an_objective_s_network(
    tier: str, changes: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of runs that other runs need, too; twins start from random weights."""
    file = SUITES / "dense_mtl" / "test_cityscapes_sde_table_5.py"
    (bound,) = bind(load_suite_file(file), file)

    def planned() -> Run:
        one, launcher = open_session(monkeypatch, folder / "runs", lambda spec: {}, tier=tier)
        monkeypatch.setattr(session, "weights_digest", weights_digest)
        one.plan([(bound, bound.row("3-ways mTEB ours"))])
        (run,) = [run for run in launcher.runs if "semseg" in run.spec.model.main]
        return run

    before = planned()
    (folder / "resnet18.tv_in1k.safetensors").write_bytes(b"pose")
    after = planned()
    assert (before.weights != after.weights) == (before.needs != after.needs) == (before.key != after.key) == changes


def test_an_option_that_only_looks_like_a_tag_is_none(folder: Path) -> None:
    (folder / "x.pth").write_bytes(b"x")
    other = options(weights=(1.0, 2.0), loss_weights=3.0, encoder="x")
    assert weights_digest(dataclasses.replace(PADNET, objective=ObjectiveSpec(options=other))) == ""


RUN = """
import json, sys
from pathlib import Path
import torch
from mtlrepro.engine.run import Machine, execute
from mtlrepro.spec import RunSpec
torch.set_num_threads(1)
execute(RunSpec.from_json(json.loads(sys.argv[1])), 0, Path(sys.argv[2]), Machine())
print(json.dumps(sorted(name for name in sys.modules if name.startswith("mtlrepro."))))
"""


def test_everything_a_run_really_loads_is_in_its_digest(tiny_spec: RunSpec, tmp_path: Path) -> None:
    spec = dataclasses.replace(tiny_spec, recipe=dataclasses.replace(tiny_spec.recipe, epochs=1))
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(spec.to_json()), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=program.ROOT.parent,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    entries = {program.ENGINE, "mtlrepro.models.baselines", "mtlrepro.models.hrnet", "mtlrepro.objectives.supervised"}
    entries |= {"mtlrepro.tasks.semseg", "mtlrepro.tasks.depth", "mtlrepro.data.disk.folder"}
    reached = closure(frozenset(entries))
    assert entries <= loaded
    assert loaded - reached <= NEUTRAL | {name.rpartition(".")[0] for name in NEUTRAL}
