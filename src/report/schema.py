"""What a run's files must hold, so that whoever reads a ``Run`` may rely on it.

A rule is a function (value, place) that raises ValueError, in words that name the place, where the value is not what it
should be. Files come from anywhere: damaged, hand-written, or made to do harm.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..metrics.claims import claims_of
from ..metrics.columns import BINNED, Column, Family, family_of
from .calibration import BINS

ROUNDING = 1e-6  # by which float32 numbers may miss their bounds, relative to bounds beyond 1
LARGEST = 2**63  # of integers: beyond it they are no seed, size or count, and not every number type holds them
Rule = Callable[[Any, str], None]


def shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:40]}…"


def wrong(place: str, expected: str, value: Any) -> ValueError:
    return ValueError(f"{place} should be {expected}, not {shown(value)}")


def text(value: Any, place: str) -> None:
    if not isinstance(value, str) or not value:
        raise wrong(place, "a text", value)


def words(value: Any, place: str) -> None:
    if not isinstance(value, str):
        raise wrong(place, "a text", value)


def whole(low: int) -> Rule:
    def rule(value: Any, place: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= LARGEST:
            raise wrong(place, f"a whole number from {low}", value)

    return rule


def number(low: float, high: float) -> Rule:
    """A number from ``low`` to ``high``, or one that is none (NaN)."""

    def rule(value: Any, place: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(place, "a number", value)
        if (abs(value) > LARGEST and isinstance(value, int)) or not (math.isnan(value) or low <= value <= high):
            raise wrong(place, f"from {low:g} to {high:g}", value)

    return rule


def one_of(*options: str) -> Rule:
    def rule(value: Any, place: str) -> None:
        if value not in options:
            raise wrong(place, f"one of {', '.join(options)}", value)

    return rule


def maybe(other: Rule) -> Rule:
    def rule(value: Any, place: str) -> None:
        if value is not None:
            other(value, place)

    return rule


def sequence(of: Rule, least: int = 0, most: int | None = None) -> Rule:
    def rule(value: Any, place: str) -> None:
        if not isinstance(value, list) or len(value) < least or (most is not None and len(value) > most):
            size = f"{least}" if most == least else f"at most {most}" if most else f"at least {least}"
            raise wrong(place, f"a list of {size}" if most or least else "a list", value)
        for i, item in enumerate(value):
            of(item, f"{place}[{i}]")

    return rule


def mapping(needed: Mapping[str, Rule], known: Mapping[str, Rule] | None = None, others: Rule | None = None) -> Rule:
    """A mapping with the keys ``needed``; those of ``known`` if they are there; any other is held to ``others``."""

    def rule(value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise wrong(place or "it", "a mapping", value)
        for key in needed:
            if key not in value:
                raise ValueError(f"{place or 'it'} has no {key}")
        rules = {**(known or {}), **needed}
        for key, item in value.items():
            (rules.get(key) or others or plain)(item, f"{place}.{key}" if place else key)

    return rule


def plain(value: Any, place: str) -> None:
    """Anything but an integer that not every number type holds."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            plain(item, f"{place}.{key}")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise wrong(place, "a number of at most 63 bits", value)


settings = mapping({})
config = mapping(
    {
        "choices": mapping(dict.fromkeys(("data", "model", "loss"), text), others=maybe(text)),
        "identity": text,
        "identity_facts": mapping({"fingerprint": maybe(text)}),
        "facts": mapping({"kind": text, "input_shape": sequence(whole(1), 1)}, {"class_names": sequence(text)}),
        **dict.fromkeys(("data", "model"), settings),
        "seed": whole(0),
    },
    {
        "optimizer": mapping({}, {"lr": maybe(number(-math.inf, math.inf))}),
        "note": maybe(words),
        "tags": maybe(sequence(words)),
    },
)

finite = number(-1e30, 1e30)


def family(value: Any, place: str) -> None:
    try:
        family_of(value)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def claims(value: Any, place: str) -> None:
    claims_of(value)  # whose messages name the place


def bounds(one: Column) -> tuple[float, float]:
    """Of a column's values, as float32 may round them."""
    return one.low - ROUNDING * max(1, abs(one.low)), one.high + ROUNDING * max(1, abs(one.high))


def measured(of: Family) -> Rule:
    """Metrics by name, each within the bounds of its column."""
    return mapping({}, {one.name: maybe(number(*bounds(one))) for one in of.columns}, maybe(finite))


def metrics(of: Family) -> Rule:
    """A finished run's, on both splits."""
    return mapping({"metrics": mapping(dict.fromkeys(("test", "val"), measured(of)))}, {"floors": floors(of)})


def floors(of: Family) -> Rule:
    """Name -> metrics: a few, whose names a page can show."""
    every = mapping({}, others=measured(of))

    def rule(value: Any, place: str) -> None:
        every(value, place)
        if len(value) > 20 or any(len(name) > 60 for name in value):
            raise wrong(place, "a mapping of at most 20 names of at most 60 characters", value)

    return rule


means = sequence(maybe(number(0, 1)), BINS, BINS)
bin_table = mapping({"count": sequence(whole(0), BINS, BINS), **dict.fromkeys(BINNED, means)})
started = mapping({"status": one_of("running", "interrupted", "failed", "finished")}, {"error": text, "family": family})
finished = mapping(
    {
        "family": family,
        "run": mapping(
            {"seconds": number(0, 1e12)},
            {
                "versions": mapping({}, others=maybe(text)),
                **dict.fromkeys(("commit", "device"), maybe(text)),
                "words": sequence(text),
            },
        ),
    },
    {"bins": maybe(mapping({}, others=maybe(bin_table)))},
)

sweep = mapping(
    {
        "jobs": sequence(
            mapping(
                {"label": text, "seed": whole(0), "folder": maybe(text), "overrides": sequence(text)},
                {"debugging": words},
            ),
        ),
        "baseline": maybe(text),
    },
    {"command": maybe(text), "margin": maybe(text), "claims": maybe(claims)},
)

sequential = mapping(
    {
        "metric": text,
        "baseline": text,
        "losses": sequence(text, 1),
        "seeds": sequence(whole(0), 3, 100),
        "margin": maybe(number(0, 1e30)),
    },
)
