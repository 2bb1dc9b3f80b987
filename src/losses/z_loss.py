"""Cross-entropy that holds the size of the logits."""

from torch import Tensor

from ..checks import number
from .base import ClassificationLoss, expectation, upcast


class ZLoss(ClassificationLoss):
    """z-loss: -log p_y + weight (log Z)^2, with log Z = logsumexp(z) and p = softmax(z).

    Keeps log Z near 0, so that logits do not drift; softmax alone does not see a shift of all of them. ``softcap`` c
    puts c tanh(z / c) in the place of z, in the loss and in the link: no logit is larger than c.
    weight = 0 without softcap is cross-entropy; at z = 0: ln K + weight (ln K)^2.
    Use it for large language models, where logits that drift cost digits of bfloat16. The minimiser is the class
    probabilities, with log Z = 0. Limits: with softcap c no two log-probabilities are further apart than 2c.
    Source: Chowdhery et al. 2022 (PaLM), arXiv:2204.02311, section 5 (weight 1e-4); softcap of 30: Gemma Team 2024,
    arXiv:2408.00118, section 2.
    """

    soft_targets = True

    def __init__(self, *, weight: float, softcap: float | None) -> None:
        super().__init__()
        self.weight = number("weight", weight, low=0)
        self.softcap = None if softcap is None else number("softcap", softcap, above=0)

    def capped(self, logits: Tensor) -> Tensor:
        """(N, K) -> (N, K) in float32 at least: the logits, none larger than the cap."""
        z = upcast(logits)
        return z if self.softcap is None else self.softcap * (z / self.softcap).tanh()

    def log_probs(self, logits: Tensor) -> Tensor:
        return self.capped(logits).log_softmax(-1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        z = self.capped(logits)
        return self.weight * z.logsumexp(-1).square() - expectation(z.log_softmax(-1), targets)
