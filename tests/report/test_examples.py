"""Numbers of single examples: their means against the metrics' definitions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from src.callbacks.predictions import Predictions
from src.data.base import Spec
from src.losses.ce import CrossEntropyLoss
from src.metrics.columns import Column, Family
from src.metrics.families import CLASSIFICATION, LANGUAGE
from src.metrics.scores import Scores
from src.report.examples import read_examples, windows
from src.system.files import DamagedError
from src.tasks.supervised import SupervisedTask


def confident(
    rng: np.random.Generator, n: int, classes: int = 5, factor: float = 2.0
) -> dict[str, NDArray[np.float32]]:
    """Predictions that are ``factor`` times too sure: labels come from softmax(z), log_probs from softmax(factor z)."""
    z = 1.5 * rng.standard_normal((n, classes))
    p = np.exp(z - np.logaddexp.reduce(z, 1, keepdims=True))
    targets = (p.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=classes - 1)
    sure = factor * z
    log_probs = sure - np.logaddexp.reduce(sure, 1, keepdims=True)
    return {"log_probs": log_probs.astype(np.float32), "targets": targets}


def ece(log_probs: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    """As the definition says it, bin by bin."""
    confidence, right = np.exp(log_probs.astype(float)).max(1), log_probs.argmax(1) == targets
    total = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    return total


def write(path: Path, arrays: dict[str, NDArray[np.float32]], temperature: float) -> Path:
    """predictions.npz as a run's test writes it."""
    classes = arrays["log_probs"].shape[1]
    spec = Spec("image", (1,), tuple(map(str, range(classes))), (1,) * classes)
    predictions, task = Predictions(), SupervisedTask(model=nn.Identity(), loss=CrossEntropyLoss(), spec=spec)
    task.adjusted = temperature
    answer = {"logits": torch.from_numpy(arrays["log_probs"]), "targets": torch.from_numpy(arrays["targets"])}
    predictions.on_test_batch_end(None, task, answer)  # type: ignore[arg-type]
    predictions.write(path / "predictions.npz")
    return path / "predictions.npz"


def test_means_are_the_metrics(tmp_path: Path) -> None:
    arrays = confident(np.random.default_rng(0), 500)
    log_probs, targets = torch.from_numpy(arrays["log_probs"]).double(), torch.from_numpy(arrays["targets"])
    scores = Scores(text=False)
    scores.update({"loss": log_probs[:, 0]}, log_probs, log_probs, targets)
    want = scores.compute()
    read = read_examples(write(tmp_path, arrays, 1.0), CLASSIFICATION, None)
    got = read.values
    assert set(got) == {"accuracy", "nll", "brier", "overconfidence", "nll_ts", "brier_ts"}
    for name in ("accuracy", "nll", "brier", "overconfidence"):
        assert got[name].mean() == pytest.approx(want[name], abs=1e-6)
    assert read.gaps.keys() == {"ece", "ece_ts"}
    for gaps in read.gaps.values():
        assert np.abs(gaps.deviations()[0]).sum() == pytest.approx(ece(**arrays), abs=1e-6)
        assert gaps.ece == pytest.approx(want["ece"], abs=1e-6)
    for name in ("nll", "brier"):
        assert got[f"{name}_ts"] == pytest.approx(got[name], abs=1e-6)  # T = 1 changes nothing


def test_temperature_undoes_what_was_too_sure(tmp_path: Path) -> None:
    arrays = confident(np.random.default_rng(1), 20_000, factor=3.0)
    read = read_examples(write(tmp_path, arrays, 3.0), CLASSIFICATION, None)
    before, after = (read.gaps[name].ece for name in ("ece", "ece_ts"))
    assert before > 0.1 > 0.02 > after


def test_scores_that_are_no_probabilities_have_an_accuracy_alone(tmp_path: Path) -> None:
    right = np.array([1, 1, 1, 0], np.float32)
    np.savez(tmp_path / "predictions.npz", scores=np.eye(3)[[0, 1, 2, 2]], targets=np.arange(4), accuracy=right)
    got = read_examples(tmp_path / "predictions.npz", CLASSIFICATION, None)
    assert {name: value.tolist() for name, value in got.values.items()} == {"accuracy": [1, 1, 1, 0]}
    assert not got.gaps


def test_any_column_of_a_family_is_read_and_nothing_else(tmp_path: Path) -> None:
    columns = (Column("miss", unit="degrees"), Column("score", 0, low=-5), Column("rms", source="square", root=True))
    family = Family("values", columns, chooses=("miss",), keeps="miss", shown=(), charts=())
    arrays = {"miss": [1.0, 9.0], "score": [-4.0, 2.0], "square": [1, 81], "nll": [0.0, 0.0]}
    path = tmp_path / "predictions.npz"
    np.savez(path, targets=np.array([0.5, 1.5]), **arrays)
    got = read_examples(path, family, None).values
    assert {name: value.tolist() for name, value in got.items()} == {
        name: arrays[name] for name in ("miss", "score", "square")
    }
    np.savez(path, targets=np.array([0.5, 1.5]), **arrays | {"score": [-6.0, 2.0]})
    with pytest.raises(DamagedError, match="score has numbers that are not from -5"):
        read_examples(path, family, None)


def test_a_test_set_is_named_by_its_targets(tmp_path: Path) -> None:
    """Whatever type they are stored in."""

    def name_of(targets: NDArray[np.generic], block: int | None = None) -> str:
        np.savez(tmp_path / "predictions.npz", targets=targets, accuracy=np.ones(len(targets)))
        return read_examples(tmp_path / "predictions.npz", CLASSIFICATION, block).test_set

    whole, parts = np.arange(6), np.arange(6) / 8
    names = [name_of(targets) for targets in (whole, parts, parts + 1, whole[:5], parts.reshape(3, 2))]
    assert len({*names, name_of(whole, 2)}) == 6
    assert name_of(whole.astype(np.int32)) == names[0] and name_of(parts.astype(np.float32)) == names[1]


def test_text_is_cut_into_windows(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    tokens = {"nll": rng.random(1003), "brier": rng.random(1003), "confidence": rng.random(1003)}
    np.savez_compressed(
        tmp_path / "predictions.npz",
        targets=np.zeros(1003, np.int32),
        guess=np.zeros(1003, np.int32),
        accuracy=np.ones(1003, np.float32),
        overconfidence=tokens["confidence"] - 1,
        **tokens,
    )
    read = read_examples(tmp_path / "predictions.npz", LANGUAGE, 100)
    got = read.values
    assert (read.gaps["ece"].block, read.gaps["ece"].deviations()[2]) == (100, 11)
    assert set(got) == {"accuracy", "nll", "brier", "overconfidence"}
    assert len(got["nll"]) == 11
    assert got["nll"].mean() == pytest.approx(tokens["nll"].mean(), abs=1e-6)
    assert got["overconfidence"].mean() == pytest.approx(tokens["confidence"].mean() - 1, abs=1e-6)


def test_windows_by_hand() -> None:
    assert windows(np.array([1.0, 2, 3, 4, 5]), 2).tolist() == pytest.approx([3 * 0.6, 7 * 0.6, 5 * 0.6])
