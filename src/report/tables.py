"""The report's tables: losses by metrics, learning rates, cost, settings, runs; and report.csv."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median, stdev
from typing import Any

from . import escape
from .compare import SAME, Comparison, testable
from .groups import Group, Section, short
from .read import SPEED, Run
from .words import DASH, difference, mean, number

COLUMNS = (
    *("section", "loss", "lr", "metric", "seeds", "mean", "low", "high"),
    *("baseline", "common_seeds", "difference", "difference_low", "difference_high", "p", "p_holm", "verdict"),
    "beats_every_other",
)


@dataclass(frozen=True)
class Shown:
    """A cell: its text, a second line, and how it is coloured (better, worse, "")."""

    text: str
    below: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """``rows`` of as many cells as ``header`` has names."""

    header: list[str]
    rows: list[list[Shown]] = field(default_factory=list)


def results(comparison: Comparison) -> Table:
    """A row for each loss: every metric's mean ± 95 % interval, below it the difference to the baseline."""
    table = Table(["loss", "seeds", *(arrow(metric.name, metric.better) for metric in comparison.metrics)])
    for group in comparison.groups:
        is_baseline = group is comparison.baseline
        row = [Shown(group.label, "baseline" if is_baseline else ""), Shown(str(len(group.finished)))]
        for metric in comparison.metrics:
            cell = comparison.cells.get((group.label, metric.name))
            if cell is None:
                row.append(Shown(DASH))
                continue
            delta = cell.difference
            below = (
                f"Δ {difference(metric, delta)}" if delta else "" if is_baseline or not comparison.baseline else "Δ —"
            )
            if delta and delta.n != len(group.finished):
                below += f" ({delta.n} seed{'s' * (delta.n != 1)})"
            row.append(Shown(mean(metric, cell.mean), below, cell.word(metric).replace(SAME, "")))
        table.rows.append(row)
    return table


def arrow(name: str, better: int) -> str:
    return name + {1: " ↑", -1: " ↓", 0: ""}[better]


def rates(section: Section) -> Table:
    """The learning rate that each loss used, and the validation nll of those passed over."""
    table = Table(["loss", "lr", "validation nll", "tried and passed over"])
    for group in section.groups:
        others = [other for other in section.passed_over if other.label == group.label]
        passed = [f"{_lr(other.lr)} ({_validation(other.runs)})" for other in sorted(others, key=lambda o: o.lr or 0)]
        table.rows.append([Shown(text) for text in _rate_row(group, passed)])
    return table


def _rate_row(group: Group, passed: list[str]) -> list[str]:
    return [group.label, _lr(group.lr), _validation(group.runs), ", ".join(passed) or DASH]


def _lr(lr: float | None) -> str:
    return DASH if lr is None else f"{lr:g}"


def _validation(runs: Sequence[Run]) -> str:
    """Mean validation nll over seeds, the accuracy where there is none."""
    done = [run for run in runs if run.status == "finished"]
    for name in ("nll", "accuracy"):
        known = [value for run in done if (value := run.metric("val", name)) is not None]
        if known and len(known) == len(done):
            return ("" if name == "nll" else "accuracy ") + number(fmean(known))
    return "no finished run"


def cost(section: Section) -> Table:
    """Seconds of a run and training examples a second, mean ± standard deviation over seeds."""
    table = Table(["loss", "runs", "seconds a run", "examples/s", "device", "threads"])
    for group in section.groups:
        runs = list(group.finished.values())
        if runs:
            speeds = [median(run.curves[SPEED][1]) for run in runs if SPEED in run.curves]
            machine = [
                listed_counts(str(run.result["run"].get(name)) for run in runs) for name in ("device", "threads")
            ]
            cells = [group.label, str(len(runs)), spread([run.result["run"]["seconds"] for run in runs], 1)]
            table.rows.append([Shown(text) for text in [*cells, spread(speeds, 0), *machine]])
    return table


def spread(values: Sequence[float], places: int) -> str:
    if not values:
        return DASH
    return f"{fmean(values):,.{places}f}" + (f" ± {stdev(values):,.{places}f}" if len(values) > 1 else "")


def listed_counts(values: Any) -> str:
    found = Counter(values)
    return ", ".join(value if len(found) == 1 else f"{value} ({n})" for value, n in found.most_common())


def differing(section: Section) -> Table:
    """The keys in which the runs differ, a column each, but for the seed."""
    keys = _keys(section)
    apart = [key for key in keys if len({repr(group.settings.get(key)) for group in section.groups}) > 1]
    table = Table(["loss", *apart])
    for group in section.groups:
        values = [short(group.settings[key]) if key in group.settings else "" for key in apart]
        table.rows.append([Shown(text) for text in [group.label, *values]])
    return table


def common(section: Section) -> Table:
    """The keys in which all runs agree."""
    keys = [key for key in _keys(section) if len({repr(group.settings.get(key)) for group in section.groups}) == 1]
    rows = [[Shown(key), Shown(short(section.groups[0].settings.get(key)))] for key in keys]
    return Table(["key", "value"], rows)


def _keys(section: Section) -> list[str]:
    return list(dict.fromkeys(key for group in section.groups for key in group.settings))


def origin(runs: Sequence[Run]) -> Table:
    """Commit and versions of what trained."""
    table = Table(["", "in the runs"])
    done = [run for run in runs if run.status == "finished"]
    if done:
        table.rows.append([Shown("commit"), Shown(listed_counts(str(run.result["run"].get("commit")) for run in done))])
    for name in sorted({name for run in done for name in run.result["run"].get("versions", {})}):
        found = listed_counts(str(run.result["run"].get("versions", {}).get(name)) for run in done)
        table.rows.append([Shown(name), Shown(found)])
    return table


def unfinished(runs: Sequence[Run]) -> Table:
    """Every run that is not in the comparison because it did not finish, is missing or cannot be read."""
    table = Table(["run", "status", "why"])
    for run in runs:
        if run.status != "finished":
            table.rows.append([Shown(str(run.folder)), Shown(run.status), Shown(run.note or DASH)])
    return table


def as_csv(comparisons: Sequence[Comparison]) -> str:
    """A row for each section, loss and metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for comparison in comparisons:
        baseline = comparison.baseline.label if comparison.baseline else ""
        for group in comparison.groups:
            for metric in comparison.metrics:
                cell = comparison.cells.get((group.label, metric.name))
                if cell is None:
                    continue
                m, d = cell.mean, cell.difference
                row = [
                    comparison.section.title,
                    group.label,
                    group.lr,
                    metric.name,
                    m.n,
                    m.value,
                    m.low,
                    m.high,
                    baseline,
                ]
                row += [d.n, d.value, d.low, d.high, testable(d), cell.adjusted] if d else [""] * 6
                best = "yes" if comparison.best.get(metric.name) == group.label else ""
                row += [cell.word(metric), best]
                writer.writerow(["" if value != value else escape.cell(value) for value in row])
    return text.getvalue()
