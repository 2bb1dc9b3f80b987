"""The variational autoencoder: sizes, parts, gradients and initial weights."""

import itertools
import math
import re
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from src.losses.elbo import NegativeELBOLoss
from src.losses.latent import divergence, latents
from src.models.vae import VAE
from src.package import CONF
from tests.models.test_models import assert_drawn_from_normal

SHAPES = [(1, 8, 8), (3, 6, 10)]


def build(shape: tuple[int, ...] = (1, 8, 8), **changes: Any) -> VAE:
    torch.manual_seed(0)
    return VAE(**{"input_shape": shape, "widths": [32, 16], "latents": 3, "activation": "relu", **changes})


def images(shape: tuple[int, ...], examples: int = 8) -> Tensor:
    return torch.randint(2, (examples, *shape), generator=torch.Generator().manual_seed(1)).float()


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: tuple[int, ...]) -> None:
    model, x = build(shape), images(shape)
    mu, log_var = model.encode(x)
    assert mu.shape == log_var.shape == (8, 3) and model.latents == 3
    assert model.decode(mu).shape == model(x).shape == x.shape
    assert torch.equal(model(x), model.decode(mu))
    z = torch.randn(8, 5, 3)
    many = model.decode(z)
    assert many.shape == (8, 5, *shape)
    torch.testing.assert_close(many[:, 2], model.decode(z[:, 2]))


@pytest.mark.parametrize(
    ("option", "encoder", "decoder"), [("vae", [400], [400]), ("vae_iwae", [200, 200], [200, 200])]
)
def test_size_of_the_options(option: str, encoder: list[int], decoder: list[int]) -> None:
    """784-400-(20, 20) and 20-400-784; Burda et al. 2016: 784-200-200-(50, 50) and back."""
    settings = yaml.safe_load((CONF / "model/vae.yaml").read_text())
    settings |= {
        k: v for k, v in yaml.safe_load((CONF / f"model/{option}.yaml").read_text()).items() if k != "defaults"
    }
    del settings["_target_"]
    model = VAE(input_shape=(1, 28, 28), **settings)
    sizes = [784, *encoder, 2 * model.latents, model.latents, *decoder, 784]
    inside = [a * b + b for a, b in itertools.pairwise(sizes)]
    del inside[len(encoder) + 1]  # the latents are drawn, not computed from mu and sigma by a layer
    assert sum(p.numel() for p in model.parameters()) == sum(inside)
    assert {name.partition(".")[0] for name, _ in model.named_parameters()} == {"encoder", "decoder"}


def test_initial_weights() -> None:
    for activation, gain in (("relu", 2), ("tanh", 1)):
        model = build((3, 16, 16), widths=[400, 300], latents=50, activation=activation)
        for part, stds in (
            (model.encoder, [math.sqrt(gain / 768), math.sqrt(gain / 400), 0.01]),
            (model.decoder, [math.sqrt(gain / 50), math.sqrt(gain / 300), 0.01]),
        ):
            linears = [module for module in part.modules() if isinstance(module, nn.Linear)]
            for linear, std in zip(linears, stds, strict=True):
                assert_drawn_from_normal(linear.weight, std)
                assert not linear.bias.any()


def test_training_starts_near_the_prior_and_ln_2_a_pixel() -> None:
    model, x = build((1, 28, 28), widths=[400], latents=20), images((1, 28, 28), 50)
    mu, log_var = model.encode(x)
    assert divergence(mu, log_var).sum(-1).mean() < 1
    loss = NegativeELBOLoss(reconstruction="bernoulli", beta=0.0, free_bits=0.0)
    noise = torch.randn(50, 1, 20)
    first = loss(loss.log_likelihood(model.decode(latents(mu, log_var, noise)), x), mu, log_var, noise).mean().item()
    assert first == pytest.approx(784 * math.log(2), rel=0.01)


@pytest.mark.parametrize("widths", [[], [16], [32, 16]], ids=str)
def test_every_parameter_gets_a_gradient_and_eight_images_are_learnt(widths: list[int]) -> None:
    model, x = build(widths=widths), images((1, 8, 8))
    loss = NegativeELBOLoss(reconstruction="bernoulli", beta=1.0, free_bits=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    g, values = torch.Generator().manual_seed(0), []
    for _ in range(300):
        mu, log_var = model.encode(x)
        noise = torch.randn(8, 1, 3, generator=g)
        value = loss(loss.log_likelihood(model.decode(latents(mu, log_var, noise)), x), mu, log_var, noise).mean()
        optimizer.zero_grad()
        value.backward()
        values.append(value.item())
        for key, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key
        optimizer.step()
    # Eight random images of 64 bits: without latents 64 H(share) = about 35 nats, by heart about ln 8 = 2.1.
    if widths:
        assert values[-1] < 15 < values[0]
    else:
        assert values[-1] < values[0] - 5


def test_hidden_matrices() -> None:
    model = build(widths=[32, 16, 8])
    assert [tuple(weight.shape) for weight in model.hidden_matrices()] == [(16, 32), (8, 16), (16, 8), (32, 16)]
    assert build(widths=[32]).hidden_matrices() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latents": 0}, "latents must be an integer >= 1, got 0"),
        ({"latents": 2.5}, "latents must be an integer >= 1, got 2.5"),
        ({"latents": None}, "latents must be an integer >= 1, got None"),
        ({"widths": [0]}, "widths must be an integer >= 1, got 0"),
        ({"widths": "400"}, "widths must be a list of integers >= 1, got '400'"),
        ({"activation": "swish"}, "activation must be one of relu, gelu, tanh, silu, got 'swish'"),
    ],
    ids=lambda case: str(case)[:40],
)
def test_bad_argument(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build(**changes)
