"""report.md and report.html: one view of the comparisons, and two templates."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
from matplotlib.figure import Figure

from ..figures.style import svg
from . import about, copies, escape, figures, tables
from .compare import Comparison
from .findings import Finding, findings, rule
from .forest import forest, panels
from .read import Run
from .shift import SHOWN, Shifts
from .table import Table
from .words import unfinished

Curves = Mapping[str, Mapping[str, figures.Curve]]  # label -> tag -> curve
CURVES = {  # tag -> how its split is called, in the order of the pictures: training beside validation
    **{"val/nll": "validation", "train/nll": "training", "val/ece": "validation"},
    **{"val/accuracy": "validation", "train/accuracy": "training"},
}
HERE = Path(__file__).resolve().parent
SCRIPT = (HERE / "report.js").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Picture:
    """A figure as an SVG element. ``only``: wide or narrow, where it is for such screens alone."""

    svg: markupsafe.Markup
    only: str = ""


@dataclass(frozen=True)
class Pictures:
    """Figures under one heading. ``layout``: "", many (small ones) or wide (one as wide as the page)."""

    title: str
    caption: str
    shown: list[Picture]
    layout: str = ""


@dataclass(frozen=True)
class View:
    """A section as both pages show it. A table without rows has nothing to say and is not shown."""

    comparison: Comparison
    findings: list[Finding]
    rule: str
    seeds: str
    about: list[str]
    commands: list[str]
    results: Table
    other_metrics: Table
    p_values: Table
    runs: Table
    rates: Table
    cost: Table
    differing: Table
    common: Table
    origin: Table
    lost: Table
    unfinished: str
    pictures: list[Pictures]
    shifted: list[Table]
    warnings: list[str]


def view(comparison: Comparison, curves: Curves, lost: Sequence[Run], out: Path) -> View:
    """``lost``: the section's runs that are not compared; ``out``: where the page will be."""
    section, shifts = comparison.section, Shifts(comparison)
    return View(
        comparison=comparison,
        findings=findings(comparison, lost),
        rule=rule(comparison),
        seeds=about.seeds(comparison),
        about=about.remarks(section.runs),
        commands=sorted({run.command for run in section.runs if run.command}),
        results=tables.results(comparison),
        other_metrics=tables.other_metrics(comparison),
        p_values=tables.p_values(comparison),
        runs=about.runs(comparison, out),
        rates=about.rates(section),
        cost=about.cost(section),
        differing=about.differing(section),
        common=about.common(section),
        origin=about.origin(section.runs),
        lost=about.unfinished(lost, out),
        unfinished=unfinished(lost),
        pictures=pictures(comparison, curves, shifts),
        shifted=shifts.tables(),
        warnings=[*section.warnings, *comparison.notes, *shifts.notes],
    )


def pictures(comparison: Comparison, curves: Curves, shifts: Shifts) -> list[Pictures]:
    """All figures; where there are more losses than looks, those with the best accuracy, and the baseline."""
    labels = _drawn(comparison)
    look_of = figures.looks(labels)
    of = len(comparison.groups)
    few = f" The {len(labels)} losses with the best accuracy of {of}." if len(labels) < of else ""
    groups = (
        _forest(comparison, labels),
        _learning(labels, curves, look_of),
        _reliable(comparison, labels),
        _placed(comparison, labels, look_of),
        _shifted(shifts, labels, look_of),
    )
    return [replace(group, caption=group.caption + few) for group in groups if group.shown]


def _picture(figure: Figure, text: str, only: str = "") -> Picture:
    return Picture(markupsafe.Markup(svg(figure, escape.line(text))), only)


def _forest(comparison: Comparison, labels: Sequence[str]) -> Pictures:
    shown = []
    if panels(comparison) and comparison.baseline and len(labels) > 1:
        told = f"difference of each loss to {comparison.baseline.label} with its interval, a panel for each metric"
        shown = [
            _picture(forest(comparison, labels), told, "wide"),
            _picture(forest(comparison, labels, columns=1), f"{told}, one below another", "narrow"),
        ]
    name = comparison.baseline.label if comparison.baseline else ""
    caption = f"A row is a loss: its difference to {name} with its 95 % interval; on the shaded side it is better."
    return Pictures("", caption, shown, "wide")


def _placed(comparison: Comparison, labels: Sequence[str], look_of: figures.Looks) -> Pictures:
    placed = [label for label in labels if {(label, "accuracy"), (label, "ece")} <= comparison.cells.keys()]
    shown = []
    if placed:
        shown.append(_picture(figures.scatter(comparison, placed, look_of), "test accuracy against test ece"))
    caption = "Means over seeds with 95 % intervals. Best is bottom right."
    return Pictures("Accuracy and calibration", caption, shown)


def _learning(labels: Sequence[str], curves: Curves, look_of: figures.Looks) -> Pictures:
    shown = []
    for tag, split in CURVES.items():
        known = {label: curves[label][tag] for label in labels if tag in curves[label]}
        if known:
            name = tag.partition("/")[2]
            figure = figures.learning_curves(known, name, look_of, split=split)
            shown.append(_picture(figure, f"{split} {name} by step, a line for each loss"))
    caption = (
        "Mean over seeds; the band reaches from the lowest seed to the highest. Training values are means over the"
        " batches since the last one, with dropout and augmentation, while the weights still move."
    )
    return Pictures("Learning curves", caption, shown)


def _shifted(shifts: Shifts, labels: Sequence[str], look_of: figures.Looks) -> Pictures:
    shown = []
    for name in SHOWN:
        if known := shifts.curves(name, labels):
            figure = figures.learning_curves(known, name, look_of, split="test", along="severity (0: as it is)")
            shown.append(_picture(figure, f"test {name} by severity, a line for each loss"))
    caption = (
        f"On test images made worse ({', '.join(shifts.kinds)}; mean over them): mean over seeds, the band from the"
        " lowest seed to the highest."
    )
    return Pictures("Under shift", caption, shown)


def _reliable(comparison: Comparison, labels: Sequence[str]) -> Pictures:
    groups = {group.label: group for group in comparison.groups}
    shown = []
    for label in labels:
        if (bins := figures.pooled(groups[label])) is not None:
            shown.append(_picture(figures.reliability(bins, label), f"reliability of {label}"))
    caption = (
        "Bars: accuracy of each bin of confidence; strokes: mean confidence; between them the gap, with slanted"
        " stripes where over-confident, with level ones where under-confident. All seeds pooled by counts; below, each"
        " bin's share."
    )
    return Pictures("Reliability", caption, shown, "many")


def _drawn(comparison: Comparison) -> list[str]:
    labels = [group.label for group in comparison.groups]
    accuracy = next((metric for metric in comparison.metrics if metric.name == "accuracy"), None)
    if len(labels) <= figures.MOST or accuracy is None:
        return labels[: figures.MOST]
    wanted = comparison.ranked(accuracy)[: figures.MOST]
    if comparison.baseline and comparison.baseline.finished and comparison.baseline.label not in wanted:
        wanted = [*wanted[:-1], comparison.baseline.label]
    return [label for label in labels if label in wanted]


def render(template: str, views: Sequence[View], lost: Sequence[Run], out: Path, **more: Any) -> str:
    """``template``: report.html or report.md. ``lost``: runs that belong to no section."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,  # in Markdown nothing is left to escape after `finalize`
        finalize=escape.html if template.endswith(".html") else escape.markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = {
        # its lines stay lines
        "latex": lambda table: markupsafe.escape(copies.latex(table)),
        "csv": lambda table: markupsafe.escape(copies.as_csv(table)),
        "script": markupsafe.Markup(SCRIPT),
        # nothing but this very script runs in the page
        "script_sum": f"sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}",
    }
    return environment.get_template(template).render(views=views, lost=about.unfinished(lost, out), **own, **more)
