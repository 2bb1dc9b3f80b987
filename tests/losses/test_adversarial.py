"""What the losses of adversarial games must do beyond the contract of all losses."""

import math

import pytest
import torch

from src.losses.gan import GANLoss
from src.losses.wgan_gp import WassersteinGANLoss
from tests.losses.adversarial_rows import ROWS, Row

each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@each
def test_value_at_zero(row: Row) -> None:
    """Where the discriminator knows nothing."""
    zero = torch.zeros(3, dtype=torch.float64)
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        discriminator, generator = row.at_zero(**kwargs)
        assert loss(zero, zero).tolist() == pytest.approx([discriminator] * 3)
        assert loss.generator(zero).tolist() == pytest.approx([generator] * 3)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite_at_huge_scores(row: Row, dtype: torch.dtype) -> None:
    for sign in (1, -1):
        scores = torch.full((4,), 1e4 * sign, dtype=dtype, requires_grad=True)
        value = row.build()(scores, scores) + row.build().generator(scores)
        value.sum().backward()
        assert value.dtype == torch.float32 and value.isfinite().all()
        assert scores.grad is not None and scores.grad.isfinite().all()


def test_a_saturating_generator_hardly_learns_where_the_discriminator_is_sure() -> None:
    """Of D = -10 the gradients are -sigmoid(D) and -sigmoid(-D): 4.5e-5 against almost 1."""
    found = []
    for saturating in (True, False):
        score = torch.tensor([-10.0], dtype=torch.float64, requires_grad=True)
        GANLoss(saturating=saturating).generator(score).sum().backward()
        assert score.grad is not None
        found.append(-score.grad.item())
    sure = 1 / (1 + math.exp(10))
    assert found == pytest.approx([sure, 1 - sure])


def test_penalties_are_over_all_pixels() -> None:
    """Of a gradient of 1/2 at each of 16 pixels: |g| = 2, wherever they are."""
    gradients = torch.full((2, 4, 2, 2), 0.5, dtype=torch.float64)
    assert WassersteinGANLoss(weight=3.0).penalty(gradients).tolist() == [3.0, 3.0]
    assert GANLoss(r1=3.0).penalty(gradients).tolist() == [6.0, 6.0]


def test_a_penalty_of_weight_zero_is_not_computed() -> None:
    assert not GANLoss().penalises and GANLoss(r1=0.1).penalises
    assert WassersteinGANLoss().penalises and not WassersteinGANLoss(weight=0).penalises
