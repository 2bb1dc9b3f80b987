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


def class_counts(classes: int) -> Kwargs:
    """Examples of each class; at 5 classes the balanced weights, 1/2, 1/2, 2, 4, 4, are exact in binary."""
    return {"class_counts": [int(n) for n in np.resize([8, 8, 2, 1, 1], classes)]}


def weighted(reference: Callable[..., Array]) -> Callable[..., Array]:
    """The reference with class weights: sum_k q_k w_k reference(z, k), with sum_k n_k w_k = N."""

    def value(z: Array, q: Array, *, class_weights: Any, beta: float, class_counts: list[int], **own: Any) -> Array:
        if class_weights is None:
            return reference(z, q, **own)
        n = np.array(class_counts, dtype=float)
        w = 1 / n if class_weights == "balanced" else np.array(class_weights)
        w = w * n.sum() / (n * w).sum()
        of_classes = [reference(z, np.broadcast_to(e, z.shape), **own) for e in np.eye(len(n))]
        return (q * w * np.stack(of_classes, -1)).sum(-1)

    return value


UNWEIGHTED: Kwargs = {"class_weights": None, "beta": 0.999}
WEIGHTINGS: Sequence[Kwargs] = (
    {"class_weights": "balanced"},
    {"class_weights": [0.5, 1, 2, 2, 2], "class_counts": [8, 4, 2, 1, 1]},  # sum_k n_k w_k = N as it stands
)
BAD_WEIGHTS: Mapping[str, Sequence[Any]] = {
    "class_weights": ["inverse", 1.0, [1.0, 2.0], [1, 1, 1, 1, 0], [1, 1, 1, 1, -1], [1, 1, 1, 1, "a"], [1] * 6],
    "beta": [-0.01, 1, 1.5, "abc", float("nan"), None],
    "class_counts": [[], 5, "abc", [1, 2, -1], [1.5, 2], [0, 0], [True, True]],
}


def ce() -> CrossEntropyLoss:
    return CrossEntropyLoss(**UNWEIGHTED)


@dataclass(frozen=True)
class Row:
    """What is known of one loss.

    kwargs:     its defaults, as in its option file. ``facts``: K -> what it is told of the data.
    reference:  float64 ``(z (N, K), q (N, K), **arguments) -> (N,)``; hard targets arrive one-hot.
    at_zero:    the closed form at z = 0 for targets 0, 1, 2, ..., as a function of K; one number, or one a class.
    identities: name -> (own arguments, another loss that must give the same numbers).
    bad:        argument name -> values that must be refused with that name in the message.
    boundary:   legal extreme arguments that must give the reference's values, and finite ones at huge logits.
    minimiser:  eta (K,) -> the probabilities that the link reads off the population's minimiser; None: not known in
                closed form. ``recovers``: whether these are eta itself.
    """

    name: str
    cls: type[ClassificationLoss]
    kwargs: Kwargs
    reference: Callable[..., Array]
    at_zero: Callable[[int], float | Array]
    facts: Callable[[int], Kwargs] = lambda classes: {}
    identities: Mapping[str, tuple[Kwargs, ClassificationLoss]] = field(default_factory=dict)
    bad: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    boundary: Sequence[Kwargs] = ()
    soft: bool = True
    shift_invariant: bool = True
    recovers: bool = True
    minimiser: Callable[[Array], Array] | None = None

    def arguments(self, classes: int = 5, **changes: Any) -> dict[str, Any]:
        return {**self.kwargs, **self.facts(classes), **changes}

    def build(self, classes: int = 5, **changes: Any) -> ClassificationLoss:
        return self.cls(**self.arguments(classes, **changes))


def focal(z: Array, q: Array, *, gamma: float) -> Array:
    return -(q * (1 - softmax(z)) ** gamma * log_softmax(z)).sum(-1)


def smoothed(z: Array, q: Array, *, smoothing: float, spread: str) -> Array:
    shared = np.ones_like(q) / q.shape[-1] if spread == "all" else (1 - q) / (q.shape[-1] - 1)
    return cross_entropy(z, (1 - smoothing) * q + smoothing * shared)


ROWS = [
    Row(
        name="ce",
        cls=CrossEntropyLoss,
        kwargs=UNWEIGHTED,
        facts=class_counts,
        reference=weighted(cross_entropy),
        at_zero=lambda k: np.log(k),
        bad=BAD_WEIGHTS,
        boundary=WEIGHTINGS,
        minimiser=lambda eta: eta,
    ),
    Row(
        name="smoothed_ce",
        cls=SmoothedCrossEntropyLoss,
        kwargs={"smoothing": 0.1, "spread": "all", **UNWEIGHTED},
        facts=class_counts,
        reference=weighted(smoothed),
        at_zero=lambda k: np.log(k),
        identities={
            "smoothing 0 is ce": ({"smoothing": 0.0}, ce()),
            "others at a is all at a K/(K-1), K = 5": (
                {"smoothing": 0.1, "spread": "others"},
                SmoothedCrossEntropyLoss(smoothing=0.1 * 5 / 4, spread="all", **UNWEIGHTED),
            ),
        },
        bad={"smoothing": [-0.01, 1.01, "abc", float("nan"), True, None], "spread": ["most", None], **BAD_WEIGHTS},
        boundary=[{"smoothing": 0}, {"smoothing": 1}, {"smoothing": 1, "spread": "others"}, *WEIGHTINGS],
        recovers=False,
        minimiser=lambda eta: 0.9 * eta + 0.1 / len(eta),
    ),
    Row(
        name="bce",
        cls=BinaryCrossEntropyLoss,
        kwargs={"smoothing": 0.0, **UNWEIGHTED},
        facts=class_counts,
        reference=weighted(
            lambda z, q, smoothing: binary_cross_entropy(z, q * (1 - smoothing) + smoothing / 2).sum(-1)
        ),
        at_zero=lambda k: (1 if k == 2 else k) * np.log(2),
        bad={"smoothing": [-0.01, 1.01, "abc", float("inf")], **BAD_WEIGHTS},
        boundary=[{"smoothing": 0}, {"smoothing": 1}, {"smoothing": 0.1}, *WEIGHTINGS],
        shift_invariant=False,
        minimiser=lambda eta: eta,
    ),
    Row(
        name="focal",
        cls=FocalLoss,
        kwargs={"gamma": 2.0, **UNWEIGHTED},
        facts=class_counts,
        reference=weighted(focal),
        at_zero=lambda k: (1 - 1 / k) ** 2 * np.log(k),
        identities={"gamma 0 is ce": ({"gamma": 0.0}, ce())},
        bad={"gamma": [-0.01, "abc", float("nan"), float("inf"), None], **BAD_WEIGHTS},
        boundary=[{"gamma": 0}, {"gamma": 0.3}, {"gamma": 10}, *WEIGHTINGS],
        recovers=False,
    ),
]
