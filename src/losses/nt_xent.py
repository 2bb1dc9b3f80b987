"""The loss of SimCLR."""

import torch
from torch import Tensor

from ..checks import number
from .pairs import PairLoss, compared, of_other, per_example


class NormalisedTemperatureCrossEntropyLoss(PairLoss):
    """NT-Xent: -log(exp(s_ij / temperature) / sum_(k != i) exp(s_ik / temperature)), s the cosines of 2N views.

    Cross-entropy over the question which of the other 2N - 1 views of the batch is of the same example; the mean of
    both views. If all views are equal: ln(2N - 1); ln(2N - 1) less the loss bounds the mutual information of the views
    from below. (The authors' code adds both views and so gives twice this.)
    Use it first where there are no labels. Limits: its value depends on the batch size, so curves of different
    batches do not compare; other examples of the same class are pushed away too, and small batches have few negatives.
    Source: Chen et al. 2020, arXiv:2002.05709, eq. 1; van den Oord et al. 2018, arXiv:1807.03748, section 2.3 (bound).
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.temperature = number("temperature", temperature, above=0)

    def of(self, a: Tensor, b: Tensor, targets: Tensor | None, rows: slice) -> dict[str, Tensor]:
        cosine, itself, other = compared(a, b, rows)  # (2n, 2N)
        log_p = (cosine / self.temperature).masked_fill(itself, -torch.inf).log_softmax(-1)
        return {"loss": -per_example(of_other(log_p, other))}
