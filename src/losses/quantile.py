"""Quantile loss."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..checks import number
from .base import upcast
from .regression import RegressionLoss, Steps, step_weights


class QuantileLoss(RegressionLoss):
    """Quantile (pinball) loss: mean over the taus of max(tau e, (tau - 1) e), with e = y - m_tau, an output for each.

    Each output's minimiser is the tau-quantile of the target given the input. Twice the loss at levels (k - 1/2) / K is
    the CRPS of the distribution with 1 / K on each quantile; tau = 1/2 alone is half of mae. Read as a distribution,
    each quantile stands for the levels that are nearer to it than to the others. Quantiles that cross are sorted first,
    which never makes the mean over the taus larger. The point is the median: if 1/2 is no tau, between its neighbours.
    Use it for intervals without assuming a form of the distribution. Limits: nothing is known of the tails beyond the
    first and the last tau, and there is no density, so no nll.
    Source: Koenker & Bassett 1978, Regression quantiles; Chernozhukov et al. 2010, arXiv:0704.3649 (sorting).
    """

    taus: Tensor
    median: Tensor

    def __init__(self, *, taus: Sequence[float]) -> None:
        super().__init__()
        known = levels("taus", taus)
        self.register_buffer("taus", torch.tensor(known, dtype=torch.float64), persistent=False)
        self.register_buffer("median", torch.tensor(weights_at(0.5, known), dtype=torch.float64), persistent=False)

    def outputs(self, num_classes: int = 0) -> int:
        return len(self.taus)

    def of(self, prediction: Tensor, target: Tensor) -> Tensor:
        tau = self.taus.to(prediction.dtype)
        error = target.unsqueeze(-1) - prediction  # (N, K)
        return torch.maximum(tau * error, (tau - 1) * error).mean(-1)

    def point(self, prediction: Tensor) -> Tensor:
        values = self.distribution(prediction).values
        return values @ self.median.to(values.dtype)

    def distribution(self, prediction: Tensor) -> Steps:
        values = upcast(prediction).sort(-1).values
        return Steps(values, step_weights(self.taus.to(values.dtype)))


def weights_at(level: float, taus: Sequence[float]) -> list[float]:
    """The weights of the quantiles at ``taus`` in the one at ``level``: linear between neighbours, else the nearest."""
    above = next((k for k, tau in enumerate(taus) if tau >= level), len(taus) - 1)
    below = max(above - 1, 0)
    share = 1.0 if above == below else min(max((level - taus[below]) / (taus[above] - taus[below]), 0.0), 1.0)
    return [share * (k == above) + (1 - share) * (k == below) for k in range(len(taus))]


def levels(name: str, value: Any) -> list[float]:
    """Return ``value`` if it is a list of numbers in (0, 1), in ascending order, each once; ValueError otherwise."""
    try:
        if isinstance(value, Sequence) and not isinstance(value, str) and len(value):
            found = [number(name, level, above=0, below=1) for level in value]
            if all(a < b for a, b in itertools.pairwise(found)):
                return found
    except ValueError:
        pass  # a member is no such number: tell the whole list
    raise ValueError(f"{name} must be a list of numbers > 0 and < 1, each larger than the one before, got {value!r}")
