"""Knowledge distillation."""

from torch import Tensor

from ..checks import number
from .base import DistillationLoss, expectation, upcast


class KnowledgeDistillationLoss(DistillationLoss):
    """Distillation: (1 - alpha) H(q, softmax(z)) + alpha T^2 KL(softmax(t / T) || softmax(z / T)).

    The student z learns the labels (the term ``hard``) and the softened probabilities of the teacher t (``soft``); T^2
    keeps the size of the soft gradient as T = ``temperature`` grows. The KL is summed over classes. alpha = 0 is
    cross-entropy; alpha = 1 is 0 at z = t. At uniform p: (1 - alpha) ln K + alpha T^2 (ln K - H(softmax(t / T))).
    Use it to train a small model if a better one exists. Limits: the student inherits the teacher's errors and its
    calibration; a teacher trained with smoothed labels teaches less.
    Source: Hinton, Vinyals & Dean 2015, arXiv:1503.02531, section 2 (there the cross-entropy to the teacher: the same
    gradient, another constant).
    """

    soft_targets = True
    parts = ("hard", "soft")

    def __init__(self, *, alpha: float, temperature: float) -> None:
        super().__init__()
        self.alpha = number("alpha", alpha, low=0, high=1)
        self.temperature = number("temperature", temperature, above=0)

    def terms(self, student: Tensor, teacher: Tensor, targets: Tensor) -> dict[str, Tensor]:
        z = upcast(student)
        log_p = z.log_softmax(-1)
        # In float64: the divergence is of the size 1 / T^2, a sum of terms of the size 1 / T, and T^2 magnifies their
        # rounding.
        soft_p, soft_q = ((x.double() / self.temperature).log_softmax(-1) for x in (log_p, teacher.detach()))
        divergence = (soft_q.exp() * (soft_q - soft_p)).sum(-1).to(z.dtype)
        return {
            "hard": -(1 - self.alpha) * expectation(log_p, targets),
            "soft": self.alpha * self.temperature**2 * divergence,
        }
