"""What runs measured, with its spread: means and paired differences of groups, over seeds and test examples."""

import functools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..metrics.columns import Column
from . import calibration
from .calibration import Level
from .groups import Group
from .power import Spread, equal
from .read import Run
from .statistics import Estimate, Floats, Indices, contrast, estimate, of_share, of_two_shares, within


@dataclass(frozen=True)
class Span:
    """A number with its 95 % interval, NaN where it cannot be told; ``n`` seeds; ``p`` of "it is 0". A difference has
    its ``spread``, and the ``reach`` of its intervals where it is of a calibration error."""

    value: float
    low: float
    high: float
    n: int
    p: float
    spread: Spread | None = None
    reach: calibration.Reach | None = field(default=None, compare=False)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval does; False where there is none."""
        return self.low > 0 or self.high < 0

    def raised(self) -> "Span":
        return replace(self, value=_exp(self.value), low=_exp(self.low), high=_exp(self.high))

    def negative(self) -> "Span":
        reach = None if self.reach is None else self.reach[::-1]
        return replace(self, value=-self.value, low=-self.high, high=-self.low, reach=reach)

    def times(self, factor: float) -> "Span":
        """The same in another unit."""
        spread = self.spread and replace(
            self.spread, seeds=factor**2 * self.spread.seeds, shared=factor**2 * self.spread.shared
        )
        low, high = factor * self.low, factor * self.high
        return replace(self, value=factor * self.value, low=low, high=high, spread=spread, reach=None)

    def equal(self, margin: float) -> float:
        """p of the two one-sided tests that this difference is within ``margin``; NaN where it cannot be told."""
        if self.reach is not None:
            return calibration.equal(self.value, self.reach, margin)
        return equal(self.value, self.spread, margin) if self.spread else math.nan


ALONE = "intervals are over seeds alone, and a calibration error, part of which is chance, is not told"
UNKNOWN = Span(math.nan, math.nan, math.nan, 0, math.nan)


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)


def _by_root(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each example adds to the root of their mean, as far as that is straight: y / (2 sqrt(mean y))."""
    mean = float(values.mean(dtype=np.float64))
    return values / np.float32(2 * math.sqrt(mean)) if mean > 0 else np.zeros_like(values)


class Measurements:
    """Each run's metrics, and their covariances over the test examples that all runs were tested on."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = runs
        self.index = {id(run): i for i, run in enumerate(runs)}
        self.notes: list[str] = []
        self.examples = [run.examples for run in runs]
        self.notes += [f"{run.folder}: no predictions.npz; {ALONE}" for run in runs if run.examples is None]
        if len({read.test_set for read in self.examples if read}) > 1:
            self.notes.append(f"the runs were not tested on the same examples: {ALONE}")
            self.examples = [None for _ in runs]

    def known(self, metric: Column) -> bool:
        """Whether any run has it."""
        return any(run.metric("test", metric.name) is not None for run in self.runs) and bool(
            np.isfinite(self.means(metric)).any() or not metric.gap
        )

    @functools.cache  # noqa: B019  lives as long as the report
    def means(self, metric: Column) -> Floats:
        """(runs,), NaN where a run has no such metric."""
        values = [run.metric("test", metric.source or metric.name) for run in self.runs]
        if metric.gap:  # without examples nobody can tell how much of it is chance
            known = [read is not None and metric.name in read.gaps for read in self.examples]
            values = [value if have else None for value, have in zip(values, known, strict=True)]
        of_runs = np.array([math.nan if value is None else value for value in values])
        return metric.factor * (np.sqrt(of_runs.clip(min=0)) if metric.root else of_runs)

    def has_examples(self, metric: Column) -> bool:
        """Whether any run has its numbers of test examples; else its intervals are over seeds only."""
        return metric.gap is not None or self.covariance(metric) is not None

    @functools.cache  # noqa: B019
    def covariance(self, metric: Column) -> tuple[Floats, int] | None:
        """(runs, runs), NaN where a run has no numbers of examples, and how many examples; None where none has.

        Examples that add nothing to the sums of a ratio are not counted, and the covariance is that of the others: of
        a mean over a part of the examples both are those of the part.
        """
        name = metric.source or metric.name
        known = [(i, read) for i, read in enumerate(self.examples) if read and name in read.values]
        have = {i: read for i, read in known if read.count(name) > 1 and np.isfinite(read.values[name]).all()}
        if not have:
            return None
        rows = [read.values[name] for read in have.values()]
        values = np.stack([_by_root(row) if metric.root else row for row in rows])
        n, counted = values.shape[1], min(read.count(name) for read in have.values())
        scale = counted**2 * (n - 1) / ((counted - 1) * n**2)  # 1 if all are counted
        full = np.full((len(self.runs), len(self.runs)), np.nan)
        full[np.ix_(list(have), list(have))] = metric.factor**2 * scale * np.cov(values, dtype=np.float64)
        return full, counted

    def spans(self, metric: Column, pairs: Sequence[tuple[Group, Group | None]]) -> list[Span]:
        """Of each group's mean, or of the paired difference of two on common seeds; a ratio's is its logarithm's."""
        rows = [self._rows(metric, *pair) for pair in pairs]
        if metric.gap:
            return [self._calibration(metric, tuple(a), tuple(b)) for a, b in rows]
        batches: dict[tuple[int, bool], list[int]] = defaultdict(list)
        for k, (a, b) in enumerate(rows):
            batches[len(a), self._all_have_examples(metric, a + b)].append(k)
        spans = [UNKNOWN] * len(pairs)
        for (n, with_examples), members in batches.items():
            if n:
                first, second = (np.array([rows[k][side] for k in members]) for side in (0, 1))
                found = self._estimate(metric, first, second if second.size else None, with_examples)
                columns = (found.value, found.low, found.high, found.p, found.seeds, found.variance - found.seeds)
                examples = self._counted(metric) if with_examples else 0
                for k, row in zip(members, np.stack(columns, 1).tolist(), strict=True):
                    value, low, high, p, seeds, shared = row
                    spans[k] = Span(value, low, high, n, p, Spread(seeds, max(0.0, shared), n, examples))
        return spans

    def _calibration(self, metric: Column, a: tuple[int, ...], b: tuple[int, ...]) -> Span:
        if not a:
            return UNKNOWN
        first = self._level(metric.name, a)
        if not b:
            low, high = (float(end[calibration.AT]) for end in (first.low, first.high))
            return Span(first.value, low, high, len(a), math.nan)
        found = calibration.compare(first, self._level(metric.name, b))
        return Span(found.value, found.low, found.high, len(a), found.p, found.spread, found.reach)

    @functools.cache  # noqa: B019
    def _level(self, name: str, rows: tuple[int, ...]) -> Level:
        return calibration.fit([read.gaps[name] for row in rows if (read := self.examples[row])])

    def _rows(self, metric: Column, group: Group, other: Group | None) -> tuple[list[int], list[int]]:
        """The runs of the seeds that both have, where both have the metric; the second list empty without ``other``."""
        means = self.means(metric)
        mine = {seed: i for seed, run in group.finished.items() if not math.isnan(means[i := self.index[id(run)]])}
        if other is None:
            return list(mine.values()), []
        theirs = {seed: i for seed, run in other.finished.items() if not math.isnan(means[i := self.index[id(run)]])}
        seeds = [seed for seed in mine if seed in theirs]
        return [mine[seed] for seed in seeds], [theirs[seed] for seed in seeds]

    def _all_have_examples(self, metric: Column, rows: list[int]) -> bool:
        found = self.covariance(metric)
        return found is not None and not np.isnan(found[0][rows, rows]).any()

    def _counted(self, metric: Column) -> int:
        found = self.covariance(metric)
        return found[1] if found else 0

    def _estimate(self, metric: Column, a: Indices, b: Indices | None, with_examples: bool) -> Estimate:
        means, found = self.means(metric), self.covariance(metric)
        with np.errstate(invalid="ignore"):  # inf - inf
            values = means[a] if b is None else means[a] - means[b]
        covariance, examples = found if with_examples and found else (None, 0)
        if b is None:
            own = None if covariance is None else covariance[a[:, :, None], a[:, None, :]]
            spread = estimate(values, own, examples)
            return within(of_share(spread, examples) if metric.share else spread, metric.low, metric.high)
        spread = estimate(values, None if covariance is None else contrast(covariance, a, b), examples)
        widest = metric.high - metric.low
        return within(of_two_shares(spread, examples) if metric.share else spread, -widest, widest)
