"""What the processes (ranks) of a run tell each other. Where there is one process, all of it is trivial."""

from collections.abc import Iterator
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor

from ..data.base import Batch, EvalLoader

T = TypeVar("T")


def world() -> int:
    """How many ranks there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this one; rank 0 alone writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def gathered(value: T) -> list[T]:
    """On rank 0 every rank's ``value``, by rank; elsewhere []."""
    if world() == 1:
        return [value]
    values: list[Any] | None = [None] * world() if rank() == 0 else None
    dist.gather_object(value, values)
    return values or []


def in_order(parts: list[T]) -> list[T]:
    """On rank 0 the parts of all ranks, of which rank r has numbers r, r + W, ...; elsewhere []."""
    all_parts = gathered(parts)
    return [own[i] for i in range(max(map(len, all_parts), default=0)) for own in all_parts if i < len(own)]


def told(value: T) -> T:
    """Rank 0's ``value``, on every rank."""
    if world() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def largest(*values: int) -> list[int]:
    """The largest of each of the values over all ranks."""
    if world() == 1:
        return list(values)
    numbers = torch.tensor(values)
    dist.all_reduce(numbers, dist.ReduceOp.MAX)
    return numbers.tolist()


def summed(values: Tensor) -> Tensor:
    """The sum over all ranks."""
    if world() == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values


class Share:
    """This rank's batches of a loader: r, r + W, ..., each whole, for a float32 forward depends on who shares a batch.

    It has no length: Lightning passes over a loader of length 0, and with it over the hooks in which the ranks meet.
    Where ``together``, a rank that has a batch less than rank 0 ends with inputs without targets.
    """

    def __init__(self, loader: EvalLoader, together: bool) -> None:
        self.loader, self.together = loader, together

    def __iter__(self) -> Iterator[Batch]:
        batches = self.loader.batches
        own = batches[rank() :: world()]
        yield from map(self.loader.batch, own)
        if self.together and len(own) < len(batches[:: world()]):
            first = self.loader.batch(batches[0])
            yield first._replace(targets=first.targets[:0])


def share(loader: EvalLoader, trainer: pl.Trainer) -> EvalLoader | Share:
    """What this rank evaluates of a loader. FSDP's ranks need each other for every forward pass."""
    return loader if world() == 1 else Share(loader, isinstance(trainer.strategy, FSDPStrategy))
