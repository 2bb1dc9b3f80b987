"""The metrics of a report: which way each is better, which are judged, and what values they can have."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """``better``: -1 where less is better, 1 where more is, 0 where neither. ``judged``: part of the verdict.

    It is ``factor`` times the mean of ``source`` over seeds, and e raised to that if ``exponential``: then differences
    are ratios. ``low`` and ``high`` bound it. ``share``: of examples that are right.
    """

    name: str
    better: int = -1
    judged: bool = False
    source: str = ""
    factor: float = 1.0
    exponential: bool = False
    low: float = 0.0
    high: float = math.inf
    share: bool = False


METRICS = (
    Metric("accuracy", 1, judged=True, high=1, share=True),
    Metric("nll", judged=True),
    Metric("perplexity", source="nll", exponential=True),
    Metric("bits_per_char", source="nll", factor=1 / math.log(2)),
    Metric("brier", judged=True, high=2),
    Metric("ece", judged=True, high=1),
    Metric("overconfidence", 0, low=-1, high=1),
    Metric("temperature", 0),
    Metric("nll_ts"),
    Metric("brier_ts", high=2),
    Metric("ece_ts", high=1),
)
ROUNDING = 1e-6  # by which float32 probabilities may miss the bounds
BOUNDS = {metric.name: (metric.low - ROUNDING, metric.high + ROUNDING) for metric in METRICS}
