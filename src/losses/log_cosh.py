"""Logarithm of the hyperbolic cosine."""

import math

import torch
from torch import Tensor

from .regression import PointLoss


class LogCoshLoss(PointLoss):
    """Logarithm of the hyperbolic cosine: ln cosh(e), with the error e = y - m.

    About e^2 / 2 near the target and |e| - ln 2 far from it; its gradient is tanh(e). So it is a smooth relative of
    Huber's loss with delta = 1, in standard deviations of the training targets.
    Use it in the place of huber for a second derivative that has no jump. Limits: where it turns from a square to a
    line cannot be chosen.
    Source: Chen et al. 2019, Log hyperbolic cosine loss improves variational auto-encoder.
    """

    def of_error(self, error: Tensor) -> Tensor:
        # ln (e^x + e^-x) - ln 2: cosh itself overflows in float32 from an error of 90 on
        return torch.logaddexp(error, -error) - math.log(2)
