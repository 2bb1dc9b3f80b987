"""Simulations with a known truth: how often 95 % intervals hold it, and verdicts err where nothing differs.

Seeds, examples and the rest each take a share of the variance of the mean, from one alone to all together.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray

from src.report.statistics import LEVEL, Estimate, best, contrast, estimate, holm

Draw = Callable[[Generator, tuple[int, ...]], NDArray[np.float64]]
REPETITIONS, TRUTH = 2000, 0.3


def normal(rng: Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return rng.standard_normal(shape)


def exponential(rng: Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Skewness 2, mean 0, variance 1."""
    return rng.standard_exponential(shape) - 1


def gamma(rng: Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Skewness 1, mean 0, variance 1."""
    return rng.gamma(4, size=shape) / 2 - 2


# shares of the variance of the mean: seeds, examples, rest
TOGETHER = {"alike": (1, 1, 1), "seeds": (4, 1, 1), "examples": (1, 4, 1), "rest": (1, 1, 4), "no_rest": (1, 1, 0)}
ALONE = {"only_seeds": (1, 0, 0), "only_examples": (0, 1, 0), "only_rest": (0, 0, 1)}
KINDS: dict[str, tuple[Draw, Draw]] = {"normal": (normal, normal), "skewed": (gamma, exponential)}


def drawn(
    rng: Generator, kind: tuple[Draw, Draw], shares: tuple[float, ...], size: tuple[int, int, int]
) -> NDArray[np.float64]:
    """(repetitions, seeds, examples) around 0, whose mean has variance 0.01."""
    repetitions, n, examples = size
    total = sum(shares)
    counts = n, examples, n * examples
    seed, example, rest = (np.sqrt(0.01 * share / total * k) for share, k in zip(shares, counts, strict=True))
    return (
        seed * kind[0](rng, (repetitions, n, 1))
        + example * kind[1](rng, (repetitions, 1, examples))
        + rest * kind[1](rng, size)
    )


def covariances(y: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = y - y.mean(-1, keepdims=True)
    return centred @ np.swapaxes(centred, -1, -2) / (y.shape[-1] - 1)


def estimated(y: NDArray[np.float64]) -> Estimate:
    return estimate(y.mean(-1), covariances(y), y.shape[-1])


def of_mean(kind: str, shares: tuple[float, ...], n: int, examples: int = 200) -> float:
    """Share of intervals that hold the mean."""
    rng = np.random.default_rng(7)
    got = estimated(TRUTH + drawn(rng, KINDS[kind], shares, (REPETITIONS, n, examples)))
    return float(((got.low <= TRUTH) & (got.high >= TRUTH)).mean())


def of_difference(kind: str, shares: tuple[float, ...], n: int, examples: int = 200) -> float:
    """Share of intervals that hold the difference of two losses with common seeds and examples."""
    rng = np.random.default_rng(8)
    size = (REPETITIONS, n, examples)
    common = 3 * drawn(rng, KINDS[kind], (1, 1, 0), size)
    a, b = (common + drawn(rng, KINDS[kind], shares, size) for _ in range(2))
    a = a + TRUTH
    both = covariances(np.concatenate([a, b], 1))
    first = np.arange(n)
    got = estimate((a - b).mean(-1), contrast(both, first, first + n), examples)
    return float(((got.low <= TRUTH) & (got.high >= TRUTH)).mean())


@pytest.mark.parametrize("covered", [of_mean, of_difference])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shares", TOGETHER)
def test_95_percent_intervals_of_five_seeds_cover(covered: Callable[..., float], kind: str, shares: str) -> None:
    assert 0.93 <= covered(kind, TOGETHER[shares], 5) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("covered", [of_mean, of_difference])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shares", TOGETHER | ALONE)
@pytest.mark.parametrize("n", [3, 5, 10])
def test_coverage_from_three_to_ten_seeds(covered: Callable[..., float], kind: str, shares: str, n: int) -> None:
    assert 0.925 <= covered(kind, (TOGETHER | ALONE)[shares], n) <= 0.975


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10])
def test_accuracies_are_covered(n: int) -> None:
    """Right and wrong answers: difficulty of an example, luck of a seed, chance."""
    rng, size = np.random.default_rng(9), (REPETITIONS, n, 300)

    def rates(repetitions: int, examples: int) -> NDArray[np.float64]:
        difficulty = 2.5 + 2 * rng.standard_normal((repetitions, 1, examples))
        return 1 / (1 + np.exp(-difficulty - 0.3 * rng.standard_normal((repetitions, n, 1))))

    truth = rates(20_000, 300).mean()
    got = estimated((rng.random(size) < rates(REPETITIONS, 300)).astype(float))
    assert 0.93 <= ((got.low <= truth) & (got.high >= truth)).mean() <= 0.97


def wrong_verdicts(kind: str, shares: tuple[float, ...], ablations: int, metrics: int = 1) -> float:
    """Share of ablations without any difference (5 losses, 5 seeds, 100 test examples) of which the report says one:
    a loss that beats every other, or one that differs from the baseline."""
    losses, n, examples, chunk = 5, 5, 100, 500
    rng, wrong = np.random.default_rng(10), 0
    seeds = np.arange(n)
    for _ in range(ablations // chunk):
        p = np.empty((chunk, metrics, losses, losses))
        difference = np.empty_like(p)
        for metric in range(metrics):
            common = drawn(rng, KINDS[kind], (1, 1, 0), (chunk, n, examples))
            y = np.concatenate([common + drawn(rng, KINDS[kind], shares, common.shape) for _ in range(losses)], 1)
            means, covariance = y.mean(-1), covariances(y)
            for a in range(losses):
                for b in range(losses):
                    runs = a * n + seeds, b * n + seeds
                    got = estimate(means[:, runs[0]] - means[:, runs[1]], contrast(covariance, *runs), examples)
                    p[:, metric, a, b], difference[:, metric, a, b] = got.p, got.value
        wrong += int(said_something(difference, p).sum())
    return wrong / ablations


def said_something(difference: NDArray[np.float64], p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of (ablations, metrics, losses, losses): whether anything is claimed of any metric. Loss 0 is the baseline."""
    ablations, metrics, losses, _ = p.shape
    against = holm(p[:, :, 1:, 0].reshape(ablations, -1))
    above = np.triu_indices(losses, 1)
    pairs = holm(p[:, :, *above].reshape(ablations, -1)).reshape(ablations, metrics, -1)
    adjusted = np.ones_like(p)
    adjusted[:, :, *above] = pairs
    adjusted = np.minimum(adjusted, np.swapaxes(adjusted, -1, -2))
    return (against <= LEVEL).any(-1) | (best(difference, adjusted) >= 0).any(-1)


def test_the_verdict_is_rarely_wrong() -> None:
    assert wrong_verdicts("normal", TOGETHER["alike"], 1000) <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shares", ["alike", "seeds", "rest", "only_rest"])
def test_the_verdict_is_wrong_in_at_most_one_of_twenty_ablations(kind: str, shares: str) -> None:
    """5 % and the error of 20,000 repetitions: two and a half standard errors, 0.0039."""
    assert wrong_verdicts(kind, (TOGETHER | ALONE)[shares], 20_000) <= 0.054


@pytest.mark.slow
def test_four_metrics_are_one_family() -> None:
    assert wrong_verdicts("normal", TOGETHER["alike"], 20_000, metrics=4) <= 0.054
