"""What a report says of the sessions behind it, where it holds a part of the rows or was merged from several."""

from __future__ import annotations

from itertools import groupby

import pandas as pd

from mtlrepro.report import words
from mtlrepro.suite.merge import differing, missing_shards
from mtlrepro.suite.results import SessionResult

HARDWARE = frozenset({"cpu", "cores", "gpu", "os"})
"""What machines may differ in while one program runs on all of them."""


def sentences(result: SessionResult) -> list[str]:
    """What belongs to the opening: nothing for a session of all rows that were selected."""
    if result.shard:
        return [f"Shard {result.shard}: the other selected rows are in the reports of the other shards."]
    if not result.parts:
        return []
    parts = result.parts
    text = f"Merged from {words.plural(len(parts), 'session')}: {', '.join(part.name for part in parts)}."
    lines = [f"{text} The time is the sum of theirs; the longest took {_longest(result)}."]
    if missing := missing_shards(parts):
        lines.append(f"Missing, with all their rows: {words.plural(len(missing), 'shard')}, {_listed(missing)}.")
    differ = differing(parts)
    if programs := [name for name in differ if name not in HARDWARE]:
        what = f"{', '.join(programs)}: see Environment"
        lines.append(f"The sessions ran different programs ({what}); their figures stand side by side all the same.")
    if hardware := [name for name in differ if name in HARDWARE]:
        lines.append(f"The sessions ran on different machines ({', '.join(hardware)}).")
    return lines


def frame(result: SessionResult) -> pd.DataFrame:
    """The merged sessions, one a line; empty for a report of one session."""
    lines = [[part.name, part.created, words.duration(part.seconds), part.command] for part in result.parts]
    return pd.DataFrame(lines, columns=["Session", "Created", "Took", "Command"], dtype=object)


def _longest(result: SessionResult) -> str:
    return words.duration(max(part.seconds for part in result.parts))


def _listed(shards: list[str]) -> str:
    """Shards by what they are parts of: "2/4, 3/4"."""
    return "; ".join(", ".join(group) for _, group in groupby(shards, key=lambda shard: shard.partition("/")[2]))
