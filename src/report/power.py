"""What a comparison could have shown, how many seeds would decide it, and whether two losses are practically equal.

A difference of two losses on n common seeds and N test examples has the variance V = a / n + c (statistics.py: A is
a / n, C is c). It is shown at the level alpha if |D| > h = (A t(n - 1) + C t(N - 1)) / sqrt(A + C), with the quantiles
t of alpha / 2 and the estimates of A and C. A's estimate is A u, with u a chi-square of n - 1 degrees of freedom over
n - 1; C is known far better, and is taken as it is. So the power at a true difference d is

    power(d) = E_u[ Phi((d - h(u)) / sqrt(V)) + Phi((-d - h(u)) / sqrt(V)) ]

which is that of the noncentral t where C is 0. The variance a is an estimate itself, of n - 1 degrees of freedom, and a
power at the estimate would promise too much. So what is stated is the mean of the power over the a that the estimate
allows, a = estimate / w with w distributed as u (Julious and Owen 2006, Pharmaceutical Statistics 5, 29): a difference
of the stated size is then shown by 80 % of such ablations. A range of seeds is that of the two ends of the chi-square
interval of a. The level alpha is that of Holm's next step: of m comparisons of which r are shown, 0.05 / (m - r); with
the others as they are, a comparison is shown exactly if its p is at most that.

Two losses are equal within a margin if two one-sided tests show that the difference is above -margin and below it
(Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15, 657): p is the larger of the two. How well all this
holds is measured in docs/power.md.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, ndtr, ndtri, stdtrit

from .statistics import Floats, level

POWER = 0.8
MOST = 1000  # seeds; beyond, nobody trains them
SURE = 0.9  # of the interval of the variance
# Seeds of a comparison. At two, the spread between them is known to one degree of freedom: of ablations without any
# difference more than one in twenty would get a verdict (docs/statistics.md).
LEAST_SEEDS = 3
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(32)
SHARES, WEIGHTS = (POINTS + 1) / 2, WEIGHTS / 2  # over the levels of a chi-square, from 0 to 1
Number = Floats | float


@dataclass(frozen=True)
class Spread:
    """The variance of a difference on ``n`` common seeds: A, the ``seeds``' part, and C, the ``shared`` part of the
    ``examples`` (0 examples: nothing is known of them, and C is 0)."""

    seeds: float
    shared: float
    n: int
    examples: int

    @property
    def known(self) -> bool:
        """Whether anything can be planned by it."""
        return self.n > 1 and 0 < self.seeds < math.inf and self.shared < math.inf


@dataclass(frozen=True)
class Plan:
    """Of a difference on ``n`` seeds that is not shown at the level ``alpha``, the next step of Holm's correction.

    ``smallest``: the smallest difference that these seeds show with 80 % power. ``least``: the one that endless seeds
    would, as the test set is finite. ``seeds``: how many seeds in all show the difference that was seen, and the ends
    of the range, ``fewest`` and ``most``; infinite beyond ``MOST``. ``limited``: no number of seeds does, because the
    test set is too small.
    """

    smallest: float
    least: float
    seeds: float
    fewest: float
    most: float
    limited: bool
    n: int
    alpha: float


def power(difference: Number, one: Number, shared: Number, n: Number, examples: Number, alpha: Number) -> Floats:
    """The chance that a true ``difference`` is shown at the two-sided level ``alpha``, by the docstring's formula;
    ``one`` and ``shared`` are a and c. All are arrays of shapes that go together."""
    d, a, c, n, count, alpha = (
        np.asarray(x, np.float64)[..., None] for x in (difference, one, shared, n, examples, alpha)
    )
    part = a / n * _chi_square(SHARES, n - 1) / (n - 1)
    quantiles = -stdtrit(n - 1, alpha / 2), -stdtrit(np.maximum(count - 1, 1), alpha / 2)
    half = (part * quantiles[0] + c * quantiles[1]) / np.sqrt(part + c)
    width = np.sqrt(a / n + c)
    return np.asarray(((ndtr((d - half) / width) + ndtr((-d - half) / width)) * WEIGHTS).sum(-1))


def expected(
    difference: Number, one: Number, shared: Number, n: Number, examples: Number, alpha: Number, df: Number
) -> Floats:
    """The mean of ``power`` over the a that an estimate ``one`` of ``df`` degrees of freedom allows."""
    d, a, c, n, count, alpha, df = (
        np.asarray(x, np.float64)[..., None] for x in (difference, one, shared, n, examples, alpha, df)
    )
    return np.asarray((power(d, a * df / _chi_square(SHARES, df), c, n, count, alpha) * WEIGHTS).sum(-1))


def smallest(one: Number, shared: Number, n: Number, examples: Number, alpha: Number) -> Floats:
    """The smallest difference that n seeds show with 80 % power, where n seeds estimated ``one``."""
    low = np.sqrt(np.asarray(one) / n + shared)
    high = low * np.exp(20)
    for _ in range(24):
        middle = np.sqrt(low * high)
        enough = expected(middle, one, shared, n, examples, alpha, np.asarray(n) - 1) >= POWER
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.asarray(high)


def needed(chance: Callable[[Floats], Floats], shape: tuple[int, ...]) -> Floats:
    """The fewest seeds of which ``chance`` (numbers of seeds -> power) is 80 %; infinite beyond ``MOST``."""
    low, high = np.full(shape, LEAST_SEEDS - 1.0), np.full(shape, MOST + 1.0)
    while (high - low > 1).any():
        middle = np.maximum(np.floor((low + high) / 2), LEAST_SEEDS)
        enough = chance(middle) >= POWER
        low, high = (
            np.where(enough, low, np.minimum(middle, high - 1)),
            np.where(enough, np.minimum(middle, high), high),
        )
    return np.where(high > MOST, np.inf, high)


def bounds(one: Number, df: Number) -> tuple[Floats, Floats]:
    """The chi-square interval of a variance whose estimate is ``one``."""
    ends = ((1 + sign * SURE) / 2 for sign in (1, -1))
    low, high = (np.asarray(one * df / _chi_square(share, df)) for share in ends)
    return low, high


def _chi_square(share: Number, df: Number) -> Floats:
    """Its quantile."""
    return np.asarray(chdtri(df, 1 - np.asarray(share)))


def plans(values: Sequence[float], spreads: Sequence[Spread], alpha: float) -> list[Plan]:
    """Of differences that are not shown, whose spreads are known."""
    if not values:
        return []
    seen, n = np.abs(values), np.array([spread.n for spread in spreads], np.float64)
    one = np.array([spread.seeds for spread in spreads]) * n
    shared, examples = (np.array([getattr(s, name) for s in spreads], np.float64) for name in ("shared", "examples"))

    def by(a: Floats) -> Floats:
        return needed(lambda m: power(seen, a, shared, m, examples, alpha), seen.shape)

    seeds = needed(lambda m: expected(seen, one, shared, m, examples, alpha, n - 1), seen.shape)
    fewest, most = (np.maximum(by(end), n + 1) for end in bounds(one, n - 1))  # n were not enough
    least = (ndtri(POWER) - stdtrit(np.maximum(examples - 1, 1), alpha / 2)) * np.sqrt(shared)
    found = smallest(one, shared, n, examples, alpha)
    limited = (seen < least) & ~np.isfinite(seeds)
    columns = (found, least, np.maximum(seeds, n + 1), fewest, most)
    rows = np.stack(columns, 1).tolist()
    return [
        Plan(a, b, c, d, e, bool(one), spread.n, alpha)
        for (a, b, c, d, e), one, spread in zip(rows, limited, spreads, strict=True)
    ]


def equal(value: float, spread: Spread, margin: float) -> float:
    """p of the two one-sided tests that a difference is within ``margin``; NaN where its variance is 0 or unknown."""
    width = math.sqrt(spread.seeds + spread.shared)
    if not 0 < width < math.inf:
        return math.nan
    t = (margin - abs(value)) / width
    share = np.asarray(spread.seeds / width**2)
    two_sided = float(level(np.asarray(abs(t)), share, max(spread.n - 1, 1), max(spread.examples - 1, 1)))
    return two_sided / 2 if t > 0 else 1 - two_sided / 2
