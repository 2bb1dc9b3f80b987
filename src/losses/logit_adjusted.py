"""Logit-adjusted cross-entropy."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import counts, number
from .base import ClassificationLoss, UnseenClassError, of_class, upcast


class LogitAdjustedLoss(ClassificationLoss):
    """Logit adjustment: cross-entropy of softmax(z + tau log pi), pi the class frequencies of the training split.

    The prior is added in training and left out of predictions, which read softmax(z): that learns eta_k / pi_k^tau,
    normalised, so rare classes are not neglected. Uniform pi and tau = 0 are cross-entropy. At z = 0: -log pi_y at
    tau = 1.
    Use it when classes are unbalanced and each should count the same (balanced error). Limits: probabilities are those
    of a balanced world, so NLL and calibration on test data as unbalanced as the training split are worse. Every class
    needs an example.
    Source: Menon et al. 2021, arXiv:2007.07314, eq. 10.
    """

    class_counts: Tensor

    def __init__(self, *, tau: float, class_counts: Sequence[int]) -> None:
        super().__init__()
        self.tau = number("tau", tau, low=0)
        # Integers: moving the module to bfloat16 leaves them exact.
        n = torch.tensor(counts("class_counts", class_counts, low=0))
        if not n.all():
            raise UnseenClassError(
                f"class_counts must be a list of integers >= 1, which have a logarithm, got {n.tolist()}"
            )
        self.register_buffer("class_counts", n, persistent=False)

    def shifted(self, logits: Tensor, tau: float) -> Tensor:
        """(N, K) -> (N, K): log softmax(z + tau log pi)."""
        z = upcast(logits)
        z = z - z.amax(-1, keepdim=True).detach()  # or the prior would lose its digits beside large logits
        counts = self.class_counts.to(z)  # answers of a test are on the CPU, wherever the loss is
        return (z + tau * (counts / counts.sum()).log()).log_softmax(-1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return -of_class(self.shifted(logits, self.tau), targets)
