"""Adaptive and smooth ECE, and the bootstrap interval of ECE."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from torch import Tensor

from src.metrics.calibration import BINS, adaptive_ece, addable, bin_of, ece_interval, rounded, smooth_ece
from tests.metrics.definitions import adaptive_error

ONE = st.tuples(st.one_of(st.sampled_from([0.5, 0.9, 1.0]), st.floats(0.1, 1.0)), st.booleans())


def columns(examples: list[tuple[float, bool]]) -> tuple[Tensor, Tensor]:
    confidence, right = zip(*examples, strict=True)
    return torch.tensor(confidence, dtype=torch.float64), torch.tensor(right)


@settings(max_examples=300)
@given(st.lists(ONE, min_size=1, max_size=60))
def test_adaptive_ece_against_its_definition(examples: list[tuple[float, bool]]) -> None:
    confidence, right = columns(examples)
    expected = adaptive_error(confidence.tolist(), right.tolist())
    assert adaptive_ece(confidence, right) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_adaptive_ece_of_fifteen_equal_groups_by_hand() -> None:
    confidence = torch.linspace(0.1, 1, 30, dtype=torch.float64)
    right = torch.arange(30) % 2 == 0
    gaps = [abs(1 - float(confidence[2 * b] + confidence[2 * b + 1])) for b in range(15)]
    assert adaptive_ece(confidence, right) == pytest.approx(sum(gaps) / 30)


def population(bias: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Confidences on a grid, each right with probability confidence - bias, and the ECE of the binned population."""
    confidence = np.linspace(0.3, 1, 2000)
    chance = np.clip(confidence - bias, 0, 1)
    gap = np.zeros(BINS)
    np.add.at(gap, bin_of(torch.from_numpy(confidence)).numpy(), chance - confidence)
    return confidence, chance, np.abs(gap).sum() / len(confidence)


@pytest.mark.slow
@pytest.mark.parametrize("bias", [0.0, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("block", [1, 20])
def test_the_interval_covers_the_true_ece(bias: float, block: int) -> None:
    """Of samples of 1,000; in blocks all share one draw of luck, which intervals over single examples would miss."""
    confidence, chance, truth = population(bias)
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        rows = rng.integers(len(confidence), size=1000 // block).repeat(block)
        right = rng.random(1000 // block).repeat(block) < chance[rows]
        low, high = ece_interval(
            torch.from_numpy(confidence[rows]), torch.from_numpy(right), block=block, g=torch.Generator().manual_seed(0)
        )
        assert 0 <= low <= high
        covered += low <= truth <= high
    assert covered >= 0.90 * 200, f"{covered} of 200: nominally 190, with a standard deviation of 3"


def test_blocks_that_move_together_widen_the_interval() -> None:
    g = torch.Generator().manual_seed(0)
    right = (torch.rand(50, generator=g) < 0.6).repeat_interleave(20)
    confidence = torch.full((1000,), 0.8, dtype=torch.float64)
    single = ece_interval(confidence, right, block=1, g=torch.Generator().manual_seed(1))
    blocks = ece_interval(confidence, right, block=20, g=torch.Generator().manual_seed(1))
    ratio = (blocks[1] - blocks[0]) / (single[1] - single[0])
    assert ratio == pytest.approx(math.sqrt(20), rel=0.15), "the standard error of 50 draws, not of 1,000"


def test_an_interval_of_one_bin_is_that_of_a_proportion() -> None:
    """ECE is then |p - c|, and its bootstrap that of a mean: c - p -+ 1.96 sqrt(p (1 - p) / N)."""
    right = torch.arange(4000) % 4 != 0
    low, high = ece_interval(
        torch.full((4000,), 0.95, dtype=torch.float64), right, block=1, g=torch.Generator().manual_seed(0)
    )
    half = 1.96 * math.sqrt(0.75 * 0.25 / 4000)
    assert (low, high) == pytest.approx((0.2 - half, 0.2 + half), abs=0.1 * half)


def test_a_short_last_block_counts_by_its_size() -> None:
    low, high = ece_interval(
        torch.full((7,), 0.9, dtype=torch.float64), torch.ones(7, dtype=torch.bool), block=3, g=torch.Generator()
    )
    assert (low, high) == pytest.approx((0.1, 0.1))


def test_a_sum_of_rounded_numbers_has_no_order() -> None:
    """As a device has none that adds where it happens to be; without rounding the last bits differ."""
    g = torch.Generator().manual_seed(0)
    values = torch.rand(20_000, generator=g, dtype=torch.float64) - 0.3
    orders = [torch.randperm(len(values), generator=g) for _ in range(20)]

    def sums(of: Tensor) -> set[float]:
        return {of[order].cumsum(0)[-1].item() for order in orders}

    assert len(sums(values)) > 1 and len(sums(rounded(values))) == 1
    assert (rounded(values) - values).abs().max() <= 2**-31
    assert torch.equal(addable(values), values), "a CPU's bits need no rounding"
    assert torch.equal(rounded(torch.tensor([0.0, 1.0, -1.0])), torch.tensor([0.0, 1.0, -1.0]))


def smoothed(confidence: np.ndarray, gap: np.ndarray, s: float, points: int = 40_001) -> float:
    """The integral of |mean of gap times kernel|, with the kernel's images beyond 0 and 1 one by one."""
    t = np.linspace(0, 1, points)
    total = np.zeros(points)
    for c, g in zip(confidence, gap, strict=True):
        images = [2 * turn + sign * c for turn in range(-4, 5) for sign in (-1, 1)]
        for image in images:
            if -9 * s < image < 1 + 9 * s:
                total += g * np.exp(-(((t - image) / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
    return float(np.trapezoid(np.abs(total / len(gap)), t))


@pytest.mark.parametrize(("n", "power"), [(3, 1.0), (40, 1.0), (150, 3.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_smooth_ece_against_quadrature_of_its_definition(n: int, power: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = np.append(rng.beta(3, 1, n - 2), [0.0, 1.0])  # the kernel is reflected there
    right = (rng.random(n) < confidence**power).astype(float)
    right[-1] = 0
    gap = right - confidence
    expected = brentq(lambda s: smoothed(confidence, gap, s) - s, 0.005, 1, xtol=1e-9)
    assert smooth_ece(torch.from_numpy(confidence), torch.from_numpy(right)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_the_smooth_ece_of_its_grid_is_as_near_as_it_says() -> None:
    """At a small value the grid matters most: 2,000 examples on few confidences, nearly calibrated."""
    confidence = np.linspace(0.9, 1, 2000)
    right = (np.arange(2000) % 20 > 0).astype(float)
    expected = brentq(lambda s: smoothed(confidence, right - confidence, s) - s, 0.005, 1, xtol=1e-9)
    found = smooth_ece(torch.from_numpy(confidence), torch.from_numpy(right))
    assert 0.003 < found < 0.06 and found == pytest.approx(expected, abs=1e-5)


def test_smooth_ece_at_its_ends() -> None:
    sure = torch.ones(5, dtype=torch.float64)
    assert smooth_ece(sure, sure) == 0
    assert smooth_ece(sure, 0 * sure) == pytest.approx(1)
    assert smooth_ece(0.3 * sure, sure) == pytest.approx(0.7)  # all gaps have one sign
    assert smooth_ece(sure * (1 - 1e-9), sure) == pytest.approx(1e-9, abs=1e-11)


@given(st.lists(ONE, min_size=1, max_size=60))
@example([(0.99999, True)])  # a value far below the width of the grid
@settings(max_examples=50)
def test_smooth_ece_lies_between_the_mean_gap_and_the_mean_of_its_sizes(examples: list[tuple[float, bool]]) -> None:
    confidence, right = columns(examples)
    gap = right.double() - confidence
    value = smooth_ece(confidence, right)
    assert abs(gap.mean()) - 1e-9 <= value <= gap.abs().mean() + 1e-9
    turned = torch.arange(len(examples) - 1, -1, -1)
    assert smooth_ece(confidence[turned], right[turned]) == pytest.approx(value, abs=1e-10)
