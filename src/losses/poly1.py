"""Poly-1 cross-entropy."""

from torch import Tensor

from ..checks import number
from .base import ClassificationLoss, expectation, upcast


class Poly1Loss(ClassificationLoss):
    """Poly-1: -log p_y + epsilon (1 - p_y), with p = softmax(logits); soft: sum_k q_k [-log p_k + epsilon (1 - p_k)].

    Cross-entropy is sum_j (1 - p_y)^j / j; epsilon changes the coefficient of its first power, 1, to 1 + epsilon.
    epsilon = 0 is cross-entropy; at uniform p: ln K + epsilon (1 - 1/K).
    Use it as cross-entropy with one more parameter: epsilon > 0 if it is too timid, < 0 if it is over-confident.
    Limits: the minimiser is p_k = eta_k / (c - epsilon eta_k), sharper than the class probabilities for epsilon > 0.
    Source: Leng et al. 2022, arXiv:2204.12511, Poly-1.
    """

    soft_targets = True

    def __init__(self, *, epsilon: float) -> None:
        super().__init__()
        self.epsilon = number("epsilon", epsilon, low=-1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = upcast(logits).log_softmax(-1)
        return -expectation(log_p + self.epsilon * log_p.expm1(), targets)  # 1 - p = -expm1(log p)
