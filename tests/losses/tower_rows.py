"""The table of the losses of two towers, each with an independent reference in NumPy; test_towers.py asks it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from src.losses.clip import ContrastiveLanguageImageLoss
from src.losses.siglip import SigmoidLanguageImageLoss
from src.losses.towers import TowerLoss

Array = np.ndarray


def clip(a: Array, b: Array, captions: Sequence[int], s: float, *, duplicates: str, fixed_scale: None) -> Array:
    """Pair by pair and direction by direction, from probabilities."""
    values = []
    for i in range(len(a)):
        both = []
        for one, others in ((a, b), (b, a)):
            odds = [math.exp(math.exp(s) * float(one[i] @ other)) for other in others]
            equal = [j for j in range(len(a)) if captions[j] == captions[i]]
            if duplicates == "masked":
                both.append(-math.log(odds[i] / sum(odds[j] for j in range(len(a)) if j == i or j not in equal)))
            elif duplicates == "soft":
                both.append(sum(-math.log(odds[j] / sum(odds)) for j in equal) / len(equal))
            else:
                both.append(-math.log(odds[i] / sum(odds)))
        values.append(sum(both) / 2)
    return np.array(values)


def siglip(
    a: Array, b: Array, captions: Sequence[int], s: float, bias: float, *, duplicates: str, fixed_scale: None
) -> Array:
    """Question by question: -log of the probability of the right answer."""
    values = []
    for i in range(len(a)):
        total = 0.0
        for j in range(len(a)):
            yes = 1 / (1 + math.exp(-(math.exp(s) * float(a[i] @ b[j]) + bias)))
            equal = captions[i] == captions[j]
            if duplicates == "masked" and equal and i != j:
                continue
            total -= math.log(yes if i == j or (duplicates == "soft" and equal) else 1 - yes)
        values.append(total)
    return np.array(values)


@dataclass(frozen=True)
class Row:
    """What is known of one loss.

    reference: float64 ``(a (N, D), b (N, D), captions (N,), *numbers, **arguments) -> (N,)``.
    scalars:   names of the numbers that a network learns for it, and where they start for N pairs.
    at_zero:   N -> the loss where all similarities, and the bias, are 0.
    """

    name: str
    cls: type[TowerLoss]
    reference: Callable[..., Array]
    scalars: Mapping[str, Callable[[int], float]]
    at_zero: Callable[[int], float]
    kwargs: Mapping[str, Any] = field(default_factory=lambda: {"duplicates": "negatives", "fixed_scale": None})
    cases: Sequence[Mapping[str, Any]] = ({}, {"duplicates": "soft"}, {"duplicates": "masked"})
    bad: Mapping[str, Sequence[Any]] = field(
        default_factory=lambda: {
            "duplicates": ["hard", None, 1, ["soft"]],
            "fixed_scale": [0, -1, 100.5, "a", True, float("nan"), float("inf")],
        }
    )

    def arguments(self, **changes: Any) -> dict[str, Any]:
        return {**self.kwargs, **changes}

    def build(self, **changes: Any) -> TowerLoss:
        return self.cls(**self.arguments(**changes))


ROWS = [
    Row("clip", ContrastiveLanguageImageLoss, clip, {"log_scale": lambda n: math.log(1 / 0.07)}, math.log),
    Row(
        "siglip",
        SigmoidLanguageImageLoss,
        siglip,
        {"log_scale": lambda n: math.log(10), "bias": lambda n: -math.log(n - 1)},
        lambda n: n * math.log(2),
    ),
]
