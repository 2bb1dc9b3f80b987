"""The table of the regression losses, each with an independent reference in NumPy; test_contract.py and
test_regression.py ask it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import norm
from torch import Tensor

from src.losses.beta_nll import BetaNLLLoss
from src.losses.gaussian_nll import GaussianNLLLoss
from src.losses.huber import HuberLoss
from src.losses.log_cosh import LogCoshLoss
from src.losses.mae import AbsoluteErrorLoss
from src.losses.mse import SquaredErrorLoss
from src.losses.quantile import QuantileLoss
from src.losses.regression import RegressionLoss
from tests.losses.contract import Array, Entry, Kwargs

BASES = {"regression"}
EXAMPLES = 12
TAUS = [k / 20 for k in range(1, 20)]
HALF_LOG_2PI = 0.9189385332046727


def huber(p: Array, y: Array, *, delta: float) -> Array:
    return np.array([e * e / 2 if e <= delta else delta * e - delta**2 / 2 for e in np.abs(y - p[:, 0])])


def pinball(p: Array, y: Array, *, taus: Sequence[float]) -> Array:
    """Quantile by quantile, by the side on which the target lies."""
    parts = [np.where(y >= q, tau * (y - q), (1 - tau) * (q - y)) for tau, q in zip(taus, p.T, strict=True)]
    return np.mean(parts, axis=0)


def gaussian(p: Array, y: Array) -> Array:
    return -norm.logpdf(y, p[:, 0], np.exp(p[:, 1] / 2))


def huber_location(y: Array, delta: float) -> float:
    return brentq(lambda m: np.clip(y - m, -delta, delta).sum(), y.min(), y.max(), xtol=1e-13)


def batch(loss: RegressionLoss, dtype: torch.dtype = torch.float64, scale: float = 1.5) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    p = scale * torch.randn(EXAMPLES, loss.outputs(), generator=g, dtype=torch.float64)
    return p.to(dtype), torch.randn(EXAMPLES, generator=g, dtype=torch.float64).to(dtype)


@dataclass(frozen=True, kw_only=True)
class Row(Entry):
    """What is known of one loss.

    reference:  float64 ``(prediction (N, outputs), y (N,), **arguments) -> (N,)``.
    closed:     (arguments, outputs of one example, its target, the value worked out by hand).
    identities: name -> (own arguments, factor, offset, another loss): own = factor * other + offset.
    minimiser:  y (M,) -> the outputs that minimise the mean loss over targets y of one input.
    """

    closed: Sequence[tuple[Kwargs, Sequence[float], float, float]]
    minimiser: Callable[[Array], Sequence[float]]
    outputs: int = 1
    identities: Mapping[str, tuple[Kwargs, float, float, RegressionLoss]] = field(default_factory=dict)
    task: str = "regression"

    def given(self, loss: RegressionLoss) -> tuple[Tensor, Tensor]:
        return batch(loss)


ROWS = [
    Row(
        name="mse",
        cls=SquaredErrorLoss,
        reference=lambda p, y: (y - p[:, 0]) ** 2,
        closed=[({}, [1.0], 3.0, 4.0), ({}, [0.5], 0.5, 0.0), ({}, [-2.0], 1.0, 9.0)],
        minimiser=lambda y: [y.mean()],
    ),
    Row(
        name="mae",
        cls=AbsoluteErrorLoss,
        reference=lambda p, y: np.abs(y - p[:, 0]),
        closed=[({}, [1.0], 3.0, 2.0), ({}, [0.5], 0.5, 0.0), ({}, [-2.0], 1.0, 3.0)],
        minimiser=lambda y: [np.median(y)],
    ),
    Row(
        name="huber",
        cls=HuberLoss,
        kwargs={"delta": 1.0},
        reference=huber,
        closed=[
            ({}, [0.0], 0.5, 0.125),
            ({}, [0.0], -1.0, 0.5),
            ({}, [1.0], 4.0, 2.5),
            ({"delta": 2}, [0.0], 3.0, 4.0),
        ],
        minimiser=lambda y: [huber_location(y, 1.0)],
        identities={
            "a large delta is half of mse": ({"delta": 1e6}, 0.5, 0.0, SquaredErrorLoss()),
            "a small delta is delta times mae": ({"delta": 1e-9}, 1e-9, -0.5e-18, AbsoluteErrorLoss()),
        },
        bad={"delta": [0, -1, "abc", float("nan"), float("inf"), None, True, [1.0]]},
        boundary=[{"delta": 1e-3}, {"delta": 1e3}, {"delta": 1}],
    ),
    Row(
        name="log_cosh",
        cls=LogCoshLoss,
        reference=lambda p, y: np.log(np.cosh(y - p[:, 0])),
        closed=[({}, [0.0], 1.0, 0.4337808304830271), ({}, [0.0], 0.0, 0.0), ({}, [0.0], -50.0, 50 - np.log(2))],
        minimiser=lambda y: [brentq(lambda m: np.tanh(y - m).sum(), y.min(), y.max(), xtol=1e-13)],
    ),
    Row(
        name="quantile",
        cls=QuantileLoss,
        kwargs={"taus": TAUS},
        outputs=19,
        reference=pinball,
        closed=[
            ({"taus": [0.9]}, [1.0], 3.0, 1.8),
            ({"taus": [0.9]}, [3.0], 1.0, 0.2),
            ({"taus": [0.25, 0.5]}, [0.0, 1.0], 1.0, 0.125),
            ({}, [0.0] * 19, 1.0, 0.5),  # the mean of the taus
        ],
        minimiser=lambda y: np.quantile(y, TAUS, method="inverted_cdf").tolist(),
        identities={"tau = 1/2 alone is half of mae": ({"taus": [0.5]}, 0.5, 0.0, AbsoluteErrorLoss())},
        bad={
            "taus": [
                *([], [0.0, 0.5], [0.5, 1.0], [0.5, 0.5], [0.9, 0.1], 0.5, "0.5", None, [True], ["a"]),
                *([float("nan")], [[0.5]], {0.1: 0.5}),
            ]
        },
        boundary=[{"taus": [0.5]}, {"taus": [1e-6, 1 - 1e-6]}, {"taus": [0.1, 0.4, 0.45]}, {"taus": [0.05, 0.95]}],
    ),
    Row(
        name="gaussian_nll",
        cls=GaussianNLLLoss,
        outputs=2,
        reference=gaussian,
        closed=[
            ({}, [1.0, 0.0], 1.0, HALF_LOG_2PI),
            ({}, [0.0, 0.0], 2.0, 2 + HALF_LOG_2PI),
            ({}, [0.0, np.log(4)], 2.0, 0.5 + np.log(2) + HALF_LOG_2PI),
        ],
        minimiser=lambda y: [y.mean(), np.log(y.var())],
    ),
    Row(
        name="beta_nll",
        constant=True,
        cls=BetaNLLLoss,
        kwargs={"beta": 0.5},
        outputs=2,
        reference=lambda p, y, beta: np.exp(p[:, 1]) ** beta * gaussian(p, y),
        closed=[
            ({}, [1.0, 0.0], 1.0, HALF_LOG_2PI),
            ({}, [0.0, np.log(4)], 2.0, 2 * (0.5 + np.log(2) + HALF_LOG_2PI)),
            ({"beta": 1}, [0.0, np.log(4)], 2.0, 4 * (0.5 + np.log(2) + HALF_LOG_2PI)),
        ],
        minimiser=lambda y: [y.mean(), np.log(y.var())],  # where its gradient is 0: it is no minimum of its value
        identities={"beta 0 is gaussian_nll": ({"beta": 0}, 1.0, 0.0, GaussianNLLLoss())},
        bad={"beta": [-0.01, 1.01, "abc", float("nan"), None, True]},
        boundary=[{"beta": 0}, {"beta": 1}, {"beta": 0.25}],
    ),
]
