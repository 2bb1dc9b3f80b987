"""Negative log-likelihood of a normal distribution."""

from torch import Tensor

from .regression import NormalLoss, nll_of_normal


class GaussianNLLLoss(NormalLoss):
    """Gaussian negative log-likelihood: (s + (y - m)^2 exp(-s) + ln 2 pi) / 2 for N(m, sigma^2) with s = ln sigma^2.

    The model gives two numbers, m and s, so it also says how far off it may be, input by input. The minimiser is the
    mean and the variance of the targets given the input. At y = m and s = 0: ln(2 pi) / 2 = 0.9189; with s = 0 it is
    half of mse, plus that. Nothing is clamped: every real number s is a variance.
    Use it if errors are about normal and their size depends on the input. Limits: where the variance is large the
    gradient of the mean is small, so hard examples may be given up instead of learnt (``beta_nll``); a few wrong
    targets widen every interval.
    Source: Nix & Weigend 1994, Estimating the mean and variance of the target probability distribution; Kendall & Gal
    2017, arXiv:1703.04977 (s). torch.nn.GaussianNLLLoss leaves out ln 2 pi and clamps the variance.
    """

    def of(self, prediction: Tensor, target: Tensor) -> Tensor:
        return nll_of_normal(self.distribution(prediction), target)
