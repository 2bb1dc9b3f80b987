"""Square loss on raw scores."""

from torch import Tensor

from ..checks import number
from .base import ClassificationLoss, is_class, upcast


class SquaredScoresLoss(ClassificationLoss):
    """Square loss on scores: kappa (z_y - M)^2 + sum_{k != y} z_k^2, with M = ``score``; no softmax.

    Regression of the scores on M for the class and 0 for the others. At z = 0: kappa M^2.
    This is the sum over classes; Hui & Belkin divide by K. They raise kappa and M (to 15 and 30 at 1,000 classes),
    because the K - 1 others would outweigh the one score of the class.
    Use it to ask whether cross-entropy is needed at all. Limits: scores are no probabilities, so there is no NLL,
    perplexity or calibration; with tens of classes or more it needs kappa and M.
    Source: Hui & Belkin 2021, arXiv:2006.07322, the rescaled square loss.
    """

    def __init__(self, *, kappa: float, score: float) -> None:
        super().__init__()
        self.kappa = number("kappa", kappa, above=0)
        self.score = number("score", score, above=0)

    def log_probs(self, logits: Tensor) -> None:
        return None

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        z = upcast(logits)
        of_target = is_class(z, targets)
        right = self.kappa * (z - self.score).square()
        return right.where(of_target, z.square()).sum(-1)
