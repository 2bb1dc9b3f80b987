"""CTC with smoothed frames."""

import math

from torch import Tensor

from ..checks import number
from .alignment import AlignmentLoss, ctc


class SmoothedCTCLoss(AlignmentLoss):
    """Smoothed CTC: CTC + alpha mean_t KL(u || p_t), with u uniform over the K + 1 outputs and p_t = softmax.

    Keeps the outputs of each frame from extremes, the blank among them. KL(u || p) = -ln(K + 1) - mean_k ln p_k.
    alpha = 0 is ``ctc`` summed a line; at uniform p the second term is 0.
    Use it against frames that are sure of themselves, and wrong.
    Limits: what it does to a line depends on the number of frames, through the first term; probabilities are biased to
    uniform, and that of the whole sequence is a product over frames, so it falls.
    Source: Kim et al. 2018, arXiv:1711.02212, who smooth CTC by such a term; alpha and the mean over frames are xent's.
    """

    def __init__(self, *, alpha: float) -> None:
        super().__init__()
        self.alpha = number("alpha", alpha, low=0)

    def of(self, log_p: Tensor, targets: Tensor, path: Tensor | None) -> Tensor:
        divergence = -math.log(log_p.shape[-1]) - log_p.mean((1, 2))
        return ctc(log_p, targets) + self.alpha * divergence
