"""What a published table says, as data: an ablation holds such claims, and a report says what came out."""

import math
from dataclasses import dataclass
from typing import Any

from ..checks import number
from .columns import shown

TEXTS = ("claim", "source", "loss", "metric")
KEYS = (*TEXTS, "expected", "against")


@dataclass(frozen=True)
class Claim:
    """The ``metric`` of ``loss``, minus that of ``against`` if there is one, lies between ``low`` and ``high``.

    ``claim``: the same in a sentence. ``source``: the paper, with the number of its table. ``loss`` and ``against`` are
    labels of the ablation.
    """

    claim: str
    source: str
    loss: str
    metric: str
    low: float
    high: float
    against: str | None = None

    @property
    def labels(self) -> list[str]:
        return [self.loss] if self.against is None else [self.loss, self.against]

    @property
    def sides(self) -> int:
        """1 if it says that the loss has more, -1 if less, 0 if neither: then the band includes 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def claims_of(values: Any) -> tuple[Claim, ...]:
    """The claims of an ablation, as its YAML has them. Raises ValueError for what is none."""
    if not isinstance(values, list):
        raise ValueError(f"claims must be a list, got {shown(values)}")
    return tuple(_claim(value, f"claims[{i}]") for i, value in enumerate(values))


def _claim(value: Any, place: str) -> Claim:
    if not isinstance(value, dict):
        raise ValueError(f"{place} must be a mapping with the keys {', '.join(KEYS)}, got {shown(value)}")
    if unknown := [key for key in value if key not in KEYS]:
        raise ValueError(f"{place} has the unknown key {shown(unknown[0])}; there are {', '.join(KEYS)}")
    for key in TEXTS:
        text = value.get(key)
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{place}.{key} must be a text, got {shown(text)}")
    against = value.get("against")
    if against is not None and (not isinstance(against, str) or not against.strip() or against == value["loss"]):
        raise ValueError(f"{place}.against must be the label of another loss, got {shown(against)}")
    low, high = _band(value.get("expected"), f"{place}.expected")
    return Claim(**{key: value[key] for key in TEXTS}, low=low, high=high, against=against)


def _band(value: Any, place: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 or value == [None, None]:
        raise ValueError(f"{place} must be [LOW, HIGH], of which one may be null, got {shown(value)}")
    low = -math.inf if value[0] is None else number(f"{place}[0]", value[0])
    high = math.inf if value[1] is None else number(f"{place}[1]", value[1])
    if low >= high:
        raise ValueError(f"{place} must be [LOW, HIGH] with LOW below HIGH, got {shown(value)}")
    return low, high
