"""CIFAR, from its original files."""

from ..system import torchvision_cpu  # noqa: F401  before torchvision

# isort: split
from pathlib import Path

import torch
from torchvision import datasets

from .base import DataError
from .images import StoredImageData
from .official import Official, download_or_explain


class CIFAR10(StoredImageData):
    """50,000 + 10,000 colour 32x32 images of 10 classes. Source: Krizhevsky 2009, Learning Multiple Layers of Features.

    torchvision reads the original files and checks their md5.
    """

    name = "cifar10"
    shape = (3, 32, 32)
    source: type[datasets.CIFAR10] = datasets.CIFAR10

    def read(self) -> Official:
        parts = []
        for train in (True, False):
            try:
                part = self.source(str(self.root), train=train, download=True)
            except (RuntimeError, OSError) as error:
                raise download_or_explain(self.name, self.root, error) from error
            except (ValueError, KeyError, EOFError) as error:
                folder = Path(self.root, self.source.base_folder)
                raise DataError(
                    f"{self.name}: a file in {folder} is damaged ({error}); delete it and run again"
                ) from error
            images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
            parts.append((images, torch.tensor(part.targets)))
        return Official(parts[0], parts[1], tuple(part.classes))


class CIFAR100(CIFAR10):
    """50,000 + 10,000 images of CIFAR's 100 fine classes, 500 a class in training. Source: as CIFAR-10."""

    name = "cifar100"
    source = datasets.CIFAR100
