"""Cross-entropy of normalised logits."""

from torch import Tensor

from ..checks import number
from .base import ClassificationLoss, of_class, upcast

SMALLEST_NORM = 1e-7  # the authors' code adds it to the norm; as a floor it leaves the loss free of the logits' scale


class LogitNormLoss(ClassificationLoss):
    """Logit normalisation: cross-entropy of softmax(z / (tau ||z||)), with the Euclidean norm over classes.

    Only the direction of the logits counts, so training cannot raise confidence by their length. The link is that
    softmax: softmax(z) has an arbitrary temperature. It recovers every distribution whose centred log-probabilities
    are no longer than 1 / tau. At z = 0 (norms below 1e-7 count as 1e-7): ln K.
    Use it when confidence must tell unknown inputs from known ones. Limits: the gradient grows as 1 / ||z||, so a head
    that starts at 0 takes a huge first step; a large tau bounds the loss away from 0.
    Source: Wei et al. 2022, arXiv:2205.09310 (tau = 0.04 for CIFAR-10; the authors' code has 0.01 for some data).
    """

    def __init__(self, *, tau: float) -> None:
        super().__init__()
        self.tau = number("tau", tau, above=0)

    def log_probs(self, logits: Tensor) -> Tensor:
        z = upcast(logits)
        # torch's norm has no second derivative at 0
        norm = z.square().sum(-1, keepdim=True).clamp_min(SMALLEST_NORM**2).sqrt()
        z = z - z.amax(-1, keepdim=True).detach()  # or a small tau would magnify the rounding of large logits
        return (z / (self.tau * norm)).log_softmax(-1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return -of_class(self.log_probs(logits), targets)
