"""How good predicted distributions of a number are: CRPS, nll, intervals and ranks, of whatever form they have.

All in float64. Distributions are one for each example; targets y are (N,), in the same unit.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

HALF_LOG_2PI = math.log(2 * math.pi) / 2


class Distribution(Protocol):
    """N distributions of a number."""

    def crps(self, y: Tensor) -> Tensor:
        """(N,) -> (N,): the continuous ranked probability score, integral of (F(x) - [x >= y])^2 dx = E|X - y| -
        E|X - X'| / 2, in the unit of y. It is proper; of a point it is the absolute error.

        Source: Gneiting & Raftery 2007, Strictly proper scoring rules, eq. 20 and 21 (with the sign turned).
        """
        ...

    def nll(self, y: Tensor) -> Tensor | None:
        """(N,) -> (N,): -ln density, in nats; None without a density."""
        ...

    def rank(self, y: Tensor) -> Tensor:
        """(N,) -> (N,): P(X < y) + P(X = y) / 2, the probability integral transform: uniform in [0, 1] if all is right.

        Source: Dawid 1984; Czado et al. 2009, Predictive model assessment for count data (the half of ties).
        """
        ...

    def quantile(self, level: float) -> Tensor:
        """(N,): the smallest x with P(X <= x) >= ``level``."""
        ...


@dataclass(frozen=True)
class NormalDistribution:
    """N(mean, sd^2): (N,) each."""

    mean: Tensor
    sd: Tensor

    def crps(self, y: Tensor) -> Tensor:
        """sd (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)) with z = (y - mean) / sd. At z = 0 and sd = 1: 0.2337.

        Source: Gneiting & Raftery 2007, after eq. 21.
        """
        z = (y - self.mean) / self.sd
        density = (-z.square() / 2 - HALF_LOG_2PI).exp()
        return self.sd * (z * torch.erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))

    def nll(self, y: Tensor) -> Tensor:
        return self.sd.log() + ((y - self.mean) / self.sd).square() / 2 + HALF_LOG_2PI

    def rank(self, y: Tensor) -> Tensor:
        return torch.special.ndtr((y - self.mean) / self.sd)

    def quantile(self, level: float) -> Tensor:
        return self.mean + self.sd * torch.special.ndtri(self.mean.new_tensor(level))


@dataclass(frozen=True)
class PointsDistribution:
    """Probability ``weights`` (K,), of sum 1, on the points ``values`` (N, K), ascending in each row."""

    values: Tensor
    weights: Tensor

    def crps(self, y: Tensor) -> Tensor:
        distance = (self.values - y.unsqueeze(-1)).abs() @ self.weights
        return distance - spread(self.values, self.weights)

    def nll(self, y: Tensor) -> None:
        return None

    def rank(self, y: Tensor) -> Tensor:
        below = (self.values < y.unsqueeze(-1)).double()
        return (below + (self.values == y.unsqueeze(-1)).double() / 2) @ self.weights

    def quantile(self, level: float) -> Tensor:
        return self.values[:, first_at(self.weights, level)]


@dataclass(frozen=True)
class ResidualDistribution:
    """``point`` (N,) plus a residual, each of ``residuals`` (M,), ascending, alike: the errors of other examples.

    The distribution of a loss that predicts a point alone, learnt from examples that it was not trained on. All
    examples have the same, about their own points, so M N numbers are never made.
    """

    point: Tensor
    residuals: Tensor

    def crps(self, y: Tensor) -> Tensor:
        r, error = self.residuals, y - self.point
        count = len(r)
        total = torch.cat([r.new_zeros(1), r.cumsum(0)])
        below = torch.searchsorted(r, error)  # residuals below the error
        distance = (error * (2 * below - count) + total[-1] - 2 * total[below]) / count
        return distance - spread(r, r.new_full((count,), 1 / count))

    def nll(self, y: Tensor) -> None:
        return None

    def rank(self, y: Tensor) -> Tensor:
        error = y - self.point
        below, upto = (torch.searchsorted(self.residuals, error, right=right) for right in (False, True))
        return (below + upto).double() / (2 * len(self.residuals))

    def quantile(self, level: float) -> Tensor:
        count = len(self.residuals)
        return self.point + self.residuals[first_at(self.residuals.new_full((count,), 1 / count), level)]


def spread(values: Tensor, weights: Tensor) -> Tensor:
    """(..., K) ascending, (K,) -> (...): E|X - X'| / 2 of two independent draws.

    It is sum_k w_k (2 W_k - w_k - 1) x_k with W_k = w_1 + ... + w_k, so no pair is looked at.
    """
    return values @ (weights * (2 * weights.cumsum(0) - weights - 1))


def first_at(weights: Tensor, level: float) -> int:
    """The first point up to which the weights sum to ``level``, but for rounding."""
    return min(int((weights.cumsum(0) < level - 1e-9).sum()), len(weights) - 1)
