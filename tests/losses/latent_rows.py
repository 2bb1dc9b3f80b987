"""The table that proves each loss over latents: one row a loss, with an independent float64 reference in NumPy.

To add such a loss, add a row to ROWS; test_contract.py and test_latent.py then hold it to every property.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import bernoulli, norm
from torch import Tensor

from src.losses.elbo import NegativeELBOLoss
from src.losses.iwae import ImportanceWeightedLoss
from src.losses.latent import LatentLoss
from tests.losses.contract import Array, Entry

N, S, D, PIXELS = 6, 5, 3, (1, 2, 4)
BASES = {"latent"}
RECONSTRUCTION = ["normal", None, 1, ["bernoulli"]]


def drawn(samples: int = S, scale: float = 2.0) -> tuple[Tensor, ...]:
    """Outputs, inputs of 0 and 1, mu, log_var and noise; the first latent's KL is below 0.5, the others' above."""
    g = torch.Generator().manual_seed(0)
    outputs = scale * torch.randn(N, samples, *PIXELS, generator=g, dtype=torch.float64)
    x = torch.randint(2, (N, *PIXELS), generator=g).double()
    mu = torch.randn(N, D, generator=g, dtype=torch.float64) * torch.tensor([0.1, 2.0, 2.0])
    log_var = torch.randn(N, D, generator=g, dtype=torch.float64) * torch.tensor([0.1, 1.0, 1.0])
    return outputs, x, mu, log_var, torch.randn(N, samples, D, generator=g, dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class Row(Entry):
    """What is known of one loss.

    reference: float64 ``(outputs (N, S, ...), x (N, ...), mu (N, D), log_var (N, D), noise (N, S, D), **arguments)``.
    at_zero:   the closed form at outputs 0, mu 0, log_var 0, for P pixels that are 0 or 1 and any noise.
    """

    at_zero: Callable[[int], float]
    task: str = "latent"
    learned = (0, 2, 3)

    def given(self, loss: LatentLoss) -> tuple[Tensor, ...]:
        return drawn()

    @staticmethod
    def value(loss: LatentLoss, outputs: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
        """The loss, of a decoder's outputs."""
        return loss(loss.log_likelihood(outputs, x), mu, log_var, noise)


def log_likelihood(outputs: Array, x: Array, reconstruction: str) -> Array:
    """(N, S): by scipy's own distributions."""
    outputs, x = outputs.reshape(*outputs.shape[:2], -1), x.reshape(len(x), -1)
    if reconstruction == "gaussian":
        return norm.logpdf(x[:, None], loc=outputs).sum(-1)
    return bernoulli.logpmf(x[:, None], 1 / (1 + np.exp(-outputs))).sum(-1)


def elbo(
    outputs: Array,
    x: Array,
    mu: Array,
    log_var: Array,
    noise: Array,
    *,
    reconstruction: str,
    beta: float,
    free_bits: float,
) -> Array:
    """Latent by latent: a latent whose mean KL over the batch is below free_bits costs free_bits."""
    total = -log_likelihood(outputs, x, reconstruction).mean(1)
    for m, v in zip(mu.T, np.exp(log_var).T, strict=True):
        kl = 0.5 * (m**2 + v - 1 - np.log(v))
        total = total + beta * (kl if kl.mean() > free_bits else free_bits)
    return total


def iwae(outputs: Array, x: Array, mu: Array, log_var: Array, noise: Array, *, reconstruction: str, k: int) -> Array:
    """From weights themselves, scaled by the largest: k is that of the latents that are given."""
    sigma = np.exp(log_var / 2)[:, None]
    z = mu[:, None] + sigma * noise
    log_w = log_likelihood(outputs, x, reconstruction) + norm.logpdf(z).sum(-1)
    log_w = log_w - norm.logpdf(z, loc=mu[:, None], scale=sigma).sum(-1)
    top = log_w.max(1, keepdims=True)
    return -(np.log(np.exp(log_w - top).mean(1)) + top[:, 0])


ROWS = [
    Row(
        name="elbo",
        cls=NegativeELBOLoss,
        kwargs={"reconstruction": "bernoulli", "beta": 1.0, "free_bits": 0.0},
        reference=elbo,
        at_zero=lambda pixels: pixels * np.log(2),
        bad={
            "reconstruction": RECONSTRUCTION,
            "beta": [-0.01, "abc", float("nan"), float("inf"), True, None],
            "free_bits": [-0.01, "abc", float("nan"), float("inf"), None],
        },
        boundary=[
            *({"beta": 0}, {"beta": 4}, {"reconstruction": "gaussian"}, {"free_bits": 0}),
            *({"free_bits": 0.5}, {"free_bits": 0.5, "beta": 4.0}),
        ],
    ),
    Row(
        name="iwae",
        cls=ImportanceWeightedLoss,
        kwargs={"reconstruction": "bernoulli", "k": 5},
        reference=iwae,
        at_zero=lambda pixels: pixels * np.log(2),
        bad={"reconstruction": RECONSTRUCTION, "k": [0, -1, 1.5, "abc", True, None]},
        boundary=[{"k": 1}, {"reconstruction": "gaussian"}],
    ),
]
