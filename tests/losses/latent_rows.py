"""The table that proves each loss over latents: one row a loss, with an independent float64 reference in NumPy.

To add such a loss, add a row to ROWS; the tests in test_latent.py then hold it to every property.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import bernoulli, norm

from src.losses.elbo import NegativeELBOLoss
from src.losses.iwae import ImportanceWeightedLoss
from src.losses.latent import LatentLoss

Array = np.ndarray
Kwargs = Mapping[str, Any]
RECONSTRUCTION = ["normal", None, 1, ["bernoulli"]]


@dataclass(frozen=True)
class Row:
    """What is known of one loss.

    kwargs:    its defaults, as in its option file.
    reference: float64 ``(outputs (N, S, P), x (N, P), mu (N, D), log_var (N, D), noise (N, S, D), **arguments)``.
    at_zero:   the closed form at outputs 0, mu 0, log_var 0, for P pixels that are 0 or 1 and any noise.
    bad:       argument name -> values that must be refused with that name in the message.
    boundary:  legal arguments that must give the reference's values, and finite ones at extreme outputs.
    statistic: of these, those that make it a statistic of the batch.
    """

    name: str
    cls: type[LatentLoss]
    kwargs: Kwargs
    reference: Callable[..., Array]
    at_zero: Callable[[int], float]
    bad: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    boundary: Sequence[Kwargs] = ()
    statistic: Sequence[Kwargs] = ()

    def arguments(self, **changes: Any) -> dict[str, Any]:
        return {**self.kwargs, **changes}

    def build(self, **changes: Any) -> LatentLoss:
        return self.cls(**self.arguments(**changes))

    @property
    def cases(self) -> list[Kwargs]:
        return [{}, *self.boundary, *self.statistic]


def log_likelihood(outputs: Array, x: Array, reconstruction: str) -> Array:
    """(N, S): by scipy's own distributions."""
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
        boundary=[{"beta": 0}, {"beta": 4}, {"reconstruction": "gaussian"}, {"free_bits": 0}],
        statistic=[{"free_bits": 0.5}, {"free_bits": 0.5, "beta": 4.0}],
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
