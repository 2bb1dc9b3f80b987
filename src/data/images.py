"""Image data sets as tensors on the training device: splits, normalisation and batched augmentation."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.checks import choice, integer, number
from src.data.base import Batch, Data, DataError, Spec, generator, quotas, stratified
from src.data.labels import Groups, class_index, groups_of_classes, long_tail, noisy, relabelled, two_groups
from src.data.mixing import MIXES, mixed

Arrays = tuple[Tensor, Tensor]  # images (N, C, H, W) uint8, labels (N,) int64


def download_or_explain(name: str, root: Path, error: Exception) -> DataError:
    """The message for data that is neither on disk nor to be downloaded."""
    reason = f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"
    return DataError(
        f"{name} is not in {root} and could not be downloaded ({reason})."
        " Put its files there, name another folder with data.root=FOLDER, or use data=mnist_5k, which needs no download"
    )


class ImageData(Data):
    """Images of K classes. ``read`` gives the official training and test sets; validation is split off training.

    batch_size: examples a training step, over all devices. eval_batch_size: examples a batch in validation and test.
    val_fraction: share of training held out, stratified, by a fixed seed of its own.
    train_examples: a stratified subset of what is left, or None for all. pad: pixels of zero padding
    for random crops (0: none). flip: mirror half the images. mixup: None, mixup or cutmix of training batches, with
    lambda ~ Beta(mixup_alpha, mixup_alpha); their targets are distributions. binary, imbalance and label_noise: as in
    ``two_groups``, ``long_tail`` and ``noisy``. without: classes, by index or name, that training does not see.

    In this order: binary makes two classes, before any split; validation is split off; training loses the classes of
    without; imbalance thins it; then train_examples are taken of what is left, in its proportions. Noise hits training
    labels alone; it is drawn once for the whole official training set, so that an image has the same label in every
    subset, and by the fixed seed of the split, so that all runs learn from the same labels. The spec counts training
    labels as they are learnt.

    Pixels are scaled to [0, 1], then standardised by the training split's mean and standard deviation per channel.
    """

    kind = "image"
    name: str
    split_seed = 20_240_229  # of all that is drawn in loading; the same for every run, so that runs compare

    def __init__(
        self,
        *,
        batch_size: int,
        eval_batch_size: int,
        val_fraction: float,
        train_examples: int | None,
        pad: int,
        flip: bool,
        mixup: str | None,
        mixup_alpha: float,
        label_noise: float,
        imbalance: float | None,
        binary: Groups,
        without: Sequence[int | str],
    ) -> None:
        self.batch_size = integer("batch_size", batch_size, low=1)
        self.eval_batch_size = integer("eval_batch_size", eval_batch_size, low=1)
        self.val_fraction = number("val_fraction", val_fraction, above=0, high=0.9)
        self.train_examples = None if train_examples is None else integer("train_examples", train_examples, low=1)
        self.pad = integer("pad", pad, low=0)
        if not isinstance(flip, bool):
            raise ValueError(f"flip must be true or false, got {flip!r}")
        self.flip = flip
        self.mixup = None if mixup is None else choice("mixup", mixup, MIXES)
        self.soft_targets = self.mixup is not None
        self.mixup_alpha = number("mixup_alpha", mixup_alpha, above=0)
        self.label_noise = number("label_noise", label_noise, low=0, below=1)
        self.imbalance = None if imbalance is None else number("imbalance", imbalance, low=1)
        self.binary = groups_of_classes("binary", binary)
        if isinstance(without, str) or not isinstance(without, Sequence):
            raise ValueError(f"without must be a list of classes, got {without!r}")
        self.without = without

    def read(self) -> tuple[Arrays, Arrays, tuple[str, ...]]:
        """The official training set, test set, and class names. Raises DataError."""
        raise NotImplementedError

    def load(self) -> None:
        (images, labels), test, names = self.read()
        if self.binary is not None:
            new, names = two_groups(self.binary, names)
            (images, labels), test = relabelled(images, labels, new), relabelled(*test, new)
        train, val = self._split(labels, names)
        learnt = noisy(labels, len(names), self.label_noise, generator("label noise", self.split_seed))
        self.splits = {
            "train": (images[train], learnt[train]),
            "val": (images[val], labels[val]),
            "test": test,
        }
        counts = torch.bincount(learnt[train], minlength=len(names))
        for split, (_, split_labels) in self.splits.items():
            if len(split_labels) == 0:
                raise DataError(
                    f"{self.name}: the {split} split is empty (data.val_fraction, data.without, data.train_examples)"
                )
        if self.batch_size > len(train):
            self.batch_size = len(train)
            self.notes = (*self.notes, f"data.batch_size is {len(train)}, all that there is to train on")
        self.mean, self.std = channel_statistics(self.splits["train"][0])
        statistics = (tuple(values.flatten().tolist()) for values in (self.mean, self.std))
        self.spec = Spec(self.kind, tuple(images.shape[1:]), names, tuple(counts.tolist()), *statistics)

    def _split(self, labels: Tensor, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """Indices of training and validation examples."""
        classes = len(names)
        g = generator("validation split", self.split_seed)
        counts = torch.bincount(labels, minlength=classes)
        val = stratified(labels, quotas(counts, round(self.val_fraction * len(labels))), g)
        rest = torch.ones(len(labels), dtype=torch.bool)
        rest[val] = False
        for member in self.without:
            rest &= labels != class_index("without", member, names)
        train = rest.nonzero().flatten()
        if self.imbalance is not None:
            kept = long_tail(torch.bincount(labels[train], minlength=classes), self.imbalance)
            train = train[stratified(labels[train], kept, g)]
        if self.train_examples is not None:
            if self.train_examples > len(train):
                raise DataError(f"data.train_examples={self.train_examples}: only {len(train)} are there for training")
            left = torch.bincount(labels[train], minlength=classes)
            train = train[stratified(labels[train], quotas(left, self.train_examples), g)]
        return train, val

    def to(self, device: torch.device) -> None:
        self.splits = {name: (x.to(device), y.to(device)) for name, (x, y) in self.splits.items()}
        self.mean, self.std = self.mean.to(device), self.std.to(device)

    def steps_per_epoch(self) -> int:
        return max(1, len(self.splits["train"][1]) // self.batch_size)

    def train_batch(self, seed: int, step: int, rank: int = 0, world: int = 1) -> Batch:
        images, labels = self.splits["train"]
        epoch, index = divmod(step, self.steps_per_epoch())
        rows = self._order(seed, epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        x, targets = images[rows], labels[rows]
        if self.pad or self.flip:
            x = self._augment(x, generator("augmentation", seed, step))
        x = self.normalise(x)
        if self.mixup:
            # NumPy's: torch draws no Beta from a generator
            rng = np.random.default_rng(generator("mixing", seed, step).initial_seed())
            x, targets = mixed(x, targets, self.spec.num_classes, self.mixup, self.mixup_alpha, rng)
        return x[rank::world], targets[rank::world]

    @functools.lru_cache(maxsize=2)  # noqa: B019  an epoch's order is asked for once a batch
    def _order(self, seed: int, epoch: int) -> Tensor:
        labels = self.splits["train"][1]
        return torch.randperm(len(labels), generator=generator("order", seed, epoch)).to(labels.device)

    def _augment(self, x: Tensor, g: torch.Generator) -> Tensor:
        """(B, C, H, W) -> the same: each image shifted by up to ``pad`` pixels over zeros, and mirrored half the time.

        Source: He et al. 2016, arXiv:1512.03385, section 4.2 (4 pixels and mirroring for CIFAR).
        """
        batch, _, height, width = x.shape
        device = x.device
        rows = torch.arange(height).expand(batch, -1)
        columns = torch.arange(width).expand(batch, -1)
        if self.pad:
            shift = torch.randint(2 * self.pad + 1, (2, batch, 1), generator=g)
            rows, columns = rows + shift[0], columns + shift[1]
            x = torch.nn.functional.pad(x, [self.pad] * 4)
        if self.flip:
            mirrored = torch.rand(batch, 1, generator=g) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        rows, columns = rows.to(device), columns.to(device)
        moved = x[torch.arange(batch, device=device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        return moved.permute(0, 3, 1, 2)

    def eval_batches(self, split: str) -> int:
        return -(-len(self.splits[split][1]) // self.eval_batch_size)

    def eval_batch(self, split: str, index: int) -> Batch:
        images, labels = self.splits[split]
        rows = slice(index * self.eval_batch_size, (index + 1) * self.eval_batch_size)
        return self.normalise(images[rows]), labels[rows]

    def normalise(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> float32, contiguous, standardised per channel."""
        return ((images.float() / 255 - self.mean) / self.std).contiguous()


class StoredImageData(ImageData):
    """Images in files under the folder ``root``."""

    def __init__(self, *, root: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.root = Path(root).expanduser()


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, H, W) uint8 -> mean and standard deviation (C, 1, 1) of pixels in [0, 1], from exact integer counts."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in images.unbind(1):
        counts = torch.bincount(channel.flatten(), minlength=256).double()
        mu = (counts @ levels) / counts.sum()
        mean.append(mu)
        std.append(((counts @ (levels - mu) ** 2) / counts.sum()).sqrt().clamp_min(1e-3))
    return torch.stack(mean).float()[:, None, None], torch.stack(std).float()[:, None, None]
