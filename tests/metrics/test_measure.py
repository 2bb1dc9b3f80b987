"""``measure``: what the test of a run says, from log-probabilities and classes alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import src.metrics
from src.metrics import fit_temperature, measure, scaled
from tests.commands import QUIET, only_run, train
from tests.metrics.definitions import adaptive_error, by_definition, roc_area
from tests.metrics.test_scores import Batch, batches


@settings(max_examples=100)
@given(batches())
def test_against_the_definitions(batch: Batch) -> None:
    losses, log_probs, targets = batch
    expected = by_definition(losses, log_probs, targets)
    del expected["loss"]
    top, guess = log_probs.double().max(-1)
    confidence, right = top.exp().tolist(), (guess == targets).tolist()
    got = measure(log_probs, targets)
    assert {name: got[name] for name in expected} == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert got["adaptive_ece"] == pytest.approx(adaptive_error(confidence, right), abs=1e-12)
    assert got["auroc"] == pytest.approx(roc_area(confidence, right))


def test_it_says_what_a_runs_test_says(tmp_path: Path) -> None:
    """Of the log-probabilities that the run kept, before and after scaling by its temperature."""
    assert train(*QUIET, "trainer.max_epochs=2", "model.widths=[16]", f"runs={tmp_path}") == 0
    run = only_run(tmp_path)
    told = json.loads((run / "result.json").read_text())["metrics"]["test"]
    kept = np.load(run / "predictions.npz")
    log_probs, targets = torch.from_numpy(kept["log_probs"]), torch.from_numpy(kept["targets"])
    for name, value in measure(log_probs, targets).items():
        assert value == pytest.approx(told[name], rel=1e-9, abs=1e-12), name
    after = measure(scaled(log_probs, told["temperature"]), targets)
    for name in ("nll", "ece", "brier"):
        assert after[name] == pytest.approx(told[f"{name}_ts"], rel=1e-9), name


def test_a_temperature_undoes_what_sharpened_the_logits() -> None:
    g = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 4, generator=g, dtype=torch.float64)
    targets = torch.multinomial(logits.softmax(-1), 1, generator=g)[:, 0]
    assert fit_temperature(5 * logits, targets) == pytest.approx(5, rel=0.03)


LOG_P = torch.zeros(3, 4).log_softmax(-1)


@pytest.mark.parametrize(
    ("log_probs", "targets", "message"),
    [
        (torch.zeros(3, 4), torch.zeros(3, dtype=torch.int64), "pass logits.log_softmax"),
        (torch.full((3, 4), torch.nan), torch.zeros(3, dtype=torch.int64), "pass logits.log_softmax"),
        (LOG_P.exp(), torch.zeros(3, dtype=torch.int64), "pass logits.log_softmax"),
        (LOG_P, torch.zeros(3), "classes .N,. of integers, .* of torch.float32"),
        (LOG_P, torch.zeros(2, dtype=torch.int64), r"got the shapes \(3, 4\) and \(2,\)"),
        (LOG_P[:0], torch.zeros(0, dtype=torch.int64), "N >= 1"),
        (LOG_P[0], torch.tensor(1), "takes log-probabilities"),
        (LOG_P, torch.tensor([0, 1, 4]), "classes are numbers from 0 to 3, got 0 to 4"),
        (LOG_P, torch.tensor([-1, 1, 2]), "classes are numbers from 0 to 3, got -1 to 2"),
    ],
)
def test_what_does_not_fit_is_told(log_probs: torch.Tensor, targets: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(log_probs, targets)


def test_the_names_that_it_offers() -> None:
    assert {"measure", "fit_temperature", "scaled"} <= set(dir(src.metrics))
    with pytest.raises(AttributeError, match="has no accuracy; there are NotFittedError, "):
        _ = src.metrics.accuracy
