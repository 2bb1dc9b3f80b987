"""What every loss over latents must do, asked of each row of the table in latent_rows.py."""

import functools
import inspect
import math

import numpy as np
import pytest
import torch
import yaml
from scipy.stats import norm
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

import src.losses
from src.losses.latent import LatentLoss, divergence, latents, log_prior_ratio
from tests.conftest import ROOT
from tests.losses.latent_rows import ROWS, Row

N, S, D, PIXELS = 6, 5, 3, (1, 2, 4)
each = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
Given = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def given(dtype: torch.dtype = torch.float64, scale: float = 2.0, samples: int = S) -> Given:
    """Outputs, inputs of 0 and 1, mu, log_var and noise; the first latent's KL is below 0.5, the others' above."""
    g = torch.Generator().manual_seed(0)
    outputs = scale * torch.randn(N, samples, *PIXELS, generator=g, dtype=torch.float64)
    x = torch.randint(2, (N, *PIXELS), generator=g).double()
    mu = torch.randn(N, D, generator=g, dtype=torch.float64) * torch.tensor([0.1, 2.0, 2.0])
    log_var = torch.randn(N, D, generator=g, dtype=torch.float64) * torch.tensor([0.1, 1.0, 1.0])
    noise = torch.randn(N, samples, D, generator=g, dtype=torch.float64)
    return tuple(tensor.to(dtype) for tensor in (outputs, x, mu, log_var, noise))  # type: ignore[return-value]


def value(loss: LatentLoss, outputs: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """The loss, of a decoder's outputs."""
    return loss(loss.log_likelihood(outputs, x), mu, log_var, noise)


def test_given_has_latents_on_both_sides_of_the_free_bits() -> None:
    _, _, mu, log_var, _ = given()
    kl = divergence(mu, log_var).mean(0)
    assert kl[0] < 0.5 < kl[1:].min()


@each
def test_value_is_the_references(row: Row) -> None:
    outputs, x, mu, log_var, noise = given()
    for kwargs in row.cases:
        got = value(row.build(**kwargs), outputs, x, mu, log_var, noise)
        assert got.shape == (N,) and got.dtype == torch.float64
        arrays = (outputs.flatten(2), x.flatten(1), mu, log_var, noise)
        expected = row.reference(*(array.numpy() for array in arrays), **row.arguments(**kwargs))
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12, err_msg=str(kwargs))


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
    _, x, mu, _, noise = given()
    zero = torch.zeros_like(mu)
    got = value(row.build(reconstruction="gaussian"), x.unsqueeze(1).expand(-1, S, *PIXELS), x, zero, zero, noise)
    np.testing.assert_allclose(got.numpy(), math.prod(PIXELS) / 2 * math.log(2 * math.pi), rtol=1e-12)


@each
def test_gradient(row: Row) -> None:
    outputs, x, mu, log_var, noise = given()
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        inputs = tuple(tensor.clone().requires_grad_() for tensor in (outputs, mu, log_var))
        assert torch.autograd.gradcheck(lambda y, m, v, loss=loss: value(loss, y, x, m, v, noise), inputs)


@each
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite_at_huge_outputs(row: Row, dtype: torch.dtype) -> None:
    _, x, mu, log_var, noise = given(dtype)
    for kwargs in row.cases:
        for sign in (1, -1):
            outputs = torch.full((N, S, *PIXELS), 1e4 * sign, dtype=dtype, requires_grad=True)
            loss = value(row.build(**kwargs), outputs, x, mu, log_var, noise)
            loss.sum().backward()
            assert loss.dtype == torch.float32
            assert loss.isfinite().all() and outputs.grad is not None and outputs.grad.isfinite().all(), kwargs


@each
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_raised_to_float32(row: Row, dtype: torch.dtype) -> None:
    half = given(dtype)
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        torch.testing.assert_close(
            value(loss, *half), value(loss, *(tensor.float() for tensor in half)), rtol=0, atol=0
        )


@each
def test_float32_agrees_with_float64(row: Row) -> None:
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        torch.testing.assert_close(
            value(loss, *given(torch.float32)).double(), value(loss, *given()), rtol=2e-6, atol=2e-5
        )


@each
def test_order_of_examples_and_of_latents_does_not_matter(row: Row) -> None:
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    tensors = given()
    outputs, x, mu, log_var, noise = tensors
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        expected = value(loss, *tensors)
        torch.testing.assert_close(
            value(loss, *(tensor[order] for tensor in tensors)), expected[order], rtol=1e-13, atol=0
        )
        drawn = value(loss, outputs.flip(1), x, mu, log_var, noise.flip(1))
        torch.testing.assert_close(drawn, expected, rtol=1e-13, atol=0)


@each
def test_examples_are_independent_unless_said_otherwise(row: Row) -> None:
    tensors = given()
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        alone = torch.cat([value(loss, *(tensor[i : i + 1] for tensor in tensors)) for i in range(N)])
        same = torch.allclose(alone, value(loss, *tensors), rtol=1e-13, atol=0)
        assert same == (kwargs not in row.statistic), kwargs
        argument = row.cls.batch_statistic
        assert (isinstance(argument, str) and row.arguments(**kwargs)[argument] != 0) != same


BAD = [(row, name, value) for row in ROWS for name, values in row.bad.items() for value in values]


@pytest.mark.parametrize(("row", "name", "value"), BAD, ids=[f"{r.name}-{n}={v!r}" for r, n, v in BAD])
def test_bad_argument_is_refused_by_name(row: Row, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be .*, got "):
        row.build(**{name: value})


@each
def test_every_argument_is_an_option_and_has_bad_values(row: Row) -> None:
    parameters = inspect.signature(row.cls).parameters
    assert parameters.keys() == row.kwargs.keys() == row.bad.keys()
    assert {parameter.kind for parameter in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert not row.build().state_dict() and not list(row.build().parameters())


@each
def test_option_builds_the_row_at_its_defaults(row: Row) -> None:
    """In a run, and in a loop of one's own."""
    option = yaml.safe_load((ROOT / f"conf/loss/{row.name}.yaml").read_text())
    assert option.pop("defaults") == [{"/task@_global_.task": "latent"}, "_self_"]
    assert option.pop("_target_") == f"{row.cls.__module__}.{row.cls.__qualname__}"
    assert option == dict(row.kwargs)
    offered = getattr(src.losses, row.cls.__name__)
    assert offered is row.cls and vars(offered()).get("reconstruction") == "bernoulli"


@each
def test_compiles_to_the_same(row: Row) -> None:
    tensors = given(torch.float32)
    for kwargs in row.cases:
        torch._dynamo.reset()
        loss = row.build(**kwargs)
        counter = CompileCounterWithBackend("aot_eager")
        compiled = torch.compile(value, backend=counter, fullgraph=True)
        torch.testing.assert_close(compiled(loss, *tensors), value(loss, *tensors))
        assert counter.frame_count == 1


@each
def test_vmap(row: Row) -> None:
    tensors = given()
    groups = tuple(tensor.reshape(2, N // 2, *tensor.shape[1:]) for tensor in tensors)
    for kwargs in row.cases:
        loss = row.build(**kwargs)
        expected = torch.stack([value(loss, *(group[i] for group in groups)) for i in range(2)])
        torch.testing.assert_close(
            torch.func.vmap(functools.partial(value, loss))(*groups), expected, rtol=1e-13, atol=0
        )


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
    outputs, x, mu, log_var, noise = given()
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
    outputs, x, mu, log_var, noise = given(samples=1)
    sampled = -log_prior_ratio(mu, log_var, noise)[:, 0]
    expected = value(elbo(beta=0), outputs, x, mu, log_var, noise) + sampled
    torch.testing.assert_close(value(iwae(k=1), outputs, x, mu, log_var, noise), expected)


def test_the_sampled_divergence_has_the_closed_form_as_its_mean() -> None:
    """By Gauss-Hermite quadrature, which is exact for a square: three nodes, one latent at a time."""
    _, _, mu, log_var, _ = given()
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    for j in range(D):
        noise = torch.tensor(nodes).expand(N, 3).unsqueeze(-1)
        sampled = -log_prior_ratio(mu[:, j : j + 1], log_var[:, j : j + 1], noise)  # (N, 3)
        mean = sampled @ torch.tensor(weights / weights.sum())
        torch.testing.assert_close(mean, divergence(mu, log_var)[:, j])


def test_more_latents_never_loosen_the_bound() -> None:
    """Jensen, without chance: 25 latents bound below the mean over five groups of 5, these below 25 single ones."""
    outputs, x, mu, log_var, noise = given(samples=25)
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
