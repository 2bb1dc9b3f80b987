"""Margins by class frequency: the authors' way, and class weights that count later."""

import numpy as np
import torch

from src.losses.ldam import LabelDistributionAwareMarginLoss
from tests.losses.rows import UNWEIGHTED, batch

COUNTS = [500, 100, 20, 4, 1]
WEIGHTED = {"class_weights": "balanced", "effective_number_beta": None}


def loss(**settings: object) -> LabelDistributionAwareMarginLoss:
    given = {"max_margin": 0.5, "scale": 30.0, "reweight_after": 0.0, "class_counts": COUNTS, **UNWEIGHTED}
    return LabelDistributionAwareMarginLoss(**(given | settings))


def test_margins_are_those_of_the_paper() -> None:
    """Eq. 13: C / n^(1/4). At cosines where the two classes of a pair are equal, only the margin is left."""
    z = torch.full((5, 5), -1.0, dtype=torch.float64)
    z.fill_diagonal_(0.25)
    z = torch.where(torch.eye(5).roll(1, 1) > 0, 0.25, z)  # the target and the next class are as near
    got = loss(scale=50.0)(z, torch.arange(5))
    margin = torch.tensor([0.5 * (1 / n) ** 0.25 for n in COUNTS], dtype=torch.float64)
    torch.testing.assert_close(got, torch.log1p((50 * margin).exp()), rtol=1e-9, atol=1e-9)


def test_weights_count_once_their_share_of_the_training_is_done() -> None:
    z, y = batch()
    deferred = loss(reweight_after=0.8, **WEIGHTED)
    plain, weighted = loss()(z, y), loss(**WEIGHTED)(z, y)
    assert not torch.allclose(plain, weighted)
    for share, expected in ((0.0, plain), (0.79, plain), (0.8, weighted), (0.99, weighted)):
        deferred.reached(share)
        torch.testing.assert_close(deferred(z, y), expected, rtol=0, atol=0)


def test_evaluation_always_has_the_weights() -> None:
    """Or a run's validation and evaluate.py would have two losses."""
    z, y = batch()
    deferred = loss(reweight_after=0.8, **WEIGHTED)
    deferred.reached(0.1)
    torch.testing.assert_close(deferred.eval()(z, y), loss(**WEIGHTED)(z, y), rtol=0, atol=0)


def test_the_frequent_classes_are_left_less_room() -> None:
    """Equal cosines: the rarest class costs most, in the order of the frequencies."""
    got = loss()(torch.zeros(5, 5, dtype=torch.float64), torch.arange(5)).numpy()
    assert (np.diff(got) > 0).all()
