"""Focal loss."""

from collections.abc import Sequence

from torch import Tensor

from ..checks import number
from .base import ClassWeights, WeightedLoss, expectation, log_complement, upcast


class FocalLoss(WeightedLoss):
    """Focal loss: -(1 - p_y)^gamma * log p_y, with p = softmax(logits); soft: sum_k q_k (1 - p_k)^gamma (-log p_k).

    Down-weights examples that are already right; gamma = 0 is cross-entropy. At uniform p: (1 - 1/K)^gamma * ln K.
    Use it when easy examples outnumber the few hard ones, or against over-confidence. Limits: its minimiser is flatter
    than the class probabilities, so a well-fitted model is under-confident. Lin's alpha is ``class_weights``.
    Source: Lin et al. 2017, arXiv:1708.02002, eq. 4 (softmax form, without alpha).
    """

    soft_targets = True

    def __init__(
        self,
        *,
        gamma: float,
        class_weights: ClassWeights,
        effective_number_beta: float | None,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            class_weights=class_weights, effective_number_beta=effective_number_beta, class_counts=class_counts
        )
        self.gamma = number("gamma", gamma, low=0)

    def unweighted(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = upcast(logits).log_softmax(-1)
        # The power is taken in the logarithm: for gamma < 1 its derivative at 1 - p = 0 is infinite.
        weight = (self.gamma * log_complement(log_p)).exp()
        return -expectation(weight * log_p, targets)
