"""Dense prediction tasks, one file each but for the standardised maps, which differ in name only."""

from __future__ import annotations

from collections.abc import Iterable

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import SpecError, unknown
from mtlrepro.registry import Registry
from mtlrepro.tasks.base import Task

TASKS = Registry(
    "task",
    {
        "semseg": "mtlrepro.tasks.semseg:SemSeg",
        "parts": "mtlrepro.tasks.parts:Parts",
        "saliency": "mtlrepro.tasks.saliency:Saliency",
        "depth": "mtlrepro.tasks.depth:Depth",
        "normals": "mtlrepro.tasks.normals:Normals",
        "edges": "mtlrepro.tasks.edges:Edges",
        "occlusion": "mtlrepro.tasks.maps:Occlusion",
        "reshading": "mtlrepro.tasks.maps:Reshading",
        "keypoints": "mtlrepro.tasks.maps:Keypoints",
        "texture": "mtlrepro.tasks.maps:Texture",
    },
)


def make_tasks(names: Iterable[str], info: DatasetInfo, losses: Iterable[tuple[str, str]] = ()) -> dict[str, Task]:
    """The named tasks on a dataset, in the order given; a name given twice counts once.

    Args:
        names: keys of `TASKS`.
        info: of the dataset.
        losses: (task, loss) pairs of some of the tasks; the others take their first (`Task.LOSSES`).

    Raises:
        SpecError: on an unknown task or loss (with the nearest known ones), one that the dataset has no labels for, or
            the loss of a task that is not among `names`.

    Example:
        >>> info = DatasetInfo("toy", ("semseg", "depth"), class_names=("floor", "wall"))
        >>> {name: task.channels for name, task in make_tasks(["semseg", "depth"], info).items()}
        {'semseg': 2, 'depth': 1}
    """
    tasks: dict[str, Task] = {}
    for name in names:
        cls = TASKS[name]
        if name not in info.tasks:
            raise SpecError(
                f"dataset {info.name!r} has no labels for task {name!r}",
                field="tasks",
                mend=f"It has {', '.join(info.tasks) or 'none'}",
            )
        tasks[name] = cls(info)
    for name, loss in losses:
        if name not in tasks:
            raise unknown("task", name, tasks, field="objective.losses")
        tasks[name] = tasks[name].using(loss)
    return tasks
