"""What each test example says of a metric, from predictions.npz: a metric is the mean of the numbers in its column.

An expected calibration error is no such mean: of it the bins and gaps are kept (calibration.py). Nor is a ratio of two
sums, R = sum e_i / sum n_i: example i says R + (e_i - R n_i) / mean n, as far as the ratio is straight near its value
(the delta method). The mean of these numbers is R. Source: Cochran 1977, Sampling Techniques, section 2.11. For text,
examples are windows of consecutive tokens, since neighbours depend on each other: a window's number is its sum over the
mean number of tokens in a window.
"""

import hashlib
import io
import math
import zipfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config.errors import first_line
from ..metrics.columns import Column, Family
from ..system.files import DamagedError, opened
from .calibration import BINS, Gaps
from .schema import bounds

LARGEST = 2**32  # bytes of the arrays
TARGETS = "targets"
SHARE = Column("share", high=1)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """``values`` of each metric, (examples,) float32 each; ``gaps`` of each ECE; ``test_set`` names what was tested on:
    the targets' hash, and how many of them depend on each other. ``counted``: of each ratio, how many examples add
    anything to its sums; a mean over a part of the examples is as sure as the part is large."""

    values: dict[str, NDArray[np.float32]]
    gaps: dict[str, Gaps]
    test_set: str
    counted: dict[str, int] = field(default_factory=dict)

    def count(self, metric: str) -> int:
        """How many examples say anything of one of ``values``."""
        return self.counted.get(metric, len(self.values[metric]))


def read_examples(path: Path, family: Family, block: int | None) -> Examples:
    """Read predictions.npz. ``block``: consecutive examples that depend on each other; None if none do.

    Raises FileNotFoundError where there is none, DamagedError where it is not what a test writes.
    """
    ratios = {column.name: column.ratio for column in family.columns if column.ratio}
    sources = {column.source or column.name for column in family.columns if not column.gap} - ratios.keys()
    summed = sources.union(*ratios.values())
    calibrated = {column.name: column.gap for column in family.columns if column.gap}
    arrays = read_arrays(path, {TARGETS, *summed, *(name for pair in calibrated.values() for name in pair)})
    try:
        test_set, count = _named(arrays[TARGETS])
        columns = {name: _column(arrays, name, count, *_ends(family, name)) for name in summed & arrays.keys()}
        wanted = {name for pair in calibrated.values() for name in pair}
        shares = {name: _column(arrays, name, count, *bounds(SHARE)) for name in wanted & arrays.keys()}
        gaps = {
            name: gaps_of(shares[confidence], shares[right], block or 1)
            for name, (confidence, right) in calibrated.items()
            if {confidence, right} <= shares.keys()
        }
    except (ValueError, KeyError) as error:
        raise DamagedError(path, f"it has no {error}" if isinstance(error, KeyError) else str(error)) from None
    if block:
        columns = {name: windows(column, block) for name, column in columns.items()}
    known = {name: (columns[a], columns[b]) for name, (a, b) in ratios.items() if {a, b} <= columns.keys()}
    values = {name: columns[name] for name in sources & columns.keys()}
    values |= {name: straightened(above, below) for name, (above, below) in known.items() if below.any()}
    single = {name: value.astype(np.float32) for name, value in values.items()}
    counted = {name: int(np.count_nonzero((above != 0) | (below != 0))) for name, (above, below) in known.items()}
    return Examples(single, gaps, f"{test_set}/{block or 1}", counted)


def read_arrays(path: Path, wanted: Collection[str]) -> dict[str, NDArray[Any]]:
    """Those of the ``wanted`` arrays that an .npz has. Raises FileNotFoundError and DamagedError."""
    with opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = [member for member in archive.infolist() if member.filename.removesuffix(".npy") in wanted]
                if sum(member.file_size for member in members) > LARGEST:
                    raise ValueError(f"it holds more than {LARGEST:,} bytes")
                return {member.filename.removesuffix(".npy"): _array(archive.read(member)) for member in members}
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


def _named(targets: NDArray[Any]) -> tuple[str, int]:
    """A name of the targets' values, whatever type they are stored in, and how many there are. Raises ValueError."""
    if targets.dtype.kind not in "fiub" or not targets.ndim or not len(targets):
        raise ValueError(f"{TARGETS} is no list of numbers")
    exact = np.ascontiguousarray(targets, np.float64 if targets.dtype.kind == "f" else np.int64)
    return hashlib.sha256(repr(exact.shape).encode() + exact.tobytes()).hexdigest()[:8], len(targets)


def _ends(family: Family, name: str) -> tuple[float, float]:
    """Between what a column's numbers must be. One that a ratio divides by is never negative."""
    low, high = bounds(family.column(name))
    divides = any(column.ratio and column.ratio[1] == name for column in family.columns)
    return (max(low, 0.0), high) if divides else (low, high)


def _column(arrays: dict[str, NDArray[Any]], name: str, count: int, low: float, high: float) -> Floats:
    """A number for each example, within bounds. Raises KeyError and ValueError."""
    values = arrays[name]
    if values.dtype.kind not in "fiub" or values.shape != (count,):
        raise ValueError(f"{name} is no list of a number for each example")
    values = values.astype(np.float64)
    if not ((values >= low) & (values <= high)).all():
        raise ValueError(f"{name} has numbers that are not from {low:g} to {high:g}")
    return values


def gaps_of(confidence: Floats, right: Floats, block: int) -> Gaps:
    """Bins are right-closed, (a, b], as everywhere."""
    inside = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1)
    return Gaps(inside.astype(np.uint8), (right - confidence).astype(np.float32), block)


def straightened(above: Floats, below: Floats) -> Floats:
    """What each example says of the ratio of the sums of ``above`` and ``below``, (N,) each; not all below may be 0."""
    with np.errstate(invalid="ignore", over="ignore"):  # a file may hold infinities: then they are no numbers
        ratio = above.sum() / below.sum()
        return ratio + (above - ratio * below) / below.mean()


def windows(values: Floats, block: int) -> Floats:
    """Numbers of windows of ``block`` consecutive tokens, the last one shorter; their mean is the tokens' mean."""
    sums = np.add.reduceat(values, np.arange(0, len(values), block))
    return sums * (len(sums) / len(values))
