"""Task weights over epochs as small multiples: figure 6 of MT-CP, for every loss weighting that changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mtlrepro.report.figures import COLOURS, DASHES, INK, Picture, legend_below, literal, small_multiples, to_png
from mtlrepro.report.gallery import ORDER
from mtlrepro.report.rundir import RunFiles
from mtlrepro.suite.results import RowResult

SERIES = ("priority", "weight")
"""What is drawn of a weighting: the first of these that it logs. Figure 6 shows priorities, before their logarithm."""

FAR = 2.0
"""First values that are so many times as large as all later ones would flatten these on a linear axis."""

Line = tuple[str, Sequence[int], Sequence[float]]
WeightPanel = tuple[str, str, list[Line]]


def weights(name: str, title: str, rows: list[RowResult], files: dict[str, RunFiles]) -> Picture | None:
    """One panel a row whose task weights change, with a line a task and run; a task keeps its colour everywhere.

    Priorities have one axis in all panels, so that spreads can be compared. The weights of different schemes are of
    different sizes; each panel of them has its own.

    Args:
        name: file stem of the picture.
        title: the table's name.
        rows: the table's rows; one whose weights are fixed has no panel.
        files: run key -> files.

    Returns:
        The figure, None where no row's weights change.
    """
    panels = weight_panels(rows, files)
    if not panels:
        return None
    present = {task for _, _, lines in panels for task, _, _ in lines}
    tasks = sorted(present, key=ORDER.index)
    figure, drawn = small_multiples(title, [(row, series) for row, series, _ in panels], "finished epochs", tasks)
    for axes, (_, _, lines) in zip(drawn, panels, strict=True):
        _draw(axes, lines)
    common = [i for i, (_, series, _) in enumerate(panels) if series == SERIES[0]]
    alone = [[i] for i in range(len(panels)) if i not in common]
    for group in filter(None, [common, *alone]):
        _limit([drawn[i] for i in group], [panels[i] for i in group])
    legend_below(figure, drawn, tasks)
    said = ", ".join(f"{row} ({series})" for row, series, _ in panels)
    return Picture(name, f"{title}: weights of the tasks over epochs, {said}", to_png(figure))


def weight_panels(rows: list[RowResult], files: dict[str, RunFiles]) -> list[WeightPanel]:
    """What `weights` draws: row, name of the series, (task, finished epochs, values) of each task and run."""
    return [panel for row in rows if (panel := _panel(row, files))]


def _panel(row: RowResult, files: dict[str, RunFiles]) -> WeightPanel | None:
    logs = [files[key].weightings for key in row.runs if key in files]
    logged = {series for log in logs for _, figures in log for series in figures}
    for series in SERIES:
        if series in logged:
            lines = [line for log in logs for line in _lines(log, series)]
            return (row.name, series, lines) if any(len(set(values)) > 1 for _, _, values in lines) else None
    return None


def _lines(log: list[tuple[int, dict[str, dict[str, float]]]], series: str) -> list[Line]:
    """A run's finite values of a series, task by task."""
    found: dict[str, list[tuple[int, float]]] = {}
    for epoch, figures in log:
        for task, value in figures.get(series, {}).items():
            if math.isfinite(value):
                found.setdefault(task, []).append((epoch, value))
    return [(task, [e for e, _ in points], [v for _, v in points]) for task, points in found.items()]


def _draw(axes: Any, lines: list[Line]) -> None:
    from matplotlib.ticker import MaxNLocator

    runs = max(sum(task == other for other, _, _ in lines) for task, _, _ in lines)
    for task, epochs, values in lines:
        i = ORDER.index(task)
        axes.plot(
            epochs,
            values,
            color=COLOURS[i % len(COLOURS)],
            linestyle=DASHES[i // len(COLOURS)],
            linewidth=1.2 if runs == 1 else 0.8,
            marker="." if len(epochs) < 12 else "",
            markersize=4,
            label=literal(task),
        )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _limit(drawn: list[Any], panels: list[WeightPanel]) -> None:
    """One y axis for all these panels; logarithmic above what follows the first epoch where that lies far below it.

    LPS starts with inverse shares of the losses, which may be ten times its later priorities.
    """
    from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

    lines = [values for _, _, lines in panels for _, _, values in lines]
    later = max(max(map(abs, values[1:])) for values in lines if len(values) > 1)
    low, high = min(map(min, lines)), max(map(max, lines))
    if high <= FAR * later or not later:
        room = 0.06 * ((high - low) or 1.0)
        for axes in drawn:
            axes.set_ylim(low - room, high + room)
        return
    room = 0.06 * (later - min(low, 0.0))
    ticks = [tick for tick in MaxNLocator(4).tick_values(low, later) if low - room <= tick <= later]
    ticks.append(float(f"{high:.2g}"))
    for axes in drawn:
        axes.set_yscale("symlog", linthresh=later, linscale=2)
        axes.set_ylim(low - room, 1.1 * high)
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylabel(f"{axes.get_ylabel()}, log above {later:.2g}", fontsize=7, color=INK, labelpad=2)
