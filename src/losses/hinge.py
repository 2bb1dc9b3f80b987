"""Hinge losses of many classes."""

import torch
from torch import Tensor

from ..checks import choice, number
from .base import ClassificationLoss, is_class, upcast


class HingeLoss(ClassificationLoss):
    """Multiclass hinge: max_{k != y} max(0, m + z_k - z_y), with m = ``margin``; or the sum over k != y of the same.

    Asks that the class beats every other by the margin, and nothing more: examples beyond it have no gradient.
    ``multiclass="crammer_singer"`` takes the worst class, "weston_watkins" the sum (which torch divides by K); they
    are equal for two classes. At z = 0: m and (K - 1) m.
    Use it when only accuracy and margins matter. Limits: scores are no probabilities, so there is no NLL, perplexity or
    calibration; Crammer-Singer is not consistent if no class has a probability above one half.
    Source: Crammer & Singer 2001, On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines; Weston
    & Watkins 1999, Support Vector Machines for Multi-Class Pattern Recognition.
    """

    def __init__(self, *, margin: float, multiclass: str) -> None:
        super().__init__()
        self.margin = number("margin", margin, above=0)
        self.multiclass = choice("multiclass", multiclass, ("crammer_singer", "weston_watkins"))

    def log_probs(self, logits: Tensor) -> None:
        return None

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        z = upcast(logits)
        lead = z - z.gather(-1, targets.unsqueeze(-1))  # first: beside large logits the margin would lose its digits
        excess = (self.margin + lead).masked_fill(is_class(z, targets), -torch.inf).relu()
        return excess.amax(-1) if self.multiclass == "crammer_singer" else excess.sum(-1)
