"""Image data sets as tensors: splits, and batches that are normalised and augmented whole, on the training device."""

import functools
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checks import choice, integer, number, path
from .base import DataError, EvalLoader, Pair, Spec, TrainLoader, generator, quotas, stratified
from .labels import (
    Groups,
    class_index,
    groups_of_classes,
    long_tail,
    members_of,
    noisy,
    places,
    relabelled,
    two_groups,
)
from .mixing import MIXES, mixed
from .official import Official
from .pixels import augmented, binarised, channel_statistics, cut_out, drawn_once
from .resident import RESIDENT, Ahead, Rows, on_host
from .splits import SplitData, divided, limited

log = logging.getLogger("xent")


class ImageData(SplitData):
    """Images of K classes. ``read`` gives the official sets; where validation is none of them it is split off training.

    batch_size: examples a training batch, over all devices. eval_batch_size: examples a batch in validation and test.
    val_fraction: share of training held out, stratified, by a fixed seed of its own.
    train_examples: a stratified subset of what is left, or None for all. pad: pixels of zero padding
    for random crops (0: none). flip: mirror half the images. cutout: pixels a side of the square that is blanked in
    each (0: none). mixup: None, mixup or cutmix of training batches, with lambda ~ Beta(mixup_alpha, mixup_alpha);
    their targets are distributions. binarise: None, or dynamic, of grey images: each pixel is 1 with the probability
    that its grey value says, else 0, drawn anew in each optimizer step, and once and for all for validation and test.
    binary, imbalance and label_noise: as in ``two_groups``, ``long_tail`` and ``noisy``. without: classes that training
    does not see, as ``class_index`` reads them. resident: where the images are: device, host (a DataLoader takes them,
    and pixels travel), or auto, which is the device where they take at most ``SHARE`` of its free memory. The batches
    are the same, bit for bit.

    In this order: binary makes two classes, before any split; validation is split off; training loses the classes of
    without; imbalance thins it; then train_examples are taken of what is left, in its proportions. Noise hits training
    labels alone; it is drawn once for the whole official training set, so that an image has the same label in every
    subset, and by the fixed seed of the split, so that all runs learn from the same labels. The spec counts training
    labels as they are learnt.

    Pixels are scaled to [0, 1], then standardised by the training split's mean and standard deviation per channel;
    binarised ones are 0 and 1 and stay so, and the spec's mean is 0, its standard deviation 1.
    """

    kind = "image"
    name: str
    shape: tuple[int, ...] | None = None  # of an image; known before one is read, unless only its files tell

    def __init__(
        self,
        *,
        batch_size: int,
        eval_batch_size: int,
        val_fraction: float,
        train_examples: int | None,
        pad: int,
        flip: bool,
        cutout: int,
        mixup: str | None,
        mixup_alpha: float,
        binarise: str | None,
        label_noise: float,
        imbalance: float | None,
        binary: Groups,
        without: Sequence[int | str],
        resident: str,
    ) -> None:
        self.batch_size = integer("batch_size", batch_size, low=1)
        self.eval_batch_size = integer("eval_batch_size", eval_batch_size, low=1)
        self.val_fraction = number("val_fraction", val_fraction, above=0, high=0.9)
        self.train_examples = None if train_examples is None else integer("train_examples", train_examples, low=1)
        self.pad = integer("pad", pad, low=0)
        if not isinstance(flip, bool):
            raise ValueError(f"flip must be true or false, got {flip!r}")
        self.flip = flip
        self.cutout = integer("cutout", cutout, low=0)
        self.mixup = None if mixup is None else choice("mixup", mixup, MIXES)
        self.soft_targets = self.mixup is not None
        self.mixup_alpha = number("mixup_alpha", mixup_alpha, above=0)
        self.binarise = None if binarise is None else choice("binarise", binarise, ("dynamic",))
        if self.binarise and self.mixup == "mixup":
            raise ValueError("binarise must be null with data.mixup=mixup, which makes grey pixels, got 'dynamic'")
        if self.binarise and self.shape and self.shape[0] != 1:
            raise ValueError(f"binarise must be null for images of {self.shape[0]} channels, got {binarise!r}")
        self.label_noise = number("label_noise", label_noise, low=0, below=1)
        self.imbalance = None if imbalance is None else number("imbalance", imbalance, low=1)
        self.binary = groups_of_classes("binary", binary)
        self.without = members_of("without", without)
        self.resident = choice("resident", resident, RESIDENT)
        self.device, self.on_host = torch.device("cpu"), False

    def read(self) -> Official:
        """All that there is. Raises DataError."""
        raise NotImplementedError

    def where(self, split: str) -> str:
        """What holds the labels of an official split, for messages."""
        return f"{self.name}, {split} split"

    def content(self) -> Official:
        found = self.read()
        for split in found.splits():
            found.check(split, self.where(split))
        return found

    def load(self) -> None:
        found: Official = self.taken()
        names = found.names
        if unseen := found.unseen():
            self.notes = (*self.notes, f"there is no training image of {unseen}")
        given = {split: (Rows(pixels), labels) for split, (pixels, labels) in found.splits().items()}
        if self.binary is not None:
            new, names = two_groups(self.binary, names)
            given = {split: relabelled(*part, new) for split, part in given.items()}
        images, labels = given["train"]
        if found.val:
            self.notes = (*self.notes, "the data set has a validation split: data.val_fraction is ignored")
        train, val = self._split(labels, names, 0 if found.val else self.val_fraction)
        learnt = noisy(labels, len(names), self.label_noise, generator("label noise", self.split_seed))
        self.splits = {
            "train": (images.of(train), learnt[train]),
            "val": given.get("val", (images.of(val), labels[val])),
            "test": given["test"],
        }
        for split, (_, split_labels) in self.splits.items():
            if len(split_labels) == 0:
                raise DataError(
                    f"{self.name}: the {split} split is empty (data.val_fraction, data.without, data.train_examples)"
                )
        if self.batch_size > len(train):
            self.batch_size = len(train)
            self.notes = (*self.notes, f"data.batch_size is {len(train)}, all that there is to train on")
        self.shape = tuple(images.shape[1:])
        if self.binarise:
            for split in ("val", "test"):
                pixels, split_labels = self.splits[split]
                self.splits[split] = drawn_once(pixels, generator("binarisation", self.split_seed, split)), split_labels
            self.mean, self.std = torch.zeros(self.shape[0], 1, 1), torch.ones(self.shape[0], 1, 1)
        else:
            self.mean, self.std = channel_statistics(self.splits["train"][0])
        mean, std = (tuple(values.flatten().tolist()) for values in (self.mean, self.std))
        learnt_counts = torch.bincount(learnt[train], minlength=len(names))
        self.spec = Spec(self.kind, self.shape, names, tuple(learnt_counts.tolist()), mean, std)

    def _split(self, labels: Tensor, names: tuple[str, ...], val_fraction: float) -> tuple[Tensor, Tensor]:
        """Indices of training and validation examples."""
        g = generator("validation split", self.split_seed)
        train, val = divided(labels, val_fraction, g)
        for member in self.without:
            train = train[labels[train] != class_index("without", member, names)]
        if self.imbalance is not None:
            kept = long_tail(torch.bincount(labels[train], minlength=len(names)), self.imbalance)
            train = train[stratified(labels[train], kept, g)]
        return limited(train, labels, self.train_examples, g), val

    def check_sizes(self, spec: Spec) -> None:
        if self.shape is not None and self.shape != spec.input_shape:
            own, theirs = (" x ".join(map(str, shape)) for shape in (self.shape, spec.input_shape))
            raise DataError(f"{self.name} has images of {own} (channels, height, width), the model reads {theirs}")

    def adopt(self, spec: Spec) -> None:
        self.check_sizes(spec)
        if self.spec.class_names != spec.class_names:
            self.notes = (*self.notes, "the classes are in another order than the run's: matched by name")
        images, labels = self.splits["test"]
        self.splits = {"test": (images, places(self.name, self.spec.class_names, spec.class_names)[labels])}
        self.mean, self.std = (torch.tensor(values)[:, None, None] for values in (spec.mean, spec.std))
        self.spec = spec

    def to(self, device: torch.device) -> None:
        """A CPU's memory is the host's: there the images stay where they are, mapped or not."""
        self.device = device
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        size = sum(images.nbytes for images, _ in self.splits.values())
        self.on_host = on_host(self.resident, size, device)
        if self.on_host:
            log.info("images (%.1f GB) stay in the host's memory: data.resident=%s", size / 1e9, self.resident)
        elif device.type != "cpu":
            self.splits = {name: (x.to(device), y.to(device)) for name, (x, y) in self.splits.items()}

    def train_batch(self, seed: int, number: int, rank: int = 0, world: int = 1) -> Pair:
        return self._finish(self._take(seed, number, rank, world), seed, number, rank, world)

    def train_loader(
        self, seed: int, batches: int, *, repeat: int | None = None, rank: int = 0, world: int = 1, many: bool = False
    ) -> TrainLoader:
        loader = super().train_loader(seed, batches, repeat=repeat, rank=rank, world=world, many=many)
        if self.on_host:
            every = repeat or batches
            taken = Ahead(lambda number: self._take(seed, number % every, rank, world), batches, self.device)
            loader.draw = lambda number: self._finish(taken(number), seed, number % every, rank, world)
        return loader

    def _take(self, seed: int, number: int, rank: int, world: int) -> Pair:
        """Pixels and labels as they are stored: this rank's of a training batch; where images are mixed, its step's."""
        images, labels = self.splits["train"]
        step, own = self.part(number, rank, world)
        rows = self._rows_of_step(seed, step)
        if not self.mixup:
            rows = rows[own]
        return images[rows], labels[rows]

    def _finish(self, taken: Pair, seed: int, number: int, rank: int, world: int) -> Pair:
        """What ``_take`` gave, on the device, augmented as a part of its optimizer step's examples."""
        x, targets = (part.to(self.device, non_blocking=True) for part in taken)
        step, own = self.part(number, rank, world)
        held = slice(None) if self.mixup else own
        if self.pad or self.flip:
            x = augmented(x, self.pad, self.flip, self.step_size, held, generator("augmentation", seed, step))
        if self.binarise:
            x = binarised(x, self.step_size, held, generator("binarisation", seed, step))
        x = self.normalise(x)
        if self.cutout:
            x = cut_out(x, self.cutout, self.step_size, held, generator("cutout", seed, step))
        if not self.mixup:
            return x, targets
        # NumPy's: torch draws no Beta from a generator
        rng = np.random.default_rng(generator("mixing", seed, step).initial_seed())
        x, targets = mixed(x, targets, self.spec.num_classes, self.mixup, self.mixup_alpha, rng)
        return x[own], targets[own]

    def eval_batch(self, split: str, index: int, limit: int | None = None) -> Pair:
        return self._finish_eval(self._take_eval(split, index, limit))

    def eval_loader(self, split: str, limit: int | None = None, rank: int = 0, world: int = 1) -> EvalLoader:
        loader = super().eval_loader(split, limit, rank, world)
        if self.on_host:
            stop = loader.batches.stop
            cut = None if stop == self.eval_batches(split) else stop
            taken = Ahead(lambda index: self._take_eval(split, index, cut), stop, self.device)
            loader.take = lambda index: self._finish_eval(taken(index))
        return loader

    def _take_eval(self, split: str, index: int, limit: int | None) -> Pair:
        images, labels = self.splits[split]
        chosen = self._rows_of_batch(split, index, limit)
        return images[chosen], labels[chosen]

    @functools.lru_cache(maxsize=4)  # noqa: B019  it is asked for once a batch
    def _sample(self, split: str, size: int, device: torch.device) -> Tensor:
        """Indices of a stratified sample of a split."""
        labels = self.splits[split][1]
        counts = torch.bincount(labels, minlength=self.spec.num_classes).cpu()
        g = generator("evaluation sample", self.split_seed)
        return stratified(labels.cpu(), quotas(counts, size), g).to(device)

    def _finish_eval(self, taken: Pair) -> Pair:
        x, labels = (part.to(self.device, non_blocking=True) for part in taken)
        return self.normalise(x), labels

    def normalise(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> ``dtype``, contiguous, standardised per channel."""
        return images.to(self.dtype).div_(255).sub_(self.mean).div_(self.std).contiguous()


class StoredImageData(ImageData):
    """Images in files under the folder ``root``."""

    def __init__(self, *, root: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.root = path("root", root)
