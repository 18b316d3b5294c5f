"""One command from options to result."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from mtlrepro.engine.environment import command, environment
from mtlrepro.errors import SpecError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.boundary.summary import Curve, best_interpolated
from mtlrepro.metrics.odsf import BoundaryF
from mtlrepro.metrics.protocols import PROTOCOLS
from mtlrepro.offline.evaluate import Evaluation, evaluate
from mtlrepro.offline.files import Pair, find_pairs
from mtlrepro.offline.kinds import KINDS, Options, make, stored
from mtlrepro.offline.result import Result, finite
from mtlrepro.offline.search import coarse_to_fine


def judge(options: Options) -> tuple[Result, dict[str, list[np.ndarray]]]:
    """Judge what the options of `mtlrepro eval TASK` name: the result, and boundary counts as `Evaluation.counts`.

    Raises:
        DataError: what is wrong with a file or folder, or no figure of a protocol is defined.
        SpecError: what is wrong with an option.
    """
    protocols = list(dict.fromkeys(options.protocol))
    for protocol in protocols:
        PROTOCOLS[options.task].target(protocol)
    if options.workers < 1:
        raise SpecError(f"{options.workers} workers", field="--workers", mend="Give 1 or more")
    metrics = {p: make(options, p) for p in protocols}
    search = getattr(options, "odsf_only", False)
    if search and (without := [p for p, m in metrics.items() if not isinstance(m, BoundaryF)]):
        raise SpecError(f"{without[0]} has no odsF", field="--odsf-only", mend="Ask for an odsf/ protocol")
    pairs = find_pairs(options.pred, options.gt, options.ids)
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
        warnings=KINDS[options.task].doubts(pairs, stored(options, "pred"), how),
        environment=environment(),
    )
    began = time.monotonic()
    if search:
        counts: dict[str, list[np.ndarray]] = {}
        for protocol, metric in metrics.items():
            assert isinstance(metric, BoundaryF)
            _search(options, pairs, protocol, metric, result)
    else:
        evaluation = evaluate(options, pairs, protocols)
        counts = evaluation.counts
        _tell(evaluation, result)
    result.seconds = time.monotonic() - began
    return result, counts


def _settings(metric: Metric, reading: str) -> dict[str, Any]:
    """What a reader must know to compare odsF with another one."""
    if not isinstance(metric, BoundaryF):
        return {}
    thresholds = len(metric.way.thresholds)
    return {"mode": metric.mode, "max_dist": metric.max_dist, "truth": reading, "thresholds": thresholds}


def _tell(evaluation: Evaluation, result: Result) -> None:
    for protocol, metric in evaluation.totals.items():
        result.figures[protocol] = finite(metric.compute())
        if not evaluation.defined(protocol):
            result.warnings.append(f"{protocol} finds no pixel that counts, or nothing of what it looks for")
        if curve := metric.curve():
            result.curves[protocol] = curve
    for name, by_protocol in evaluation.images.items():
        result.per_image[name] = {protocol: finite(figures) for protocol, figures in by_protocol.items()}


def _search(options: Options, pairs: list[Pair], protocol: str, metric: BoundaryF, result: Result) -> None:
    points: dict[float, tuple[float, float, float]] = {}

    def score(some: list[float]) -> list[float]:
        found = evaluate(options, pairs, [protocol], thresholds=some).totals[protocol].curve()
        points.update(zip(some, zip(found["precision"], found["recall"], found["f"], strict=True), strict=True))
        return found["f"]

    thresholds = list(metric.way.thresholds)
    seen = coarse_to_fine(score, thresholds)
    precision, recall, f = (np.array(v) for v in zip(*(points[t] for t in seen), strict=True))
    odsf = float(f.max())
    if metric.way.interpolated:  # between neighbours; beside the summit all are known
        places = [thresholds.index(t) for t in seen]
        for i in np.flatnonzero(np.diff(places) == 1):
            two = slice(i, i + 2)
            odsf = max(odsf, best_interpolated(Curve(precision[two], recall[two], f[two])))
    result.figures[protocol] = {"odsf": odsf}
    result.units[protocol], result.better[protocol] = {"odsf": metric.unit("odsf")}, {"odsf": metric.better["odsf"]}
    result.settings[protocol]["thresholds"] = f"{len(seen)} of {len(thresholds)}, coarse to fine"
    curve = {"precision": precision.tolist(), "recall": recall.tolist(), "f": f.tolist()}
    result.curves[protocol] = {"thresholds": list(seen), **curve}
