"""The contract test's table: one row a loss, each with an independent reference in NumPy float64.

To add a loss, add a row to ROWS; the tests in test_contract.py then hold it to every property.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from src.losses.base import ClassificationLoss
from src.losses.bce import BinaryCrossEntropyLoss
from src.losses.ce import CrossEntropyLoss
from src.losses.focal import FocalLoss
from src.losses.smoothed_ce import SmoothedCrossEntropyLoss

Array = np.ndarray
Kwargs = Mapping[str, Any]


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(z: Array) -> Array:
    shifted = z - z.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def cross_entropy(z: Array, q: Array) -> Array:
    """(N, K) logits and distributions -> (N,); the oracle for cross-entropy from logits."""
    return -(q * log_softmax(z)).sum(-1)


def binary_cross_entropy(z: Array, t: Array) -> Array:
    """Elementwise, from logits, stable: max(0, z) - z t + log(1 + e^-|z|)."""
    return np.maximum(0, z) - z * t + np.log1p(np.exp(-np.abs(z)))


@dataclass(frozen=True)
class Row:
    """What is known of one loss.

    reference:  float64 ``(z (N, K), q (N, K)) -> (N,)`` at ``kwargs``; hard targets arrive one-hot.
    at_zero:    the closed form at z = 0 and a hard target, as a function of K.
    identities: name -> (own arguments, another loss that must give the same numbers).
    bad:        argument name -> values that must be refused with that name in the message.
    boundary:   legal extreme arguments that must run.
    minimiser:  eta (K,) -> the probabilities that the link reads off the population's minimiser; None: not known in
                closed form. ``recovers``: whether these are eta itself.
    """

    name: str
    cls: type[ClassificationLoss]
    kwargs: Kwargs
    reference: Callable[[Array, Array], Array]
    at_zero: Callable[[int], float]
    identities: Mapping[str, tuple[Kwargs, ClassificationLoss]] = field(default_factory=dict)
    bad: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    boundary: Sequence[Kwargs] = ()
    soft: bool = True
    shift_invariant: bool = True
    recovers: bool = True
    minimiser: Callable[[Array], Array] | None = None

    def build(self, **changes: Any) -> ClassificationLoss:
        return self.cls(**{**self.kwargs, **changes})


ROWS = [
    Row(
        name="ce",
        cls=CrossEntropyLoss,
        kwargs={},
        reference=cross_entropy,
        at_zero=lambda k: np.log(k),
        minimiser=lambda eta: eta,
    ),
    Row(
        name="smoothed_ce",
        cls=SmoothedCrossEntropyLoss,
        kwargs={"smoothing": 0.1, "spread": "all"},
        reference=lambda z, q: cross_entropy(z, 0.9 * q + 0.1 / z.shape[-1]),
        at_zero=lambda k: np.log(k),
        identities={
            "smoothing 0 is ce": ({"smoothing": 0.0}, CrossEntropyLoss()),
            "others at a is all at a K/(K-1), K = 5": (
                {"smoothing": 0.1, "spread": "others"},
                SmoothedCrossEntropyLoss(smoothing=0.1 * 5 / 4, spread="all"),
            ),
        },
        bad={"smoothing": [-0.01, 1.01, "abc", float("nan"), True, None], "spread": ["most", None]},
        boundary=[{"smoothing": 0}, {"smoothing": 1}, {"smoothing": 1, "spread": "others"}],
        recovers=False,
        minimiser=lambda eta: 0.9 * eta + 0.1 / len(eta),
    ),
    Row(
        name="bce",
        cls=BinaryCrossEntropyLoss,
        kwargs={"smoothing": 0.0},
        reference=lambda z, q: binary_cross_entropy(z, q).sum(-1),
        at_zero=lambda k: k * np.log(2),
        bad={"smoothing": [-0.01, 1.01, "abc", float("inf")]},
        boundary=[{"smoothing": 0}, {"smoothing": 1}],
        shift_invariant=False,
        minimiser=lambda eta: eta,
    ),
    Row(
        name="focal",
        cls=FocalLoss,
        kwargs={"gamma": 2.0},
        reference=lambda z, q: -(q * (1 - softmax(z)) ** 2 * log_softmax(z)).sum(-1),
        at_zero=lambda k: (1 - 1 / k) ** 2 * np.log(k),
        identities={"gamma 0 is ce": ({"gamma": 0.0}, CrossEntropyLoss())},
        bad={"gamma": [-0.01, "abc", float("nan"), float("inf"), None]},
        boundary=[{"gamma": 0}, {"gamma": 0.3}, {"gamma": 10}],
        recovers=False,
    ),
]
