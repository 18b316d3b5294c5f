"""Maps on disk in every form `mtlrepro eval` takes, and the real command over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from mtlrepro.cli import main

SIZE = (40, 56)
"""Of the maps, not square, so that a transposed one is noticed."""


def save(file: Path, array: np.ndarray, **names: str) -> Path:
    """Write an array in the format of the file's suffix; `name` is the variable of a .mat file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".npy":
        np.save(file, array)
    elif file.suffix == ".mat":
        savemat(file, {names.get("name", "map"): array})
    else:
        Image.fromarray(array).save(file)
    return file


def fill(folder: Path, maps: Mapping[str, np.ndarray], suffix: str = ".png") -> Path:
    """A folder with one file a map."""
    for name, array in maps.items():
        save(folder / f"{name}{suffix}", array)
    return folder


def save_bsds(file: Path, annotations: list[np.ndarray]) -> Path:
    """A file laid out as BSDS500's `groundTruth`: a cell array of structs with Segmentation and Boundaries."""
    cells = np.empty((1, len(annotations)), dtype=object)
    for i, drawn in enumerate(annotations):
        cells[0, i] = {"Segmentation": np.cumsum(drawn, axis=1).astype(np.uint16), "Boundaries": drawn.astype(np.uint8)}
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, {"groundTruth": cells})
    return file


@dataclass
class Outcome:
    """What a call of `mtlrepro eval` left."""

    code: int
    text: str
    error: str
    out: Path

    def json(self) -> dict[str, Any]:
        """The result, read as strict JSON."""
        (file,) = self.out.glob("*.json")
        return json.loads(file.read_text(), parse_constant=_refuse)

    def figures(self) -> dict[str, dict[str, float | None]]:
        """Protocol -> figure -> value."""
        assert self.code == 0, self.error
        return self.json()["figures"]


def _refuse(token: str) -> None:
    raise AssertionError(f"{token} is not JSON")


class Caller:
    """Calls the real command line with an --out of its own each time."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path):
        self.capsys, self.folder, self.calls = capsys, folder, 0

    def __call__(self, task: str, pred: str | Path, gt: str | Path, *more: Any) -> Outcome:
        self.calls += 1
        out = self.folder / f"out{self.calls}"
        chosen = list(map(str, more))
        if "--out" in chosen:
            out = Path(chosen[chosen.index("--out") + 1])
        else:
            chosen += ["--out", str(out)]
        if "--workers" not in chosen:
            chosen += ["--workers", "1"]
        code = main(["eval", task, "--pred", str(pred), "--gt", str(gt), *chosen])
        told = self.capsys.readouterr()
        return Outcome(code, told.out, told.err, out)

    def refused(self, *words: Any) -> Any:
        """A call that must end in one line that holds all the words, and write nothing."""

        def call(task: str, pred: str | Path, gt: str | Path, *more: Any) -> str:
            done = self(task, pred, gt, *more)
            assert done.code == 2, done.text
            assert done.error.count("\n") == 1, done.error
            assert done.error.startswith("mtlrepro: error: ")
            for word in words:
                assert str(word) in done.error
            assert done.text == ""
            assert not done.out.exists() or not list(done.out.iterdir())
            return done.error

        return call
