"""Supervised contrastive loss."""

import torch
from torch import Tensor

from ..checks import number
from .pairs import PairLoss, compared, per_example


class SupervisedContrastiveLoss(PairLoss):
    """SupCon: -1/|P| sum_(p in P) log(exp(s_ip / temperature) / sum_(k != i) exp(s_ik / temperature)), s cosines.

    P are all other views of the anchor's class: the mean over positives is outside of the logarithm (L_out). Its own
    other view is among them, so none is without a positive. If all views are equal: ln(2N - 1). (The authors' code
    multiplies by temperature / 0.07.)
    Use it to learn features from labels, without a classifier. Limits: batches must hold several examples of a class;
    a wrong label pulls an example to another class.
    Source: Khosla et al. 2020, arXiv:2004.11362, eq. 2.
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.temperature = number("temperature", temperature, above=0)

    def of(self, a: Tensor, b: Tensor, targets: Tensor | None, rows: slice) -> dict[str, Tensor]:
        if targets is None:
            raise ValueError("supcon learns from classes, and none were given")
        cosine, itself, _ = compared(a, b, rows)  # (2n, 2N)
        log_p = (cosine / self.temperature).masked_fill(itself, -torch.inf).log_softmax(-1)
        positive = (targets[rows].repeat(2)[:, None] == targets.repeat(2)) & ~itself
        return {"loss": -per_example(log_p.masked_fill(~positive, 0.0).sum(-1) / positive.sum(-1))}
