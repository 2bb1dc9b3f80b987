"""Cross-entropy."""

from collections.abc import Sequence

from torch import Tensor

from .base import ClassWeights, WeightedLoss, expectation, upcast


class CrossEntropyLoss(WeightedLoss):
    """Cross-entropy: -log p_y, with p = softmax(logits); for a target distribution q, H(q, p) = -sum_k q_k log p_k.

    The negative log-likelihood of the target; H(q, p) = H(q) + KL(q || p), so it is smallest, H(q), at p = q.
    At uniform p: ln K.
    Use it first: every other loss is judged against it. Limits: over-confident once the training set is fitted, and a
    wrong label costs without bound.
    Source: Shannon 1948, A Mathematical Theory of Communication.
    """

    soft_targets = True

    def __init__(
        self,
        *,
        class_weights: ClassWeights,
        effective_number_beta: float | None,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            class_weights=class_weights, effective_number_beta=effective_number_beta, class_counts=class_counts
        )

    def unweighted(self, logits: Tensor, targets: Tensor) -> Tensor:
        return -expectation(upcast(logits).log_softmax(-1), targets)
