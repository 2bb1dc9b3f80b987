"""Huber's loss."""

import torch
from torch import Tensor

from ..checks import number
from .regression import PointLoss


class HuberLoss(PointLoss):
    """Huber's loss: e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2), with the error e = y - m.

    Squared error near the target and absolute error far from it: an error pulls no harder than delta. delta is in
    standard deviations of the training targets. For delta -> infinity it is half of mse, for delta -> 0 delta times
    mae; torch's smooth_l1_loss with beta = delta is this divided by delta.
    Use it when some targets are wrong and the mean of the others is wanted. Limits: delta must be about the size of
    ordinary errors, which are not known before training.
    Source: Huber 1964, Robust estimation of a location parameter; torch.nn.HuberLoss.
    """

    def __init__(self, *, delta: float) -> None:
        super().__init__()
        self.delta = number("delta", delta, above=0)

    def of_error(self, error: Tensor) -> Tensor:
        # Clipped, the square of a huge error cannot overflow in the branch that is not taken.
        near = error.clamp(-self.delta, self.delta)
        return torch.where(error.abs() <= self.delta, near.square() / 2, self.delta * (error.abs() - self.delta / 2))
