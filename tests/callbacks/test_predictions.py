"""What is kept of each test example: the mean of every column is the metric of its name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from src.callbacks.predictions import Predictions
from src.data.base import Spec
from src.losses.ce import CrossEntropyLoss
from src.losses.hinge import HingeLoss
from src.metrics.judged import measure
from src.metrics.temperature import scaled
from src.tasks.supervised import SupervisedTask


def written(
    path: Path,
    batches: list[dict[str, torch.Tensor]],
    *,
    text: bool = False,
    linked: bool = True,
    temperature: float | None = None,
) -> Any:
    spec = Spec("text" if text else "image", (5,), tuple("abcdef"), (1,) * 6)
    loss: Any = CrossEntropyLoss() if linked else HingeLoss()
    predictions, task = Predictions(), SupervisedTask(model=nn.Identity(), loss=loss, spec=spec)
    task.adjusted = temperature
    predictions.on_test_start(None, task)
    for batch in batches:
        predictions.on_test_batch_end(None, task, batch)
    predictions.on_test_end(None, task)
    predictions.write(path)
    with np.load(path) as stored:
        return dict(stored)


def random_batches() -> list[dict[str, torch.Tensor]]:
    g = torch.Generator().manual_seed(3)
    batches = []
    for n in (40, 40, 7):
        logits = 2 * torch.randn(n, 6, generator=g)
        batches.append({"targets": torch.randint(6, (n,), generator=g), "logits": logits})
    return batches


@pytest.mark.parametrize("text", [False, True])
def test_the_mean_of_each_column_is_the_metric(text: bool, tmp_path: Path) -> None:
    batches = random_batches()
    stored = written(tmp_path / "predictions.npz", batches, text=text, linked=True, temperature=2.5)
    logits, targets = (torch.cat([batch[name] for batch in batches]) for name in ("logits", "targets"))
    log_probs = logits.log_softmax(1)
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
    batches = random_batches()
    stored = written(tmp_path / "predictions.npz", batches, text=False, linked=False, temperature=None)
    assert set(stored) == {"targets", "guess", "accuracy", "scores"}
    right = torch.cat([batch["logits"].argmax(1) == batch["targets"] for batch in batches])
    assert (stored["accuracy"] == right.numpy()).all()
