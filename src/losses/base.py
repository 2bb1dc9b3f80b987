"""The families of losses: what a loss is given, and what it must answer.

A loss returns one number per example; the task takes the mean. Logarithms are natural.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn


def upcast(logits: Tensor) -> Tensor:
    """Raise float16 and bfloat16 to float32: their 8 to 11 bits lose log-probabilities. float64 is kept."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def expectation(values: Tensor, targets: Tensor) -> Tensor:
    """(N, K), (N,) int or (N, K) distribution -> (N,): the value of the target class, or sum_k q_k v_k."""
    if targets.is_floating_point():
        return (targets * values).sum(-1)
    return values.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def log_complement(logits: Tensor) -> Tensor:
    """(N, K) -> (N, K): log(1 - p_k) for p = softmax(logits), K >= 2, without cancellation.

    1 - p rounds to 0 where p is near 1, so the top class takes the logsumexp of the others; the rest have p <= 1/2.
    """
    top = logits.argmax(-1, keepdim=True)
    is_top = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, top, True)
    others = logits.masked_fill(is_top, -torch.inf).logsumexp(-1, keepdim=True)
    # p of the top class is replaced before log1p, not after: the gradient of an unused infinity is NaN.
    p = logits.softmax(-1).masked_fill(is_top, 0.0)
    return torch.where(is_top, others - logits.logsumexp(-1, keepdim=True), torch.log1p(-p))


class ClassificationLoss(nn.Module):
    """Loss of K-way classification: ``forward(logits (N, K), targets) -> (N,)``.

    Targets are classes, (N,) integers, or distributions over classes, (N, K) floats, where ``soft_targets`` is true.
    """

    soft_targets: ClassVar[bool] = False
    batch_statistic: ClassVar[bool] = False  # true: an example's number depends on the rest of its batch

    def outputs(self, num_classes: int) -> int:
        """How many numbers the model must give for ``num_classes`` classes."""
        return num_classes

    def log_probs(self, logits: Tensor) -> Tensor | None:
        """(N, outputs) -> (N, K): log P(class) as this loss reads its logits; None if scores are no probabilities."""
        return upcast(logits).log_softmax(-1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """(N, outputs), (N,) int or (N, K) -> (N,): one number per example."""
        raise NotImplementedError
