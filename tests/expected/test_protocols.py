"""`protocols.toml`: what columns may name, read and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtlrepro.errors import SpecError
from mtlrepro.expected.protocols import load_vocabulary

PROTOCOLS = """
tasks = ["semseg"]

[[protocols]]
id = "iou/class@1"
figures = { iou = "higher" }
units = ["%"]
says = "s"
source = "s"
"""


def test_iou_stands_for_the_iou_of_every_class(tmp_path: Path) -> None:
    path = tmp_path / "protocols.toml"
    path.write_text(PROTOCOLS)
    vocabulary = load_vocabulary(path)
    iou = vocabulary.protocols["iou/class@1"]
    assert [iou.direction(f) for f in ("iou", "iou_road", "miou")] == ["higher", "higher", None]
    vocabulary.check("semseg.iou_road", "iou/class@1", "higher", "%", file=path, field="f")
    with pytest.raises(SpecError, match="unknown figure of iou/class@1 'miou'") as caught:
        vocabulary.check("semseg.miou", "iou/class@1", "higher", "%", file=path, field="f")
    assert (caught.value.field, "'iou'" in caught.value.mend) == ("f.metric", True)
    with pytest.raises(SpecError, match="unknown unit of iou/class@1 'm'") as caught:
        vocabulary.check("semseg.iou_road", "iou/class@1", "higher", "m", file=path, field="f")
    assert (caught.value.field, caught.value.mend) == ("f.unit", "Known: %")


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ('tasks = ["semseg"]', "", "tasks", "not a list of names"),
        ('tasks = ["semseg"]', "tasks = [1]", "tasks", "not a list of names"),
        ('tasks = ["semseg"]', 'task = ["semseg"]', None, "unknown key 'task'"),
        ("[[protocols]]", "[protocols]", "protocols", "not an array of tables"),
        ('source = "s"', "", "protocols[0]", "missing key 'source'"),
        ('source = "s"', 'sorce = "s"', "protocols[0]", "unknown key 'sorce'"),
        ('units = ["%"]', "", "protocols[0]", "missing key 'units'"),
        ('units = ["%"]', 'units = "%"', "protocols[0].units", "unexpected value '%'"),
        ('"higher"', '"up"', "protocols[0].figures.iou", "unknown direction 'up'"),
        ('"higher"', "1", "protocols[0].figures.iou", "unknown direction '1'"),
        ("[[protocols]]", PROTOCOLS.partition("\n\n")[2] + "[[protocols]]", "protocols[1]", "is there twice"),
    ],
)
def test_wrong_protocols_are_told(old: str, new: str, field: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "protocols.toml"
    assert old in PROTOCOLS
    path.write_text(PROTOCOLS.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        load_vocabulary(path)
    assert says in caught.value.problem
    assert (caught.value.file, caught.value.field) == (path, field)
    assert caught.value.mend
