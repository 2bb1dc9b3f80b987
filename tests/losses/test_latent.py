"""What the losses over latents must do beyond the contract of all losses."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from src.losses.latent import LatentLoss, divergence, latents, log_prior_ratio
from tests.losses.contract import to
from tests.losses.latent_rows import PIXELS, ROWS, D, N, Row, S, drawn

each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def value(loss: LatentLoss, *given: Tensor) -> Tensor:
    """The loss, of a decoder's outputs."""
    return Row.value(loss, *given)


def test_given_has_latents_on_both_sides_of_the_free_bits() -> None:
    _, _, mu, log_var, _ = drawn()
    kl = divergence(mu, log_var).mean(0)
    assert kl[0] < 0.5 < kl[1:].min()


@each
@pytest.mark.parametrize("pixels", [1, 784])
def test_value_at_zero(row: Row, pixels: int) -> None:
    """784 ln 2 = 543.43 for 28 x 28 pixels, whatever they are and whatever was drawn."""
    zeros = torch.zeros(2, S, pixels, dtype=torch.float64), torch.tensor([[0.0], [1.0]]).expand(2, pixels).double()
    flat = torch.zeros(2, D, dtype=torch.float64)
    noise = torch.randn(2, S, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    got = value(row.build(), *zeros, flat, flat, noise)
    np.testing.assert_allclose(got.numpy(), row.at_zero(pixels), rtol=1e-12)


@each
def test_gaussian_at_the_image_itself(row: Row) -> None:
    """P / 2 log(2 pi): the density at its top."""
    _, x, mu, _, noise = drawn()
    zero = torch.zeros_like(mu)
    got = value(row.build(reconstruction="gaussian"), x.unsqueeze(1).expand(-1, S, *PIXELS), x, zero, zero, noise)
    np.testing.assert_allclose(got.numpy(), math.prod(PIXELS) / 2 * math.log(2 * math.pi), rtol=1e-12)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite_at_huge_outputs(row: Row, dtype: torch.dtype) -> None:
    _, x, mu, log_var, noise = to(drawn(), dtype)
    for kwargs in row.cases:
        for sign in (1, -1):
            outputs = torch.full((N, S, *PIXELS), 1e4 * sign, dtype=dtype, requires_grad=True)
            loss = value(row.build(**kwargs), outputs, x, mu, log_var, noise)
            loss.sum().backward()
            assert loss.dtype == torch.float32
            assert loss.isfinite().all() and outputs.grad is not None and outputs.grad.isfinite().all(), kwargs


@each
def test_order_of_latents_does_not_matter(row: Row) -> None:
    outputs, x, mu, log_var, noise = drawn()
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        flipped = value(loss, outputs.flip(1), x, mu, log_var, noise.flip(1))
        torch.testing.assert_close(flipped, value(loss, outputs, x, mu, log_var, noise), rtol=1e-13, atol=0)


def elbo(**changes: object) -> LatentLoss:
    return ROWS[0].build(**changes)


def iwae(**changes: object) -> LatentLoss:
    return ROWS[1].build(**changes)


# ---- what is known of the two --------------------------------------------------------------------------------------


def test_divergence_in_closed_form() -> None:
    one, zero = torch.ones(1, 4, dtype=torch.float64), torch.zeros(1, 4, dtype=torch.float64)
    assert divergence(one, zero).tolist() == [[0.5] * 4]
    assert divergence(zero, zero).tolist() == [[0.0] * 4]
    torch.testing.assert_close(divergence(zero, 2 * one), zero + (math.e**2 - 1 - 2) / 2)
    tiny = divergence(
        torch.zeros(1, 1), torch.full((1, 1), 1e-4)
    )  # float32: sigma^2 - 1 - log sigma^2 would round to 0
    torch.testing.assert_close(tiny, torch.full((1, 1), 2.5e-9), rtol=1e-2, atol=0)


def test_free_bits_cost_what_they_free_and_hold_their_gradient() -> None:
    """The mean over the batch is sum_j max(free_bits, mean KL_j): only latents above it are pushed."""
    outputs, x, mu, log_var, noise = drawn()
    mu.requires_grad_()
    loss = value(elbo(free_bits=0.5, beta=2.0), outputs, x, mu, log_var, noise).mean()
    kl = divergence(mu, log_var).mean(0)
    reconstruction = value(elbo(beta=0), outputs, x, mu, log_var, noise).mean()
    torch.testing.assert_close(loss, reconstruction + 2 * kl.clamp_min(0.5).sum())
    (gradient,) = torch.autograd.grad(loss, mu)
    assert gradient[:, 0].abs().max() == 0 and gradient[:, 1:].abs().min() > 0
    everything = value(elbo(free_bits=100.0), outputs, x, mu, log_var, noise)
    torch.testing.assert_close(everything, value(elbo(beta=0), outputs, x, mu, log_var, noise) + 100.0 * D)


def test_iwae_with_one_latent_is_the_elbo_with_a_sampled_divergence() -> None:
    outputs, x, mu, log_var, noise = drawn(samples=1)
    sampled = -log_prior_ratio(mu, log_var, noise)[:, 0]
    expected = value(elbo(beta=0), outputs, x, mu, log_var, noise) + sampled
    torch.testing.assert_close(value(iwae(k=1), outputs, x, mu, log_var, noise), expected)


def test_the_sampled_divergence_has_the_closed_form_as_its_mean() -> None:
    """By Gauss-Hermite quadrature, which is exact for a square: three nodes, one latent at a time."""
    _, _, mu, log_var, _ = drawn()
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    for j in range(D):
        noise = torch.tensor(nodes).expand(N, 3).unsqueeze(-1)
        sampled = -log_prior_ratio(mu[:, j : j + 1], log_var[:, j : j + 1], noise)  # (N, 3)
        mean = sampled @ torch.tensor(weights / weights.sum())
        torch.testing.assert_close(mean, divergence(mu, log_var)[:, j])


def test_more_latents_never_loosen_the_bound() -> None:
    """Jensen, without chance: 25 latents bound below the mean over five groups of 5, these below 25 single ones."""
    outputs, x, mu, log_var, noise = drawn(samples=25)
    bounds = []
    for size in (1, 5, 25):
        groups = [slice(first, first + size) for first in range(0, 25, size)]
        each_group = [value(iwae(), outputs[:, g], x, mu, log_var, noise[:, g]) for g in groups]
        bounds.append(torch.stack(each_group).mean(0))
    assert (bounds[0] > bounds[1]).all() and (bounds[1] > bounds[2]).all()


@pytest.mark.parametrize("samples", [1, 5])
def test_it_is_the_likelihood_itself_if_the_posterior_is_the_true_one(samples: int) -> None:
    """x | z ~ N(w z, 1) with z ~ N(0, 1): x ~ N(0, 1 + w^2), z | x ~ N(w x / (1 + w^2), 1 / (1 + w^2))."""
    w, g = 1.7, torch.Generator().manual_seed(0)
    x = torch.randn(N, 1, generator=g, dtype=torch.float64)
    noise = torch.randn(N, samples, 1, generator=g, dtype=torch.float64)
    mu, log_var = w * x / (1 + w**2), torch.full_like(x, -math.log(1 + w**2))
    outputs = w * latents(mu, log_var, noise)
    expected = -norm.logpdf(x[:, 0].numpy(), scale=math.sqrt(1 + w**2))
    got = value(iwae(reconstruction="gaussian"), outputs, x, mu, log_var, noise)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


def test_elbo_is_looser_by_the_divergence_from_the_true_posterior() -> None:
    """The same model with q = N(m, s^2): the mean bound is -log p(x) + KL(q || p(z | x)), by quadrature."""
    w, m, log_s2, x = 1.7, 0.3, -0.5, 0.8
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    column = torch.ones(1, 1, dtype=torch.float64)
    noise = torch.tensor(nodes)[None, :, None]
    mu, log_var = m * column, log_s2 * column
    loss = elbo(reconstruction="gaussian")
    log_p = loss.log_likelihood(w * latents(mu, log_var, noise), x * column)[0] @ torch.tensor(weights / weights.sum())
    bound = -log_p.item() + divergence(mu, log_var).item()
    mean, variance = w * x / (1 + w**2), 1 / (1 + w**2)
    s2 = math.exp(log_s2)
    kl = 0.5 * (math.log(variance / s2) + (s2 + (m - mean) ** 2) / variance - 1)
    assert bound == pytest.approx(-norm.logpdf(x, scale=math.sqrt(1 + w**2)) + kl, rel=1e-12)


def test_gradients_reach_the_encoder_through_the_latents() -> None:
    mu, log_var = torch.zeros(1, 2, requires_grad=True), torch.zeros(1, 2, requires_grad=True)
    noise = torch.tensor([[[1.0, -2.0]]])
    latents(mu, log_var, noise).sum().backward()
    assert mu.grad is not None and mu.grad.tolist() == [[1.0, 1.0]]
    assert log_var.grad is not None and log_var.grad.tolist() == [[0.5, -1.0]]  # d sigma / d log sigma^2 = sigma / 2


@each
def test_mean_image(row: Row) -> None:
    outputs = torch.tensor([-1e4, 0.0, 2.0])
    torch.testing.assert_close(row.build().mean(outputs), torch.tensor([0.0, 0.5, 1 / (1 + math.exp(-2))]))
    assert torch.equal(row.build(reconstruction="gaussian").mean(outputs), outputs)
