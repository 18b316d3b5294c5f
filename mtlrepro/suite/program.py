"""Digest of the program files that can affect a run: the import closure of what its spec names.

Changing MTI-Net re-runs MTI-Net's runs, changing the training loop re-runs everything, changing the report
re-runs nothing. Changing a plugin re-runs what it has part in; which plugins are installed changes nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from mtlrepro import data
from mtlrepro.data.streams import UNLABELLED, val_source
from mtlrepro.models import BACKBONES, MODELS
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.objectives.weighting import WEIGHTINGS
from mtlrepro.spec import ModelSpec, RunSpec, digest
from mtlrepro.suite.sources import PACKAGE, imported, sources
from mtlrepro.tasks import TASKS, make_tasks

ROOT = Path(__file__).resolve().parents[1]
ENGINE = "mtlrepro.engine.run"
NEUTRAL = frozenset({"mtlrepro.errors", "mtlrepro.engine.environment", "mtlrepro.files", "mtlrepro.plugins"})
"""Modules a run imports that cannot change its numbers: messages, provenance, bookkeeping."""


def program_digest(spec: RunSpec) -> str:
    """Hex digest of every source file a run of this spec can execute.

    Raises:
        SpecError: an unknown name, or a task that the dataset has no labels for.
        DataError: a user's description of a dataset is missing or wrong.
    """
    objectives = [spec.objective.name, str(dict(spec.objective.options).get("base", spec.objective.name))]
    named = [*_model_targets(spec.model), *map(OBJECTIVES.target, objectives)]
    named.append(WEIGHTINGS.target(spec.objective.weighting.name))
    datasets = (spec.data.name, spec.data.extra.name, spec.data.val_name)
    named += [TASKS.target(t) for t in (*spec.tasks, *_beside(spec))]
    named += [data.target(name) for name in datasets if name not in ("", UNLABELLED)]
    return _of_targets([f"{ENGINE}:execute", *named])


def model_digest(spec: ModelSpec) -> str:
    """Hex digest of the source files behind an architecture and its cost."""
    return _of_targets(["mtlrepro.profiling.cost:model_cost", *_model_targets(spec)])


def _beside(spec: RunSpec) -> tuple[str, ...]:
    """Tasks whose labels are loaded because the objective wants them, and not the model."""
    judged = val_source(spec.data)
    info = data.dataset_info(judged.name, judged.options)
    return OBJECTIVES[spec.objective.name].beside(make_tasks(spec.tasks, info, spec.objective.losses))


def _model_targets(spec: ModelSpec) -> list[str]:
    return [MODELS.target(spec.arch), BACKBONES.target(spec.backbone)]


def weights_digest(spec: RunSpec) -> str:
    """Hex digest of the local files behind a spec's pinned weights; "" for random weights, and for the hub's own files.

    Pinned weights are the backbone's and those of an objective's networks, which its options ending in "weights" name.
    """
    named = (value for name, value in spec.objective.options if name.endswith("weights"))
    backbone, *others = (_tag_digest(tag) for tag in (spec.model.weights, *named))
    # The backbone's alone, as it is: runs from before objectives had weights keep their key.
    return digest([backbone, *others]) if any(others) else backbone


def _tag_digest(tag: object) -> str:
    folder = os.environ.get("MTLREPRO_WEIGHTS")
    if not isinstance(tag, str) or not folder:
        return ""
    found = next((f for suffix in (".safetensors", ".pth") if (f := Path(folder) / f"{tag}{suffix}").exists()), None)
    return _file_digest(found, found.stat().st_mtime_ns) if found else ""


@cache
def _file_digest(file: Path, mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _of_targets(targets: Iterable[str]) -> str:
    """Digest of the modules behind `"module:attribute"` targets, those of plugins included."""
    modules = dict.fromkeys(t.rpartition(":")[0] for t in targets if t.startswith(f"{PACKAGE}."))
    own: set[tuple[str, str]] = set()  # pairs: files in two folders may have one name
    for target in (t for t in targets if not t.startswith(f"{PACKAGE}.")):
        files, names = sources(target)
        own |= {(name, hashlib.sha256(content).hexdigest()) for name, content in files.items()}
        modules |= dict.fromkeys(name for name in names if name.startswith(f"{PACKAGE}.") and _exists(name))
    built_in = _digest(frozenset(modules))
    if not own:
        return built_in
    return digest([built_in, sorted(own)])


@cache
def _digest(entries: frozenset[str]) -> str:
    sha = hashlib.sha256()
    for name in sorted(closure(entries)):
        sha.update(name.encode())
        sha.update(_source(name).read_bytes())
    return sha.hexdigest()[:16]


def closure(entries: frozenset[str]) -> set[str]:
    """All modules of the package reachable by imports from `entries`, `NEUTRAL` ones left out."""
    seen: set[str] = set()
    todo = list(entries)
    while todo:
        name = todo.pop()
        if name in seen or name in NEUTRAL:
            continue
        seen.add(name)
        todo += imports(name)
    return seen


@cache
def imports(name: str) -> tuple[str, ...]:
    """Modules of the package that a module imports, wherever in its file the import stands, and its packages."""
    found = {".".join(name.split(".")[:i]) for i in range(2, name.count(".") + 1)}
    source = _source(name)
    package = name if source.name == "__init__.py" else name.rpartition(".")[0]
    found |= set(imported(source.read_text(), package))
    return tuple(sorted(f for f in found if f.startswith(f"{PACKAGE}.") and _exists(f)))


def _exists(name: str) -> bool:
    return _source(name).exists()


def _source(name: str) -> Path:
    base = ROOT.joinpath(*name.split(".")[1:])
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
