"""Pictures of an evaluation: precision against recall, figures against thresholds, IoU by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mtlrepro.offline.result import Result
from mtlrepro.report.figures import COLOURS, DASHES, FAINT, INK, literal, new_figure, to_png

ISO_F = (0.2, 0.4, 0.6, 0.8)
"""Lines of equal F behind a precision-recall curve."""


def draw(result: Result) -> bytes | None:
    """The result's picture as PNG, None where there is nothing to draw."""
    if result.task == "edges" and all("recall" in c for c in result.curves.values()) and result.curves:
        return _precision_recall(result)
    if result.curves:
        return _thresholds(result.curves)
    classes = {k: v for figures in result.figures.values() for k, v in figures.items() if k.startswith("iou_")}
    return _bars(classes) if classes else None


def _precision_recall(result: Result) -> bytes:
    figure = new_figure(5.2, 4.8)
    axes = figure.add_axes((0.12, 0.11, 0.85, 0.85))
    recall = np.linspace(0.01, 1, 200)
    for f in ISO_F:
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = f * recall / (2 * recall - f)
        shown = (recall > f / 2) & (precision <= 1) & (precision > 0)
        axes.plot(recall[shown], precision[shown], color=FAINT, linewidth=0.7)
        axes.annotate(f"F {f:g}", (1, f / (2 - f)), color=INK, fontsize=7, ha="right", va="bottom")
    for i, (protocol, c) in enumerate(result.curves.items()):
        colour, best = COLOURS[i % len(COLOURS)], int(np.argmax(c["f"]))
        said = [
            f"{k} {result.settings[protocol][k]}"
            for k in ("mode", "max_dist")
            if k in result.settings.get(protocol, {})
        ]
        label = ", ".join([f"{protocol}: F {c['f'][best]:.4f} at {c['thresholds'][best]:g}", *said])
        axes.plot(c["recall"], c["precision"], color=colour, linestyle=DASHES[i % len(DASHES)], label=literal(label))
        axes.plot(c["recall"][best], c["precision"][best], "o", color=colour, markersize=6)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="recall", ylabel="precision")
    axes.grid(color=FAINT, alpha=0.25, linewidth=0.5)
    axes.legend(loc="lower left", fontsize=8, frameon=False)
    return to_png(figure)


def _thresholds(curves: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    figure = new_figure(5.2, 3.6)
    axes = figure.add_axes((0.12, 0.14, 0.85, 0.82))
    for i, (protocol, c) in enumerate(curves.items()):
        name = next(k for k in ("f", "jaccard") if k in c)
        colour, best = COLOURS[i % len(COLOURS)], int(np.nanargmax(c[name]))
        label = f"{protocol}: {name} {c[name][best]:.4f} at {c['thresholds'][best]:g}"
        axes.plot(c["thresholds"], c[name], color=colour, linestyle=DASHES[i % len(DASHES)], label=literal(label))
        axes.plot(c["thresholds"][best], c[name][best], "o", color=colour, markersize=6)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="threshold", ylabel="figure")
    axes.grid(color=FAINT, alpha=0.25, linewidth=0.5)
    axes.legend(loc="lower left", fontsize=8, frameon=False)
    return to_png(figure)


def _bars(classes: Mapping[str, float | None]) -> bytes:
    names, values = [k.removeprefix("iou_") for k in classes], [100 * (v or 0.0) for v in classes.values()]
    height = 0.6 + 0.2 * len(names)
    figure = new_figure(5.2, height)
    axes = figure.add_axes((0.3, 0.45 / height, 0.66, 1 - 0.5 / height))
    axes.barh(range(len(names)), values, color=COLOURS[0], height=0.7)
    for i, (value, known) in enumerate(zip(values, classes.values(), strict=True)):
        axes.text(value + 1, i, "absent" if known is None else f"{value:.1f}", va="center", fontsize=7, color=INK)
    axes.set_yticks(range(len(names)), [literal(n) for n in names], fontsize=8)
    axes.set(xlim=(0, 110), xlabel="IoU (%)")
    axes.invert_yaxis()
    return to_png(figure)
