"""Dual focal loss."""

import torch
from torch import Tensor

from ..checks import number
from .base import ClassificationLoss, log_complement, of_class, upcast


class DualFocalLoss(ClassificationLoss):
    """Dual focal loss: -(1 - p_y + p_j)^gamma * log p_y, p_j the largest probability strictly below p_y (0 if none).

    Focal loss that also widens the gap to the class ranked just after the target, which counters focal's
    under-confidence. The gradient flows through p_j. gamma = 0 is cross-entropy.
    At uniform p no class is below: (1 - 1/K)^gamma * ln K.
    Use it if focal loss makes the model under-confident. Limits: it jumps if p_y ties with another class, and its
    minimiser is not the class probabilities.
    Source: Tao et al. 2023, arXiv:2305.13665.
    """

    def __init__(self, *, gamma: float) -> None:
        super().__init__()
        self.gamma = number("gamma", gamma, low=0)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        z = upcast(logits)
        log_p = z.log_softmax(-1)
        not_below = z >= z.gather(-1, targets.unsqueeze(-1))
        log_p_j = log_p.masked_fill(not_below, -torch.inf).amax(-1)
        # log(1 - p_y + p_j): the power is taken in the logarithm, as in focal loss. logaddexp has no second derivative
        # where p_j = 0.
        parts = torch.stack([of_class(log_complement(log_p), targets), log_p_j], -1)
        return -(self.gamma * parts.logsumexp(-1)).exp() * of_class(log_p, targets)
