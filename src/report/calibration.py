"""How well losses are calibrated: the ECE of the population, over seeds and test examples, and a difference of two.

The ECE of a sample, e = sum_b |m_b| with m_b the mean over all N examples of (right - confidence) in bin b, is positive
by chance: of a calibrated network it is about 0.03 at 1,000 examples, and the more the less accurate it is. What is
estimated is theta, the mean over training seeds of sum_b |mu_b|, with mu_b the m_b of endless examples:

    E(e | theta) = mean over seeds of sum_b |s m_b + d_b|,   theta = s e

as ``ece_interval`` does for one run: the population's gaps are those of the sample times s >= 0, and d_b are the
deviations that drawing other examples would bring (normal, with the examples' covariances: the multiplier bootstrap,
Mammen 1993). The same examples are drawn for all runs. The estimate is the theta at which E(e | theta) = e, or 0 where
e is below E(e | 0); the 95 % interval holds every theta with |e - E(e | theta)| <= t' sqrt(V), V = A + C as in
statistics.py, C from the deviations at this theta. Near 0 its low end is 0, and then it errs on the upper side only.

A difference of two losses has its interval from theirs (Newcombe 1998; Zou and Donner 2008, "MOVER"):

    theta_1 - theta_2 - sqrt((theta_1 - l_1)^2 + (u_2 - theta_2)^2 - 2 r (theta_1 - l_1) (u_2 - theta_2))

and likewise above; p is the level at which it ends at 0. r is the correlation of e_1 and e_2 over seeds and examples
where both l are above 0; else what moves e is chance, in other bins and directions, and r is 0: calibrated losses
are then not told apart by how accurate they are. Measured coverage and error rates: docs/statistics.md.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .power import Spread
from .statistics import LEVEL, Floats, quantile

Reach = tuple[Floats, Floats]
BINS = 15
DRAWS, CHUNK = 500, 2**14
# scales s of the gaps: between them everything is nearly straight, and far above 1 it is straight
SCALES = np.concatenate([[0], np.geomspace(0.05, 1, 14), np.linspace(1.1, 2, 8), [2.5, 3, 4, 6, 10, 100, 1e4, 1e7]])
LEVELS = np.sort(np.append(np.geomspace(1e-12, 1, 121), LEVEL))  # of p: what is smaller counts as the smallest
AT = int(np.flatnonzero(LEVELS == LEVEL)[0])


@dataclass(frozen=True)
class Gaps:
    """Of N test examples of a run: the bin of the confidence (N,), right - confidence (N,); ``block`` consecutive ones
    depend on each other."""

    bins: NDArray[np.uint8]
    gap: NDArray[np.float32]
    block: int

    @property
    def ece(self) -> float:
        """Of this sample."""
        return float(np.abs(np.bincount(self.bins, self.gap, BINS)).sum()) / len(self.gap)

    def deviations(self) -> tuple[Floats, Floats, int]:
        """m (bins,), d (draws, bins), and how many blocks there are."""
        member = np.arange(len(self.gap)) // self.block
        blocks = int(member[-1]) + 1
        sums = np.bincount(self.bins.astype(np.intp) * blocks + member, self.gap, BINS * blocks).reshape(BINS, blocks)
        mean = sums.sum(1) / len(self.gap)
        centred = sums - mean[:, None] * np.bincount(member)
        drawn = np.zeros((DRAWS, BINS))
        for start in range(0, blocks, CHUNK):
            part = centred[:, start : start + CHUNK].astype(np.float32)
            drawn += (part @ _weights(start)[: part.shape[1]]).T
        return mean, drawn * np.sqrt(blocks / max(blocks - 1, 1)) / len(self.gap), blocks


@functools.lru_cache(maxsize=4)
def _weights(start: int) -> NDArray[np.float32]:
    """(CHUNK, draws) standard normal: the same for every run, so that all are tested on the same drawn examples."""
    return np.random.default_rng([start, 13]).standard_normal((CHUNK, DRAWS), np.float32)


@dataclass(frozen=True)
class Level:
    """The ECE of one loss's runs. ``low`` and ``high``: the ends of its intervals at ``LEVELS``.

    ``each``: e of each seed (n,). ``drawn``: e of each seed at the estimate, for other examples (draws, n).
    ``variance``: V at the estimate. ``examples``: how many there are, or blocks of them.
    """

    value: float
    low: Floats
    high: Floats
    each: Floats
    drawn: Floats
    variance: float
    examples: int


def fit(runs: Sequence[Gaps]) -> Level:
    """Of the runs of one loss, a seed each, on the same examples."""
    parts = [run.deviations() for run in runs]
    n, examples = len(runs), parts[0][2]
    m = np.stack([part[0] for part in parts])  # (n, bins)
    d = np.stack([part[1] for part in parts], 1)  # (draws, n, bins)
    each = np.abs(m).sum(1)
    e = float(each.mean())
    seeds = float(each.var(ddof=1)) / n if n > 1 else 0.0
    drawn = [np.abs(scale * m + d).sum(2) for scale in SCALES]
    expected = np.maximum.accumulate([table.mean() for table in drawn])
    variance = seeds + np.array([_shared(table, table) for table in drawn]).clip(0)
    at = float(np.interp(e, expected, SCALES)) if e > expected[0] else 0.0
    with np.errstate(invalid="ignore"):
        share = np.where(variance > 0, seeds / variance, 0.0)
    half = quantile(LEVELS[:, None], share, max(n - 1, 1), max(examples - 1, 1)) * np.sqrt(variance)
    thetas = SCALES * e
    above, below = (np.maximum.accumulate(expected + sign * half, axis=1) for sign in (1, -1))
    low = np.array([0.0 if row[0] >= e else np.interp(e, row, thetas) for row in above])
    high = np.array([np.interp(e, row, thetas) for row in below])
    if all(
        (run.gap >= 0).all() for run in runs
    ):  # nothing is wrong, which says how rare it is and no more: Wilson 1927
        t = quantile(LEVELS, np.zeros(1), 1, max(examples - 1, 1)) ** 2
        high = np.maximum(high, t / (examples + t))
    value = min(at * e, 1.0)
    now = np.abs(at * m + d).sum(2)
    at_value = float(seeds + max(0.0, _shared(now, now)))
    return Level(value, low.clip(max=value), high.clip(value, 1), each, now, at_value, examples)


def _shared(a: Floats, b: Floats) -> float:
    """The covariance of means over seeds that comes from the examples which all seeds share: (draws, n) each."""
    n = a.shape[1]
    between = (a - a.mean(0)).T @ (b - b.mean(0)) / (len(a) - 1)
    return float(between[0, 0] if n == 1 else (between.sum() - np.trace(between)) / (n * (n - 1)))


class Difference(NamedTuple):
    """Of two levels: its 95 % interval, p of "it is 0"; ``spread``, near enough for plans; ``reach``: how far its
    interval at each of ``LEVELS`` goes down and up."""

    value: float
    low: float
    high: float
    p: float
    spread: Spread
    reach: Reach


def compare(a: Level, b: Level) -> Difference:
    """a - b, whose runs are of the same seeds in the same order."""
    n = len(a.each)
    seeds = float(np.cov(a.each, b.each)[0, 1]) / n if n > 1 else 0.0
    both = np.sqrt(a.variance * b.variance)
    shared = _shared(a.drawn, b.drawn)
    r = float(np.clip((seeds + shared) / both, -1, 1)) if both > 0 else 0.0
    value = a.value - b.value
    r_at = np.where((a.low > 0) & (b.low > 0), r, 0.0)
    down, up = _reach(a.value - a.low, b.high - b.value, r_at), _reach(a.high - a.value, b.value - b.low, r_at)
    sure = abs(value) - (down if value > 0 else up)
    p = float(np.exp(np.interp(0, sure, np.log(LEVELS)))) if value else 1.0
    ends = max(-1.0, value - float(down[AT])), min(1.0, value + float(up[AT]))
    return Difference(value, *ends, p, _spread(a, b, (seeds, shared) if r_at[AT] else (0.0, 0.0)), (down, up))


def _spread(a: Level, b: Level, common: tuple[float, float]) -> Spread:
    """Of a - b; ``common``: the covariances of seeds and of examples that count."""
    n = len(a.each)
    own = [float(level.each.var(ddof=1)) / n if n > 1 else 0.0 for level in (a, b)]
    rest = a.variance + b.variance - sum(own)
    return Spread(sum(own) - 2 * common[0], max(0.0, rest - 2 * common[1]), n, a.examples)


def equal(value: float, reach: Reach, margin: float) -> float:
    """p of the two one-sided tests that a difference is within ``margin`` (Schuirmann 1987), from its intervals."""
    if abs(value) >= margin:
        return 1.0
    sides = ((margin + value) - reach[0], (margin - value) - reach[1])  # both grow with the level
    return max(float(np.exp(np.interp(0, side, np.log(LEVELS)))) for side in sides) / 2


def _reach(own: Floats, other: Floats, r: Floats) -> Floats:
    """At ``LEVELS``; where ``r`` changes, made wide enough to hold the intervals of less sure levels, so that p <= 0.05
    and a 95 % interval without 0 are one thing."""
    reach = np.sqrt((own**2 + other**2 - 2 * r * own * other).clip(0))
    return np.maximum.accumulate(reach[::-1])[::-1]
