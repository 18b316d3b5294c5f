"""A comparison of methods on a user's own dataset, as a table with nothing printed in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtlrepro.data import dataset_info
from mtlrepro.data.partial import SETTINGS
from mtlrepro.errors import SpecError, unknown
from mtlrepro.expected.panel import Panel
from mtlrepro.expected.schema import Column, Place, PrintedRow, PrintedTable
from mtlrepro.expected.tolerances import Tolerances
from mtlrepro.models import MODELS, has_front_end
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.objectives.weighting import WEIGHTINGS
from mtlrepro.plugins import absolute
from mtlrepro.registry import option_names
from mtlrepro.spec import DataSpec, ModelSpec, ObjectiveSpec, Options, Recipe, RunSpec, WeightingSpec, options
from mtlrepro.suite.figures import main_figure
from mtlrepro.suite.table import BoundTable, Row, Table
from mtlrepro.suite.trial import try_rows
from mtlrepro.tasks import make_tasks
from mtlrepro.tasks.base import Task

BASELINE = "stl"
FLAG = "--objective-option"
PLAIN = ("supervised", "partial")
"""Objectives of task losses alone, on full and on partial labels."""
WEIGHTING, WEIGHTING_FLAG = "--weighting", "--weighting-option"


@dataclass(frozen=True)
class Comparison:
    """What to compare (the options of `mtlrepro run --dataset`).

    Attributes:
        dataset: description file, or a dataset's name.
        methods: one row each and weighting: an architecture, or "<architecture>/<objective>"; the objective is
            "supervised" if none is named.
        labels: partial-label setting of the training split.
        tasks: main tasks; empty for all tasks of the dataset.
        aux: further tasks for the front-end of methods that have one.
        backbone: backbone key.
        weights: tag of the backbone's pinned weights, of timm or of a hub repository; None for random initialisation.
        size: network input (height, width).
        augment: augmentation key.
        epochs: passes over the training split.
        batch: images a step.
        lr: Adam's base learning rate, poly decay.
        loss_weights: (task, weight) pairs.
        evaluate_every: epochs between evaluations.
        objective_options: settings of objectives; each goes to all methods whose objective has it.
        weightings: loss weightings that every method is trained under; one of single-task networks, which have nothing
            to weigh, has one row under fixed weights.
        weighting_options: settings of weightings; each goes to all of them that have it.
    """

    dataset: str
    methods: tuple[str, ...]
    labels: str
    tasks: tuple[str, ...]
    aux: tuple[str, ...]
    backbone: str
    weights: str | None
    size: tuple[int, int]
    augment: str
    epochs: int
    batch: int
    lr: float
    loss_weights: tuple[tuple[str, float], ...]
    evaluate_every: int
    objective_options: Options = ()
    weightings: tuple[str, ...] = ("fixed",)
    weighting_options: Options = ()


def compare(c: Comparison) -> BoundTable:
    """The comparison as a table.

    Δ_m is against `stl` if that is among the methods, else against the first single-task network among them, else
    against the first method. Every network is built on the meta device, with its objective, weighting and optimizer, so
    that what any of them refuses is told before anything is trained.

    Raises:
        SpecError: unknown method, weighting, task, setting or weights tag, a network, objective or weighting that
            refuses the tasks, the backbone, the size, a weight or a setting's value, or nothing to weigh.
        DataError: the description is missing or wrong.
        MissingExtra: the backbone needs an optional dependency that is not installed.
    """
    dataset = str(Path(c.dataset).resolve()) if c.dataset.endswith(".toml") else absolute(c.dataset)
    info = dataset_info(dataset)
    main = tuple(dict.fromkeys(c.tasks)) or info.tasks
    for task in main + c.aux:
        if task not in info.tasks:
            raise unknown("task", task, info.tasks, field=c.dataset)
    for task, _ in c.loss_weights:
        if task not in main + c.aux:
            raise unknown("task", task, main + c.aux, field="--loss-weight")
    if not c.methods:
        raise SpecError("no method to compare", field="--methods", mend=f"Name one or more of {', '.join(MODELS)}")
    for method in c.methods:
        arch, objective = _parts(method)
        MODELS.target(arch)
        OBJECTIVES.target(objective)
    weightings = tuple(dict.fromkeys(c.weightings))
    offered = {name for method in c.methods for name in option_names(OBJECTIVES[_parts(method)[1]])}
    mend = "Leave it out, or name a method as ARCH/OBJECTIVE, such as mti_net/aware3d"
    _known(c.objective_options, offered, "objective", FLAG, mend)
    offered = {name for weighting in weightings for name in option_names(WEIGHTINGS[weighting])}
    _known(c.weighting_options, offered, "weighting", WEIGHTING_FLAG, f"Leave it out, or give {WEIGHTING}, such as lps")
    if c.labels not in SETTINGS:
        raise unknown("label setting", c.labels, SETTINGS, field="--labels")
    if c.epochs < 1 or c.batch < 2:
        raise SpecError(
            f"{c.epochs} epochs of batches of {c.batch}",
            mend="Give at least 1 epoch and batches of 2 (batch normalisation needs them)",
        )
    if c.evaluate_every < 0:
        mend = "Give 0 to evaluate at the end alone, or more"
        raise SpecError(f"evaluations {c.evaluate_every} epochs apart", field="--evaluate-every", mend=mend)
    recipe = Recipe("adam", c.lr, 1e-4, c.batch, c.epochs, evaluate_every=c.evaluate_every)
    labels_over = main if c.labels != "full" else ()
    data = DataSpec(dataset, c.size, c.augment, labels=c.labels, labels_over=labels_over)

    def run(
        arch: str,
        objective: str,
        group: tuple[str, ...],
        weighting: str = "fixed",
        needs: tuple[RunSpec, ...] = (),
        start: bool = False,
    ) -> RunSpec:
        aux = tuple(dict.fromkeys(main + c.aux)) if has_front_end(MODELS[arch]) else ()
        weights = tuple((t, w) for t, w in options(**dict(c.loss_weights)) if t in group + aux)
        model = ModelSpec(arch, c.backbone, group, aux, c.weights)
        settings = _those(c.objective_options, option_names(OBJECTIVES[objective]))
        scheme = WeightingSpec(weighting, _those(c.weighting_options, option_names(WEIGHTINGS[weighting])))
        return RunSpec(data, model, recipe, ObjectiveSpec(objective, weights, settings, weighting=scheme), needs, start)

    def rows(method: str) -> list[Row]:
        arch, objective = _parts(method)
        if needed := OBJECTIVES[objective].prerequisite:
            mend = "Declare a table with a spec of its own (suites/), or choose another objective"
            raise SpecError(f"{objective!r} needs {needed}, which --dataset runs do not have", field=method, mend=mend)
        groups = [(t,) for t in main] if _single(arch) else [main]
        part = getattr(MODELS[arch], "PARTS", None)
        teachers = tuple(run(part or arch, "partial", (t,)) for t in main) if objective == "must" else ()
        alone = objective if objective in PLAIN else PLAIN[c.labels != "full"]
        parts = tuple(run(part, alone, (t,)) for t in main) if part else ()
        return [
            Row(
                method if weighting == "fixed" else f"{method} ({weighting})",
                tuple(run(arch, objective, group, weighting, parts + teachers, start=bool(parts)) for group in groups),
            )
            for weighting in (weightings if len(groups[0]) > 1 else ("fixed",))
        ]

    tasks = make_tasks(main, info)
    columns = [_column(name, task) for name, task in tasks.items()]
    table = Table("own", info.name, "comparison", [row for method in dict.fromkeys(c.methods) for row in rows(method)])
    if weightings != ("fixed",) and not any(len(spec.model.main) > 1 for row in table.rows for spec in row.specs):
        mend = "Leave it out, or name a method and tasks that share a network, such as mtl"
        raise SpecError("every network has one task, whose loss needs no weight", field=WEIGHTING, mend=mend)
    singles = [row.name for row in table.rows if _single(row.specs[0].model.arch)]
    baseline = BASELINE if BASELINE in singles else [*singles, table.rows[0].name][0]
    columns.append(
        Column("delta", "Δ_m % ↑", "delta_m", "delta_m@1", "%", "higher", over=tuple(col.metric for col in columns))
    )
    try_rows(table.rows)
    height, width = c.size
    labels = "" if c.labels == "full" else f", {c.labels}"
    under = "" if weightings == ("fixed",) else f", loss weighting {' or '.join(weightings)}"
    chosen = "".join(f", {name}={value}" for name, value in (*c.objective_options, *c.weighting_options))
    caption = f"{', '.join(c.methods)} on {info.name}{labels}{under}{chosen}: {c.backbone}, {height}x{width}"
    lines = PrintedTable(
        paper="own",
        table="comparison",
        dataset=info.name,
        caption=f"{caption}, {c.epochs} epochs of batches of {c.batch}",
        source=dataset,
        selection="last",
        runs=1,
        columns=tuple(columns),
        rows=tuple(PrintedRow(r.name, {}) for r in table.rows),
        baseline=Place(row=baseline),
    )
    return BoundTable(table, Panel(lines), tuple(table.rows), Tolerances((), ()))


def _parts(method: str) -> tuple[str, str]:
    """Architecture and objective; slashes in the path of a file that holds an architecture are none between them."""
    if method.endswith(".py"):
        raise SpecError("names a file, but no class in it", field="--methods", mend=f"Give {method}:CLASS")
    file, found, rest = method.partition(".py:")
    arch, _, objective = rest.partition("/") if found else method.partition("/")
    return absolute(f"{file}{found}{arch}" if found else arch), absolute(objective) or "supervised"


def _single(arch: str) -> bool:
    """Whether networks of an architecture have one task each."""
    return getattr(MODELS[arch], "single_task", False)


def _those(chosen: Options, names: Sequence[str]) -> Options:
    return tuple((name, value) for name, value in chosen if name in names)


def _known(chosen: Options, offered: set[str], kind: str, flag: str, mend: str) -> None:
    """Raise for a setting that nothing has; `mend` says what to do where there is no setting at all."""
    for name, _ in chosen:
        if not offered:
            raise SpecError(f"{name!r}: no chosen {kind} has any setting", field=flag, mend=mend)
        if name not in offered:
            raise unknown(f"setting of these {kind}s", name, offered, field=flag)


def _column(name: str, task: Task) -> Column:
    figure = task.main_metric
    metric = task.metrics()[0]
    unit = {"fraction": "%"}.get(metric.unit(figure), metric.unit(figure))
    title = f"{name} {figure} {'↑' if task.better == 'higher' else '↓'}"
    return Column(name, title, main_figure(name), metric.protocol, unit, task.better)
