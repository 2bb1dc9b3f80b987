"""The metrics from their definitions, example by example and bin by bin, in NumPy's float64."""

import itertools
import math
from fractions import Fraction

import numpy as np
from torch import Tensor

BINS = [(b / 15, (b + 1) / 15) for b in range(15)]


def probabilities(log_probs: Tensor) -> np.ndarray:
    """torch's own exponentials: NumPy's differ in the last digit, which can put a probability on an edge elsewhere."""
    return log_probs.double().exp().numpy()


def calibration_gaps(p: list[float], y: list[float]) -> list[tuple[int, float]]:
    """(examples, mean of y - mean of p) of each bin that holds any."""
    gaps = []
    for b, (low, high) in enumerate(BINS):
        inside = [i for i, v in enumerate(p) if low < v <= high or (b == 0 and v == 0) or (b == 14 and v > high)]
        if inside:
            gaps.append((len(inside), math.fsum(y[i] - p[i] for i in inside) / len(inside)))
    return gaps


def expected_error(p: list[float], y: list[float]) -> float:
    return math.fsum(n * abs(gap) for n, gap in calibration_gaps(p, y)) / len(p)


def by_definition(losses: Tensor, log_probs: Tensor, targets: Tensor) -> dict[str, float]:
    """Targets are classes."""
    log_p, y, p = log_probs.numpy(), targets.tolist(), probabilities(log_probs)
    n, k = p.shape
    guess = [max(range(k), key=lambda j: row[j]) for row in log_p]
    right = [float(g == t) for g, t in zip(guess, y, strict=True)]
    top = [float(p[i, g]) for i, g in enumerate(guess)]
    nll = math.fsum(-float(row[t]) for row, t in zip(log_p, y, strict=True)) / n
    brier = math.fsum((float(p[i, j]) - (j == y[i])) ** 2 for i in range(n) for j in range(k)) / n
    accuracy, confidence = sum(right) / n, math.fsum(top) / n
    by_class = [expected_error([float(v) for v in p[:, j]], [float(t == j) for t in y]) for j in range(k)]
    return {
        "loss": math.fsum(map(float, losses)) / n,
        "accuracy": accuracy,
        "nll": nll,
        "perplexity": math.exp(nll) if nll < 700 else math.inf,
        "bits": nll / math.log(2),
        "brier": brier,
        "confidence": confidence,
        "overconfidence": confidence - accuracy,
        "ece": expected_error(top, right),
        "mce": max(abs(gap) for _, gap in calibration_gaps(top, right)),
        "classwise_ece": math.fsum(by_class) / k,
    }


def tie_averaged(confidence: list[float], right: list[bool]) -> dict[float, Fraction]:
    """The mean of right among all examples of each confidence, exactly."""
    values = {}
    for value in confidence:
        same = [r for c, r in zip(confidence, right, strict=True) if c == value]
        values[value] = Fraction(sum(same), len(same))
    return values


def adaptive_error(confidence: list[float], right: list[bool]) -> float:
    """15 groups in order of confidence, the first N mod 15 of them one larger."""
    means = tie_averaged(confidence, right)
    order = sorted(confidence)
    sizes = [len(order) // 15 + (b < len(order) % 15) for b in range(15)]
    ends = list(itertools.accumulate(sizes))
    total = 0.0
    for size, end in zip(sizes, ends, strict=True):
        total += abs(math.fsum(float(means[c]) - c for c in order[end - size : end]))
    return total / len(order)


def roc_area(confidence: list[float], right: list[bool]) -> float | None:
    """All pairs of a right and a wrong example."""
    pairs = [
        (a, b)
        for a, r in zip(confidence, right, strict=True)
        if r
        for b, s in zip(confidence, right, strict=True)
        if not s
    ]
    return sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs) if pairs else None


def risk_coverage_area(confidence: list[float], right: list[bool]) -> float:
    """The mean over every order of the tied examples."""
    n = len(confidence)
    areas = []
    for order in itertools.permutations(range(n)):
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order)):
            wrong = [not right[i] for i in order]
            areas.append(sum(Fraction(sum(wrong[:i]), i) for i in range(1, n + 1)) / n)
    return float(sum(areas) / len(areas))
