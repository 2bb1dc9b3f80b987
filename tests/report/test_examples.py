"""Numbers of single examples: their means against the metrics' definitions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from src.metrics.scores import Scores
from src.report.examples import read_examples, windows


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


def test_means_are_the_metrics(tmp_path: Path) -> None:
    arrays = confident(np.random.default_rng(0), 500)
    np.savez_compressed(tmp_path / "predictions.npz", **arrays)
    log_probs, targets = torch.from_numpy(arrays["log_probs"]).double(), torch.from_numpy(arrays["targets"])
    scores = Scores(text=False)
    scores.update({"loss": log_probs[:, 0]}, log_probs, log_probs, targets)
    want = scores.compute()
    read = read_examples(tmp_path / "predictions.npz", 1.0, None)
    got = read.values
    for name in ("accuracy", "nll", "overconfidence"):
        assert got[name].mean() == pytest.approx(want[name], abs=1e-6)
    one_hot = torch.nn.functional.one_hot(targets, 5)
    assert got["brier"].mean() == pytest.approx(((log_probs.exp() - one_hot) ** 2).sum(1).mean().item(), abs=1e-6)
    assert read.gaps.keys() == {"ece", "ece_ts"}
    for gaps in read.gaps.values():
        assert np.abs(gaps.deviations()[0]).sum() == pytest.approx(ece(**arrays), abs=1e-6)
    for name in ("nll", "brier"):
        assert got[f"{name}_ts"] == pytest.approx(got[name], abs=1e-6)  # T = 1 changes nothing


def test_temperature_undoes_what_was_too_sure(tmp_path: Path) -> None:
    arrays = confident(np.random.default_rng(1), 20_000, factor=3.0)
    np.savez_compressed(tmp_path / "predictions.npz", **arrays)
    read = read_examples(tmp_path / "predictions.npz", 3.0, None)
    got = {name: value.mean() for name, value in read.values.items()}
    want = torch.log_softmax(torch.from_numpy(arrays["log_probs"]).double() / 3, 1)
    nll = torch.nn.functional.nll_loss(want, torch.from_numpy(arrays["targets"]))
    assert got["nll_ts"] == pytest.approx(nll.item(), abs=1e-6)
    before, after = (np.abs(read.gaps[name].deviations()[0]).sum() for name in ("ece", "ece_ts"))
    assert before > 0.1 > 0.02 > after


def test_scores_that_are_no_probabilities_have_an_accuracy_alone(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "predictions.npz", scores=np.eye(3)[[0, 1, 2, 2]], targets=np.array([0, 1, 2, 0]))
    got = read_examples(tmp_path / "predictions.npz", None, None).values
    assert {name: value.tolist() for name, value in got.items()} == {"accuracy": [1, 1, 1, 0]}


def test_text_is_cut_into_windows(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    tokens = {"nll": rng.random(1003), "brier": rng.random(1003), "confidence": rng.random(1003)}
    np.savez_compressed(
        tmp_path / "predictions.npz",
        targets=np.zeros(1003, np.int32),
        guess=np.zeros(1003, np.int32),
        accuracy=np.ones(1003, np.float32),
        **tokens,
    )
    read = read_examples(tmp_path / "predictions.npz", 2.0, 100)
    got = read.values
    assert (read.gaps["ece"].block, read.gaps["ece"].deviations()[2]) == (100, 11)
    assert set(got) == {"accuracy", "nll", "brier", "overconfidence"}
    assert len(got["nll"]) == 11
    assert got["nll"].mean() == pytest.approx(tokens["nll"].mean(), abs=1e-6)
    assert got["overconfidence"].mean() == pytest.approx(tokens["confidence"].mean() - 1, abs=1e-6)


def test_windows_by_hand() -> None:
    assert windows(np.array([1.0, 2, 3, 4, 5]), 2).tolist() == pytest.approx([3 * 0.6, 7 * 0.6, 5 * 0.6])
