"""Absolute error."""

from torch import Tensor

from .regression import PointLoss


class AbsoluteErrorLoss(PointLoss):
    """Absolute error: |y - m| for the target y and the prediction m.

    Its minimiser is the median of the targets given the input, which wrong targets hardly move: each pulls with the
    same force, however far off. At y = m: 0, with gradient 0.
    Use it when some targets are wrong, or errors have a long tail. Limits: the gradient does not shrink near the
    target, so the learning rate must, and the mean is not what it predicts.
    Source: Laplace 1774; Koenker & Bassett 1978, Regression quantiles; torch.nn.L1Loss.
    """

    def of_error(self, error: Tensor) -> Tensor:
        return error.abs()
