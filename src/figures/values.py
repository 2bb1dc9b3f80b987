"""The pictures of predicted numbers: how near they are to the target, and how right their distributions are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import BLUE, CARD, GREY, INK, SKY, TITLE, VERMILION, axes_at, styled, titled

Array = npt.NDArray[Any]
GROUPS = 12  # of equally many examples, by their target
DOTS: dict[str, Any] = {"color": BLUE, "alpha": 0.25, "s": 7, "linewidths": 0, "rasterized": True}
MOST_DOTS = 5000  # drawn; of more examples, every so many-th


def value_pictures(
    title: str, result: Mapping[str, Any], columns: Mapping[str, Array], unit: str
) -> Iterator[tuple[str, Figure]]:
    """Names and figures of a run, from the metrics and ranks of its test and the columns of its examples."""
    metrics, ranks = result["metrics"]["test"], result["ranks"]
    yield "predicted_against_true", predicted_against_true(columns["targets"], columns["point"], metrics, title, unit)
    yield "error_by_target", error_by_target(columns["targets"], columns["error"], title, unit)
    yield "ranks", rank_histogram(ranks["count"], title)
    yield "interval_coverage", interval_coverage(ranks["levels"], ranks["coverage"], metrics, title, unit)


def named(what: str, unit: str) -> str:
    return f"{what} ({unit})" if unit else what


def single(title: str, height: float, legend: bool = False) -> tuple[Figure, Axes]:
    """A figure as wide as a card with one pair of axes and a title, and room for a legend of one line at its bottom."""
    bottom = 0.72 if legend else 0.5
    figure = Figure(figsize=(CARD, bottom + height + 0.1 + TITLE))
    axes = axes_at(figure, 0.76, bottom, CARD - 0.96, height)
    titled(figure, title)
    return figure, axes


def some(values: Array) -> Array:
    return values[:: max(1, -(-len(values) // MOST_DOTS))]


@styled
def predicted_against_true(y: Array, point: Array, metrics: Mapping[str, Any], title: str, unit: str) -> Figure:
    """A dot for each example: its target (N,) across, its prediction (N,) upwards, equal on the dashed line."""
    figure, axes = single(title, 2.5)
    low, high = float(min(y.min(), point.min())), float(max(y.max(), point.max()))
    room = 0.03 * (high - low) or 1.0
    limits = (low - room, high + room)
    axes.plot(limits, limits, color=GREY, linestyle="--", linewidth=1, zorder=1)
    axes.scatter(some(y), some(point), **DOTS)
    axes.set(xlim=limits, ylim=limits, xlabel=named("target", unit), ylabel=named("prediction", unit))
    r2 = "" if metrics["r2"] is None else f"\nr2 {metrics['r2']:.3f}"
    text = f"rmse {metrics['rmse']:.4g}\nmae {metrics['mae']:.4g}{r2}"
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=8, bbox=box)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6))
    return figure


@styled
def error_by_target(y: Array, error: Array, title: str, unit: str) -> Figure:
    """A dot for each example: its target (N,) across, target less prediction (N,) upwards.

    The line is the mean, the band from the 5 % to the 95 % quantile, of groups of equally many examples.
    """
    figure, axes = single(title, 2.3, legend=True)
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
    axes.scatter(some(y), some(error), **DOTS)
    groups = [group for group in np.array_split(np.argsort(y, kind="stable"), GROUPS) if len(group)]
    middle = [y[group].mean() for group in groups]
    low, high = (np.array([np.quantile(error[group], level) for group in groups]) for level in (0.05, 0.95))
    axes.fill_between(middle, low, high, color=SKY, alpha=0.35, linewidth=0, label="90 % of the examples")
    axes.plot(middle, [error[group].mean() for group in groups], color=VERMILION, label="mean")
    axes.set(xlabel=named("target", unit), ylabel=named("target - prediction", unit))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=2, columnspacing=1)
    return figure


@styled
def rank_histogram(count: Sequence[int], title: str) -> Figure:
    """Histogram of the targets' ranks in their predicted distributions (PIT), ``count`` in equal bins of [0, 1].

    Flat if the distributions are right, between the dotted lines in 95 of 100 bins. U: too narrow; a hill: too wide;
    a slope: the predictions are too low, or too high.
    """
    figure, axes = single(title, 1.9)
    n, bins = max(sum(count), 1), len(count)
    share, even = np.array(count) / n, 1 / bins
    noise = 1.96 * np.sqrt(even * (1 - even) / n)
    axes.bar(np.arange(bins) / bins, share, 1 / bins, align="edge", facecolor="#A6CEE8", edgecolor=BLUE, linewidth=0.8)
    axes.axhline(even, color=INK, linestyle="--", linewidth=1)
    for level in (even - noise, even + noise):
        axes.axhline(level, color=GREY, linestyle=":", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.08 * max(share.max(), even + noise)), ylabel="share of the examples")
    axes.set_xlabel("rank of the target in its distribution")
    return figure


@styled
def interval_coverage(
    levels: Sequence[float], coverage: Sequence[float], metrics: Mapping[str, Any], title: str, unit: str
) -> Figure:
    """The share of targets in the central interval of each level; on the dashed line if the distributions are right.

    Below it they are too narrow (over-confident), above it too wide.
    """
    figure, axes = single(title, 2.5)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.plot(levels, coverage, color=BLUE, marker="o", markersize=3.5)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="level of the interval", ylabel="share of targets in it")
    width = f"{metrics['width']:.4g} {unit}".strip()
    text = f"crps {metrics['crps']:.4g}\n90 % interval: {100 * metrics['coverage']:.1f} %\nmean width {width}"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=8)
    return figure
