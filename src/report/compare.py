"""The comparison of a section's groups: every metric's mean, its difference to the baseline, and what the tests say.

Intervals and verdicts go together by one rule. Every interval is a single 95 % interval: it says how large one
difference is. The word beside it says what is shown, and it is made from the same test:

    better, worse                    Holm's adjusted p <= 0.05: shown, and then the interval excludes 0
    perhaps better, perhaps worse    the interval excludes 0, but among so many comparisons one may by chance
    no difference shown              the interval includes 0
    equal                            only where a margin was named: two one-sided tests show, by a Holm's correction of
                                     their own, that the difference is within it, and neither better nor worse is shown

So no word contradicts the interval beside it. Intervals that were compatible with Holm's procedure by themselves would
say less: as soon as one comparison is not significant, those of all significant ones begin at 0, however large the
difference is. Source: Strassburger and Bretz 2008, Statistics in Medicine 27, 4914; Guilbaud 2008, Biometrical Journal
50, 678.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..metrics.claims import Claim
from ..metrics.columns import Column
from .claims import Outcome, outcomes
from .groups import Group, Section
from .looks import Decided
from .measure import UNKNOWN, Measurements, Span
from .power import LEAST_SEEDS, Plan, plans
from .statistics import LEVEL, best, holm
from .words import BETTER, EQUAL, PERHAPS, SAME, WORSE

NO_MARGINS: Mapping[str, float] = {}


@dataclass
class Cell:
    """A group's metric: its mean, and its difference to the baseline on common seeds with Holm's p-value.

    ``equal``: Holm's p-value of the tests that the difference is within the metric's margin. ``plan``: what would
    decide a difference that is neither shown nor within a margin.
    """

    mean: Span
    difference: Span | None = None
    adjusted: float = math.nan
    equal: float = math.nan
    plan: Plan | None = None

    @property
    def significant(self) -> bool:
        return self.adjusted <= LEVEL

    @property
    def within(self) -> bool:
        """Whether the difference is shown to be within the margin."""
        return self.equal <= LEVEL

    def word(self, metric: Column) -> str:
        """What is said of the difference, as the module's docstring says; "" where nothing was tested."""
        if self.difference is None or math.isnan(self.adjusted):
            return ""
        if self.within and not self.significant:
            return EQUAL
        if not self.difference.excludes_zero:
            return SAME
        side = BETTER if metric.better * self.difference.value > 0 else WORSE
        return side if self.significant else f"{PERHAPS} {side}"


@dataclass
class Comparison:
    """What the report says of a section, in numbers.

    ``cells``: (label, metric's name) -> cell; none where a loss has no such metric. ``best``: metric's name -> the
    label that beats every other. ``alone``: metric's name -> the labels that share fewer than three seeds with any
    other: they neither win nor keep another from it. ``told_apart``: the metrics in which two losses are. ``pairs``:
    (metric's name, one label, another) -> the first minus the second. ``comparisons`` and ``pair_comparisons``: how
    many Holm's correction was over. ``of_seeds``: the metrics whose intervals are over seeds only. ``margins``:
    metric's name -> within what two losses count as equal. ``outcomes``: what came of each claim. ``decided``: of a
    metric that said when the seeds were enough, the decisions, which are the only ones.
    """

    section: Section
    baseline: Group | None
    metrics: list[Column]
    notes: list[str]
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    best: dict[str, str] = field(default_factory=dict)
    alone: dict[str, list[str]] = field(default_factory=dict)
    told_apart: set[str] = field(default_factory=set)
    pairs: dict[tuple[str, str, str], Span] = field(default_factory=dict)
    comparisons: int = 0
    pair_comparisons: int = 0
    of_seeds: list[Column] = field(default_factory=list)
    margins: Mapping[str, float] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    decided: Decided | None = None

    @property
    def groups(self) -> list[Group]:
        """Those with a finished run."""
        return [group for group in self.section.groups if group.finished]

    @property
    def judged(self) -> list[Column]:
        return [metric for metric in self.metrics if metric.judged]

    @property
    def corrected(self) -> list[Column]:
        """The judged metrics that Holm's corrections are over."""
        return [metric for metric in self.judged if not self.is_decided(metric)]

    @property
    def tested(self) -> bool:
        """Whether any difference was."""
        return self.pair_comparisons > 0 or any(not math.isnan(cell.adjusted) for cell in self.cells.values())

    def is_decided(self, metric: Column) -> bool:
        """Whether this metric said when the seeds were enough, in this unit or in another."""
        return self.decided is not None and any(
            (own.source or own.name, own.root) == (metric.source or metric.name, metric.root)
            for own in self.metrics
            if own.name == self.decided.metric
        )

    def verdict(self, cell: Cell, metric: Column) -> str:
        """The word for a difference, with the margin that it is shown to be within: "equal within ±0.005"."""
        word = cell.word(metric)
        margin = f"within ±{self.margins[metric.name]:g}" if cell.within else ""
        return f"{word}{' ' if word == EQUAL else ', '}{margin}" if margin else word

    def ranked(self, metric: Column) -> list[str]:
        """Labels from the best mean to the worst."""
        known = [group.label for group in self.groups if (group.label, metric.name) in self.cells]
        return sorted(known, key=lambda label: -metric.better * self.cells[label, metric.name].mean.value)

    def leading(self, metric: Column) -> list[str]:
        """Who has the best mean, of several losses; nobody in a metric by which nothing is better."""
        means = {label: self.cells[label, metric.name].mean.value for label in self.ranked(metric)}
        if len(means) < 2 or not metric.better:
            return []
        return [label for label, value in means.items() if not any(metric.is_better(v, value) for v in means.values())]


def compare(
    section: Section,
    baseline: Group | None,
    margins: Mapping[str, float] = NO_MARGINS,
    claims: Sequence[Claim] = (),
    decided: Decided | None = None,
) -> Comparison:
    """Compare the groups of ``section``; ``baseline`` is one of them, or None, and comes first in every table.

    In the metric of ``decided``, whose seeds were enough when it was decided, differences to the baseline are those of
    its looks, and no pairs are compared.
    """
    margins = margins if decided is None else decided.margins(margins)
    section.groups.sort(key=lambda group: (group is not baseline, group.label))
    measured = Measurements(section.runs)
    known = [metric for metric in section.family.columns if measured.known(metric)]
    result = Comparison(section, baseline, known, measured.notes, margins=margins, decided=decided)
    result.of_seeds = [metric for metric in known if not measured.has_examples(metric)]
    for metric in known:
        spans = measured.spans(metric, [(group, None) for group in result.groups])
        for group, span in zip(result.groups, spans, strict=True):
            if span.n:
                result.cells[group.label, metric.name] = Cell(span)
    if baseline is not None and baseline.finished:
        _against(result, measured, baseline)
    _pairwise(result, measured)
    result.outcomes = [_by_looks(result, one) for one in outcomes(claims, section, measured)]
    for (_, name), cell in result.cells.items():
        if any(metric.name == name and metric.exponential for metric in known):
            cell.mean = cell.mean.raised()
            cell.difference = cell.difference.raised() if cell.difference else None
    return result


def _against(result: Comparison, measured: Measurements, baseline: Group) -> None:
    """Differences to the baseline; those of the judged metrics are one family for Holm."""
    others = [group for group in result.groups if group is not baseline]
    family = []
    for metric in result.metrics:
        if result.decided is not None and result.is_decided(metric):
            _take(result, metric, result.decided)
            continue
        for group, span in zip(others, measured.spans(metric, [(g, baseline) for g in others]), strict=True):
            if span.n:
                cell = result.cells[group.label, metric.name]
                cell.difference = span
                family += [cell] if metric.judged else []
    p = np.array([testable(cell.difference) for cell in family])
    result.comparisons = int((~np.isnan(p)).sum())
    for cell, adjusted in zip(family, holm(p).tolist(), strict=True):
        cell.adjusted = adjusted
    _equal(result)
    _plan(family, LEVEL / max(1, result.comparisons - sum(cell.significant for cell in family)))


def _take(result: Comparison, metric: Column, decided: Decided) -> None:
    """The differences of the metric that said when the seeds were enough, or of this metric in another unit."""
    own = next(column for column in result.metrics if column.name == decided.metric)
    cells = {label: result.cells[label, metric.name] for label in decided.ends if (label, metric.name) in result.cells}
    for label, cell in cells.items():
        end = decided.ends[label]
        cell.difference = end.span and end.span.times(metric.factor / own.factor)
        if metric.judged:
            cell.adjusted, cell.equal = end.adjusted, end.equal
    if metric.judged:
        _plan(list(cells.values()), decided.alpha)


def _equal(result: Comparison) -> None:
    """The tests that differences are within their margins: a family of their own for Holm."""
    names = result.margins.keys() & {metric.name for metric in result.corrected}
    cells = [(cell, result.margins[name]) for (_, name), cell in result.cells.items() if name in names]
    tested = [(cell, cell.difference, margin) for cell, margin in cells if not math.isnan(cell.adjusted)]
    p = np.array([difference.equal(margin) for _, difference, margin in tested if difference])
    for (cell, _, _), adjusted in zip(tested, holm(p).tolist(), strict=True):
        cell.equal = adjusted


def _plan(family: Sequence[Cell], alpha: float) -> None:
    """What would decide the differences that are not decided, at the level ``alpha``."""
    undecided = [
        (cell, difference.value, difference.spread)
        for cell in family
        if (difference := cell.difference) and cell.adjusted > LEVEL and not cell.within
        if difference.spread and difference.spread.known
    ]
    found = plans([value for _, value, _ in undecided], [spread for _, _, spread in undecided], alpha)
    for (cell, _, _), plan in zip(undecided, found, strict=True):
        cell.plan = plan


def _by_looks(result: Comparison, one: Outcome) -> Outcome:
    """A claim of a difference to the baseline, by the decisions where there are some."""
    base, claim = result.baseline, one.claim
    if base is None or not result.is_decided(one.metric) or not claim.against or base.label not in claim.labels:
        return one
    (label,) = {*claim.labels} - {base.label}
    cell = result.cells.get((label, one.metric.name))
    span = cell.difference if cell and cell.difference else UNKNOWN
    return replace(one, span=span if claim.against == base.label else span.negative())


def testable(difference: Span | None) -> float:
    """The p-value; NaN with fewer than three common seeds, which tell of networks and not of losses."""
    return difference.p if difference is not None and difference.n >= LEAST_SEEDS else math.nan


def _pairwise(result: Comparison, measured: Measurements) -> None:
    """All pairs of groups in all judged metrics, one family for Holm; who beats every other with which it is compared.

    A loss without probabilities is not beaten in nll, one that has no three seeds in common with another in nothing.
    """
    groups = result.groups
    pairs = list(itertools.combinations(range(len(groups)), 2))
    spans = [measured.spans(metric, [(groups[a], groups[b]) for a, b in pairs]) for metric in result.corrected]
    p = np.array([testable(span) for row in spans for span in row])
    result.pair_comparisons = int((~np.isnan(p)).sum())
    for metric, row, adjusted in zip(result.corrected, spans, holm(p).reshape(len(spans), len(pairs)), strict=True):
        difference, sure = np.zeros((len(groups), len(groups))), np.full((len(groups), len(groups)), math.nan)
        for (a, b), span, q in zip(pairs, row, adjusted, strict=True):
            difference[a, b], difference[b, a] = -metric.better * span.value, metric.better * span.value
            sure[a, b] = sure[b, a] = q
            result.pairs[metric.name, groups[a].label, groups[b].label] = span
            result.pairs[metric.name, groups[b].label, groups[a].label] = span.negative()
        result.told_apart |= {metric.name} if (adjusted <= LEVEL).any() else set()
        known = [i for i, group in enumerate(groups) if (group.label, metric.name) in result.cells]
        together = {i for pair, span in zip(pairs, row, strict=True) if span.n >= LEAST_SEEDS for i in pair}
        result.alone[metric.name] = [groups[i].label for i in known if i not in together]
        have = sorted(together)
        winner = int(best(difference[np.ix_(have, have)], sure[np.ix_(have, have)])) if have else -1
        if winner >= 0:
            result.best[metric.name] = groups[have[winner]].label
