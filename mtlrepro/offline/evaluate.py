"""All pairs through all protocols, on threads: readers and most metrics release the interpreter lock."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtlrepro.errors import DataError, ReproError
from mtlrepro.metrics.base import Metric
from mtlrepro.metrics.odsf import BoundaryF
from mtlrepro.offline.files import Pair
from mtlrepro.offline.kinds import KINDS, Options, make, stored
from mtlrepro.progress import track

Judged = tuple[dict[str, Metric], dict[str, dict[str, float]]]
"""One image's accumulators and figures by protocol."""


@dataclass
class Evaluation:
    """What was found.

    Attributes:
        totals: protocol -> the accumulator over all images.
        images: name -> protocol -> the figures of that image alone.
        counts: protocol -> (4, K) counts of every image in order, for those that match boundaries.
    """

    totals: dict[str, Metric]
    images: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    counts: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def defined(self, protocol: str) -> bool:
        """Whether any figure of a protocol is a number."""
        return not all(math.isnan(value) for value in self.totals[protocol].compute().values())


def evaluate(options: Options, pairs: Sequence[Pair], protocols: Sequence[str], **changes: Any) -> Evaluation:
    """Judge every pair.

    Args:
        options: of `mtlrepro eval`.
        pairs: at least one.
        protocols: ids.
        changes: arguments of the metrics to override.

    Raises:
        DataError: a file is missing, damaged, of another size than its partner, or holds what the task cannot have,
            a prediction that is not finite at a valid pixel included; or no figure is defined.
        SpecError: a prediction holds what the task cannot have.
    """
    kind, prediction_how, truth_how = KINDS[options.task], stored(options, "pred"), stored(options, "gt")

    def judge(pair: Pair) -> Judged:
        prediction, truth = kind.prediction(pair.prediction, prediction_how), kind.truth(pair.truth, truth_how)
        sizes = ["x".join(map(str, t.shape[-2:])) for t in (prediction, truth)]
        if sizes[0] != sizes[1]:
            mend = "Resize it to the truth's size, ids by the nearest neighbour, all else bilinearly"
            raise DataError(f"is {sizes[0]}, its truth is {sizes[1]}", file=pair.prediction, mend=mend)
        metrics = {p: make(options, p, **changes) for p in protocols}
        for metric in metrics.values():
            if isinstance(metric, BoundaryF):
                metric.threads = max(1, options.workers // len(pairs))  # a few large images share the threads
        if truth.ndim == 4 and truth.shape[1] != prediction.shape[1]:
            _one_annotator(pair, truth.shape[1], metrics)
        for metric in metrics.values():
            try:
                metric.update(prediction, truth)
            except ReproError as error:
                raise _placed(error, pair) from None
            if _broken(metric):
                mend = "Find out where it comes from; a broken prediction is never dropped"
                problem = "holds NaN or infinity at a pixel that counts"
                raise DataError(problem, file=pair.prediction, field=metric.protocol, mend=mend)
        return metrics, {protocol: metric.compute() for protocol, metric in metrics.items()}

    found = Evaluation({p: make(options, p, **changes) for p in protocols})
    with ThreadPoolExecutor(options.workers) as pool:
        results = _in_order(pool, judge, pairs, ahead=2 * options.workers)
        for pair, (metrics, figures) in zip(pairs, track(results, len(pairs), "images"), strict=True):
            for protocol, metric in metrics.items():
                found.totals[protocol].merge(metric)
                if isinstance(metric, BoundaryF):
                    found.counts.setdefault(protocol, []).append(metric.state["pooled"].numpy())
            found.images[pair.name] = figures
    if not any(found.defined(p) for p in protocols):
        problem = "no figure is defined: no truth has a pixel that counts, or what is looked for"
        mend = "Check --ignore, and how truths are stored"
        raise DataError(problem, file=options.gt, field=", ".join(protocols), mend=mend)
    return found


def _one_annotator(pair: Pair, annotators: int, metrics: Mapping[str, Metric]) -> None:
    for protocol, metric in metrics.items():
        if not isinstance(metric, BoundaryF):
            mend = "Several annotators need an odsf/ protocol"
            raise DataError(f"{annotators} annotations", file=pair.truth, field=protocol, mend=mend)


def _broken(metric: Metric) -> bool:
    """Whether a prediction of the one image that the metric saw was not finite where it counts."""
    sums = [v for v in metric.state.values() if v.is_floating_point()]
    return bool(metric.state.get("non_finite", 0)) or any(bool(v.isnan().any()) for v in sums)


def _placed(error: ReproError, pair: Pair) -> ReproError:
    """The same error with the file it is about: what is wrong with a label is a `DataError`."""
    if not isinstance(error, DataError):
        return type(error)(error.problem, file=pair.prediction, field=error.field, mend=error.mend)
    mend = "If it means no label, name it with --ignore" if "NaN" in error.problem else error.mend
    return DataError(error.problem, file=pair.truth, field=error.field, mend=mend)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Pair], Judged], items: Iterable[Pair], ahead: int
) -> Iterator[Judged]:
    """`work` of every item in order, never more than `ahead` items before the one that is waited for."""
    waiting: deque[Future[Judged]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
