"""The metrics of a report: which way each is better, which are judged, and what values they can have."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """``better``: -1 where less is better, 1 where more is, 0 where neither. ``judged``: it is tested.

    ``phrase``: (verb, better, worse), in which the report's first sentences speak of it; None where they do not.
    ``after``: the metric of which this is the value after temperature scaling.
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
    phrase: tuple[str, str, str] | None = None
    after: str = ""

    @property
    def title(self) -> str:
        return f"{self.after} after temperature scaling" if self.after else self.name


CALIBRATED = ("be", "better calibrated", "worse calibrated")
METRICS = (
    Metric("accuracy", 1, judged=True, high=1, share=True, phrase=("be", "more accurate", "less accurate")),
    Metric("nll", judged=True, phrase=("have", "a lower nll", "a higher nll")),
    Metric("perplexity", source="nll", exponential=True),
    Metric("bits_per_char", source="nll", factor=1 / math.log(2)),
    Metric("brier", judged=True, high=2),
    Metric("ece", judged=True, high=1, phrase=CALIBRATED),
    Metric("overconfidence", 0, low=-1, high=1),
    Metric("temperature", 0),
    Metric("nll_ts"),
    Metric("brier_ts", high=2),
    Metric("ece_ts", judged=True, high=1, phrase=CALIBRATED, after="ece"),
)
ROUNDING = 1e-6  # by which float32 probabilities may miss the bounds
BOUNDS = {metric.name: (metric.low - ROUNDING, metric.high + ROUNDING) for metric in METRICS}
