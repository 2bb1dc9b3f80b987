"""The first figure of a report: every loss's difference to the baseline, with its interval and what is shown of it."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..figures.style import BLUE, GREY, INK, VERMILION, axes_at, fitted, styled, width_of
from ..metrics.columns import Column
from .compare import Comparison
from .words import BETTER, EQUAL, PERHAPS, SAME, WORSE, difference, mean

UNTESTED = "too few seeds to tell"
# Shape and filling tell the words apart where colours do not.
FILLED: dict[str, Any] = {"marker": "o", "color": BLUE, "markerfacecolor": BLUE}
SQUARE: dict[str, Any] = {"marker": "s", "color": VERMILION, "markerfacecolor": VERMILION}
MARKS: dict[str, dict[str, Any]] = {
    BETTER: FILLED,
    WORSE: SQUARE,
    f"{PERHAPS} {BETTER}": FILLED | {"markerfacecolor": "white"},
    f"{PERHAPS} {WORSE}": SQUARE | {"markerfacecolor": "white"},
    EQUAL: {"marker": "D", "color": GREY, "markerfacecolor": GREY, "markersize": 5},
    SAME: {"marker": "|", "color": GREY, "markersize": 10},
    UNTESTED: {"marker": "x", "color": GREY, "linestyle": ":"},
}
ROW, ABOVE, BELOW = 0.27, 0.36, 0.52  # inches: a loss, a panel's title, its axis
NARROW, WIDEST = 6.1, 11.4  # inches of a figure: on GitHub, and on a page of 1280 pixels with letters of full size


def panels(comparison: Comparison) -> list[Column]:
    """The metrics that the report's first sentences speak of, where a difference to the baseline is known."""
    known = {name for (_, name), cell in comparison.cells.items() if cell.difference is not None}
    return [metric for metric in comparison.judged if metric.phrase and metric.name in known]


def forest_of(comparison: Comparison) -> Figure:
    """The figure of all losses, by itself: with a title that says of what it is."""
    assert comparison.baseline is not None, "a difference is to a baseline"
    name = comparison.baseline.label
    common = sorted({cell.difference.n for cell in comparison.cells.values() if cell.difference is not None})
    seeds = f"{common[0]} to {common[-1]}" if len(common) > 1 else common[0]
    title = (comparison.section.title, f"difference to {name} with its 95 % interval, {seeds} seeds")
    return forest(comparison, [group.label for group in comparison.groups], columns=2, title=title)


@styled
def forest(comparison: Comparison, labels: Sequence[str], *, columns: int = 5, title: Sequence[str] = ()) -> Figure:
    """A panel for each of ``panels``, in so many columns (one for a phone), and a row for each of ``labels`` but the
    baseline's; the lines of ``title`` above.

    A row is the difference to the baseline with its single 95 % interval; the mark is compare.py's word for it. The
    better side of 0 is shaded. The comparison must have at least one panel.
    """
    metrics = panels(comparison)
    rows = [label for label in labels if comparison.baseline is None or label != comparison.baseline.label]
    lines, limit = math.ceil(len(metrics) / columns), NARROW if columns <= 2 else WIDEST
    columns = math.ceil(len(metrics) / lines)  # as few as that takes: six panels are three and three
    across, gap = (2.2, 0.0) if columns == 1 else (2.05 if columns < 5 else 1.76, 0.22)
    widest = 0.14 + max((width_of(label, 9) for label in rows), default=0.0)
    left = 1.28 if columns == 1 else min(max(1.55, widest), max(1.55, limit - columns * (across + gap)))
    height, head = ROW * len(rows), 0.2 * len(title)
    width = left + columns * across + (columns - 1) * gap + 0.16
    words = {_word(comparison, metric, label) for metric in metrics for label in rows}
    marks = [_mark(word, label=word, linewidth=1.4) for word in MARKS if word in words]
    in_row = max(1, int(width / 1.7))  # marks of the legend
    legend = 0.2 * math.ceil(len(marks) / in_row) + 0.16
    tall = head + lines * (ABOVE + height + BELOW) + legend
    figure = Figure(figsize=(width, tall))
    for i, metric in enumerate(metrics):
        line, column = divmod(i, columns)
        bottom = tall - head - line * (ABOVE + height + BELOW) - ABOVE - height
        axes = axes_at(figure, left + column * (across + gap), bottom, across, height)
        _panel(axes, comparison, metric, rows)
        names = [fitted(label, left - 0.12, 9) for label in rows] if column == 0 else [""] * len(rows)
        axes.set_yticks(range(len(rows)), names)
    figure.legend(handles=marks, loc="lower center", ncols=in_row, handlelength=2.2, columnspacing=1.2)
    for i, text in enumerate(title):
        figure.text(0.08 / width, 1 - (0.08 + 0.2 * i) / tall, fitted(text, width - 0.16, 10), va="top", fontsize=10)
    return figure


def _mark(word: str, **more: Any) -> Line2D:
    return Line2D([], [], **{"markersize": 6, "markeredgewidth": 1.4, **MARKS[word], **more})


def _word(comparison: Comparison, metric: Column, label: str) -> str:
    """What a mark says; "" where there is none to draw."""
    cell = comparison.cells.get((label, metric.name))
    if cell is None or cell.difference is None or not math.isfinite(cell.difference.value):
        return ""
    return cell.word(metric) or UNTESTED


def _panel(axes: Axes, comparison: Comparison, metric: Column, rows: Sequence[str]) -> None:
    """Draw one metric."""
    ends = [0.0]
    for y, label in enumerate(rows):
        cell, word = comparison.cells.get((label, metric.name)), _word(comparison, metric, label)
        if cell is None or cell.difference is None or not word:
            text = "—" if cell is None or cell.difference is None else difference(metric, cell.difference)
            axes.text(0.5, y, text, transform=axes.get_yaxis_transform(), ha="center", va="center", color=GREY)
            continue
        span = cell.difference
        known = [end for end in (span.low, span.high) if math.isfinite(end)]
        ends += [span.value, *known]
        look = {"linewidth": 1.4, **MARKS[word]}
        if len(known) == 2:
            axes.plot(known, [y, y], **look | {"marker": ""})
        axes.plot([span.value], [y], **{"markersize": 6, "markeredgewidth": 1.4, **look})
    low, high = min(ends), max(ends)
    pad = 0.08 * (high - low) or 1.0
    axes.set(xlim=(low - pad, high + pad), ylim=(len(rows) - 0.5, -0.5))
    better = (0, high + pad) if metric.better > 0 else (low - pad, 0)
    axes.axvspan(*better, color=BLUE, alpha=0.07, linewidth=0, zorder=0)
    axes.axvline(0, color=INK, linewidth=1)
    for margin in {sign * comparison.margins.get(metric.name, 0.0) for sign in (1, -1)} - {0.0}:
        if low - pad < margin < high + pad:
            axes.axvline(margin, color=GREY, linewidth=0.8, linestyle="--")
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    _words(axes, comparison, metric)


def _words(axes: Axes, comparison: Comparison, metric: Column) -> None:
    """The panel's title with the baseline's value, and which side is better."""
    assert comparison.baseline is not None, "a difference is to a baseline"
    short = metric.title.replace("temperature scaling", "temp. scaling")
    axes.set_title(short, loc="left", fontsize=10)
    name = comparison.baseline.label
    base = mean(metric, comparison.cells[name, metric.name].mean).partition(" ")[0]
    side = {"x": 1, "ha": "right"} if metric.better > 0 else {"x": 0, "ha": "left"}
    text = "better →" if metric.better > 0 else "← better"
    other = {"x": 0, "ha": "left"} if metric.better > 0 else {"x": 1, "ha": "right"}
    for at, written, colour in ((side, text, INK), (other, fitted(f"0 = {name}: {base}", 1.35, 8), GREY)):
        axes.annotate(
            written,
            (at["x"], 0),
            (0, -22),
            "axes fraction",
            "offset points",
            ha=at["ha"],
            va="top",
            color=colour,
            fontsize=8,
        )
