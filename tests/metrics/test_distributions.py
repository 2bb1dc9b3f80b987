"""Scores of predicted distributions, against integrals, double sums and figures worked out by hand."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import kstest, norm
from torch import Tensor

from src.metrics.distributions import (
    Distribution,
    NormalDistribution,
    PointsDistribution,
    ResidualDistribution,
    first_at,
    spread,
)

G = torch.Generator().manual_seed(0)
Y = torch.randn(7, generator=G, dtype=torch.float64)
MEAN, SD = torch.randn(7, generator=G, dtype=torch.float64), torch.rand(7, generator=G, dtype=torch.float64) + 0.1
POINTS = torch.randn(7, 5, generator=G, dtype=torch.float64).sort(-1).values
WEIGHTS = torch.tensor([0.1, 0.15, 0.3, 0.05, 0.4], dtype=torch.float64)
RESIDUALS = torch.randn(40, generator=G, dtype=torch.float64).round(decimals=1).sort().values  # some of them equal


def integral(cdf: Callable[[float], float], y: float, kinks: list[float]) -> float:
    """Of (F(x) - [x >= y])^2, piece by piece."""
    edges = sorted({-12.0, 12.0, y, *kinks})
    return sum(
        quad(lambda x: (cdf(x) - (x >= y)) ** 2, a + 1e-13, b - 1e-13, epsabs=1e-12)[0]
        for a, b in itertools.pairwise(edges)
    )


def test_crps_of_a_normal_is_its_integral() -> None:
    got = NormalDistribution(MEAN, SD).crps(Y)
    for i in range(len(Y)):
        expected = integral(lambda x, i=i: norm.cdf(x, MEAN[i], SD[i]), Y[i].item(), [MEAN[i].item()])
        assert got[i].item() == pytest.approx(expected, abs=1e-9)


def test_figures_worked_out_by_hand() -> None:
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    standard = NormalDistribution(zero, one)
    assert (
        standard.crps(zero).item()
        == pytest.approx((np.sqrt(2) - 1) / np.sqrt(np.pi))
        == pytest.approx(0.2337, abs=5e-5)
    )
    assert standard.nll(zero).item() == pytest.approx(0.9189, abs=5e-5)
    assert standard.quantile(0.95).item() == pytest.approx(1.6449, abs=5e-5)
    assert standard.rank(one).item() == pytest.approx(0.8413, abs=5e-5)
    coin = PointsDistribution(torch.tensor([[0.0, 1.0]]).double(), torch.tensor([0.5, 0.5]).double())
    assert coin.crps(zero).item() == 0.25 and coin.crps(2 * one).item() == 1.25
    assert coin.rank(zero).item() == 0.25 and coin.rank(0.3 * one).item() == 0.5
    assert [coin.quantile(level).item() for level in (0.05, 0.5, 0.51, 0.95)] == [0, 0, 1, 1]


def test_crps_of_points_is_its_integral_and_its_double_sum() -> None:
    found = PointsDistribution(POINTS, WEIGHTS)
    got, x, w = found.crps(Y), POINTS.numpy(), WEIGHTS.numpy()
    pairs = np.abs(x[:, :, None] - x[:, None, :])
    np.testing.assert_allclose(
        got.numpy(), np.abs(x - Y.numpy()[:, None]) @ w - np.einsum("nij,i,j->n", pairs, w, w) / 2, rtol=1e-12
    )
    for i in range(len(Y)):
        expected = integral(lambda at, i=i: float(w[x[i] <= at].sum()), Y[i].item(), x[i].tolist())
        assert got[i].item() == pytest.approx(expected, abs=1e-8)


def test_residuals_are_points_of_equal_weight() -> None:
    """The shortcut gives what the points give, also where an error equals residuals."""
    weights = torch.full((40,), 1 / 40, dtype=torch.float64)
    for y in (Y, MEAN + RESIDUALS[:7], MEAN + 100, MEAN - 100):
        short = ResidualDistribution(MEAN, RESIDUALS)
        long = PointsDistribution(MEAN[:, None] + RESIDUALS, weights)
        torch.testing.assert_close(short.crps(y), long.crps(y), rtol=1e-11, atol=1e-12)
        for level in (0.05, 0.5, 0.95):
            torch.testing.assert_close(short.quantile(level), long.quantile(level))
    torch.testing.assert_close(
        ResidualDistribution(torch.zeros(40).double(), RESIDUALS).rank(RESIDUALS),
        PointsDistribution(RESIDUALS.expand(40, 40), weights).rank(RESIDUALS),
        rtol=1e-12,
        atol=1e-12,
    )


def test_one_residual_of_0_is_the_absolute_error() -> None:
    point = ResidualDistribution(MEAN, torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(point.crps(Y), (Y - MEAN).abs())


def test_crps_scales_with_the_unit() -> None:
    for found, scaled in (
        (NormalDistribution(MEAN, SD), NormalDistribution(30 * MEAN + 4, 30 * SD)),
        (PointsDistribution(POINTS, WEIGHTS), PointsDistribution(30 * POINTS + 4, WEIGHTS)),
        (ResidualDistribution(MEAN, RESIDUALS), ResidualDistribution(30 * MEAN + 4, 30 * RESIDUALS)),
    ):
        torch.testing.assert_close(scaled.crps(30 * Y + 4), 30 * found.crps(Y), rtol=1e-11, atol=1e-11)


def test_crps_is_proper() -> None:
    """On average no distribution scores better than the one that the targets come from."""
    y = torch.randn(20_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def score(mean: float, sd: float) -> float:
        return NormalDistribution(torch.full_like(y, mean), torch.full_like(y, sd)).crps(y).mean().item()

    assert all(score(0, 1) < score(*other) for other in ((0.2, 1), (-0.2, 1), (0, 0.8), (0, 1.25)))


def draws(found: Distribution, n: int) -> Tensor:
    """Targets that come from the distribution itself."""
    u = torch.rand(n, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return torch.stack([found.quantile(level)[i] for i, level in enumerate(u.tolist())])


@pytest.mark.parametrize("kind", ["normal", "residuals"])
def test_ranks_are_uniform_and_intervals_cover_if_all_is_right(kind: str) -> None:
    n = 2000
    mean = torch.linspace(-3, 3, n, dtype=torch.float64)
    residuals = torch.randn(501, generator=torch.Generator().manual_seed(3), dtype=torch.float64).sort().values
    found: Distribution = (
        NormalDistribution(mean, mean.abs() + 0.1) if kind == "normal" else ResidualDistribution(mean, residuals)
    )
    y = draws(found, n)
    assert kstest(found.rank(y).numpy(), "uniform").pvalue > 0.01
    inside = (found.quantile(0.05) <= y) & (y <= found.quantile(0.95))
    assert inside.double().mean().item() == pytest.approx(0.9, abs=0.02)


def test_spread_is_half_the_mean_distance() -> None:
    x, w = POINTS[0], WEIGHTS
    pairs = sum(a * b * (p - q).abs() for p, a in zip(x, w, strict=True) for q, b in zip(x, w, strict=True))
    assert spread(x, w).item() == pytest.approx((pairs / 2).item())


def test_the_first_point_at_a_level() -> None:
    tenth = torch.full((10,), 0.1, dtype=torch.float64)
    assert [first_at(tenth, level) for level in (0.05, 0.1, 0.3, 0.31, 1.0)] == [0, 0, 2, 3, 9]
