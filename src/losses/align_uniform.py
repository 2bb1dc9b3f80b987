"""Alignment and uniformity."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import number
from .pairs import PairLoss, of_batch


class AlignmentUniformityLoss(PairLoss):
    """Alignment and uniformity: |a_i - b_i|^alpha + weight * log mean_(i != j) exp(-t |z_i - z_j|^2), of unit vectors.

    The second term is the mean of those of a and of b, and one value of the batch. Views of an example come together,
    and all examples spread over the sphere: what NT-Xent does in the limit of many negatives. If all views are equal
    both terms are 0.
    Use it to weigh the two aims yourself. Limits: the weights decide, and examples of one class are spread too.
    Source: Wang & Isola 2020, arXiv:2005.10242, section 4.1 and its appendix's code.
    """

    parts = ("alignment", "uniformity")

    def __init__(self, *, alpha: float, t: float, weight: float) -> None:
        super().__init__()
        self.alpha = number("alpha", alpha, low=1)
        self.t = number("t", t, above=0)
        self.weight = number("weight", weight, low=0)

    def of(self, a: Tensor, b: Tensor, targets: Tensor | None, rows: slice) -> dict[str, Tensor]:
        a, b = F.normalize(a, dim=-1), F.normalize(b, dim=-1)
        alignment = torch.linalg.vector_norm(a[rows] - b[rows], dim=-1).pow(self.alpha)
        uniformity = (self._uniformity(a) + self._uniformity(b)) / 2
        return {"alignment": alignment, "uniformity": self.weight * of_batch(uniformity, a, rows)}

    def _uniformity(self, z: Tensor) -> Tensor:
        """(N, D) unit vectors -> (): the logarithm of the mean over ordered pairs; 0 if there is none."""
        count = len(z)
        if count < 2:
            return z.new_zeros(())
        potential = (-self.t * (2 - 2 * z @ z.T)).masked_fill(
            torch.eye(count, dtype=torch.bool, device=z.device), -torch.inf
        )
        return potential.flatten().logsumexp(0) - math.log(count * (count - 1))
