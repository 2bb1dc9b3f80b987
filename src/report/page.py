"""report.md and report.html: one view of the comparisons, and two templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from . import escape, figures, tables
from .compare import Comparison
from .findings import Finding, findings, rule
from .read import Run
from .tables import Table
from .words import unfinished

Curves = Mapping[str, Mapping[str, figures.Curve]]  # label -> tag -> curve
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Picture:
    """A figure inside of the page."""

    uri: str
    text: str


@dataclass(frozen=True)
class Pictures:
    """Figures under one heading."""

    title: str
    caption: str
    shown: list[Picture]


@dataclass(frozen=True)
class View:
    """A section as both pages show it."""

    comparison: Comparison
    findings: list[Finding]
    rule: str
    tables: dict[str, Table]
    pictures: list[Pictures]
    lost: Table
    unfinished: str

    @property
    def warnings(self) -> list[str]:
        return [*self.comparison.section.warnings, *self.comparison.notes]


def view(comparison: Comparison, curves: Curves, lost: Sequence[Run]) -> View:
    """``lost``: the section's runs that are not compared."""
    section = comparison.section
    return View(
        comparison,
        findings(comparison, lost),
        rule(comparison),
        {
            "results": tables.results(comparison),
            "rates": tables.rates(section),
            "cost": tables.cost(section),
            "differing": tables.differing(section),
            "common": tables.common(section),
            "origin": tables.origin(section.runs),
        },
        pictures(comparison, curves),
        tables.unfinished(lost),
        unfinished(lost),
    )


def pictures(comparison: Comparison, curves: Curves) -> list[Pictures]:
    """All figures; where there are more losses than looks, those with the best accuracy, and the baseline."""
    labels = _drawn(comparison)
    look_of = figures.looks(labels)
    of = len(comparison.groups)
    few = f" The {len(labels)} losses with the best accuracy of {of}." if len(labels) < of else ""
    groups = (_placed(comparison, labels, look_of), _learning(labels, curves, look_of), _reliable(comparison, labels))
    return [Pictures(group.title, group.caption + few, group.shown) for group in groups if group.shown]


def _placed(comparison: Comparison, labels: Sequence[str], look_of: figures.Looks) -> Pictures:
    placed = [label for label in labels if {(label, "accuracy"), (label, "ece")} <= comparison.cells.keys()]
    shown = []
    if placed:
        uri = figures.data_uri(figures.scatter(comparison, placed, look_of))
        shown.append(Picture(uri, "test accuracy against test ece"))
    caption = "Means over seeds with 95 % intervals. Best is bottom right."
    return Pictures("Accuracy and calibration", caption, shown)


def _learning(labels: Sequence[str], curves: Curves, look_of: figures.Looks) -> Pictures:
    shown = []
    for name in ("nll", "accuracy", "ece"):
        known = {label: curves[label][f"val/{name}"] for label in labels if f"val/{name}" in curves[label]}
        if known:
            uri = figures.data_uri(figures.learning_curves(known, name, look_of))
            shown.append(Picture(uri, f"validation {name} by step"))
    caption = "Validation during training: mean over seeds; the band reaches from the lowest seed to the highest."
    return Pictures("Learning curves", caption, shown)


def _reliable(comparison: Comparison, labels: Sequence[str]) -> Pictures:
    groups = {group.label: group for group in comparison.groups}
    shown = []
    for label in labels:
        if (bins := figures.pooled(groups[label])) is not None:
            shown.append(Picture(figures.data_uri(figures.reliability(bins, label)), f"reliability of {label}"))
    caption = (
        "Bars: accuracy of each bin of confidence; black strokes: mean confidence; between them the gap, striped where"
        " over-confident, dotted where under-confident. All seeds pooled by counts; below, each bin's share."
    )
    return Pictures("Reliability", caption, shown)


def _drawn(comparison: Comparison) -> list[str]:
    labels = [group.label for group in comparison.groups]
    accuracy = next((metric for metric in comparison.metrics if metric.name == "accuracy"), None)
    if len(labels) <= figures.MOST or accuracy is None:
        return labels[: figures.MOST]
    wanted = comparison.ranked(accuracy)[: figures.MOST]
    if comparison.baseline and comparison.baseline.finished and comparison.baseline.label not in wanted:
        wanted = [*wanted[:-1], comparison.baseline.label]
    return [label for label in labels if label in wanted]


def render(template: str, views: Sequence[View], lost: Sequence[Run], **more: Any) -> str:
    """``template``: report.html or report.md. ``lost``: runs that belong to no section."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,  # in Markdown nothing is left to escape after `finalize`
        finalize=escape.html if template.endswith(".html") else escape.markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(views=views, lost=tables.unfinished(lost), **more)
