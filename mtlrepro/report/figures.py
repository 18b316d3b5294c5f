"""What all figures share: a picture's bytes, and matplotlib's Agg canvas without any global state."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
INK = "#1f2933"
FAINT = "#9aa5b1"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7f6dbf")
"""Okabe and Ito's palette (told apart with colour-vision deficiencies), without its yellow."""
DASHES = ("-", "--", ":")


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
