"""The statistics behind verdicts: pure functions, no I/O, tested by simulation.

A printed cell is the mean of m runs of the authors, ours the mean of n seeds. If both come from one normal
distribution with deviation s, the difference of the means is s·sqrt(1/n + 1/m) times a Student variable with
the degrees of freedom that s was estimated with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats as _scipy

EXACT_FROM = 6
"""Seeds from which the exact paired test is used: with fewer, 2^-n cannot fall well below 0.05."""

MOST_EXACT, DRAWS = 16, 1 << 16
"""Seeds up to which all sign patterns are counted, and how many are drawn beyond."""


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


def combine(pools: Sequence[tuple[float, int] | None]) -> tuple[float, int] | None:
    """One deviation from several independent estimates of it, weighted by their degrees of freedom.

    Example:
        >>> combine([(1.0, 2), None, (2.0, 2)])
        (1.5811388300841898, 4)
    """
    known = [p for p in pools if p is not None and p[1] > 0]
    df = sum(d for _, d in known)
    return (math.sqrt(sum(s * s * d for s, d in known) / df), df) if df else None


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


def power(shift: float, df: int, n: int, m: int, alpha: float = 0.05) -> float:
    """Probability that a true shift, in units of the run-to-run deviation, leaves the band (either side).

    Example:
        >>> round(power(2.0, df=22, n=3, m=1), 3)
        0.381
    """
    edge = float(_scipy.t.ppf(1 - alpha / 2, df))
    off = shift / standard_error(1.0, n, m)
    return float(_scipy.nct.sf(edge, df, off) + _scipy.nct.cdf(-edge, df, off))


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


def paired_p(
    differences: Sequence[float], spread: tuple[float, int] | None = None, level: float = 0.05
) -> tuple[float, str] | None:
    """One-sided probability of a mean difference at least this large if the two rows are alike, and the test used.

    From `EXACT_FROM` seeds on every sign of every difference is flipped (exact, no normality needed), provided that
    this can reach the level; with fewer, and at least two, it is Student's t on the differences; with one seed, or
    where all differences are equal, Student's t with a deviation known from elsewhere.

    Args:
        differences: row minus rival, seed by seed, positive where the row is better.
        spread: deviation of one run and its degrees of freedom, known from other runs.
        level: level of the decision that p is for.

    Returns:
        p and the name of the test; None where nothing can be tested.

    Example:
        >>> round(paired_p([0.5, 0.7, 0.6])[0], 4)
        0.0046
        >>> paired_p([1.0] * 6)
        (0.015625, 'exact sign-flip test, paired by seed')
    """
    n = len(differences)
    if not all(map(math.isfinite, differences)):
        return None
    if n >= EXACT_FROM and 2.0**-n <= level:
        values = np.asarray(differences, float)
        if n > MOST_EXACT:
            signs = np.random.default_rng(0).choice((-1, 1), size=(DRAWS, n))
        else:
            signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        reached = int((signs @ values >= values.sum() - 1e-12 * np.abs(values).sum()).sum())
        if n > MOST_EXACT:
            return (reached + 1) / (DRAWS + 1), "sign-flip test, paired by seed"
        return reached / 2**n, "exact sign-flip test, paired by seed"
    mean, s = mean_and_s(differences)
    if s is not None and s > 1e-12 * abs(mean):
        return float(_scipy.t.sf(mean / (s / math.sqrt(n)), n - 1)), "t test, paired by seed"
    if spread is None or spread[0] == 0:
        return None
    return float(_scipy.t.sf(mean / standard_error(spread[0], n, n), spread[1])), "t test, spread of other runs"
