"""The losses once more, in plain NumPy, and the minimisers that are known: what the contract test believes.

Arrays are float64, or objects of 50 digits (digits.py).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import lambertw

Array = np.ndarray


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(z: Array) -> Array:
    shifted = z - z.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def cross_entropy(z: Array, q: Array) -> Array:
    """(N, K) logits and distributions -> (N,); the oracle for cross-entropy from logits."""
    return -(q * log_softmax(z)).sum(-1)


def z_loss(z: Array, q: Array, *, weight: float, softcap: float | None) -> Array:
    """Cross-entropy of capped logits, and the square of log Z."""
    z = z if softcap is None else softcap * np.tanh(z / softcap)
    log_z = (z - log_softmax(z))[..., 0]
    return cross_entropy(z, q) + weight * log_z**2


def divergence(q: Array, z: Array) -> Array:
    """KL(q || softmax(z)), 0 log 0 = 0."""
    return (q * (np.log(q + (q == 0)) - log_softmax(z))).sum(-1)


def binary_cross_entropy(z: Array, t: Array) -> Array:
    """Elementwise, from logits, stable: max(0, z) - z t + log(1 + e^-|z|)."""
    return np.maximum(0, z) - z * t + np.log1p(np.exp(-np.abs(z)))


def of_class(values: Array, one_hot: Array) -> Array:
    return (values * one_hot).sum(-1)


def normalised(p: Array) -> Array:
    return p / p.sum()


def weighted(reference: Callable[..., Array]) -> Callable[..., Array]:
    """The reference with class weights: sum_k q_k w_k reference(z, k), with sum_k n_k w_k = N."""

    def value(
        z: Array, q: Array, *, class_weights: Any, effective_number_beta: Any, class_counts: list[int], **own: Any
    ) -> Array:
        if class_weights is None:
            return reference(z, q, **own)
        n = np.array(class_counts, dtype=float)
        w = 1 / n if class_weights == "balanced" else np.array(class_weights)
        w = w * n.sum() / (n * w).sum()
        of_classes = [reference(z, np.broadcast_to(e, z.shape), **own) for e in np.eye(len(n))]
        return (q * w * np.stack(of_classes, -1)).sum(-1)

    return value


def margins(
    z: Array, q: Array, *, max_margin: float, scale: float, reweight_after: float, class_counts: list[int], **given: Any
) -> Array:
    """Cross-entropy, each class's own cosine lowered by C / n^(1/4), with C such that the rarest has max_margin."""
    roots = np.array([n**-0.25 for n in class_counts])
    lowered = weighted(lambda z, q: cross_entropy(scale * (z - q * roots * max_margin / roots.max()), q))
    return lowered(z, q, class_counts=class_counts, **given)


def focal(z: Array, q: Array, *, gamma: float) -> Array:
    return -(q * (1 - softmax(z)) ** gamma * log_softmax(z)).sum(-1)


def smoothed(z: Array, q: Array, *, smoothing: float, spread: str) -> Array:
    shared = np.ones_like(q) / q.shape[-1] if spread == "all" else (1 - q) / (q.shape[-1] - 1)
    return cross_entropy(z, (1 - smoothing) * q + smoothing * shared)


def sample_dependent_focal(z: Array, q: Array, *, gamma_hard: float, gamma_easy: float, threshold: float) -> Array:
    p = of_class(softmax(z), q)
    return -((1 - p) ** np.where(p < threshold, gamma_hard, gamma_easy)) * np.log(p)


def dual_focal(z: Array, q: Array, *, gamma: float) -> Array:
    values = []
    for p, y in zip(softmax(z), q.argmax(-1), strict=True):
        p_j = max((other for other in p if other < p[y]), default=0.0)
        values.append(-((1 - p[y] + p_j) ** gamma) * np.log(p[y]))
    return np.array(values)


def squared_scores(z: Array, q: Array, *, kappa: float, score: float) -> Array:
    return (np.where(q == 1, kappa, 1.0) * (z - score * q) ** 2).sum(-1)


def hinge(z: Array, q: Array, *, margin: float, multiclass: str) -> Array:
    values = []
    for scores, y in zip(z, q.argmax(-1), strict=True):
        excess = [max(0.0, margin + s - scores[y]) for k, s in enumerate(scores) if k != y]
        values.append(max(excess) if multiclass == "crammer_singer" else sum(excess))
    return np.array(values)


def calibration_error(z: Array, q: Array, penalty: float, width: float) -> float:
    """penalty times MMCE of the batch, pair by pair."""
    r, c = softmax(z).max(-1), z.argmax(-1) == q.argmax(-1)
    pairs = [
        (c_i - r_i) * (c_j - r_j) * np.exp(-abs(r_i - r_j) / width)
        for c_i, r_i in zip(c, r, strict=True)
        for c_j, r_j in zip(c, r, strict=True)
    ]
    return penalty * np.sqrt(sum(pairs) / len(r) ** 2 + 1e-10)


def teacher_of(classes: int) -> Array:
    """(K,): the logits that the teacher of the contract test gives to every example; each is a float32."""
    return (2 * np.cos(1.0 + np.arange(classes))).astype(np.float32).astype(np.float64)


def distillation(z: Array, q: Array, *, alpha: float, temperature: float) -> Array:
    soft = softmax((teacher_of(z.shape[-1]) + 0 * z) / temperature)  # as exact as z
    return (1 - alpha) * cross_entropy(z, q) + alpha * temperature**2 * divergence(soft, z / temperature)


def poly1_minimiser(eta: Array, epsilon: float) -> Array:
    """Stationarity, eta_k / p_k + epsilon eta_k = c, solved for the c at which p sums to 1 (epsilon > 0)."""
    low = epsilon * eta.max()
    c = brentq(lambda c: (eta / (c - epsilon * eta)).sum() - 1, low + 1e-9, low + len(eta), xtol=1e-14)
    return eta / (c - epsilon * eta)


def confidence_penalty_minimiser(eta: Array, beta: float) -> Array:
    """Stationarity, eta_k / p_k = beta log p_k + c, is p_k = a_k / W(a_k e^(c / beta)) with a = eta / beta."""

    def p(c: float) -> Array:
        return eta / beta / lambertw(eta / beta * np.exp(c / beta)).real

    return p(brentq(lambda c: p(c).sum() - 1, 0.0, 5.0, xtol=1e-14))
