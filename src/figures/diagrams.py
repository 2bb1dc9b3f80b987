"""Curves and bars: calibration, nll by position, shift."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from .style import (
    BLUE,
    CARD,
    CYCLE,
    GREEN,
    GREY,
    INK,
    SKY,
    TITLE,
    VERMILION,
    axes_at,
    canvas,
    fitted,
    numbers,
    styled,
    titled,
)

Bins = Mapping[str, Sequence[Any]]  # result.json's: count, and confidence and accuracy (means, null where empty)
Array = npt.NDArray[Any]
POOLED = "ece, pooled"  # over seeds: less than the mean of the seeds' ece, as chance gaps of different seeds cancel

ACCURACY: dict[str, Any] = {"facecolor": "#A6CEE8", "edgecolor": BLUE, "linewidth": 0.8}
OVER: dict[str, Any] = {"facecolor": "none", "edgecolor": VERMILION, "linewidth": 0.8, "hatch": "/////"}
UNDER: dict[str, Any] = {
    "facecolor": "none",
    "edgecolor": GREEN,
    "linewidth": 0.8,
    "hatch": "-----",
}  # circles would make an SVG ten times as large
CONFIDENT: dict[str, Any] = {"color": INK, "linewidth": 1.6}


def ece(bins: Bins) -> float:
    """Expected calibration error: sum_b count_b / N |accuracy_b - confidence_b|. Source: Guo et al. 2017, eq. 3."""
    count, confidence, accuracy = (numbers(bins[name]) for name in ("count", "confidence", "accuracy"))
    return float(np.nansum(count * np.abs(accuracy - confidence)) / max(count.sum(), 1))


@styled
def reliability(before: Bins, after: Bins | None, title: str, temperature: float | None = None) -> Figure:
    """Reliability diagram; below it the one after the logits were divided by ``temperature``, if there is one."""
    panels = {"": before}
    if after is not None:
        scaled = "after temperature scaling" + ("" if temperature is None else f", T = {temperature:.3g}")
        panels = {"before temperature scaling": before, scaled: after}
    height = TITLE + 2.9 * len(panels) + 0.45
    figure = Figure(figsize=(CARD, height))
    for i, (name, bins) in enumerate(panels.items()):
        bottom = height - TITLE - 2.9 * (i + 1)
        axes, strip = (
            axes_at(figure, 0.72, bottom + low, CARD - 0.9, high) for low, high in ((1.04, 1.66), (0.46, 0.46))
        )
        reliability_axes(axes, strip, bins, name)
    reliability_legend(figure, 2)
    titled(figure, title)
    return figure


@styled
def reliability_grid(panels: Mapping[str, Bins], title: str, columns: int = 3, ece_name: str = "ece") -> Figure:
    """A reliability diagram for each of ``panels``, name -> bins, under one title and one legend."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    width, height = max(3.1 * columns, 4.2), 3.6 * rows + 0.6
    figure = Figure(figsize=(width, height))
    across = (width - 0.85 - 0.55 * (columns - 1)) / columns
    for i, (name, bins) in enumerate(panels.items()):
        row, column = divmod(i, columns)
        left, bottom = 0.72 + (across + 0.55) * column, height - 0.24 - 3.55 * (row + 1)
        axes = axes_at(figure, left, bottom + 1.17, across, 2.13)
        strip = axes_at(figure, left, bottom + 0.45, across, 0.56)
        reliability_axes(axes, strip, bins, name, ece_name)
        if column:
            axes.set_ylabel("")
            strip.set_ylabel("")
    reliability_legend(figure, 4 if columns > 1 else 2)
    figure.suptitle(fitted(title, width - 0.2, 10), y=1 - 0.06 / height)
    return figure


def reliability_legend(figure: Figure, columns: int) -> None:
    """What the marks of ``reliability_axes`` mean, at the bottom of the figure."""
    handles = [
        Patch(label="accuracy", **ACCURACY),
        Line2D([], [], label="mean confidence", **CONFIDENT),
        Patch(label="over-confident", **OVER),
        Patch(label="under-confident", **UNDER),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=columns)


def reliability_axes(axes: Axes, strip: Axes, bins: Bins, title: str, ece_name: str = "ece") -> None:
    """Draw one reliability diagram: accuracy by confidence on ``axes``, each bin's share of the examples on ``strip``.

    A bar is the bin's accuracy, a black stroke its mean confidence. Between them the gap: slanted stripes above the
    bar where the model is over-confident, level ones in the bar where it is under-confident.
    """
    count, confidence, accuracy = (numbers(bins[name]) for name in ("count", "confidence", "accuracy"))
    total, width = max(count.sum(), 1), 1 / len(count)
    left = np.arange(len(count)) * width
    seen = count > 0
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    axes.bar(left[seen], accuracy[seen], width, align="edge", label="accuracy", **ACCURACY)
    for name, rows, look in (
        ("over", seen & (confidence > accuracy), OVER),
        ("under", seen & (confidence < accuracy), UNDER),
    ):
        low, gap = np.minimum(accuracy, confidence)[rows], np.abs(accuracy - confidence)[rows]
        axes.bar(left[rows], gap, width, bottom=low, align="edge", label=name, **look)
    axes.hlines(confidence[seen], left[seen], left[seen] + width, label="confidence", zorder=3, **CONFIDENT)
    overall = [float(np.nansum(count * values) / total) for values in (accuracy, confidence)]
    text = "{} {:.4f}\naccuracy {:.3f}\nconfidence {:.3f}".format(ece_name, ece(bins), *overall)
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
    axes.text(0.03, 0.97, text, transform=axes.transAxes, va="top", fontsize=8, bbox=box, zorder=4)
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy", title=fitted(title, 2.5, 9))
    axes.tick_params(labelbottom=False)
    _shares(strip, left, count / total, 1 / total)


def _shares(strip: Axes, left: Array, share: Array, one: float) -> None:
    """Bars on a log scale: most examples lie in the last bins, and the others must still be seen."""
    strip.set_yscale("log")
    strip.set(xlim=(0, 1), ylim=(min(0.005, one / 2), 1), xlabel="confidence", ylabel="share")
    strip.bar(left, share, 1 / len(left), align="edge", color=GREY, edgecolor="white", linewidth=0.5)
    strip.yaxis.set_major_locator(FixedLocator([0.0001, 0.01, 1]))
    strip.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    strip.yaxis.set_minor_locator(NullLocator())


@styled
def confidence_histogram(confidence: Array, correct: Array, title: str) -> Figure:
    """Histograms of the confidence (N,) of right and of wrong predictions (N,) bool, each as a share of its own kind.

    Lines mark the accuracy and the mean confidence of all.
    """
    confidence, correct = np.clip(np.asarray(confidence, np.float64), 0, 1), np.asarray(correct, bool)
    figure = Figure(figsize=(CARD, 3.7 + TITLE))
    panels = (axes_at(figure, 0.7, bottom, CARD - 0.88, 1.18) for bottom in (2.32, 0.78))
    lines = (("accuracy", correct.mean(), INK, "-"), ("mean confidence", confidence.mean(), VERMILION, "--"))
    groups = (("right", correct, SKY, ""), ("wrong", ~correct, "#F4C7A5", "////"))
    edges = np.linspace(0, 1, 21)
    for axes, (name, rows, colour, hatch) in zip(panels, groups, strict=True):
        n = int(rows.sum())
        heights = np.histogram(confidence[rows], edges)[0] / max(n, 1)
        axes.bar(edges[:-1], heights, 0.05, align="edge", facecolor=colour, edgecolor=GREY, linewidth=0.6, hatch=hatch)
        for label, at, ink, dashes in lines:
            axes.axvline(at, color=ink, linestyle=dashes, label=f"{label} {at:.3f}", clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1.05 * heights.max() if n else 1), ylabel=f"share of {name}")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_title(f"{name}: {n:,} of {len(correct):,}" if n else f"{name}: none of {len(correct):,}", loc="left")
    figure.axes[0].tick_params(labelbottom=False)
    axes.set_xlabel("confidence")
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center", ncols=2, columnspacing=1)
    titled(figure, title)
    return figure


@styled
def nll_by_position(mean: Array, standard_error: Array, title: str) -> Figure:
    """Mean nll (T,) of the characters at each position of a block, with its 95 % interval: how far context helps."""
    mean, error = np.asarray(mean, np.float64), np.asarray(standard_error, np.float64)
    figure = Figure(figsize=(CARD, 3.2 + TITLE))
    axes = axes_at(figure, 0.76, 0.96, CARD - 0.94, 2.14)
    position = np.arange(1, len(mean) + 1)
    band = (mean - 1.96 * error, mean + 1.96 * error)
    if len(mean) <= 32:  # a band over one position would have no width
        axes.errorbar(
            position,
            mean,
            1.96 * error,
            color=BLUE,
            linewidth=1.2,
            marker="o",
            markersize=4,
            capsize=2,
            label="mean, 95 % interval",
        )
    else:
        axes.plot(position, mean, color=BLUE, linewidth=1.2, label="mean, 95 % interval")
        axes.fill_between(position, *band, color=SKY, alpha=0.4, linewidth=0)
    overall = float(mean.mean())
    axes.axhline(overall, color=GREY, linestyle="--", linewidth=1, label=f"over all positions {overall:.3f}")
    axes.set(xlabel="position in the block", ylabel="nll (nats)")
    axes.set_xlim(0.5, len(mean) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    figure.legend(*axes.get_legend_handles_labels(), loc="lower center")
    titled(figure, title)
    return figure


@styled
def shift(
    severities: Sequence[int],
    curves: Mapping[str, Mapping[str, Sequence[float | None]]],
    clean: Mapping[str, float | None],
) -> Figure:
    """Metrics against the severity of a corruption, a panel each.

    curves: kind of corruption -> metric -> its values at ``severities``. clean: metric -> its value at severity 0.
    """
    metrics = list(next(iter(curves.values())))
    figure = canvas(6.4, 3.2 + 0.16 * math.ceil(len(curves) / 3))
    looks = list(itertools.product(("-", "--", ":"), zip(CYCLE, "os^Dv*P", strict=True)))
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        for (kind, values), (dashes, (colour, marker)) in zip(curves.items(), looks, strict=False):
            y = numbers([clean[metric], *values[metric]])
            axes.plot(
                [0, *severities],
                y,
                color=colour,
                linestyle=dashes,
                marker=marker,
                markersize=5,
                label=fitted(kind, 1.4, 8),
            )
        axes.set(xlabel="severity", title=metric)
        axes.set_xticks([0, *severities], ["clean", *map(str, severities)])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, handlelength=3)
    return figure
