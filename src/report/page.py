"""report.md and report.html: one view of the comparisons, and two templates."""

import base64
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
from matplotlib.figure import Figure

from ..figures.style import svg
from ..metrics.columns import Family
from . import about, claims, copies, escape, figures, tables
from .compare import Comparison
from .faces import Faces, faces
from .findings import Finding, findings
from .forest import forest, panels
from .headline import Headline, headline
from .parts import divided, stacked
from .read import Run
from .rules import decided_by, how_sure, rule, signs
from .shift import Shifts
from .table import Table
from .words import unfinished

Curves = Mapping[str, Mapping[str, figures.Curve]]  # label -> tag -> curve
SPLITS = {"val": "validation", "train": "training"}  # in the order of the pictures
HERE = Path(__file__).resolve().parent
SCRIPT = (HERE / "report.js").read_text(encoding="utf-8")
REM = 6.2  # an inch of a wide figure, at most


@dataclass(frozen=True)
class Picture:
    """A figure as an SVG element. ``only``: wide or narrow, where it is for such screens alone. ``most``: it is at most
    so wide, in rem."""

    svg: markupsafe.Markup
    only: str = ""
    most: float = 0.0


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
    headline: Headline | None
    findings: list[Finding]
    rule: str
    signs: str
    chosen_by: str
    seeds: str
    about: list[str]
    commands: list[str]
    results: Table
    other_metrics: Table
    claims: Table
    undecided: Table
    decided_by: str
    p_values: Table
    runs: Table
    rates: Table
    cost: Table
    differing: Table
    common: Table
    origin: Table
    lost: Table
    unfinished: str
    faces: Faces
    pictures: list[Pictures]
    shifted: list[Table]
    warnings: list[str]


def view(comparison: Comparison, curves: Curves, lost: Sequence[Run], out: Path) -> View:
    """``lost``: the section's runs that are not compared; ``out``: where the page will be."""
    section, shifts = comparison.section, Shifts(comparison)
    made = faces(comparison, _drawn(comparison), out)
    return View(
        comparison=comparison,
        headline=headline(comparison),
        findings=findings(comparison, lost),
        rule=rule(comparison),
        signs=signs(comparison),
        chosen_by=about.chosen_by(section),
        seeds=about.seeds(comparison),
        about=about.remarks(section.runs),
        commands=sorted({run.command for run in section.runs if run.command}),
        results=tables.results(comparison),
        other_metrics=tables.other_metrics(comparison),
        claims=claims.table(comparison.outcomes),
        undecided=tables.undecided(comparison),
        decided_by=decided_by(comparison),
        p_values=tables.p_values(comparison),
        runs=about.runs(comparison, out),
        rates=about.rates(section),
        cost=about.cost(section),
        differing=about.differing(section),
        common=about.common(section),
        origin=about.origin(section.runs),
        lost=about.unfinished(lost, out),
        unfinished=unfinished(lost),
        faces=made,
        pictures=pictures(comparison, curves, shifts),
        shifted=shifts.tables(),
        warnings=[*section.warnings, *comparison.notes, *shifts.notes, *made.notes],
    )


def pictures(comparison: Comparison, curves: Curves, shifts: Shifts) -> list[Pictures]:
    """All figures; if there are more losses than looks, those with the best test and the baseline."""
    labels = _drawn(comparison)
    look_of = figures.looks(labels)
    family, of = comparison.section.family, len(comparison.groups)
    few = f" The {len(labels)} losses with the best {family.keeps} of {of}." if len(labels) < of else ""
    groups = (
        _forest(comparison, labels),
        _learning(family, labels, curves, look_of),
        _divided(comparison, labels),
        _reliable(comparison, labels),
        _placed(comparison, labels, look_of),
        _shifted(family, shifts, labels, look_of),
    )
    return [replace(group, caption=group.caption + few) for group in groups if group.shown]


def _picture(figure: Figure, text: str, only: str = "") -> Picture:
    most = round(REM * figure.get_figwidth(), 1) if only == "wide" else 0.0  # its letters are never above the page's
    return Picture(markupsafe.Markup(svg(figure, escape.line(text))), only, most)


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
    if comparison.decided is not None:
        caption += f" That of {comparison.decided.metric} allows for all looks and comparisons."
    return Pictures("", caption, shown, "wide")


def _placed(comparison: Comparison, labels: Sequence[str], look_of: figures.Looks) -> Pictures:
    family = comparison.section.family
    if family.against is None:
        return Pictures("", "", [])
    x, y = (family.column(name) for name in family.against)
    placed = [label for label in labels if {(label, x.name), (label, y.name)} <= comparison.cells.keys()]
    shown = []
    if placed:
        figure = figures.scatter(comparison, x, y, placed, look_of)
        shown.append(_picture(figure, f"test {x.name} against test {y.name}"))
    corner = f" Best is {'top' if y.better > 0 else 'bottom'} {'right' if x.better > 0 else 'left'}."
    caption = f"Means over seeds with 95 % intervals.{corner * bool(x.better and y.better)}"
    return Pictures(f"Test {y.name} against {x.name}", caption, shown)


def _learning(family: Family, labels: Sequence[str], curves: Curves, look_of: figures.Looks) -> Pictures:
    shown = []
    for name, (split, said) in itertools.product(family.charts, SPLITS.items()):
        known = {label: curves[label][tag] for label in labels if (tag := f"{split}/{name}") in curves[label]}
        if known:
            figure = figures.learning_curves(known, family.column(name), look_of, split=said)
            shown.append(_picture(figure, f"{said} {name} by step, a line for each loss"))
    caption = (
        "Mean over seeds; the band reaches from the lowest seed to the highest. Training values are means over the"
        " batches since the last one, with dropout and augmentation, while the weights still move."
    )
    return Pictures("Learning curves", caption, shown)


def _shifted(family: Family, shifts: Shifts, labels: Sequence[str], look_of: figures.Looks) -> Pictures:
    shown = []
    for name in shifts.names():
        if known := shifts.curves(name, labels):
            look: dict[str, Any] = {"split": "test", "along": "severity (0: as it is)"}
            figure = figures.learning_curves(known, family.column(name), look_of, **look)
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


def _divided(comparison: Comparison, labels: Sequence[str]) -> Pictures:
    shown = []
    for metric in divided(comparison):
        shown.append(
            _picture(stacked(comparison, metric, labels), f"test {metric.name} in its parts, a bar for each loss")
        )
    caption = (
        "Means over seeds: what the best recalibration takes away (light), and what it leaves (dark). Strokes: the 95 %"
        " intervals of what is left, and of the whole."
    )
    return Pictures("Calibration and refinement", caption, shown)


def _drawn(comparison: Comparison) -> list[str]:
    labels = [group.label for group in comparison.groups]
    family = comparison.section.family
    if len(labels) <= figures.MOST:
        return labels
    wanted = comparison.ranked(family.column(family.keeps))[: figures.MOST] or labels[: figures.MOST]
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
        "claims_rule": claims.RULE,
        # its lines stay lines
        "latex": lambda table: markupsafe.escape(copies.latex(table)),
        "how_sure": how_sure([metric for view in views for metric in view.comparison.metrics]),
        "csv": lambda table: markupsafe.escape(copies.as_csv(table)),
        "script": markupsafe.Markup(SCRIPT),
        # nothing but this very script runs in the page
        "script_sum": f"sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}",
    }
    return environment.get_template(template).render(views=views, lost=about.unfinished(lost, out), **own, **more)
