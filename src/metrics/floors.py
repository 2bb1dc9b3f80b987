"""What a classifier reaches that saw no input: the floors below any trained one."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def floors(class_counts: Sequence[int], targets: Tensor, frequencies: str) -> dict[str, dict[str, float]]:
    """Metrics on classes (N,) int of those who know the number K of classes, or n_k examples of each in training.

    chance, whose guess is drawn: accuracy 1 / K, nll ln K, brier 1 - 1 / K. The other, called ``frequencies``, says
    p_k = (n_k + 1) / (n + K) of every example (by Laplace's rule, so that no class is impossible that training never
    saw), and guesses the most frequent class: accuracy, nll and brier of these p on the targets.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64)
    classes = len(counts)
    chance = {"accuracy": 1 / classes, "nll": math.log(classes), "brier": 1 - 1 / classes}
    tested = torch.bincount(targets, minlength=classes).double() / len(targets)
    p = (counts + 1) / (counts.sum() + classes)
    known = {
        "accuracy": tested[counts.argmax()].item(),
        "nll": -(tested * p.log()).sum().item(),
        "brier": (p.square().sum() - 2 * (tested * p).sum() + 1).item(),
    }
    return {"chance": chance, frequencies: known}
