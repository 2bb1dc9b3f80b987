"""The rows of a batch from all ranks, with gradients, for losses that compare the examples of a batch."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from .ranks import rank, world


def gathered(rows: Tensor) -> Tensor:
    """(n, ...) of this rank -> (N, ...) of all ranks, in the order of one process: rank r holds rows r, r + W, ...

    All ranks must call it, with equally many rows. The gradient of this rank's rows is the sum of what all ranks say of
    them. So if each rank takes the mean of a loss over its own rows, and the ranks' gradients are averaged, the result
    is the gradient of the mean over all rows. Where there is one process, it gives ``rows``.
    """
    return rows if world() == 1 else _Gather.apply(rows)  # type: ignore[no-untyped-call]


def own_rows() -> slice:
    """Which rows of a gathered batch are this rank's."""
    return slice(rank(), None, world())


class _Gather(torch.autograd.Function):
    """torch's own (torch.distributed.nn, and the functional collectives) are deprecated, or have a new name in 2.13."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts, 1).flatten(0, 1)  # (n, W, ...) -> (N, ...)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient[own_rows()]
