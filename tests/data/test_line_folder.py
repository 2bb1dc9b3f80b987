"""A folder of images of lines: what is read is what the files hold, and what does not fit is told in one sentence."""

import csv
import itertools
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from src.data.base import DataError
from src.data.line_folder import LineFolderData

TEXTS = ["12", "", "211", "1 2", "21", "2", "112", "12 1", "22", "1"]


def write_lines(folder: Path, texts: list[str], *, height: int = 20, seed: int = 0, suffix: str = "tsv") -> None:
    """Noise of 10 columns a character, and the labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with (folder / f"labels.{suffix}").open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file).writerow if suffix == "csv" else lambda row: file.write("\t".join(row) + "\n")
        for i, text in enumerate(texts):
            pixels = rng.integers(0, 256, (height, 10 * max(1, len(text))), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"line {i}.png")
            write([f"line {i}.png", text])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    for seed, (split, texts) in enumerate({"train": TEXTS, "val": TEXTS[:3], "test": TEXTS[3:7]}.items()):
        write_lines(tmp_path / "lines" / split, texts, seed=seed)
    return tmp_path / "lines"


def folder_data(root: Path, **changes: int | float | None) -> LineFolderData:
    settings = {"height": 20, "width": None, "val_fraction": 0.1, "test_fraction": 0.1} | changes
    data = LineFolderData(root=str(root), batch_size=4, eval_batch_size=2, **settings)  # type: ignore[arg-type]
    data.load()
    return data


def texts_of(data: LineFolderData, targets: Tensor) -> list[str]:
    return ["".join(data.spec.class_names[k] for k in row if k >= 0) for row in targets.tolist()]


def test_images_and_texts_are_those_of_the_rows(lines: Path) -> None:
    data = folder_data(lines)
    assert data.spec.class_names == (" ", "1", "2") and data.spec.targets == "sequence"
    assert data.spec.input_shape == (1, 20, 40) and data.spec.class_counts == (2, 10, 9)
    for split, texts in {"train": TEXTS, "val": TEXTS[:3], "test": TEXTS[3:7]}.items():
        images, targets = data.splits[split]
        assert texts_of(data, targets) == texts
        for i, strip in enumerate(images[:, 0].numpy()):
            expected = np.asarray(Image.open(lines / split / f"line {i}.png"))
            np.testing.assert_array_equal(strip[:, : expected.shape[1]], expected)
            behind = strip[:, expected.shape[1] :]
            assert (behind == np.sort(expected, axis=None)[(expected.size - 1) // 2]).all(), "its own background"
    assert sum(data.spec.needed_frames) == 17 and len(data.spec.needed_frames) == 5, "22 needs a blank"


def test_images_keep_their_proportions(lines: Path) -> None:
    Image.new("RGB", (90, 60), (9, 9, 9)).save(lines / "test/line 0.png")
    data = folder_data(lines, height=10)
    assert data.spec.input_shape == (1, 10, 20)
    assert data.splits["test"][0][0].eq(9).all(), "15 columns, and the background behind"
    assert folder_data(lines, height=10, width=50).spec.input_shape == (1, 10, 50)


def test_batches_are_those_of_the_splits(lines: Path) -> None:
    data = folder_data(lines)
    inputs, targets = data.eval_batch("test", 1)
    torch.testing.assert_close(inputs * data.spec.std[0] + data.spec.mean[0], data.splits["test"][0][2:] / 255.0)
    assert texts_of(data, targets) == TEXTS[5:7]
    seen = [texts_of(data, data.train_batch(0, number)[1]) for number in range(2)]
    assert len(seen[0]) == 4 and {*seen[0], *seen[1]} <= {*TEXTS}
    assert not torch.equal(data.train_batch(0, 0)[0], data.train_batch(1, 0)[0])
    scaled = data.splits["train"][0].double() / 255
    assert (data.spec.mean[0], data.spec.std[0]) == pytest.approx(
        (scaled.mean().item(), scaled.std(correction=0).item())
    )


def test_without_folders_splits_are_drawn_and_training_keeps_every_character(tmp_path: Path) -> None:
    texts = [f"{i % 7}{i % 5}" for i in range(200)] + ["x", "yy", "z1"]
    write_lines(tmp_path / "all", texts)
    data = folder_data(tmp_path / "all", val_fraction=0.2, test_fraction=0.3)
    found = {split: texts_of(data, targets) for split, (_, targets) in data.splits.items()}
    assert [len(found[split]) for split in ("train", "val", "test")] == [101, 41, 61]
    assert sorted(itertools.chain(*found.values())) == sorted(texts), "each line once"
    assert {"x", "yy", "z1"} <= {*found["train"]}
    again = folder_data(tmp_path / "all", val_fraction=0.2, test_fraction=0.3)
    assert all(torch.equal(data.splits[split][0], again.splits[split][0]) for split in found)


def test_without_val_it_is_drawn_from_train_only(lines: Path) -> None:
    shutil.rmtree(lines / "val")
    data = folder_data(lines, val_fraction=0.3)
    found = {split: texts_of(data, targets) for split, (_, targets) in data.splits.items()}
    assert len(found["val"]) == 3 and sorted(found["train"] + found["val"]) == sorted(TEXTS)
    assert found["test"] == TEXTS[3:7]


def test_commas_quotes_and_strange_characters_are_read_as_they_are(tmp_path: Path) -> None:
    texts = ['a "quoted", text', "ümlaut", "漢字", "\u202eright", "e\u0301", "=1+1", "<b>", " both ends "]
    for suffix in ("csv", "tsv"):
        write_lines(tmp_path / suffix / "train", texts * 2, suffix=suffix)
        write_lines(tmp_path / suffix / "test", texts, suffix=suffix, seed=1)
        data = folder_data(tmp_path / suffix)
        assert texts_of(data, data.splits["test"][1]) == texts
    assert data.fingerprint() == folder_data(tmp_path / "csv").fingerprint(), "however the labels are written"


def test_line_ends_a_mark_and_a_header_are_none_of_the_text(tmp_path: Path) -> None:
    write_lines(tmp_path / "all", TEXTS)
    before = folder_data(tmp_path / "all").fingerprint()
    labels = tmp_path / "all/labels.tsv"
    written = "\ufefffile_name\ttext\r\n" + labels.read_text().replace("\n", "\r\n") + "\r\n\r\n"
    labels.write_bytes(written.encode())
    assert folder_data(tmp_path / "all").fingerprint() == before


def test_decoded_once_and_again_when_a_file_changes(
    lines: Path, capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    first = folder_data(lines).fingerprint()
    assert "decoding 17 images" in capsys.readouterr().out
    assert folder_data(lines).fingerprint() == first and not capsys.readouterr().out
    labels = lines / "test/labels.tsv"
    labels.write_text(labels.read_text().replace("1 2", "2 1"))
    assert folder_data(lines).fingerprint() != first and not capsys.readouterr().out, "texts are read each time"
    Image.new("L", (30, 20), 7).save(lines / "test/line 0.png")
    os.utime(lines / "test/line 0.png", ns=(1, 1))
    assert folder_data(lines).splits["test"][0][0, 0, 0, 0] == 7 and "decoding" in capsys.readouterr().out
    assert len(list(cache.rglob("*.safetensors"))) == 1
    folder_data(lines, height=10)
    assert len(list(cache.rglob("*.safetensors"))) == 2


def test_the_place_and_the_names_of_files_do_not_matter(lines: Path, tmp_path: Path) -> None:
    first = folder_data(lines).fingerprint()
    moved = tmp_path / "moved"
    shutil.copytree(lines, moved)
    for labels in moved.rglob("labels.tsv"):
        labels.write_text(labels.read_text().replace("line ", "zeile-"))
        for image in labels.parent.glob("line *.png"):
            image.rename(image.with_name(image.name.replace("line ", "zeile-")))
    assert folder_data(moved).fingerprint() == first


def test_copies_and_images_without_a_row_are_told(lines: Path) -> None:
    shutil.copy(lines / "train/line 0.png", lines / "test/line 1.png")
    shutil.copy(lines / "train/line 0.png", lines / "train/rest.png")
    notes = folder_data(lines).notes
    assert any(re.search(r"1 images are in no row .*rest\.png", note) for note in notes)
    assert any(re.search(r"1 images are in two splits, .*test/line 1\.png as .*train/line 0\.png", n) for n in notes)


def test_few_lines_make_a_smaller_batch(tmp_path: Path) -> None:
    write_lines(tmp_path / "all", ["12", "21", "12"])
    data = folder_data(tmp_path / "all", val_fraction=0.34, test_fraction=0.34)
    assert data.batch_size == 1 and "data.batch_size is 1" in data.notes[0]


def test_a_run_s_model_reads_other_lines_in_its_own_terms(lines: Path, tmp_path: Path) -> None:
    """Of another alphabet, whose characters have other indices here."""
    model = folder_data(lines).spec
    write_lines(tmp_path / "other/train", ["2", "21"] * 5)
    write_lines(tmp_path / "other/test", ["2", "12"], seed=3)
    other = folder_data(tmp_path / "other", width=40)
    other.adopt(model)
    assert other.splits.keys() == {"test"} and other.splits["test"][1].tolist() == [[2, -1], [1, 2]]
    assert other.spec == model
    with pytest.raises(DataError, match="images of 1 x 20 x 20, the model reads 1 x 20 x 40"):
        folder_data(tmp_path / "other").adopt(model)
    with pytest.raises(DataError, match="characters that the model does not know"):
        folder_data(lines, width=40).adopt(folder_data(tmp_path / "other", width=40).spec)


def rewritten(change: Callable[[str], str], split: str = "test", name: str = "labels.tsv") -> Callable[[Path], None]:
    def change_labels(root: Path) -> None:
        path = root / split / name
        path.write_text(change(path.read_text()))

    return change_labels


def other_kind(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def replace(root: Path) -> None:
        (root / "test/line 0.png").unlink()
        make(root / "test/line 0.png")

    return replace


def link(root: Path) -> None:
    (root / "test/line 1.png").unlink()
    (root / "test/line 1.png").symlink_to(root / "train/line 1.png")


MISTAKES: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown character": (
        rewritten(lambda text: text.replace("1 2", "1 ¤")),
        r"test/labels\.tsv, line 1, has the character '¤' \(U\+00A4\), which no training line has",
    ),
    "no such file": (
        rewritten(lambda text: text.replace("line 2", "line 9")),
        r"labels\.tsv, line 3, names .*line 9\.png, and no file is there",
    ),
    "two rows": (
        rewritten(lambda text: text + "line 0.png\t1\n"),
        r"line 5, names .*line 0\.png, which .*line 1, names: an image has one text",
    ),
    "two rows by a link": (link, r"test/labels\.tsv, line 2, names .*, which .*train/labels\.tsv, line 2, names"),
    "outside": (
        rewritten(lambda text: text.replace("line 0.png", "../train/line 0.png")),
        r"line 1, names the file '\.\./train/line 0\.png'; expected is the name of an image in",
    ),
    "absolute": (rewritten(lambda text: text.replace("line 0.png", "/etc/passwd")), "names the file '/etc/passwd'"),
    "no name": (rewritten(lambda text: text.replace("line 0.png", "")), "line 1, names the file ''; expected"),
    "NUL": (rewritten(lambda text: text.replace("line 0.png", "a\0")), r"names the file 'a\\x00'"),
    "one column": (rewritten(lambda text: text + "line 0.png\n"), "line 5, has 1 columns; expected is labels.tsv"),
    "three columns": (rewritten(lambda text: text.replace("\t", "\t\t")), "line 1, has 3 columns"),
    "no row": (rewritten(lambda text: ""), r"test/labels\.tsv has no row"),
    "no labels": (lambda root: (root / "test/labels.tsv").unlink(), "test needs one labels file and has none"),
    "both": (lambda root: shutil.copy(root / "test/labels.tsv", root / "test/labels.csv"), "and has both"),
    "both ways": (
        lambda root: shutil.copy(root / "test/labels.tsv", root),
        "labels.tsv is there, and so is .*train/labels.tsv: leave out one of them",
    ),
    "no test": (lambda root: shutil.rmtree(root / "test"), r"has no labels \(there: train, val\); the layout is"),
    "not UTF-8": (lambda root: (root / "test/labels.tsv").write_bytes(b"a\tcaf\xe9\n"), "is not UTF-8: byte 0xe9 at 5"),
    "a folder": (
        other_kind(Path.mkdir),
        r"line 0\.png is a folder, not a file",
    ),
    "a pipe": (
        other_kind(os.mkfifo),
        r"line 0\.png is a pipe",
    ),
    "no image": (
        lambda root: (root / "test/line 0.png").write_bytes(b"GIF89a no"),
        r"test/line 0\.png is no image that can be used",
    ),
    "cut off": (
        lambda root: (root / "test/line 0.png").write_bytes((root / "test/line 0.png").read_bytes()[:60]),
        r"test/line 0\.png is no image that can be used",
    ),
    "no line": (
        lambda root: Image.new("L", (4000, 2)).save(root / "test/line 0.png"),
        r"line 0\.png has 4,000 x 2 pixels: at data\.height=20 that is 40,000 columns, .*; cut it into lines",
    ),
    "no character": (
        rewritten(lambda text: re.sub(r"\t.*", "\t", text), "train"),
        "no training line has a character, so there is nothing to learn",
    ),
}


@pytest.mark.parametrize(("change", "message"), MISTAKES.values(), ids=MISTAKES)
def test_what_does_not_fit_is_told(change: Callable[[Path], object], message: str, lines: Path) -> None:
    change(lines)
    with pytest.raises(DataError, match=message) as found:
        folder_data(lines)
    assert "\n" not in str(found.value)


def test_a_line_wider_than_asked_is_told(lines: Path) -> None:
    message = r"line \d\.png has 40 columns at data\.height=20, more than data\.width=25 as 7 lines .* data\.width=40"
    with pytest.raises(DataError, match=message):
        folder_data(lines, width=25)


def test_a_csv_that_is_none_is_told(tmp_path: Path) -> None:
    write_lines(tmp_path / "all", TEXTS, suffix="csv")
    with (tmp_path / "all/labels.csv").open("a") as file:
        file.write('"line 0.png,12\n')
    with pytest.raises(DataError, match=r"labels\.csv, line \d+, is no CSV: unexpected end of data"):
        folder_data(tmp_path / "all")


def test_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder .*nowhere: name the one that holds labels\.tsv or labels\.csv"):
        folder_data(tmp_path / "nowhere")
    write_lines(tmp_path / "few", ["1"])
    with pytest.raises(DataError, match="there is no line for"):
        folder_data(tmp_path / "few")
