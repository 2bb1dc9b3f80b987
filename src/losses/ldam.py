"""Label-distribution-aware margins."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import counts, number
from .base import ClassWeights, UnseenClassError, WeightedLoss, is_class, of_class, upcast


class LabelDistributionAwareMarginLoss(WeightedLoss):
    """LDAM: cross-entropy of softmax(scale (z - m_y e_y)), with the margin m_k = max_margin (n_min / n_k)^(1/4).

    z are cosines: the network's last layer gives those of its features and of each class's weights. e_y is 1 at the
    example's class, n_k the training examples of class k and n_min the fewest. So the rarer a class, the larger its
    margin. Predictions read softmax(scale z). ``class_weights`` count in evaluation, and in training once the share
    ``reweight_after`` of it is done (deferred re-weighting). At z = 0, unweighted: ln(1 + (K - 1) exp(scale m_y)).
    Use it when classes are unbalanced and each should count the same. Limits: its numbers were found for ResNets that
    train for long, and confidence depends on ``scale``. Every class needs an example.
    Source: Cao et al. 2019, arXiv:1906.07413, eq. 13 and algorithm 1; the cosines are those of the authors' code.
    """

    reads = "features"  # of which it wants the cosines
    cosines = True
    class_counts: Tensor
    share: Tensor

    def __init__(
        self,
        *,
        max_margin: float,
        scale: float,
        class_weights: ClassWeights,
        effective_number_beta: float | None,
        reweight_after: float,
        class_counts: Sequence[int],
    ) -> None:
        super().__init__(
            class_weights=class_weights, effective_number_beta=effective_number_beta, class_counts=class_counts
        )
        self.max_margin = number("max_margin", max_margin, low=0)
        self.scale = number("scale", scale, above=0)
        self.reweight_after = number("reweight_after", reweight_after, low=0, below=1)
        if reweight_after and class_weights is None:
            raise ValueError(f"reweight_after must be 0 unless class_weights are given, got {reweight_after}")
        n = torch.tensor(counts("class_counts", class_counts, low=0), device="cpu")
        if not n.all():
            raise UnseenClassError(
                f"class_counts must be a list of integers >= 1, or a margin is infinite, got {n.tolist()}"
            )
        self.register_buffer("class_counts", n, persistent=False)
        self.register_buffer("share", torch.zeros((), device="cpu"), persistent=False)

    def reached(self, share: float) -> None:
        if self.reweight_after:
            self.share.fill_(share)

    def log_probs(self, logits: Tensor) -> Tensor:
        return (self.scale * upcast(logits)).log_softmax(-1)

    def unweighted(self, logits: Tensor, targets: Tensor) -> Tensor:
        z = upcast(logits)
        z = z - z.amax(-1, keepdim=True).detach()  # or the margin would lose its digits beside large logits
        n = self.class_counts.to(z.dtype)
        margins = self.max_margin * (n.min() / n) ** 0.25
        return -of_class((self.scale * (z - margins * is_class(z, targets))).log_softmax(-1), targets)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        loss = super().forward(logits, targets)
        if self.training and self.reweight_after:
            return torch.where(self.share < self.reweight_after, self.unweighted(logits, targets), loss)
        return loss
