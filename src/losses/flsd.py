"""Focal loss whose gamma depends on the example."""

import torch
from torch import Tensor

from ..checks import number
from .base import ClassificationLoss, log_complement, of_class, upcast


class SampleDependentFocalLoss(ClassificationLoss):
    """Sample-dependent focal loss: -(1 - p_y)^g * log p_y, with g = ``gamma_hard`` where p_y < ``threshold``.

    Elsewhere g = ``gamma_easy``. Weighs the examples that are far off less than gamma_easy by itself would; g is a
    constant in the gradient, and the loss jumps at the threshold. Equal gammas, and thresholds 0 or 1, are focal loss.
    At uniform p: (1 - 1/K)^g * ln K, g the hard one from 6 classes on (at the default threshold).
    Use it for calibration without a gamma to tune. Limits: as focal loss, it makes
    probabilities too flat. Its minimiser has no closed form.
    Source: Mukhoti et al. 2020, arXiv:2002.09437, FLSD-53.
    """

    def __init__(self, *, gamma_hard: float, gamma_easy: float, threshold: float) -> None:
        super().__init__()
        self.gamma_hard = number("gamma_hard", gamma_hard, low=0)
        self.gamma_easy = number("gamma_easy", gamma_easy, low=0)
        self.threshold = number("threshold", threshold, low=0, high=1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_probs = upcast(logits).log_softmax(-1)
        log_p, log_wrong = of_class(log_probs, targets), of_class(log_complement(log_probs), targets)
        hard = log_p.exp() < self.threshold
        return -torch.where(hard, self.gamma_hard * log_wrong, self.gamma_easy * log_wrong).exp() * log_p
