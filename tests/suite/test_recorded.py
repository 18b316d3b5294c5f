"""Recorded results: updated from a run store, read back by machine and tier, and refused when they are not whole."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence_fakes import table, two_sets
from suite_fakes import body, make_spec

from mtlrepro.engine.environment import environment
from mtlrepro.errors import StoreError
from mtlrepro.files import write_json
from mtlrepro.spec import RunSpec
from mtlrepro.suite import recorded
from mtlrepro.suite.machine import machine
from mtlrepro.suite.recorded import Recorded
from mtlrepro.suite.shrink import TWINS
from mtlrepro.suite.store import Finished, Run, Store
from mtlrepro.suite.table import BoundTable

PROGRAM = "p" * 16
CPU = {"cpu": "AMD EPYC", "cores": "2", "gpu": "none", "commit": "abc", "torch": "2"}
GPU = {"cpu": "AMD EPYC", "cores": "16", "gpu": "NVIDIA H200", "commit": "abc", "torch": "2"}
HERE, THERE = machine(CPU), machine(GPU)
DEP, SEG = "final.depth.depth/pooled@1.rmse", "final.semseg.miou/dataset@1.miou"
JANUARY = 1_767_225_600.0
"""2026-01-01, in seconds since the epoch."""


@pytest.fixture
def panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[BoundTable]:
    """The panels of a table; the program is a stand-in."""
    monkeypatch.setattr(recorded, "program_digest", lambda spec: PROGRAM)
    return list(two_sets(tmp_path).values())


def spec_of(panels: list[BoundTable], name: str, panel: int = 0) -> RunSpec:
    return panels[panel].row(name).specs[0]


def run(
    spec: RunSpec,
    seed: int = 0,
    value: float = 0.5,
    env: dict[str, str] = CPU,
    tier: str = "smoke",
    program: str = PROGRAM,
    data: str = "d",
    ended: float = JANUARY,
    speed: dict[str, float] | None = None,
) -> Finished:
    """A finished run of a spec's twin with that depth error."""
    identity = Run(TWINS.get(tier, lambda s: s)(spec), seed, tier, program, data)
    record = body(final__depth__rmse=value, final__semseg__miou=value / 2, scale_0__depth__rmse=9, final__depth__rel=8)
    return Finished(identity, {**record, "speed": speed or {}}, env, ended)


def kept(path: Path, spec: RunSpec, tier: str = "smoke") -> list[float]:
    """The depth errors that a file holds for a spec."""
    values: list[float] = json.loads(path.read_text())["runs"][TWINS[tier](spec).hash()]["metrics"][DEP]
    return values


# --- what is written --------------------------------------------------------------------------------------------------


def test_figures_that_tables_print_are_written_by_machine_and_tier(panels: list[BoundTable], tmp_path: Path) -> None:
    base = spec_of(panels, "Base")
    runs = [
        *(run(base, seed, 0.5 + seed / 10, speed={"step_ms": 7.0, "images_per_s": 3.0}) for seed in (1, 0)),
        run(base, 0, 0.7, GPU, speed={"step_ms": 1.0, "vram_bytes": 4e9}),
        run(base, 0, 0.9, GPU, "bench"),
    ]
    folder = tmp_path / "measured"
    paths = recorded.update(panels, runs, folder, "mtlrepro expected update")
    assert [str(p.relative_to(folder)) for p in paths] == [
        f"{HERE}/smoke.json",
        f"{THERE}/bench.json",
        f"{THERE}/smoke.json",
    ]
    content = json.loads(paths[0].read_text())
    assert content["schema_version"] == 3
    ((key, kept_run),) = content["runs"].items()
    twin = TWINS["smoke"](base)
    assert (key, kept_run["label"]) == (twin.hash(), twin.label)
    assert kept_run["metrics"] == {DEP: [0.5, 0.6], SEG: [0.25, 0.3]}  # by seed; what no column prints is left out
    assert kept_run["speed"] == {"step_ms": [7.0, 7.0]}
    assert content["provenance"][kept_run["provenance"]] == {
        **CPU,
        "date": "2026-01-01",
        "seeds": "0, 1",
        "command": "mtlrepro expected update",
    }
    speed = json.loads(paths[2].read_text())["runs"][key]["speed"]
    assert speed == {"step_ms": [1.0], "vram_bytes": [4e9]}


def test_every_view_that_a_table_reads_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "program_digest", lambda spec: PROGRAM)
    bound = table("4")
    one = run(bound.row("Final output").specs[0])
    views = ("final", "scale_0", "scale_1", "scale_2", "scale_3")
    one.record["metrics"] = {f"{v}.depth.depth/pooled@1.rmse": float(i) for i, v in enumerate(views)} | {
        "other.depth.depth/pooled@1.rmse": 9.0
    }
    (path,) = recorded.update([bound], [one], tmp_path, "")
    (kept_run,) = json.loads(path.read_text())["runs"].values()
    assert sorted(kept_run["metrics"]) == sorted(f"{v}.depth.depth/pooled@1.rmse" for v in views)


def test_runs_that_belong_to_no_row_or_to_another_program_are_left_out(
    panels: list[BoundTable], tmp_path: Path
) -> None:
    base = spec_of(panels, "Base")
    strangers = [
        run(base, program="older"),
        run(base, tier="own"),
        run(replace(base, recipe=replace(base.recipe, epochs=7)), tier="full"),
    ]
    assert recorded.update(panels, strangers, tmp_path / "measured", "") == []
    assert not (tmp_path / "measured").exists()
    (path,) = recorded.update(panels, [*strangers, run(base, value=0.4)], tmp_path / "measured", "")
    assert kept(path, base) == [0.4]


@pytest.mark.parametrize(
    ("old", "new", "winner"),
    [
        ([0, 1, 2], [0, 1], 0.1),  # most seeds
        ([0, 1], [0, 1], 0.2),  # among equals the youngest
        ([0], [0, 1, 2], 0.2),
    ],
)
@pytest.mark.parametrize("what", ["environment", "data"])
def test_the_environment_with_most_seeds_counts_and_then_the_youngest(
    old: list[int], new: list[int], winner: float, what: str, panels: list[BoundTable], tmp_path: Path
) -> None:
    base = spec_of(panels, "Base")
    changed: dict[str, Any] = {"env": {**CPU, "torch": "3"}} if what == "environment" else {"data": "e"}
    runs = [run(base, s, 0.1) for s in old] + [run(base, s, 0.2, ended=JANUARY + 9e5, **changed) for s in new]
    for order in (runs, runs[::-1]):
        (path,) = recorded.update(panels, order, tmp_path / "measured", "")
        assert set(kept(path, base)) == {winner}
    (provenance,) = json.loads(path.read_text())["provenance"].values()
    assert provenance["date"] == ("2026-01-11" if winner == 0.2 else "2026-01-01")


def test_what_is_not_in_the_store_stays_with_its_provenance(panels: list[BoundTable], tmp_path: Path) -> None:
    base, method = spec_of(panels, "Base"), spec_of(panels, "Method")
    folder = tmp_path / "measured"
    recorded.update(panels, [run(base, value=0.1), run(method, value=0.2)], folder, "old")
    (path,) = recorded.update(panels, [run(method, value=0.3)], folder, "new")
    assert (kept(path, base), kept(path, method)) == ([0.1], [0.3])
    content = json.loads(path.read_text())
    made_by = [content["provenance"][content["runs"][TWINS["smoke"](s).hash()]["provenance"]] for s in (base, method)]
    assert [p["command"] for p in made_by] == ["old", "new"]
    recorded.update(panels, [run(base, value=0.4)], folder, "new")
    content = json.loads(path.read_text())
    assert [p["command"] for p in content["provenance"].values()] == ["new"]  # what nothing refers to is gone


def test_panels_that_share_a_spec_share_its_record(panels: list[BoundTable], tmp_path: Path) -> None:
    runs = [run(spec_of(panels, "Base", i), value=0.1 + i) for i in (0, 1)]
    (path,) = recorded.update(panels, runs, tmp_path / "measured", "")
    assert len(json.loads(path.read_text())["runs"]) == 2
    assert [kept(path, spec_of(panels, "Base", i)) for i in (0, 1)] == [[0.1], [1.1]]


def test_fewer_seeds_than_were_recorded_are_refused_and_nothing_is_written(
    panels: list[BoundTable], tmp_path: Path
) -> None:
    spec = spec_of(panels, "Method")
    (path,) = recorded.update(panels, [run(spec, seed, 0.5 + seed) for seed in range(3)], tmp_path / "m", "first")
    before = path.read_text()
    with pytest.raises(StoreError, match="1 seeds in the store and was recorded with 3") as caught:
        recorded.update(panels, [run(spec, 0, 0.9)], tmp_path / "m", "second")
    assert "--seeds 3" in caught.value.mend
    assert path.read_text() == before


def test_a_run_that_diverged_is_no_reference(panels: list[BoundTable], tmp_path: Path) -> None:
    spec = spec_of(panels, "Method")
    (path,) = recorded.update(panels, [run(spec, 0, 0.5), run(spec, 1, math.nan)], tmp_path / "m", "c")
    assert kept(path, spec) == [0.5]


def test_a_store_is_read_as_it_lies(panels: list[BoundTable], tmp_path: Path) -> None:
    base, store = spec_of(panels, "Base"), Store(tmp_path / "runs")

    def execute(value: float) -> Callable[[Path], dict[str, Any]]:
        def work(folder: Path) -> dict[str, Any]:
            write_json(folder / "env.json", environment())
            return body(final__depth__rmse=value)

        return work

    for seed, value in ((0, 0.5), (1, 0.6)):
        store.ensure(run(base, seed).run, execute(value))
    (tmp_path / "runs" / "unfinished").mkdir()
    found = list(store.finished())
    assert [f.record["key"] for f in found] == [f.run.key for f in found]
    (path,) = recorded.update(panels, found, tmp_path / "measured", "")
    assert path == tmp_path / "measured" / machine(environment()) / "smoke.json"
    assert kept(path, base) == [0.5, 0.6]


# --- what is read -----------------------------------------------------------------------------------------------------


def test_what_was_just_recorded_is_what_is_compared_with(panels: list[BoundTable], tmp_path: Path) -> None:
    base, folder = spec_of(panels, "Base"), tmp_path / "measured"
    for value in (0.5, 0.9):
        recorded.update(panels, [run(base, s, value + s) for s in (0, 1)], folder, "")
        reference = recorded.load(folder, "smoke", HERE)
        assert reference is not None
        assert reference.values(TWINS["smoke"](base), DEP) == [value, value + 1]
        assert reference.values(TWINS["smoke"](base), "final.depth.depth/pooled@1.rel") == []
        assert reference.values(TWINS["smoke"](spec_of(panels, "Method")), DEP) == []


def test_quality_is_this_machine_s_before_another_s_and_speed_this_machine_s_alone(
    panels: list[BoundTable], tmp_path: Path
) -> None:
    base, method, folder = spec_of(panels, "Base"), spec_of(panels, "Method"), tmp_path / "measured"
    fast, slow = {"step_ms": 1.0, "vram_bytes": 4e9}, {"step_ms": 50.0}
    runs = [
        run(base, value=0.1, speed=slow),
        run(base, value=0.2, env=GPU, speed=fast),
        run(method, value=0.3, env=GPU, speed=fast),
    ]
    recorded.update(panels, runs, folder, "")
    twins = [TWINS["smoke"](s) for s in (base, method)]

    def seen(name: str) -> list[Any]:
        reference = recorded.load(folder, "smoke", name)
        assert reference is not None
        return [
            [reference.values(t, DEP), reference.speed(t, "step_ms"), reference.speed(t, "vram_bytes")] for t in twins
        ]

    assert seen(HERE) == [[[0.1], [50.0], []], [[0.3], [], []]]
    assert seen(THERE) == [[[0.2], [1.0], [4e9]], [[0.3], [1.0], [4e9]]]
    assert [s[1:] for s in seen("a-third-machine")] == [[[], []], [[], []]]
    assert seen("a-third-machine")[1][0] == [0.3]


def test_no_file_is_no_reference(panels: list[BoundTable], tmp_path: Path) -> None:
    recorded.update(panels, [run(spec_of(panels, "Base"))], tmp_path / "measured", "")
    assert recorded.load(tmp_path / "measured", "bench", HERE) is None
    assert recorded.load(tmp_path / "nowhere", "smoke", HERE) is None


def test_the_spread_is_pooled_over_specs() -> None:
    reference = Recorded({"a": {"metrics": {DEP: [0.5, 0.7], SEG: [0.3, 0.4]}}, "b": {"metrics": {DEP: [0.6, 0.6]}}})
    assert reference.spread(DEP) == (pytest.approx(math.sqrt(0.02 / 2)), 2)
    assert reference.spread(SEG) == (pytest.approx(math.sqrt(0.005)), 1)
    assert reference.spread("final.normals.normals/pooled@1.mean") is None


def test_a_spec_that_is_not_the_machine_s_own_has_no_speed() -> None:
    spec = make_spec()
    runs = {spec.hash(): {"metrics": {}, "speed": {"step_ms": [3.0]}}}
    assert Recorded(runs).speed(spec, "step_ms") == []
    assert Recorded(runs, [spec.hash()]).speed(spec, "step_ms") == [3.0]
    assert Recorded(runs, [spec.hash()]).speed(spec, "vram_bytes") == []
    assert Recorded(runs, [spec.hash()]).speed(make_spec("padnet"), "step_ms") == []


def test_the_repository_s_own_records_are_read() -> None:
    measured = table("2a").measured
    assert measured is not None
    for file in measured.glob("*/*.json"):
        assert recorded.load(measured, file.stem, file.parent.name) is not None


def one_run(**said: Any) -> dict[str, Any]:
    return {"schema_version": 3, "provenance": {"m": {}}, "runs": {"k": {"provenance": "m", **said}}}


@pytest.mark.parametrize(
    ("content", "field", "says"),
    [
        ("{", None, "not valid JSON"),
        ("[]", None, "holds a list"),
        ({"runs": {}}, "schema_version", "schema version None"),
        ({"schema_version": 99, "runs": {}}, "schema_version", "schema version 99"),
        ({"schema_version": 2, "runs": {}}, "schema_version", "schema version 2"),
        ({"schema_version": 3}, "runs", "not an object"),
        ({"schema_version": 3, "runs": {}}, "provenance", "not an object"),
        ({"schema_version": 3, "runs": {"k": []}, "provenance": {}}, "runs.k.provenance", "names no provenance"),
        (one_run(), "runs.k.metrics", "not an object of lists"),
        (one_run(metrics={"f": 0.5}), "runs.k.metrics", "not an object of lists"),
        (one_run(metrics={"f": [0.5]}), "runs.k.speed", "not an object of lists"),
        (one_run(metrics={}, speed={"step_ms": ["1"]}), "runs.k.speed", "not an object of lists"),
    ],
)
@pytest.mark.parametrize("name", [HERE, "another-machine"])
def test_a_wrong_file_is_told_with_file_field_and_mend(
    content: Any, field: str | None, says: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / name / "smoke.json"
    path.parent.mkdir()
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(StoreError, match=says) as caught:
        recorded.load(tmp_path, "smoke", HERE)
    assert (caught.value.file, caught.value.field) == (path, field)
    assert "mtlrepro expected update" in caught.value.mend
    assert "Delete the folder" not in caught.value.mend
