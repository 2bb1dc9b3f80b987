"""What a data set is to the rest: its sizes, three splits, and loaders of batches on the training device.

Nothing here has hidden state. The order of an epoch is a function of (seed, epoch), the augmentation of an optimizer
step's examples of (seed, step), so a run resumed at step n sees exactly what it would have seen. Batches that are
accumulated, and the ranks' shares of them, are parts of their step's examples: the same ones however they are cut.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

SPLITS = ("train", "val", "test")
Pair = tuple[Tensor, Tensor]  # inputs and targets, a row an example
Targets = Literal["class", "distribution", "sequence", "alignment", "value", "none"]


class DataError(ValueError):
    """The data cannot be used: missing, unreadable, or not what the settings say. The message is for the user."""


def generator(*key: int | str) -> torch.Generator:
    """A random generator that is a pure function of ``key``."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Chance:
    """What a task may draw for a batch: numbers that are a function of their name and of what batch it is.

    In training that is (seed, optimizer step), and ``rows`` says which of the step's ``size`` examples the batch has:
    the draws are the same however a step is cut into batches and ranks. Else it is (split, number) alone, so that all
    runs are judged by the same draws.
    """

    def __init__(self, *key: int | str, size: int, rows: slice = slice(None)) -> None:
        self.key, self.size, self.rows = key, size, rows

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal numbers, (examples, *shape) float32 on the CPU."""
        # torch's default type is float64 within the steps of a run in float64, for which it draws other numbers
        return torch.randn(self.size, *shape, generator=generator(name, *self.key), dtype=torch.float32)[self.rows]

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Numbers in [0, 1), (examples, *shape) float32 on the CPU."""
        return torch.rand(self.size, *shape, generator=generator(name, *self.key), dtype=torch.float32)[self.rows]

    def stratified(self, name: str) -> Tensor:
        """Numbers in [0, 1), (examples,) float32 on the CPU: one in each of ``size`` equal parts, in order."""
        places = torch.arange(self.size, dtype=torch.float32)[self.rows]
        return ((places + self.uniform(name)) / self.size).clamp(max=1 - 2**-24)  # a sum may be rounded up to 1


class Batch(NamedTuple):
    """Inputs, and targets of the kind that ``Spec.targets`` says, a row an example; what may be drawn for them."""

    inputs: Tensor
    targets: Tensor
    chance: Chance


@dataclass(frozen=True)
class Spec:
    """The sizes that flow from data to model and loss. Plain values: they are stored with the run.

    ``targets``, of validation and test: class, (N,) integers, of text (N, T); distribution, (N, K) floats over classes;
    sequence, (N, U) classes, -1 behind the end; alignment, (N, U, 3), of each class of a sequence itself, the first
    column of the input where it stands, and the first one behind it; value, (N,) floats; none, inputs alone matter.
    """

    kind: str  # image, text, table, or one that only your own networks read
    input_shape: tuple[int, ...]  # image: (channels, height, width); text: (block_size,); table: (features,)
    class_names: tuple[str, ...]  # text: the characters; values: none
    class_counts: tuple[int, ...]  # in the training split; values: all as one
    mean: tuple[float, ...] = ()  # of the training split's pixels in [0, 1], per channel, or features; text: none
    std: tuple[float, ...] = ()
    targets: Targets = "class"
    target_mean: float = 0.0  # of values, in the training split; they are standardised by both
    target_std: float = 1.0
    unit: str = ""  # of values, as they are reported
    needed_frames: tuple[int, ...] = ()  # of sequences: how many need 0, 1, 2, ... frames of a network, at the least

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def pixels(self, inputs: Tensor) -> Tensor:
        """(..., C, H, W), standardised as the data are -> pixels as they are stored, from 0 to 1."""
        mean, std = (torch.tensor(each, dtype=torch.float64).to(inputs) for each in (self.mean, self.std))
        return inputs * std[:, None, None] + mean[:, None, None]

    def standardised(self, pixels: Tensor) -> Tensor:
        """The inverse of ``pixels``."""
        mean, std = (torch.tensor(each, dtype=torch.float64).to(pixels) for each in (self.mean, self.std))
        return (pixels - mean[:, None, None]) / std[:, None, None]


@dataclass
class TrainLoader:
    """The whole of training as one pass of ``batches``; ``position``, its only state, is the number of the next one.

    ``draw(number)`` gives batch ``number`` of the run, this rank's share of it, and ``chance(number)`` what may be
    drawn for it. If ``many``, an item is the iterator over all batches that are left: whoever trains takes as many from
    it as it likes, then asks for another.
    """

    draw: Callable[[int], Pair]
    chance: Callable[[int], Chance]
    batches: int
    many: bool = False
    position: int = 0

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Batch] | Iterator[Iterator[Batch]]:
        batches = self._batches()
        return itertools.repeat(batches) if self.many else batches

    def _batches(self) -> Iterator[Batch]:
        while self.position < self.batches:
            batch = Batch(*self.draw(self.position), self.chance(self.position))
            self.position += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


@dataclass
class EvalLoader:
    """All batches of a split in order, each whole on one rank: rank r takes batches r, r + world, …

    Neither padded nor cut across ranks: a float32 forward depends on who shares the batch.
    """

    take: Callable[[int], Pair]
    batches: range
    split: str

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.batch, self.batches)

    def batch(self, index: int) -> Batch:
        """The batch of this number."""
        inputs, targets = self.take(index)
        return Batch(inputs, targets, Chance(self.split, index, size=len(inputs)))


class Content(Protocol):
    """All that a data set holds, as it is read."""

    def fingerprint(self) -> str: ...


class Data:
    """One data set with its settings. Sub-classes read files in ``content`` and nowhere else.

    A sub-class gives ``spec``, ``content``, ``load`` and the batches; this class turns them into loaders.
    """

    kind: str
    targets: Targets = "class"  # of validation and test
    spec: Spec
    batch_size: int
    accumulate: int = 1  # training batches an optimizer step
    limit: int | None = None  # training batches an epoch, at most
    soft_targets: bool = False  # training targets are distributions over classes
    dtype: torch.dtype = torch.float32  # of what batches hold but classes and characters
    own_test: bool = True  # false: the test split is the validation split
    notes: tuple[str, ...] = ()  # what a user must know when reading the results
    _content: Content | None = None
    _fingerprint: str | None = None

    def fingerprint(self) -> str:
        """A SHA-256, in hex, of the content that a run learns from, as it is read: never of its place, names or times.

        Images: pixels, labels, class names in order, the official splits. Text: its characters. A ``load`` that follows
        reads nothing twice; after it this is the fingerprint of what was loaded. Raises DataError.
        """
        if self._fingerprint is None:
            self._content = self.content()
            self._fingerprint = self._content.fingerprint()
        return self._fingerprint

    def content(self) -> Content:
        """Read all that there is. Raises DataError."""
        raise NotImplementedError

    def taken(self) -> Any:
        """The content that the fingerprint is of, once: it is for ``load``, and its memory is not held after that."""
        if self._content is None:
            self._fingerprint = None  # what is read from now on may be other data
        self.fingerprint()
        content, self._content = self._content, None
        return content

    def load(self) -> None:
        """Read the data and set ``spec``. Raises DataError."""
        raise NotImplementedError

    def check_sizes(self, spec: Spec) -> None:
        """Raise DataError, before anything is read, where a model of ``spec`` cannot take what these data give."""
        raise NotImplementedError

    def adopt(self, spec: Spec) -> None:
        """Keep the test split alone, in the terms of the data of ``spec``, which a model has learnt.

        Classes and characters get the indices that they have there, pixels are standardised as they were there.
        Raises DataError where classes, characters or sizes are others.
        """
        raise NotImplementedError

    def to(self, device: torch.device) -> None:
        """Move the data to the training device, or, where they stay on the host, what batches are made of there."""
        raise NotImplementedError

    def batches_per_epoch(self) -> int:
        """Whole training batches in one pass over the training split."""
        raise NotImplementedError

    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch: whole ones, within ``limit``. What is left of the split is dropped."""
        whole = self.batches_per_epoch() // self.accumulate
        return whole if self.limit is None else min(whole, self.limit // self.accumulate)

    @property
    def step_size(self) -> int:
        """Examples of an optimizer step."""
        return self.batch_size * self.accumulate

    def part(self, number: int, rank: int, world: int) -> tuple[int, slice]:
        """The optimizer step of training batch ``number``, and which of the step's examples are this rank's of it."""
        step, batch = divmod(number, self.accumulate)
        first = batch * self.batch_size
        return step, slice(first + rank, first + self.batch_size, world)

    def train_batch(self, seed: int, number: int, rank: int = 0, world: int = 1) -> Pair:
        """This rank's rows of training batch ``number``, counted from the start of the run."""
        raise NotImplementedError

    def eval_batches(self, split: str) -> int:
        """How many batches hold the split, the last one possibly short."""
        raise NotImplementedError

    def eval_batch(self, split: str, index: int, limit: int | None = None) -> Pair:
        """Batch ``index`` of a split, in order, unaugmented; with ``limit``, of the sample that so many batches hold.

        The sample is drawn evenly over the split and is the same for every run: a split may be sorted by class.
        """
        raise NotImplementedError

    def train_loader(
        self, seed: int, batches: int, *, repeat: int | None = None, rank: int = 0, world: int = 1, many: bool = False
    ) -> TrainLoader:
        """``batches`` training batches; with ``repeat`` only the first ``repeat`` ones, over and over."""

        def draw(number: int) -> Pair:
            return self.train_batch(seed, number % repeat if repeat else number, rank, world)

        def chance(number: int) -> Chance:
            step, rows = self.part(number, rank, world)
            return Chance(seed, step, size=self.step_size, rows=rows)

        return TrainLoader(draw, chance, batches, many)

    def eval_loader(self, split: str, limit: int | None = None, rank: int = 0, world: int = 1) -> EvalLoader:
        """The split's batches or, where there are more than ``limit``, those of the sample that so many hold."""
        count = self.eval_batches(split)
        cut = None if limit is None or limit >= count else limit
        return EvalLoader(lambda index: self.eval_batch(split, index, cut), range(rank, cut or count, world), split)


def stratified(labels: Tensor, counts: Tensor, g: torch.Generator) -> Tensor:
    """Indices of ``counts[k]`` random examples of each class k, in ascending order."""
    chosen = [
        torch.nonzero(labels == k).flatten()[torch.randperm(int((labels == k).sum()), generator=g)[: int(n)]]
        for k, n in enumerate(counts)
    ]
    return torch.cat(chosen).sort().values


def quotas(class_counts: Tensor, total: int) -> Tensor:
    """Share ``total`` among classes in proportion to ``class_counts``, by largest remainders; sums to ``total``."""
    exact = class_counts.double() * total / class_counts.sum()
    share = exact.floor().long()
    missing = total - int(share.sum())
    order = torch.argsort(exact - share, descending=True, stable=True)
    share[order[:missing]] += 1
    return share
