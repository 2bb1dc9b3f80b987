"""Triplet loss with the hardest negative of the batch."""

import torch
from torch import Tensor

from ..checks import number
from .pairs import PairLoss, compared, of_other, per_example


class TripletLoss(PairLoss):
    """Triplet: max(0, d(i, j) - min_k d(i, k) + margin), d the squared distance of normalised views, d = 2 - 2 cosine.

    j is the other view of the anchor's example, k the nearest view of any other example of the batch. If all views are
    equal: the margin, and there it may stay, for the hardest negatives pull towards that collapse.
    Use it to see what a hard margin does beside a softmax. Limits: one negative an anchor, and the hardest one is
    often of the same class.
    Source: Schroff et al. 2015, arXiv:1503.03832, eq. 1; Hermans et al. 2017, arXiv:1703.07737, eq. 5 (batch hard).
    """

    def __init__(self, *, margin: float) -> None:
        super().__init__()
        self.margin = number("margin", margin, low=0)

    def of(self, a: Tensor, b: Tensor, targets: Tensor | None, rows: slice) -> dict[str, Tensor]:
        cosine, itself, other = compared(a, b, rows)  # (2n, 2N)
        nearest = cosine.masked_fill(itself | other, -torch.inf).amax(-1)
        return {"loss": per_example((2 * (nearest - of_other(cosine, other)) + self.margin).relu())}
