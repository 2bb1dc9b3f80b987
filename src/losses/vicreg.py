"""Variance-invariance-covariance regularisation."""

import torch
from torch import Tensor

from ..checks import number
from .pairs import PairLoss, of_batch

EPSILON = 1e-4  # of a variance: Bardes et al. 2022, eq. 2


class VICRegLoss(PairLoss):
    """VICReg: invariance * mean_d (a_id - b_id)^2 + variance * v + covariance * c.

    v: the mean over both views and all D features of max(0, 1 - sqrt(Var + 1e-4)). c: of both views, the sum of the
    squared covariances of different features, divided by D. Views of an example agree, no feature dies, and features
    say different things. Variances are over the N examples, divided by N - 1. v and c are values of the batch. If all
    views are equal: 0.99 * variance.
    Use it without negatives. Limits: statistics of the batch; embeddings are not normalised, so the invariance
    term has their scale. (Some ports add the views' variance terms, twice this weight.)
    Source: Bardes et al. 2022, arXiv:2105.04906, eq. 1 to 6; v is halved as in the authors' code.
    """

    parts = ("invariance", "variance", "covariance")

    def __init__(self, *, invariance: float, variance: float, covariance: float) -> None:
        super().__init__()
        self.invariance = number("invariance", invariance, low=0)
        self.variance = number("variance", variance, low=0)
        self.covariance = number("covariance", covariance, low=0)

    def of(self, a: Tensor, b: Tensor, targets: Tensor | None, rows: slice) -> dict[str, Tensor]:
        (variance_a, covariance_a), (variance_b, covariance_b) = spread(a), spread(b)
        return {
            "invariance": self.invariance * (a[rows] - b[rows]).square().mean(-1),
            "variance": self.variance * of_batch((variance_a + variance_b) / 2, a, rows),
            "covariance": self.covariance * of_batch(covariance_a + covariance_b, a, rows),
        }


def spread(z: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D) -> (), (): how far standard deviations are below 1, and how large the covariances of features are."""
    count, width = z.shape
    z = z - z.mean(0)
    covariance = z.T @ z / max(1, count - 1)  # (D, D)
    low = (1 - (covariance.diagonal() + EPSILON).sqrt()).relu().mean()
    diagonal = torch.eye(width, dtype=torch.bool, device=z.device)
    return low, covariance.masked_fill(diagonal, 0.0).square().sum() / width
