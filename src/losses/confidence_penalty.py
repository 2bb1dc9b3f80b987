"""Cross-entropy less a share of the prediction's entropy."""

from torch import Tensor

from ..checks import number
from .base import ClassificationLoss, of_class, upcast


class ConfidencePenaltyLoss(ClassificationLoss):
    """Confidence penalty: -log p_y - beta H(p), with p = softmax(logits) and H(p) = -sum_k p_k log p_k.

    Pays for predictions of high entropy. beta = 0 is cross-entropy; at uniform p: (1 - beta) ln K; it can be negative.
    Use it against over-confidence if label smoothing, which treats all classes alike, is too blunt. Limits:
    probabilities are biased to uniform. At beta >= 1 uniform p may be better than being right.
    Source: Pereyra et al. 2017, arXiv:1701.06548, section 3.
    """

    def __init__(self, *, beta: float) -> None:
        super().__init__()
        self.beta = number("beta", beta, low=0)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = upcast(logits).log_softmax(-1)
        return self.beta * (log_p.exp() * log_p).sum(-1) - of_class(log_p, targets)
