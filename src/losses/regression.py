"""The family of regression: what a loss over a number for each example is given, and what it must answer.

Targets are standardised: what is written of a loss is in standard deviations of the training targets.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .base import Loss, upcast


@dataclass(frozen=True)
class Normal:
    """Normal distributions: their means and logarithms of their variances, (N,) each."""

    mean: Tensor
    log_variance: Tensor


@dataclass(frozen=True)
class Steps:
    """Distributions on points: (N, K) values in ascending order, and the probability of each, (K,) of sum 1."""

    values: Tensor
    weights: Tensor


class RegressionLoss(Loss):
    """Loss of a predicted number: ``forward(prediction (N, outputs), target (N,)) -> (N,)``.

    A loss owns its link: ``point`` reads the one number that it predicts, and ``distribution`` what it says of how far
    off that may be, or None if it predicts a point alone. Raises ValueError for shapes that torch would broadcast,
    (N, 1) against (N,) to (N, N), without a word.
    """

    targets = "value"

    def outputs(self, num_classes: int = 0) -> int:
        """How many numbers the model must give; no number of classes changes that."""
        return 1

    def point(self, prediction: Tensor) -> Tensor:
        """(N, outputs) -> (N,): the one number that is predicted."""
        return upcast(prediction)[..., 0]

    def distribution(self, prediction: Tensor) -> Normal | Steps | None:
        """(N, outputs) -> the predicted distribution of the target; None if the loss fits no more than a point."""
        return None

    def of(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, outputs), (N,) -> (N,): the loss, shapes and precision being right."""
        raise NotImplementedError

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(N, outputs), (N,) -> (N,): one number per example."""
        if prediction.shape != (*target.shape, self.outputs()):
            raise ValueError(
                f"a prediction must have the shape of its targets and {self.outputs()} numbers for each, got"
                f" {tuple(prediction.shape)} for targets of {tuple(target.shape)}"
            )
        prediction = upcast(prediction)
        return self.of(prediction, target.to(prediction.dtype))


class PointLoss(RegressionLoss):
    """Loss of the error e = target - prediction alone: it fits a point, and says nothing of how far off that may be."""

    def of_error(self, error: Tensor) -> Tensor:
        """(N,) -> (N,): the loss of each error."""
        raise NotImplementedError

    def of(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.of_error(target - self.point(prediction))


class NormalLoss(RegressionLoss):
    """Loss of a predicted normal distribution: two outputs, its mean m and s = ln sigma^2.

    Every real number s is a variance, exp(s), so nothing is clamped. (torch's ``gaussian_nll_loss`` clamps at 1e-6, and
    the gradient of the variance dies there.) A step of s changes sigma by a factor, which suits small and large ones
    alike, and s = 0, where training starts, is the variance of standardised targets. A softplus would do the same for
    large variances only.
    Source: Kendall & Gal 2017, arXiv:1703.04977.
    """

    def outputs(self, num_classes: int = 0) -> int:
        return 2

    def distribution(self, prediction: Tensor) -> Normal:
        return Normal(*upcast(prediction).unbind(-1))


def nll_of_normal(normal: Normal, target: Tensor) -> Tensor:
    """(N,) -> (N,): -ln density of the target, (s + (y - m)^2 exp(-s) + ln 2 pi) / 2.

    The quotient is squared, not the error: where both are large the square would overflow.
    """
    z = (target - normal.mean) * (-normal.log_variance / 2).exp()
    return (normal.log_variance + z.square() + math.log(2 * math.pi)) / 2


def step_weights(levels: Tensor) -> Tensor:
    """(K,) levels in (0, 1), ascending -> (K,): the probability that quantiles at these levels stand for.

    Each has the part of [0, 1] that is nearer to it than to the others. With levels (k - 1/2) / K all have 1 / K.
    """
    edges = torch.cat([levels.new_zeros(1), (levels[1:] + levels[:-1]) / 2, levels.new_ones(1)])
    return edges.diff()
