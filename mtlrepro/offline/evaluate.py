"""All pairs through all protocols, on threads: readers and matchers release the interpreter lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from mtlrepro.errors import DataError, ReproError
from mtlrepro.metrics.base import Metric
from mtlrepro.offline.files import Pair
from mtlrepro.offline.kinds import KINDS, Options, make, stored
from mtlrepro.progress import track

Judged = dict[str, Metric]


@dataclass
class Evaluation:
    """What was found.

    Attributes:
        totals: protocol -> the accumulator over all images.
        images: name -> protocol -> the accumulator of that image alone.
    """

    totals: dict[str, Metric]
    images: dict[str, dict[str, Metric]] = field(default_factory=dict)


def evaluate(options: Options, pairs: Sequence[Pair], protocols: Sequence[str], **changes: Any) -> Evaluation:
    """Judge every pair.

    Args:
        options: of `mtlrepro eval`.
        pairs: at least one.
        protocols: ids.
        changes: arguments of the metrics to override.

    Raises:
        DataError: a file is missing, damaged, of another size than its partner, or holds what the task cannot have,
            a prediction that is not finite at a valid pixel included.
        SpecError: the same for what is wrong with a prediction.
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
            try:
                metric.update(prediction, truth)
            except ReproError as error:
                raise _placed(error, pair) from None
            if _broken(metric):
                mend = "Find out where it comes from; a broken prediction is never dropped"
                raise DataError("holds NaN or infinity at a valid pixel", file=pair.prediction, mend=mend)
        return metrics

    found = Evaluation({p: make(options, p, **changes) for p in protocols})
    with ThreadPoolExecutor(options.workers) as pool:
        results = _in_order(pool, judge, pairs, ahead=2 * options.workers)
        for pair, metrics in zip(pairs, track(results, len(pairs), "images"), strict=True):
            for protocol, metric in metrics.items():
                found.totals[protocol].merge(metric)
            found.images[pair.name] = metrics
    return found


def _broken(metric: Metric) -> bool:
    """Whether a prediction of the one image that the metric saw was not finite where it counts."""
    sums = [v for v in metric.state.values() if v.is_floating_point()]
    return bool(metric.state.get("non_finite", 0)) or any(bool(v.isnan().any()) for v in sums)


def _placed(error: ReproError, pair: Pair) -> ReproError:
    """The same error with the file it is about; what is said of a label is about the truth."""
    file = pair.truth if "label" in error.problem else pair.prediction
    return type(error)(error.problem, file=file, field=error.field, mend=error.mend)


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
