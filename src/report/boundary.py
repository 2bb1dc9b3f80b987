"""When a difference is tested at several looks: how small its p-value must be at each, so that all looks together err
in at most alpha of the cases in which there is no difference.

**Spending.** Of n of the most N seeds, looks up to n together may err in alpha (n / N)^3 (Lan and DeMets 1983,
Biometrika 70, 659; Kim and DeMets 1987, Biometrika 74, 149). The power 3 makes a boundary of the type of O'Brien and
Fleming: little is spent early, and the last look is nearly as strict as a single test (Jennison and Turnbull 2000,
Group Sequential Methods, section 7.2). The function that is named after them, 2 - 2 Phi(z_alpha/2 / sqrt(n / N)), would
ask for p = 1.1e-10 at 3 of 20 seeds and alpha = 0.0125: a t statistic of 2 degrees of freedom above 90,000.

**Boundary.** Few seeds estimate their variance badly, so the normal boundaries of the books err too often. These are
those of successive t statistics themselves. With x the differences of n seeds, u = sum x / sqrt(n sum x^2) is the
cosine of the angle between x and the line of equal numbers, and t = sqrt(n - 1) u / sqrt(1 - u^2). Under normal x
without a difference the direction of x is independent of its length, so u is a Markov chain: with m further seeds

    u' sqrt(n + m) = u sqrt(n B) + c sqrt(m (1 - B)),   B ~ Beta(n / 2, m / 2),   c the cosine of the m new ones,

all independent. The recursion of Armitage, McPherson and Rowe (1969) runs over |u|: over its normal score z, where
2 - 2 Phi(z) is the p-value of t, in bins; B by Gauss-Jacobi quadrature. What all seeds share of the test examples makes
the looks more alike than that, and the boundary errs less often. Measured: docs/sequential.md.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, roots_jacobi, stdtr, stdtrit

from .statistics import LEVEL, Floats, Indices

LEAST = 3  # seeds at the first look, and the fewest that are tested at all
POWER = 3
EDGES = np.linspace(0, 8.2, 165)  # of the bins of z: beyond is a p-value below 2e-16
NODES = 24


def looks_of(most: int) -> tuple[int, ...]:
    """After how many seeds is looked, ``most`` the last: every two seeds, later every eighth part more."""
    found = [LEAST]
    while (following := found[-1] + max(2, found[-1] // 8)) < most - 1:
        found.append(following)
    return (*found, most) if most > LEAST + 1 else (most,)


@functools.cache
def levels_of(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """The two-sided p-value that a comparison must not exceed at each of the ``looks``, as the module says. They are at
    least two seeds apart."""
    inside = np.diff(2 * ndtr(EDGES) - 1)  # (bins,): what has not crossed, by its z
    spent, found = 0.0, []
    for k, seeds in enumerate(looks):
        if k:
            inside = inside @ _step(looks[k - 1], seeds)
        now = alpha * (seeds / looks[-1]) ** POWER
        beyond = np.append(inside[::-1].cumsum()[::-1], 0.0)  # (edges,): the share with a larger z
        i = int(np.flatnonzero(beyond >= now - spent)[-1])  # the bin in which the boundary is
        part = (beyond[i] - (now - spent)) / (beyond[i] - beyond[i + 1])
        z = EDGES[i] + part * (EDGES[i + 1] - EDGES[i])
        found.append(float(2 * ndtr(-z)))
        inside = np.concatenate([inside[:i], [part * inside[i]], np.zeros(len(inside) - i - 1)])
        spent = now
    return tuple(found)


def crossed(p: Floats, shown: Indices | int, levels: Sequence[float]) -> NDArray[np.bool_]:
    """Which of the comparisons (..., m) are shown at a look, by Holm's steps; NaN is not tested.

    ``shown``: of how many others a difference was shown before (...). ``levels``: of this look, by how many are shown.
    """
    order = np.argsort(p, axis=-1)  # NaN last
    step = np.asarray(shown)[..., None] + np.arange(p.shape[-1])
    below = np.take_along_axis(p, order, -1) <= np.asarray(levels)[step.clip(max=len(levels) - 1)]
    found = np.empty_like(below)
    np.put_along_axis(found, order, np.logical_and.accumulate(below, axis=-1), -1)
    return found


def adjusted(p: float, looks: tuple[int, ...], k: int, comparisons: int) -> float:
    """The p-value that allows for the looks and, by Bonferroni's factor, for the ``comparisons``: the smallest alpha at
    which ``p`` at look ``k`` does not exceed the boundary of alpha / comparisons (Jennison and Turnbull 2000, ch. 9).
    It is at most 0.05 exactly where that of 0.05 is not exceeded; 1 where no alpha does, 1e-12 where each does."""

    def below(alpha: float) -> bool:
        return p <= levels_of(looks, alpha / comparisons)[k]

    low, high = (1e-12, LEVEL) if below(LEVEL) else (LEVEL, 1 - 1e-9)
    if not below(high):
        return 1.0
    while high / low > 1 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if below(middle) else (middle, high)
    return high


@functools.cache
def _step(before: int, after: int) -> Floats:
    """(bins, bins): how likely |u| goes from the middle of a bin to each, from ``before`` seeds to ``after``: at least
    two more, as c is else 1 or -1, which no smooth quadrature follows."""
    new = after - before
    points, weights = roots_jacobi(NODES, new / 2 - 1, before / 2 - 1)
    b, weights = (1 + points) / 2, weights / weights.sum()
    u = _cosine((EDGES[1:] + EDGES[:-1]) / 2, before)[:, None, None]  # (bins, 1, 1)
    v = _cosine(EDGES, after)[:, None]  # (edges, 1)

    def below(v: Floats) -> Floats:
        c = ((v * np.sqrt(after) - u * np.sqrt(before * b)) / np.sqrt((1 - b) * new)).clip(-1, 1)
        with np.errstate(divide="ignore"):
            return stdtr(new - 1, np.sqrt(new - 1) * c / np.sqrt(1 - c**2)) @ weights

    return np.diff(below(v) - below(-v), axis=1)


def _cosine(z: Floats, seeds: int) -> Floats:
    """u of the t statistic whose p-value is that of ``z``."""
    t = -stdtrit(seeds - 1, ndtr(-z))
    return t / np.sqrt(t**2 + seeds - 1)
