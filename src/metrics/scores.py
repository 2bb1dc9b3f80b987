"""Proper scores and accuracy: the same numbers for every loss, from its log-probabilities."""

import src.torchvision_cpu  # noqa: F401  before torchmetrics, which imports torchvision

# isort: split
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Scores(Metric):
    """Sums over examples in float64, so that two ranks give what one gives.

    ``compute`` gives, over n examples with log-probabilities l (K) and class y, p = e^l:

    loss            mean of the training objective (not comparable between losses), then its ``terms``, if any
    nll             mean of -l_y, in nats
    perplexity      exp(nll)
    bits            nll / ln 2 (text: bits_per_char)
    accuracy        share of examples whose most probable class is y
    confidence      mean of max_k p_k
    overconfidence  confidence - accuracy, signed

    A target may be a distribution q over classes (training on mixed images). Then nll is the mean cross-entropy
    -sum_k q_k l_k, which is at least the entropy of q, and accuracy the expected one, q at the most probable class;
    a one-hot q gives, bit for bit, what its class gives.
    Where scores have no reading as probabilities all but loss and accuracy are None.
    """

    full_state_update = False
    sums: Tensor
    count: Tensor

    def __init__(self, *, text: bool, terms: Sequence[str] = ()) -> None:
        super().__init__()
        self.objective = ("loss", *terms)
        self.bits = "bits_per_char" if text else "bits"
        self.probabilistic = True
        self.add_state("sums", torch.zeros(3 + len(self.objective), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, losses: dict[str, Tensor], scores: Tensor, log_probs: Tensor | None, targets: Tensor) -> None:
        """Add examples: losses (N,) by name, scores (N, outputs), log_probs (N, K) or None, targets (N,) or (N, K)."""
        self.probabilistic = log_probs is not None
        log_p = scores if log_probs is None else log_probs
        top, guess = log_p.max(-1)
        if targets.is_floating_point():
            nll = -(targets * log_p.masked_fill(targets == 0, 0.0)).sum(-1)  # 0 * -inf is no number
            right = targets.gather(-1, guess[:, None])
        else:
            nll, right = -log_p.gather(-1, targets[:, None]), guess == targets
        if log_probs is None:
            nll, top = torch.zeros_like(nll), torch.zeros_like(top)
        parts = (nll, right, top.double().exp(), *(losses[name] for name in self.objective))
        self.sums += torch.stack([part.sum(dtype=torch.float64) for part in parts])
        self.count += len(targets)

    def compute(self) -> dict[str, float | None]:
        nll, accuracy, confidence, *objective = (self.sums / self.count).tolist()
        values: dict[str, float | None] = dict(zip(self.objective, objective, strict=True)) | {"accuracy": accuracy}
        derived = {
            "nll": nll,
            "perplexity": math.exp(nll) if nll < 700 else math.inf,
            self.bits: nll / math.log(2),
            "confidence": confidence,
            "overconfidence": confidence - accuracy,
        }
        return values | (derived if self.probabilistic else dict.fromkeys(derived))

    # torchmetrics keeps states out of checkpoints; resuming in the middle of an interval needs them.
    def snapshot(self) -> dict[str, Any]:
        """The sums so far, as plain tensors."""
        return {"sums": self.sums.clone(), "count": self.count.clone(), "probabilistic": self.probabilistic}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``snapshot``'s sums."""
        self.sums, self.count = state["sums"].to(self.device), state["count"].to(self.device)
        self.probabilistic = state["probabilistic"]
        self._update_count = int(self.count > 0)
        self._computed = None  # of the sums before
