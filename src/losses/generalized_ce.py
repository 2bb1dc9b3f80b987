"""Generalised cross-entropy."""

from torch import Tensor

from ..checks import number
from .base import ClassificationLoss, of_class, upcast


class GeneralizedCrossEntropyLoss(ClassificationLoss):
    """Generalised cross-entropy: (1 - p_y^q) / q, with p = softmax(logits).

    Between cross-entropy, q -> 0, and the absolute error 1 - p_y, q = 1; bounded by 1 / q, so a wrong label
    costs little. At uniform p: (1 - K^-q) / q.
    Use it when many labels are wrong. Limits: the gradient vanishes where p_y is near 0, so with many
    classes it may not start to learn. The minimiser, p_k ~ eta_k^(1 / (1 - q)), is over-confident.
    Source: Zhang & Sabuncu 2018, arXiv:1805.07836, eq. 6 (the L_q loss, without truncation).
    """

    def __init__(self, *, q: float) -> None:
        super().__init__()
        self.q = number("q", q, above=0, high=1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = of_class(upcast(logits).log_softmax(-1), targets)
        return -(self.q * log_p).expm1() / self.q  # 1 - p^q cancels where q log p is small
