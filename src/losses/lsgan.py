"""Least squares for generative adversarial networks."""

from torch import Tensor

from .adversarial import AdversarialLoss
from .base import upcast


class LeastSquaresGANLoss(AdversarialLoss):
    """Adversarial least squares: (D(x) - 1)^2 / 2 + D(G(z))^2 / 2 for D, (D(G(z)) - 1)^2 / 2 for G.

    A made image that is on the right side of the boundary, but far from the real ones, still has a gradient. At D = 0:
    1/2 and 1/2. ``r1`` adds a penalty on the discriminator's gradient at real images.
    Use it where the gradient of cross-entropy vanishes. Limits: scores have no meaning as probabilities.
    Source: Mao et al. 2017, arXiv:1611.04076, eq. 9 (a = 0, b = c = 1).
    """

    def __init__(self, *, r1: float) -> None:
        super().__init__(r1=r1)

    def forward(self, real: Tensor, made: Tensor) -> Tensor:
        return ((upcast(real) - 1).square() + upcast(made).square()) / 2

    def generator(self, made: Tensor) -> Tensor:
        return (upcast(made) - 1).square() / 2
