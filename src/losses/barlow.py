"""The loss of Barlow Twins."""

import torch
from torch import Tensor

from ..checks import number
from .pairs import PairLoss, of_batch

EPSILON = 1e-5  # of a variance: BatchNorm's, as in the authors' code


class BarlowTwinsLoss(PairLoss):
    """Barlow Twins: scale * (sum_i (1 - c_ii)^2 + redundancy * sum_(i != j) c_ij^2).

    c (D, D) is the cross-correlation of the views over the batch: each feature is standardised over its N examples, by
    sqrt(variance + 1e-5), without learnt factors. Features agree between views, and say different things. One value of
    the batch. If all views are equal c is 0, and the loss scale * D.
    Use it without negatives. Limits: a statistic of the batch, and its cost grows with D^2; embeddings should be wide.
    Source: Zbontar et al. 2021, arXiv:2103.03230, eq. 1 and 2; scale is of the authors' code.
    """

    parts = ("invariance", "redundancy_reduction")

    def __init__(self, *, redundancy: float, scale: float) -> None:
        super().__init__()
        self.redundancy = number("redundancy", redundancy, low=0)
        self.scale = number("scale", scale, above=0)

    def of(self, a: Tensor, b: Tensor, targets: Tensor | None, rows: slice) -> dict[str, Tensor]:
        c = standardised(a).T @ standardised(b) / len(a)  # (D, D)
        diagonal = torch.eye(len(c), dtype=torch.bool, device=c.device)
        invariance = (1 - c.diagonal()).square().sum()
        others = c.masked_fill(diagonal, 0.0).square().sum()
        return {
            "invariance": self.scale * of_batch(invariance, a, rows),
            "redundancy_reduction": self.scale * self.redundancy * of_batch(others, a, rows),
        }


def standardised(z: Tensor) -> Tensor:
    """(N, D) -> the same, each column of mean 0 and variance 1."""
    z = z - z.mean(0)
    return z * (z.square().mean(0) + EPSILON).rsqrt()
