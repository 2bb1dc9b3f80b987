"""The hinge loss of generative adversarial networks."""

from torch import Tensor
from torch.nn.functional import relu

from .adversarial import AdversarialLoss
from .base import upcast


class HingeGANLoss(AdversarialLoss):
    """Adversarial hinge: max(0, 1 - D(x)) + max(0, 1 + D(G(z))) for D, -D(G(z)) for G.

    The discriminator does not learn from images that it scores beyond the margin of 1. At D = 0: 2 and 0. ``r1`` adds a
    penalty on its gradient at real images.
    Use it with a discriminator whose size of gradient is bounded. Limits: the generator's number has no lower bound.
    Source: Lim & Ye 2017, arXiv:1705.02894, section 3; Miyato et al. 2018, arXiv:1802.05957, eq. 16-17.
    """

    def __init__(self, *, r1: float) -> None:
        super().__init__(r1=r1)

    def forward(self, real: Tensor, made: Tensor) -> Tensor:
        return relu(1 - upcast(real)) + relu(1 + upcast(made))

    def generator(self, made: Tensor) -> Tensor:
        return -upcast(made)
