"""Argument checks that every constructor shares: one wording, and the argument's name first."""

from collections.abc import Sequence
from numbers import Real
from typing import Any


def number(
    name: str, value: Any, *, low: float | None = None, high: float | None = None, above: float | None = None
) -> float:
    """Return ``value`` as a float if it is a finite number with low <= value <= high and value > above.

    Raises ValueError, worded "gamma must be a number >= 0, got 'abc'".
    """
    bounds = [f"{sign} {bound:g}" for sign, bound in ((">", above), (">=", low), ("<=", high)) if bound is not None]
    valid = isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) != float("inf")
    if valid:
        valid = (
            value == value
            and (above is None or value > above)
            and (low is None or value >= low)
            and (high is None or value <= high)
        )
    if not valid:
        raise ValueError(f"{name} must be a number{' ' if bounds else ''}{' and '.join(bounds)}, got {value!r}")
    return float(value)


def integer(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """Return ``value`` if it is an integer with low <= value <= high; ValueError otherwise."""
    bounds = [f"{sign} {bound}" for sign, bound in ((">=", low), ("<=", high)) if bound is not None]
    valid = isinstance(value, int) and not isinstance(value, bool)
    if not valid or (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"{name} must be an integer{' ' if bounds else ''}{' and '.join(bounds)}, got {value!r}")
    return int(value)


def choice(name: str, value: Any, options: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``options``; ValueError otherwise."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {value!r}")
    return str(value)
