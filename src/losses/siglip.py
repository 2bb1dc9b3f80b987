"""The pairwise sigmoid loss of SigLIP."""

import math

from torch import Tensor
from torch.nn.functional import softplus

from .base import Scalar
from .towers import EVERY, TowerLoss


class SigmoidLanguageImageLoss(TowerLoss):
    """SigLIP: sum_j log(1 + exp(-y_ij (e^s a_i.b_j + bias))), y_ij = 1 if image i and caption j are a pair, else -1.

    Each image and each caption of the batch are a yes-or-no question of their own, without a softmax. The mean over N
    images divides the sum by N, not by N^2. s starts at ln 10 and e^s stays below 100; the bias starts at -ln(N - 1),
    N being data.batch_size, so that a pair has the probability 1/N that it has by chance (the paper's -10 is made for
    batches of 32,768, and small ones hardly move it). At logits of 0 it is N ln 2. Another pair of the batch with the
    same caption is a no (negatives), a yes (soft; each question is one of its own, so no mass is divided), or not asked
    (masked).
    Use it where batches are large, or cut over devices: a question needs no other. Limits: most questions are a no, so
    small batches teach slowly; the bias cancels where captions compete for an image, as in a test.
    Source: Zhai et al. 2023, arXiv:2303.15343, eq. 1 and algorithm 1.
    """

    scale = 10.0

    def __init__(self, *, duplicates: str, fixed_scale: float | None) -> None:
        super().__init__(duplicates=duplicates, fixed_scale=fixed_scale)

    def scalars(self, batch_size: int) -> dict[str, Scalar]:
        return super().scalars(batch_size) | {"bias": Scalar(-math.log(max(1, batch_size - 1)))}

    def forward(
        self, images: Tensor, texts: Tensor, captions: Tensor, *, log_scale: Tensor, bias: Tensor, rows: slice = EVERY
    ) -> Tensor:
        own, others = self.pairs(captions, rows)
        z = self.similarities(images[rows], texts, log_scale) + bias  # (n, N)
        yes = (own | others) if self.duplicates == "soft" else own
        loss = softplus(z.where(~yes, -z))
        return (loss.masked_fill(others, 0.0) if self.duplicates == "masked" else loss).sum(-1)
