"""`expected/protocols.toml`: the named, versioned ways to compute a figure that columns refer to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mtlrepro.errors import SpecError, unknown
from mtlrepro.expected.schema import UNITS
from mtlrepro.expected.tomlfile import check_known, read_toml, take_all


@dataclass(frozen=True)
class Protocol:
    """One protocol.

    Attributes:
        id: "<name>/<variant>@<version>".
        figures: figures it defines -> "higher" or "lower"; "iou" stands for every "iou_<class>".
        units: units that columns of it may have.
        says: the rule, in a sentence or two.
        source: whose rule it is.
    """

    id: str
    figures: dict[str, str]
    units: tuple[str, ...]
    says: str
    source: str

    def direction(self, figure: str) -> str | None:
        """ "higher" or "lower", None for a figure it does not define."""
        return self.figures.get("iou" if figure.startswith("iou_") else figure)


@dataclass(frozen=True)
class Vocabulary:
    """What columns may name: tasks and protocols."""

    tasks: tuple[str, ...]
    protocols: dict[str, Protocol]
    file: Path

    def figures(self) -> list[str]:
        """Every figure that some protocol defines."""
        return sorted({figure for p in self.protocols.values() for figure in p.figures})

    def check(self, metric: str, protocol: str, better: str, unit: str, *, file: Path, field: str) -> None:
        """Raise a `SpecError` with the nearest valid name unless the four exist and fit together."""
        task, _, figure = metric.rpartition(".")
        if protocol not in self.protocols:
            raise unknown("protocol", protocol, self.protocols, file=file, field=f"{field}.protocol")
        if task and task not in self.tasks:
            raise unknown("task", task, self.tasks, file=file, field=f"{field}.metric")
        known = self.protocols[protocol]
        direction = known.direction(figure)
        if direction is None:
            raise unknown(f"figure of {protocol}", figure, known.figures, file=file, field=f"{field}.metric")
        if direction != better:
            mend = f"{protocol} says {direction}"
            raise SpecError(f"{better!r} for {metric}", file=file, field=f"{field}.better", mend=mend)
        if unit not in known.units:
            raise unknown(f"unit of {protocol}", unit, known.units, file=file, field=f"{field}.unit")


@cache
def load_vocabulary(path: Path) -> Vocabulary:
    """Read `protocols.toml` (SpecError as for tables)."""
    raw = read_toml(path)
    check_known("key", raw, ("tasks", "protocols"), path, None)
    tasks = raw.pop("tasks", None)
    if not isinstance(tasks, list) or not all(isinstance(t, str) for t in tasks):
        raise SpecError("not a list of names", file=path, field="tasks", mend="Name the tasks")
    protocols: dict[str, Protocol] = {}
    for i, entry in enumerate(take_all(Protocol, raw, "protocols", path)):
        if entry.id in protocols:
            raise SpecError(f"{entry.id!r} is there twice", file=path, field=f"protocols[{i}]", mend="Remove one")
        for figure, direction in entry.figures.items():
            if direction not in ("higher", "lower"):
                where = f"protocols[{i}].figures.{figure}"
                raise unknown("direction", str(direction), ("higher", "lower"), file=path, field=where)
        check_known("unit", entry.units, UNITS, path, f"protocols[{i}].units")
        protocols[entry.id] = entry
    return Vocabulary(tuple(tasks), protocols, path)
