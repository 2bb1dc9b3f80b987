"""A folder of images: what is read is what the files hold now, whatever their names and times, and what was kept."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.data.base import DataError
from src.data.image_folder import ImageFolderData
from tests.data.settings import examples, image_settings

SETTINGS = image_settings(batch_size=4, eval_batch_size=8, val_fraction=0.2)


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


def test_a_file_that_changes_with_its_size_and_time_is_read_anew(images: Path) -> None:
    path = images / "train/cat/0.png"
    before = folder_data(images)
    stat = path.stat()
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] ^= 255
    Image.fromarray(pixels).save(path)
    os.truncate(path, max(path.stat().st_size, stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert folder_data(images).fingerprint() != before.fingerprint()


def test_images_that_change_places_are_read_anew(images: Path) -> None:
    """A cat becomes a dog: no size, time or number of files is another."""
    for path in images.rglob("*.png"):
        os.utime(path, ns=(1, 1))
    before = folder_data(images)
    one, other = images / "test/cat/0.png", images / "test/dog/0.png"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    for path in (one, other):
        os.utime(path, ns=(1, 1))
    after = folder_data(images)
    assert after.fingerprint() != before.fingerprint()
    assert examples(after, "test")[0][[0, 2]].equal(examples(before, "test")[0][[2, 0]])


def test_names_and_times_make_no_difference_and_the_classes_do(images: Path) -> None:
    before = folder_data(images).fingerprint()
    for path in (images / "train/cat").iterdir():
        path.rename(path.with_name(f"a{path.name}"))
    os.utime(images / "test/cat/0.png")
    assert folder_data(images).fingerprint() == before
    for split in ("train", "test"):
        (images / split / "cat").rename(images / split / "ape")
    assert folder_data(images).fingerprint() != before


def test_a_flipped_bit_of_what_is_kept_is_noticed(images: Path, tmp_path: Path) -> None:
    before = examples(folder_data(images), "test")[0].clone()
    (kept,) = (tmp_path / "cache").rglob("*.safetensors")
    raw = bytearray(kept.read_bytes())
    raw[-5] ^= 4
    kept.write_bytes(raw)
    assert examples(folder_data(images), "test")[0].equal(before)


def test_validation_of_its_own(images: Path) -> None:
    before = folder_data(images)
    shutil.copytree(images / "test", images / "val")
    Image.new("RGB", (6, 6), (1, 2, 3)).save(images / "val/cat/0.png")
    data = folder_data(images)
    assert [len(examples(data, split)[1]) for split in ("train", "val", "test")] == [16, 4, 4]
    assert examples(data, "val")[0][0, :, 0, 0].tolist() == [1, 2, 3]
    assert data.fingerprint() != before.fingerprint()
    assert data.notes == (
        f"3 images of test/ are in val/ too, {images}/test/cat/1.png as {images}/val/cat/1.png",
        "the data set has a validation split: data.val_fraction is ignored",
    )
    two = ImageFolderData(root=str(images), image_size=6, **{**SETTINGS, "binary": [["dog"], ["cat"]]})
    two.load()
    assert examples(two, "val")[1].tolist() == [1, 1, 0, 0]


def test_copies_in_two_splits_or_classes_are_said(images: Path) -> None:
    shutil.copy(images / "test/cat/0.png", images / "train/cat/7.png")
    shutil.copy(images / "train/cat/1.png", images / "train/dog/7.png")
    assert folder_data(images).notes == (
        f"1 images of test/ are in train/ too, {images}/test/cat/0.png as {images}/train/cat/7.png",
        "1 images of train/ are in more than one class",
    )


def test_what_cannot_be_read_is_named(images: Path, tmp_path: Path) -> None:
    path = images / "train/dog/3.png"
    raw = path.read_bytes()
    made = {"an empty file": b"", "a text": b"hello", "half of it": raw[: len(raw) // 2]}
    for content in made.values():
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"train/dog/3.png is no image that can be used \(.*\); replace or remove"):
            folder_data(images)
        assert not (tmp_path / "cache").exists()
    path.unlink()
    path.symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"no file .*train/dog/3.png"):
        folder_data(images)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"train/dog/3.png is a pipe"):
        folder_data(images)


def test_batch_larger_than_the_training_split_is_cut_and_said(images: Path) -> None:
    data = ImageFolderData(root=str(images), image_size=6, **{**SETTINGS, "batch_size": 1000})
    data.load()
    assert data.batch_size == len(examples(data, "train")[1]) == len(data.train_batch(0, 0)[1])
    assert "all that there is to train on" in data.notes[0]
