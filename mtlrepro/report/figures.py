"""What all figures share: a picture's bytes, and matplotlib's Agg canvas without any global state."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
INK = "#1f2933"
FAINT = "#9aa5b1"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f6dbf")
"""Okabe and Ito's palette (told apart with colour-vision deficiencies), without its yellow."""
DASHES = ("-", "--", ":")
COLUMNS = 4
"""Most panels beside each other."""
LEGEND_LINE = 0.15
"""Inches that a line of a legend below the panels takes."""


@dataclass(frozen=True)
class Picture:
    """A finished figure.

    Attributes:
        name: file stem, unique in the report.
        alt: what it shows, for readers who cannot see it.
        png: the file's bytes.
    """

    name: str
    alt: str
    png: bytes


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches, on an Agg canvas of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def small_multiples(
    title: str, panels: Sequence[tuple[str, str]], xlabel: str, names: Sequence[str] = ()
) -> tuple[Figure, list[Axes]]:
    """A figure of small panels, at most `COLUMNS` beside each other, with everything but what they show.

    Args:
        title: of the figure.
        panels: title and label of the y axis of each.
        xlabel: label of the x axis, at the lowest panels.
        names: what `legend_below` will name; there is room for them below the panels.

    Returns:
        The figure and the axes of its panels.
    """
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    width = 2.6 * columns + 0.4
    foot = LEGEND_LINE * math.ceil(len(names) / _beside(names, width))
    height = 1.95 * lines + 0.55 + foot
    figure = new_figure(width, height)
    bottom, top = (0.5 + foot) / height, 1 - 0.62 / height
    figure.subplots_adjust(left=0.5 / width, right=0.985, bottom=bottom, top=top, wspace=0.3, hspace=0.62)
    drawn = []
    for i, (heading, ylabel) in enumerate(panels):
        axes = figure.add_subplot(lines, columns, i + 1)
        axes.set_title(literal(heading, 34), fontsize=8, loc="left", color=INK)
        axes.tick_params(labelsize=6.5, colors=INK, length=2, pad=2)
        axes.grid(color="#e4e7eb", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(FAINT)
        if ylabel:
            axes.set_ylabel(ylabel, fontsize=7, color=INK, labelpad=2)
        if i + columns >= len(panels):
            axes.set_xlabel(xlabel, fontsize=7, color=INK, labelpad=1)
        drawn.append(axes)
    figure.text(0.01, 0.99, literal(title), va="top", fontsize=9, fontweight="bold", color=INK)
    return figure, drawn


def legend_below(figure: Figure, drawn: Sequence[Axes], names: Sequence[str]) -> None:
    """One legend for all panels, in the room that `small_multiples` left for these names.

    Args:
        figure: the figure.
        drawn: its panels; a name's line looks the same in all that have one of it.
        names: labels of lines, in the legend's order.
    """
    lines = {line.get_label(): line for axes in drawn for line in axes.get_lines()}
    labels = [literal(name) for name in names]
    figure.legend(
        [lines[label] for label in labels],
        labels,
        loc="lower left",
        ncols=_beside(names, figure.get_figwidth()),
        frameon=False,
        fontsize=6.5,
        handlelength=1.4,
        labelcolor=INK,
    )


def _beside(names: Sequence[str], width: float) -> int:
    """How many of these names stand beside each other in a legend of that width in inches."""
    longest = max(map(len, names), default=0)
    return max(1, int(width / (0.45 + 0.052 * longest)))


def to_png(figure: Figure, colours: int = 0) -> bytes:
    """The figure as PNG; `colours` > 0 reduces it to that many colours (photographs shrink by two thirds)."""
    from PIL import Image

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a row name may hold a character the font lacks
        figure.savefig(buffer, format="png", metadata={"Software": None})
    if not colours:
        return buffer.getvalue()
    image = (
        Image.open(buffer).convert("RGB").quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    )
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def literal(text: str, width: int = 0) -> str:
    """Text that matplotlib shows as it is (a dollar sign would start a formula), wrapped at `width` characters."""
    import textwrap

    lines = textwrap.wrap(text, width) if width else [text]
    return "\n".join(lines).replace("$", r"\$")
