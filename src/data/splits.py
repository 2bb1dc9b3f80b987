"""Splits that are tensors: which examples make up a batch."""

import functools
from typing import Any

import torch
from torch import Tensor

from .base import Data, DataError, generator, quotas, stratified


class SplitData(Data):
    """Data whose ``splits`` are tensors, the inputs and the targets of each example.

    Training takes an epoch's examples in an order that is a function of (seed, epoch), evaluation in the order in which
    they are there. ``_sample`` are the examples that stand for a split that is too large.
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
        targets = self.splits["train"][1]
        order = self._order(seed, epoch, len(targets), targets.device)
        return order[index * self.step_size : (index + 1) * self.step_size]

    @functools.lru_cache(maxsize=2)  # noqa: B019  an epoch's order is asked for once a batch
    def _order(self, seed: int, epoch: int, count: int, device: torch.device) -> Tensor:
        return torch.randperm(count, generator=generator("order", seed, epoch)).to(device)

    def _rows_of_batch(self, split: str, index: int, limit: int | None) -> slice | Tensor:
        """Which examples are those of ``eval_batch``."""
        rows = slice(index * self.eval_batch_size, (index + 1) * self.eval_batch_size)
        if limit is None:
            return rows
        return self._sample(split, limit * self.eval_batch_size, self.splits[split][1].device)[rows]

    @functools.lru_cache(maxsize=4)  # noqa: B019  it is asked for once a batch
    def _sample(self, split: str, size: int, device: torch.device) -> Tensor:
        """Indices of so many random examples of a split, the same for every run, in ascending order."""
        g = generator("evaluation sample", self.split_seed)
        return torch.randperm(len(self.splits[split][1]), generator=g)[:size].sort().values.to(device)


def divided(strata: Tensor, share: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices of the examples that stay and of those held out, ``share`` of each stratum (N,), in ascending order."""
    held = stratified(strata, quotas(torch.bincount(strata), round(share * len(strata))), g)
    stays = torch.ones(len(strata), dtype=torch.bool)
    stays[held] = False
    return stays.nonzero().flatten(), held


def limited(train: Tensor, strata: Tensor, train_examples: int | None, g: torch.Generator) -> Tensor:
    """``train_examples`` of the indices ``train``, in proportion to the strata (N,), or all if it is None."""
    if train_examples is None:
        return train
    if train_examples > len(train):
        raise DataError(f"data.train_examples={train_examples}: only {len(train)} are there for training")
    left = strata[train]
    return train[stratified(left, quotas(torch.bincount(left), train_examples), g)]
