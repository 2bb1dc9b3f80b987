"""The family of losses of sequences: what a loss over frames is given where nobody says which frame is what."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import Loss, upcast

BLANK = 0  # the output of a frame that stands for no class; class k is output k + 1


@torch.compiler.disable  # the size of what torch's function keeps depends on the targets: no graph can hold it
def ctc(log_p: Tensor, targets: Tensor) -> Tensor:
    """(N, T, K + 1), (N, U) -> (N,): -ln of the probability that the T frames spell the sequence, in nats.

    ``log_p`` are normalised over the K + 1 outputs, blank first; ``targets`` are classes, -1 behind the end. Frames
    spell a sequence if it is what is left after equal neighbours are merged and blanks are taken out. The probability
    is the sum over all ways to do so. It is 0, and the result infinite, for a sequence with more classes, and blanks
    between equal neighbours, than there are frames. Of an empty sequence it is that of T blanks.
    Source: Graves et al. 2006, Connectionist Temporal Classification, equations 3 and 8.
    """
    lines, frames, _ = log_p.shape
    if lines == 0:  # which torch refuses
        return log_p.sum((1, 2))
    lengths, given = (targets >= 0).sum(1), torch.full((lines,), frames, device=targets.device)
    return F.ctc_loss(log_p.transpose(0, 1), targets + 1, given, lengths, blank=BLANK, reduction="none")


class AlignmentLoss(Loss):
    """Loss of the logits of T frames and a sequence of classes: ``forward(logits, targets, path) -> (N,)``.

    logits (N, T, K + 1), blank first; targets (N, U), classes with -1 behind the end; path (N, T), the output that is
    right for each frame, where that is known, else None. Every loss takes the logarithm of the softmax itself, since
    torch's CTC takes logits without a word, and its value is none then. All are judged by ``nll``.
    """

    reads = "frames"
    compiles = False
    targets: ClassVar[str] = "sequence or alignment"

    def outputs(self, num_classes: int) -> int:
        """One for each class, and one for the blank."""
        return num_classes + 1

    def log_probs(self, logits: Tensor) -> Tensor:
        """(N, T, K + 1) -> (N, T, K + 1): log P(output) of each frame."""
        return upcast(logits).log_softmax(-1)

    def nll(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(N, T, K + 1), (N, U) -> (N,): -ln of the probability of each sequence, whatever the loss minimises."""
        return ctc(self.log_probs(logits), targets)

    def of(self, log_p: Tensor, targets: Tensor, path: Tensor | None) -> Tensor:
        """(N, T, K + 1), (N, U), (N, T) or None -> (N,): the loss, of frames that are log-probabilities."""
        raise NotImplementedError

    def forward(self, logits: Tensor, targets: Tensor, path: Tensor | None = None) -> Tensor:
        """(N, T, K + 1), (N, U), (N, T) or None -> (N,): one number per line."""
        if logits.ndim != 3 or targets.ndim != 2 or len(logits) != len(targets):
            raise ValueError(
                "logits must be of lines, frames and outputs, (N, T, K + 1), targets of the same lines, (N, U), got"
                f" {tuple(logits.shape)} and {tuple(targets.shape)}"
            )
        return self.of(self.log_probs(logits), targets, path)
