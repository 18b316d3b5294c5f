"""Training curves as small multiples, and bars of Δ_m."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtlrepro.engine.evaluate import record_key
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.report import words
from mtlrepro.report.figures import (
    COLOURS,
    DASHES,
    FAINT,
    INK,
    Picture,
    legend_below,
    literal,
    new_figure,
    small_multiples,
    to_png,
)
from mtlrepro.report.rundir import RunFiles
from mtlrepro.suite.figures import main_figure, usual_protocol
from mtlrepro.suite.results import ColumnInfo, RowResult, RunInfo

POINTS = 400
"""Most points drawn of one curve; a panel is not wider in pixels."""

Line = tuple[int, str, Sequence[float], Sequence[float]]
"""Which colour and dashes, label, steps and values."""
Panel = tuple[str, str, list[Line]]
"""Title, label of the y axis, lines."""


def curves(
    name: str,
    title: str,
    rows: list[RowResult],
    columns: list[ColumnInfo],
    runs: dict[str, RunInfo],
    files: dict[str, RunFiles],
) -> Picture | None:
    """One panel a row with the loss of each of its runs, then one a metric where runs were evaluated repeatedly.

    A row has one colour in all panels, but where its own panel tells several runs apart.

    Args:
        name: file stem of the picture.
        title: the table's name.
        rows: the rows to draw.
        columns: the table's columns; a metric is read by the protocol of the first that asks for one of it.
        runs: run key -> what it is.
        files: run key -> files.

    Returns:
        The figure, None where no run left a training line.
    """
    losses, metrics = curve_panels(rows, columns, runs, files)
    if not losses:
        return None
    panels = [*losses, *metrics]
    drawn_rows = {label: i for _, _, lines in metrics for i, label, _, _ in lines}
    names = sorted(drawn_rows, key=drawn_rows.__getitem__) if len(rows) > 1 else []
    figure, drawn = small_multiples(title, [(panel, ylabel) for panel, ylabel, _ in panels], "step", names)
    for axes, (_, _, lines) in zip(drawn, panels, strict=True):
        _draw(axes, lines)
    for axes, (_, _, lines) in zip(drawn, losses, strict=False):
        if len(lines) > 1:
            _legend(axes, len(lines))
    if names:
        legend_below(figure, drawn[len(losses) :], names)
    return Picture(name, f"{title}: {', '.join(p for p, _, _ in panels)}", to_png(figure))


def curve_panels(
    rows: list[RowResult], columns: list[ColumnInfo], runs: dict[str, RunInfo], files: dict[str, RunFiles]
) -> tuple[list[Panel], list[Panel]]:
    """What `curves` draws: the losses of each row, and each metric of all rows; without losses neither."""
    losses = [panel for i, row in enumerate(rows) if (panel := _loss_panel(i, row, runs, files))]
    return losses, _metric_panels(rows, columns, files) if losses else []


def _loss_panel(place: int, row: RowResult, runs: dict[str, RunInfo], files: dict[str, RunFiles]) -> Panel | None:
    """What was minimised, of every run of the row that left training lines."""
    keys = [k for k in row.runs if k in files and files[k].steps]
    if not keys:
        return None
    labels = _distinct([runs[k] for k in keys])
    styles = [place] if len(keys) == 1 else range(len(keys))
    lines = [
        (style, label, *thin(files[k].steps, files[k].losses))
        for style, label, k in zip(styles, labels, keys, strict=True)
    ]
    return row.name, "loss (weighed)" if any(files[k].weighed for k in keys) else "loss", lines


def _draw(axes: Any, lines: list[Line]) -> None:
    for i, label, x, y in lines:
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


def _legend(axes: Any, count: int) -> None:
    small = {"fontsize": 5.5, "ncols": 2} if count > 4 else {"fontsize": 6.5}
    axes.legend(frameon=False, handlelength=1.4, borderaxespad=0.1, labelspacing=0.2, columnspacing=0.8, **small)


def _metric_panels(rows: list[RowResult], columns: list[ColumnInfo], files: dict[str, RunFiles]) -> list[Panel]:
    """The main figure of every task over steps, one line a row (its first run that has it)."""
    wanted = list(dict.fromkeys(main_figure(m.partition(".")[0]) for r in rows for m in r.metrics))
    panels = []
    for metric in wanted:
        lines: list[Line] = []
        protocol = _protocol(metric, columns)
        for i, row in enumerate(rows):
            figure = record_key(row.view, metric, protocol)
            for key in row.runs:
                found = [(step, e[figure]) for step, e in _evaluations(files, key) if figure in e]
                if len(found) > 1:
                    lines.append((i, row.name, [s for s, _ in found], [v for _, v in found]))
                    break
        if lines:
            panels.append((f"{metric} ({protocol}), evaluation split", "", lines))
    return panels


def _protocol(metric: str, columns: list[ColumnInfo]) -> str:
    """The protocol by which the table reads the task, if it defines the figure; else the usual one."""
    task, figure = metric.split(".")
    known: Mapping[str, Any] = PROTOCOLS.get(task, {})
    asked = (c.protocol for c in columns if c.protocol in known and figure in known[c.protocol].better)
    return next(asked, usual_protocol(metric))


def _evaluations(files: dict[str, RunFiles], key: str) -> list[tuple[int, dict[str, float]]]:
    return files[key].evaluations if key in files else []


def thin(x: Sequence[float], y: Sequence[float], most: int = POINTS) -> tuple[Sequence[float], Sequence[float]]:
    """Every k-th point of a long curve, at most about `most`, and its last one."""
    step = math.ceil(len(x) / most)
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


@dataclass(frozen=True)
class DeltaSeries:
    """One of the two Δ_m of rows.

    Attributes:
        key: in `RowResult.delta`.
        heading: what it is.
        limits: ends of its axis; equal for both series where they may be compared.
    """

    key: str
    heading: str
    limits: tuple[float, float]


def delta_series(rows: list[RowResult]) -> tuple[list[DeltaSeries], bool]:
    """The paper's Δ_m and ours, as far as there are any, and whether both may share an axis.

    They may if all of ours are the paper's runs at tier full. On a dataset of the user's own there is no print.
    """
    tiers = {row.tier for row in rows if "own" in row.delta and row.tier}
    comparable = tiers in ({"full"}, {"own"}) and not any(row.varied for row in rows)
    why = "data read otherwise" if tiers == {"full"} else "synthetic scenes"
    ours = "measured" if comparable else f"measured at {', '.join(sorted(tiers))}: {why}, not comparable"
    found = {"paper": "printed in the paper"} | ({"own": ours} if tiers else {})
    both = _limits(rows, list(found)) if comparable else None
    return [DeltaSeries(key, text, both or _limits(rows, [key])) for key, text in found.items()], comparable


def delta_bars(name: str, title: str, rows: list[RowResult]) -> Picture | None:
    """Δ_m per row: the paper's and ours. In two unrelated panels unless all of ours are the paper's runs at tier full.

    Returns:
        The figure, None where no row has a Δ_m.
    """
    rows = [row for row in rows if {"own", "paper"} & set(row.delta)]
    if not rows:
        return None
    series, comparable = delta_series(rows)
    styles = {"paper": ("#52606d", ""), "own": (COLOURS[0], "" if comparable else "////")}
    height = 0.27 * len(rows) + 0.95
    figure = new_figure(8.4, height)
    names = [f"{row.name}, not printed" if words.is_unprinted(row) else row.name for row in rows]
    label_room = min(0.34, 0.016 + 0.0085 * max(map(len, names)))
    figure.subplots_adjust(left=label_room, right=0.985, bottom=0.36 / height, top=1 - 0.55 / height, wspace=0.08)
    for i, one in enumerate(series):
        colour, hatch = styles[one.key]
        axes = figure.add_subplot(1, len(series), i + 1)
        values = [row.delta.get(one.key, math.nan) for row in rows]
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
        low, high = one.limits
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
        axes.set_yticks(range(len(rows)), [literal(name) for name in names] if i == 0 else [""] * len(rows))
        axes.tick_params(labelsize=7.5, colors=INK, length=0)
        axes.set_title(one.heading, fontsize=8, loc="left", color=INK)
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
