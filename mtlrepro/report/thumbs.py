"""Thumbnails inside a page: each distinct picture once, as a rule of the style sheet, within a budget of bytes."""

from __future__ import annotations

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from mtlrepro.report.gallery import Sheet

WIDTHS = (256, 192, 144, 112, 88)
"""Widths of thumbnails in pixels; the first at which all sheets should fit. Smaller pictures keep their own pixels."""
RATE = 0.22
"""Bytes of a rule a pixel, for choosing the width: photographs take about so many, maps of classes a tenth."""
FEW_COLOURS = 64
"""A picture of at most so many colours (classes, masks) is stored without loss, which is smaller, too."""
QUALITY = 72


@dataclass(frozen=True)
class Thumb:
    """One thumbnail: its class in the page, size in pixels, and the bytes that its rule takes."""

    name: str
    width: int
    height: int
    rule: str


class Thumbs:
    """Thumbnails of one width.

    Args:
        width: most pixels across.
    """

    def __init__(self, width: int):
        self.width = width
        self._by_path: dict[Path, Thumb | None] = {}
        self._by_content: dict[str, Thumb | None] = {}

    def of(self, path: Path | None) -> Thumb | None:
        """The thumbnail of a file; None for none, or one that is not a picture."""
        if path is None:
            return None
        if path not in self._by_path:
            self._by_path[path] = self._read(path)
        return self._by_path[path]

    def _read(self, path: Path) -> Thumb | None:
        try:
            data = path.read_bytes()
        except OSError:
            return None
        content = hashlib.sha256(data).hexdigest()
        if content not in self._by_content:
            self._by_content[content] = self._encode(data, f"p{len(self._by_content)}")
        return self._by_content[content]

    def _encode(self, data: bytes, name: str) -> Thumb | None:
        from PIL import Image

        try:
            with Image.open(io.BytesIO(data)) as opened:
                image = opened.convert("RGB")
        except (OSError, SyntaxError, ValueError):
            return None
        few = image.getcolors(FEW_COLOURS) is not None
        if image.width > self.width:
            height = max(1, round(image.height * self.width / image.width))
            image = image.resize((self.width, height), Image.Resampling.NEAREST if few else Image.Resampling.BOX)
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", lossless=few, quality=QUALITY, method=4)
        text = base64.b64encode(buffer.getvalue()).decode()
        return Thumb(name, image.width, image.height, f".{name}{{background-image:url(data:image/webp;base64,{text})}}")


def files_of(sheet: Sheet) -> Iterable[Path]:
    """Every file that a sheet shows."""
    yield from filter(None, [sheet.image, *sheet.truth.values()])
    for _, pictures in sheet.rows:
        yield from pictures.values()


@dataclass
class Fitted:
    """Sheets that fit: thumbnails, the sheets of each section that are shown, and those that are left out."""

    thumbs: Thumbs
    shown: list[list[Sheet]]
    dropped: list[list[Sheet]]

    @property
    def css(self) -> Markup:
        """One rule a thumbnail that a shown sheet has."""
        rules = {
            thumb.name: thumb.rule
            for sheets in self.shown
            for sheet in sheets
            for path in files_of(sheet)
            if (thumb := self.thumbs.of(path))
        }
        return Markup("\n".join(rules.values()))  # base64 and names made here: nothing to escape


def fit(sections: list[list[Sheet]], room: int) -> Fitted:
    """The sheets of all sections within `room` bytes, as large as they fit.

    Where even the smallest width is too much, sheets are left out: the first image of every section comes before the
    second of any.
    """
    sizes = Counter(_size(path) for path in {p for sheets in sections for s in sheets for p in files_of(s)})
    for width in WIDTHS:
        pixels = sum(n * min(w, width) * h * min(w, width) / w for (w, h), n in sizes.items())
        if pixels * RATE <= room or width == WIDTHS[-1]:  # larger ones need not be made to know that they do not fit
            fitted = _fill(sections, Thumbs(width), room)
            if not any(fitted.dropped):
                break
    return fitted


def _size(path: Path) -> tuple[int, int]:
    """Width and height by the file's header; nothing to show counts as one pixel."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError):
        return 1, 1


def _fill(sections: list[list[Sheet]], thumbs: Thumbs, room: int) -> Fitted:
    fitted = Fitted(thumbs, [[] for _ in sections], [[] for _ in sections])
    paid: set[str] = set()
    turns = sorted((i, place) for place, sheets in enumerate(sections) for i in range(len(sheets)))
    for i, place in turns:
        sheet = sections[place][i]
        new = {t.name: len(t.rule) for path in files_of(sheet) if (t := thumbs.of(path)) and t.name not in paid}
        if sum(new.values()) <= room:
            fitted.shown[place].append(sheet)
            room -= sum(new.values())
            paid |= set(new)
        else:
            fitted.dropped[place].append(sheet)
    return fitted
