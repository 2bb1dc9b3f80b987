"""Cross-entropy with smoothed labels."""

from collections.abc import Sequence

from torch import Tensor

from ..checks import choice, number
from .base import ClassWeights, WeightedLoss, expectation, upcast


class SmoothedCrossEntropyLoss(WeightedLoss):
    """Label smoothing: H(q', p) with q' = (1 - a) q + a / K, a = ``smoothing`` and p = softmax(logits).

    Keeps logits finite: the best p_y is 1 - a + a / K, not 1, and the floor is H(q') > 0. With ``spread="others"`` a is
    shared by the other K - 1 classes only, which equals spread "all" at a K / (K - 1).
    a = 0 is cross-entropy; at uniform p: ln K. Class weights multiply w_y H(q', p) (torch weighs each term of q').
    Use it when cross-entropy is over-confident or labels are slightly noisy. Limits: probabilities are biased to
    uniform, and a network trained with it makes a poorer teacher for distillation.
    Source: Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """

    soft_targets = True

    def __init__(
        self,
        *,
        smoothing: float,
        spread: str,
        class_weights: ClassWeights,
        effective_number_beta: float | None,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            class_weights=class_weights, effective_number_beta=effective_number_beta, class_counts=class_counts
        )
        self.smoothing = number("smoothing", smoothing, low=0, high=1)
        self.spread = choice("spread", spread, ("all", "others"))

    def unweighted(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = upcast(logits).log_softmax(-1)
        classes = log_p.shape[-1]
        a = self.smoothing if self.spread == "all" else self.smoothing * classes / (classes - 1)
        return -(1 - a) * expectation(log_p, targets) - a * log_p.mean(-1)
