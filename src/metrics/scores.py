"""Proper scores, accuracy and calibration: the same numbers for every loss, from its log-probabilities."""

from ..system import torchvision_cpu  # noqa: F401  before torchmetrics, which imports torchvision

# isort: split
from collections.abc import Sequence

import torch
from torch import Tensor

from .calibration import BINS, COUNT, add_to_bins, addable, bin_of
from .judged import judge, rightness, summary
from .sums import Measure

AT_ONCE = 2**16  # probabilities that are judged at a time on a CPU


class Scores(Measure):
    """Sums over examples in float64, so that two ranks give what one gives.

    ``compute`` gives, over n examples with log-probabilities l (K) and class y, p = e^l:

    loss            mean of the training objective (not comparable between losses), then its ``terms``, if any
    accuracy        share of examples whose most probable class is y
    nll             mean of -l_y, in nats
    perplexity      exp(nll)
    bits            nll / ln 2 (text: bits_per_char)
    brier           mean of sum_k (p_k - [k = y])^2, from 0 to 2
    confidence      mean of max_k p_k
    overconfidence  confidence - accuracy, signed
    ece, mce        expected and maximum calibration error of the top class, over 15 bins (calibration.py)
    classwise_ece   with ``num_classes``: mean over the classes k of the ECE of p_k for [k = y]

    A target may be a distribution q over classes (training on mixed images). Then q_k stands for [k = y]: nll is the
    mean cross-entropy -sum_k q_k l_k, which is at least the entropy of q, accuracy the expected one, q at the most
    probable class, and calibration is judged against it; a one-hot q gives, bit for bit, what its class gives.
    Where scores have no reading as probabilities all but loss and accuracy are None.

    Sources: Brier 1950; Guo et al. 2017, arXiv:1706.04599; Kull et al. 2019, arXiv:1910.12656 (classwise).
    """

    sums: Tensor
    bins: Tensor
    by_class: Tensor

    def __init__(self, *, text: bool, terms: Sequence[str] = (), num_classes: int | None = None) -> None:
        super().__init__()
        self.objective = ("loss", *terms)
        self.bits = "bits_per_char" if text else "bits"
        self.num_classes = num_classes
        self.add_sum("sums", 4 + len(self.objective))
        self.add_sum("bins", 3, BINS)
        self.add_sum("by_class", BINS, num_classes or 0)

    def update(
        self,
        losses: dict[str, Tensor],
        scores: Tensor,
        log_probs: Tensor | None,
        targets: Tensor,
        batches: int = 1,
    ) -> None:
        """Add examples: losses (N,) by name, scores (N, outputs), log_probs (N, K) or None, targets (N,) or (N, K).

        Several ``batches`` of one size, one behind the other, give the bits that they give one by one.
        """
        self.count += len(targets)
        if log_probs is None:
            right = rightness(scores.argmax(-1), targets)
            parts = [right, *3 * [torch.zeros_like(right)]]
        else:
            parts = self._judge(log_probs, targets)
        parts += [losses[name] for name in self.objective]
        for batch in torch.stack([part.double() for part in parts]).chunk(batches, dim=1):
            self.sums += batch.sum(1)

    def _judge(self, log_probs: Tensor, targets: Tensor) -> list[Tensor]:
        """Right, nll, confidence and brier of each example; their bins are added. Some rows at a time: in the cache."""
        rows = max(1, AT_ONCE // log_probs.shape[-1]) if log_probs.device.type == "cpu" else len(targets)
        judged = []
        for some, of_them in zip(torch.split(log_probs, rows), torch.split(targets, rows), strict=True):
            of = judge(some, of_them)
            judged.append((of.right, of.nll, of.confidence, of.brier))
            add_to_bins(self.bins, of.confidence, of.right)
            if self.num_classes is not None:
                self.by_class.scatter_add_(0, bin_of(of.p), addable(of.residual))
        return [torch.cat(parts) for parts in zip(*judged, strict=True)]

    def compute(self) -> dict[str, float | None]:
        accuracy, nll, confidence, brier, *objective = (self.sums / self.count).tolist()
        values: dict[str, float | None] = dict(zip(self.objective, objective, strict=True)) | {"accuracy": accuracy}
        derived = summary(accuracy, nll, confidence, brier, self.bins, self.bits)
        if self.num_classes is not None:
            derived["classwise_ece"] = (self.by_class.abs().sum() / (self.num_classes * self.count)).item()
        return values | (derived if self.bins[COUNT].any() else dict.fromkeys(derived) | {"accuracy": accuracy})
