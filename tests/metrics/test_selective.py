"""Ranking by confidence, against pairs, permutations and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from src.metrics.selective import aurc, auroc
from tests.metrics.definitions import risk_coverage_area, roc_area
from tests.metrics.test_calibration import ONE, columns


@settings(max_examples=300)
@given(st.lists(ONE, min_size=1, max_size=40))
def test_auroc_counts_pairs(examples: list[tuple[float, bool]]) -> None:
    confidence, right = columns(examples)
    value, expected = auroc(confidence, right), roc_area(confidence.tolist(), right.tolist())
    assert value == (None if expected is None else pytest.approx(expected, rel=1e-12, abs=1e-12))


def test_auroc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.integers(0, 200, 5000) / 200
    right = rng.random(5000) < confidence
    ours = auroc(torch.from_numpy(confidence), torch.from_numpy(right))
    assert ours == pytest.approx(roc_auc_score(right, confidence), rel=1e-12)


@settings(max_examples=300)
@given(st.lists(ONE, min_size=1, max_size=6))
def test_aurc_is_the_mean_over_orders_of_ties(examples: list[tuple[float, bool]]) -> None:
    confidence, right = columns(examples)
    expected = risk_coverage_area(confidence.tolist(), right.tolist())
    assert aurc(confidence, right) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_aurc_of_a_perfect_and_a_useless_order() -> None:
    right = torch.arange(100) < 80
    last = aurc(torch.linspace(1, 0, 100, dtype=torch.float64), right)  # the 20 wrong ones come last
    assert last == pytest.approx(sum((i - 80) / i for i in range(81, 101)) / 100)
    assert aurc(torch.full((100,), 0.7, dtype=torch.float64), right) == pytest.approx(0.2), "the error rate"
