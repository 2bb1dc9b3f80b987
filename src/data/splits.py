"""Splits that are tensors: which examples make up a batch."""

import functools
from typing import Any

import torch
from torch import Tensor

from .base import Data, generator


class SplitData(Data):
    """Data whose ``splits`` are tensors, the inputs and the targets of each example.

    Training takes an epoch's examples in an order that is a function of (seed, epoch), evaluation in the order in which
    they are there. A sub-class says in ``_sample`` which examples stand for a split that is too large.
    """

    splits: dict[str, tuple[Any, Tensor]]
    eval_batch_size: int
    split_seed = 20_240_229  # of all that is drawn in loading; the same for every run, so that runs compare

    def batches_per_epoch(self) -> int:
        return len(self.splits["train"][1]) // self.batch_size

    def eval_batches(self, split: str) -> int:
        return -(-len(self.splits[split][1]) // self.eval_batch_size)

    def _rows_of_step(self, seed: int, step: int) -> Tensor:
        """Indices of an optimizer step's training examples."""
        epoch, index = divmod(step, self.steps_per_epoch())
        return self._order(seed, epoch)[index * self.step_size : (index + 1) * self.step_size]

    @functools.lru_cache(maxsize=2)  # noqa: B019  an epoch's order is asked for once a batch
    def _order(self, seed: int, epoch: int) -> Tensor:
        targets = self.splits["train"][1]
        return torch.randperm(len(targets), generator=generator("order", seed, epoch)).to(targets.device)

    def _rows_of_batch(self, split: str, index: int, limit: int | None) -> slice | Tensor:
        """Which examples are those of ``eval_batch``."""
        rows = slice(index * self.eval_batch_size, (index + 1) * self.eval_batch_size)
        return rows if limit is None else self._sample(split, limit * self.eval_batch_size)[rows]

    def _sample(self, split: str, size: int) -> Tensor:
        """Indices of so many examples of a split, the same for every run, in ascending order."""
        raise NotImplementedError
