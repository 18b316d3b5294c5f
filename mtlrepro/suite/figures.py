"""Figures by their metric id, "<task>.<figure>": which way is better, and which protocol they are read by."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from mtlrepro.data.sample import DatasetInfo
from mtlrepro.errors import unknown
from mtlrepro.expected.panel import Panel
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.tasks import TASKS


def figures_of(panel: Panel) -> dict[str, str]:
    """Metric id -> protocol, of every figure that a panel prints or averages and that can be trained here.

    One that is averaged here and printed in another table is read by the protocol of its column there.
    """
    averaged = {m for column in panel.columns for m in column.over if _known(m)}
    elsewhere = {m: c.protocol for row in panel.rows for m, (c, _) in panel.metrics(row).items() if m in averaged}
    printed = {m: protocol for m, protocol in panel.protocols.items() if _known(m)}
    return {**{m: usual_protocol(m) for m in sorted(averaged)}, **elsewhere, **printed}


@cache
def _known(metric: str) -> bool:
    """Does a task here define a metric id? What a table prints besides cannot be trained."""
    task, figure = metric.split(".")
    return task in TASKS and any(figure in m.better for m in _task(task).metrics())


@cache
def _task(name: str) -> Any:
    return TASKS[name](DatasetInfo("any", (name,), class_names=("a", "b"), palette=((0, 0, 0), (255, 255, 255))))


def protocol_of(metric: str, protocols: Mapping[str, str]) -> str:
    """The protocol a figure is read by: its column's, else that of another column of its task that has the figure too.

    Without any, the task's usual one.
    """
    task, figure = metric.split(".")
    beside = (p for m, p in protocols.items() if m.partition(".")[0] == task and _defines(task, p, figure))
    return protocols.get(metric) or next(beside, usual_protocol(metric))


@cache
def _defines(task: str, protocol: str, figure: str) -> bool:
    return task in PROTOCOLS and protocol in PROTOCOLS[task] and figure in PROTOCOLS[task][protocol].better


@cache
def usual_protocol(metric: str) -> str:
    """The protocol a figure is read by where no column asks for another: the first of the task's that defines it."""
    task, figure = metric.split(".")
    return next((m.protocol for m in _task(task).metrics() if figure in m.better), "")


def main_figure(task: str) -> str:
    """The metric id a task is judged by, for example "semseg.miou"."""
    return f"{task}.{_task(task).main_metric}"


@cache
def better(metric: str) -> str:
    """Direction of a metric id: "higher" or "lower" (SpecError for an unknown task or figure)."""
    task, figure = metric.split(".")
    directions = {f: d for m in _task(task).metrics() for f, d in m.better.items()}
    if figure not in directions:
        raise unknown(f"figure of {task}", figure, directions, field=metric)
    return directions[figure]
