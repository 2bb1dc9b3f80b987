"""The loss of the first generative adversarial networks: binary cross-entropy."""

from torch import Tensor
from torch.nn.functional import softplus

from .adversarial import AdversarialLoss
from .base import upcast


class GANLoss(AdversarialLoss):
    """Adversarial cross-entropy: softplus(-D(x)) + softplus(D(G(z))) for D, softplus(-D(G(z))) for G.

    The first is the cross-entropy of real against made images. G's is the non-saturating one; ``saturating`` takes
    -softplus(D(G(z))), the game of the theory, which has hardly any gradient where the discriminator is sure. At D = 0:
    2 ln 2 and ln 2, or -ln 2.
    ``r1`` adds a penalty on the discriminator's gradient at real images, which lets the game converge.
    Use it first: with equal tuning no other loss was found to be reliably better (Lucic et al. 2018). Limits: neither
    number says how good the images are.
    Source: Goodfellow et al. 2014, arXiv:1406.2661, eq. 1 and section 3 (non-saturating); Lucic et al. 2018,
    arXiv:1711.10337; Mescheder et al. 2018, arXiv:1801.04406 (r1).
    """

    def __init__(self, *, saturating: bool, r1: float) -> None:
        super().__init__(r1=r1)
        if not isinstance(saturating, bool):
            raise ValueError(f"saturating must be true or false, got {saturating!r}")
        self.saturating = saturating

    def forward(self, real: Tensor, made: Tensor) -> Tensor:
        return softplus(-upcast(real)) + softplus(upcast(made))

    def generator(self, made: Tensor) -> Tensor:
        return -softplus(upcast(made)) if self.saturating else softplus(-upcast(made))
