"""The comparison of a section's groups: every metric's mean, its difference to the baseline, and what the tests say.

Intervals and verdicts go together by one rule. Every interval is a single 95 % interval: it says how large one
difference is. The word beside it says what is shown, and it is made from the same test:

    better, worse                    Holm's adjusted p <= 0.05: shown, and then the interval excludes 0
    perhaps better, perhaps worse    the interval excludes 0, but among so many comparisons one may by chance
    no difference shown              the interval includes 0

So no word contradicts the interval beside it. Intervals that were compatible with Holm's procedure by themselves would
say less: as soon as one comparison is not significant, those of all significant ones begin at 0, however large the
difference is. Source: Strassburger and Bretz 2008, Statistics in Medicine 27, 4914; Guilbaud 2008, Biometrical Journal
50, 678.
"""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

from ..metrics.columns import Column
from .groups import Group, Section
from .measure import Measurements, Span
from .statistics import LEVEL, best, holm

# At two seeds the spread between them is known to one degree of freedom: of ablations without any difference more than
# one in twenty would get a verdict (docs/statistics.md).
LEAST_SEEDS = 3
BETTER, WORSE, PERHAPS, SAME = "better", "worse", "perhaps", "no difference shown"


@dataclass
class Cell:
    """A group's metric: its mean, and its difference to the baseline on common seeds with Holm's p-value."""

    mean: Span
    difference: Span | None = None
    adjusted: float = math.nan

    @property
    def significant(self) -> bool:
        return self.adjusted <= LEVEL

    def word(self, metric: Column) -> str:
        """What is said of the difference, as the module's docstring says; "" where nothing was tested."""
        if self.difference is None or math.isnan(self.adjusted):
            return ""
        if not self.difference.excludes_zero:
            return SAME
        side = BETTER if metric.better * self.difference.value > 0 else WORSE
        return side if self.significant else f"{PERHAPS} {side}"


@dataclass
class Comparison:
    """What the report says of a section, in numbers.

    ``cells``: (label, metric's name) -> cell; none where a loss has no such metric. ``best``: metric's name -> the
    label that beats every other. ``alone``: metric's name -> the labels that share fewer than three seeds with any
    other: they neither win nor keep another from it. ``pairs``: (metric's name, one label, another) -> the first
    minus the second. ``comparisons`` and ``pair_comparisons``: how many Holm's correction was over. ``of_seeds``: the
    metrics whose intervals are over seeds only.
    """

    section: Section
    baseline: Group | None
    metrics: list[Column]
    notes: list[str]
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    best: dict[str, str] = field(default_factory=dict)
    alone: dict[str, list[str]] = field(default_factory=dict)
    pairs: dict[tuple[str, str, str], Span] = field(default_factory=dict)
    comparisons: int = 0
    pair_comparisons: int = 0
    of_seeds: list[Column] = field(default_factory=list)

    @property
    def groups(self) -> list[Group]:
        """Those with a finished run."""
        return [group for group in self.section.groups if group.finished]

    @property
    def judged(self) -> list[Column]:
        return [metric for metric in self.metrics if metric.judged]

    def ranked(self, metric: Column) -> list[str]:
        """Labels from the best mean to the worst."""
        known = [group.label for group in self.groups if (group.label, metric.name) in self.cells]
        return sorted(known, key=lambda label: -metric.better * self.cells[label, metric.name].mean.value)


def compare(section: Section, baseline: Group | None) -> Comparison:
    """Compare the groups of ``section``; ``baseline`` is one of them, or None, and comes first in every table."""
    section.groups.sort(key=lambda group: (group is not baseline, group.label))
    measured = Measurements(section.runs)
    known = [metric for metric in section.family.columns if measured.known(metric)]
    result = Comparison(section, baseline, known, measured.notes)
    result.of_seeds = [metric for metric in known if not measured.has_examples(metric)]
    for metric in known:
        spans = measured.spans(metric, [(group, None) for group in result.groups])
        for group, span in zip(result.groups, spans, strict=True):
            if span.n:
                result.cells[group.label, metric.name] = Cell(span)
    if baseline is not None and baseline.finished:
        _against(result, measured, baseline)
    _pairwise(result, measured)
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
        for group, span in zip(others, measured.spans(metric, [(g, baseline) for g in others]), strict=True):
            if span.n:
                cell = result.cells[group.label, metric.name]
                cell.difference = span
                family += [cell] if metric.judged else []
    p = np.array([testable(cell.difference) for cell in family])
    result.comparisons = int((~np.isnan(p)).sum())
    for cell, adjusted in zip(family, holm(p).tolist(), strict=True):
        cell.adjusted = adjusted


def testable(difference: Span | None) -> float:
    """The p-value; NaN with fewer than three common seeds, which tell of networks and not of losses."""
    return difference.p if difference is not None and difference.n >= LEAST_SEEDS else math.nan


def _pairwise(result: Comparison, measured: Measurements) -> None:
    """All pairs of groups in all judged metrics, one family for Holm; who beats every other with which it is compared.

    A loss without probabilities is not beaten in nll, one that has no three seeds in common with another in nothing.
    """
    groups = result.groups
    pairs = list(itertools.combinations(range(len(groups)), 2))
    spans = [measured.spans(metric, [(groups[a], groups[b]) for a, b in pairs]) for metric in result.judged]
    p = np.array([testable(span) for row in spans for span in row])
    result.pair_comparisons = int((~np.isnan(p)).sum())
    for metric, row, adjusted in zip(result.judged, spans, holm(p).reshape(len(spans), len(pairs)), strict=True):
        difference, sure = np.zeros((len(groups), len(groups))), np.full((len(groups), len(groups)), math.nan)
        for (a, b), span, q in zip(pairs, row, adjusted, strict=True):
            difference[a, b], difference[b, a] = -metric.better * span.value, metric.better * span.value
            sure[a, b] = sure[b, a] = q
            result.pairs[metric.name, groups[a].label, groups[b].label] = span
            result.pairs[metric.name, groups[b].label, groups[a].label] = span.negative()
        known = [i for i, group in enumerate(groups) if (group.label, metric.name) in result.cells]
        together = {i for pair, span in zip(pairs, row, strict=True) if span.n >= LEAST_SEEDS for i in pair}
        result.alone[metric.name] = [groups[i].label for i in known if i not in together]
        have = sorted(together)
        winner = int(best(difference[np.ix_(have, have)], sure[np.ix_(have, have)])) if have else -1
        if winner >= 0:
            result.best[metric.name] = groups[have[winner]].label
