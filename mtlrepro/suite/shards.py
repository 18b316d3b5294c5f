"""Parts of a selection of rows for machines that know nothing of each other (`--shard K/N`).

Rows of one declared table are judged together: its claims, spreads and adjusted verdicts need all of them. Tables that
share a run are kept together too, so that nothing is trained twice and a shard's verdicts are those of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from mtlrepro.errors import SpecError
from mtlrepro.spec import RunSpec
from mtlrepro.suite.session import baselines
from mtlrepro.suite.shrink import TWINS
from mtlrepro.suite.table import BoundTable, Row

SAMPLES = 2000
"""Training samples that a whole split is taken for: what a dataset has is not known where it does not lie."""

FIXED = 2e6
"""Work that a run is besides its training, in pixels of a single-task network: setting up, evaluation, pictures."""

COUNTING = FIXED / 10
"""Work of counting the parameters and MACs of a network, likewise."""


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` parts, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Shard(1, 1)


def parse(text: str) -> Shard:
    """ "K/N" as a shard.

    Example:
        >>> parse("2/3")
        Shard(number=2, count=3)

    Raises:
        SpecError: not of that form, or no such part.
    """
    number, slash, count = text.partition("/")
    if slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return Shard(int(number), int(count))
    raise SpecError("no such part", field=f"--shard {text}", mend="Give K/N with 1 <= K <= N, for example 2/4")


@dataclass(frozen=True)
class Unit:
    """What stays together at least: the selected rows of one declared table.

    Attributes:
        name: the table's key.
        keys: hashes of the runs that its rows, and the rows that their Δ_m refers to, read or need, at every tier.
        runs: those of the tier that is asked for, with their work.
        counting: work of counting parameters and MACs.
    """

    name: str
    keys: frozenset[str]
    runs: Mapping[str, float]
    counting: float = 0.0


def choose(cases: Sequence[tuple[BoundTable, Row]], shard: Shard, tier: str = "auto") -> list[tuple[BoundTable, Row]]:
    """Those of the selected rows that belong to a shard, in their order; each row belongs to exactly one.

    The answer depends on the selection, the shard and the tier alone: every machine gives the same.

    Args:
        cases: the whole selection.
        shard: which part.
        tier: the tier that is asked for, by which the work is estimated.
    """
    place = deal(units(cases, tier), shard.count)
    return [case for case in cases if place[case[0].table.key] == shard.number - 1]


def units(cases: Iterable[tuple[BoundTable, Row]], tier: str = "auto") -> list[Unit]:
    """One unit a declared table of a selection, in the order of their names.

    Args:
        cases: the selected rows.
        tier: see `choose`; what "auto" becomes is known to each machine alone, so smoke stands for it.
    """
    twin = TWINS.get(tier, TWINS["smoke"])
    specs: dict[str, dict[RunSpec, None]] = {}
    counted: dict[str, int] = {}
    for bound, row in cases:
        key = bound.table.key
        read = [] if row.counted else [row, *(there.row(name) for there, name in baselines(bound, row))]
        found = [part for one in read for spec in one.specs for part in _with_needs(spec)]
        specs.setdefault(key, {}).update(dict.fromkeys(found))
        counted[key] = counted.get(key, 0) + max(1, len(row.specs))  # a row without a recipe is work, if little
    # Runs that differ on paper may have one twin: whatever tier serves them, they must meet.
    keys = {name: frozenset(key for spec in of for key in _keys(spec)) for name, of in specs.items()}
    runs = {name: {run.hash(): work(run) for run in map(twin, of)} for name, of in specs.items()}
    return [Unit(name, keys[name], runs[name], COUNTING * counted[name]) for name in sorted(specs)]


def deal(every: Sequence[Unit], count: int) -> dict[str, int]:
    """Unit's name -> which of `count` parts it belongs to.

    Units that share a run, directly or over others, go to one part. Larger groups are dealt first, each to the part
    that has least work by then; a part is empty only where there are fewer groups than parts.
    """
    loads = [0.0] * count
    place: dict[str, int] = {}
    sized = [(_work(group), group) for group in _groups(every)]
    for cost, group in sorted(sized, key=lambda entry: (-entry[0], entry[1][0].name)):
        part = loads.index(min(loads))
        loads[part] += cost
        place |= {unit.name: part for unit in group}
    return place


def work(spec: RunSpec) -> float:
    """Estimated work of a run without those it needs, in pixels that a single-task network is trained on.

    Rough: samples x pixels x views of the objective, times what the network does for a pixel: encoder, a head a main
    task, and for every task of a front-end a head and its distillation.
    """
    from mtlrepro.objectives import OBJECTIVES

    recipe, data = spec.recipe, spec.data
    samples = recipe.steps * recipe.batch or recipe.epochs * (data.train or SAMPLES) * data.percent / 100
    heads = (1 + len(spec.model.main) + 2 * len(spec.model.aux)) / 2
    return FIXED + samples * data.size[0] * data.size[1] * OBJECTIVES[spec.objective.name].views * heads


@cache
def _keys(spec: RunSpec) -> frozenset[str]:
    """Hashes of a run's twins at all tiers."""
    return frozenset(make(spec).hash() for make in TWINS.values())


def _with_needs(spec: RunSpec) -> Iterator[RunSpec]:
    yield spec
    for need in spec.needs:
        yield from _with_needs(need)


def _groups(every: Sequence[Unit]) -> list[list[Unit]]:
    """Units joined wherever they share a run, each group in the order of names."""
    groups: list[tuple[set[str], list[Unit]]] = []
    for unit in sorted(every, key=lambda unit: unit.name):
        keys, members = set(unit.keys), [unit]
        apart = []
        for theirs, others in groups:
            if keys.isdisjoint(theirs):
                apart.append((theirs, others))
            else:
                keys, members = keys | theirs, [*others, *members]
        groups = [*apart, (keys, members)]
    return [sorted(members, key=lambda unit: unit.name) for _, members in groups]


def _work(group: Sequence[Unit]) -> float:
    runs: dict[str, float] = {}
    for unit in group:
        runs |= unit.runs
    return sum(runs.values()) + sum(unit.counting for unit in group)
