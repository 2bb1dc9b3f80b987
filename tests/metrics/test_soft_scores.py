"""Scores against distributions over classes: a one-hot is its class, the rest is the definition."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from src.metrics.scores import Scores
from tests.metrics.definitions import calibration_gaps, expected_error, probabilities


def batch(n: int = 203, classes: int = 5, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Log-probabilities and distributions."""
    g = torch.Generator().manual_seed(0)
    log_p = (3 * torch.randn(n, classes, generator=g)).to(dtype).log_softmax(-1)
    q = torch.rand(n, classes, generator=g).pow(4)
    return log_p, q / q.sum(-1, keepdim=True)


def scored(log_p: Tensor, targets: Tensor, linked: bool = True) -> tuple[dict[str, float | None], Scores]:
    scores = Scores(text=False, num_classes=log_p.shape[1])
    losses = torch.linspace(0, 1, len(log_p))
    for part in torch.arange(len(log_p)).split(64):
        scores.update({"loss": losses[part]}, log_p[part], log_p[part] if linked else None, targets[part])
    return scores.compute(), scores


@pytest.mark.parametrize("linked", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_hot_gives_the_bits_of_its_class(dtype: torch.dtype, linked: bool) -> None:
    log_p, _ = batch(dtype=dtype)
    y = torch.arange(len(log_p)) % 5
    hard, hard_states = scored(log_p, y, linked)
    soft, soft_states = scored(log_p, torch.nn.functional.one_hot(y, 5).float(), linked)
    assert all(torch.equal(getattr(hard_states, name), getattr(soft_states, name)) for name in hard_states._defaults)
    assert hard == soft


def test_soft_targets_are_scored_by_the_definition() -> None:
    log_p, q = batch(dtype=torch.float64)
    values, _ = scored(log_p, q)
    lp, weights = log_p.numpy(), q.double().numpy()
    nll = -sum(weights[i, k] * lp[i, k] for i in range(len(lp)) for k in range(5)) / len(lp)
    accuracy = sum(weights[i, np.argmax(lp[i])] for i in range(len(lp))) / len(lp)
    confidence = np.exp(lp.max(1)).mean()
    p = probabilities(log_p)
    rows, top = np.arange(len(p)), np.argmax(lp, 1)
    by_class = [expected_error(p[:, k].tolist(), weights[:, k].tolist()) for k in range(5)]
    expected = {
        "loss": 0.5,
        "accuracy": accuracy,
        "nll": nll,
        "perplexity": math.exp(nll),
        "bits": nll / math.log(2),
        "confidence": confidence,
        "overconfidence": confidence - accuracy,
        "brier": ((p - weights) ** 2).sum() / len(p),
        "ece": expected_error(p[rows, top].tolist(), weights[rows, top].tolist()),
        "mce": max(abs(gap) for _, gap in calibration_gaps(p[rows, top].tolist(), weights[rows, top].tolist())),
        "classwise_ece": sum(by_class) / 5,
    }
    assert values == pytest.approx(expected, rel=1e-6)


def test_nll_has_the_entropy_of_the_targets_as_its_floor() -> None:
    _, q = batch()
    values, _ = scored(q.double().log(), q)
    entropy = -(q.double() * q.double().log()).sum(-1).mean().item()
    assert values["nll"] == pytest.approx(entropy, rel=1e-6)
    worse, _ = scored((1.3 * q.double().log()).log_softmax(-1), q)
    assert worse["nll"] is not None and worse["nll"] > entropy


def test_impossible_classes_without_weight_do_no_harm() -> None:
    log_p = torch.tensor([[0.0, -torch.inf, -torch.inf]])
    assert scored(log_p, torch.tensor([[1.0, 0.0, 0.0]]))[0]["nll"] == 0
    assert scored(log_p, torch.tensor([[0.5, 0.5, 0.0]]))[0]["nll"] == math.inf
