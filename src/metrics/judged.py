"""What each example, and all of them together, say of a model's log-probabilities."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .calibration import BINS, adaptive_ece, bin_of, bin_table, ece, mce
from .selective import aurc, auroc


@dataclass(frozen=True)
class Judged:
    """What each of N examples says of a model."""

    guess: Tensor  # (N,) the most probable class
    right: Tensor  # (N,) float64: 1 or 0; for a distribution q over classes, q of the guess
    nll: Tensor  # (N,) float64, nats
    confidence: Tensor  # (N,) float64, probability of the guess
    brier: Tensor  # (N,) float64, sum_k (p_k - q_k)^2
    p: Tensor  # (N, K) float64
    residual: Tensor  # (N, K) float64, p - q


def judge(log_probs: Tensor, targets: Tensor) -> Judged:
    """Log-probabilities (N, K); targets (N,) int, or distributions q (N, K)."""
    log_p = log_probs.double()
    p = log_p.exp()
    top, guess = log_p.max(-1)
    if targets.is_floating_point():
        q = targets.double()
        nll = -(q * log_p.masked_fill(q == 0, 0.0)).sum(-1)  # 0 * -inf is no number
        residual = p - q
    else:
        nll = -log_p.gather(-1, targets[:, None])[:, 0]
        residual = p.scatter_add(-1, targets[:, None], -torch.ones_like(p[:, :1]))
    return Judged(guess, rightness(guess, targets), nll, top.exp(), residual.square().sum(-1), p, residual)


def rightness(guess: Tensor, targets: Tensor) -> Tensor:
    """(N,) float64: whether the guess is the class; of a distribution, its value at the guess."""
    if targets.is_floating_point():
        return targets.gather(-1, guess[:, None])[:, 0].double()
    return (guess == targets).double()


def measure(log_probs: Tensor, targets: Tensor) -> dict[str, float | None]:
    """Log-probabilities (N, K) and classes (N,) int -> each metric of a run's test by its name.

    accuracy, nll (nats), perplexity, bits, brier, confidence, overconfidence, ece, mce, classwise_ece, adaptive_ece,
    auroc (None if all are right, or all wrong), aurc: as ``Scores``, ``calibration`` and ``selective`` define them.
    Log-probabilities are ``logits.log_softmax(-1)``, or ``loss.log_probs(logits)`` for a loss with another link.
    Raises ValueError where they are none, and where the shapes do not agree.
    """
    if log_probs.ndim != 2 or targets.shape != log_probs.shape[:1] or targets.is_floating_point() or not len(targets):
        raise ValueError(
            "measure takes log-probabilities (N, K) and classes (N,) of integers, N >= 1; got the shapes"
            f" {tuple(log_probs.shape)} and {tuple(targets.shape)} of {targets.dtype}"
        )
    if not (log_probs.double().logsumexp(-1).abs() < 0.05).all():
        raise ValueError("these are no log-probabilities, whose exponentials sum to 1: pass logits.log_softmax(-1)")
    classes, (low, high) = log_probs.shape[-1], (int(value) for value in targets.aminmax())
    if low < 0 or high >= classes:
        raise ValueError(f"classes are numbers from 0 to {classes - 1}, got {low} to {high}")
    of = judge(log_probs.detach(), targets)  # a metric is never differentiated
    accuracy, nll, confidence, brier = (c.mean().item() for c in (of.right, of.nll, of.confidence, of.brier))
    by_class = of.residual.new_zeros(BINS, classes).scatter_add_(0, bin_of(of.p), of.residual)
    top, right = of.confidence.cpu(), of.right.cpu() > 0
    return {
        **summary(accuracy, nll, confidence, brier, bin_table(of.confidence, of.right)),
        "classwise_ece": (by_class.abs().sum() / (classes * len(targets))).item(),
        "adaptive_ece": adaptive_ece(top, right),
        "auroc": auroc(top, right),
        "aurc": aurc(top, right),
    }


def summary(
    accuracy: float, nll: float, confidence: float, brier: float, bins: Tensor, bits: str = "bits"
) -> dict[str, float]:
    """Metrics by name, from means over examples and their bin table; ``bits`` is the name of nll / ln 2."""
    return {
        "accuracy": accuracy,
        "nll": nll,
        "perplexity": math.exp(nll) if nll < 700 else math.inf,
        bits: nll / math.log(2),
        "brier": brier,
        "confidence": confidence,
        "overconfidence": confidence - accuracy,
        "ece": ece(bins).item(),
        "mce": mce(bins).item(),
    }
