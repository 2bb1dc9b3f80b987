"""The table that proves each loss of an adversarial game: one row a loss, with a float64 reference in NumPy.

To add such a loss, add a row to ROWS; test_contract.py and test_adversarial.py then hold it to every property.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from src.losses.adversarial import AdversarialLoss
from src.losses.gan import GANLoss
from src.losses.gan_hinge import HingeGANLoss
from src.losses.lsgan import LeastSquaresGANLoss
from src.losses.wgan_gp import WassersteinGANLoss
from tests.losses.contract import Array, Entry

N, PIXELS = 6, (1, 2, 4)
BASES = {"adversarial"}
WEIGHT = [-0.01, "abc", float("nan"), float("inf"), True, None]


@dataclass(frozen=True, kw_only=True)
class Row(Entry):
    """What is known of one loss.

    reference: float64 ``(real (N,), made (N,), gradients (N, ...), **arguments)`` -> the sum of the discriminator's, of
               its penalty and of the generator's.
    at_zero:   what both minimise at D = 0.
    """

    at_zero: Callable[..., tuple[float, float]]
    task: str = "adversarial"
    learned = (0, 1, 2)

    def given(self, loss: AdversarialLoss) -> tuple[Tensor, ...]:
        g = torch.Generator().manual_seed(0)
        real, made = (2 * torch.randn(N, generator=g, dtype=torch.float64) for _ in range(2))
        return real, made, torch.randn(N, *PIXELS, generator=g, dtype=torch.float64)

    @staticmethod
    def value(loss: AdversarialLoss, real: Tensor, made: Tensor, gradients: Tensor) -> Tensor:
        return loss(real, made) + loss.generator(made) + loss.penalty(gradients)


def squared(gradients: Array) -> Array:
    return np.einsum("nchw,nchw->n", gradients, gradients)


def log_sigmoid(x: Array) -> Array:
    return -np.logaddexp(0, -x)


def gan(real: Array, made: Array, gradients: Array, *, saturating: bool, r1: float) -> Array:
    """By the value function itself: D maximises log p(x) + log(1 - p(G)); G minimises log(1 - p), or -log p."""
    value = log_sigmoid(real) + log_sigmoid(-made)
    generator = log_sigmoid(-made) if saturating else -log_sigmoid(made)
    return -value + generator + r1 / 2 * squared(gradients)


def gan_hinge(real: Array, made: Array, gradients: Array, *, r1: float) -> Array:
    return np.where(real < 1, 1 - real, 0) + np.where(made > -1, 1 + made, 0) - made + r1 / 2 * squared(gradients)


def lsgan(real: Array, made: Array, gradients: Array, *, r1: float) -> Array:
    return 0.5 * (real - 1) ** 2 + 0.5 * made**2 + 0.5 * (made - 1) ** 2 + r1 / 2 * squared(gradients)


def wgan_gp(real: Array, made: Array, gradients: Array, *, weight: float) -> Array:
    return made - real - made + weight * (np.sqrt(squared(gradients)) - 1) ** 2


ROWS = [
    Row(
        name="gan",
        cls=GANLoss,
        kwargs={"saturating": False, "r1": 0.0},
        reference=gan,
        at_zero=lambda saturating=False, r1=0.0: (2 * np.log(2), -np.log(2) if saturating else np.log(2)),
        bad={"saturating": ["abc", 1, None], "r1": WEIGHT},
        boundary=[{"r1": 10}, {"saturating": True}, {"saturating": True, "r1": 0.1}],
    ),
    Row(
        name="gan_hinge",
        cls=HingeGANLoss,
        kwargs={"r1": 0.0},
        reference=gan_hinge,
        at_zero=lambda r1=0.0: (2.0, 0.0),
        bad={"r1": WEIGHT},
        boundary=[{"r1": 10}],
    ),
    Row(
        name="lsgan",
        cls=LeastSquaresGANLoss,
        kwargs={"r1": 0.0},
        reference=lsgan,
        at_zero=lambda r1=0.0: (0.5, 0.5),
        bad={"r1": WEIGHT},
        boundary=[{"r1": 10}],
    ),
    Row(
        name="wgan_gp",
        cls=WassersteinGANLoss,
        kwargs={"weight": 10.0},
        reference=wgan_gp,
        at_zero=lambda weight=10.0: (0.0, 0.0),
        bad={"weight": WEIGHT},
        boundary=[{"weight": 0}, {"weight": 0.5}],
    ),
]
