"""Reads what a report shows of a run directory. A missing or damaged file becomes a sentence, not a failure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtlrepro.spec import WeightingSpec

_FIXED = WeightingSpec().name


@dataclass
class RunFiles:
    """The readable part of one run directory.

    Attributes:
        directory: where it is.
        steps: steps of the training lines.
        losses: total loss at `steps`.
        evaluations: (step, metric id with view -> figure), in order.
        weighting: name of the loss weighting; empty where the weights of the tasks are fixed.
        weightings: (finished epochs, series -> task -> value) of a loss weighting that changes, in order.
        result: `result.json`, empty if it cannot be read.
        spec: what was trained, as `spec.json` has it; empty if it cannot be read.
        needs: keys of the runs that it started from.
        environment: `env.json`: machine and versions; empty if it cannot be read.
        checkpoint: bytes of its checkpoint, 0 without one.
        pictures: file name -> path of its PNG pictures.
        problems: what is missing or damaged, as sentences.
    """

    directory: Path
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    weighting: str = ""
    weightings: list[tuple[int, dict[str, dict[str, float]]]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    checkpoint: int = 0
    pictures: dict[str, Path] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def weighed(self) -> bool:
        """True if `losses` are what a weighting made of the losses of the tasks, which may change as they do."""
        return bool(self.weighting or self.weightings)


def locate(runs_root: Path, key: str, directory: str) -> Path:
    """Where a run lies: `<runs_root>/<key>` if that exists (a moved store), else as the session recorded it."""
    moved = runs_root / key
    return (
        moved if moved.is_dir() or not directory else runs_root / directory
    )  # an absolute directory wins over the root


def read_run(directory: Path) -> RunFiles:
    """Everything the report uses of one run directory."""
    run = RunFiles(directory)
    if not directory.is_dir():
        run.problems.append("the run directory is missing")
        return run
    _read_lines(run)
    run.result = _read_object(run, "result.json")
    declared = _read_object(run, "spec.json")
    run.spec = _object(declared, "spec")
    needs = declared.get("needs")
    run.needs = [str(key) for key in needs] if isinstance(needs, list) else []
    name = str(_object(_object(run.spec, "objective"), "weighting").get("name", _FIXED))
    run.weighting = "" if name == _FIXED else name
    run.environment = {str(k): str(v) for k, v in _read_object(run, "env.json").items()}
    run.checkpoint = _size(directory / "checkpoint.safetensors")
    run.pictures = {p.name: p for p in sorted((directory / "pictures").glob("*.png"))}
    if not run.pictures:
        run.problems.append("there are no pictures")
    return run


def _read_object(run: RunFiles, name: str) -> dict[str, Any]:
    try:
        value = json.loads((run.directory / name).read_text(encoding="utf-8"))
        return value if isinstance(value, dict) else {}
    except FileNotFoundError:
        run.problems.append(f"{name} is missing")
    except (OSError, ValueError):
        run.problems.append(f"{name} cannot be read")
    return {}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _read_lines(run: RunFiles) -> None:
    try:
        lines = (run.directory / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        run.problems.append("metrics.jsonl is missing")
        return
    except (OSError, UnicodeDecodeError):
        run.problems.append("metrics.jsonl cannot be read")
        return
    damaged = 0
    for line in lines:
        try:
            entry = json.loads(line)
            step = int(entry["step"])
            if "eval" in entry:
                run.evaluations.append((step, {str(k): float(v) for k, v in entry["eval"].items() if v is not None}))
            elif "weighting" in entry:
                series = {str(s): {str(t): float(v) for t, v in of.items()} for s, of in entry["weighting"].items()}
                run.weightings.append((int(entry["epoch"]), series))
            elif "loss" in entry:
                loss = float(entry["loss"])
                run.steps.append(step)
                run.losses.append(loss)
        except (ValueError, TypeError, KeyError, AttributeError):
            damaged += 1
    if damaged:
        run.problems.append(f"metrics.jsonl has {damaged} unreadable line{'s' if damaged > 1 else ''}")
