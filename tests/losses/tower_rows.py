"""The table of the losses of two towers, each with an independent reference in NumPy; test_contract.py and
test_towers.py ask it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from src.losses.clip import ContrastiveLanguageImageLoss
from src.losses.siglip import SigmoidLanguageImageLoss
from src.losses.towers import TowerLoss
from tests.losses.contract import Array, Entry, Kwargs

N, D = 8, 5
CAPTIONS = torch.tensor([3, 1, 3, 4, 9, 1, 3, 5])  # three, two and one of each
BASES = {"towers"}


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


@dataclass(frozen=True, kw_only=True)
class Row(Entry):
    """What is known of one loss.

    reference: float64 ``(a (N, D), b (N, D), captions (N,), *numbers, **arguments) -> (N,)``.
    scalars:   names of the numbers that a network learns for it, and where they start for N pairs.
    at_zero:   N -> the loss where all similarities, and the bias, are 0.
    """

    scalars: Mapping[str, Callable[[int], float]]
    at_zero: Callable[[int], float]
    kwargs: Kwargs = field(default_factory=lambda: {"duplicates": "negatives", "fixed_scale": None})
    boundary: Sequence[Kwargs] = ({"duplicates": "soft"}, {"duplicates": "masked"})
    bad: Mapping[str, Sequence[Any]] = field(
        default_factory=lambda: {
            "duplicates": ["hard", None, 1, ["soft"]],
            "fixed_scale": [0, -1, 100.5, "a", True, float("nan"), float("inf")],
        }
    )
    task: str = "retrieval"

    @property
    def learned(self) -> tuple[int, ...]:
        return 0, 1, *range(3, 3 + len(self.scalars))

    def given(self, loss: TowerLoss) -> tuple[Tensor, ...]:
        """Embeddings of images and captions, captions, and the numbers that are learnt: s = 1, a bias of -0.7."""
        g = torch.Generator().manual_seed(0)
        a, b = (normalize(torch.randn(N, D, generator=g, dtype=torch.float64), dim=-1) for _ in range(2))
        numbers = [torch.full((N,), value, dtype=torch.float64) for value in (1.0, -0.7)]  # a pair's are those of all
        return a, b, CAPTIONS, *numbers[: len(self.scalars)]

    @staticmethod
    def value(loss: TowerLoss, a: Tensor, b: Tensor, captions: Tensor, *numbers: Tensor, **kwargs: slice) -> Tensor:
        return loss(a, b, captions, **dict(zip(loss.scalars(N), (x[:1] for x in numbers), strict=True)), **kwargs)

    def expected(self, a: Tensor, b: Tensor, captions: Tensor, *numbers: Tensor, **changes: Any) -> Array:
        plain = (a.numpy(), b.numpy(), captions.tolist(), *(x[0].item() for x in numbers))
        return self.reference(*plain, **self.arguments(**changes))


ROWS = [
    Row(
        name="clip",
        cls=ContrastiveLanguageImageLoss,
        reference=clip,
        scalars={"log_scale": lambda n: math.log(1 / 0.07)},
        at_zero=math.log,
    ),
    Row(
        name="siglip",
        cls=SigmoidLanguageImageLoss,
        reference=siglip,
        scalars={"log_scale": lambda n: math.log(10), "bias": lambda n: -math.log(n - 1)},
        at_zero=lambda n: n * math.log(2),
    ),
]
