"""Numbers, intervals and lists as a reader takes them in, and what is said of runs that are not compared."""

import math
import shlex
from collections import Counter
from collections.abc import Sequence

from ..metrics.columns import Column
from ..names import called
from .measure import Span
from .read import Run
from .statistics import LEVEL

BETTER, WORSE, PERHAPS, SAME, EQUAL = "better", "worse", "perhaps", "no difference shown", "equal"
THIRD = {"be": ("is", "are"), "have": ("has", "have")}
COUNTS = ("no", "one", "two")  # of seeds, where they are too few
DASH, MINUS, TIMES = "—", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


def third(verb: str) -> tuple[str, str]:
    """A verb for one and for several."""
    return THIRD.get(verb, (f"{verb}s", verb))


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
    return decimals_of((span.high - span.low) / 2)


def decimals_of(size: float) -> int:
    """So many that ``size`` shows two significant digits."""
    return min(6, max(0, 1 - math.floor(math.log10(size)))) if 1e-9 < size < math.inf else 4


def mean(metric: Column, span: Span) -> str:
    """ "0.812 ± 0.024"; an interval that is not symmetric: "2.01 [1.86, 2.18]"."""
    return _spread(metric, span, decimals(span))


def difference(metric: Column, span: Span) -> str:
    """ "+0.033 ± 0.011", or "x 0.91 [0.88, 0.94]" for a ratio; with so many decimals that what is printed includes 0 (a
    ratio's 1) if the interval does, and only then."""
    none = 1.0 if metric.exponential else 0.0
    places = next((n for n in range(decimals(span), 9) if _kept(span, none, n)), 9)
    text = _spread(metric, span, places)
    return f"{TIMES}{text}" if metric.exponential else f"+{text}" if span.value > 0 else text


def _kept(span: Span, none: float, places: int) -> bool:
    """Whether the printed interval has ``none`` on the same side of its ends."""
    if math.isnan(span.low):
        return True
    low, high = span.low, span.high
    if _symmetric(span):
        value, half = round(span.value, places), round(max(_halves(span)), places)
        low, high = round(value - half, places), round(value + half, places)
    low, high = round(low, places), round(high, places)
    return (low > none, high < none) == (span.low > none, span.high < none)


def _halves(span: Span) -> tuple[float, float]:
    return span.value - span.low, span.high - span.value


def _symmetric(span: Span) -> bool:
    """Whether "±" can stand for both halves of the interval: they differ by a twentieth at most, and the wider one does
    not put 0 inside."""
    half = max(_halves(span))
    return abs(sum(_halves(span)) - 2 * half) <= 0.05 * half and (abs(span.value) > half) == span.excludes_zero


def _spread(metric: Column, span: Span, places: int) -> str:
    value = number(span.value, places)
    if math.isnan(span.low) or math.isinf(span.value):
        return value
    if metric.exponential or not _symmetric(span):
        return f"{value} [{number(span.low, places)}, {number(span.high, places)}]"
    return f"{value} ± {number(max(_halves(span)), places)}"


def interval(span: Span) -> str:
    """ "0.012 (95 % interval 0.004 to 0.020)"."""
    places = decimals(span)
    if math.isnan(span.low):
        return number(span.value, places)
    return f"{number(span.value, places)} (95 % interval {number(span.low, places)} to {number(span.high, places)})"


def unfinished(runs: Sequence[Run]) -> str:
    """How many runs did not finish, by status, and what finishes them; "" where all did.

    A sweep's command stands in a file that anybody may have written: it is quoted, never recommended.
    """
    counts = Counter(run.status for run in runs if run.status not in ("finished", "duplicate"))
    if not counts:
        return ""
    told = f"{(n := counts.total())} run{'s are' if n > 1 else ' is'} not finished: "
    told += ", ".join(f"{count} {status}" for status, count in counts.items())
    left = [run for run in runs if run.status in ("missing", "interrupted", "killed", "failed")]
    sweeps = {run.command: None for run in left if run.command}
    commands = [f"the command of the sweep again (its sweep.yaml says: {command})" for command in sweeps]
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


def probability(p: float) -> str:
    """ "0.012", "< 0.001"; with as many decimals as keep it on its side of 0.05."""
    if math.isnan(p) or p < 0.001:
        return DASH if math.isnan(p) else "< 0.001"
    places = next((n for n in range(3, 9) if (round(p, n) <= LEVEL) == (p <= LEVEL)), 9)
    return f"{p:.{places}f}" if p < 0.1 or places > 3 else f"{p:.2f}"


def listed(words: Sequence[str], most: int = 8, last: str = "and") -> str:
    """ "a, b and c"; if there are more than ``most``, the rest is counted, unless it is a single one."""
    if len(words) > most + 1:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))
