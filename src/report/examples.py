"""What each test example says of a metric, from predictions.npz: the metric is the mean of these numbers.

    accuracy        is the guess right            nll     -log p_y             brier   sum_k (p_k - y_k)^2
    overconfidence  max_k p_k - right             nll_ts, brier_ts, ece_ts     the same with p = softmax(log_probs / T)
    ece             sign_b (max_k p_k - right), sign_b the sign of the sum of (max_k p_k - right) over the example's bin

ECE = sum_b |sum over bin b of (confidence - right)| / N is no mean of given numbers, but it is the mean of these, once
the bins' signs are known. They are its derivatives by the examples' weights, so that the spread of their mean is the
infinitesimal jackknife of ECE (Efron 1982); in a bin whose gap is 0 the sign is chance, the spread too wide.
For text, examples are windows of consecutive tokens, since neighbours depend on each other: a window's number is its
sum over the mean number of tokens in a window.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BINS = 15
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """``values`` of each metric, (examples,) float32 each; ``test_set`` names what was tested on: the targets' hash."""

    values: dict[str, NDArray[np.float32]]
    test_set: str


def read_examples(path: Path, temperature: float | None, block: int | None) -> Examples:
    """Read predictions.npz. ``temperature``: of the ..._ts metrics; ``block``: tokens in a window, None for images.

    Raises OSError, ValueError or KeyError where the file is missing or damaged.
    """
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    targets = arrays["targets"]
    values = _of_tokens(arrays) if block else _of_images(arrays, temperature)
    if block:
        values = {name: windows(value, block) for name, value in values.items()}
    digest = hashlib.sha256(targets.astype(np.int64).tobytes()).hexdigest()[:8]
    return Examples({name: value.astype(np.float32) for name, value in values.items()}, digest)


def _of_images(arrays: dict[str, NDArray], temperature: float | None) -> dict[str, Floats]:  # type: ignore[type-arg]
    targets = arrays["targets"]
    if "log_probs" not in arrays:
        return {"accuracy": (arrays["scores"].argmax(1) == targets).astype(float)}
    log_probs = arrays["log_probs"].astype(np.float64)
    values = _scores(log_probs, targets)
    if temperature:
        cooled = log_probs / temperature
        cooled -= cooled.max(1, keepdims=True)
        cooled -= np.log(np.exp(cooled).sum(1, keepdims=True))
        tempered = _scores(cooled, targets)
        values |= {f"{name}_ts": tempered[name] for name in ("nll", "brier", "ece")}
    return values


def _scores(log_probs: Floats, targets: NDArray[np.int64]) -> dict[str, Floats]:
    p = np.exp(log_probs)
    rows = np.arange(len(targets))
    guess = log_probs.argmax(1)
    right = (guess == targets).astype(float)
    brier = (p**2).sum(1) - 2 * p[rows, targets] + 1
    return _calibrated(right, -log_probs[rows, targets], brier, p[rows, guess])


def _of_tokens(arrays: dict[str, NDArray]) -> dict[str, Floats]:  # type: ignore[type-arg]
    right = arrays["correct"].astype(float)
    if "nll" not in arrays:
        return {"accuracy": right}
    nll, brier, confidence = (arrays[name].astype(np.float64) for name in ("nll", "brier", "confidence"))
    return _calibrated(right, nll, brier, confidence)


def _calibrated(right: Floats, nll: Floats, brier: Floats, confidence: Floats) -> dict[str, Floats]:
    gap = confidence - right
    inside = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)  # right-closed: (a, b]
    sign = np.sign(np.bincount(inside, gap, BINS))
    return {"accuracy": right, "nll": nll, "brier": brier, "overconfidence": gap, "ece": sign[inside] * gap}


def windows(values: Floats, block: int) -> Floats:
    """Numbers of windows of ``block`` consecutive tokens, the last one shorter; their mean is the tokens' mean."""
    sums = np.add.reduceat(values, np.arange(0, len(values), block))
    return sums * (len(sums) / len(values))
