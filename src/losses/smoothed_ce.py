"""Cross-entropy with smoothed labels."""

from torch import Tensor

from src.checks import choice, number
from src.losses.base import ClassificationLoss, expectation, upcast


class SmoothedCrossEntropyLoss(ClassificationLoss):
    """Label smoothing: H(q', p) with q' = (1 - a) q + a / K, a = ``smoothing`` and p = softmax(logits).

    Keeps logits finite: the best p_y is 1 - a + a / K, not 1, and the floor is H(q') > 0. With ``spread="others"`` a is
    shared by the other K - 1 classes alone, which equals spread "all" at a K / (K - 1).
    a = 0 is cross-entropy; at uniform p: ln K.
    Source: Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """

    soft_targets = True

    def __init__(self, *, smoothing: float, spread: str) -> None:
        super().__init__()
        self.smoothing = number("smoothing", smoothing, low=0, high=1)
        self.spread = choice("spread", spread, ("all", "others"))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = upcast(logits).log_softmax(-1)
        classes = log_p.shape[-1]
        a = self.smoothing if self.spread == "all" else self.smoothing * classes / (classes - 1)
        return -(1 - a) * expectation(log_p, targets) - a * log_p.mean(-1)
