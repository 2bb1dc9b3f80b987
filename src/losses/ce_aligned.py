"""Cross-entropy of each frame."""

from torch import Tensor

from .alignment import AlignmentLoss
from .base import of_class


class AlignedCrossEntropyLoss(AlignmentLoss):
    """Aligned cross-entropy: -sum_t ln p_t(a_t), a_t the output that is right for frame t and p_t = softmax.

    The likelihood of the one true alignment, which CTC sums over: it is never smaller than CTC. At uniform p:
    T ln(K + 1).
    Use it to see what it costs not to know the alignment: it needs data that do.
    Limits: the frames around a class, of which it does not matter whether they are blank, are forced, too.
    Source: the frame-wise training that Graves et al. 2006, Connectionist Temporal Classification, compare with.
    """

    targets = "alignment"
    compiles = True

    def of(self, log_p: Tensor, targets: Tensor, path: Tensor | None) -> Tensor:
        if path is None or path.shape != log_p.shape[:2]:
            got = None if path is None else tuple(path.shape)
            raise ValueError(f"path must say what each frame is, {tuple(log_p.shape[:2])}, got {got}")
        return -of_class(log_p, path).sum(1)
