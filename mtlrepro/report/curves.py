"""Training curves as small multiples, and bars of Δ_m."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mtlrepro.engine.evaluate import record_key
from mtlrepro.report.figures import COLOURS, DASHES, FAINT, INK, Picture, literal, new_figure, small_multiples, to_png
from mtlrepro.report.rundir import RunFiles
from mtlrepro.suite.figures import main_figure, usual_protocol
from mtlrepro.suite.results import RowResult, RunInfo

POINTS = 400
"""Most points drawn of one curve; a panel is not wider in pixels."""

Line = tuple[str, Sequence[float], Sequence[float]]


def curves(
    name: str, title: str, rows: list[RowResult], runs: dict[str, RunInfo], files: dict[str, RunFiles]
) -> Picture | None:
    """One panel a row with the loss of each of its runs, then one a metric where runs were evaluated repeatedly.

    Returns:
        The figure, None where no run left a training line.
    """
    panels: list[tuple[str, str, list[Line]]] = []
    for row in rows:
        keys = [k for k in row.runs if k in files and files[k].steps]
        labels = _distinct([runs[k] for k in keys])
        lines = [(label, *_thin(files[k].steps, files[k].losses)) for label, k in zip(labels, keys, strict=True)]
        if lines:
            panels.append((row.name, "loss", lines))
    if not panels:
        return None
    panels += _metric_panels(rows, files)
    figure, drawn = small_multiples(title, [(panel, ylabel) for panel, ylabel, _ in panels], "step")
    for axes, (_, _, lines) in zip(drawn, panels, strict=True):
        _draw(axes, lines)
    return Picture(name, f"{title}: {', '.join(p for p, _, _ in panels)}", to_png(figure))


def _draw(axes: Any, lines: list[Line]) -> None:
    for i, (label, x, y) in enumerate(lines):
        marker = "." if len(x) < 12 else ""
        style = DASHES[i // len(COLOURS) % len(DASHES)]
        axes.plot(
            x,
            y,
            color=COLOURS[i % len(COLOURS)],
            linestyle=style,
            linewidth=1.2,
            marker=marker,
            markersize=4,
            label=literal(label),
        )
    if len(lines) > 1:
        small = {"fontsize": 5.5, "ncols": 2} if len(lines) > 4 else {"fontsize": 6.5}
        axes.legend(frameon=False, handlelength=1.4, borderaxespad=0.1, labelspacing=0.2, columnspacing=0.8, **small)


def _metric_panels(rows: list[RowResult], files: dict[str, RunFiles]) -> list[tuple[str, str, list[Line]]]:
    """The main figure of every task over steps, one line a row (its first run that has it)."""
    wanted = list(dict.fromkeys(main_figure(m.partition(".")[0]) for r in rows for m in r.metrics))
    panels = []
    for metric in wanted:
        lines: list[Line] = []
        for row in rows:
            for key in row.runs:
                found = [
                    (step, e[name])
                    for name in [record_key(row.view, metric, usual_protocol(metric))]
                    for step, e in _evaluations(files, key)
                    if name in e
                ]
                if len(found) > 1:
                    lines.append((row.name, [s for s, _ in found], [v for _, v in found]))
                    break
        if lines:
            panels.append((f"{metric} ({usual_protocol(metric)}), evaluation split", "", lines))
    return panels


def _evaluations(files: dict[str, RunFiles], key: str) -> list[tuple[int, dict[str, float]]]:
    return files[key].evaluations if key in files else []


def _thin(x: Sequence[float], y: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Every k-th point of a long curve, and its last one."""
    step = math.ceil(len(x) / POINTS)
    keep = sorted({*range(0, len(x), step), len(x) - 1})
    return [x[i] for i in keep], [y[i] for i in keep]


def _distinct(runs: list[RunInfo]) -> list[str]:
    """What tells a row's runs apart: the differing middle of their labels, and the seed where seeds differ."""
    labels = [run.label for run in runs]
    if len(set(labels)) > 1:
        head = _common(labels)
        tail = _common([label[head:][::-1] for label in labels])
        short = [label[head : len(label) - tail] for label in labels]
    else:
        short = [""] * len(labels)
    seeds = len({run.seed for run in runs}) > 1
    return [
        f"{s}{', ' if s and seeds else ''}{f'seed {run.seed}' if seeds else ''}" or run.label
        for s, run in zip(short, runs, strict=True)
    ]


def _common(texts: list[str]) -> int:
    """Length of the longest common beginning."""
    return next(
        (i for i, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1), min(map(len, texts))
    )


def delta_bars(name: str, title: str, rows: list[RowResult]) -> Picture | None:
    """Δ_m per row: the paper's and ours. In two unrelated panels unless all of ours are the paper's runs at tier full.

    Returns:
        The figure, None where no row has a Δ_m.
    """
    rows = [row for row in rows if {"own", "paper"} & set(row.delta)]
    if not rows:
        return None
    tiers = {row.tier for row in rows if "own" in row.delta and row.tier}
    comparable = tiers == {"full"} and not any(row.varied for row in rows)
    why = "data read otherwise" if tiers == {"full"} else "synthetic scenes"
    ours_title = "measured" if comparable else f"measured at {', '.join(sorted(tiers))}: {why}, not comparable"
    series = [("paper", "printed in the paper", "#52606d", "")]
    if tiers:
        series.append(("own", ours_title, COLOURS[0], "" if comparable else "////"))
    height = 0.27 * len(rows) + 0.95
    figure = new_figure(8.4, height)
    label_room = min(0.34, 0.016 + 0.0085 * max(len(row.name) for row in rows))
    figure.subplots_adjust(left=label_room, right=0.985, bottom=0.36 / height, top=1 - 0.55 / height, wspace=0.08)
    limits = _limits(rows, [key for key, *_ in series]) if comparable else None
    for i, (key, heading, colour, hatch) in enumerate(series):
        axes = figure.add_subplot(1, len(series), i + 1)
        values = [row.delta.get(key, math.nan) for row in rows]
        axes.barh(
            range(len(rows)),
            values,
            height=0.62,
            color=colour if not hatch else "#cfe3f1",
            edgecolor=colour,
            hatch=hatch,
            linewidth=0.8,
        )
        axes.axvline(0, color=INK, linewidth=0.8)
        low, high = limits or _limits(rows, [key])
        axes.set_xlim(low, high)
        for y, value in enumerate(values):
            if math.isfinite(value):
                side = 1 if value >= 0 else -1
                text = f"{value:+.2f}".replace("-", "\u2212")
                axes.text(
                    value + side * 0.015 * (high - low),
                    y,
                    text,
                    va="center",
                    ha="left" if side > 0 else "right",
                    fontsize=7,
                    color=INK,
                )
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), [literal(row.name) for row in rows] if i == 0 else [""] * len(rows))
        axes.tick_params(labelsize=7.5, colors=INK, length=0)
        axes.set_title(heading, fontsize=8, loc="left", color=INK)
        axes.set_xlabel("Δ_m [%]", fontsize=7, color=INK, labelpad=1)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(FAINT)
    figure.text(0.01, 1 - 0.06 / height, literal(title), va="top", fontsize=9, fontweight="bold", color=INK)
    return Picture(name, f"{title}: printed and measured", to_png(figure))


def _limits(rows: list[RowResult], keys: list[str]) -> tuple[float, float]:
    values = [v for row in rows for k in keys if math.isfinite(v := row.delta.get(k, math.nan))]
    low, high = min([0.0, *values]), max([0.0, *values])
    room = 0.2 * ((high - low) or 1.0)
    return low - (room if low < 0 else 0.02 * room), high + (room if high > 0 else 0.02 * room)
