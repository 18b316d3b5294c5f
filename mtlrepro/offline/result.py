"""What an evaluation found: a table for the terminal, a JSON file, per-image counts, a picture."""

from __future__ import annotations

import io
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from mtlrepro.files import write_bytes, write_failure

SCHEMA_VERSION = 1


@dataclass
class Result:
    """What `mtlrepro eval` writes as JSON; the schema is this class.

    Attributes:
        task: the task.
        predictions, truths: where the files are, as given.
        command: the command line.
        images: how many were judged.
        figures: protocol -> figure -> value in the metric's own unit, None where it is undefined.
        units: protocol -> figure -> unit; "fraction" is printed times 100 in papers.
        better: protocol -> figure -> "higher" or "lower".
        settings: protocol -> what the metric was built with; odsF names its mode, tolerance and reading of the truth.
        curves: protocol -> thresholds and what was found at each.
        per_image: name -> protocol -> figures of that image alone, as `figures`.
        warnings: what gives reason to doubt the figures.
        environment: machine and versions.
        seconds: wall time of the evaluation.
        schema_version: of this layout.
    """

    task: str
    predictions: str
    truths: str
    command: str
    images: int
    figures: dict[str, dict[str, float | None]]
    units: dict[str, dict[str, str]]
    better: dict[str, dict[str, str]]
    settings: dict[str, dict[str, Any]]
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    per_image: dict[str, dict[str, dict[str, float | None]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    schema_version: int = SCHEMA_VERSION

    def text(self) -> str:
        """The figures as a table, fractions as percent, with the settings that change them."""
        rows = []
        for protocol, figures in self.figures.items():
            for name, value in figures.items():
                unit = self.units[protocol][name]
                shown, unit = (value, unit) if unit != "fraction" else (None if value is None else 100 * value, "%")
                arrow = "↑" if self.better[protocol][name] == "higher" else "↓"
                text = "undefined" if shown is None else f"{shown:.3f}" if unit in ("%", "deg") else f"{shown:.5f}"
                rows.append([protocol, f"{name} {arrow}", text, unit])
        table = tabulate(rows, headers=["protocol", "figure", "value", "unit"], disable_numparse=True)
        lines = [f"{self.images} images, {self.seconds:.1f} s", "", table]
        for protocol, settings in self.settings.items():
            said = ", ".join(f"{k} {v}" for k, v in settings.items())
            lines += ["", f"{protocol}: {said}"] if said else []
        return "\n".join([*lines, *(f"\nwarning: {w}" for w in self.warnings)])


def finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """Figures as JSON has them: None for what is not a number."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def write(result: Result, counts: Mapping[str, list[np.ndarray]], picture: bytes | None, folder: Path) -> list[Path]:
    """Write `<task>.json`, `<task>.png` and the counts of every image; what an earlier evaluation left there goes.

    Args:
        result: what was found.
        counts: see `Evaluation.counts`.
        picture: PNG bytes, if there is one.
        folder: made if it is not there.

    Returns:
        The files.

    Raises:
        StoreError: the folder cannot be written.
    """
    wanted = {f"{result.task}.json": json.dumps(asdict(result), indent=1, sort_keys=True).encode()}
    if picture is not None:
        wanted[f"{result.task}.png"] = picture
    if counts:
        buffer = io.BytesIO()
        arrays = {protocol.replace("/", "_"): np.stack(images) for protocol, images in counts.items()}
        np.savez_compressed(buffer, names=np.array(list(result.per_image)), **arrays)  # type: ignore[arg-type]
        wanted[f"{result.task}_counts.npz"] = buffer.getvalue()
    again = (folder / f"{result.task}.json").exists()
    for name, content in wanted.items():
        write_bytes(folder / name, content)
    for name in (f"{result.task}.png", f"{result.task}_counts.npz"):
        if again and name not in wanted:  # of an earlier evaluation, whose figures are gone
            try:
                (folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise write_failure(folder / name, error) from error
    return [folder / name for name in wanted]


def check_writable(folder: Path) -> None:
    """Raise a `StoreError` unless files can be written there: better before hours of work than after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise write_failure(folder, error) from error
