"""Pictures in the page: each once, within the budget, and dropped with a sentence rather than a verdict."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_fakes import full_session, illustrated

from mtlrepro.report.content import build
from mtlrepro.report.gallery import Sheet
from mtlrepro.report.html import render_html
from mtlrepro.report.thumbs import WIDTHS, Thumbs, _fill, files_of, fit


def noise(path: Path, seed: int, size: tuple[int, int] = (96, 64)) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def sheets(folder: Path, sections: int, images: int, size: tuple[int, int] = (96, 64)) -> list[list[Sheet]]:
    return [
        [
            Sheet(
                i,
                ["depth"],
                None,
                {"depth": noise(folder / f"{i}_target.png", 10_000 + i, size)},
                [("A", {"depth": noise(folder / f"{s}_{i}.png", 100 * s + i, size)})],
            )
            for i in range(images)
        ]
        for s in range(sections)
    ]


def decoded(rule: str) -> Image.Image:
    data = re.search(r"url\(data:image/webp;base64,([^)]+)\)", rule)
    assert data
    return Image.open(io.BytesIO(base64.b64decode(data.group(1))))


def test_equal_pictures_are_one_rule(tmp_path: Path) -> None:
    thumbs = Thumbs(128)
    first, again, other = (noise(tmp_path / f"{i}.png", seed) for i, seed in enumerate((1, 1, 2)))
    assert thumbs.of(first) is thumbs.of(again)
    assert thumbs.of(other).name != thumbs.of(first).name
    assert thumbs.of(None) is None
    (tmp_path / "no.png").write_text("not a picture")
    assert thumbs.of(tmp_path / "no.png") is None
    assert thumbs.of(tmp_path / "gone.png") is None


def test_maps_of_classes_keep_their_colours_and_photographs_are_scaled(tmp_path: Path) -> None:
    few = np.repeat(np.repeat(np.array([[[200, 3, 7], [9, 90, 255]]], np.uint8), 300, 0), 200, 1)
    Image.fromarray(few).save(tmp_path / "classes.png")
    thumb = Thumbs(100).of(tmp_path / "classes.png")
    assert (thumb.width, thumb.height) == (100, 75)
    image = decoded(thumb.rule)
    assert {colour for _, colour in image.convert("RGB").getcolors()} == {(200, 3, 7), (9, 90, 255)}
    photograph = Thumbs(100).of(noise(tmp_path / "noise.png", 0, (400, 200)))
    assert decoded(photograph.rule).size == (100, 50)
    small = Thumbs(100).of(noise(tmp_path / "small.png", 0, (40, 20)))
    assert (small.width, small.height) == (40, 20)


def test_sheets_shrink_before_any_is_left_out(tmp_path: Path) -> None:
    sections = sheets(tmp_path, 2, 2, (320, 200))
    roomy = fit(sections, 10_000_000)
    assert roomy.thumbs.width == WIDTHS[0]
    assert roomy.shown == sections
    tight = fit(sections, len(str(roomy.css)) // 3)
    assert tight.thumbs.width < WIDTHS[0]


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.0])
def test_the_budget_holds_and_first_images_come_first(share: float, tmp_path: Path) -> None:
    sections = sheets(tmp_path, 3, 3)
    whole = len(str(_fill(sections, Thumbs(WIDTHS[-1]), 10**9).css))
    room = int(share * whole)
    fitted = fit(sections, room)
    assert len(str(fitted.css).replace("\n", "")) <= room
    for all_, shown, dropped in zip(sections, fitted.shown, fitted.dropped, strict=True):
        assert [s.index for s in (*shown, *dropped)] == [s.index for s in all_]
    counts = [len(shown) for shown in fitted.shown]
    assert max(counts) - min(counts) <= 1
    assert any(fitted.dropped)


def test_a_page_beyond_its_limit_drops_pictures_and_keeps_every_verdict(tmp_path: Path) -> None:
    result = full_session()
    illustrated(result, tmp_path / "runs")
    content = build(result, tmp_path / "runs")
    whole, bare = render_html(content), render_html(content, limit=0)
    files = {p for s in content.sections for sheet in s.sheets for p in files_of(sheet)}
    assert len(files) > 4
    assert whole.count("data:image/webp") == len({p.read_bytes() for p in files})
    assert "data:image" not in bare
    assert "Pictures of images 0, 1 are left out to keep this file small" in bare
    assert "left out to keep" not in whole
    verdicts = re.compile(r'class="badge [a-z]+">[^<]+')
    assert verdicts.findall(whole) == verdicts.findall(bare)
    limit = len(bare) + (len(whole) - len(bare)) // 2
    assert len(render_html(content, limit=limit).encode()) <= limit
