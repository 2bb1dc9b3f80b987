"""The answer for an ablation as a whole: which loss to take and why, what is open, and how sure that is."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..metrics.columns import Column
from .claims import counted
from .compare import Comparison
from .groups import stops
from .words import BETTER, EQUAL, WORSE, difference, listed, third

MOST = 4  # names in one clause
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DEPENDS = "it depends"
WORTH = 50  # more seeds than these are no advice; the table of what is not decided has their number
Shown = Mapping[str, Sequence[Column]]  # label -> the metrics in which it wins, or is better, or worse


@dataclass(frozen=True)
class Headline:
    """``answer``: which loss to take, and why. ``rest``: what came of published claims, what holds in other metrics,
    what would show more; "" if there is nothing to say. ``sure``: on how many seeds it stands, how often it errs."""

    answer: str
    rest: str
    sure: str


def headline(comparison: Comparison) -> Headline | None:
    """Of the metrics that have a phrase; None where nothing was compared.

    The loss to take is the one that beats every other. Without such a loss it is one that is better than the baseline
    in some metric and worse in none. Without that the baseline stays. It depends, if one metric speaks for a loss and
    another against it.
    """
    told = [metric for metric in comparison.judged if metric.phrase and len(comparison.ranked(metric)) > 1]
    if not comparison.tested or not told:
        return None
    answer, covered = _answer(comparison, told)
    tails: dict[str, list[str]] = {}
    for metric in told:
        if metric not in covered and not _only_worse(comparison, metric):  # sentences below say who loses in a metric
            tails.setdefault(_standing(comparison, metric), []).append(metric.title)
    clauses = [*_published(comparison), *(f"in {listed(names, MOST)}, {tail}" for tail, names in tails.items())]
    clauses += _next_step(comparison, [metric for metric in told if metric.name not in comparison.best])
    return Headline(_sentence(answer), " ".join(map(_sentence, clauses)), _sure(comparison, told))


def _answer(comparison: Comparison, told: Sequence[Column]) -> tuple[str, Collection[Column]]:
    """What to take, and the metrics about which that says enough."""
    won: dict[str, list[Column]] = {}
    for metric in told:
        if winner := comparison.best.get(metric.name):
            won.setdefault(winner, []).append(metric)
    better, worse = (_shown(comparison, told, word) for word in (BETTER, WORSE))
    if won:
        return _winners(comparison, won, better, worse)
    if better:
        return _ahead(_name(comparison), better, worse)
    name = _name(comparison) if any(_words(comparison, metric) for metric in told) else ""
    if worse:
        which = listed(_titles(worse), MOST, "and" if len(_alike(worse)) == 1 else "or")
        return f"keep {name}: no loss is shown to be better, and {_are(worse)} worse in {which}", _metrics(worse)
    apart = any(metric.name in comparison.told_apart for metric in told)
    nothing = "no loss beats every other" if apart else f"nothing separates the {_losses(comparison)}"
    plain = [metric for metric in told if _standing(comparison, metric).startswith("nothing")]
    if not name:
        return nothing, plain
    return f"keep {name}: {'no loss is shown to be better' if apart else nothing}", [] if apart else plain


def _winners(comparison: Comparison, won: Shown, better: Shown, worse: Shown) -> tuple[str, Collection[Column]]:
    """Who beats every other loss, and in what; what speaks against it."""
    name = _name(comparison)
    against, ahead = _open(comparison, worse), _open(comparison, better) if name in won else {}
    against = {label: metrics for label, metrics in against.items() if label in won}
    covered = [*_metrics(won), *_metrics(against), *_metrics(ahead)]
    if len(won) == 1 and not against and not ahead:
        (label,) = won
        return f"{'keep' if label == name else 'take'} {label}: it {_beats(comparison, label, won[label])}", covered
    clauses = [f"{label} {_beats(comparison, label, metrics)}" for label, metrics in won.items()]
    for word, shown in (("worse", against), ("better", ahead)):
        clauses += [
            f"{_are(labels)} {word} than {name} in {listed(titles)}" for titles, labels in _alike(shown).items()
        ]
    return f"{DEPENDS}: {'; '.join(clauses)}", covered


def _beats(comparison: Comparison, label: str, metrics: Sequence[Column]) -> str:
    """ "is more accurate and has a lower nll than every other loss", or than the one other."""
    said = []
    for metric in metrics:
        assert metric.phrase is not None, "only metrics with a phrase are told"
        verb, more, _ = metric.phrase
        said.append(f"{third(verb)[0]} {more}{' after temperature scaling' * bool(metric.after)}")
    others = [group.label for group in comparison.groups if group.label != label]
    than = others[0] if len(others) == 1 else "every other loss"
    could = any(comparison.alone.get(metric.name) for metric in metrics)
    return f"{listed(said, MOST)} than {than}{' that could be compared' * could}"


def _open(comparison: Comparison, shown: Shown) -> Shown:
    """Without the metrics in which some loss beats every other."""
    left = {label: [m for m in metrics if m.name not in comparison.best] for label, metrics in shown.items()}
    return {label: metrics for label, metrics in left.items() if metrics}


def _ahead(name: str, better: Shown, worse: Shown) -> tuple[str, Collection[Column]]:
    """Who is better than the baseline where nobody beats every other loss; where each of these is worse in something,
    in what."""
    good = {label: metrics for label, metrics in better.items() if label not in worse}
    if not good:
        clauses = [
            f"{label} is better than {name} in {listed(_titles({label: metrics}))}, and worse in"
            f" {listed(_titles({label: worse[label]}))}"
            for label, metrics in better.items()
        ]
        return f"{DEPENDS}: {listed(clauses, MOST)}", [*_metrics(better), *_metrics(worse)]
    groups = _alike(good)
    clauses = [f"{_are(labels)} better than {name} in {listed(titles)}" for titles, labels in groups.items()]
    if len(groups) == 1:
        clauses = [f"better than {name} in {listed(_titles(good))}"]
    return f"take {listed(list(good), MOST, 'or')}: {'; '.join(clauses)}", _metrics(good)


def _name(comparison: Comparison) -> str:
    return comparison.baseline.label if comparison.baseline else ""


def _shown(comparison: Comparison, told: Sequence[Column], word: str) -> Shown:
    """Of whom ``word`` is said, and in which metrics."""
    found: dict[str, list[Column]] = {}
    for metric in told:
        for label, own in _words(comparison, metric).items():
            if own == word:
                found.setdefault(label, []).append(metric)
    return found


def _metrics(shown: Shown) -> list[Column]:
    return [*dict.fromkeys(metric for metrics in shown.values() for metric in metrics)]


def _titles(shown: Shown) -> list[str]:
    return [metric.title for metric in _metrics(shown)]


def _alike(shown: Shown) -> dict[tuple[str, ...], list[str]]:
    """The titles of the same metrics -> the labels of which they are told."""
    found: dict[tuple[str, ...], list[str]] = {}
    for label, metrics in shown.items():
        found.setdefault(tuple(metric.title for metric in metrics), []).append(label)
    return found


def _words(comparison: Comparison, metric: Column) -> dict[str, str]:
    """Label -> what is shown of its difference to the baseline; without those of which nothing was tested."""
    words = {label: comparison.cells[label, metric.name].word(metric) for label in comparison.ranked(metric)}
    return {label: word for label, word in words.items() if word}


def _only_worse(comparison: Comparison, metric: Column) -> bool:
    """Whether losses are shown to be worse than the baseline, and none to be better."""
    words = _words(comparison, metric).values()
    return WORSE in words and BETTER not in words


def _standing(comparison: Comparison, metric: Column) -> str:
    """What is said of a metric of which the answer says nothing."""
    words, name = _words(comparison, metric), _name(comparison)
    better, worse, equal = ([label for label, own in words.items() if own == word] for word in (BETTER, WORSE, EQUAL))
    if better:
        return f"{_are(better)} better than {name}{f', {listed(worse, MOST)} worse' if worse else ''}"
    if words and len(equal) == len(words):
        who = f"all {number_word(len(equal))} others are" if len(equal) > 1 else f"{equal[0]} is"
        return f"{who} equal to {name} within ±{comparison.margins[metric.name]:g}"
    if comparison.is_decided(metric):
        return f"nothing is shown to differ from {name}"
    if metric.name in comparison.told_apart:
        return "no loss beats every other"
    return f"nothing separates the {_losses(comparison, metric)}"


def _losses(comparison: Comparison, metric: Column | None = None) -> str:
    """ "five losses": all, or those that have this metric."""
    return f"{number_word(len(comparison.ranked(metric) if metric else comparison.groups))} losses"


def _are(labels: Collection[str]) -> str:
    """ "a is", "a and b are"; of very many only how many there are."""
    if len(labels) > 2 * MOST:
        return f"{len(labels)} others are"
    return f"{listed(list(labels), MOST)} {'is' if len(labels) == 1 else 'are'}"


def _published(comparison: Comparison) -> list[str]:
    """ "published claims: 13 reproduced, 1 in direction"."""
    return [f"published claims: {counted(comparison.outcomes)}"] if comparison.outcomes else []


def number_word(count: int) -> str:
    """ "five", "12"."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _sure(comparison: Comparison, told: Sequence[Column]) -> str:
    """The seeds, and what the correction makes of them."""
    counts = sorted({len(group.finished) for group in comparison.groups})
    seeds = f"{counts[0]} to {counts[-1]} seeds a loss" if len(counts) > 1 else f"{counts[0]} seeds a loss"
    if any(stops(run) for run in comparison.section.runs):
        decided = comparison.decided
        until = (
            f"{decided.metric} was decided, at most {len(decided.plan.seeds)}" if decided else "one metric was decided"
        )
        return f"{seeds}, trained until {until}."
    won = any(metric.name in comparison.best for metric in told)
    if won or any(_shown(comparison, told, word) for word in (BETTER, WORSE)):
        return f"{seeds}. At most one such report in twenty calls any loss better or worse without cause."
    return f"{seeds}. What is not shown may still be there: this does not say that the losses are equal."


def _next_step(comparison: Comparison, metrics: Sequence[Column]) -> list[str]:
    """Of what is undecided, what the fewest seeds would show; that none would, where the test set is too small."""
    open_ = [
        (math.inf if comparison.is_decided(metric) else plan.seeds - plan.n, group.label, metric, plan.limited)
        for metric in metrics
        for group in comparison.groups
        if (cell := comparison.cells.get((group.label, metric.name))) and (plan := cell.plan)
    ]
    if not open_:
        return []
    more, label, metric, _ = min(open_, key=lambda one: one[0])
    if more > WORTH:
        all_limited = all(limited for *_, limited in open_)
        return ["more seeds would not show the other differences: the test set is too small"] * all_limited
    span, name = comparison.cells[label, metric.name].difference, _name(comparison)
    assert span is not None, "it was chosen by its plan"
    seeds, seen = f"about {more:.0f} more seed{'s' * (more > 1)}", difference(metric, span).partition(" ")[0]
    return [f"{seeds} would show that {label} differs from {name} in {metric.title}, if the {seen} seen is real"]
