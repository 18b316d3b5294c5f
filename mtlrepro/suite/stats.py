"""The statistics behind verdicts: pure functions, no I/O, tested by simulation.

A printed cell is the mean of m runs of the authors, ours the mean of n seeds. If both come from one normal
distribution with deviation s, the difference of the means is s·sqrt(1/n + 1/m) times a Student variable with
the degrees of freedom that s was estimated with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from scipy import stats as _scipy


def mean_and_s(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1); the deviation of one value is None.

    Example:
        >>> mean_and_s([1.0, 3.0])
        (2.0, 1.4142135623730951)
    """
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return mean, None
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))


def pooled(groups: Sequence[Sequence[float]]) -> tuple[float, int] | None:
    """Pooled standard deviation over groups of repeated runs and its degrees of freedom.

    Groups of one value carry no information and are left out, and so are groups with a value that is not finite (a
    run that diverged); None if nothing is left.
    """
    usable = [g for g in groups if len(g) > 1 and all(map(math.isfinite, g))]
    df = sum(len(g) - 1 for g in usable)
    if df == 0:
        return None
    squares = sum((v - mean_and_s(g)[0]) ** 2 for g in usable for v in g)
    return math.sqrt(squares / df), df


def standard_error(s: float, n: int, m: int) -> float:
    """Deviation of the difference between a mean of n and a mean of m runs."""
    return s * math.sqrt(1 / n + 1 / m)


def half_width(s: float, df: int, n: int, m: int, alpha: float = 0.05) -> float:
    """Half-width of the two-sided (1 - alpha) band around the printed mean.

    Example:
        >>> round(half_width(s=1.0, df=2, n=3, m=1), 3)
        4.968
    """
    return float(_scipy.t.ppf(1 - alpha / 2, df)) * standard_error(s, n, m)


def p_value(difference: float, s: float, df: int, n: int, m: int) -> float:
    """Two-sided probability of a difference at least this large if nothing differs."""
    if s == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * _scipy.t.sf(abs(difference) / standard_error(s, n, m), df))


def holm(p_values: Mapping[str, float], alpha: float = 0.05) -> dict[str, bool]:
    """Holm's step-down procedure: name -> True where the hypothesis "no difference" is rejected.

    The probability of one or more false rejections in the whole family is at most alpha.

    Example:
        >>> holm({"a": 0.01, "b": 0.04})
        {'a': True, 'b': True}
        >>> holm({"a": 0.03, "b": 0.04})
        {'a': False, 'b': False}
    """
    rejected = dict.fromkeys(p_values, False)
    for rank, name in enumerate(sorted(p_values, key=lambda k: p_values[k])):
        if p_values[name] > alpha / (len(p_values) - rank):
            break
        rejected[name] = True
    return rejected
