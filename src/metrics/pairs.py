"""How well two views of an example find each other among the views of a batch: the same for every loss."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.5  # of the softmax whose bound is measured


def pair_scores(a: Tensor, b: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
    """(N, D), (N, D) -> (n,), (n,), of the wanted examples, the mean of both of their views.

    Accuracy: whether its own other view is nearer, by cosine, than every view of another example; a tie does not count.
    Bound, in nats: ln(2N - 1) + log(exp(s_ij / 0.5) / sum_(k != i) exp(s_ik / 0.5)), a lower bound of the mutual
    information of the views. Source: van den Oord et al. 2018, arXiv:1807.03748, section 2.3.
    """
    z = F.normalize(torch.cat([a, b]).float() if a.dtype != torch.float64 else torch.cat([a, b]), dim=-1)
    views, count = torch.arange(len(z), device=z.device), len(a)
    anchors = torch.cat([views[:count][rows], views[count:][rows]])  # (2n,)
    itself = anchors[:, None] == views
    cosine = (z[anchors] @ z.T).masked_fill(itself, -torch.inf)  # (2n, 2N)
    other = itself.roll(count, 1)
    pair = cosine.masked_fill(~other, 0.0).sum(-1)
    right = pair > cosine.masked_fill(other, -torch.inf).amax(-1)
    bound = math.log(2 * count - 1) + pair / TEMPERATURE - (cosine / TEMPERATURE).logsumexp(-1)
    both = (2, len(anchors) // 2)
    return right.to(z.dtype).view(both).mean(0), bound.view(both).mean(0)
