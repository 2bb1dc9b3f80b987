"""Cross-entropy whose predictions are adjusted to balanced classes afterwards."""

from torch import Tensor

from .base import of_class, upcast
from .logit_adjusted import LogitAdjustedLoss


class PostHocAdjustedLoss(LogitAdjustedLoss):
    """Post-hoc logit adjustment: cross-entropy of softmax(z); predictions read softmax(z - tau log pi).

    pi are the class frequencies of the training split. Training is that of cross-entropy; only what is predicted
    changes: eta_k / pi_k^tau, normalised, so rare classes are not neglected. Uniform pi and tau = 0 are cross-entropy.
    At z = 0: ln K.
    Use it when classes are unbalanced and each should count the same, and the network should stay as it is. Limits: as
    of `logit_adjusted`, and what training did not learn of rare classes is not there to be adjusted.
    Source: Menon et al. 2021, arXiv:2007.07314, eq. 9.
    """

    def log_probs(self, logits: Tensor) -> Tensor:
        return self.shifted(logits, -self.tau)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return -of_class(upcast(logits).log_softmax(-1), targets)
