"""Temperature scaling against a synthetic truth, closed forms and a brute-force grid."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from src.metrics.calibration import bin_table, ece
from src.metrics.temperature import fit_temperature, scaled


def calibrated(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits (n, 10) of deviation 2, and classes drawn from their softmax."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, 10))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    classes = (p.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=9)
    return torch.from_numpy(logits), torch.from_numpy(classes)


def ece_of(log_probs: Tensor, targets: Tensor) -> float:
    top, guess = log_probs.max(-1)
    return ece(bin_table(top.exp(), guess == targets)).item()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("true", [0.3, 1.0, 2.5])
def test_the_temperature_put_in_is_found(true: float, seed: int) -> None:
    logits, targets = calibrated(100_000, seed)
    log_probs = (logits * true).log_softmax(-1)
    found = fit_temperature(log_probs, targets, "nll")
    assert found == pytest.approx(true, rel=0.01)
    assert ece_of(scaled(log_probs, found), targets) < 0.01
    if true != 1:
        assert ece_of(log_probs, targets) > 0.1


def test_no_other_temperature_has_a_lower_nll() -> None:
    logits, targets = calibrated(500)
    log_probs = (logits * 1.7 + 0.3).log_softmax(-1).float()
    found = fit_temperature(log_probs, targets, "nll")
    assert found is not None

    def nll(t: float) -> float:
        z = log_probs.numpy().astype(np.float64) / t
        return float((np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), targets.numpy()]).mean())

    grid = np.exp(np.linspace(math.log(0.01), math.log(100), 2001))
    assert nll(found) <= min(nll(t) for t in grid) + 1e-12


def test_the_grid_takes_the_least_ece_nearest_to_one() -> None:
    logits, targets = calibrated(3000)
    log_probs = (2.5 * logits).log_softmax(-1)
    found = fit_temperature(log_probs, targets, "ece_grid")
    values = {i / 10: ece_of((log_probs / (i / 10)).log_softmax(-1), targets) for i in range(1, 101)}
    assert values[found] == min(values.values())
    assert found == pytest.approx(2.5, abs=0.5)
    sure = torch.tensor([[0.0, -1000.0]], dtype=torch.float64)  # every T gives confidence 1
    assert fit_temperature(sure, torch.tensor([0]), "ece_grid") == 1.0


def test_scaling_divides_logits_and_sharpens_other_links() -> None:
    logits = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(scaled(logits.log_softmax(-1), 3.0), (logits / 3).log_softmax(-1), atol=1e-14)
    p = torch.rand(5, 4, dtype=torch.float64)
    p /= p.sum(-1, keepdim=True)
    powered = p.sqrt() / p.sqrt().sum(-1, keepdim=True)
    assert torch.allclose(scaled(p.log(), 2.0).exp(), powered, atol=1e-14)


def test_the_ends() -> None:
    """All right: ever sharper. A model of chance alone: ever flatter. Impossible classes: no temperature."""
    logits, _ = calibrated(200)
    log_probs = logits.log_softmax(-1)
    assert fit_temperature(log_probs, log_probs.argmax(-1), "nll") == pytest.approx(0.01, rel=0.2)
    assert fit_temperature(log_probs, log_probs.argmin(-1), "nll") == pytest.approx(100, rel=0.01)
    assert fit_temperature(torch.tensor([[0.0, -torch.inf]]), torch.tensor([1]), "nll") is None
