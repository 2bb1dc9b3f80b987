"""How sure a mean over seeds and test examples is, and a difference of two; Holm's correction; who is best.

A metric is a mean over n training seeds and N test examples, y_si = mu + seed_s + example_i + rest_si. Seeds alone do
not tell how sure it is: every seed is judged on the same finite test set. The variance of the mean is that of the
seeds, plus that of the examples which all seeds share (which the spread between seeds does not show):

    V = A + C,   A = Var_s(m_s) / n,   C = max(0, mean of Cov_i(y_s, y_s') over all pairs s != s') / N

with m_s the mean of seed s, all variances and covariances with one degree of freedom taken off: the moment estimator of
two crossed random effects (Searle, Casella, McCulloch 1992, Variance Components, ch. 4). Resampling seeds and examples
(Owen 2007, The pigeonhole bootstrap, arXiv:0712.1111) aims at the same variance, but finds (n - 1) / n of the seeds'
part, and its percentiles know no t. The interval is mean +- t' sqrt(V), with the two parts' quantiles of Student's t
weighed by their variances, as Cochran and Cox (1950, Experimental Designs, ch. 4) do for two means:

    t' = (A t(n - 1) + C t(N - 1)) / V

and p is the level whose t' is |mean| / sqrt(V). Measured coverage and error rates: docs/statistics.md.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import elementwise
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
LEVEL = 0.05
ROUNDING = 1e-12  # of a variance, relative to one that is no rounding


@dataclass(frozen=True)
class Estimate:
    """Mean, 95 % interval, two-sided p-value of "the mean is 0", the variance V and quantile t' that they are made of,
    and the ``seeds``' part A of V: arrays of one shape, NaN where it cannot be told."""

    value: Floats
    low: Floats
    high: Floats
    p: Floats
    variance: Floats
    t: Floats
    seeds: Floats


def estimate(means: Floats, covariance: Floats | None, examples: int) -> Estimate:
    """Of runs' means (..., n) and their covariances over test examples (..., n, n), as the module's docstring says.

    ``covariance`` None: nothing is known of the examples, and the interval is over seeds alone (C = 0). One seed: the
    interval is over examples alone, V = Var_i(y) / N with N - 1 degrees of freedom, and says nothing of training anew.
    """
    n = means.shape[-1]
    value = means.mean(-1)
    if covariance is None:
        covariance, examples = np.full((n, n), np.nan if n == 1 else 0.0), 2
    own = np.trace(covariance, axis1=-2, axis2=-1) / n
    if n == 1:
        return _student(value, np.zeros_like(value), own / examples, 1, examples - 1)
    shared = (covariance.sum((-2, -1)) - n * own) / (n * (n - 1))
    with np.errstate(invalid="ignore"):  # a mean may be infinite
        seeds = means.var(-1, ddof=1) / n
    # Accuracies are counts: few seeds, or their differences to a baseline, may agree but for what rounding adds. Then
    # what the rest_si alone would give stands in.
    rest = (own - shared).clip(0) / (n * examples)
    seeds = np.where(seeds > ROUNDING * rest, seeds, rest)
    return _student(value, seeds, shared.clip(0) / examples, n - 1, examples - 1)


def _student(value: Floats, a: Floats, c: Floats, df_a: int, df_c: int) -> Estimate:
    """Of a mean whose variance has the parts ``a`` and ``c``, of ``df_a`` and ``df_c`` degrees of freedom."""
    width = np.sqrt(np.where(np.isfinite(value), a + c, np.nan))
    known = width > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(known, a / (a + c), np.nan)
        t = quantile(LEVEL, np.where(known, share, 0.0), df_a, df_c)
        half = np.where(known, t * width, width)
        p = np.where(known, level(np.abs(value) / width, share, df_a, df_c), np.where(value == 0, 1.0, np.nan))
    return Estimate(value, value - half, value + half, p, width**2, t, a)


def of_share(found: Estimate, examples: int) -> Estimate:
    """The interval of a share of right answers, inside of 0 and 1: Wilson's (1927) for as many independent examples as
    would give V (Korn and Graubard 1998); where all are right or all wrong, V is 0, and ``examples`` stands for them.
    ``examples`` 0: nothing is known of them, nor is the interval where V is 0."""
    value, t = found.value, found.t**2
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.where(found.variance > 0, value * (1 - value) / found.variance, examples or np.nan)
        middle, half = value + t / (2 * size), found.t * np.sqrt(value * (1 - value) / size + t / (4 * size**2))
        low, high = ((middle + sign * half) / (1 + t / size) for sign in (-1, 1))
    return replace(found, low=np.minimum(low.clip(0, 1), value), high=np.maximum(high.clip(0, 1), value))


def of_two_shares(found: Estimate, examples: int) -> Estimate:
    """The interval of the difference of two such shares; where not one answer differs, of how many may yet differ."""
    with np.errstate(divide="ignore", invalid="ignore"):
        rare = found.t**2 / (found.t**2 + (examples or np.nan))
    half = np.where(found.variance > 0, 0.0, rare)
    return replace(found, low=found.low - half, high=found.high + half)


def within(found: Estimate, low: float, high: float) -> Estimate:
    """What of the interval is possible: the truth is never in the rest."""
    return replace(found, low=found.low.clip(low, high), high=found.high.clip(low, high))


def quantile(p: Floats | float, share: Floats, df_a: int, df_c: int) -> Floats:
    """t' of the two-sided level ``p``, where the part of ``df_a`` degrees of freedom has ``share`` of the variance."""
    return -(share * stdtrit(df_a, p / 2) + (1 - share) * stdtrit(df_c, p / 2))


def level(t: Floats, share: Floats, df_a: int, df_c: int) -> Floats:
    """The two-sided level p whose t' is ``t``: between those of the two parts. NaN where ``t`` or ``share`` is."""
    below, above = np.sort([2 * stdtr(df_a, -t), 2 * stdtr(df_c, -t)], 0)
    ends = (below * (1 - 1e-9)).clip(1e-300), above * (1 + 1e-9)  # it may be an end; the quantile of 0 is no number
    found = elementwise.find_root(lambda p, t, w: quantile(p, w, df_a, df_c) - t, ends, args=(t, share))
    return np.where(found.success, found.x, above).clip(max=1)


def contrast(covariance: Floats, a: Indices, b: Indices) -> Floats:
    """Covariances (..., n, n) of paired differences of the runs ``a`` and ``b``, indices (..., n) into the last two
    axes of ``covariance``."""

    def block(rows: Indices, columns: Indices) -> Floats:
        return covariance[..., rows[..., :, None], columns[..., None, :]]

    return block(a, a) + block(b, b) - block(a, b) - block(b, a)


def holm(p: Floats) -> Floats:
    """Adjusted p-values over the last axis, which is one family: reject those <= 0.05, and the chance of any false
    rejection is at most 5 %. Sorted, adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j)). Source: Holm 1979.

    NaN stays NaN and is not counted: what was not compared costs nothing.
    """
    order = np.argsort(p, axis=-1)  # NaN last
    ranked = np.take_along_axis(p, order, -1)
    factor = (~np.isnan(p)).sum(-1, keepdims=True) - np.arange(p.shape[-1])
    stepped = np.maximum.accumulate(np.minimum(1.0, ranked * factor), axis=-1)
    adjusted = np.empty_like(stepped)
    np.put_along_axis(adjusted, order, stepped, -1)
    return adjusted


def best(difference: Floats, adjusted: Floats) -> Indices:
    """Which of L losses beats every other, or -1. ``difference`` (..., L, L): row's metric minus column's, where less
    is better; ``adjusted`` (..., L, L): Holm's p-values over all pairs. L = 1: -1, there is nothing to beat."""
    losses = difference.shape[-1]
    beats = (difference < 0) & (adjusted <= LEVEL) | np.eye(losses, dtype=bool)
    wins = beats.all(-1) & (losses > 1)
    return np.where(wins.any(-1), wins.argmax(-1), -1)
