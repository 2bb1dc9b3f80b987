"""What costs nothing, beside what was trained: guessing at random, by frequency, and what else a run's family knows.

A run writes its floors into result.json: name -> metric -> value on the very test set of the run.
"""

import math
from collections.abc import Mapping, Sequence

from ..metrics.columns import Column
from .compare import Comparison
from .table import Shown
from .words import DASH, number

Ends = tuple[float, float]


def floors(comparison: Comparison) -> dict[str, dict[str, Ends]]:
    """Name -> the name of each metric that it has -> the lowest and the highest value among the finished runs: those of
    an ablation may have been trained on classes of other frequencies."""
    found: dict[str, dict[str, Ends]] = {}
    for run in comparison.section.runs:
        for name, values in run.result.get("floors", {}).items():
            for metric in comparison.metrics:
                value = value_of(metric, values)
                if not math.isnan(value):
                    low, high = found.setdefault(name, {}).get(metric.name, (value, value))
                    found[name][metric.name] = min(low, value), max(high, value)
    return found


def value_of(metric: Column, values: Mapping[str, float | None]) -> float:
    """Its own, or what its source makes of it; NaN if there is neither."""
    own, source = values.get(metric.name), values.get(metric.source)
    if own is not None:
        return own
    if source is None or (metric.root and source < 0):
        return math.nan
    value = metric.factor * (math.sqrt(source) if metric.root else source)
    if not metric.exponential:
        return value
    return math.exp(value) if value < 700 else math.inf


def rows(comparison: Comparison, metrics: Sequence[Column], blank: int) -> list[list[Shown]]:
    """A row for each floor that has one of ``metrics``, with so many cells of nothing behind its name."""
    return [
        [Shown(name, "floor"), *[Shown("")] * blank, *(Shown(_text(values.get(metric.name))) for metric in metrics)]
        for name, values in floors(comparison).items()
        if any(metric.name in values for metric in metrics)
    ]


def _text(ends: Ends | None) -> str:
    return " to ".join(dict.fromkeys(map(number, ends))) if ends else DASH
