"""Cross-entropy with the maximum mean calibration error."""

from torch import Tensor

from ..checks import number
from .base import ClassificationLoss, of_class, upcast


class MaximumMeanCalibrationErrorLoss(ClassificationLoss):
    """MMCE: -log p_y + penalty * sqrt(sum_ij (c_i - r_i)(c_j - r_j) exp(-|r_i - r_j| / width) / m^2 + 1e-10).

    r is the confidence max_k p_k of each of the batch's m examples, c whether it is right (0 or 1, no gradient); the
    root, a kernel form of the calibration error, is added equally to every example. penalty = 0 is cross-entropy.
    This is the paper's MMCE_m; the tables of Mukhoti et al. 2020 use MMCE_w, which weighs right and wrong answers
    separately.
    Use it to train for calibration itself. Limits: a statistic of the batch, so small batches are noisy, its cost is
    m^2, and accumulated, per-rank or text batches would give another loss.
    Source: Kumar et al. 2018, Trainable Calibration Measures for Neural Networks from Kernel Mean Embeddings (ICML).
    """

    batch_statistic = "penalty"

    def __init__(self, *, penalty: float, width: float) -> None:
        super().__init__()
        self.penalty = number("penalty", penalty, low=0)
        self.width = number("width", width, above=0)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        z = upcast(logits)
        log_p = z.log_softmax(-1)
        r = log_p.amax(-1).exp()
        gap = (z.argmax(-1) == targets).to(z.dtype) - r
        kernel = (-(r.unsqueeze(-1) - r.unsqueeze(-2)).abs() / self.width).exp()
        # The form is never negative, but its rounded value can be, where the root has no value.
        squared = (gap.unsqueeze(-1) * gap.unsqueeze(-2) * kernel).mean((-2, -1)).clamp_min(0.0)
        return self.penalty * (squared + 1e-10).sqrt() - of_class(log_p, targets)
