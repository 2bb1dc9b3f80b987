"""The ECE of the population: against closed forms, and by simulations with a known truth."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from docs.simulation import Examples, gaps, percent, sharpness_of, truth, verdicts
from src.report.calibration import AT, Gaps, compare, fit


def constant(confidence: float, right: Sequence[float], block: int = 1) -> Gaps:
    """One bin only: there ECE is |share of right - confidence|."""
    inside = int(np.ceil(confidence * 15)) - 1
    return Gaps(np.full(len(right), inside, np.uint8), (np.array(right) - confidence).astype(np.float32), block)


def coins(p: float, n: int, seed: int) -> list[float]:
    return (np.random.default_rng(seed).random(n) < p).astype(float).tolist()


def test_far_from_0_it_is_the_plain_interval_of_a_mean() -> None:
    right = [1.0] * 750 + [0.0] * 250
    got = fit([constant(0.95, right)])
    half = stats.t.ppf(0.975, 999) * np.sqrt(0.75 * 0.25 / 999)
    assert got.value == pytest.approx(0.2, abs=0.002)
    assert (got.low[AT], got.high[AT]) == pytest.approx((0.2 - half, 0.2 + half), abs=0.15 * half)  # of 500 draws


def test_chance_alone_gives_0() -> None:
    """e is less than chance makes it on average: |m| < sqrt(2 / pi) sigma."""
    right = [1.0] * 752 + [0.0] * 248
    got = fit([constant(0.75, right)])
    assert (got.value, got.low[AT]) == (0.0, 0.0)
    assert 0.02 < got.high[AT] < 0.04


def test_examples_that_depend_on_each_other_widen_the_interval() -> None:
    right = np.repeat(coins(0.6, 100, 0), 20).tolist()
    single, blocks = (fit([constant(0.8, right, block)]) for block in (1, 20))
    ratio = (blocks.high[AT] - blocks.low[AT]) / (single.high[AT] - single.low[AT])
    assert ratio == pytest.approx(np.sqrt(20), rel=0.15)


def test_all_right_and_sure_of_it_is_no_proof() -> None:
    """Of 1,000 right answers the share of wrong ones may still be 0.4 %."""
    got = fit([constant(1.0, [1.0] * 1000)] * 3)
    assert (got.value, got.low[AT]) == (0.0, 0.0)
    t = stats.t.ppf(0.975, 999)
    assert got.high[AT] == pytest.approx(t**2 / (1000 + t**2), rel=1e-6)


def test_a_loss_does_not_differ_from_itself() -> None:
    level = fit([constant(0.9, coins(0.7, 500, seed)) for seed in range(3)])
    value, low, high, p = compare(level, level)[:4]
    assert (value, p) == (0, 1) and low <= 0 <= high


def test_a_difference_is_the_other_way_round_what_it_is_this_way() -> None:
    a, b = (fit([constant(0.9, coins(p, 500, seed)) for seed in range(4)]) for p in (0.7, 0.8))
    value, low, high, p = compare(a, b)[:4]
    assert compare(b, a)[:4] == pytest.approx((-value, -high, -low, p))
    assert 0.05 < value < 0.15 and p < 0.05 and low > 0


@pytest.mark.slow
@pytest.mark.parametrize(("n", "ece"), [(3, 0.0), (5, 0.02)])
def test_intervals_hold_the_truth(n: int, ece: float) -> None:
    """150 test sets: three standard errors of 95 % are 5 %. At 0, the end, an interval errs on one side only."""
    rng, sharpness = np.random.default_rng(11), sharpness_of(2.3, ece)
    true = truth(2.3, sharpness, 500_000)["ece"]
    levels = [fit(gaps(Examples(rng, 1000).networks(n, 2.3, sharpness))) for _ in range(150)]
    held = np.mean([level.low[AT] <= true <= level.high[AT] for level in levels])
    assert held >= 0.90
    assert np.mean([level.value for level in levels]) == pytest.approx(true, abs=0.008 if ece == 0 else 0.002)
    assert np.mean([level.each.mean() for level in levels]) > true + 0.01, "what the sample's own ECE says"


@pytest.mark.slow
def test_of_two_calibrated_losses_the_less_accurate_is_not_worse() -> None:
    said, _ = verdicts([(2.9, 1.0), (1.8, 1.0)], 5, 1000, 100, ["ece"])
    assert said <= 0.1, percent(said, 100)


@pytest.mark.slow
def test_what_differs_is_found() -> None:
    said, _ = verdicts([(2.3, 1.0), (2.3, sharpness_of(2.3, 0.05))], 5, 1000, 30, ["ece"])
    assert said >= 0.9, percent(said, 30)
