"""Active units: batch by batch as from all examples at once, and resumed."""

import numpy as np
import torch

from src.metrics.latent import ACTIVE, LatentScores, variances


def scores() -> LatentScores:
    return LatentScores(("loss",), lambda means: {**means}, 4)


def test_active_units_are_those_whose_mean_varies() -> None:
    """The third varies by just less than 0.01, the fourth lies far from 0 and does not vary."""
    g = torch.Generator().manual_seed(0)
    mu = torch.randn(1000, 4, generator=g, dtype=torch.float64)
    mu = (mu - mu.mean(0)) / mu.std(0, correction=0)
    mu = mu * torch.tensor([1.0, 0.101, 0.099, 0.0]) + torch.tensor([0.0, 5.0, 0.0, 100.0])
    loss = torch.rand(1000, generator=g, dtype=torch.float64)
    whole, parts = scores(), scores()
    whole.update({"loss": loss, "mu": mu})
    for rows in torch.arange(1000).split(300):
        parts.update({"loss": loss[rows], "mu": mu[rows]})
    assert whole.compute()["active_units"] == parts.compute()["active_units"] == 2.0
    assert np.isclose(parts.compute()["loss"] or 0, loss.mean().item(), rtol=1e-12)
    np.testing.assert_allclose(variances(mu).numpy(), mu.numpy().var(0), rtol=1e-9, atol=1e-12)
    assert ((variances(mu) > ACTIVE) == torch.tensor([True, True, False, False])).all()


def test_batches_that_come_together_give_the_bits_of_single_ones() -> None:
    mu, loss = torch.randn(30, 4), torch.rand(30)
    one, together = scores(), scores()
    for rows in torch.arange(30).split(10):
        one.update({"loss": loss[rows], "mu": mu[rows]})
    together.update({"loss": loss, "mu": mu}, batches=3)
    for name, value in one.snapshot().items():
        assert torch.equal(value, together.snapshot()[name]), name


def test_it_resumes_from_its_sums() -> None:
    one, other = scores(), scores()
    one.update({"loss": torch.rand(5), "mu": torch.randn(5, 4)})
    other.restore(one.snapshot())
    assert other.compute() == one.compute()
