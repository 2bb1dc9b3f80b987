"""Ratios of times that were measured in turn."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t


@dataclass(frozen=True)
class Ratio:
    """The median of the paired ratios of n rounds, and a 95 % interval.

    The interval is Student's t on the logarithms, so it is of their mean, the logarithm of the geometric mean ratio.
    A round's two times share what the machine was busy with, which the ratio cancels.
    """

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, above: Sequence[float], below: Sequence[float]) -> "Ratio":
        """above[i] / below[i] over the rounds i. With one round there is no interval (0 to infinity)."""
        logs = [math.log(a / b) for a, b in zip(above, below, strict=True)]
        n, mean = len(logs), statistics.mean(logs)
        half = float(t.ppf(0.975, n - 1)) * statistics.stdev(logs) / math.sqrt(n) if n > 1 else math.inf
        high = math.exp(mean + half) if half < math.inf else math.inf
        return cls(math.exp(statistics.median(logs)), math.exp(mean - half), high, n)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * list(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
