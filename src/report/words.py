"""Numbers as a reader takes them in, and the verdict in words."""

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..package import called
from .compare import LEAST_SEEDS, Cell, Comparison
from .measure import Span
from .metrics import Metric
from .read import Run

COUNTS = ("no", "one", "two")  # of seeds, where they are too few
DASH, MINUS, TIMES = "—", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Verdict:
    """What is said of one metric: one sentence, and what it stands on. ``won``: a loss beats every other."""

    metric: str
    headline: str
    details: list[str]
    won: bool


def number(value: float, decimals: int = 4) -> str:
    """With a true minus sign; — where there is none."""
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{decimals}f}" if abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("-")


def decimals(span: Span) -> int:
    """So many that the interval shows two significant digits; four where there is no interval."""
    half = (span.high - span.low) / 2
    return min(6, max(0, 1 - math.floor(math.log10(half)))) if 1e-9 < half < math.inf else 4


def mean(metric: Metric, span: Span) -> str:
    """ "0.812 ± 0.024"; an interval that is not symmetric: "2.01 [1.86, 2.18]"."""
    places = decimals(span)
    value = number(span.value, places)
    if math.isnan(span.low) or math.isinf(span.value):
        return value
    apart = {number(end, places) for end in (span.high - span.value, span.value - span.low)}
    if metric.exponential or len(apart) > 1:
        return f"{value} [{number(span.low, places)}, {number(span.high, places)}]"
    return f"{value} ± {number((span.high - span.low) / 2, places)}"


def difference(metric: Metric, span: Span) -> str:
    """ "+0.033 ± 0.011", or "x 0.91 [0.88, 0.94]" for a ratio."""
    text = mean(metric, span)
    return f"{TIMES}{text}" if metric.exponential else f"+{text}" if span.value > 0 else text


def interval(span: Span) -> str:
    """ "0.012 (95 % interval 0.004 to 0.020)"."""
    places = decimals(span)
    if math.isnan(span.low):
        return number(span.value, places)
    return f"{number(span.value, places)} (95 % interval {number(span.low, places)} to {number(span.high, places)})"


def tone(metric: Metric, cell: Cell) -> str:
    """ "better" or "worse" than the baseline where Holm's correction allows it, else ""."""
    if not cell.significant or cell.difference is None:
        return ""
    return "better" if metric.better * cell.difference.value > 0 else "worse"


def verdicts(comparison: Comparison) -> list[Verdict]:
    return [_verdict(comparison, metric) for metric in comparison.judged]


def _verdict(comparison: Comparison, metric: Metric) -> Verdict:
    everyone = comparison.ranked(metric)
    alone = comparison.alone[metric.name]
    ranked = [label for label in everyone if label not in alone] or everyone
    first = f"{ranked[0]}, {mean(metric, comparison.cells[ranked[0], metric.name].mean)}"
    details = _left_out(comparison, metric, ranked)
    if len(everyone) == 1:
        return Verdict(metric.name, f"{first}: nothing to compare it with.", details, False)
    against = _against_baseline(comparison, metric, everyone)
    among = f" among the {len(ranked)} compared" if len(ranked) < len(everyone) else ""
    winner = comparison.best.get(metric.name)
    if winner is not None:
        headline = f"{winner} wins{among}: {mean(metric, comparison.cells[winner, metric.name].mean)}."
        return Verdict(metric.name, headline, [*_win(comparison, metric, winner, ranked), *against, *details], True)
    if len(alone) < len(everyone):
        why = f"No loss beats every other{among}."
    else:
        most = max(comparison.pairs[metric.name, a, b].n for a in everyone for b in everyone if a != b)
        why = f"No verdict: {_too_few(most)}."
    lead = f"{'Highest' if metric.better > 0 else 'Lowest'} mean{' of these' if among else ''}"
    return Verdict(metric.name, f"{why} {lead}: {first}.", [*against, *details], False)


def _too_few(seeds: int) -> str:
    """Why so many common seeds give no verdict."""
    if seeds == 1:
        return "one common seed tells two networks apart, not two losses"
    return f"{COUNTS[seeds]} common seeds are too few" if seeds else "there is no common seed"


def _win(comparison: Comparison, metric: Metric, winner: str, ranked: Sequence[str]) -> list[str]:
    runner_up = next(label for label in ranked if label != winner)
    ahead = comparison.pairs[metric.name, winner, runner_up]
    ahead = ahead if ahead.value > 0 else ahead.negative()
    margin = f"{'higher' if metric.better > 0 else 'lower'} than {runner_up}, the next, by {interval(ahead)}"
    other = "every other" if comparison.ranked(metric) == ranked else "every other that is compared"
    return [margin, f"differs from {other} after Holm's correction over {comparison.pair_comparisons} pairs"]


def _left_out(comparison: Comparison, metric: Metric, compared: Sequence[str]) -> list[str]:
    """Who is not in the verdict, and why."""
    groups = [group for group in comparison.groups if group.label not in compared]
    seeds = {g.label: cell.mean.n for g in groups if (cell := comparison.cells.get((g.label, metric.name)))}
    silent = [group.label for group in groups if group.label not in seeds]
    few = {n: [label for label, own in seeds.items() if own == n] for n in range(1, LEAST_SEEDS)}
    apart = [label for label, n in seeds.items() if n >= LEAST_SEEDS]
    told = (
        *((labels, f"{COUNTS[n]} seed{'s' * (n > 1)} only: not compared for “best”") for n, labels in few.items()),
        (apart, f"fewer than {LEAST_SEEDS} seeds in common with another: not compared for “best”"),
        (silent, f"{'gives' if len(silent) == 1 else 'give'} no probabilities: not judged"),
    )
    return [f"{listed(labels)}{'' if labels is silent else ':'} {why}" for labels, why in told if labels]


def _against_baseline(comparison: Comparison, metric: Metric, ranked: Sequence[str]) -> list[str]:
    """Who is better and who is worse than the baseline, who cannot be told from it, and who is not compared with it."""
    if comparison.baseline is None or comparison.baseline.label not in ranked:
        return []
    name = comparison.baseline.label
    heads = {
        "better": f"better than {name}",
        "worse": f"worse than {name}",
        "": f"no difference to {name} shown",
        "apart": f"not compared with {name}",
    }
    found: dict[str, list[str]] = {key: [] for key in heads}
    for label in ranked:
        if label != name:
            cell = comparison.cells[label, metric.name]
            common = cell.difference.n if cell.difference else 0
            if cell.difference and common >= LEAST_SEEDS:
                found[tone(metric, cell)].append(f"{label} ({difference(metric, cell.difference)})")
            else:
                found["apart"].append(f"{label} ({COUNTS[common]} common seed{'s' * (common > 1)})")
    return [f"{heads[key]}: {listed(labels)}" for key, labels in found.items() if labels]


def unfinished(runs: Sequence[Run]) -> str:
    """How many runs did not finish, by status, and the commands that finish them; "" where all did."""
    counts = Counter(run.status for run in runs if run.status not in ("finished", "duplicate"))
    if not counts:
        return ""
    told = f"{(n := counts.total())} run{'s are' if n > 1 else ' is'} not finished: "
    told += ", ".join(f"{count} {status}" for status, count in counts.items())
    left = [run for run in runs if run.status in ("missing", "interrupted", "killed", "failed")]
    commands = [*{run.command: None for run in left if run.command}]
    single = [shlex.quote(str(run.folder)) for run in left if not run.command and run.status != "missing"]
    if single:
        rest = " for each of the rest" if commands else " for each"
        commands.append(f"{called('train')} resume={single[0] if len(single) == 1 else f'FOLDER{rest}'}")
    retry = " (failed ones with retry_failed=true)" if counts["failed"] else ""
    return f"{told}; to finish: {'; '.join(commands)}{retry}" if commands else told


def for_debugging(runs: Sequence[Run]) -> str:
    """How many runs are for debugging, and what makes them so; "" where there are none."""
    if not runs:
        return ""
    reasons = [f"{why} ({n})" if len(runs) > 1 else why for why, n in Counter(run.debugging for run in runs).items()]
    told = f"{len(runs)} runs are" if len(runs) > 1 else "1 run is"
    return f"{told} for debugging and not compared: {listed(reasons)}"


def listed(words: Sequence[str], most: int = 8) -> str:
    """ "a, b and c"; the rest counted where there are more than ``most``."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))
