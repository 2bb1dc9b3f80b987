"""Temperature scaling: one number that makes a trained model's probabilities more or less sharp."""

import math

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from src.metrics.calibration import bin_table, ece

BOUNDS = (0.01, 100.0)
GRID = torch.arange(1, 101).double() / 10  # 0.1, 0.2, ... 10, of Mukhoti et al. 2020, arXiv:2002.09437


def scaled(log_probs: Tensor, temperature: float) -> Tensor:
    """(N, K) log-probabilities of a loss's link -> log_softmax(log_probs / T), float64.

    For softmax this is to divide the logits; for other links it is the same change of sharpness, p^(1/T) normalised.
    """
    return (log_probs.double() / temperature).log_softmax(-1)


def fit_temperature(log_probs: Tensor, targets: Tensor, criterion: str) -> float | None:
    """The T that suits (N, K) log-probabilities to targets (N,) int; None where the data's nll is not finite.

    nll: minimises the mean nll over log T by Brent's bounded method, T within 0.01 to 100; it is convex in 1/T, so the
    minimum is the only one. ece_grid: the T of 0.1, 0.2, ... 10 with the least ECE, the nearest to 1 of equals.
    Source: Guo et al. 2017, arXiv:1706.04599, section 4.2.
    """
    z = log_probs.double()

    def nll(log_t: float) -> float:
        p = z / math.exp(log_t)
        return (p.logsumexp(-1) - p.gather(-1, targets[:, None])[:, 0]).mean().item()

    def ece_at(t: float) -> float:
        top, guess = scaled(z, t).max(-1)
        return ece(bin_table(top.exp(), guess == targets)).item()

    if not math.isfinite(nll(0.0)):
        return None
    if criterion == "ece_grid":
        return min(GRID.tolist(), key=lambda t: (ece_at(t), abs(math.log(t))))
    low, high = map(math.log, BOUNDS)
    return math.exp(minimize_scalar(nll, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)
