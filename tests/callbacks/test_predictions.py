"""What is kept of each test example: the mean of every column is the metric of its name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src.callbacks.predictions import Predictions
from src.metrics.judged import measure
from src.metrics.temperature import scaled


def written(path: Path, batches: list[dict[str, torch.Tensor]], *, text: bool, temperature: float | None) -> Any:
    predictions, task = Predictions(text), None
    predictions.temperature = temperature
    predictions.on_test_start(None, task)
    for batch in batches:
        predictions.on_test_batch_end(None, task, batch)
    predictions.on_test_end(None, task)
    predictions.write(path)
    with np.load(path) as stored:
        return dict(stored)


def random_batches(key: str) -> list[dict[str, torch.Tensor]]:
    g = torch.Generator().manual_seed(3)
    batches = []
    for n in (40, 40, 7):
        scores = 2 * torch.randn(n, 6, generator=g)
        table = {"log_probs": scores.log_softmax(1), "scores": scores}[key]
        batches.append({"targets": torch.randint(6, (n,), generator=g), key: table})
    return batches


@pytest.mark.parametrize("text", [False, True])
def test_the_mean_of_each_column_is_the_metric(text: bool, tmp_path: Path) -> None:
    batches = random_batches("log_probs")
    stored = written(tmp_path / "predictions.npz", batches, text=text, temperature=2.5)
    log_probs, targets = (torch.cat([batch[name] for batch in batches]) for name in ("log_probs", "targets"))
    metrics = measure(log_probs, targets)
    after = measure(scaled(log_probs, 2.5), targets)
    want = {name: metrics[name] for name in ("accuracy", "nll", "brier", "confidence", "overconfidence")}
    want |= {f"{name}_ts": after[name] for name in ("nll", "brier", "confidence")}
    whole = {"targets", "guess"} | (set() if text else {"log_probs"})
    assert set(stored) == whole | set(want)
    for name, value in want.items():
        assert stored[name].dtype == np.float32 and stored[name].shape == (87,)
        assert stored[name].mean(dtype=np.float64) == pytest.approx(value, abs=1e-6), name
    assert (stored["guess"] == log_probs.argmax(1).numpy()).all()
    assert set(stored["accuracy"]) == {0, 1}


def test_scores_without_a_link_have_an_accuracy_and_no_probabilities(tmp_path: Path) -> None:
    batches = random_batches("scores")
    stored = written(tmp_path / "predictions.npz", batches, text=False, temperature=None)
    assert set(stored) == {"targets", "guess", "accuracy", "scores"}
    right = torch.cat([batch["scores"].argmax(1) == batch["targets"] for batch in batches])
    assert (stored["accuracy"] == right.numpy()).all()
