"""Losses of two towers: an image and its caption, which are to be found among the other pairs of the batch."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from ..checks import choice, number
from .base import Loss, Scalar, upcast

DUPLICATES = ("negatives", "soft", "masked")
HIGHEST_SCALE = 100.0  # e^s at most; Radford et al. 2021, arXiv:2103.00020, section 2.5
EVERY = slice(None)


class TowerLoss(Loss):
    """Loss of N pairs: ``forward(images (N, D), texts (N, D), captions (N,), rows=..., log_scale, ...) -> (n,)``.

    Row i of ``images`` and row i of ``texts`` are embeddings of length 1 of one pair. ``captions`` (integers) are equal
    where two captions are the same text. The numbers that the network learns for the loss are given by name; they start
    as ``scalars`` says. ``rows`` are the n pairs whose numbers are wanted, all unless said otherwise: a rank that has
    some pairs of a batch compares them with all of it.

    duplicates: what the other pairs of the batch with the same caption are. negatives: wrong answers, as in the papers.
    soft: right answers too. masked: no answers. fixed_scale: e^s if it is not to be learnt.
    """

    reads = "towers"
    targets = "class"
    batch_statistic = True
    scale: ClassVar[float]  # where e^s starts

    def __init__(self, *, duplicates: str, fixed_scale: float | None) -> None:
        super().__init__()
        self.duplicates = choice("duplicates", duplicates, DUPLICATES)
        fixed = None if fixed_scale is None else number("fixed_scale", fixed_scale, above=0, high=HIGHEST_SCALE)
        self.fixed_scale = fixed

    def scalars(self, batch_size: int) -> dict[str, Scalar]:
        """s, the logarithm of the scale."""
        return {"log_scale": Scalar(math.log(self.fixed_scale or self.scale), learnt=self.fixed_scale is None)}

    def similarities(self, one: Tensor, other: Tensor, log_scale: Tensor) -> Tensor:
        """(n, D), (N, D) -> (n, N): e^s a.b, in float32 at least, whatever the precision of the network."""
        with torch.autocast(one.device.type, enabled=False):
            return upcast(log_scale).exp() * (upcast(one) @ upcast(other).T)

    @staticmethod
    def pairs(captions: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """(N,) -> (n, N), (n, N) bool: which pair is the row's own, and which others have its caption."""
        places = torch.arange(len(captions), device=captions.device)
        own = places[rows, None] == places
        return own, (captions[rows, None] == captions) & ~own
