"""Power against the noncentral t, plans against each other and against simulations, TOST against Schuirmann's tests."""

import math

import numpy as np
import pytest
from scipy import stats

from src.report import calibration
from src.report.calibration import LEVELS
from src.report.power import POWER, Spread, bounds, equal, expected, needed, plans, power, smallest
from src.report.statistics import quantile


@pytest.mark.parametrize("n", [3, 5, 10, 30])
@pytest.mark.parametrize("alpha", [0.05, 0.0025])
def test_without_examples_it_is_the_noncentral_t(n: int, alpha: float) -> None:
    t = stats.t.isf(alpha / 2, n - 1)
    for far in (0.0, 1.0, 3.0, 6.0):
        want = stats.nct.sf(t, n - 1, far) + stats.nct.cdf(-t, n - 1, far)
        assert power(far * math.sqrt(2 / n), 2.0, 0.0, n, 0, alpha) == pytest.approx(want, abs=2e-4)


@pytest.mark.parametrize(("n", "one", "shared"), [(3, 1.0, 0.2), (5, 1.0, 0.2), (10, 0.1, 1.0)])
def test_with_examples_it_is_what_random_numbers_show(n: int, one: float, shared: float) -> None:
    """Of the statistic itself: D is normal, A's estimate a chi-square, C is known."""
    rng, size = np.random.default_rng(n), 100_000
    a, d = one / n * rng.chisquare(n - 1, size) / (n - 1), math.sqrt(one / n + shared) * rng.standard_normal(size)
    half = quantile(0.01, a / (a + shared), n - 1, 999) * np.sqrt(a + shared)
    for true in (0.5, 2.0, 4.0):
        shown = (np.abs(d + true) > half).mean()
        assert power(true, one, shared, n, 1000, 0.01) == pytest.approx(shown, abs=0.006)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_four_of_five_show_a_difference_of_the_stated_size(n: int) -> None:
    """The size is stated by one ablation, and looked for by another of the same kind."""
    rng, size = np.random.default_rng(n), 400
    stated = smallest(rng.chisquare(n - 1, size) / (n - 1), 0.1, n, 1000, 0.01)
    shown = power(stated, 1.0, 0.1, n, 1000, 0.01)
    assert shown.mean() == pytest.approx(POWER, abs=0.04)


def test_the_seeds_needed_for_the_stated_size_are_those_that_stated_it() -> None:
    for n in (3, 5, 10):
        size = smallest(1.0, 0.05, n, 1000, 0.01)
        one = Spread(1.0 / n, 0.05, n, 1000)
        (plan,) = plans([float(size) * 1.001], [one], 0.01)
        assert plan.smallest == pytest.approx(float(size))
        assert expected(size, 1.0, 0.05, n, 1000, 0.01, n - 1) == pytest.approx(POWER, abs=1e-4)
        assert plan.seeds == n + 1, "n of them have not shown it"


def test_a_plan_counts_the_fewest_seeds() -> None:
    count = int(needed(lambda m: power(1.0, 4.0, 0.0, m, 0, 0.05), ()))
    assert power(1.0, 4.0, 0.0, count, 0, 0.05) >= POWER > power(1.0, 4.0, 0.0, count - 1, 0, 0.05)
    # the classical answer for an effect of half a standard deviation
    assert count == 34
    (plan,) = plans([1.0], [Spread(4.0 / 5, 0.0, 5, 0)], 0.05)
    assert 5 < plan.fewest < count < plan.seeds < plan.most and not plan.limited


def test_where_the_test_set_is_the_limit_no_number_of_seeds_helps() -> None:
    """Endless seeds leave C: the power is that of a normal test of known variance."""
    least = (stats.norm.ppf(POWER) + stats.t.isf(0.025, 999)) * math.sqrt(0.04)
    below, above = plans([0.99 * least, 1.05 * least], [Spread(0.2, 0.04, 5, 1000)] * 2, 0.05)
    assert below.limited and math.isinf(below.seeds) and math.isinf(below.most)
    assert not above.limited and 5 < above.seeds < math.inf
    assert below.least == pytest.approx(least)


def test_more_seeds_than_anybody_trains_are_no_limit_of_the_test_set() -> None:
    (plan,) = plans([1e-3], [Spread(0.2, 0.0, 5, 0)], 0.05)
    assert math.isinf(plan.seeds) and not plan.limited


def test_the_range_is_the_chi_square_interval() -> None:
    low, high = bounds(1.0, 4)
    assert (float(low), float(high)) == pytest.approx((4 / stats.chi2.ppf(0.95, 4), 4 / stats.chi2.ppf(0.05, 4)))


@pytest.mark.parametrize("margin", [0.3, 1.0, 3.0])
def test_equal_is_two_one_sided_t_tests(margin: float) -> None:
    """Schuirmann 1987, with SciPy's one-sided t tests."""
    y = np.random.default_rng(0).normal(0.4, 1, 8)
    above = stats.ttest_1samp(y, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(y, margin, alternative="less").pvalue
    spread = Spread(float(y.var(ddof=1)) / 8, 0.0, 8, 0)
    assert equal(float(y.mean()), spread, margin) == pytest.approx(max(above, below), rel=1e-6)


def test_nothing_is_equal_where_nothing_varies() -> None:
    assert math.isnan(equal(0.0, Spread(0.0, 0.0, 3, 100), 0.1))


@pytest.mark.slow
def test_equal_errs_in_at_most_five_percent_at_the_margin() -> None:
    rng, n, size = np.random.default_rng(1), 5, 3000
    a, d = rng.chisquare(n - 1, size) / (n - 1) / n, rng.standard_normal(size) * math.sqrt(1 / n + 0.3)
    for margin in (0.5, 2.0, 6.0):
        p = [equal(margin + value, Spread(one, 0.3, n, 1000), margin) for value, one in zip(d, a, strict=True)]
        assert (np.array(p) <= 0.05).mean() <= 0.06


def test_of_a_calibration_error_equal_is_the_interval_within_the_margin() -> None:
    """At 5 % if its 90 % interval lies inside."""
    t = stats.norm.isf(LEVELS / 2)
    reach = 0.01 * t, 0.02 * t
    for value, margin in ((0.005, 0.04), (0.0, 0.02), (-0.01, 0.03), (0.02, 0.06)):
        z = stats.norm.isf(0.05)
        inside = value + 0.02 * z < margin and value - 0.01 * z > -margin
        assert (calibration.equal(value, reach, margin) <= 0.05) == inside
    assert calibration.equal(0.05, reach, 0.04) == 1.0
