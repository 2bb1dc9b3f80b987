"""What each test example says of a metric, from predictions.npz: the metric is the mean of these numbers.

    accuracy        is the guess right            nll     -log p_y             brier   sum_k (p_k - y_k)^2
    overconfidence  max_k p_k - right             nll_ts, brier_ts             the same with p = softmax(log_probs / T)

ECE is no such mean: of it the bins and gaps are kept (calibration.py). For text, examples are windows of consecutive
tokens, since neighbours depend on each other: a window's number is its sum over the mean number of tokens in a window.
"""

import hashlib
import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config.errors import first_line
from ..system.files import DamagedError, opened
from .calibration import BINS, Gaps
from .metrics import BOUNDS

LARGEST = 2**32  # bytes of the arrays
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """``values`` of each metric, (examples,) float32 each; ``gaps`` of each ECE; ``test_set`` names what was tested on:
    the targets' hash."""

    values: dict[str, NDArray[np.float32]]
    gaps: dict[str, Gaps]
    test_set: str


def read_examples(path: Path, temperature: float | None, block: int | None) -> Examples:
    """Read predictions.npz. ``temperature``: of the ..._ts metrics; ``block``: tokens in a window, None for images.

    Raises FileNotFoundError where there is none, DamagedError where it is not what a test writes.
    """
    arrays = read_arrays(path)
    try:
        values = _of_tokens(arrays) if block else _of_images(arrays, temperature)
    except (ValueError, KeyError) as error:
        raise DamagedError(path, f"it has no {error}" if isinstance(error, KeyError) else str(error)) from None
    gaps = {
        f"ece{scaled}": gaps_of(values.pop(f"confidence{scaled}"), values["accuracy"], block or 1)
        for scaled in ("", "_ts")
        if f"confidence{scaled}" in values
    }
    if block:
        values = {name: windows(value, block) for name, value in values.items()}
    digest = hashlib.sha256(arrays["targets"].astype(np.int64).tobytes()).hexdigest()[:8]
    return Examples({name: value.astype(np.float32) for name, value in values.items()}, gaps, digest)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz. Raises FileNotFoundError and DamagedError."""
    with opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if sum(member.file_size for member in archive.infolist()) > LARGEST:
                    raise ValueError(f"it holds more than {LARGEST:,} bytes")
                return {member.removesuffix(".npy"): _array(archive.read(member)) for member in archive.namelist()}
        except Exception as error:  # whatever zipfile, its decompressors and numpy make of strange bytes
            raise DamagedError(path, first_line(error)) from None


def _array(content: bytes) -> NDArray[Any]:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"an array of the shape {shape} in {len(content)} bytes")  # before numpy makes room for it
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _column(arrays: dict[str, NDArray[Any]], name: str, low: float, high: float, like: str = "targets") -> Floats:
    """A number for each example, within bounds. Raises KeyError and ValueError."""
    values = arrays[name]
    if values.dtype.kind not in "fiub" or values.ndim != 1 or len(values) != len(arrays[like]) or not len(values):
        raise ValueError(f"{name} is no list of a number for each example")
    values = values.astype(np.float64)
    if not ((values >= low) & (values <= high)).all():
        raise ValueError(f"{name} has numbers that are not from {low:g} to {high:g}")
    return values


def _table(arrays: dict[str, NDArray[Any]], name: str) -> tuple[Floats, NDArray[np.int64]]:
    """A number for each example and class, and the classes (targets). Raises KeyError and ValueError."""
    values = arrays[name]
    if values.dtype.kind != "f" or values.ndim != 2 or not values.shape[1] or np.isnan(values).any():
        raise ValueError(f"{name} is no table of a number for each example and class")
    targets = _column(arrays, "targets", 0, values.shape[1] - 1, like=name).astype(np.int64)
    return values.astype(np.float64), targets


def _of_images(arrays: dict[str, NDArray[Any]], temperature: float | None) -> dict[str, Floats]:
    if "log_probs" not in arrays:
        scores, targets = _table(arrays, "scores")
        return {"accuracy": (scores.argmax(1) == targets).astype(float)}
    log_probs, targets = _table(arrays, "log_probs")
    if not np.allclose(np.exp(log_probs).sum(1), 1, atol=1e-3):
        raise ValueError("log_probs has rows whose probabilities do not add up to 1")
    values = _scores(log_probs, targets)
    if temperature:
        cooled = log_probs / temperature
        cooled -= cooled.max(1, keepdims=True)
        cooled -= np.log(np.exp(cooled).sum(1, keepdims=True))
        tempered = _scores(cooled, targets)
        values |= {f"{name}_ts": tempered[name] for name in ("nll", "brier", "confidence")}
    return values


def _scores(log_probs: Floats, targets: NDArray[np.int64]) -> dict[str, Floats]:
    p = np.exp(log_probs)
    rows = np.arange(len(targets))
    guess = log_probs.argmax(1)
    right = (guess == targets).astype(float)
    brier = (p**2).sum(1) - 2 * p[rows, targets] + 1
    nll, confidence = -log_probs[rows, targets], p[rows, guess]
    return {
        "accuracy": right,
        "nll": nll,
        "brier": brier,
        "overconfidence": confidence - right,
        "confidence": confidence,
    }


def _of_tokens(arrays: dict[str, NDArray[Any]]) -> dict[str, Floats]:
    _column(arrays, "targets", 0, math.inf)
    right = _column(arrays, "accuracy", 0, 1)
    if "nll" not in arrays:
        return {"accuracy": right}
    values = {
        name: _column(arrays, name, *BOUNDS.get(name, BOUNDS["ece"]))
        for name in ("nll", "brier", "confidence", "nll_ts", "brier_ts", "confidence_ts")
        if name in arrays or not name.endswith("_ts")
    }
    return {"accuracy": right, "overconfidence": values["confidence"] - right, **values}


def gaps_of(confidence: Floats, right: Floats, block: int) -> Gaps:
    """Bins are right-closed, (a, b], as everywhere."""
    inside = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1)
    return Gaps(inside.astype(np.uint8), (right - confidence).astype(np.float32), block)


def windows(values: Floats, block: int) -> Floats:
    """Numbers of windows of ``block`` consecutive tokens, the last one shorter; their mean is the tokens' mean."""
    sums = np.add.reduceat(values, np.arange(0, len(values), block))
    return sums * (len(sums) / len(values))
