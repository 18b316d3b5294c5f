"""`tolerances.toml`: practical tolerances, margins and regression limits, read and refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from expected_files import EXPECTED

from mtlrepro.errors import SpecError
from mtlrepro.expected.tolerances import load_tolerances

TOLERANCE = '[[tolerance]]\nprotocol = "{}"\nevidence = "e"\n'
MARGIN = '[[margin]]\nfigure = "{}"\nevidence = "e"\nmargin = {}\n'
REGRESSION = '[[regression]]\nfigure = "{}"\nevidence = "e"\nratio = {}\n'


def write_tolerances(folder: Path, text: str) -> Path:
    path = folder / "tolerances.toml"
    shutil.copy(EXPECTED / "protocols.toml", folder)
    path.write_text(text)
    return path


def test_the_longest_prefix_of_a_protocol_counts(tmp_path: Path) -> None:
    text = "\n".join(
        f'[[tolerance]]\nprotocol = "{p}"\nrelative = {r}\nabsolute = 0.5\nevidence = "e"'
        for p, r in (("depth/", 0.01), ("depth/pooled@1", 0.02))
    )
    text += '\n[[margin]]\nfigure = "depth.rmse"\nmargin = 0.1\nevidence = "e"'
    text += '\n[[regression]]\nfigure = "step_ms"\nratio = 1.2\nevidence = "e"'
    tolerances = load_tolerances(write_tolerances(tmp_path, text))
    assert tolerances.of("depth/pooled@1").band(-10) == pytest.approx(0.7)
    assert tolerances.of("depth/image@1").band(10) == pytest.approx(0.6)
    assert tolerances.of("miou/dataset@1").band(10) == 0
    assert (tolerances.margin("depth.rmse"), tolerances.margin("semseg.miou")) == (0.1, None)
    assert (tolerances.regression("step_ms"), tolerances.regression("vram_bytes")) == (1.2, None)


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ('[[tolerence]]\nprotocol = "a"', None, "unknown key 'tolerence'"),
        ('[[tolerance]]\nprotocol = "a"\nevidence = "e"\nrelativ = 0.1', "tolerance[0]", "unknown key 'relativ'"),
        ('[[tolerance]]\nprotocol = "a"', "tolerance[0]", "missing key 'evidence'"),
        (TOLERANCE.format("mioux/"), "tolerance[0].protocol", "unknown protocol 'mioux/'"),
        *((TOLERANCE.format("miou/") + f"relative = {x}", "tolerance[0]", "no amount") for x in ("-0.1", "inf", "nan")),
        *((TOLERANCE.format("miou/") + f"absolute = {x}", "tolerance[0]", "no amount") for x in ("-0.1", "inf", "nan")),
        (TOLERANCE.format("miou/") * 2, "tolerance", "'miou/' is there twice"),
        ('[[margin]]\nfigure = "a"\nevidence = "e"\nmargin = "1%"', "margin[0].margin", "unexpected value '1%'"),
        (MARGIN.format("semsge.miou", 0.1), "margin[0].figure", "unknown task 'semsge'"),
        (MARGIN.format("semseg.moiu", 0.1), "margin[0].figure", "unknown figure 'moiu'"),
        *((MARGIN.format("semseg.miou", x), "margin[0].margin", x) for x in ("-0.1", "1.0", "inf", "nan")),
        (MARGIN.format("semseg.miou", 0.1) * 2, "margin", "'semseg.miou' is there twice"),
        (REGRESSION.format("step_s", 1.2), "regression[0].figure", "unknown figure 'step_s'"),
        *((REGRESSION.format("step_ms", x), "regression[0]", f"ratio {x}") for x in ("1.0", "0.5", "inf", "nan")),
        (REGRESSION.format("step_ms", 1.2) * 2, "regression", "'step_ms' is there twice"),
    ],
)
def test_wrong_tolerances_are_told(text: str, field: str | None, says: str, tmp_path: Path) -> None:
    path = write_tolerances(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        load_tolerances(path)
    assert says in caught.value.problem
    assert (caught.value.file, caught.value.field) == (path, field)
    assert caught.value.mend


def test_the_shipped_tolerances_give_their_evidence() -> None:
    tolerances = load_tolerances(EXPECTED / "tolerances.toml")
    assert tolerances.tolerances
    texts = [t.evidence for t in tolerances.tolerances] + [m.evidence for m in tolerances.margins]
    texts += [r.evidence for r in tolerances.regressions]
    assert [t for t in texts if len(t) <= 20] == []
