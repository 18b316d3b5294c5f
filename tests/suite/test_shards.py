"""Shards of real tables and of made-up ones: a partition, the same everywhere, nothing trained twice, even."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suite_fakes import ROOT, SUITES

from mtlrepro.errors import SpecError
from mtlrepro.spec import ExtraData, RunSpec
from mtlrepro.suite.session import baselines
from mtlrepro.suite.shards import FIXED, Shard, Unit, choose, deal, parse, units, work
from mtlrepro.suite.shrink import TWINS
from mtlrepro.suite.table import BoundTable, Row, discover, select

Cases = list[tuple[BoundTable, Row]]


@pytest.fixture(scope="module")
def cases() -> Cases:
    return [(bound, row) for bound in select(list(discover(SUITES)), []) for row in bound.rows]


@pytest.fixture(scope="module")
def made(cases: Cases) -> dict[tuple[str, str], set[str]]:
    """Tier and run of everything that a session with a row makes, by the row."""
    found: dict[tuple[str, str], set[str]] = {}
    twins: dict[RunSpec, set[str]] = {}
    for bound, row in cases:
        runs = found.setdefault((bound.key, row.name), set())
        todo = [] if row.counted else [*row.specs]
        todo += [] if row.counted else [s for there, name in baselines(bound, row) for s in there.row(name).specs]
        while todo:
            spec = todo.pop()
            if spec not in twins:
                twins[spec] = {f"{tier} {TWINS[tier](spec).hash()}" for tier in ("smoke", "bench", "full")}
            runs |= twins[spec]
            todo += spec.needs
    return found


# --- the real tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4, 7, 30])
def test_every_run_is_made_in_one_shard(cases: Cases, made: dict[tuple[str, str], set[str]], count: int) -> None:
    place = deal(units(cases, "smoke"), count)
    runs: list[set[str]] = [set() for _ in range(count)]
    for bound, row in cases:
        runs[place[bound.table.key]] |= made[bound.key, row.name]
    assert sum(map(len, runs)) == len(set().union(*runs))


def test_every_row_is_in_one_shard(cases: Cases) -> None:
    parts = [[(b.key, r.name) for b, r in choose(cases, Shard(k, 3), "smoke")] for k in (1, 2, 3)]
    order = [(bound.key, row.name) for bound, row in cases]
    assert sorted(itertools.chain(*parts)) == sorted(order)
    assert all(part == sorted(part, key=order.index) for part in parts), "the order of the selection"


def test_four_shards_have_about_equal_work(cases: Cases) -> None:
    for tier in ("smoke", "bench", "full"):
        every = units(cases, tier)
        place = deal(every, 4)
        runs: list[dict[str, float]] = [{} for _ in range(4)]
        for unit in every:
            runs[place[unit.name]] |= unit.runs
        loads = [sum(of.values()) for of in runs]
        assert max(loads) < 1.1 * sum(loads) / 4, tier


def test_the_order_of_the_selection_makes_no_difference(cases: Cases) -> None:
    place = deal(units(cases), 5)
    for seed in range(3):
        mixed = random.Random(seed).sample(cases, len(cases))
        assert deal(units(mixed), 5) == place


def test_another_process_deals_alike(cases: Cases) -> None:
    some = [case for case in cases if case[0].table.paper == "mt_cp"]
    wanted = [f"{bound.key} {row.name}" for bound, row in choose(some, Shard(2, 3))]
    code = (
        "from pathlib import Path; from mtlrepro.suite.shards import *; from mtlrepro.suite.table import *\n"
        "rows = [(b, r) for b in select(list(discover(Path('suites'))), ['mt_cp']) for r in b.rows]\n"
        "print('\\n'.join(f'{b.key} {r.name}' for b, r in choose(rows, Shard(2, 3))))"
    )
    command = [sys.executable, "-c", code]
    env = {"PYTHONHASHSEED": "7", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == wanted


def test_rows_without_a_recipe_and_counted_ones_stay_with_their_table(cases: Cases) -> None:
    place = deal(units(cases), 6)
    assert {case[0].table.key for case in cases} == set(place)
    bare = [case for case in cases if not case[1].specs]
    assert set(deal(units(bare), 3).values()) == {0, 1, 2}, "they are dealt too where nothing else is selected"
    assert any(not row.specs for _, row in cases)
    assert any(row.counted for _, row in cases)


# --- dealing ----------------------------------------------------------------------------------------------------------

UNITS = st.lists(
    st.dictionaries(st.sampled_from("abcdefghijkl"), st.floats(0.1, 100), max_size=4), min_size=1, max_size=12
).map(lambda every: [Unit(f"t{i:02d}", frozenset(runs), runs, 1.0) for i, runs in enumerate(every)])


@given(UNITS, st.integers(1, 8), st.randoms())
def test_units_that_share_a_run_meet_and_order_does_not_matter(
    every: list[Unit], count: int, chance: random.Random
) -> None:
    place = deal(every, count)
    assert set(place) == {unit.name for unit in every}
    assert set(place.values()) <= set(range(count))
    for one, other in itertools.combinations(every, 2):
        if one.keys & other.keys:
            assert place[one.name] == place[other.name]
    mixed = list(every)
    chance.shuffle(mixed)
    assert deal(mixed, count) == place


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=12), st.integers(1, 6))
def test_no_part_has_more_than_its_share_and_the_largest_unit(costs: list[float], count: int) -> None:
    every = [Unit(f"t{i:02d}", frozenset([str(i)]), {str(i): cost}) for i, cost in enumerate(costs)]
    place = deal(every, count)
    loads = [sum(cost for unit, cost in zip(every, costs, strict=True) if place[unit.name] == k) for k in range(count)]
    assert max(loads) <= sum(costs) / count + max(costs) + 1e-9
    assert sum(load == 0 for load in loads) == max(0, count - len(costs))


def test_a_chain_of_shared_runs_is_one_group() -> None:
    every = [
        Unit(name, frozenset(keys), dict.fromkeys(keys, 1.0))
        for name, keys in {"a": "xy", "b": "w", "c": "yz", "d": "zv"}.items()
    ]
    assert deal(every, 3) == {"a": 0, "c": 0, "d": 0, "b": 1}


def test_work_grows_with_what_a_run_does(cases: Cases) -> None:
    spec = TWINS["smoke"](next(row.specs[0] for _, row in cases if row.specs))
    twice = replace(spec, recipe=replace(spec.recipe, epochs=2 * spec.recipe.epochs))
    assert work(twice) - FIXED == pytest.approx(2 * (work(spec) - FIXED))
    wider = replace(spec, model=replace(spec.model, main=(*spec.model.main, "normals"), aux=()))
    assert work(wider) > work(replace(spec, model=replace(spec.model, aux=())))
    views = replace(spec, objective=replace(spec.objective, name="jtr"))
    assert work(views) - FIXED == pytest.approx(3 * (work(spec) - FIXED))
    steps = replace(spec, recipe=replace(spec.recipe, steps=10, batch=4))
    whole = replace(spec, data=replace(spec.data, train=None, extra=ExtraData()))
    assert work(steps) < work(spec) < work(whole)


# --- K/N --------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 99), st.integers(1, 99))
def test_a_shard_reads_itself(number: int, count: int) -> None:
    text = f"{number}/{count}"
    if number <= count:
        assert str(parse(text)) == text
    else:
        with pytest.raises(SpecError, match=f"--shard {text}: no such part. Give K/N"):
            parse(text)


@pytest.mark.parametrize("text", ["", "1", "/", "0/3", "-1/3", "1/0", "1/2/3", "a/b", "1.0/2", "²/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="no such part"):
        parse(text)
