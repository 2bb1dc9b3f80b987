"""How a report is to be read: what its intervals, words and signs mean, in sentences."""

from collections.abc import Iterable, Sequence

from ..metrics.columns import Column
from .compare import Comparison
from .floors import floors
from .looks import Decided
from .statistics import LEVEL
from .words import listed


def rule(comparison: Comparison) -> str:
    """How intervals and words go together: said once for a comparison."""
    text = "Each 95 % interval is of one number by itself, over training seeds and test examples."
    if of_seeds := [metric.name for metric in comparison.of_seeds]:
        text += f" That of {listed(of_seeds)} is over seeds only."
    if gaps := [metric.name for metric in comparison.metrics if metric.gap and not metric.after]:
        text += f" {listed(gaps)} is corrected for chance, and at least 0; that of TensorBoard is not."
    if comparison.decided is not None:
        text += f" {_by_looks(comparison.decided)}"
    if comparison.baseline is None or not comparison.comparisons:
        return text
    name, tests = comparison.baseline.label, comparison.comparisons
    others = " in the other metrics" if comparison.decided else ""
    names = [metric.name for metric in comparison.corrected]
    corrected = f"Holm's correction over the {tests} comparisons with {name} ({listed(names)})"
    if margins := [f"{name} ±{margin:g}" for name, margin in comparison.margins.items() if name in names]:
        text += (
            f" “equal”{others}: two one-sided tests show that the difference is within its margin ({listed(margins)}),"
            " at 5 % after Holm's correction over all such tests."
        )
    if tests == 1:
        return f"{text} “better” and “worse” than {name}{others}: it excludes 0."
    return (
        f"{text} “better” and “worse”{others}: the difference to {name} is significant at 5 % after {corrected}."
        " “perhaps”: the interval excludes 0, but not after the correction: among so many comparisons one such interval"
        " may come by chance."
    )


def _by_looks(decided: Decided) -> str:
    """What intervals, p-values and words are in the metric that said when the seeds were enough."""
    name, baseline, count = decided.metric, decided.plan.baseline, len(decided.plan.labels)
    equal = ", “equal” exactly if it lies within the margin" if decided.plan.margin is not None else ""
    return (
        f"The difference of a loss in {name} is that of its last look. Its p-value and its interval allow for all looks"
        f" and for the {count} comparison{'s' * (count > 1)} with {baseline}: “better” or “worse” is said exactly if"
        f" the interval excludes 0{equal}. In {name} a false word is said in at most 5 % of ablations."
    )


def signs(comparison: Comparison) -> str:
    """What stands in the heads of the tables."""
    scaled = "; _ts: after temperature scaling" if any(metric.after for metric in comparison.metrics) else ""
    free = f" Floors ({listed(names)}) cost nothing, and are not tested." if (names := list(floors(comparison))) else ""
    best = " Bold: the best mean, which may be so by chance."
    return f"↑ higher is better, ↓ lower is better{scaled}.{best}{free}"


def decided_by(comparison: Comparison) -> str:
    """How the table of what is not decided is to be read."""
    plans = {name: cell.plan for (_, name), cell in comparison.cells.items() if cell.plan}
    if not plans:
        return ""
    decided = comparison.decided.metric if comparison.decided else ""
    steps = []
    if plan := next((plan for name, plan in plans.items() if name != decided), None):
        left = round(LEVEL / plan.alpha)
        steps += [f"the next step of Holm's correction, p at most 0.05 / {left}" if left > 1 else "p at most 0.05"]
    if decided in plans:
        steps += [f"for {decided} the boundary of the last look, p at most {plans[decided].alpha:.2g}"]
    return (
        "Shown from: the smallest difference that these seeds and test examples show in four of five such ablations,"
        f" at {'; '.join(steps)}. Seeds: how many in all would show the difference that was seen in four of five, if it"
        " is real. The range is that of what is known of the variance between seeds: 9 of 10 such ranges hold the"
        " number. A command is made of the words in the runs' files, and not checked: read it before you give it."
    )


def how_sure(metrics: Sequence[Column]) -> str:
    """What is special to the intervals of some of a report's metrics."""
    told = []
    if shares := _names(metric for metric in metrics if metric.share):
        told.append(f"The interval of {shares}, a share, is Wilson's with the same variance.")
    if gaps := _names(metric for metric in metrics if metric.gap):
        told.append(
            f"A calibration error ({gaps}) is corrected for chance, which makes that of a sample (result.json,"
            " TensorBoard) positive even if a network is calibrated; its interval begins at 0 where nothing but chance"
            " is seen."
        )
    if roots := _names(metric for metric in metrics if metric.root):
        told.append(f"The root in {roots} is taken as straight near its value (the delta method).")
    for metric in dict.fromkeys(metric for metric in metrics if metric.ratio):
        above, below = metric.ratio or ("", "")
        told.append(
            f"{metric.name} is the sum of {above} over the test examples divided by the sum of {below}; its interval"
            " takes this ratio as straight near its value (the delta method)."
        )
    for metric in dict.fromkeys(metric for metric in metrics if metric.exponential):
        told.append(f"{metric.name} is e to the mean {metric.source} over seeds, and its difference a ratio.")
    if any(metric.after for metric in metrics):
        told.append("… _ts: after temperature scaling on the validation split.")
    return " ".join(told)


def _names(metrics: Iterable[Column]) -> str:
    return listed(list(dict.fromkeys(metric.name for metric in metrics)))
