"""Which files of a folder of images are examples: each once, in one class and one split; what is left out is said."""

import os
from pathlib import Path

import pytest
from torchvision.datasets import ImageFolder

from src.data.base import DataError
from src.data.listing import listing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of two images in train/, of one in test/."""
    for split, n in (("train", 2), ("test", 1)):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(n):
                (tmp_path / split / name / f"{i}.png").touch()
    return tmp_path


def files(root: Path, split: str = "train") -> list[str]:
    return [str(Path(path).relative_to(root / split)) for path, _ in listing(root).splits[split]]


PLAIN = ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]


def test_the_order_is_that_of_torchvision(root: Path) -> None:
    for name in ("b/9.png", "b/c/1.JPG", "a/2.jpeg", "a.b/3.bmp", "a/b/4.webp", "Z.png", "_.tif"):
        path = root / "train/cat" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert listing(root).splits["train"] == ImageFolder(str(root / "train")).samples
    assert listing(root).names == ["cat", "dog"]
    assert listing(root).notes == []


def test_what_is_hidden_is_not_there(root: Path) -> None:
    for name in (".ipynb_checkpoints/0.png", "cat/.ipynb_checkpoints/0.png", "cat/._0.png", ".DS_Store"):
        (root / "train" / name).parent.mkdir(exist_ok=True)
        (root / "train" / name).touch()
    assert files(root) == PLAIN
    assert listing(root).notes == []


def test_links_to_what_is_there_already_count_once(root: Path) -> None:
    (root / "train/cat/again.png").symlink_to(root / "train/cat/0.png")
    (root / "train/cat/loop").symlink_to(root / "train/cat")
    (root / "train/cat/below").mkdir()
    (root / "train/cat/below/loop").symlink_to("..")
    assert files(root) == PLAIN


def test_links_to_elsewhere_are_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for split in ("train", "test"):
        (elsewhere / f"{split}.png").touch()
        (root / split / "eel").mkdir()
        (root / split / "eel/0.png").symlink_to(elsewhere / f"{split}.png")
    assert files(root)[-1] == "eel/0.png"
    (root / "test").rename(elsewhere / "test")
    (root / "test").symlink_to(elsewhere / "test")
    assert files(root, "test") == ["cat/0.png", "dog/0.png", "eel/0.png"]


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("train/cat/x.png", "test/cat/0.png"),
        ("train/cat/x", "test/cat"),
        ("train/cat/x", "."),
        ("train/cat/x", "train"),
        ("train/dog/x.png", "train/cat/0.png"),
        ("train/eel", "train/cat"),
        ("val", "test"),
    ],
)
def test_a_file_in_two_classes_or_splits_is_refused(link: str, target: str, root: Path) -> None:
    if link == "train/eel":
        (root / "test/eel").mkdir()
        (root / "test/eel/0.png").touch()
    (root / link).symlink_to(root / target)
    with pytest.raises(DataError, match="are one file: an image has one class, and is in one split"):
        listing(root)


def test_what_is_skipped_is_said(root: Path) -> None:
    for name in ("cat/a.gif", "dog/b.GIF", "dog/README", "dog/c.txt", "beside.png"):
        (root / "train" / name).touch()
    (root / "extra").mkdir()
    assert listing(root).notes == [
        f"files in {root} that are not used, by suffix: 2 .gif, 1 .png, 1 without suffix, 1 .txt",
        f"folders in {root} that are not used: extra",
    ]
    assert files(root) == PLAIN


def test_a_class_without_images_is_named_with_what_it_has(root: Path) -> None:
    (root / "train/eel").mkdir()
    (root / "train/eel/0.gif").touch()
    with pytest.raises(DataError, match=r"train/eel has no image \(there: 1 .gif\); images are .jpg,"):
        listing(root)


def test_names_that_look_alike(root: Path) -> None:
    (root / "train/caf\u00e9").mkdir()
    (root / "test/cafe\u0301").mkdir()
    (root / "train/caf\u00e9/0.png").touch()
    (root / "test/cafe\u0301/0.png").touch()
    with pytest.raises(DataError, match="the same letters, composed in one name and not in the other"):
        listing(root)


def test_names_that_are_no_text_are_said_in_text(root: Path) -> None:
    (root / "train/cat" / os.fsdecode(b"a.\xff")).touch()
    (root / os.fsdecode(b"\xfe")).mkdir()
    found = listing(root).notes
    assert [note.encode().decode().rpartition(": ")[2] for note in found] == [r"1 .\udcff", r"\udcfe"]


def test_validation_has_the_same_classes(root: Path) -> None:
    (root / "val/cat").mkdir(parents=True)
    (root / "val/cat/0.png").touch()
    with pytest.raises(DataError, match="train/ and val/ differ in the classes dog"):
        listing(root)
    (root / "val/dog").mkdir()
    (root / "val/dog/0.png").touch()
    assert files(root, "val") == ["cat/0.png", "dog/0.png"]


def test_one_class_no_class_no_split(root: Path) -> None:
    for name in ("train/dog", "train/cat", "train"):
        for path in sorted((root / name).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (root / name).rmdir()
        message = {"train/dog": "only cat", "train/cat": "no class folder", "train": "no folder train/"}[name]
        with pytest.raises(DataError, match=message):
            listing(root)
    with pytest.raises(DataError, match=r"no folder .*/nowhere"):
        listing(root / "nowhere")


def test_a_class_whose_name_is_no_text(root: Path) -> None:
    (root / "train" / os.fsdecode(b"\xff")).mkdir()
    with pytest.raises(DataError, match=r"a class folder whose name is not UTF-8: b'\\xff'"):
        listing(root)


def test_a_folder_that_cannot_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in: a test that runs as root may read everything."""
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("train/cat"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="train/cat cannot be read: Permission denied"):
        listing(root)
