"""How a report is to be read: what its intervals, words and signs mean, in sentences."""

from collections.abc import Iterable, Sequence

from ..metrics.columns import Column
from .compare import Comparison
from .floors import floors
from .words import listed


def rule(comparison: Comparison) -> str:
    """How intervals and words go together: said once for a comparison."""
    text = "Each 95 % interval is of one number by itself, over training seeds and test examples."
    if of_seeds := [metric.name for metric in comparison.of_seeds]:
        text += f" That of {listed(of_seeds)} is over seeds only."
    if gaps := [metric.name for metric in comparison.metrics if metric.gap and not metric.after]:
        text += f" {listed(gaps)} is corrected for chance, and at least 0; that of TensorBoard is not."
    if comparison.baseline is None or not comparison.comparisons:
        return text
    name, tests = comparison.baseline.label, comparison.comparisons
    judged = listed([metric.name for metric in comparison.judged])
    corrected = f"Holm's correction over the {tests} comparisons with {name} ({judged})"
    if tests == 1:
        return f"{text} “better” and “worse” than {name}: it excludes 0."
    return (
        f"{text} “better” and “worse”: the difference to {name} is significant at 5 % after {corrected}."
        " “perhaps”: the interval excludes 0, but not after the correction: among so many comparisons one such interval"
        " may come by chance."
    )


def signs(comparison: Comparison) -> str:
    """What stands in the heads of the tables."""
    scaled = "; _ts: after temperature scaling" if any(metric.after for metric in comparison.metrics) else ""
    free = f" Floors ({listed(names)}) cost nothing, and are not tested." if (names := list(floors(comparison))) else ""
    return f"↑ higher is better, ↓ lower is better{scaled}.{free}"


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
