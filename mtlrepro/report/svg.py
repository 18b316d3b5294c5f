"""Small line and point charts as inline SVG: coloured by the page's style sheet, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from mtlrepro.report import words

Line = tuple[int, str, Sequence[float], Sequence[float]]
"""Which colour and dashes, label, x and y."""

Scale = Callable[[float], float]

WIDTH, HEIGHT = 250, 140
LEFT, RIGHT, TOP, BOTTOM = 38, 6, 8, 18
"""Room around the plot of a line chart, in its own units (about CSS pixels)."""
COLOURS, DASHES = 8, 3
"""How many colours and dash patterns the style sheet knows as classes c0, c1 ... and d0, d1 ..."""
LETTER = 5.3
"""Mean width of a letter of point labels, for keeping them apart."""


@dataclass(frozen=True)
class Point:
    """A labelled point of `scatter`; `detail` is what its tooltip adds."""

    label: str
    x: float
    y: float
    detail: str = ""


def ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Round numbers within low .. high, at most `most`, at least the one nearest to the middle.

    Example:
        >>> ticks(0.0, 1.0)
        [0.0, 0.5, 1.0]
        >>> ticks(-13.0, 4.0)
        [-10.0, -5.0, 0.0]
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low] if math.isfinite(low) else []
    size = 10.0 ** math.floor(math.log10(span / most))
    for step in (size, 2 * size, 2.5 * size, 5 * size, 10 * size, 20 * size):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [i * step + 0.0 for i in range(first, last + 1)] or [low]
    return [low]


def line_chart(title: str, xlabel: str, lines: Sequence[Line]) -> Markup:
    """Lines over common axes; values that are not finite leave a gap.

    Args:
        title: what it shows, for readers who cannot see it.
        xlabel: name of the x axis, beside its last number.
        lines: what is drawn.
    """
    xs = [x for _, _, line, _ in lines for x in line]
    ys = [y for _, _, _, line in lines for y in line if math.isfinite(y)]
    (x0, x1), (y0, y1) = _limits(xs, 0.0), _limits(ys, 0.05)

    def px(x: float) -> float:
        return LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    parts = [_open(WIDTH, HEIGHT, title)]
    for value in ticks(y0, y1):
        y = py(value)
        parts.append(f'<path class="gr" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{_short(value)}</text>')
    for value in ticks(x0, x1):
        anchor = "end" if px(value) > WIDTH - 24 else "middle"
        parts.append(f'<text x="{px(value):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{_short(value)}</text>')
    parts.append(f'<text class="ax" x="{LEFT - 4}" y="{HEIGHT - 6}" text-anchor="end">{escape(xlabel)}</text>')
    for style, label, x, y_values in lines:
        name = style_class(style)
        parts.append(f'<path class="ln {name}" d="{_path(x, y_values, px, py)}"><title>{escape(label)}</title></path>')
    return Markup("".join(parts) + "</svg>")  # every text in it was escaped above


def style_class(style: int) -> str:
    """Classes of a line's colour and dashes."""
    return f"c{style % COLOURS} d{style // COLOURS % DASHES}"


def _path(xs: Sequence[float], ys: Sequence[float], px: Scale, py: Scale) -> str:
    """Path data; a lone finite value between gaps becomes a dot (round line caps draw it)."""
    text, pen_down = [], False
    for x, y in zip(xs, ys, strict=True):
        if math.isfinite(y):
            text.append(f"{'L' if pen_down else 'M'}{px(x):.1f} {py(y):.1f}" + ("" if pen_down else "h0"))
        pen_down = math.isfinite(y)
    return "".join(text)


def scatter(
    title: str, xlabel: str, ylabel: str, points: Sequence[Point], logarithmic: bool, style: str = ""
) -> Markup:
    """Labelled points; labels are moved until they cover neither each other nor a point.

    Args:
        title: what it shows, for readers who cannot see it.
        xlabel: name of the x axis.
        ylabel: name of the y axis.
        points: what is drawn; figures must be finite, x positive where the axis is logarithmic.
        logarithmic: scale of the x axis.
        style: class of the points.
    """
    width, height, left, bottom, top, right = 340, 250, 40, 34, 16, 14
    scale = math.log10 if logarithmic else float
    (x0, x1), (y0, y1) = _limits([scale(p.x) for p in points], 0.1), _limits([p.y for p in points], 0.1)
    places = [
        (
            left + (scale(p.x) - x0) / (x1 - x0) * (width - left - right),
            height - bottom - (p.y - y0) / (y1 - y0) * (height - top - bottom),
        )
        for p in points
    ]
    parts = [_open(width, height, title)]
    for value in ticks(y0, y1, 5):
        y = height - bottom - (value - y0) / (y1 - y0) * (height - top - bottom)
        zero = " zero" if value == 0 else ""
        parts.append(f'<path class="gr{zero}" d="M{left} {y:.1f}H{width - right}"/>')
        parts.append(f'<text x="{left - 4}" y="{y + 3:.1f}" text-anchor="end">{_short(value)}</text>')
    for value in _log_ticks(x0, x1) if logarithmic else ticks(x0, x1, 5):
        x = left + (scale(value) - x0) / (x1 - x0) * (width - left - right)
        parts.append(f'<path class="gr" d="M{x:.1f} {top}V{height - bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - bottom + 12}" text-anchor="middle">{_short(value)}</text>')
    parts.append(f'<text class="ax" x="{width - right}" y="{height - 6}" text-anchor="end">{escape(xlabel)}</text>')
    parts.append(f'<text class="ax" x="{left - 30}" y="10">{escape(ylabel)}</text>')
    for (x, y), point in zip(places, points, strict=True):
        parts.append(
            f'<circle class="pt {style}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">'
            f"<title>{escape(point.label)}: {escape(point.detail)}</title></circle>"
        )
    for x, y, anchor, text, lead in _labels(places, [p.label for p in points], width, height - bottom):
        parts.append(f'<path class="lead" d="{lead}"/>' if lead else "")
        parts.append(f'<text class="lb" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>')
    return Markup("".join(parts) + "</svg>")  # every text in it was escaped above


def _labels(
    places: Sequence[tuple[float, float]], names: Sequence[str], width: float, floor: float
) -> list[tuple[float, float, str, str, str]]:
    """Where labels stand: (x, baseline y, anchor, text, path of a leading line or ""); one without room is left out."""
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    found = []
    for (x, y), name in zip(places, names, strict=True):
        text = name if len(name) <= 30 else f"{name[:29]}…"
        wide = LETTER * len(text)
        for away in (8, 14, 24, 36, 50, 66):
            beside = [(x + away, y + 3.5, "start"), (x - away, y + 3.5, "end")]
            shifts = ((0, "middle"), (4, "start"), (-4, "end"))
            spots = beside + [(x + dx, y + dy * away + 3.5, a) for dy in (-1, 1) for dx, a in shifts]
            boxes = [_box(sx, sy, anchor, wide) for sx, sy, anchor in spots]
            inside = [b[0] >= 2 and b[2] <= width - 2 and b[1] >= 12 and b[3] <= floor for b in boxes]
            free = [i for i, b in enumerate(boxes) if inside[i] and not any(_meet(b, t) for t in taken)]
            if free:
                sx, sy, anchor = spots[free[0]]
                taken.append(boxes[free[0]])
                lead = "" if away < 14 else f"M{x:.1f} {y:.1f}L{sx:.1f} {sy - 3.5:.1f}"
                found.append((sx, sy, anchor, text, lead))
                break
    return found


def _box(x: float, y: float, anchor: str, wide: float) -> tuple[float, float, float, float]:
    left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
    return (left, y - 8.5, left + wide, y + 2.5)


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _limits(values: Sequence[float], room: float) -> tuple[float, float]:
    """Ends of an axis around finite values, with a share of their range as room."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low == high:
        room, low, high = 0.0, low - (abs(low) * 0.1 or 1.0), high + (abs(high) * 0.1 or 1.0)
    return low - room * (high - low), high + room * (high - low)


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten within 10**low .. 10**high; the powers alone where those are many."""
    every = [m * 10.0**e for e in range(math.floor(low), math.ceil(high) + 1) for m in (1, 2, 5)]
    inside = [v for v in every if low <= math.log10(v) <= high]
    return inside if len(inside) <= 6 else [v for v in inside if math.log10(v) == round(math.log10(v))]


def _short(value: float) -> str:
    """A tick's text.

    Example:
        >>> [_short(v) for v in (0.25, 15000.0, -5.0)]
        ['0.25', '15k', '−5']
    """
    text = f"{value / 1000:g}k" if abs(value) >= 10000 else f"{value:.4g}"
    return text.replace("-", words.MINUS)


def _open(width: int, height: int, title: str) -> str:
    return f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">'
