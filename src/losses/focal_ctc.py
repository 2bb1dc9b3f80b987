"""Focal CTC."""

import torch
from torch import Tensor

from ..checks import number
from .alignment import AlignmentLoss, ctc


class FocalCTCLoss(AlignmentLoss):
    """Focal CTC: (1 - P)^gamma * -ln P, with P = exp(-CTC), the probability of the sequence.

    Down-weights lines that are already read. gamma = 0 is ``ctc`` summed a line. At uniform p, P is so small that it is
    CTC: T ln(K + 1) - ln C(T + U - r, 2 U).
    Use it when easy lines outnumber the few hard ones.
    Limits: P of a long line is near 0 until it is read, so the weight is 1 for most of training; its minimiser is not
    the true probabilities.
    Source: Feng et al. 2019, Focal CTC Loss for Chinese Optical Character Recognition on Unbalanced Datasets.
    """

    def __init__(self, *, gamma: float) -> None:
        super().__init__()
        self.gamma = number("gamma", gamma, low=0)

    def of(self, log_p: Tensor, targets: Tensor, path: Tensor | None) -> Tensor:
        nll = ctc(log_p, targets)
        # The power is taken in the logarithm, of at least the smallest normal number: for gamma < 1 its derivative at 0
        # is infinite, and 0 times that no number. Rounding may even leave a probability just above 1.
        wrong = (-torch.expm1(-nll)).clamp_min(torch.finfo(nll.dtype).tiny)
        return (self.gamma * wrong.log()).exp() * nll
