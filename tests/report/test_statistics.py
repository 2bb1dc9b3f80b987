"""The interval against a table worked by hand and against textbook tests; Holm against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from src.report.statistics import best, contrast, estimate, holm, level, quantile

# Three seeds (rows) judged on the same four examples.
A = np.array([[1.0, 2.0, 3.0, 6.0], [2.0, 4.0, 2.0, 8.0], [0.0, 2.0, 5.0, 9.0]])
B = np.array([[2.0, 2.0, 2.0, 7.0], [1.0, 5.0, 2.0, 8.0], [2.0, 1.0, 4.0, 9.0]])


def test_worked_by_hand() -> None:
    """Means 3, 4, 4; their variance 1/3. Deviations [-2 -1 0 3], [-2 0 -2 4], [-4 -2 1 5]: sums of squares 14, 24, 46,
    of products 16, 25, 26, all over 3. So A = (1/3)/3, C = (2 (16 + 25 + 26) / 3 / 6) / 4."""
    seeds, common = 1 / 9, (2 * (16 + 25 + 26) / 3 / 6) / 4
    weighed = (seeds * stats.t.ppf(0.975, 2) + common * stats.t.ppf(0.975, 3)) / (seeds + common)
    half = weighed * math.sqrt(seeds + common)
    got = estimate(A.mean(1), np.cov(A), 4)
    assert float(got.value) == pytest.approx(11 / 3, abs=1e-12)
    assert float(got.low) == pytest.approx(11 / 3 - half, abs=1e-9)
    assert float(got.high) == pytest.approx(11 / 3 + half, abs=1e-9)
    # in figures, worked on paper: V = 1/9 + 67/36 = 71/36, t' = (4 t(2) + 67 t(3)) / 71, with t from tables
    assert seeds + common == pytest.approx(71 / 36, abs=1e-12)
    assert weighed == pytest.approx((4 * 4.302652730 + 67 * 3.182446305) / 71, abs=1e-9)
    t = 11 / 3 / math.sqrt(71 / 36)
    assert (4 * stats.t.isf(got.p / 2, 2) + 67 * stats.t.isf(got.p / 2, 3)) / 71 == pytest.approx(t, abs=1e-9)


@given(st.floats(0, 30), st.floats(0, 1), st.integers(1, 9), st.sampled_from([1, 99, 9_999]))
def test_the_level_is_that_whose_quantile_it_is(t: float, share: float, df_a: int, df_c: int) -> None:
    """And lies between the p-values of the two parts' own t tests."""
    p = float(level(np.array(t), np.array(share), df_a, df_c))
    assert quantile(p, np.array(share), df_a, df_c) == pytest.approx(t, rel=1e-9, abs=1e-9)
    apart = sorted(2 * stats.t.sf(t, df) for df in (df_a, df_c))
    assert apart[0] * (1 - 1e-9) <= p <= apart[1] * (1 + 1e-9)


def test_a_level_that_no_number_can_hold() -> None:
    assert level(np.array([1e9, 0.0, np.nan]), np.array([0.5, 0.5, 0.5]), 999, 999) == pytest.approx(
        [0, 1, np.nan], nan_ok=True
    )


def test_a_difference_worked_by_hand() -> None:
    """A - B = [-1 0 1 -1], [1 -1 0 0], [-2 1 1 0]: means -1/4, 0, 0. Four times the deviations: [-3 1 5 -3],
    [4 -4 0 0], [-8 4 4 0]. Products 1-2: -16, 1-3: 48, 2-3: -48, over 16 and 3: their mean is below 0, so C = 0 and
    V = Var(-1/4, 0, 0) / 3 = (1/48) / 3 with 2 degrees of freedom."""
    both = np.cov(np.vstack([A, B]))
    covariance = contrast(both, np.arange(3), np.arange(3, 6))
    assert covariance == pytest.approx(np.cov(A - B), abs=1e-12)
    got = estimate((A - B).mean(1), covariance, 4)
    half = 4.302652729911275 / 12  # t(2) at 97.5 %, from tables, times the root of 1/144
    assert float(got.value) == pytest.approx(-1 / 12, abs=1e-12)
    assert float(got.high - got.low) == pytest.approx(2 * half, abs=1e-9)
    assert float(got.p) == pytest.approx(2 * stats.t.sf(1.0, 2), abs=1e-12)  # value / standard error = -1


def test_over_seeds_alone_it_is_the_paired_t_test() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 6))
    got, want = estimate(a - b, None, 0), stats.ttest_rel(a, b)
    assert float(got.p) == pytest.approx(want.pvalue, abs=1e-12)
    assert (float(got.low), float(got.high)) == pytest.approx(tuple(want.confidence_interval()), abs=1e-12)


def test_over_one_seed_it_is_the_t_test_over_examples() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 50))
    covariance = contrast(np.cov(np.stack([a, b])), np.array([0]), np.array([1]))
    got, want = estimate(np.array([a.mean() - b.mean()]), covariance, 50), stats.ttest_rel(a, b)
    assert float(got.p) == pytest.approx(want.pvalue, abs=1e-12)
    assert (float(got.low), float(got.high)) == pytest.approx(tuple(want.confidence_interval()), abs=1e-12)


def test_one_seed_without_examples_says_nothing() -> None:
    got = estimate(np.array([0.5]), None, 0)
    assert float(got.value) == 0.5
    assert np.isnan([got.low, got.high, got.p]).all()


def test_equal_runs_do_not_differ() -> None:
    both = np.cov(np.vstack([A, A]))
    got = estimate(np.zeros(3), contrast(both, np.arange(3), np.arange(3, 6)), 4)
    assert (got.low, got.high, got.p) == (0, 0, 1)


def test_seeds_that_agree_by_chance_are_not_certain() -> None:
    """Two seeds, equal counts of right answers on different examples: without the guard the variance would be 0."""
    y = np.array([[1.0, 0, 1, 0, 1, 1], [0.0, 1, 0, 1, 1, 1]])
    got = estimate(y.mean(1), np.cov(y), 6)
    assert got.high - got.low > 0.5


def test_differences_that_agree_but_for_rounding_are_not_certain() -> None:
    """0.98 - 0.95 and 0.97 - 0.94 are not the same float: that says nothing of how sure the difference is."""
    a, b = np.array([0.98, 0.97, 0.96]), np.array([0.95, 0.94, 0.93])
    assert 0 < (a - b).var() < 1e-30
    got = estimate(a - b, 0.05 * np.eye(3), 100)
    assert got.variance == pytest.approx(0.05 / 300) and got.p > 0.05


def test_what_is_not_finite_is_not_told() -> None:
    got = estimate(np.array([1.0, np.inf, 2.0]), None, 0)
    assert np.isnan(got.p)


def test_many_at_once_are_as_one_by_one() -> None:
    y = np.random.default_rng(1).normal(size=(7, 3, 20))
    covariances = np.stack([np.cov(rows) for rows in y])
    together = estimate(y.mean(-1), covariances, 20)
    for k in range(7):
        alone = estimate(y[k].mean(-1), covariances[k], 20)
        assert (alone.low, alone.high, alone.p) == pytest.approx((together.low[k], together.high[k], together.p[k]))


def test_holm_worked_by_hand() -> None:
    """Holm 1979: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1 and then never less than the one before."""
    assert holm(np.array([0.03, 0.01, 0.04, 0.02])) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm(np.array([0.01, 0.9, 0.8])) == pytest.approx([0.03, 1.0, 1.0])


def test_holm_leaves_out_what_was_not_compared() -> None:
    got = holm(np.array([0.02, np.nan, 0.01]))
    assert got[[0, 2]] == pytest.approx([0.02, 0.02])
    assert np.isnan(got[1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closed_test_of_bonferroni(values: list[float]) -> None:
    """Adjusted p_i = the largest Bonferroni p over all sets of hypotheses with i in them."""
    p = np.array(values)
    sets = [[i for i in range(len(p)) if code >> i & 1] for code in range(1, 2 ** len(p))]
    want = [max(min(1, len(s) * p[s].min()) for s in sets if i in s) for i in range(len(p))]
    assert holm(p) == pytest.approx(np.array(want))


def test_best_beats_every_other() -> None:
    values = np.array([1.0, 0.5, 2.0])
    difference = values[:, None] - values
    sure = np.full((3, 3), 0.01)
    assert best(difference, sure) == 1
    doubt = sure.copy()
    doubt[1, 0] = doubt[0, 1] = 0.06
    assert best(difference, doubt) == -1
    assert best(np.stack([difference, difference]), np.stack([sure, doubt])).tolist() == [1, -1]
    assert best(np.zeros((1, 1)), np.full((1, 1), np.nan)) == -1
