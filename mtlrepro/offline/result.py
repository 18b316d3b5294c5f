"""What an evaluation found: a table for the terminal, a JSON file, per-image counts, a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from mtlrepro.files import write_bytes, write_json
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.odsf import BoundaryF
from mtlrepro.offline.evaluate import Evaluation

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


def figures_of(metric: Metric) -> dict[str, float | None]:
    """Figures as JSON has them: None for what is not a number."""
    return {name: value if math.isfinite(value) else None for name, value in metric.compute().items()}


def write(result: Result, evaluation: Evaluation | None, folder: Path) -> list[Path]:
    """Write `<task>.json`, and for boundaries the counts of every image, from which all figures follow.

    Args:
        result: what was found.
        evaluation: None where only a search over thresholds was made.
        folder: made if it is not there.

    Returns:
        The files.

    Raises:
        StoreError: the folder cannot be written.
    """
    files = [folder / f"{result.task}.json"]
    write_json(files[0], asdict(result))
    counts = _counts(evaluation.images) if evaluation else {}
    if counts:
        import io

        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **counts)
        files.append(folder / f"{result.task}_counts.npz")
        write_bytes(files[-1], buffer.getvalue())
    return files


def _counts(images: Mapping[str, Mapping[str, Metric]]) -> dict[str, np.ndarray]:
    """protocol -> (images, 4, K) counts, and `names`; empty for tasks without thresholds of boundaries."""
    found: dict[str, list[np.ndarray]] = {}
    for metrics in images.values():
        for protocol, metric in metrics.items():
            if isinstance(metric, BoundaryF):
                found.setdefault(protocol.replace("/", "_"), []).append(metric.state["pooled"].numpy())
    return {k: np.stack(v) for k, v in found.items()} | ({"names": np.array(list(images))} if found else {})
