"""Kullback-Leibler divergence."""

import torch
from torch import Tensor

from .base import ClassificationLoss, distribution, upcast


class KullbackLeiblerLoss(ClassificationLoss):
    """Kullback-Leibler divergence: KL(q || p) = sum_k q_k (log q_k - log p_k), with p = softmax(logits), 0 log 0 = 0.

    Cross-entropy minus the target's own entropy: the same gradient, and 0 at p = q. For a class it is cross-entropy.
    At uniform p: ln K - H(q), which is ln K for a class.
    Use it with target distributions, to see the distance to them that is left. Limits: those of cross-entropy.
    Source: Kullback & Leibler 1951, On Information and Sufficiency.
    """

    soft_targets = True

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = upcast(logits).log_softmax(-1)
        q = distribution(targets, log_p)
        return (torch.xlogy(q, q) - q * log_p).sum(-1)
