"""The report's tables of what the tests say, metrics by loss; and report.csv."""

import csv
import io
import math
from collections.abc import Iterator, Sequence

from ..metrics.columns import Column
from . import escape, floors, missing
from .compare import Cell, Comparison, testable
from .groups import Group
from .power import MOST, Plan
from .table import Shown, Table
from .words import DASH, SAME, TIMES, decimals_of, difference, mean, number, probability

COLUMNS = (
    *("section", "loss", "lr", "metric", "seeds", "mean", "low", "high"),
    *("baseline", "common_seeds", "difference", "difference_low", "difference_high", "p", "p_holm", "verdict"),
    *("beats_every_other", "margin", "p_equal", "smallest_shown", "smallest_of_endless_seeds"),
    *("seeds_needed", "seeds_low", "seeds_high", "test_set_too_small", "command"),
    *("claim", "source", "expected_low", "expected_high"),
)
FLOOR = "floor"


def results(comparison: Comparison) -> Table:
    """A row for each loss: the mean of each metric that is tested, below it the difference to the baseline."""
    return _by_loss(comparison, "Test metrics", comparison.judged)


def other_metrics(comparison: Comparison) -> Table:
    """The same of the metrics that are not tested."""
    return _by_loss(comparison, "Other metrics", [metric for metric in comparison.metrics if not metric.judged])


def _by_loss(comparison: Comparison, title: str, metrics: Sequence[Column]) -> Table:
    uneven = len({len(group.finished) for group in comparison.groups}) > 1
    names = [arrow(metric.measure, metric.better) for metric in metrics]
    table = Table(title, ["loss", *["seeds"] * uneven, *names])
    for group in comparison.groups if metrics else ():
        own = Shown(group.label, "baseline" * (group is comparison.baseline))
        values = [_value(comparison, group, metric) for metric in metrics]
        table.rows.append([own, *[Shown(str(len(group.finished)))] * uneven, *values])
    table.floors.extend(floors.rows(comparison, metrics, blank=int(uneven)))
    return table


def _value(comparison: Comparison, group: Group, metric: Column) -> Shown:
    cell, of = comparison.cells.get((group.label, metric.name)), len(group.finished)
    if cell is None:
        return Shown(DASH)
    text = mean(metric, cell.mean) + _fewer(cell.mean.n, of)
    best = group.label in comparison.leading(metric)
    if cell.difference is None:
        return Shown(text, "" if comparison.baseline in (None, group) else f"Δ {DASH}", best=best)
    below = f"Δ {difference(metric, cell.difference)}{_fewer(cell.difference.n, of)}"
    return Shown(text, below, comparison.verdict(cell, metric).replace(SAME, ""), best=best)


def _fewer(n: int, of: int) -> str:
    """That a value is of fewer seeds than its group has."""
    return f" ({n} of {of} seeds)" if n < of else ""


def arrow(name: str, better: int) -> str:
    return name + {1: " ↑", -1: " ↓", 0: ""}[better]


def p_values(comparison: Comparison) -> Table:
    """Of each difference to the baseline: the p-value after Holm's correction, below it the one without. Without any
    row where nothing was tested."""
    table = Table("p-values", ["loss", *(metric.name for metric in comparison.judged)])
    for group in comparison.groups if comparison.comparisons or comparison.decided else ():
        if group is not comparison.baseline:
            cells = [comparison.cells.get((group.label, metric.name)) for metric in comparison.judged]
            table.rows.append([Shown(group.label), *map(_p_value, cells)])
    return table


def _p_value(cell: Cell | None) -> Shown:
    if cell is None or cell.difference is None or cell.adjusted != cell.adjusted:
        return Shown(DASH)
    return Shown(probability(cell.adjusted), f"uncorrected {probability(cell.difference.p)}")


def undecided(comparison: Comparison) -> Table:
    """A row for each difference to the baseline that is not decided: what would decide it."""
    heads = [
        "loss",
        "metric",
        "difference seen",
        "shown from",
        "seeds that would show it",
        "command for the missing seeds",
    ]
    table = Table("What is not decided", heads)
    for metric in comparison.judged:
        for group in comparison.groups:
            cell = comparison.cells.get((group.label, metric.name))
            if cell and cell.plan and cell.difference:
                own = [Shown(group.label), Shown(metric.name), Shown(difference(metric, cell.difference))]
                plan = [Shown(size(metric, cell.plan.smallest)), Shown(_seeds(metric, cell.plan))]
                table.rows.append([*own, *plan, _command(comparison, metric, group, cell.plan)])
    return table


def size(metric: Column, smallest: float) -> str:
    """Of a difference, with two digits that tell; a ratio, where the metric's differences are ratios."""
    value = math.exp(smallest) if metric.exponential else smallest
    return f"{TIMES if metric.exponential else ''}{number(value, decimals_of(smallest))}"


def _seeds(metric: Column, plan: Plan) -> str:
    if plan.limited:
        at_best = f" (it shows {size(metric, plan.least)} at best)" if plan.least > 0 else ""
        return f"no number of seeds: the test set is too small{at_best}"
    fewest, seeds, most = (
        f"{n:.0f}" if math.isfinite(n) else f"more than {MOST:,}" for n in (plan.fewest, plan.seeds, plan.most)
    )
    if math.isinf(plan.seeds):
        return seeds
    return f"about {seeds} ({fewest} to {most}), {plan.seeds - plan.n:.0f} more"


def _command(comparison: Comparison, metric: Column, group: Group, plan: Plan) -> Shown:
    if comparison.decided is not None and comparison.is_decided(metric):
        if comparison.decided.is_open(group.label):
            return Shown("the sweep's command again")
        return Shown("" if math.isinf(plan.seeds) else "none: all looks are taken")
    if math.isinf(plan.seeds) or comparison.baseline is None:
        return Shown("")
    count = int(plan.seeds) - plan.n
    text = missing.command(comparison.baseline, group, count)
    if text:
        return Shown(text, code=True)
    return Shown(f"the command of these runs with {missing.more_seeds(comparison.baseline, group, count)}")


def as_csv(comparisons: Sequence[Comparison]) -> str:
    """A row for each section, loss and metric, for each floor and metric, whose verdict is "floor", and for each claim,
    whose verdict is the claim's."""
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
                row += [cell.word(metric), best, comparison.margins.get(metric.name, ""), cell.equal]
                row += _planned(comparison, metric, group, cell.plan)
                row += [""] * (len(COLUMNS) - len(row))
                writer.writerow(["" if value != value else escape.cell(value) for value in row])
        for more in [*_floors(comparison), *_claims(comparison)]:
            writer.writerow([escape.cell(more.get(key, "")) for key in COLUMNS])
    return text.getvalue()


def _planned(comparison: Comparison, metric: Column, group: Group, plan: Plan | None) -> list[str | float]:
    if plan is None:
        return [""] * 7
    numbers = (plan.smallest, plan.least, plan.seeds, plan.fewest, plan.most)
    return [*numbers, "yes" if plan.limited else "", _command(comparison, metric, group, plan).text]


def _floors(comparison: Comparison) -> Iterator[dict[str, str | float]]:
    """report.csv's rows of what costs nothing."""
    for name, values in floors.floors(comparison).items():
        own = {"section": comparison.section.title, "loss": name, "verdict": FLOOR}
        for metric, (low, high) in values.items():
            yield {**own, "metric": metric, "mean": (low + high) / 2, "low": low, "high": high}


def _claims(comparison: Comparison) -> Iterator[dict[str, str | float]]:
    """report.csv's rows of what was claimed."""
    for one in comparison.outcomes:
        claim, span = one.claim, one.span
        own: dict[str, str | float] = {"section": comparison.section.title, "loss": claim.loss}
        own |= {"metric": claim.metric, "seeds": span.n}
        band = {"expected_low": claim.low, "expected_high": claim.high}
        names = ("mean", "low", "high")
        if claim.against is not None:
            own |= {"baseline": claim.against, "common_seeds": span.n}
            names = ("difference", "difference_low", "difference_high")
        values = dict(zip(names, (span.value, span.low, span.high), strict=True))
        numbers = {key: value for key, value in (values | band).items() if math.isfinite(value)}
        yield {**own, **numbers, "verdict": one.verdict, "claim": claim.claim, "source": claim.source}
