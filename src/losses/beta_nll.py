"""Negative log-likelihood of a normal distribution, weighted by its variance."""

from torch import Tensor

from ..checks import number
from .regression import NormalLoss, nll_of_normal


class BetaNLLLoss(NormalLoss):
    """Beta-NLL: sigma^(2 beta) times the Gaussian negative log-likelihood, the factor without gradient.

    beta = 0 is gaussian_nll. With beta = 1 the gradient of the mean is y - m, that of mse, whatever the variance; the
    variance's minimiser stays the same for one input. At y = m and s = 0: ln(2 pi) / 2 = 0.9189.
    Use it if gaussian_nll predicts a worse mean than mse does. Limits: the value is no likelihood, and may rise while
    the fit gets better; compare ``nll``.
    Source: Seitzer et al. 2022, arXiv:2203.09168 (they recommend beta = 0.5).
    """

    def __init__(self, *, beta: float) -> None:
        super().__init__()
        self.beta = number("beta", beta, low=0, high=1)

    def of(self, prediction: Tensor, target: Tensor) -> Tensor:
        normal = self.distribution(prediction)
        return (self.beta * normal.log_variance).exp().detach() * nll_of_normal(normal, target)
