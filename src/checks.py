"""Argument checks that every constructor shares: one wording, and the argument's name first."""

from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

LARGEST = 2**63 - 1  # of tensors' sizes, steps and counts


def number(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return ``value`` as a float if it is a finite number with low <= value <= high and above < value < below.

    Raises ValueError, worded "gamma must be a number >= 0, got 'abc'".
    """
    limits = ((">", above), (">=", low), ("<", below), ("<=", high))
    bounds = [f"{sign} {bound:g}" for sign, bound in limits if bound is not None]
    valid = isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) != float("inf")
    if valid:
        valid = (
            value == value
            and (above is None or value > above)
            and (low is None or value >= low)
            and (high is None or value <= high)
            and (below is None or value < below)
        )
    if not valid:
        raise ValueError(f"{name} must be a number{' ' if bounds else ''}{' and '.join(bounds)}, got {value!r}")
    return float(value)


def integer(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """Return ``value`` if it is an integer of 64 bits with low <= value <= high; ValueError otherwise."""
    if isinstance(value, int) and value > LARGEST:
        high = high or LARGEST
    bounds = [f"{sign} {bound}" for sign, bound in ((">=", low), ("<=", high)) if bound is not None]
    valid = isinstance(value, int) and not isinstance(value, bool)
    if not valid or (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name} must be an integer{' ' if bounds else ''}{' and '.join(bounds)}, got {value!r}")
    return int(value)


def path(name: str, value: Any) -> Path:
    """Return ``value`` as a path, its ~ the home folder; ValueError if it is no text, or no file can have that name."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{name} must be a path (in quotes if it could be a number), got {value!r}")
    try:
        value.encode()
        found = Path(value).expanduser()
        found.exists()
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be a path in UTF-8, got {value!r}") from None
    except RuntimeError:
        raise ValueError(f"{name} names a home folder that is not known, got {value!r}") from None
    except OSError as error:
        raise ValueError(f"{name} cannot be looked at ({error.strerror}), got {value!r}") from None
    return found


def choice(name: str, value: Any, options: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``options``; ValueError otherwise."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {value!r}")
    return str(value)


def counts(name: str, value: Any, *, low: int) -> list[int]:
    """Return ``value`` as a list if it is a sequence of integers >= low, some above 0; ValueError otherwise."""
    valid = isinstance(value, Sequence) and all(isinstance(n, Integral) and not isinstance(n, bool) for n in value)
    if not valid or min(value, default=0) < low or max(value, default=0) <= 0:
        raise ValueError(f"{name} must be a list of integers >= {low}, some above 0, got {value!r}")
    return [int(n) for n in value]


def positives(name: str, value: Any, *, length: int) -> list[float]:
    """Return ``value`` as a list if it is a sequence of ``length`` numbers > 0; ValueError otherwise."""
    try:
        if isinstance(value, Sequence) and len(value) == length:
            return [number(name, v, above=0) for v in value]
    except ValueError:
        pass  # a member is no such number: tell the whole list
    raise ValueError(f"{name} must be a list of {length} numbers > 0, got {value!r}")
