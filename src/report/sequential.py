"""What is decided where an ablation is trained until its comparisons are: the same for the sweep and for the report.

One metric is compared with the baseline at several looks (boundary.py). At a look the smallest p-value is held to the
boundary of alpha = 0.05 / m, with m the comparisons in which no difference is shown yet. If it is below, the next one
is held to that of 0.05 / (m - 1), and so on. These are Holm's steps, with boundaries that grow with alpha, so that all
looks and comparisons together err in at most 5 % of ablations (Maurer and Bretz 2013, Statistics in Biopharmaceutical
Research 5, 311; Ye, Li, Liu and Yao 2013, Statistics in Medicine 32, 1112). The interval beside is that of the same
level: all those of one loss, over all looks, hold the truth in at least 95 % of ablations (repeated confidence
intervals: Jennison and Turnbull 1989, JRSS B 51, 305).

With a margin, a comparison is also decided if this interval lies within it: practically equal. Then m stays the number
of all comparisons. Of each loss at most one of "no difference" and "a difference beyond the margin" is true, so that
both statements together err in at most 5 % of ablations.

All of it is a function of the plan and of the runs: decisions are made anew from the data whenever they are asked for.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..config.errors import UserError, suggestion
from ..metrics.columns import Column
from ..system.files import read_yaml
from . import boundary, calibration, schema
from .boundary import crossed, levels_of, looks_of
from .groups import Group, Section, sections_of
from .measure import Measurements, Span
from .read import Run, checked, read_run
from .statistics import LEVEL, quantile
from .words import BETTER, SAME, WORSE, difference

EQUAL, OPEN, LOST, UNKNOWN = "practically equal", "open", "not finished", "not measured"


@dataclass(frozen=True)
class Plan:
    """What is compared, fixed before the first look: the ``labels`` of all losses but the baseline, and the ``seeds``
    in their order."""

    metric: str
    baseline: str
    labels: tuple[str, ...]
    seeds: tuple[int, ...]
    margin: float | None = None

    @property
    def looks(self) -> tuple[int, ...]:
        return looks_of(len(self.seeds))


@dataclass(frozen=True)
class Verdict:
    """Of one loss after ``n`` seeds: a word, the difference with its interval of 1 - ``level``, and the p-value.

    ``adjusted`` and ``equal``, where ``ends`` has told them: the p-values of "there is no difference" and of "the
    difference is beyond the margin" that allow for all looks and comparisons.
    """

    label: str
    n: int
    word: str
    level: float = math.nan
    span: Span | None = None
    adjusted: float = math.nan
    equal: float = math.nan


@dataclass(frozen=True)
class Look:
    """After so many ``seeds``: what is said of each loss that was open before. ``column``: the metric."""

    seeds: int
    column: Column
    verdicts: list[Verdict]


def runs_of(places: Iterable[tuple[Path, str]]) -> list[Run]:
    """The runs in these folders, each with what the ablation calls it."""
    return [replace(read_run(folder), label=label) for folder, label in places]


def looks(plan: Plan, runs: Sequence[Run]) -> list[Look]:
    """Every look for which there are runs, until nothing is open. Raises UserError where the plan fits no run."""
    found: list[Look] = []
    left, shown = list(plan.labels), 0
    for k, seeds in enumerate(plan.looks):
        have = {run.seed for run in runs if run.label == plan.baseline and run.status == "finished"}
        if not left or not have >= set(plan.seeds[:seeds]):
            break
        look = _look(plan, k, runs, left, shown)
        found.append(look)
        left = [verdict.label for verdict in look.verdicts if verdict.word == OPEN]
        shown += sum(verdict.word in (BETTER, WORSE) for verdict in look.verdicts)
    return found


def _look(plan: Plan, k: int, runs: Sequence[Run], labels: Sequence[str], shown: int) -> Look:
    """The one after ``plan.looks[k]`` seeds. ``shown``: of how many losses a difference was shown before."""
    n = plan.looks[k]
    seeds, names = set(plan.seeds[:n]), {plan.baseline, *labels}
    section = _section(plan, [run for run in runs if run.label in names and run.seed in seeds])
    column = judged(section.family.columns, plan.metric)
    groups = {group.label: group for group in section.groups}
    baseline = groups[plan.baseline]
    whole = [label for label in labels if label in groups and groups[label].finished.keys() >= seeds]
    pairs: list[tuple[Group, Group | None]] = [(groups[label], baseline) for label in whole]
    spans = dict(zip(whole, Measurements(section.runs).spans(column, pairs), strict=True))
    told = {label: Verdict(label, n, UNKNOWN if label in spans else LOST) for label in labels}
    known = [label for label in whole if spans[label].n == n and not math.isnan(spans[label].p)]
    levels = levels_at(plan, k)
    new = int(crossed(np.array([spans[label].p for label in known]), shown, levels).sum())
    for i, label in enumerate(sorted(known, key=lambda label: spans[label].p)):
        level = levels[min(shown + min(i, new), len(levels) - 1)]
        told[label] = _verdict(plan, label, column, at_level(spans[label], level), level, i < new, n == plan.looks[-1])
    return Look(n, column, list(told.values()))


def ends(plan: Plan, found: Sequence[Look]) -> dict[str, Verdict]:
    """Label -> the last verdict that has a difference, with its p-values.

    As Holm's, ``adjusted`` is not smaller than that of a loss which was shown before. At most 0.05 is "shown" in the
    one, "practically equal" in the other.
    """
    last = {verdict.label: verdict for look in found for verdict in look.verdicts if verdict.span}
    told: dict[str, Verdict] = {}
    shown, before = 0, 0.0  # how many losses, and the largest of their p-values
    for k, look in enumerate(found):
        known = [(verdict, verdict.span) for verdict in look.verdicts if verdict.span]
        if not any(last[verdict.label] is verdict for verdict, _ in known):
            continue
        largest = before
        for verdict, span in sorted(known, key=lambda one: one[1].p):
            p = boundary.adjusted(span.p, plan.looks, k, _counted(plan, shown))
            largest = max(largest, p) if plan.margin is None else p
            if verdict.word in (BETTER, WORSE):
                before = largest
            shown += 1  # of the next at this look: Holm's step
            equal = _equal(plan, span, k)
            if last[verdict.label] is verdict:
                told[verdict.label] = replace(verdict, adjusted=largest, equal=equal)
        shown = sum(verdict.word in (BETTER, WORSE) for verdict in told.values())
    return told


def _equal(plan: Plan, span: Span, k: int) -> float:
    """The smallest alpha at which the interval of look ``k`` lies within the margin."""
    if plan.margin is None:
        return math.nan
    return boundary.adjusted(2 * span.equal(plan.margin), plan.looks, k, len(plan.labels))


def _counted(plan: Plan, shown: int) -> int:
    """By how many comparisons alpha is divided, where a difference is ``shown`` in others."""
    return len(plan.labels) - (shown if plan.margin is None else 0)


def levels_at(plan: Plan, k: int) -> list[float]:
    """To which p-value a comparison is held at look ``k``, by of how many others a difference is shown."""
    return [levels_of(plan.looks, LEVEL / _counted(plan, r))[k] for r in range(len(plan.labels))]


def _verdict(plan: Plan, label: str, column: Column, span: Span, level: float, shown: bool, last: bool) -> Verdict:
    if shown:
        word = BETTER if column.better * span.value > 0 else WORSE
    elif plan.margin is not None and -plan.margin <= span.low and span.high <= plan.margin:
        word = EQUAL
    else:
        word = SAME if last else OPEN
    return Verdict(label, span.n, word, level, span)


def at_level(span: Span, level: float) -> Span:
    """A difference with its interval of 1 - ``level``."""
    if span.reach is not None:
        down, up = (float(np.interp(math.log(level), np.log(calibration.LEVELS), side)) for side in span.reach)
        return replace(span, low=span.value - down, high=span.value + up)
    spread = span.spread
    if spread is None or not spread.seeds + spread.shared > 0:
        return replace(span, low=-math.inf, high=math.inf)
    share = np.array(spread.seeds / (spread.seeds + spread.shared))
    t = float(quantile(level, share, span.n - 1, max(1, spread.examples - 1)))
    half = t * math.sqrt(spread.seeds + spread.shared)
    return replace(span, low=span.value - half, high=span.value + half)


def _section(plan: Plan, runs: Sequence[Run]) -> Section:
    """The one with the baseline. Raises UserError where another loss is in another."""
    sections = [section for section in sections_of(runs) if section.runs]
    own = next(section for section in sections if any(group.label == plan.baseline for group in section.groups))
    if apart := [group.label for section in sections if section is not own for group in section.groups]:
        raise UserError(
            f"until=verdict: {', '.join(apart)} cannot be compared with {plan.baseline}: other data, another model or"
            " another kind of task"
        )
    return own


def judged(columns: Sequence[Column], metric: str) -> Column:
    """The column of this name. Raises UserError where there is none that a report tests."""
    names = [column.name for column in columns if column.judged]
    if metric not in names:
        untested = any(column.name == metric for column in columns)
        why = "is measured, but no difference in it is tested" if untested else "is no metric of these runs"
        raise UserError(f"metric={metric} {why}.{suggestion(metric, names)} There are {', '.join(names)}")
    return next(column for column in columns if column.name == metric)


def effect(look: Look, span: Span) -> str:
    """A difference as a reader takes it in."""
    return difference(look.column, span.raised() if look.column.exponential else span)


def plain(plan: Plan, found: Sequence[Look]) -> dict[str, object]:
    """For ``sequential.yaml``: the plan, and, for whoever reads it, what was decided at each look."""
    return {
        "metric": plan.metric,
        "baseline": plan.baseline,
        "losses": list(plan.labels),
        "seeds": list(plan.seeds),
        "margin": plan.margin,
        "looks": [
            {"seeds": look.seeds, "losses": {verdict.label: _plain(verdict) for verdict in look.verdicts}}
            for look in found
        ],
    }


def _plain(verdict: Verdict) -> dict[str, object]:
    if verdict.span is None:
        return {"word": verdict.word}
    span = verdict.span
    numbers = {"p": span.p, "level": verdict.level, "difference": span.value, "low": span.low, "high": span.high}
    return {"word": verdict.word, **numbers}


def read_plan(path: Path) -> Plan:
    """What ``sequential.yaml`` says was planned. Raises OSError, and ValueError for what ``plain`` did not write."""
    told = read_yaml(path)
    checked(path, schema.sequential, told)
    return Plan(told["metric"], told["baseline"], tuple(told["losses"]), tuple(told["seeds"]), told["margin"])
