"""Brier score."""

from torch import Tensor

from .base import ClassificationLoss, is_class, upcast


class BrierLoss(ClassificationLoss):
    """Brier score: sum_k (p_k - q_k)^2, with p = softmax(logits).

    A proper score that is bounded by 2, so that one wrong label cannot cost more. At uniform p, for a class: 1 - 1/K.
    The sum over classes is K times the mean squared error of the probabilities.
    Use it when labels are noisy and probabilities must still be right. Limits: the gradient vanishes where the model is
    confidently wrong, so early training is slow with many classes.
    Source: Brier 1950, Verification of Forecasts Expressed in Terms of Probability.
    """

    soft_targets = True

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        p = upcast(logits).log_softmax(-1).exp()
        if targets.is_floating_point():
            return (p - targets).square().sum(-1)
        others = p.masked_fill(is_class(p, targets), 0.0)
        return others.square().sum(-1) + others.sum(-1).square()  # 1 - p_y, which would round, is their sum
