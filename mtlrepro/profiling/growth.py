"""How the cost of an objective grows with the number of tasks: one joint space (JTR) against one a pair (MTPSL).

`python -m mtlrepro.profiling.growth --out docs` writes a table and a picture. JTR's sections 4.2 and 6.4 claim that
its cost grows linearly and that of the pairwise spaces quadratically.
"""

from __future__ import annotations

import argparse
import io
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from mtlrepro.data.sample import Batch, DatasetInfo
from mtlrepro.engine.determinism import open_device
from mtlrepro.engine.environment import command, environment
from mtlrepro.files import write_bytes, write_json
from mtlrepro.models import build_model
from mtlrepro.objectives import build_objective
from mtlrepro.profiling.blank import blank_batch
from mtlrepro.spec import ModelSpec, ObjectiveSpec
from mtlrepro.tasks import make_tasks
from mtlrepro.tasks.base import Task

TASKS = ("semseg", "depth", "normals", "occlusion", "reshading", "keypoints", "texture")
"""Taskonomy's, in the paper's order; K tasks are the first K."""

METHODS = {
    "supervised": ObjectiveSpec("partial"),
    "MTPSL": ObjectiveSpec("mtpsl"),
    "JTR": ObjectiveSpec("jtr"),
}
LABELS = {"onelabel": lambda k: 1, "halflabels": lambda k: k // 2}
"""Labelled tasks of a sample with k tasks: the pairs are k - 1, or about k² / 4."""


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
        size: image (height, width).
        batch: samples a step.
        backbone: "segnet" or "segnet_nano"; auxiliary networks are as wide.
        device: torch device name.
        steps: timed steps, the median of which counts.
    """

    size: tuple[int, int]
    batch: int
    backbone: str
    device: str
    steps: int


def tasks_of(k: int) -> dict[str, Task]:
    """The first k tasks, 18 classes as in Taskonomy."""
    return make_tasks(TASKS[:k], DatasetInfo("growth", TASKS, class_names=tuple(map(str, range(18)))))


def labelled_for(tasks: dict[str, Task], labels: int, batch: int) -> dict[str, torch.Tensor]:
    """Which samples carry a label: sample i is labelled for `labels` tasks from the i-th on."""
    names = list(tasks)
    return {name: torch.tensor([(j - i) % len(names) < labels for i in range(batch)]) for j, name in enumerate(names)}


def measure(method: str, k: int, labels: str, setting: Setting) -> dict[str, float]:
    """Multiply-accumulates of the forward pass per sample, and milliseconds of a training step."""
    tasks = tasks_of(k)
    model_spec = ModelSpec("segnet", setting.backbone, tuple(tasks))

    def built(device: Any) -> tuple[Any, Any, Batch]:
        with torch.device(device):
            model: Any = build_model(model_spec, {n: t.channels for n, t in tasks.items()}).train()
            objective = build_objective(METHODS[method], tasks, model.backbone.channels)
        labelled = labelled_for(tasks, LABELS[labels](k), setting.batch)
        return model, objective, blank_batch(tasks, labelled, setting.size, objective.views, device)

    model, objective, batch = built("meta")
    counter = FlopCounterMode(display=False)
    with counter:
        objective(model, batch, 0.0)
    macs = counter.get_total_flops() / 2 / setting.batch
    place = open_device(setting.device)
    model, objective, batch = built(place)
    times = []
    for step in range(setting.steps + 2):
        _wait(place)
        start = time.perf_counter()
        objective(model, batch, 0.0).total.backward()
        _wait(place)
        if step >= 2:
            times.append(1e3 * (time.perf_counter() - start))
    return {"gmacs": macs / 1e9, "step_ms": statistics.median(times)}


def exponent(counts: Sequence[int], amounts: Sequence[float]) -> float:
    """p of the power law c K^p that fits best on logarithmic axes; NaN for amounts that are not all above 0.

    Example:
        >>> round(exponent([2, 4, 8], [4.0, 16.0, 64.0]), 6)
        2.0
    """
    return float(np.polyfit(np.log(counts), np.log(amounts), 1)[0]) if min(amounts) > 0 else math.nan


def curvature(counts: Sequence[int], amounts: Sequence[float]) -> dict[str, float]:
    """Least squares a + b K + c K²: the three, and what share of the variance a straight line leaves unexplained.

    Example:
        >>> curvature([2, 3, 4, 5], [5.0, 7.0, 9.0, 11.0])["line_misses"] < 1e-12
        True
    """
    x, y = np.asarray(counts, float), np.asarray(amounts, float)
    c, b, a = np.polyfit(x, y, 2)
    line = np.polyval(np.polyfit(x, y, 1), x)
    spread = float(((y - y.mean()) ** 2).sum())
    return {"a": float(a), "b": float(b), "c": float(c), "line_misses": float(((y - line) ** 2).sum()) / spread}


def growth(setting: Setting, counts: Sequence[int] = range(2, 8)) -> dict[str, Any]:
    """Costs by labels, method and number of tasks; and of either objective what it adds to supervised training."""
    found: dict[str, Any] = {"counts": list(counts), "costs": {}, "added": {}}
    for labels in LABELS:
        costs = {m: [measure(m, k, labels, setting) for k in counts] for m in METHODS}
        found["costs"][labels] = costs
        found["added"][labels] = {
            method: {
                figure: {
                    "values": added,
                    "exponent": exponent(counts, added),
                    **curvature(counts, added),
                }
                for figure in ("gmacs", "step_ms")
                if (added := [m[figure] - s[figure] for m, s in zip(costs[method], costs["supervised"], strict=True)])
            }
            for method in METHODS
            if method != "supervised"
        }
    return found


def picture(found: dict[str, Any], setting: Setting) -> bytes:
    """Added cost over the number of tasks, as SVG: multiply-accumulates and time, one line a method and setting."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    names = {"gmacs": "GMACs per sample, forward", "step_ms": "ms per step, forward and backward"}
    for axes, (key, title) in zip(figure.subplots(1, 2), names.items(), strict=True):
        for labels, style in zip(LABELS, ("--", "-"), strict=True):
            for method, colour in (("MTPSL", "#b5482a"), ("JTR", "#2a62b5")):
                one = found["added"][labels][method][key]
                label = f"{method}, {labels}: K^{one['exponent']:.2f}"
                axes.plot(found["counts"], one["values"], style, marker="o", color=colour, label=label)
        axes.set_xlabel("tasks K")
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    height, width = setting.size
    figure.suptitle(
        f"Added to supervised training: {setting.backbone}, {height}×{width}, batch {setting.batch}", size=10
    )
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure and write `cost-growth.json` and `cost-growth.svg`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backbone", choices=("segnet", "segnet_nano"), default="segnet")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("H", "W"))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=5)
    o = parser.parse_args()
    setting = Setting((o.size[0], o.size[1]), o.batch, o.backbone, o.device, o.steps)
    found = growth(setting)
    said = {"command": command(), "environment": environment(), **found}
    write_json(o.out / "cost-growth.json", said)
    write_bytes(o.out / "cost-growth.svg", picture(found, setting))


if __name__ == "__main__":
    main()
