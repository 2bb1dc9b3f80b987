"""The boundary of several looks, against t tests of simulated seeds and against Holm's correction of one look."""

import itertools

import numpy as np
import pytest
from scipy import stats

from src.report.boundary import adjusted, crossed, levels_of, looks_of
from src.report.statistics import holm


def test_looks_are_every_two_seeds_and_then_rarer() -> None:
    assert looks_of(3) == (3,)
    assert looks_of(4) == (4,)
    assert looks_of(5) == (3, 5)
    assert looks_of(12) == (3, 5, 7, 9, 12)
    assert looks_of(20) == (3, 5, 7, 9, 11, 13, 15, 17, 20)
    for most in range(3, 101):
        looks = looks_of(most)
        assert looks[-1] == most and (np.diff(looks) >= 2).all() and len(looks) <= 26


@pytest.mark.parametrize(
    ("looks", "alpha"),
    [((3, 5, 8, 12), 0.05), ((3, 5, 7), 0.05), ((3, 5, 7, 9, 12), 0.0125), ((4, 20), 0.05), ((5,), 0.01)],
)
def test_looks_together_err_as_often_as_planned(looks: tuple[int, ...], alpha: float) -> None:
    """Of t tests of growing samples: the share that was below the boundary at any look so far is what may be spent."""
    rng, draws = np.random.default_rng(1), 100_000
    x = rng.standard_normal((draws, looks[-1])) * rng.uniform(0.1, 10, (draws, 1))
    crossed_before = np.zeros(draws, bool)
    for n, level in zip(looks, levels_of(looks, alpha), strict=True):
        crossed_before |= stats.ttest_1samp(x[:, :n], 0, axis=1).pvalue <= level
        spent = alpha * (n / looks[-1]) ** 3
        assert abs(crossed_before.mean() - spent) < 4 * np.sqrt(spent / draws) + 0.01 * spent, n


def test_the_first_look_spends_what_it_may_and_one_look_is_one_test() -> None:
    assert levels_of((3, 5, 20), 0.05)[0] == pytest.approx(0.05 * 0.15**3, rel=1e-2)
    assert levels_of((7,), 0.05)[0] == pytest.approx(0.05, rel=2e-3)


def test_a_larger_share_of_alpha_is_never_a_stricter_boundary() -> None:
    """Else Holm's steps would not hold over several looks."""
    for most in (12, 20, 50):
        shares = [*(0.05 / share for share in range(9, 0, -1)), 0.2, 0.5, 0.9, 1 - 1e-9]
        tables = np.array([levels_of(looks_of(most), share) for share in shares])
        assert (np.diff(tables, axis=0) > 0).all()


def test_an_adjusted_p_value_is_the_alpha_whose_boundary_it_reaches() -> None:
    """At every look and for every share of alpha; it is at most 0.05 exactly where the boundary of 0.05 is kept."""
    looks = looks_of(12)
    for k, comparisons in itertools.product(range(len(looks)), (1, 4)):
        for alpha in (1e-4, 0.03, 0.05, 0.4, 0.9):
            p = levels_of(looks, alpha / comparisons)[k]
            assert adjusted(p, looks, k, comparisons) == pytest.approx(alpha, rel=1e-6)
        edge = levels_of(looks, 0.05 / comparisons)[k]
        assert adjusted(edge, looks, k, comparisons) <= 0.05 < adjusted(np.nextafter(edge, 1), looks, k, comparisons)
        assert adjusted(1e-300, looks, k, comparisons) == pytest.approx(1e-12, rel=1e-6)
        assert adjusted(1.0, looks, k, comparisons) == 1
    assert adjusted(0.004, (7,), 0, 5) == pytest.approx(5 * 0.004, rel=5e-3), "one look is Bonferroni's correction"


def test_one_look_is_holms_correction() -> None:
    p = np.random.default_rng(0).uniform(0, 0.05, (500, 5))
    p[::7, 2] = np.nan
    tested = (~np.isnan(p)).sum(1)
    for row, m in zip(p, tested, strict=True):
        levels = [0.05 / (m - shown) for shown in range(m)]
        np.testing.assert_array_equal(crossed(row, 0, levels), holm(row) <= 0.05)
