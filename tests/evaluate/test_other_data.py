"""evaluate.py on other data: matched to the run, or refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.data.alphabet import encode
from src.runs.rebuild import rebuild
from tests.commands import only_run, train
from tests.evaluate.runs import IMAGES, TEXT, WORDS, loaded, pictures, state


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_data_are_standardised_as_the_runs(finished: Callable[[str], Path], command: Callable[..., int]) -> None:
    """The same test images; by themselves, with all of their training images, they would have other statistics."""
    run = finished("images")
    assert command(run, "data=mnist_5k", "data.eval_batch_size=300") == 0
    report = loaded(run / "evaluations/mnist_5k-eval_batch_size300.json")
    assert report["metrics"]["test"] == loaded(run / "result.json")["metrics"]["test"]


def test_classes_are_matched_by_name(
    finished: Callable[[str], Path], command: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*IMAGES, "loss=bce", "data.binary=[[3],[5]]"]
    assert train(*words, f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    capfd.readouterr()
    assert command(run, "data.binary=[[5],[3]]") == 0
    assert "another order than the run's: matched by name" in capfd.readouterr().out
    (report,) = (run / "evaluations").glob("*.json")
    result = loaded(run / "result.json")
    assert result["metrics"]["test"]["accuracy"] > 0.8, "else a swap would not be seen"
    assert loaded(report)["class_accuracy"] == result["class_accuracy"]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("word", [[], ["data=image_folder"]], ids=["key", "option"])
def test_another_folder_of_images(
    word: list[str], of_folder: Path, command: Callable[..., int], tmp_path: Path
) -> None:
    """Against its files read by Pillow, in the rebuilt network."""
    root = pictures(tmp_path / "other", {"dark": 70, "light": 130}, test=9)
    assert command(of_folder, *word, f"data.root={root}") == 0
    (report,) = (of_folder / "evaluations").glob(f"{'image_folder-' if word else ''}root*.json")
    run = rebuild(of_folder)
    files = sorted((root / "test").glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(path), np.float64) / 255 for path in files]).transpose(0, 3, 1, 2)
    x = (pixels - np.reshape(run.spec.mean, (3, 1, 1))) / np.reshape(run.spec.std, (3, 1, 1))
    log_p = run.model(torch.tensor(x).float()).log_softmax(-1)
    truth = torch.tensor([["dark", "light"].index(path.parent.name) for path in files])
    expected = torch.nn.functional.nll_loss(log_p, truth).item()
    assert loaded(report)["metrics"]["test"]["nll"] == pytest.approx(expected, rel=1e-5)
    assert loaded(report)["examples"] == 18


@pytest.mark.usefixtures("cache")
def test_data_that_do_not_fit_are_refused(
    finished: Callable[[str], Path],
    of_folder: Path,
    command: Callable[..., int],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text").write_text(WORDS * 9 + "→" + WORDS * 2)
    root = pictures(tmp_path / "three", {"dark": 1, "grey": 2, "light": 3})
    odd = pictures(tmp_path / "odd", {"dark": 1, "bright": 2})
    table = [
        (of_folder, [f"data.root={root}"], "3 there, 2 in the model (they differ in 'grey')"),
        (of_folder, [f"data.root={odd}"], "2 there, 2 in the model (they differ in 'bright', 'light')"),
        (of_folder, ["data.image_size=9"], "images of 3 x 9 x 9 (channels, height, width), the model reads 3 x 8 x 8"),
        (of_folder, ["data=mnist_5k"], "images of 1 x 28 x 28"),
        (of_folder, ["data=python_docs"], "data=python_docs gives text, this run reads image"),
        (finished("text"), [f"data.path={tmp_path / 'text'}", "data.test_fraction=0.3"], "the test split has '→', not"),
        (finished("text"), ["data.block_size=9"], "the model reads blocks of 8 characters at most"),
        (finished("binary"), ["data=mnist_5k"], "10 there, 2 in the model"),
    ]
    for run, words, expected in table:
        before = state(run)
        assert command(run, *words) == 2
        said = capfd.readouterr().err
        assert expected in said and len(said.strip().splitlines()) == 1, said
        assert state(run) == before


def test_sizes_that_are_known_are_refused_before_anything_is_read(
    finished: Callable[[str], Path],
    of_folder: Path,
    command: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """None of these data are there: to read them would end in another message, after a download was tried."""
    monkeypatch.setattr("torchvision.datasets.utils.urllib.request.urlopen", pytest.fail)
    gone = "data.root=/nowhere"
    for run, words, expected in (
        (finished("images"), ["data=cifar10", gone], "cifar10 has images of 3 x 32 x 32"),
        (finished("images"), ["data=image_folder", gone], "image_folder has images of 3 x 28 x 28"),
        (
            of_folder,
            ["data=mnist", gone],
            "mnist has images of 1 x 28 x 28 (channels, height, width), the model reads 3 x 8",
        ),
        (
            finished("text"),
            ["data.block_size=9", "data.path=/nowhere"],
            "data.block_size=9: the model reads blocks of 8 characters at most",
        ),
    ):
        assert command(run, *words) == 2
        assert expected in capfd.readouterr().err


def test_another_text_in_the_runs_alphabet(
    finished: Callable[[str], Path], command: Callable[..., int], tmp_path: Path
) -> None:
    """Its own alphabet is another, smaller one; against the whole text encoded by hand."""
    run = finished("text")
    text = "to be or not the question " * 40
    (tmp_path / "other").write_text(text)
    assert command(run, f"data.path={tmp_path / 'other'}", "data.test_fraction=0.25") == 0
    (report,) = (run / "evaluations").glob("path*.json")
    made = rebuild(run)
    ids = encode(text[int(len(text) * 0.75) :], made.spec)[0]
    total, block = 0.0, 8
    for start in range(0, len(ids) - 1, block):
        window = ids[start : start + block + 1]
        log_p = made.model(window[None, :-1]).log_softmax(-1)[0]
        total += torch.nn.functional.nll_loss(log_p, window[1:], reduction="sum").item()
    got = loaded(report)
    assert got["examples"] == len(ids) - 1
    assert got["metrics"]["test"]["nll"] == pytest.approx(total / (len(ids) - 1), rel=1e-5)
    assert got["metrics"]["test"]["temperature"] == loaded(run / "result.json")["metrics"]["test"]["temperature"]


def test_data_that_changed_are_refused(
    command: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text(WORDS * 99)
    assert train(*TEXT, "samples.count=0", f"data.path={tmp_path / 'text'}", f"runs={tmp_path / 'runs'}") == 0
    (tmp_path / "text").write_text(WORDS * 98)
    assert command(only_run(tmp_path / "runs")) == 2
    assert "is not what this run was trained on: class_counts differ" in capfd.readouterr().err
