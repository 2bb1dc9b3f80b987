"""Binary cross-entropy, one class against the rest."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import number
from .base import ClassWeights, WeightedLoss, is_class, upcast


class BinaryCrossEntropyLoss(WeightedLoss):
    """Binary cross-entropy: sum_k [softplus(z_k) - q'_k z_k], with q' = q (1 - a) + a / 2 and a = ``smoothing``.

    Each class is a yes-or-no question against the rest, so sigmoid(z_k) learns P(class k); two classes need one logit,
    z = log P(1) / P(0). At z = 0: K ln 2 (one logit: ln 2), whatever the smoothing. The sum over classes is K times the
    mean that torch and timm take. Class weights multiply the whole sum, w_y times all K questions of an example of
    class y; they do not weigh question k by w_k, as torch's ``weight`` does.
    Use it when an example may belong to several classes or to none, or with mixed images. Limits: the sum has about K
    times the gradient of cross-entropy, so it needs a learning rate of its own.
    Source: Cox 1958, The Regression Analysis of Binary Sequences; for many classes Beyer et al. 2020, arXiv:2006.07159.
    """

    soft_targets = True

    def __init__(
        self,
        *,
        smoothing: float,
        class_weights: ClassWeights,
        effective_number_beta: float | None,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            class_weights=class_weights, effective_number_beta=effective_number_beta, class_counts=class_counts
        )
        self.smoothing = number("smoothing", smoothing, low=0, high=1)

    def outputs(self, num_classes: int) -> int:
        return 1 if num_classes == 2 else num_classes

    def log_probs(self, logits: Tensor) -> Tensor:
        z = upcast(logits)
        if z.shape[-1] == 1:
            return torch.cat([F.logsigmoid(-z), F.logsigmoid(z)], -1)
        return F.logsigmoid(z).log_softmax(-1)  # normalised sigmoids: log_softmax subtracts their logsumexp

    def unweighted(self, logits: Tensor, targets: Tensor) -> Tensor:
        z = upcast(logits)
        yes, rest = self._answers(z, targets)
        # softplus(z) - q z cancels for q near 1: with t = z or -z, of the likelier answer, it is softplus(-t) + rest t
        t = torch.where(yes, 1.0, -1.0) * z
        rest = rest * (1 - self.smoothing) + self.smoothing / 2
        return (rest * t - F.logsigmoid(t)).sum(-1)

    @staticmethod
    def _answers(z: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | float]:
        """(N, outputs) the likelier answer to each logit's question, and the probability of the other, at most 1/2."""
        if targets.is_floating_point():
            q = (targets[..., 1:] if z.shape[-1] == 1 else targets).to(z.dtype)
            return q > 0.5, torch.minimum(q, 1 - q)
        return (targets.unsqueeze(-1) == 1 if z.shape[-1] == 1 else is_class(z, targets)), 0.0
