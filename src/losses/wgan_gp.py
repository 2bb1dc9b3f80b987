"""Wasserstein's distance for generative adversarial networks, with a gradient penalty."""

from torch import Tensor

from ..checks import number
from .adversarial import AdversarialLoss
from .base import upcast


class WassersteinGANLoss(AdversarialLoss):
    """Wasserstein GAN with gradient penalty: D(G(z)) - D(x) + weight (|grad D(x')|_2 - 1)^2 for D, -D(G(z)) for G.

    x' is a random point between a real and a made image; the norm is over all pixels of an image. If the slope of D is
    at most 1, the mean of D(x) - D(G(z)) is at most the Wasserstein distance of the images. At D = 0: ``weight`` and 0.
    Use it with several turns of the discriminator a step (task.discriminator_turns=5). Limits: each turn takes a second
    derivative, and the discriminator may have no batch norm.
    Source: Gulrajani et al. 2017, arXiv:1704.00028, eq. 3 (weight 10, 5 turns).
    """

    second_derivative = "weight"
    place = "between"

    def __init__(self, *, weight: float) -> None:
        super().__init__(r1=0.0)
        self.weight = number("weight", weight, low=0)

    @property
    def penalises(self) -> bool:
        return self.weight > 0

    def forward(self, real: Tensor, made: Tensor) -> Tensor:
        return upcast(made) - upcast(real)

    def generator(self, made: Tensor) -> Tensor:
        return -upcast(made)

    def penalty(self, gradients: Tensor) -> Tensor:
        """(N, ...) -> (N,): weight (|grad|_2 - 1)^2, at points between real and made images."""
        return self.weight * (upcast(gradients).flatten(1).norm(dim=1) - 1).square()
