"""Which class the nearest neighbours of a feature have."""

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

NEIGHBOURS = 20
TEMPERATURE = 0.07  # of their votes
AT_ONCE = 2**24  # similarities that are held at a time


def nearest(features: Tensor, bank: Tensor, k: int, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """(M, D), (N, D) -> (M, k) each: the cosines with the k nearest rows of ``bank``, the largest first, and which rows
    they are. All N where there are fewer. If both are the ``same``, a row is no neighbour of its own."""
    known, asked = normalize(bank, dim=-1), normalize(features, dim=-1)
    rows = max(1, AT_ONCE // len(known))
    found = []
    for start in range(0, len(asked), rows):
        cosines = asked[start : start + rows] @ known.T  # (rows, N)
        if same:
            cosines.diagonal(start).fill_(-torch.inf)
        found.append(cosines.topk(min(k, len(known) - same), dim=-1))
    return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])


def classified(features: Tensor, bank: Tensor, targets: Tensor, classes: int, *, same: bool = False) -> Tensor:
    """(M, D), (N, D), (N,) classes of ``bank`` -> (M,): the class to which the 20 nearest rows give most votes.

    Near is of large cosine, and a neighbour's vote is e^(cosine / 0.07). Source: Wu et al. 2018, arXiv:1805.01978,
    section 3.4 (k = 200); k = 20 as in solo-learn.
    """
    cosines, rows = nearest(features, bank, NEIGHBOURS, same=same)
    votes = ((cosines - 1) / TEMPERATURE).exp()[..., None] * one_hot(targets[rows], classes)  # (M, k, K)
    return votes.sum(1).argmax(-1)
