"""MNIST, Fashion-MNIST, and the 5,000 digits that come with a package."""

from ..system import torchvision_cpu  # noqa: F401  before torchvision

# isort: split
import contextlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file

from .base import DataError
from .content import opened
from .digits import DIGITS, official_digits
from .images import ImageData, StoredImageData
from .official import Arrays, Official, download_or_explain


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
    """5,000 MNIST digits, 500 a class; the test set is a fixed 100 a class."""

    name = "mnist_5k"
    shape = (1, 28, 28)

    def read(self) -> Official:
        return official_digits()
