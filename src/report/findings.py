"""What a report says first: the answer in sentences, made from the corrected tests, the same on page and terminal."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..metrics.columns import Column
from .compare import Cell, Comparison
from .looks import statement
from .measure import Span
from .power import LEAST_SEEDS
from .read import Run
from .remarks import MOST, below_floors, remarks
from .words import BETTER, EQUAL, PERHAPS, SAME, WORSE, decimals, difference, interval, listed, mean, number, third

NOBODY = "No loss"
TOLD = {BETTER, WORSE, SAME}


@dataclass(frozen=True)
class Finding:
    """A sentence.

    ``metric``: what it is about, "" if it is about no single one. ``shown``: it says a difference that the corrected
    tests show. ``remark``: it is no answer, but says what was not compared; it belongs below the answers.
    """

    text: str
    metric: str = ""
    shown: bool = False
    remark: bool = False


def findings(comparison: Comparison, lost: Sequence[Run] = ()) -> list[Finding]:
    """First the answers, what is no better than a floor among them, then the remarks. ``lost``: the section's runs that
    are not compared.

    A difference to the baseline is told with its single 95 % interval and by the words of compare.py; that one loss
    beats every other by Holm's correction over all pairs.
    """
    decided = comparison.decided
    answers = [*_answers(comparison), *(Finding(statement(one)) for one in [decided] if one)]
    answers += map(Finding, below_floors(comparison))
    return [*answers, *(Finding(text, remark=True) for text in remarks(comparison, lost))]


def _answers(comparison: Comparison) -> list[Finding]:
    labels = [group.label for group in comparison.groups]
    if len(labels) < 2:
        return [Finding(_alone(comparison))]
    if not comparison.tested:
        return [Finding(_no_verdict(comparison, labels))]
    told = [metric for metric in comparison.judged if metric.phrase]
    if not any(_tested(comparison, metric) for metric in told):
        return _among_all(comparison, told)
    if all(set(_tested(comparison, metric).values()) <= {SAME} for metric in told):
        return [_no_difference(comparison, [metric for metric in told if _tested(comparison, metric)])]
    return _each(comparison, told)


def _no_difference(comparison: Comparison, told: Sequence[Column]) -> Finding:
    """One sentence where nothing is seen in any metric."""
    losses = {label for metric in told for label in _tested(comparison, metric)}
    ranges = [f"{m.title}{_range(comparison, m, list(_tested(comparison, m)))}" for m in told]
    return Finding(
        f"{_nobody(losses)} shown to differ from {_baseline(comparison)} in {listed(ranges, last='or')}.", told[0].name
    )


def _each(comparison: Comparison, told: Sequence[Column]) -> list[Finding]:
    """One for each metric; one for both where all is the same after temperature scaling."""
    found: dict[str, Finding] = {}
    for metric in told:
        words, before = _tested(comparison, metric), next((m for m in told if m.name == metric.after), None)
        if not words:
            continue
        told_before = before is not None and before.name in found and not _best(comparison, before)
        if before and told_before and _holds(_tested(comparison, before), words):
            text = f"{found[before.name].text[:-1]}, also after temperature scaling"
            text += f" ({_effects(comparison, metric, list(_shown(words)))})"
            name = before.name
        else:
            text, name = _differences(comparison, metric, words), metric.name
            if metric.after:
                own = (
                    text[0].lower() if text.startswith((NOBODY, PERHAPS.title())) else text[0]
                )  # a name stays as it is
                text = f"After temperature scaling, {own}{text[1:]}"
        found[name] = Finding(f"{text}{_best(comparison, metric)}.", name, bool(_shown(words)))
    return list(found.values())


def _baseline(comparison: Comparison) -> str:
    assert comparison.baseline is not None, "a word is of a difference to it"
    return comparison.baseline.label


def _nobody(losses: Collection[str]) -> str:
    return f"{next(iter(losses))} is not" if len(losses) == 1 else f"{NOBODY} is"


def _tested(comparison: Comparison, metric: Column) -> dict[str, str]:
    """Label -> the word for its difference to the baseline, the largest difference first."""
    cells = {label: cell for label in comparison.ranked(metric) if (cell := comparison.cells[label, metric.name])}
    known = {label: (word, cell) for label, cell in cells.items() if (word := cell.word(metric))}
    order = sorted(known, key=lambda label: -abs(_difference(known[label][1]).value))
    return {label: known[label][0] for label in order}


def _difference(cell: Cell) -> Span:
    assert cell.difference is not None, "a word is of a difference"
    return cell.difference


def _shown(words: dict[str, str]) -> dict[str, str]:
    return {label: word for label, word in words.items() if word in (BETTER, WORSE)}


def _holds(before: dict[str, str], after: dict[str, str]) -> bool:
    """Whether "also after temperature scaling" says it all: the same losses, all of them better or all worse."""
    shown = _shown(before)
    return shown == _shown(after) and len({*shown.values()}) == 1 and {*before.values(), *after.values()} <= TOLD


def _differences(comparison: Comparison, metric: Column, words: dict[str, str]) -> str:
    """Who is better than the baseline, who is worse, who perhaps; the range of the intervals where nobody is."""
    assert metric.phrase is not None, "only metrics with a phrase are told"
    name, (verb, more, less) = _baseline(comparison), metric.phrase
    if set(words.values()) == {SAME}:
        told = _range(comparison, metric, list(words))
        return f"{_nobody(words)} shown to differ from {name} in {metric.after or metric.name}{told}"
    of = {word: [label for label, own in words.items() if own == word] for word in words.values()}
    clauses = [] if BETTER in of or len(words) == 1 else [f"{NOBODY} is shown to {verb} {more} than {name}"]
    for word, what in ((BETTER, more), (WORSE, less), (f"{PERHAPS} {BETTER}", more), (f"{PERHAPS} {WORSE}", less)):
        if word in of:
            effects = f"({_effects(comparison, metric, of[word])})"
            than = "" if clauses else f" than {name}"
            if word.startswith(PERHAPS):
                head = f"{PERHAPS} {what}" if clauses else f"{PERHAPS.title()} {what} than {name}"
                clauses.append(f"{head}: {listed(of[word], MOST)} {effects}")
            else:
                clauses.append(f"{listed(of[word], MOST)} {third(verb)[len(of[word]) > 1]} {what}{than} {effects}")
    if EQUAL in of:
        effects = f"within ±{comparison.margins[metric.name]:g} ({_effects(comparison, metric, of[EQUAL])})"
        are = "is" if len(of[EQUAL]) == 1 else "are"
        clauses.append(f"{listed(of[EQUAL], MOST)} {are} equal to {name} in {metric.title} {effects}")
    return "; ".join(clauses)


def _effects(comparison: Comparison, metric: Column, labels: list[str]) -> str:
    """ "ece differs by -0.085 ± 0.005 to -0.015 ± 0.004"."""
    effects = [difference(metric, _difference(comparison.cells[label, metric.name])) for label in labels]
    if len(effects) > 2:
        return f"{metric.name} differs by {effects[0]} to {effects[-1]}"
    return f"{metric.name} {listed(effects)}"


def _range(comparison: Comparison, metric: Column, labels: Sequence[str]) -> str:
    """Between what all intervals lie; "" if there are none."""
    spans = [_difference(comparison.cells[label, metric.name]) for label in labels]
    ends = [end for span in spans for end in (span.low, span.high) if math.isfinite(end)]
    if not ends:
        return ""
    whole = Span(0.0, min(ends), max(ends), 0, 1.0)
    low, high = (number(end, decimals(whole)) for end in (whole.low, whole.high))
    return f" ({'all intervals' if len(spans) > 1 else 'the interval'} from {low} to +{high})"


def _best(comparison: Comparison, metric: Column) -> str:
    """That one loss beats every other; where there are two, the difference to the baseline has said it."""
    alone, winner = comparison.alone.get(metric.name, []), comparison.best.get(metric.name)
    if winner is None or len(comparison.ranked(metric)) - len(alone) < 3:
        return ""
    return f"; {winner} beats every other loss{' that could be compared' if alone else ''}, pair by pair"


def _among_all(comparison: Comparison, told: Sequence[Column]) -> list[Finding]:
    """Without a baseline that can be compared with: who beats every other."""
    found = []
    for metric in told:
        winner = comparison.best.get(metric.name)
        if winner is not None:
            rivals = [
                label for label in comparison.ranked(metric) if label not in (winner, *comparison.alone[metric.name])
            ]
            ahead = comparison.pairs[metric.name, winner, rivals[0]]
            ahead = ahead if ahead.value > 0 else ahead.negative()
            more = "higher" if metric.better > 0 else "lower"
            text = f"{winner} beats every other loss in {metric.title}: {more} than {rivals[0]}, the next, by"
            found.append(Finding(f"{text} {interval(ahead)}.", metric.name, True))
    rest = [metric.title for metric in told if metric.name not in comparison.best]
    if rest:
        found.append(Finding(f"No loss is shown to beat every other in {listed(rest, last='or')}."))
    return found


def _alone(comparison: Comparison) -> str:
    if not comparison.groups:
        return "No run is finished."
    label = comparison.groups[0].label
    known = [m for m in comparison.judged if (label, m.name) in comparison.cells and m.phrase]
    means = [f"{m.title} {mean(m, comparison.cells[label, m.name].mean)}" for m in known]
    return f"Only {label} is finished, and there is nothing to compare it with ({', '.join(means)})."


def _no_verdict(comparison: Comparison, labels: Sequence[str]) -> str:
    most = max((span.n for span in comparison.pairs.values()), default=0)
    if most >= LEAST_SEEDS:
        return "No verdict: of no two losses the metrics could be compared."
    why = (
        "the losses have no seed in common",
        "one seed in common tells two networks apart, not two losses",
        "two seeds in common are too few",
    )[most]
    return f"No verdict on these {len(labels)} losses: {why}. At least {LEAST_SEEDS} are needed."
