"""The maximum mean calibration error: a statistic of the batch, and its value where rounding could break the root."""

import math

import pytest
import torch

from src.losses.mmce import MaximumMeanCalibrationErrorLoss
from tests.losses.rows import batch, ce

LOSS = MaximumMeanCalibrationErrorLoss(penalty=2.0, width=0.4)


def test_adds_the_same_to_every_example() -> None:
    z, y = batch()
    added = LOSS(z, y) - ce()(z, y)
    torch.testing.assert_close(added, added[:1].expand_as(added))
    assert added[0] > 0.1


def test_two_examples_by_hand() -> None:
    """Confidences 0.9, right, and 0.6, wrong: gaps 0.1 and -0.6, kernel e^(-0.3 / 0.4)."""
    z = torch.tensor([[0.9, 0.1], [0.6, 0.4]], dtype=torch.float64).log()
    squared = (0.1**2 + 0.6**2 - 2 * 0.1 * 0.6 * math.exp(-0.75)) / 4
    expected = torch.tensor([-math.log(0.9), -math.log(0.4)], dtype=torch.float64) + 2 * math.sqrt(squared + 1e-10)
    torch.testing.assert_close(LOSS(z, torch.tensor([0, 1])), expected)


@pytest.mark.parametrize("examples", [10, 100, 1000])
def test_finite_where_the_gaps_cancel(examples: int) -> None:
    """Confidence 0.7 and 7 of 10 right: the form is 0 but for rounding, which makes it -5e-9 here, below -1e-10."""
    z = torch.tensor([[0.7, 0.3]]).log().repeat(examples, 1).requires_grad_()
    y = (torch.arange(examples) % 10 >= 7).long()
    loss = LOSS(z, y)
    loss.sum().backward()
    assert loss.isfinite().all() and z.grad is not None and z.grad.isfinite().all()
    torch.testing.assert_close(loss, ce()(z, y), rtol=0, atol=2e-3)
