"""One command from options to result."""

from __future__ import annotations

import time
from typing import Any

from mtlrepro.engine.environment import environment
from mtlrepro.errors import DataError, SpecError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.odsf import BoundaryF
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.offline.evaluate import Evaluation, evaluate
from mtlrepro.offline.files import Pair, find_pairs
from mtlrepro.offline.kinds import KINDS, Options, make, stored
from mtlrepro.offline.result import Result, figures_of
from mtlrepro.offline.search import coarse_to_fine
from mtlrepro.suite.session import command


def judge(options: Options) -> tuple[Result, Evaluation | None]:
    """Judge what the options of `mtlrepro eval TASK` name; the evaluation is None after a search over thresholds.

    Raises:
        DataError: what is wrong with a file or folder, or no truth has a valid pixel.
        SpecError: what is wrong with an option.
    """
    protocols = list(dict.fromkeys(options.protocol))
    for protocol in protocols:
        PROTOCOLS[options.task].target(protocol)
    if options.workers < 1:
        raise SpecError(f"{options.workers} workers", field="--workers", mend="Give 1 or more")
    metrics = {p: make(options, p) for p in protocols}
    pairs = find_pairs(options.pred, options.gt, options.ids)
    options.threads = max(1, options.workers // len(pairs))  # a few large images share the threads
    how = stored(options, "gt")
    result = Result(
        task=options.task,
        predictions=options.pred,
        truths=options.gt,
        command=command(),
        images=len(pairs),
        figures={},
        units={p: {f: m.unit(f) for f in m.better} for p, m in metrics.items()},
        better={p: dict(m.better) for p, m in metrics.items()},
        settings={p: _settings(m, how.reading) for p, m in metrics.items()},
        warnings=KINDS[options.task].doubts([p.truth for p in pairs], how),
        environment=environment(),
    )
    began = time.monotonic()
    if getattr(options, "odsf_only", False):
        evaluation = None
        for protocol, metric in metrics.items():
            _search(options, pairs, protocol, metric, result)
    else:
        evaluation = evaluate(options, pairs, protocols)
        _tell(evaluation, result)
    result.seconds = time.monotonic() - began
    return result, evaluation


def _settings(metric: Metric, reading: str) -> dict[str, Any]:
    """What a reader must know to compare odsF with another one."""
    if not isinstance(metric, BoundaryF):
        return {}
    thresholds = len(metric.way.thresholds)
    return {"mode": metric.mode, "max_dist": metric.max_dist, "truth": reading, "thresholds": thresholds}


def _tell(evaluation: Evaluation, result: Result) -> None:
    for protocol, metric in evaluation.totals.items():
        result.figures[protocol] = figures_of(metric)
        if all(value is None for value in result.figures[protocol].values()):
            mend = "Check --ignore, and how truths are stored"
            raise DataError("no truth has a pixel that counts", file=result.truths, field=protocol, mend=mend)
        if curve := metric.curve():
            result.curves[protocol] = curve
    result.per_image = {n: {p: figures_of(m) for p, m in metrics.items()} for n, metrics in evaluation.images.items()}


def _search(options: Options, pairs: list[Pair], protocol: str, metric: Metric, result: Result) -> None:
    if not isinstance(metric, BoundaryF):
        raise SpecError(f"{protocol} has no odsF", field="--odsf-only", mend="Ask for an odsf/ protocol")
    thresholds = metric.way.thresholds
    seen = coarse_to_fine(
        lambda some: evaluate(options, pairs, [protocol], thresholds=some).totals[protocol].curve()["f"], thresholds
    )
    result.figures[protocol] = {"odsf": max(seen.values())}
    result.settings[protocol]["thresholds"] = f"{len(seen)} of {len(thresholds)}, coarse to fine"
    result.curves[protocol] = {"thresholds": list(seen), "f": list(seen.values())}
