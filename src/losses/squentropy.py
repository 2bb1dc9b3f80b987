"""Squentropy."""

from torch import Tensor

from .base import ClassificationLoss, is_class, of_class, upcast


class SquentropyLoss(ClassificationLoss):
    """Squentropy: -log p_y + 1 / (K - 1) sum_{k != y} z_k^2, with p = softmax(logits).

    Cross-entropy plus the mean square of the other classes' logits, which fixes their level at 0: adding a constant to
    all logits changes it. At z = 0: ln K.
    Use it for better calibration than cross-entropy, without a parameter to tune. Limits: the pull of the other logits
    to 0 biases probabilities to uniform; softmax is how the paper reads them.
    Source: Hui, Belkin & Wright 2023, arXiv:2302.03952.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        z = upcast(logits)
        others = z.masked_fill(is_class(z, targets), 0.0)
        return others.square().sum(-1) / (z.shape[-1] - 1) - of_class(z.log_softmax(-1), targets)
