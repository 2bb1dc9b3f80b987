"""What a report says of losses and runs that were not compared or not judged, and why."""

import math
from collections.abc import Sequence

from .compare import Comparison
from .floors import floors
from .power import LEAST_SEEDS
from .read import Run
from .words import COUNTS, listed

MOST = 4  # losses in one clause; the others are counted


def remarks(comparison: Comparison, lost: Sequence[Run]) -> list[str]:
    """A sentence for each reason. ``lost``: the section's runs that are not compared."""
    told = [*_unjudged(comparison), *_untestable(comparison), *_few(comparison)]
    tried = {group.label for group in comparison.section.passed_over}
    if tried:
        told.append(
            f"{listed(sorted(tried), MOST)}: compared at the best of several learning rates, chosen on validation"
        )
    missing = [run for run in lost if run.status not in ("finished", "duplicate")]
    if missing and comparison.groups:
        count = len(missing)
        runs = f"{count} more run{'s are' if count > 1 else ' is'}"
        told.append(f"{runs} not finished or cannot be read, and may change the answer")
    return [f"{text}." for text in told]


def below_floors(comparison: Comparison) -> list[str]:
    """Losses whose mean is not better than what costs nothing. It is not tested: what learnt something is far above.

    Nothing is said of an expected calibration error: to guess by frequency is perfectly calibrated, and that of a loss
    is freed from what chance adds to it.
    """
    by_losses: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    ceilings = comparison.section.family.ceilings
    for floor, ends in ((name, ends) for name, ends in floors(comparison).items() if name not in ceilings):
        for metric in (metric for metric in comparison.judged if not metric.gap):
            worst = max(ends[metric.name], key=lambda end: -metric.better * end) if metric.name in ends else math.nan
            means = {label: comparison.cells[label, metric.name].mean.value for label in comparison.ranked(metric)}
            losses = tuple(label for label, mean in means.items() if metric.better * (mean - worst) <= 0)
            if losses:
                by_losses.setdefault((floor, losses), []).append(metric.name)
    told = []
    for (floor, losses), names in by_losses.items():
        verb = "is" if len(losses) == 1 else "are"
        told.append(f"{listed(losses, MOST)} {verb} no better than {floor} in {listed(names, last='or')}.")
    return told


def _unjudged(comparison: Comparison) -> list[str]:
    """Losses that have no value of metrics that others have."""
    silent: dict[str, list[str]] = {}
    for metric in comparison.judged:
        for group in comparison.groups:
            if (group.label, metric.name) not in comparison.cells:
                silent.setdefault(group.label, []).append(metric.name)
    by_metrics: dict[tuple[str, ...], list[str]] = {}
    for label, names in silent.items():
        by_metrics.setdefault(tuple(names), []).append(label)
    of_probabilities = tuple(metric.name for metric in comparison.judged if not metric.share)
    calibrated = any(metric.gap for metric in comparison.judged)
    told = []
    for lacking, labels in by_metrics.items():
        silent_all = f"give{'s' * (len(labels) == 1)} no probabilities"
        why = silent_all if calibrated and lacking == of_probabilities else "cannot be judged fully"
        told.append(f"{listed(labels, MOST)} {why}: no {listed(lacking, last='or')}")
    return told


def _untestable(comparison: Comparison) -> list[str]:
    """Differences on enough seeds that nevertheless have no p: a value is infinite, or nothing varies."""
    lost: dict[str, list[str]] = {}
    for metric in comparison.judged:
        for group in comparison.groups:
            cell = comparison.cells.get((group.label, metric.name))
            difference = cell.difference if cell else None
            if cell and difference and difference.n >= LEAST_SEEDS and not cell.word(metric):
                lost.setdefault(metric.title, []).append(group.label)
    return [
        f"{listed(labels, MOST)}: not tested in {title}, because a value is infinite or no seed differs from another"
        for title, labels in lost.items()
    ]


def _few(comparison: Comparison) -> list[str]:
    """Losses that have too few seeds in common with the baseline."""
    base = comparison.baseline
    if base is None or not base.finished or not comparison.tested:
        return []
    few: dict[int, list[str]] = {}
    for group in comparison.groups:
        if group is not base and (common := len(group.finished.keys() & base.finished.keys())) < LEAST_SEEDS:
            few.setdefault(common, []).append(group.label)
    return [
        f"{listed(labels, MOST)} {'has' if len(labels) == 1 else 'have'} {COUNTS[n]} seed{'s' * (n > 1)} in common with"
        f" {base.label}, too few for a verdict"
        for n, labels in sorted(few.items())
    ]
