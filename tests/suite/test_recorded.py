"""Recorded results: written, read back, and refused when they are not what `save` writes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from suite_fakes import make_spec

from mtlrepro.errors import StoreError
from mtlrepro.suite import recorded

MTL, STL = make_spec("mtl"), make_spec("stl", main=("depth",))
RUNS = {
    MTL.hash(): {"label": "mtl", "metrics": {"final.depth.rmse": [0.5, 0.7], "final.semseg.miou": [0.3, 0.4]}},
    STL.hash(): {"label": "stl", "metrics": {"final.depth.rmse": [0.6, 0.6]}},
}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = recorded.save(tmp_path, "smoke", RUNS, {"commit": "abc"})
    assert list(json.loads(path.read_text())["provenance"].values()) == [{"commit": "abc"}]
    reference = recorded.load(tmp_path, "smoke")
    assert reference is not None
    assert reference.values(MTL, "final.depth.rmse") == [0.5, 0.7]
    assert reference.values(STL, "final.semseg.miou") == []
    assert reference.values(make_spec("padnet"), "final.depth.rmse") == []


def test_the_spread_is_pooled_over_specs(tmp_path: Path) -> None:
    recorded.save(tmp_path, "smoke", RUNS, {})
    reference = recorded.load(tmp_path, "smoke")
    assert reference is not None
    assert reference.spread("final.depth.rmse") == (pytest.approx(math.sqrt(0.02 / 2)), 2)
    assert reference.spread("final.semseg.miou") == (pytest.approx(math.sqrt(0.005)), 1)
    assert reference.spread("final.normals.mean") is None


def test_recording_some_specs_keeps_the_others_and_their_provenance(tmp_path: Path) -> None:
    recorded.save(tmp_path, "smoke", RUNS, {"commit": "old"})
    path = recorded.save(tmp_path, "smoke", {MTL.hash(): {"label": "mtl", "metrics": {"f": [1.0]}}}, {"commit": "new"})
    content = json.loads(path.read_text())
    made_by = {k: content["provenance"][run["provenance"]]["commit"] for k, run in content["runs"].items()}
    assert made_by == {MTL.hash(): "new", STL.hash(): "old"}
    path = recorded.save(tmp_path, "smoke", {STL.hash(): RUNS[STL.hash()]}, {"commit": "new"})
    assert [p["commit"] for p in json.loads(path.read_text())["provenance"].values()] == ["new"]


def test_no_file_is_no_reference(tmp_path: Path) -> None:
    assert recorded.load(tmp_path, "bench") is None


def test_what_was_just_recorded_is_what_is_compared_with(tmp_path: Path) -> None:
    for value in (0.5, 0.9):
        recorded.save(tmp_path, "smoke", {MTL.hash(): {"label": "", "metrics": {"f": [value]}}}, {})
        reference = recorded.load(tmp_path, "smoke")
        assert reference is not None
        assert reference.values(MTL, "f") == [value]


@pytest.mark.parametrize(
    ("content", "field", "says"),
    [
        ("{", None, "not valid JSON"),
        ("[]", None, "holds a list"),
        ({"runs": {}}, "schema_version", "schema version None"),
        ({"schema_version": 99, "runs": {}}, "schema_version", "schema version 99"),
        ({"schema_version": 1}, "runs", "not an object"),
        ({"schema_version": 1, "runs": {"k": {}}}, "runs.k.metrics", "not an object of lists"),
        ({"schema_version": 1, "runs": {"k": {"metrics": {"f": 0.5}}}}, "runs.k.metrics", "not an object of lists"),
    ],
)
def test_a_wrong_file_is_told_with_file_field_and_mend(
    content: Any, field: str | None, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "smoke.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(StoreError, match=says) as caught:
        recorded.load(tmp_path, "smoke")
    assert (caught.value.file, caught.value.field) == (path, field)
    assert "--record" in caught.value.mend
    assert "Delete the folder" not in caught.value.mend
