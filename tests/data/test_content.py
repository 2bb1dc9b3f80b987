"""The fingerprint is of what is learnt from, whatever its place, names and times; and nothing is read twice for it."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.data import content
from src.data.base import DataError
from src.data.content import digest, file_digest, opened
from src.data.mnist import MNIST, FashionMNIST, MNIST5k
from src.data.text import PythonDocs, TextFile
from tests.data.settings import image_settings
from tests.data.test_files import write_idx
from tests.data.test_text import SETTINGS as TEXT_SETTINGS
from tests.data.test_text import TEXT

SETTINGS = image_settings(batch_size=4, eval_batch_size=8, val_fraction=0.2)


@pytest.mark.parametrize("size", [0, 1, 4, 5, 8, 11])
def test_digest_is_the_hash_of_the_hashes_of_the_blocks(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "BLOCK", 4)
    raw = bytes(range(size))
    blocks = [raw[start : start + 4] for start in range(0, size, 4)]
    expected = hashlib.sha256(b"".join(hashlib.sha256(block).digest() for block in blocks)).hexdigest()
    assert digest(raw) == expected
    (tmp_path / "file").write_bytes(b"xyz" + raw)
    with opened(tmp_path / "file") as file:
        assert file_digest(file, 3) == expected


@pytest.fixture
def parts() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = {"train": 40, "t10k": 20}
    images = {f"{name}-images-idx3-ubyte": rng.integers(0, 256, (n, 28, 28), np.uint8) for name, n in sizes.items()}
    labels = {f"{name}-labels-idx1-ubyte": (np.arange(n) % 10).astype(np.uint8) for name, n in sizes.items()}
    return images | labels


def of(cls: type[MNIST] | type[FashionMNIST], root: Path, parts: dict[str, np.ndarray]) -> str:
    """The fingerprint of files with these contents, all of one time."""
    for name, array in parts.items():
        write_idx(path := root / cls.source.__name__ / "raw" / name, array)
        os.utime(path, ns=(1, 1))
    return cls(root=str(root), **SETTINGS).fingerprint()


def test_the_same_content_elsewhere_is_the_same(tmp_path: Path, parts: dict[str, np.ndarray]) -> None:
    assert of(MNIST, tmp_path / "a", parts) == of(MNIST, tmp_path / "b", parts)


CHANGES: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "a pixel": lambda p: p["train-images-idx3-ubyte"].__setitem__(
        (3, 5, 5), 255 - p["train-images-idx3-ubyte"][3, 5, 5]
    ),
    "a label": lambda p: p["t10k-labels-idx1-ubyte"].__setitem__(3, 9),
    "the order": lambda p: [p.update({k: p[k][::-1].copy()}) for k in p if "train" in k],
    "the splits": lambda p: [
        p.update({f"train-{k}": p[f"t10k-{k}"], f"t10k-{k}": p[f"train-{k}"]})
        for k in ("images-idx3-ubyte", "labels-idx1-ubyte")
    ],
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_content_in_the_same_place_is_another(change: str, tmp_path: Path, parts: dict[str, np.ndarray]) -> None:
    before = of(MNIST, tmp_path, parts)
    CHANGES[change](parts)
    assert of(MNIST, tmp_path, parts) != before


def test_other_class_names_are_other_data(tmp_path: Path, parts: dict[str, np.ndarray]) -> None:
    assert of(MNIST, tmp_path, parts) != of(FashionMNIST, tmp_path, parts)


def test_settings_that_choose_among_the_data_leave_the_fingerprint(tmp_path: Path) -> None:
    plain = MNIST5k(**image_settings()).fingerprint()
    assert MNIST5k(**image_settings(train_examples=100, label_noise=0.1, without=[3])).fingerprint() == plain


def test_nothing_is_read_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT)
    for data in (
        MNIST5k(**image_settings()),
        PythonDocs(**TEXT_SETTINGS),
        TextFile(path=str(tmp_path / "text"), **TEXT_SETTINGS),
    ):
        reads: list[int] = []
        read = data.read
        monkeypatch.setattr(data, "read", lambda reads=reads, read=read: reads.append(1) or read())
        data.fingerprint()
        data.fingerprint()
        data.load()
        assert reads == [1]
        assert data._content is None  # memory is free again
        read_first = data.fingerprint()
        assert reads == [1]
        data.load()  # reads again
        assert reads == [1, 1]
        assert data.fingerprint() == read_first


def test_moved_text_is_the_same_and_one_character_makes_another(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT)
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "text", tmp_path / "other/name")
    (tmp_path / "bom").write_text("\ufeff" + TEXT)
    (tmp_path / "changed").write_text(TEXT[:-1] + "\r")
    prints = [
        TextFile(path=str(tmp_path / name), **TEXT_SETTINGS).fingerprint()
        for name in ("text", "other/name", "bom", "changed")
    ]
    assert prints[0] == prints[1] == prints[2] != prints[3]


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a device"])
def test_what_is_no_file_is_refused_at_once(what: str, tmp_path: Path) -> None:
    path = {"a folder": tmp_path, "a pipe": tmp_path / "pipe", "a device": Path("/dev/zero")}[what]
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=f"{path} is {what}"):
        TextFile(path=str(path), **TEXT_SETTINGS).fingerprint()


@pytest.mark.parametrize("value", ["~nosuch/x", 3, None, "", "a\0b", ["a"], "x" * 300, "\udcff"])
def test_a_path_that_names_nothing_is_refused(value: object) -> None:
    for made in (lambda: TextFile(path=value, **TEXT_SETTINGS), lambda: MNIST(root=value, **SETTINGS)):
        with pytest.raises(ValueError, match=r"^(path|root) (must be a path|names a home|cannot be looked at)"):
            made()
