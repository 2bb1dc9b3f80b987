"""The figure of a score in its two parts: what the best recalibration takes away, and what it leaves."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..figures.style import BLUE, INK, SKY, axes_at, fitted, styled
from ..metrics.columns import Column
from .compare import Comparison

ROW, ABOVE, BELOW, LEFT, ACROSS = 0.27, 0.1, 0.75, 1.28, 2.45  # inches: a loss, the edge, axis and legend, names, bars


def divided(comparison: Comparison) -> list[Column]:
    """The metrics whose parts a report can draw."""
    names = {name for _, name in comparison.cells}
    return [metric for metric in comparison.metrics if metric.parts and {metric.name, *metric.parts} <= names]


@styled
def stacked(comparison: Comparison, metric: Column, labels: Sequence[str]) -> Figure:
    """A bar for each loss that has both parts of the metric, means over seeds: the second part, then the first.

    The whiskers are the 95 % intervals of the second part and of the whole.
    """
    assert metric.parts is not None, "it has no parts"
    rows = [label for label in labels if {(label, name) for name in metric.parts} <= comparison.cells.keys()]
    figure = Figure(figsize=(LEFT + ACROSS + 0.2, ABOVE + ROW * len(rows) + BELOW))
    axes = axes_at(figure, LEFT, BELOW, ACROSS, ROW * len(rows))
    first, last = metric.parts
    for y, label in enumerate(rows):
        whole, taken, left = (comparison.cells[label, name].mean for name in (metric.name, first, last))
        looks: dict[str, Any] = {"height": 0.62, "linewidth": 0}
        axes.barh(y, left.value, color=BLUE, label=last if y == 0 else None, **looks)
        axes.barh(y, max(0.0, taken.value), left=left.value, color=SKY, label=first if y == 0 else None, **looks)
        for span, up in ((left, -0.12), (whole, 0.12)):
            if math.isfinite(span.low) and math.isfinite(span.high):
                axes.plot([span.low, span.high], [y + up, y + up], color=INK, linewidth=1)
    axes.set_yticks(range(len(rows)), [fitted(label, LEFT - 0.12, 9) for label in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, None), xlabel=f"test {metric.measure} (less is better)")
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    figure.legend(loc="lower center", ncols=2)
    return figure
