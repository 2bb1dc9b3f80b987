"""Losses of generative adversarial networks: what those of a discriminator and a generator have in common."""

from typing import ClassVar, Literal

from torch import Tensor

from ..checks import number
from .base import Loss, upcast


class AdversarialLoss(Loss):
    """Loss of a discriminator D that tells real images from made ones, and of the generator that makes them.

    ``forward(real (N,), made (N,)) -> (N,)`` is the discriminator's, of its scores D(x) of real images and D(G(z)) of
    made ones. ``generator(made (N,)) -> (N,)`` is the generator's. ``penalty(gradients (N, ...)) -> (N,)`` is added to
    the discriminator's, where ``penalises`` is true: of the gradients of its scores in the images themselves, at real
    images, or at points ``between`` a real and a made image, a random share of the way. It is taken in float32.
    """

    reads = "generated images"
    second_derivative = "r1"
    imitates = True
    place: ClassVar[Literal["real", "between"]] = "real"  # where the gradients are taken

    def __init__(self, *, r1: float) -> None:
        super().__init__()
        self.r1 = number("r1", r1, low=0)

    @property
    def penalises(self) -> bool:
        return self.r1 > 0

    def outputs(self, num_classes: int) -> int:
        return 1  # a score

    def forward(self, real: Tensor, made: Tensor) -> Tensor:
        """(N,), (N,) -> (N,): what the discriminator minimises, without the penalty."""
        raise NotImplementedError

    def generator(self, made: Tensor) -> Tensor:
        """(N,) -> (N,): what the generator minimises."""
        raise NotImplementedError

    def penalty(self, gradients: Tensor) -> Tensor:
        """(N, ...) -> (N,): R1, r1 / 2 |grad D(x)|^2, squares summed over all pixels, at real images.

        Source: Mescheder et al. 2018, arXiv:1801.04406, eq. 9.
        """
        return self.r1 / 2 * upcast(gradients).flatten(1).square().sum(1)
