"""Inputs and targets of a loader's batches."""

from collections.abc import Iterable

from torch import Tensor

from src.data.base import Batch


def pairs(batches: Iterable[Batch]) -> list[tuple[Tensor, Tensor]]:
    """Without what may be drawn for them."""
    return [(inputs, targets) for inputs, targets, _ in batches]
