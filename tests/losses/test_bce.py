"""Binary cross-entropy of two classes with one logit, and its link."""

import math

import pytest
import torch

from src.losses.bce import BinaryCrossEntropyLoss
from tests.losses.references import binary_cross_entropy
from tests.losses.rows import UNWEIGHTED


def binary(smoothing: float = 0.0) -> BinaryCrossEntropyLoss:
    return BinaryCrossEntropyLoss(smoothing=smoothing, **UNWEIGHTED)


def test_two_classes_take_one_logit() -> None:
    loss = binary()
    assert (loss.outputs(2), loss.outputs(3)) == (1, 3)
    z = torch.linspace(-6, 6, 9, dtype=torch.float64)[:, None]
    for y in (0, 1):
        expected = torch.from_numpy(binary_cross_entropy(z[:, 0].numpy(), y))
        hard = loss(z, torch.full((9,), y))
        torch.testing.assert_close(hard, expected)
        torch.testing.assert_close(loss(z, torch.tensor([[1.0 - y, y]]).double().expand(9, 2)), hard)
    assert loss(torch.zeros(1, 1), torch.tensor([1])).item() == pytest.approx(math.log(2))


def test_link_of_one_logit_is_the_sigmoid() -> None:
    z = torch.tensor([[-2.0], [0.0], [300.0]])
    p = binary().log_probs(z).exp()
    torch.testing.assert_close(p[:, 1], torch.sigmoid(z[:, 0]))
    torch.testing.assert_close(p.sum(-1), torch.ones(3))


def test_link_of_many_classes_is_normalised_sigmoids_not_softmax() -> None:
    z = torch.tensor([[2.0, -1.0, 0.5]])
    p = binary().log_probs(z).exp()
    sigmoids = torch.sigmoid(z)
    torch.testing.assert_close(p, sigmoids / sigmoids.sum())
    assert not torch.allclose(p, z.softmax(-1), atol=1e-2)


def test_smoothing_moves_answers_towards_one_half() -> None:
    z = torch.tensor([[3.0, -1.0, 0.2]], dtype=torch.float64)
    q = torch.tensor([[0.95, 0.05, 0.05]]).numpy()
    expected = torch.from_numpy(binary_cross_entropy(z.numpy(), q).sum(-1))
    torch.testing.assert_close(binary(smoothing=0.1)(z, torch.tensor([0])), expected, rtol=1e-6, atol=0)
