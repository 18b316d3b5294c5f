"""What the arguments of `mtlrepro run` choose: tables, and how they are run. Verbs that run them elsewhere share it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mtlrepro.errors import SpecError

if TYPE_CHECKING:
    from mtlrepro.suite.session import Options
    from mtlrepro.suite.table import BoundTable


def chosen(options: argparse.Namespace) -> tuple[list[BoundTable], Options]:
    """The tables, of which at least one row can be run, and what a user set.

    Args:
        options: arguments of `mtlrepro.cli.run.Run`.

    Raises:
        ReproError: nothing is chosen, tables beside a dataset, an option that goes with the other of these, or an
            unknown name or unfit value of anything.
    """
    from mtlrepro import collective
    from mtlrepro.suite.execution import Execution
    from mtlrepro.suite.own import FLAG, WEIGHTING, WEIGHTING_FLAG, Comparison, compare
    from mtlrepro.suite.session import OWN_TIER, Options
    from mtlrepro.suite.table import discover, select
    from mtlrepro.suite.variants import parse

    data_options = parse(options.data_option)
    objective_options = parse(options.objective_option, FLAG, "maps=all")
    weighting_options = parse(options.weighting_option, WEIGHTING_FLAG, "kappa=7.5")
    if bool(options.dataset) == bool(options.tables):
        raise SpecError(
            "nothing to run" if not options.dataset else "tables and --dataset together",
            mend="Name tables, or give --dataset; see `mtlrepro run --help`",
        )
    declared = {
        FLAG: ("settings of objectives", objective_options),
        WEIGHTING: ("loss weightings", options.weighting),
        WEIGHTING_FLAG: ("settings of loss weightings", weighting_options),
    }
    for flag, (what, given) in declared.items():
        if given and not options.dataset:
            raise SpecError(f"{what} are declared in tables", field=flag, mend="Give it with --dataset")
    if options.dataset:
        c = Comparison(
            dataset=options.dataset,
            methods=tuple(options.methods),
            labels=options.labels,
            tasks=tuple(options.tasks or ()),
            aux=tuple(options.aux),
            backbone=options.backbone,
            weights=options.weights,
            size=options.size,
            augment=options.augment,
            epochs=options.epochs,
            batch=options.batch,
            lr=options.lr,
            loss_weights=tuple(_weight(w) for w in options.loss_weight),
            evaluate_every=options.evaluate_every,
            objective_options=objective_options,
            weightings=tuple(options.weighting or ("fixed",)),
            weighting_options=weighting_options,
        )
        tables, tier = [compare(c)], OWN_TIER
    else:
        tables, tier = select(list(discover(options.suites)), options.tables), options.tier
    if not any(row.specs for bound in tables for row in bound.rows):
        reasons = sorted({row.missing or "quoted" for bound in tables for row in bound.rows})
        raise SpecError(f"no row of these tables can be run: {'; '.join(reasons)}", mend="See `mtlrepro list --rows`")
    return tables, Options(
        tier,
        options.seeds,
        options.runs,
        options.report,
        options.data_root,
        options.strict,
        data_options,
        Execution(options.precision, collective.ranks(), options.sync_bn),
    )


def _weight(text: str) -> tuple[str, float]:
    task, _, value = text.partition("=")
    try:
        return task, float(value)
    except ValueError:
        raise SpecError(f"{text!r} is not TASK=WEIGHT", field="--loss-weight", mend="For example edges=50") from None
