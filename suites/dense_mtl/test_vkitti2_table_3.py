"""DenseMTL, Table 3: positions of the exchange block, VKITTI2."""

from mtlrepro.suite.table import Row, Table
from suites.dense_mtl.methods import SD, SDN, VKITTI2, Specs, ours, reference

SETS = {"S-D": SD, "S-D-N": SDN}
STAGES = {"none": (), "4": (4,), "3": (3,), "2": (2,), "1": (1,), "3, 1": (3, 1), "3, 2, 1": (3, 2, 1)}
STAGES |= {"4, 3, 2, 1": (4, 3, 2, 1)}
"""Where blocks stand; which stages the rows of two and of three blocks have is not known (see `expected/`)."""


def placed(tasks: tuple[str, ...], stages: tuple[int, ...]) -> Specs:
    """Ours with blocks at other stages; at stage 1 it is that of Table 1."""
    return ours(VKITTI2, tasks) if stages == (1,) else ours(VKITTI2, tasks, stages=stages)


TABLE = Table(
    paper="dense_mtl",
    dataset="vkitti2",
    id="3",
    rows=[
        Row(name, placed(tasks, stages), panel=panel)
        for panel, tasks in SETS.items()
        for name, stages in STAGES.items()
    ],
    references=[reference(tasks, panel) for panel, tasks in SETS.items()],
)
