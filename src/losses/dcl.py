"""Decoupled contrastive loss."""

import torch
from torch import Tensor

from ..checks import number
from .pairs import PairLoss, compared, of_other, per_example


class DecoupledContrastiveLoss(PairLoss):
    """DCL: -s_ij / temperature + log sum_k exp(s_ik / temperature), over the 2N - 2 views k of other examples.

    NT-Xent without the pair in its own denominator, so that easy pairs do not lose their gradient in small batches; it
    may be negative. If all views are equal: ln(2N - 2). A batch of one example has no negatives, and only the first
    term.
    Use it where batches are small. Limits: no bound of an information, and it has no lowest value of its own.
    Source: Yeh et al. 2022, arXiv:2110.06848, section 3.1.
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.temperature = number("temperature", temperature, above=0)

    def of(self, a: Tensor, b: Tensor, targets: Tensor | None, rows: slice) -> dict[str, Tensor]:
        cosine, itself, other = compared(a, b, rows)  # (2n, 2N)
        s = cosine / self.temperature
        loss = -of_other(s, other)
        if len(a) > 1:
            loss = loss + s.masked_fill(itself | other, -torch.inf).logsumexp(-1)
        return {"loss": per_example(loss)}
