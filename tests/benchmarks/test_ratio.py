"""Ratios of paired times against values worked out by hand."""

import math

import pytest

from benchmarks.ratio import Ratio, spread


def test_interval_of_three_rounds() -> None:
    """Ratios 2, 4, 8: logarithms ln 2 * (1, 2, 3), mean 2 ln 2, standard deviation ln 2; t(0.975, 2) = 4.302653."""
    ratio = Ratio.of([2.0, 40.0, 0.8], [1.0, 10.0, 0.1])
    half = 4.302653 * math.log(2) / math.sqrt(3)
    assert ratio.n == 3
    assert ratio.median == pytest.approx(4, rel=1e-12)
    assert ratio.low == pytest.approx(4 * math.exp(-half), rel=1e-6)
    assert ratio.high == pytest.approx(4 * math.exp(half), rel=1e-6)
    assert str(ratio) == "4.00 (0.71 to 22.38)"


def test_median_is_of_the_ratios_not_of_the_times() -> None:
    """A round on a busy machine is slow on both sides."""
    assert Ratio.of([3.0, 30.0, 2.0], [1.0, 10.0, 1.0]).median == pytest.approx(3)


def test_the_other_way_round_is_the_reciprocal() -> None:
    above, below = [1.0, 1.3, 1.1, 1.7], [0.9, 1.0, 1.0, 1.0]
    there, back = Ratio.of(above, below), Ratio.of(below, above)
    assert there.median == pytest.approx(1 / back.median)
    assert (there.low, there.high) == pytest.approx((1 / back.high, 1 / back.low))


def test_equal_rounds_have_no_width_and_one_round_has_no_interval() -> None:
    same = Ratio.of([2.0, 4.0], [1.0, 2.0])
    assert (same.low, same.high) == pytest.approx((2, 2))
    one = Ratio.of([2.0], [1.0])
    assert (one.median, one.low, one.high) == (pytest.approx(2), 0, math.inf)


def test_rounds_must_be_paired() -> None:
    with pytest.raises(ValueError, match=r"shorter|longer"):
        Ratio.of([1.0, 2.0], [1.0])


def test_spread_is_median_and_quartiles() -> None:
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == "3.00 (2.00 to 4.00)"
    assert spread([1.5], 1) == "1.5 (1.5 to 1.5)"
