"""Cross-entropy."""

from torch import Tensor

from src.losses.base import ClassificationLoss, expectation, upcast


class CrossEntropyLoss(ClassificationLoss):
    """Cross-entropy: -log p_y, with p = softmax(logits); for a target distribution q, H(q, p) = -sum_k q_k log p_k.

    The negative log-likelihood of the target; H(q, p) = H(q) + KL(q || p), so it is least, H(q), at p = q.
    At uniform p: ln K.
    Source: Shannon 1948, A Mathematical Theory of Communication.
    """

    soft_targets = True

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return -expectation(upcast(logits).log_softmax(-1), targets)
