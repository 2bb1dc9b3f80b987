"""A data set of images as its makers give it."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .base import DataError
from .content import described, tensor_digest
from .labels import listed

Arrays = tuple[Tensor, Tensor]  # images (N, C, H, W) uint8, labels (N,) int64


class Official(NamedTuple):
    """The splits and the classes."""

    train: Arrays
    test: Arrays
    names: tuple[str, ...]  # of the classes, in the order of their labels
    val: Arrays | None = None  # where they give one; else it is split off training
    digests: Mapping[str, str] = {}  # of "train_images", "train_labels", ..., where reading has told them

    def splits(self) -> dict[str, Arrays]:
        return {"train": self.train, "test": self.test} | ({"val": self.val} if self.val else {})

    def fingerprint(self) -> str:
        """A SHA-256, in hex, of all of it."""
        digests = {
            f"{split}_{what}": self.digests.get(f"{split}_{what}") or tensor_digest(tensor)
            for split, pair in self.splits().items()
            for what, tensor in zip(("images", "labels"), pair, strict=True)
        }
        return described(kind="image", classes=self.names, arrays=digests)

    def check(self, split: str, where: str) -> None:
        """Raise DataError, naming ``where`` the labels are from, unless each image of a split has one, of a class."""
        (images, labels), classes = self.splits()[split], len(self.names)
        if len(labels) != len(images):
            raise DataError(f"{where}: {len(labels):,} labels and {len(images):,} images, which do not belong together")
        odd = ((labels < 0) | (labels >= classes)).nonzero().flatten()
        if len(odd):
            raise DataError(
                f"{where}: example {int(odd[0]):,} has the label {int(labels[odd[0]])}, the classes are 0 to"
                f" {classes - 1} ({len(odd):,} labels of {len(labels):,} are none of these)"
            )

    def unseen(self) -> str:
        """The classes that training has no image of, for a message."""
        counts = torch.bincount(self.train[1], minlength=len(self.names)).tolist()
        return listed([name for name, n in zip(self.names, counts, strict=True) if n == 0], 5)


def download_or_explain(name: str, root: Path, error: Exception) -> DataError:
    """The message for data that is neither on disk nor to be downloaded."""
    reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:160]}"
    return DataError(
        f"{name} is not in {root} and could not be downloaded ({reason})."
        " Put its files there, name another folder with data.root=FOLDER, or use data=mnist_5k, which needs no download"
    )
