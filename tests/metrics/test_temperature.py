"""Temperature scaling against a synthetic truth, closed forms and a brute-force grid."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from src.metrics import temperature
from src.metrics.calibration import bin_table, ece
from src.metrics.temperature import EVENTS, NotFittedError, fit_temperature, scaled


def calibrated(n: int, seed: int = 0, deviation: float = 2) -> tuple[Tensor, Tensor]:
    """Logits (n, 10), and classes drawn from their softmax."""
    rng = np.random.default_rng(seed)
    logits = deviation * rng.standard_normal((n, 10))
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
    sure = torch.tensor([[0.0, -1000.0]], dtype=torch.float64).expand(40, 2)  # every T gives confidence 1
    assert fit_temperature(sure, torch.arange(40) % 2, "ece_grid") == 1.0


def test_scaling_divides_logits_and_sharpens_other_links() -> None:
    logits = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(scaled(logits.log_softmax(-1), 3.0), (logits / 3).log_softmax(-1), atol=1e-14)
    p = torch.rand(5, 4, dtype=torch.float64)
    p /= p.sum(-1, keepdim=True)
    powered = p.sqrt() / p.sqrt().sum(-1, keepdim=True)
    assert torch.allclose(scaled(p.log(), 2.0).exp(), powered, atol=1e-14)


def test_what_determines_no_temperature() -> None:
    """A model of chance alone: ever flatter. Impossible classes: no nll. The grid: its ends are no best value."""
    logits, targets = calibrated(2000)
    log_probs = logits.log_softmax(-1)
    anything = torch.arange(2000) % 10
    with pytest.raises(NotFittedError, match=r"the end of the range, (100|99)"):
        fit_temperature(log_probs, anything, "nll")
    with pytest.raises(NotFittedError, match="the end of the range, 10"):
        fit_temperature(log_probs * 20, anything, "ece_grid")
    with pytest.raises(NotFittedError, match=r"the end of the range, 0\.01"):  # half are right, however little it says
        fit_temperature((1e-4 * logits).log_softmax(-1), targets, "nll")
    with pytest.raises(NotFittedError, match="not finite"):
        fit_temperature(torch.tensor([[0.0, -torch.inf]]).expand(40, 2), torch.arange(40) % 2, "nll")


@pytest.mark.parametrize("criterion", ["nll", "ece_grid"])
def test_few_right_or_few_wrong_answers_determine_none(criterion: str) -> None:
    """18 images, all right, wanted T = 0.02 and had 12 times the nll on others."""
    logits, _ = calibrated(40)
    log_probs = (0.5 * logits).log_softmax(-1)
    best, worst = log_probs.argmax(-1), log_probs.argmin(-1)
    for wrong, fits in ((0, False), (9, False), (10, True), (31, False), (40, False)):
        targets = torch.cat([worst[:wrong], best[wrong:]])
        if fits:
            assert 0.1 < fit_temperature(log_probs, targets, criterion) <= 100
            continue
        with pytest.raises(
            NotFittedError, match=f"40 validation examples {40 - wrong} are right and {wrong} wrong, .* 10"
        ):
            fit_temperature(log_probs, targets, criterion)


@pytest.mark.slow
def test_a_fitted_temperature_is_seldom_worse_than_none() -> None:
    """Samples of 18 to 400 of calibrated logits made twice as flat or 2.5 times as sharp: the nll on 20,000 others.

    With ten right and ten wrong, T was at most 2.2 times off, and never worse than T = 1; with fewer it often is.
    """
    rng = np.random.default_rng(0)
    fitted = {True: [], False: []}
    for deviation, true in itertools.product((2, 4, 8, 16), (0.5, 2.5)):
        logits, targets = calibrated(20_000, 0, deviation)
        for size in (18, 50, 100, 400):
            for _ in range(25):
                some = torch.from_numpy(rng.integers(0, 20_000, size))
                z, y = true * logits[some], targets[some]
                wrong = int((z.argmax(-1) != y).sum())
                enough = min(wrong, size - wrong) >= EVENTS
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(temperature, "EVENTS", 1)
                    try:
                        t = fit_temperature(z, y, "nll")
                    except NotFittedError:
                        continue
                gain = nll(true * logits, targets, 1.0) - nll(true * logits, targets, t)
                fitted[enough].append((abs(math.log(t / true)), gain))
    factor, gain = np.array(fitted[True]).T
    assert len(gain) > 200 and gain.min() > 0 and math.exp(factor.max()) < 3
    factor, gain = np.array(fitted[False]).T
    assert (gain < 0).mean() > 0.02 and math.exp(factor.max()) > 5


def nll(logits: Tensor, targets: Tensor, t: float) -> float:
    return torch.nn.functional.cross_entropy(logits / t, targets).item()
