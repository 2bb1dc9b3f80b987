"""What is drawn is what was tested, and a picture that fails costs nothing but itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from src.data.base import EvalLoader, Spec
from src.figures import diagrams, mistakes, pictures
from tests.commands import QUIET, only_run, result_of, train
from tests.data.settings import examples
from tests.runs.test_run import GPT, MLP, rebuilt

IMAGES = {"confidence", "confusion", "mistakes", "reliability"}


def drawn(run: Path) -> set[str]:
    return {path.stem for path in (run / "figures").glob("*.png")}


@pytest.mark.parametrize(
    ("words", "names"),
    [(MLP, IMAGES), (GPT, IMAGES - {"confusion"} | {"nll_by_position"}), ((*MLP, "loss=hinge"), {"confusion"})],
    ids=["image", "text", "hinge"],
)
def test_pictures_of_a_run(words: tuple[str, ...], names: set[str], tmp_path: Path) -> None:
    """The reference text has more than 100 characters; hinge gives no probabilities."""
    assert train(*words, "figures=true", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    assert drawn(run) == names
    for path in (run / "figures").glob("*.png"):
        picture = np.array(Image.open(path).convert("RGB"))
        assert picture.std() > 1 and path.stat().st_size < 300_000, path


def test_what_the_pictures_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mistakes are the wrong test images, most confident first, with their own pixels; counts are those of the test."""
    given: dict[str, Any] = {}
    for module, name in (
        *((mistakes, name) for name in ("confusion", "image_mistakes")),
        *((diagrams, name) for name in ("reliability", "confidence_histogram")),
    ):

        def keep(*args: Any, name: str = name) -> Figure:
            given[name] = args
            return Figure()

        monkeypatch.setattr(module, name, keep)
    assert train(*MLP, "figures=true", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    result = result_of(run)
    with np.load(run / "predictions.npz") as stored:
        log_probs, targets = stored["log_probs"].astype(np.float64), stored["targets"]
    title = f"{run.parent.name[:-9]}\non mnist_5k, seed 0, {result['steps']:,} steps"
    guess, confidence = log_probs.argmax(1), np.exp(log_probs.max(1))
    counts = np.zeros((10, 10))
    np.add.at(counts, (targets, guess), 1)
    np.testing.assert_array_equal(given["confusion"][0], counts)
    np.testing.assert_array_equal(given["confidence_histogram"][1], guess == targets)
    assert given["reliability"][:2] == (result["bins"]["test"], result["bins"]["test_ts"])
    assert given["reliability"][3] == result["metrics"]["test"]["temperature"]
    images, truth, said, sure, _ = given["image_mistakes"]
    assert {args[2 if name == "reliability" else -1] for name, args in given.items()} == {title}
    wrong = np.flatnonzero(guess != targets)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:18]
    assert truth == [str(k) for k in targets[order]] and said == [str(k) for k in guess[order]]
    assert sure == pytest.approx(confidence[order])
    data, _, _ = rebuilt(run)
    pixels = examples(data, "test")[0][order, 0].numpy() / 255
    np.testing.assert_allclose(images, pixels, atol=1e-5)


def test_context_of_a_missed_character() -> None:
    """Two windows of four and a shorter one: example 6 is the third of the second window."""
    windows = torch.arange(8).view(2, 4) % 5
    batches = [(windows, windows + 1), (torch.tensor([[2, 3]]), torch.tensor([[3, 4]]))]
    loader = EvalLoader(batches.__getitem__, range(2), "test")
    found = pictures.fed(loader, [6, 9, 0])
    assert {i: (window.tolist(), place) for i, (window, place) in found.items()} == {
        0: ([0, 1, 2, 3], 0),
        6: ([4, 0, 1, 2], 2),
        9: ([2, 3], 1),
    }


def test_nll_by_position_leaves_the_short_window_out(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(diagrams, "nll_by_position", lambda *args: given.extend(args))
    nll = torch.tensor([1.0, 2.0, 3.0, 3.0, 6.0, 9.0, 100.0], dtype=torch.float64)
    pictures.nll_by_position(nll, 3, "")
    np.testing.assert_allclose(given[0], [2, 4, 6])
    np.testing.assert_allclose(given[1], np.std([[1, 2, 3], [3, 6, 9]], 0, ddof=1) / np.sqrt(2))


def test_a_picture_that_fails_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> Figure:
        raise OSError("no space left on device")

    monkeypatch.setattr(diagrams, "reliability", broken)
    assert train(*MLP, "figures=true", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    result = result_of(run)
    assert result["status"] == "finished" and result["metrics"]["test"]["accuracy"] > 0
    assert result["notes"] == ["not all figures were drawn: OSError: no space left on device"]
    assert drawn(run) == {"confusion"}


def test_no_wrong_example_no_mistake() -> None:
    spec = Spec("image", (1, 2, 2), ("a", "b"), (1, 1), (0.5,), (0.5,))
    columns = {"targets": torch.tensor([0]), "guess": torch.tensor([0]), "confidence": torch.tensor([0.9]).double()}
    loader = EvalLoader(lambda i: (torch.zeros(1, 1, 2, 2), torch.tensor([0])), range(1), "test")
    assert isinstance(pictures.image_mistakes(columns, loader, spec, ""), Figure)


def test_no_pictures_without_the_switch(tmp_path: Path) -> None:
    assert train(*QUIET, "debug=fast", f"runs={tmp_path}") == 0
    assert not (only_run(tmp_path) / "figures").exists()
