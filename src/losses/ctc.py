"""Connectionist temporal classification."""

from torch import Tensor

from ..checks import choice
from .alignment import AlignmentLoss, ctc


class CTCLoss(AlignmentLoss):
    """CTC: -ln sum over all alignments of prod_t p_t(output), with p_t = softmax(logits of frame t).

    The likelihood of the sequence, whatever frame each of its classes is read in. With ``reduction="line"`` it is that
    sum of a line, so that the mean over lines is the likelihood. With "length" it is divided by the classes of the line
    (by 1 if it is empty), as torch's and Keras's users often have it: lines then weigh the same whatever their length,
    and a class in a short line weighs more. At uniform p: T ln(K + 1) - ln C(T + U - r, 2 U), for U classes of which r
    equal their left neighbour; over U for "length".
    Use it for a sequence whose alignment nobody knows: text in an image, speech.
    Limits: frames are independent given the input, so it learns no language; its frames are blank but for a peak a
    class; early in training all of them are blank.
    Source: Graves et al. 2006, Connectionist Temporal Classification, section 4.
    """

    def __init__(self, *, reduction: str) -> None:
        super().__init__()
        self.reduction = choice("reduction", reduction, ("line", "length"))

    def of(self, log_p: Tensor, targets: Tensor, path: Tensor | None) -> Tensor:
        nll = ctc(log_p, targets)
        return nll if self.reduction == "line" else nll / (targets >= 0).sum(1).clamp_min(1)
