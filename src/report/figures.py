"""The report's figures: two metrics against each other, curves, reliability diagrams; small enough for a phone."""

import base64
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ..figures.diagrams import POOLED, Bins, reliability_axes, reliability_grid, reliability_legend
from ..figures.style import CYCLE, canvas, fitted, numbers, styled
from ..metrics.columns import BINNED, Column
from .compare import Comparison
from .groups import Group
from .read import SPEED

MOST = 21  # losses in one figure: seven colours by three dashes
Looks = Mapping[str, dict[str, Any]]
DASHES, MARKERS = ("-", "--", ":"), "os^Dv*P"


@dataclass(frozen=True)
class Curve:
    """Mean over seeds of a value at the steps that all seeds have, with the lowest and the highest seed."""

    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


def curves_of(group: Group) -> dict[str, Curve]:
    """Tag (val/...) -> curve, of the group's finished runs."""
    read = [{tag: curve for tag, curve in run.curves.items() if tag != SPEED} for run in group.finished.values()]
    found = {}
    for tag in set.intersection(*(set(curves) for curves in read)) if read else ():
        values = [dict(zip(*curves[tag], strict=True)) for curves in read]
        steps = sorted(set.intersection(*(set(of_run) for of_run in values)))
        table = np.array([[of_run[step] for step in steps] for of_run in values]).reshape(len(values), len(steps))
        finite = np.abs(table).max(0, initial=0) < 1e30  # a run that diverges for a while has gaps in its curve
        steps, table = list(itertools.compress(steps, finite)), table[:, finite]
        if steps:
            found[tag] = Curve(steps, *(f(table, 0).tolist() for f in (np.mean, np.min, np.max)))
    return found


def looks(labels: Sequence[str]) -> Looks:
    """A colour, a marker and a dash for each label."""
    return {
        label: {"color": CYCLE[i % 7], "marker": MARKERS[(i + i // 7) % 7], "linestyle": DASHES[i // 7 % 3]}
        for i, label in enumerate(labels)
    }


@styled
def scatter(comparison: Comparison, x: Column, y: Column, labels: Sequence[str], look_of: Looks) -> Figure:
    """One metric of the test to the right and another upwards, means with 95 % intervals."""
    figure = canvas(3.9, 3.3 + 0.17 * ((len(labels) + 1) // 2))
    axes = figure.subplots()
    for label in labels:
        look = look_of[label]
        at, up = (comparison.cells[label, column.name].mean for column in (x, y))
        errors = [[[s.value - s.low], [s.high - s.value]] for s in (at, up)]
        shown = [np.nan_to_num(error) for error in errors]
        style = {**look, "linestyle": "none", "linewidth": 1, "capsize": 2, "markersize": 6}
        axes.errorbar(at.value, up.value, shown[1], shown[0], label=label, **style)
    along, above = _better(x, "left", "right"), _better(y, "down", "up")
    axes.set(xlabel=f"test {x.measure}{along}", ylabel=f"test {y.measure}{above}")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    _legend(figure, axes)
    return figure


def _better(column: Column, less: str, more: str) -> str:
    return f" ({more if column.better > 0 else less} is better)" if column.better else ""


@styled
def learning_curves(
    curves: Mapping[str, Curve], column: Column, look_of: Looks, *, split: str = "validation", along: str = "step"
) -> Figure:
    """A metric of a ``split`` by step, or ``along`` something else: label -> curve."""
    figure = canvas(3.9, 2.6 + 0.17 * ((len(curves) + 1) // 2))
    axes = figure.subplots()
    for label, curve in curves.items():
        look = look_of[label]
        few = len(curve.steps) <= 3
        style = {**look, "marker": look["marker"] if few else None}
        axes.plot(curve.steps, curve.mean, linewidth=1.5, label=label, **style)
        axes.fill_between(curve.steps, curve.low, curve.high, color=look["color"], alpha=0.15, linewidth=0)
    positive = [value for curve in curves.values() for value in curve.low if value > 0]
    highest = max(value for curve in curves.values() for value in curve.high)
    if not column.share and len(positive) == sum(len(c.low) for c in curves.values()) and highest > 10 * min(positive):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set(xlabel=along, ylabel=f"{split} {column.measure}")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _legend(figure, axes)
    return figure


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, [fitted(text, 1.4, 8) for text in labels], loc="outside lower center", ncols=2)


def pooled(group: Group, name: str = "test") -> Bins | None:
    """The stored bins of all seeds as of one: counts added, means weighed by them. None where there are none."""
    found = [(run.result.get("bins") or {}).get(name) for run in group.finished.values()]
    tables: list[Bins] = [table for table in found if table]
    if not tables or len(tables) < len(found):
        return None
    counts = np.array([table["count"] for table in tables], np.float64)
    total = counts.sum(0)
    pool: dict[str, list[Any]] = {"count": total.astype(int).tolist()}
    for key in BINNED:
        sums = (counts * np.nan_to_num(np.array([numbers(table[key]) for table in tables]))).sum(0)
        pool[key] = [s / n if n else None for s, n in zip(sums.tolist(), total.tolist(), strict=True)]
    return pool


@styled
def reliability(bins: Bins, title: str) -> Figure:
    """One reliability diagram with its legend."""
    # no layout engine: the margins are known, to find them takes as long as to draw
    figure = Figure(figsize=(3.1, 4.0))
    axes, strip = figure.subplots(2, 1, height_ratios=[4, 1])
    figure.subplots_adjust(left=0.25, right=0.96, bottom=0.21, top=0.937, hspace=0.12)
    reliability_axes(axes, strip, bins, title, POOLED)
    reliability_legend(figure, 2)
    return figure


def pooled_grid(groups: Sequence[Group], title: str) -> Figure:
    """A reliability diagram for each group that has bins, all of its seeds pooled."""
    bins = {group.label: table for group in groups if (table := pooled(group)) is not None}
    return reliability_grid(bins, title, ece_name=POOLED)


@styled
def data_uri(figure: Figure) -> str:
    """The figure as PNG inside of a URI, twice as fine as it is shown; the same figure gives the same text."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=200, metadata={"Software": None})
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
