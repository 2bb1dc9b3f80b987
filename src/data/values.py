"""Data sets with a number for each example, which is to be predicted: splits, standardised inputs and targets."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import integer, number
from .base import DataError, Pair, Spec, generator
from .content import described, tensor_digest
from .splits import SplitData, divided, limited


class Examples(NamedTuple):
    """Inputs (N, ...) and values (N,), float64; ``strata`` (N,): of which groups each split has its share."""

    inputs: Tensor
    values: Tensor
    strata: Tensor


class Given(NamedTuple):
    """The two splits of a data set as it is read."""

    train: Examples
    test: Examples

    def fingerprint(self) -> str:
        """A SHA-256, in hex, of all of it."""
        splits = self._asdict().items()
        return described(
            kind="value",
            arrays={f"{name}_{what}": tensor_digest(array) for name, part in splits for what, array in named(part)},
        )


def named(part: Examples) -> list[tuple[str, Tensor]]:
    return list(part._asdict().items())


class ValueData(SplitData):
    """Examples with a number each. ``read`` gives the official splits; validation is split off training.

    batch_size: examples a training batch, over all devices. eval_batch_size: examples a batch in validation and test.
    val_fraction: share of training held out, with its share of each stratum, by a fixed seed. train_examples: so many
    of what is left, or None for all. target_noise: share of training targets, in [0, 1), that are replaced by draws
    from the uniform distribution between ``low`` and ``high``; validation and test stay clean. The noise is drawn once
    for the whole training set by a fixed seed: all runs learn the same targets, an example's is the same in every
    subset.

    Inputs are standardised by the training split's mean and standard deviation, per channel or feature, and targets by
    those of the training targets as they are learnt. ``Spec`` keeps both, so that errors are told in the target's unit.
    """

    targets = "value"
    name: str
    unit: str = ""  # of the target
    low: float  # of the target; None of the training split's values lies beyond
    high: float

    def __init__(
        self,
        *,
        batch_size: int,
        eval_batch_size: int,
        val_fraction: float,
        train_examples: int | None,
        target_noise: float,
    ) -> None:
        self.batch_size = integer("batch_size", batch_size, low=1)
        self.eval_batch_size = integer("eval_batch_size", eval_batch_size, low=1)
        self.val_fraction = number("val_fraction", val_fraction, above=0, high=0.9)
        self.train_examples = None if train_examples is None else integer("train_examples", train_examples, low=1)
        self.target_noise = number("target_noise", target_noise, low=0, below=1)
        self.device = torch.device("cpu")

    def read(self) -> Given:
        """All that there is. Raises DataError."""
        raise NotImplementedError

    def content(self) -> Given:
        return self.read()

    def load(self) -> None:
        given: Given = self.taken()
        g, strata = generator("validation split", self.split_seed), given.train.strata
        train, val = divided(strata, self.val_fraction, g)
        train = limited(train, strata, self.train_examples, g)
        learnt = replaced(
            given.train.values, self.target_noise, self.low, self.high, generator("target noise", self.split_seed)
        )
        self.raw = {
            "train": (given.train.inputs[train], learnt[train]),
            "val": (given.train.inputs[val], given.train.values[val]),
            "test": (given.test.inputs, given.test.values),
        }
        for split, (_, values) in self.raw.items():
            if len(values) == 0:
                raise DataError(f"{self.name}: the {split} split is empty (data.val_fraction, data.train_examples)")
        if self.batch_size > len(train):
            self.batch_size = len(train)
            self.notes = (*self.notes, f"data.batch_size is {len(train)}, all that there is to train on")
        self._standardise(self._spec())

    def _spec(self) -> Spec:
        inputs, values = self.raw["train"]
        over = [0, *range(2, inputs.ndim)]  # all but channels, or features
        if len(values) < 2 or values.std(correction=0) == 0:
            raise DataError(f"{self.name}: the {len(values)} training targets do not differ, so there is no scale")
        return Spec(
            self.kind,
            tuple(inputs.shape[1:]),
            class_names=(),
            class_counts=(len(values),),
            mean=tuple(inputs.mean(over).tolist()),
            std=tuple(inputs.std(over, correction=0).clamp_min(1e-3).tolist()),
            targets=self.targets,
            target_mean=values.mean().item(),
            target_std=values.std(correction=0).item(),
            unit=self.unit,
        )

    def _standardise(self, spec: Spec) -> None:
        """Give the splits in the terms of ``spec``."""
        self.spec = spec
        places = (-1, *[1] * (len(spec.input_shape) - 1))
        mean, std = (torch.tensor(values, dtype=torch.float64).view(places) for values in (spec.mean, spec.std))
        self.splits = {
            split: (
                ((inputs - mean) / std).to(self.device, self.dtype),
                ((values - spec.target_mean) / spec.target_std).to(self.device, self.dtype),
            )
            for split, (inputs, values) in self.raw.items()
        }

    def check_sizes(self, spec: Spec) -> None:
        if self.kind != spec.kind:
            raise DataError(f"{self.name} has inputs of the kind {self.kind}, the model reads {spec.kind}")

    def adopt(self, spec: Spec) -> None:
        own, theirs = self.spec, spec
        if own.input_shape != theirs.input_shape:
            shapes = (" x ".join(map(str, shape)) for shape in (own.input_shape, theirs.input_shape))
            raise DataError("{} has inputs of {}, the model reads {}".format(self.name, *shapes))
        if (own.targets, own.unit) != (theirs.targets, theirs.unit):
            raise DataError(
                f"{self.name} has targets of the kind {own.targets} ({own.unit or 'no unit'}), the model predicts"
                f" {theirs.targets} ({theirs.unit or 'no unit'})"
            )
        self.raw = {"test": self.raw["test"]}
        self._standardise(spec)

    def to(self, device: torch.device) -> None:
        self.device = device
        self.splits = {name: (x.to(device), y.to(device)) for name, (x, y) in self.splits.items()}

    def train_batch(self, seed: int, number: int, rank: int = 0, world: int = 1) -> Pair:
        inputs, values = self.splits["train"]
        step, own = self.part(number, rank, world)
        rows = self._rows_of_step(seed, step)[own]
        return inputs[rows], values[rows]

    def eval_batch(self, split: str, index: int, limit: int | None = None) -> Pair:
        inputs, values = self.splits[split]
        rows = self._rows_of_batch(split, index, limit)
        return inputs[rows], values[rows]


def replaced(values: Tensor, rate: float, low: float, high: float, g: torch.Generator) -> Tensor:
    """(N,) -> (N,): each value is replaced, with probability ``rate``, by a draw from U(low, high)."""
    wrong = torch.rand(len(values), generator=g, dtype=torch.float64) < rate
    return torch.where(wrong, low + (high - low) * torch.rand(len(values), generator=g, dtype=torch.float64), values)
