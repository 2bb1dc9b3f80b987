"""The table of the losses of pairs, each with an independent reference in NumPy; test_contract.py and test_pairs.py
ask it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.distance import pdist
from torch import Tensor

from src.losses.align_uniform import AlignmentUniformityLoss
from src.losses.barlow import BarlowTwinsLoss
from src.losses.base import Loss
from src.losses.ce_views import CrossEntropyOfViewsLoss
from src.losses.dcl import DecoupledContrastiveLoss
from src.losses.nt_xent import NormalisedTemperatureCrossEntropyLoss
from src.losses.siglip_pairs import SigmoidPairLoss
from src.losses.supcon import SupervisedContrastiveLoss
from src.losses.triplet import TripletLoss
from src.losses.vicreg import VICRegLoss
from tests.losses.contract import Array, Entry

N, D = 8, 5
CLASSES = torch.tensor([2, 0, 2, 1, 3, 0, 2, 4])  # three, two and one of each
BASES = {"pairs"}
AT_LEAST_0 = [-0.01, "abc", float("nan"), float("inf"), True, None]
ABOVE_0 = [0, *AT_LEAST_0]


@dataclass(frozen=True, kw_only=True)
class Row(Entry):
    """What is known of one loss.

    reference: float64 ``(a (N, D), b (N, D), classes (N,), **arguments) -> (N,)``.
    at_equal:  (N, D) -> the loss where all views of all examples are equal.
    """

    at_equal: Callable[[int, int], float]
    task: str = "contrastive"
    learned = (0, 1)

    def given(self, loss: Loss) -> tuple[Tensor, ...]:
        """The second view is near the first one, so that some margins are kept; features have different spreads."""
        g = torch.Generator().manual_seed(0)
        a = torch.randn(N, D, generator=g, dtype=torch.float64) * torch.tensor([0.2, 0.5, 1.0, 2.0, 1.0])
        return a, a + 0.8 * torch.randn(N, D, generator=g, dtype=torch.float64), CLASSES


def unit(z: Array) -> Array:
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def of_views(one: Callable[[int, Array, int], float], a: Array, b: Array) -> Array:
    """The mean over both views i of an example of ``one(i, z, j)``, z all views and j the other one."""
    z, n = np.concatenate([unit(a), unit(b)]), len(a)
    return np.array([(one(i, z, i + n) + one(i + n, z, i)) / 2 for i in range(n)])


def nt_xent(a: Array, b: Array, classes: Array, *, temperature: float) -> Array:
    def one(i: int, z: Array, j: int) -> float:
        odds = [math.exp(float(z[i] @ z[k]) / temperature) for k in range(len(z)) if k != i]
        return -math.log(math.exp(float(z[i] @ z[j]) / temperature) / sum(odds))

    return of_views(one, a, b)


def dcl(a: Array, b: Array, classes: Array, *, temperature: float) -> Array:
    def one(i: int, z: Array, j: int) -> float:
        odds = [math.exp(float(z[i] @ z[k]) / temperature) for k in range(len(z)) if k not in (i, j)]
        return -float(z[i] @ z[j]) / temperature + (math.log(sum(odds)) if odds else 0.0)

    return of_views(one, a, b)


def supcon(a: Array, b: Array, classes: Array, *, temperature: float) -> Array:
    twice = np.concatenate([classes, classes])

    def one(i: int, z: Array, j: int) -> float:
        odds = {k: math.exp(float(z[i] @ z[k]) / temperature) for k in range(len(z)) if k != i}
        positive = [k for k in odds if twice[k] == twice[i]]
        return -sum(math.log(odds[k] / sum(odds.values())) for k in positive) / len(positive)

    return of_views(one, a, b)


def triplet(a: Array, b: Array, classes: Array, *, margin: float) -> Array:
    def one(i: int, z: Array, j: int) -> float:
        away = [float(np.linalg.norm(z[i] - z[k]) ** 2) for k in range(len(z)) if k not in (i, j)]
        return max(0.0, float(np.linalg.norm(z[i] - z[j]) ** 2) - min(away, default=math.inf) + margin)

    return of_views(one, a, b)


def siglip_pairs(a: Array, b: Array, classes: Array, *, scale: float, bias: float | None) -> Array:
    """Question by question: -log of the probability of the right answer."""
    a, b, n = unit(a), unit(b), len(a)
    offset = -math.log(n - 1) if bias is None else bias
    yes = 1 / (1 + np.exp(-(scale * a @ b.T + offset)))
    return np.array([-sum(math.log(yes[i, j] if i == j else 1 - yes[i, j]) for j in range(n)) for i in range(n)])


def align_uniform(a: Array, b: Array, classes: Array, *, alpha: float, t: float, weight: float) -> Array:
    a, b = unit(a), unit(b)
    uniform = sum(math.log(np.exp(-t * pdist(z, "sqeuclidean")).mean()) for z in (a, b)) / 2
    return np.linalg.norm(a - b, axis=1) ** alpha + weight * uniform


def barlow(a: Array, b: Array, classes: Array, *, redundancy: float, scale: float) -> Array:
    total = 0.0
    za, zb = ((z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) for z in (a, b))
    for i in range(a.shape[1]):
        for j in range(a.shape[1]):
            c = float(np.mean(za[:, i] * zb[:, j]))
            total += (1 - c) ** 2 if i == j else redundancy * c**2
    return np.full(len(a), scale * total)


def vicreg(a: Array, b: Array, classes: Array, *, invariance: float, variance: float, covariance: float) -> Array:
    low = [np.maximum(0, 1 - np.sqrt(z.var(0, ddof=1) + 1e-4)).mean() for z in (a, b)]
    together = 0.0
    for z in (a, b):
        c = np.cov(z.T)
        together += (np.sum(c**2) - np.sum(np.diag(c) ** 2)) / a.shape[1]
    return invariance * ((a - b) ** 2).mean(1) + variance * sum(low) / 2 + covariance * together


def ce_views(a: Array, b: Array, classes: Array, *, num_classes: int) -> Array:
    def one(z: Array, y: int) -> float:
        return math.log(sum(math.exp(float(value)) for value in z[:num_classes])) - float(z[y])

    return np.array([(one(x, y) + one(z, y)) / 2 for x, z, y in zip(a, b, classes, strict=True)])


ROWS = [
    Row(
        name="nt_xent",
        cls=NormalisedTemperatureCrossEntropyLoss,
        kwargs={"temperature": 0.5},
        reference=nt_xent,
        at_equal=lambda n, d: math.log(2 * n - 1),
        bad={"temperature": ABOVE_0},
        boundary=[{"temperature": 0.01}, {"temperature": 100}],
    ),
    Row(
        name="dcl",
        cls=DecoupledContrastiveLoss,
        kwargs={"temperature": 0.1},
        reference=dcl,
        at_equal=lambda n, d: math.log(2 * n - 2),
        bad={"temperature": ABOVE_0},
        boundary=[{"temperature": 0.01}, {"temperature": 100}],
    ),
    Row(
        name="supcon",
        cls=SupervisedContrastiveLoss,
        kwargs={"temperature": 0.1},
        reference=supcon,
        at_equal=lambda n, d: math.log(2 * n - 1),
        bad={"temperature": ABOVE_0},
        boundary=[{"temperature": 0.01}, {"temperature": 100}],
    ),
    Row(
        name="triplet",
        cls=TripletLoss,
        kwargs={"margin": 0.2},
        reference=triplet,
        at_equal=lambda n, d: 0.2,
        bad={"margin": AT_LEAST_0},
        boundary=[{"margin": 0}, {"margin": 4.0}],
    ),
    Row(
        name="siglip_pairs",
        cls=SigmoidPairLoss,
        kwargs={"scale": 10.0, "bias": None},
        reference=siglip_pairs,
        at_equal=lambda n, d: math.log1p(math.exp(-10) * (n - 1)) + (n - 1) * math.log1p(math.exp(10) / (n - 1)),
        bad={"scale": ABOVE_0, "bias": ["abc", float("nan"), float("inf"), True]},
        boundary=[{"bias": 0}, {"bias": -10.0}, {"scale": 0.01}],
    ),
    Row(
        name="align_uniform",
        cls=AlignmentUniformityLoss,
        kwargs={"alpha": 2.0, "t": 2.0, "weight": 1.0},
        reference=align_uniform,
        at_equal=lambda n, d: 0.0,
        bad={"alpha": [0.99, *AT_LEAST_0], "t": ABOVE_0, "weight": AT_LEAST_0},
        boundary=[{"alpha": 1}, {"alpha": 3.5}, {"t": 20.0}, {"weight": 0.5}],
    ),
    Row(
        name="barlow",
        cls=BarlowTwinsLoss,
        kwargs={"redundancy": 0.005, "scale": 0.025},
        reference=barlow,
        at_equal=lambda n, d: 0.025 * d,
        bad={"redundancy": AT_LEAST_0, "scale": ABOVE_0},
        boundary=[{"redundancy": 0}, {"redundancy": 1.0}, {"scale": 1}],
    ),
    Row(
        name="vicreg",
        cls=VICRegLoss,
        kwargs={"invariance": 25.0, "variance": 25.0, "covariance": 1.0},
        reference=vicreg,
        at_equal=lambda n, d: 25 * 0.99,
        bad={"invariance": AT_LEAST_0, "variance": AT_LEAST_0, "covariance": AT_LEAST_0},
        boundary=[{"invariance": 0}, {"variance": 0}, {"covariance": 0}, {"covariance": 10.0}],
    ),
    Row(
        name="ce_views",
        cls=CrossEntropyOfViewsLoss,
        facts=lambda classes: {"num_classes": classes},
        reference=ce_views,
        at_equal=lambda n, d: math.log(np.exp(np.linspace(-1, 2, d)).sum()) + 1,
        bad={"num_classes": [1, 0, "abc", None]},
        boundary=[{}],
    ),
]
