"""Three digits side by side, and what they are in words."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import integer, number
from .base import DataError, Pair, Spec, generator
from .digits import DIGITS, digits_of_splits, official_digits
from .labels import places
from .official import Official
from .pixels import channel_statistics
from .resident import Rows
from .splits import SplitData

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CAPTIONS = tuple(" ".join(words) for words in itertools.product(WORDS, repeat=3))
UNSEEN = 200  # captions of no training strip


class DigitImages(NamedTuple):
    """(M, 1, 28, 28) uint8 images in the order of their digits; (10,) where each digit begins, and how many it has."""

    images: Tensor
    starts: Tensor
    counts: Tensor

    def pick(self, digits: Tensor, shares: Tensor) -> Tensor:
        """(...,) digits and (...,) numbers in [0, 1) -> (..., 1, 28, 28): an image of each, all alike."""
        return self.images[self.starts[digits] + (shares.double() * self.counts[digits]).long()]

    def to(self, device: torch.device) -> "DigitImages":
        return DigitImages(*(part.to(device) for part in self))


class DigitCaptions(SplitData):
    """Strips of three digits of mnist_5k, 28 x 84, and their captions: "seven three nine".

    The 1,000 captions are the names of 1,000 classes, so that to name a strip is to find its caption. ``UNSEEN`` of
    them, the same for every run, are in no training strip: who names them right has learnt what a caption is made of.

    batch_size: strips a training batch, over all devices. eval_batch_size: strips a batch in validation and test.
    val_fraction: share of the training digits held out, with its share of each digit, by a fixed seed. train_strips:
    strips an epoch; their captions are shared out evenly, and their digits drawn anew in each optimizer step, as a
    function of (seed, step). val_strips and test_strips: strips of all captions, seen or not, evenly; they are the same
    for every run. A strip is made of digits of its own split.

    Pixels are scaled to [0, 1], then standardised by mean and standard deviation of the training digits.
    """

    kind = "image"
    name = "digit_captions"
    shape = (1, 28, 84)

    def __init__(
        self,
        *,
        batch_size: int,
        eval_batch_size: int,
        val_fraction: float,
        train_strips: int,
        val_strips: int,
        test_strips: int,
    ) -> None:
        self.batch_size = integer("batch_size", batch_size, low=1)
        self.eval_batch_size = integer("eval_batch_size", eval_batch_size, low=1)
        self.val_fraction = number("val_fraction", val_fraction, above=0, high=0.9)
        self.sizes = {
            "train": integer("train_strips", train_strips, low=1),
            "val": integer("val_strips", val_strips, low=1),
            "test": integer("test_strips", test_strips, low=1),
        }
        self.device = torch.device("cpu")

    def content(self) -> Official:
        return official_digits()

    def load(self) -> None:
        if self.batch_size > self.sizes["train"]:
            self.batch_size = self.sizes["train"]
            self.notes = (*self.notes, f"data.batch_size is {self.batch_size}, all that there is to train on")
        found = digits_of_splits(self.taken(), self.val_fraction, self.split_seed)
        digits = {split: in_order(*part) for split, part in found.items()}
        for split, part in digits.items():
            if not part.counts.min():
                raise DataError(f"{self.name}: a digit is missing in the {split} split (data.val_fraction)")
        captions = {split: self._captions(split) for split in self.sizes}
        self.splits = {"train": (digits["train"], captions["train"])} | {
            split: (strips(digits[split], y, drawn(len(y), split, self.split_seed)), y)
            for split, y in captions.items()
            if split != "train"
        }
        self.mean, self.std = channel_statistics(Rows(digits["train"].images))
        counts = torch.bincount(captions["train"], minlength=len(CAPTIONS))
        mean, std = (tuple(values.flatten().tolist()) for values in (self.mean, self.std))
        self.spec = Spec(self.kind, self.shape, CAPTIONS, tuple(counts.tolist()), mean, std)

    def _captions(self, split: str) -> Tensor:
        """(N,) the captions of a split's strips: those that it may have, all as often but for one, in a fixed order."""
        allowed = torch.ones(len(CAPTIONS), dtype=torch.bool)
        if split == "train":
            allowed[unseen(self.split_seed)] = False
        captions, g = allowed.nonzero().flatten(), generator("captions", split, self.split_seed)
        rounds = -(-self.sizes[split] // len(captions))
        orders = [torch.randperm(len(captions), generator=g) for _ in range(rounds)]
        return captions[torch.cat(orders)[: self.sizes[split]]]

    def check_sizes(self, spec: Spec) -> None:
        if self.shape != spec.input_shape:
            own, theirs = (" x ".join(map(str, shape)) for shape in (self.shape, spec.input_shape))
            raise DataError(f"{self.name} has images of {own} (channels, height, width), the model reads {theirs}")

    def adopt(self, spec: Spec) -> None:
        self.check_sizes(spec)
        strips_of_test, captions = self.splits["test"]
        self.splits = {"test": (strips_of_test, places(self.name, CAPTIONS, spec.class_names)[captions])}
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))
        self.spec = spec

    def to(self, device: torch.device) -> None:
        self.device = device
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        self.splits = {split: (images.to(device), y.to(device)) for split, (images, y) in self.splits.items()}

    def train_batch(self, seed: int, number: int, rank: int = 0, world: int = 1) -> Pair:
        digits, captions = self.splits["train"]
        step, own = self.part(number, rank, world)
        chosen = captions[self._rows_of_step(seed, step)[own]]
        shares = drawn(self.step_size, seed, step)[own].to(self.device)
        return self._standardised(strips(digits, chosen, shares)), chosen

    def eval_batch(self, split: str, index: int, limit: int | None = None) -> Pair:
        images, captions = self.splits[split]
        rows = self._rows_of_batch(split, index, limit)
        return self._standardised(images[rows]), captions[rows]

    def _standardised(self, images: Tensor) -> Tensor:
        """(B, 1, 28, 84) uint8 -> ``dtype``, standardised."""
        return images.to(self.dtype).div_(255).sub_(self.mean).div_(self.std)


def in_order(images: Tensor, labels: Tensor) -> DigitImages:
    """Images and labels by their digits."""
    counts = torch.bincount(labels, minlength=len(DIGITS))
    return DigitImages(images[labels.argsort(stable=True)], counts.cumsum(0) - counts, counts)


def unseen(seed: int) -> Tensor:
    """The captions that training never has."""
    return torch.randperm(len(CAPTIONS), generator=generator("unseen captions", seed))[:UNSEEN]


def drawn(size: int, *key: int | str) -> Tensor:
    """(size, 3) numbers in [0, 1): which image of its digit each place of a strip has, a function of ``key``."""
    return torch.rand(size, 3, generator=generator("strips", *key), dtype=torch.float32)


def strips(digits: DigitImages, captions: Tensor, shares: Tensor) -> Tensor:
    """(B,) captions, (B, 3) in [0, 1) -> (B, 1, 28, 84) uint8: an image of each digit, side by side."""
    of_places = torch.stack([captions // 100, captions // 10 % 10, captions % 10], -1)  # (B, 3)
    return digits.pick(of_places, shares).permute(0, 2, 3, 1, 4).flatten(3)  # of (B, 3, 1, 28, 28)
