"""Squared error."""

from torch import Tensor

from .regression import PointLoss


class SquaredErrorLoss(PointLoss):
    """Squared error: (y - m)^2 for the target y and the prediction m.

    Its minimiser is the mean of the targets given the input; it is twice the negative log-likelihood of N(m, 1), less
    a constant. At m = 0 and standardised targets: 1 on average.
    Use it first: every other loss of the family is judged against it. Limits: an error ten times as large counts a
    hundred times, so a few wrong targets move every prediction.
    Source: Gauss 1809, Theoria motus corporum coelestium; torch.nn.MSELoss.
    """

    def of_error(self, error: Tensor) -> Tensor:
        return error.square()
