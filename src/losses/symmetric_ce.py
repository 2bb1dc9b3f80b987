"""Symmetric cross-entropy."""

from torch import Tensor

from ..checks import number
from .base import ClassificationLoss, of_class, upcast


class SymmetricCrossEntropyLoss(ClassificationLoss):
    """Symmetric cross-entropy: -alpha log p_y - beta A (1 - p_y), with p = softmax(logits) and A = ``log_zero`` < 0.

    Cross-entropy plus the reverse H(p, q), in which log 0 of the one-hot target is taken as A; the reverse part is
    bounded by -beta A and tolerates wrong labels. At uniform p: alpha ln K - beta A (1 - 1/K).
    A = -4 is the paper's; code in use clips the one-hot at 1e-4, which is A = -9.21.
    Use it when labels are wrong and generalised cross-entropy learns too slowly. Limits: three parameters; the
    minimiser is far sharper than the class probabilities. alpha = beta = 1 is poly1 with epsilon = -A.
    Source: Wang et al. 2019, arXiv:1908.06112.
    """

    def __init__(self, *, alpha: float, beta: float, log_zero: float) -> None:
        super().__init__()
        self.alpha = number("alpha", alpha, low=0)
        self.beta = number("beta", beta, low=0)
        self.log_zero = number("log_zero", log_zero, high=0)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = of_class(upcast(logits).log_softmax(-1), targets)
        return -self.alpha * log_p + self.beta * self.log_zero * log_p.expm1()  # 1 - p = -expm1(log p)
