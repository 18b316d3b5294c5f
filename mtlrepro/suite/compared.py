"""Rows of a user's own in a published table: a printed row's run with another architecture or objective in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mtlrepro.engine.begin import begun_from
from mtlrepro.errors import SpecError, unknown
from mtlrepro.models import MODELS, has_front_end
from mtlrepro.objectives import OBJECTIVES
from mtlrepro.plugins import absolute
from mtlrepro.registry import option_names
from mtlrepro.spec import ModelSpec, ObjectiveSpec, Options, RunSpec, WeightingSpec
from mtlrepro.suite.table import BoundTable, Row
from mtlrepro.suite.tiers import Capacity, serve
from mtlrepro.suite.trial import try_rows

OPTION, OBJECTIVE_OPTION = "--option", "--objective-option"


@dataclass(frozen=True)
class Addition:
    """What to add to a table (the options of `mtlrepro compare`).

    Attributes:
        models: architectures, one row each: names or targets (`mtlrepro.plugins`); empty for that of the printed row.
        objective: what they are trained with; "" for the printed row's.
        like: the printed row whose run is taken; "" for the last one that trains several tasks together and that the
            authors ran, which is how papers print their own method.
        names: of the rows, as many as there are models; empty for names made of the models'.
        options: settings of architectures; each goes to all of `models` that have it.
        objective_options: settings of the objective.
    """

    models: tuple[str, ...] = ()
    objective: str = ""
    like: str = ""
    names: tuple[str, ...] = ()
    options: Options = ()
    objective_options: Options = ()


def add_rows(bound: BoundTable, addition: Addition) -> tuple[BoundTable, list[Row]]:
    """The table with the user's own rows below the row that they are like, and these rows.

    Raises:
        SpecError: nothing to add, no such row, name or setting, or a name that is taken.
    """
    if not (addition.models or addition.objective):
        mend = "Give --model, such as my_method.py:MyNet, or --objective"
        raise SpecError("nothing to compare", field=bound.key, mend=mend)
    like = _like(bound, addition.like)
    models = [absolute(model) for model in addition.models]
    networks = [MODELS[m] for m in models]
    _check_settings(addition.options, networks, "architecture", OPTION)
    objectives = [OBJECTIVES[absolute(addition.objective) or s.objective.name] for s in like.specs]
    _check_settings(addition.objective_options, objectives, "objective", OBJECTIVE_OPTION)
    names = addition.names or [_name(model, addition.objective, like) for model in models or [""]]
    if len(names) != len(models or [""]):
        problem = f"{len(names)} names for {len(models or [''])} rows"
        raise SpecError(problem, field="--name", mend="Give --name once for every --model, or leave it out")
    taken = [row.name for row in (*bound.rows, *filter(None, [bound.reference]))]
    for i, name in enumerate(names):
        if not name.strip() or name in taken or name in names[:i]:
            raise SpecError(f"{name!r} is the name of another row", field="--name", mend="Give --name, another one")
    rows = [_row(name, model, addition, like) for name, model in zip(names, models or [""], strict=True)]
    at = bound.rows.index(like) + 1
    siblings: dict[str, BoundTable] = {}  # each knows all, this one with its new rows
    for key, other in bound.siblings.items():
        every = (*bound.rows[:at], *rows, *bound.rows[at:]) if key == bound.expected.key else other.rows
        siblings[key] = replace(other, rows=every, siblings=siblings)
    return siblings[bound.expected.key], rows


def try_additions(bound: BoundTable, rows: Sequence[Row], tier: str, capacity: Capacity) -> None:
    """Build what the rows train, as the paper's network and as its twin at the tier that will serve it.

    Raises:
        SpecError: an own network, objective or optimizer refuses something; see `mtlrepro.suite.trial.try_run`.
    """
    for row in rows:
        twins = serve(row.specs, tier, capacity, bound.expected.timed, row.like).specs
        try_rows([row, *([replace(row, specs=twins)] if twins else [])])


def needed_rows(bound: BoundTable, rows: Sequence[Row], more: Iterable[str], every: bool) -> list[Row]:
    """The rows to run: the own ones, what they are like, further ones by name, or all of the table.

    The baseline row joins in by itself, wherever Δ_m needs it.
    """
    named = [bound.row(name) for name in more]
    wanted = [*named, *rows, *(bound.row(row.reading_of) for row in rows)]
    return [row for row in bound.rows if every or row in wanted]


def _like(bound: BoundTable, name: str) -> Row:
    """The printed row whose run the own rows take."""
    printed = [row for row in bound.rows if row.specs and not row.reading_of]
    if name:
        row = bound.row(name)
        if row not in printed:
            why = row.missing or ("it is another reading" if row.reading_of else "it is quoted and has no recipe")
            known = ", ".join(repr(r.name) for r in printed)
            raise SpecError(f"row {name!r} has no printed run: {why}", field="--like", mend=f"Choose one of {known}")
        return row
    ran = [row for row in printed if bound.expected.row(row.name).origin == "run"]
    together = [row for row in ran if any(len(spec.model.main) > 1 for spec in row.specs)]
    if not printed:
        raise SpecError("no row of this table has a run to take", field=bound.key, mend="See `mtlrepro list --rows`")
    return [*printed, *ran, *together][-1]


def _check_settings(chosen: Options, holders: Sequence[object], kind: str, flag: str) -> None:
    offered = {name for holder in holders for name in option_names(holder)}  # type: ignore[arg-type]
    for name, _ in chosen:
        if name not in offered:
            raise unknown(f"setting of the {kind}", name, offered, field=flag)


def _name(model: str, objective: str, like: Row) -> str:
    """What a row is called if nobody says it: the class or plugin name, and the objective where it is another one."""
    network = model.rpartition(":")[2] or like.specs[-1].model.arch
    return f"{network}, {objective.rpartition(':')[2]}" if objective else network


def _row(name: str, model: str, addition: Addition, like: Row) -> Row:
    pairs = _exchanged(like.specs, model, addition)
    what = [f"architecture {model}"] if model else []
    what += [f"objective {absolute(addition.objective)}"] if addition.objective else []
    return Row(
        name,
        tuple(spec for spec, _ in pairs),
        panel=like.panel,
        epochs=like.epochs,
        reading_of=like.name,
        own=f"{name!r} is a user's own row: {' and '.join(what)} in place of what {like.name!r} has, with its data and "
        "recipe. It is not printed, and held to no printed or recorded figure.",
        like=tuple(spec for _, spec in pairs),
    )


def _exchanged(specs: Sequence[RunSpec], model: str, addition: Addition) -> list[tuple[RunSpec, RunSpec]]:
    """The own runs, each with the one it is made of: as many as before, or one a task, or one of all tasks."""
    if not model:
        return [
            (replace(s, objective=_objective(s, [s], s.tasks, addition), needs=_needs(s, addition)), s) for s in specs
        ]
    network = MODELS[model]
    of = {task: spec for spec in specs for task in spec.model.main}
    groups = [(task,) for task in of] if getattr(network, "single_task", False) else [tuple(of)]
    settings = tuple((k, v) for k, v in addition.options if k in option_names(network))
    pairs = []
    for group in groups:
        base = of[group[0]]
        aux = tuple(dict.fromkeys((*(t for s in specs for t in s.model.aux), *group))) if len(group) > 1 else group
        aux = aux if has_front_end(network) else ()
        sub = ModelSpec(model, base.model.backbone, group, aux, base.model.weights, settings)
        objective = _objective(base, specs, (*group, *aux), addition)
        pairs.append((replace(base, model=sub, objective=objective, needs=_needs(base, addition)), base))
    return pairs


def _objective(base: RunSpec, specs: Sequence[RunSpec], tasks: Sequence[str], addition: Addition) -> ObjectiveSpec:
    """The objective of a run: weights and losses of its tasks, as any of the printed row's runs has them."""
    own = base.objective

    def of(found: Mapping[str, object]) -> Options:
        return tuple(sorted((task, value) for task, value in found.items() if task in tasks))

    weights = {k: v for s in reversed((base, *specs)) for k, v in s.objective.weights}
    losses = {k: v for s in reversed((base, *specs)) for k, v in s.objective.losses}
    kept = own.options if not addition.objective else ()
    alone = len(set(tasks)) == 1 and len(base.model.main) > 1
    return replace(
        own,
        name=absolute(addition.objective) or own.name,
        weights=of(weights),
        losses=of(losses),
        options=tuple(sorted({**dict(kept), **dict(addition.objective_options)}.items())),
        weighting=WeightingSpec() if alone else own.weighting,  # one loss has nothing to be weighed against
    )


def _needs(base: RunSpec, addition: Addition) -> tuple[RunSpec, ...]:
    """What a run needs first: what it starts from, as far as names and shapes agree; teachers only of its objective."""
    return base.needs[: begun_from(base)] if addition.objective else base.needs
