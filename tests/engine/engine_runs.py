"""Helpers of the tests that execute whole runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtlrepro.engine import checkpoint
from mtlrepro.engine.run import Machine, execute
from mtlrepro.spec import DataSpec, ModelSpec, Recipe, RunSpec

EVERY_STEP = Machine(checkpoint_seconds=0.0)


def spec_over(description: Path, *, epochs: int = 4, evaluate_every: int = 0, arch: str = "mtl") -> RunSpec:
    """Two steps an epoch on the tiny dataset."""
    tasks = ("semseg", "depth")
    return RunSpec(
        DataSpec(str(description), (32, 32), "flip_zoom"),
        ModelSpec(arch, "hrnet_nano", tasks, tasks if arch == "mti_net" else ()),
        Recipe("adam", 1e-3, 1e-4, batch=4, epochs=epochs, evaluate_every=evaluate_every),
    )


class Outcome:
    """What a finished run left, timing aside."""

    def __init__(self, record: dict[str, Any], folder: Path):
        self.record, self.folder = record, folder
        self.metrics: dict[str, float] = record["metrics"]
        self.lines = (folder / "metrics.jsonl").read_text()
        self.tensors: dict[str, Tensor]
        self.tensors, self.meta = checkpoint.read(folder / "checkpoint.safetensors")
        self.pictures = {p.name: p.read_bytes() for p in (folder / "pictures").iterdir()}

    def differences(self, other: Outcome) -> list[str]:
        """Names of what is not the same, bit for bit."""
        found = [k for k in ("lines", "pictures") if getattr(self, k) != getattr(other, k)]
        kept = [k for k in self.record if k not in ("seconds", "speed")]
        # As text: what is undefined is NaN, which is not equal to itself.
        found += [k for k in kept if json.dumps(self.record[k]) != json.dumps(other.record[k])]
        found += sorted(self.tensors.keys() ^ other.tensors.keys())
        return found + [k for k in self.tensors if not torch.equal(self.tensors[k], other.tensors.get(k, Tensor()))]


def complete(
    spec: RunSpec,
    folder: Path,
    seed: int = 0,
    machine: Machine = Machine(),  # noqa: B008
    needs: Sequence[Path] = (),
) -> Outcome:
    """Execute a run in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    return Outcome(execute(spec, seed, folder, machine, needs=needs), folder)


class Interrupted(BaseException):
    """Stands for a kill: nothing may catch it."""


def killed_after_every_step(
    spec: RunSpec, folder: Path, monkeypatch: pytest.MonkeyPatch, needs: Sequence[Path] = ()
) -> tuple[Outcome, list[checkpoint.Position]]:
    """The run, killed whenever it has stored a step, and started again until it ends; what was stored."""
    seen: list[checkpoint.Position] = []
    real = checkpoint.save

    def save(*args: Any) -> None:
        real(*args)
        seen.append(args[-1])
        raise Interrupted

    folder.mkdir(parents=True, exist_ok=True)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save)
        outcome = None
        while outcome is None:
            with contextlib.suppress(Interrupted):
                outcome = complete(spec, folder, machine=EVERY_STEP, needs=needs)
    return outcome, seen
