"""The sigmoid loss of SigLIP, of two views of an image."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..checks import number
from .pairs import PairLoss


class SigmoidPairLoss(PairLoss):
    """SigLIP of views: sum_j log(1 + exp(-y_ij (scale * cosine(a_i, b_j) + bias))), y_ij = 1 if i = j, else -1.

    Each of the N^2 pairs of a first and a second view is a yes-or-no question of its own, without a softmax. At logits
    0: N ln 2. A bias of null is -ln(N - 1): the odds that a pair has by chance. Scale and bias are fixed here; in the
    paper they are learnt.
    Use it to see whether the softmax of NT-Xent matters. Limits: the views are not symmetric, a view never meets others
    of its own side, and the sum grows with the batch.
    Source: Zhai et al. 2023, arXiv:2303.15343, eq. 1.
    """

    def __init__(self, *, scale: float, bias: float | None) -> None:
        super().__init__()
        self.scale = number("scale", scale, above=0)
        self.bias = None if bias is None else number("bias", bias)

    def of(self, a: Tensor, b: Tensor, targets: Tensor | None, rows: slice) -> dict[str, Tensor]:
        bias = -math.log(max(1, len(a) - 1)) if self.bias is None else self.bias
        z = self.scale * F.normalize(a, dim=-1)[rows] @ F.normalize(b, dim=-1).T + bias  # (n, N)
        places = torch.arange(len(a), device=a.device)
        pair = places[rows, None] == places
        return {"loss": F.softplus(torch.where(pair, -z, z)).sum(-1)}
