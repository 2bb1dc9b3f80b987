"""The answer for an ablation as a whole, in one sentence: who is best, what nothing separates, and what would."""

import math
from collections.abc import Sequence

from ..metrics.columns import Column
from .compare import Comparison
from .words import BETTER, EQUAL, WORSE, decimals, listed, number, third

MOST = 4  # names in one clause
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def headline(comparison: Comparison) -> str:
    """ "focal is better calibrated than every other loss; in accuracy, nothing separates the five losses at 5 seeds".

    Only of the metrics that have a phrase. "" where nothing was compared.
    """
    if not comparison.pair_comparisons:
        return ""
    told = [metric for metric in comparison.judged if metric.phrase and len(comparison.ranked(metric)) > 1]
    clauses = [*_winners(comparison, told)]
    without = [metric for metric in told if metric.name not in comparison.best]
    tails: dict[str, list[str]] = {}
    for metric in without:
        if not (
            clauses and _only_worse(comparison, metric)
        ):  # beside a winner, who loses can wait for the sentences below
            tails.setdefault(_standing(comparison, metric), []).append(metric.title)
    clauses += [f"in {listed(names, MOST)}, {tail}" for tail, names in tails.items()]
    text = "; ".join(clauses + _next_step(comparison, without))
    return f"{text[:1].upper() if text.startswith('in ') else text[:1]}{text[1:]}." if text else ""


def _phrase(metric: Column) -> tuple[str, str, str]:
    assert metric.phrase is not None, "only metrics with a phrase are told"
    return metric.phrase


def _winners(comparison: Comparison, told: Sequence[Column]) -> list[str]:
    """Who beats every other loss, and in what."""
    by_label: dict[str, list[str]] = {}
    for metric in told:
        if winner := comparison.best.get(metric.name):
            verb, more, _ = _phrase(metric)
            said = f"{third(verb)[0]} {more}{' after temperature scaling' * bool(metric.after)}"
            by_label.setdefault(winner, []).append(said)
    return [f"{label} {listed(said, MOST)} than every other loss" for label, said in by_label.items()]


def _words(comparison: Comparison, metric: Column) -> dict[str, str]:
    """Label -> what is shown of its difference to the baseline."""
    return {label: comparison.cells[label, metric.name].word(metric) for label in comparison.ranked(metric)}


def _only_worse(comparison: Comparison, metric: Column) -> bool:
    """Whether losses are shown to be worse than the baseline, and none to be better."""
    words = _words(comparison, metric).values()
    return WORSE in words and BETTER not in words


def _standing(comparison: Comparison, metric: Column) -> str:
    """What is said of a metric in which no loss beats every other."""
    words = _words(comparison, metric)
    better, worse, equal = ([label for label, own in words.items() if own == word] for word in (BETTER, WORSE, EQUAL))
    tested, name = [word for word in words.values() if word], comparison.baseline.label if comparison.baseline else ""
    if better:
        text = f"{listed(better, MOST)} {_are(better)} better than {name}"
        return f"{text}, {listed(worse, MOST)} worse" if worse else text
    if tested and len(equal) == len(tested):
        who = f"all {number_word(len(equal))} others are" if len(equal) > 1 else f"{equal[0]} is"
        return f"{who} equal to {name} within ±{comparison.margins[metric.name]:g}"
    if worse:
        return f"nothing is shown to be better than {name}, and {listed(worse, MOST)} {_are(worse)} worse"
    if metric.name in comparison.told_apart:
        return "no loss beats every other"
    return f"nothing separates the {number_word(len(words))} losses{_at(comparison)}"


def _are(labels: Sequence[str]) -> str:
    return "is" if len(labels) == 1 else "are"


def number_word(count: int) -> str:
    """ "five", "12"."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def _at(comparison: Comparison) -> str:
    seeds = {len(group.finished) for group in comparison.groups}
    return f" at {next(iter(seeds))} seeds" if len(seeds) == 1 else ""


def _next_step(comparison: Comparison, metrics: Sequence[Column]) -> list[str]:
    """Of what is undecided, what the fewest seeds would show; that none would, where the test set is too small."""
    open_ = [
        (plan.seeds - plan.n, group.label, metric)
        for metric in metrics
        for group in comparison.groups
        if (cell := comparison.cells.get((group.label, metric.name))) and (plan := cell.plan)
    ]
    if not open_ or comparison.baseline is None:
        return []
    more, label, metric = min(open_, key=lambda one: one[0])
    cell = comparison.cells[label, metric.name]
    assert cell.plan is not None and cell.difference is not None, "it was chosen by its plan"
    if math.isinf(more):
        if all(comparison.cells[label, metric.name].plan.limited for _, label, metric in open_):  # type: ignore[union-attr]
            return ["to show the other differences the test set is too small, with any number of seeds"]
        return []
    seeds = f"about {more:.0f} more seed{'s' * (more > 1)}"
    seen = f"{metric.title} ({number(cell.difference.value, decimals(cell.difference))})"
    return [f"{seeds} would show how {label} differs from {comparison.baseline.label} in {seen}, if it does"]
