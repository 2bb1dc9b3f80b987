"""The table of the denoising losses, each with an independent reference in NumPy; test_contract.py and
test_diffusion.py ask it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from src.losses.denoising import DenoisingErrorLoss
from src.losses.diffusion import DenoisingLoss
from tests.losses.contract import Array, Entry

N, IMAGE = 8, (2, 3, 2)
BASES = {"diffusion"}
SETTINGS = {
    "distance": ("mse", "mae", "huber"),
    "predict": ("noise", "x0", "v"),
    "weight": ("simple", "min_snr", "vlb"),
}


def drawn(scale: float = 1.5) -> tuple[Tensor, ...]:
    """Prediction, x0, noise, snr on both sides of 5 and of 1, and what an error costs in the bound."""
    g = torch.Generator().manual_seed(0)
    images = [scale * torch.randn(N, *IMAGE, generator=g, dtype=torch.float64) for _ in range(3)]
    snr = torch.tensor([0.01, 0.3, 0.9, 1.1, 4.0, 6.0, 40.0, 900.0], dtype=torch.float64)
    return (
        images[0],
        images[1].clamp(-1, 1),
        images[2] / scale,
        snr,
        3 + torch.rand(N, generator=g, dtype=torch.float64),
    )


@dataclass(frozen=True, kw_only=True)
class Row(Entry):
    """What is known of one loss.

    reference: float64 ``(prediction (N, ...), x0 (N, ...), noise (N, ...), snr (N,), bound (N,), **arguments)``.
    """

    task: str = "denoising"

    def given(self, loss: DenoisingLoss) -> tuple[Tensor, ...]:
        return drawn()


def denoising(
    prediction: Array,
    x0: Array,
    noise: Array,
    snr: Array,
    bound: Array,
    *,
    distance: str,
    predict: str,
    weight: str,
    gamma: float,
    delta: float,
) -> Array:
    """Example by example. The level is an angle: alpha = cos, sigma = sin. Weights are by tables of the papers."""
    values = []
    for p, image, eps, s, b in zip(prediction, x0, noise, snr, bound, strict=True):
        angle = np.arctan(1 / np.sqrt(s))
        target = {"noise": eps, "x0": image, "v": np.cos(angle) * eps - np.sin(angle) * image}[predict]
        e = np.abs(target - p).ravel()
        size = {"mse": e**2, "mae": e, "huber": np.where(e <= delta, e**2 / 2, delta * e - delta**2 / 2)}[distance]
        capped = {"noise": min(s, gamma) / s, "x0": min(s, gamma), "v": min(s, gamma) / (s + 1)}[predict]
        whole = {"noise": b * np.tan(angle) ** 2, "x0": b, "v": b * np.sin(angle) ** 2}[predict]
        values.append({"simple": 1.0, "min_snr": capped, "vlb": whole}[weight] * size.sum() / e.size)
    return np.array(values)


OTHER = [None, 1, "MSE", ["mse"]]
ROWS = [
    Row(
        name="denoising",
        cls=DenoisingErrorLoss,
        kwargs={"distance": "mse", "predict": "noise", "weight": "simple", "gamma": 5.0, "delta": 1.0},
        reference=denoising,
        bad={
            "distance": [*OTHER, "l2"],
            "predict": [*OTHER, "eps"],
            "weight": [*OTHER, "foo"],
            "gamma": [0, -1.0, "abc", float("nan"), float("inf"), True, None],
            "delta": [0, -1.0, "abc", float("nan"), float("inf"), True, None],
        },
        boundary=[
            *(
                {"distance": distance, "predict": predict, "weight": weight}
                for distance in SETTINGS["distance"]
                for predict in SETTINGS["predict"]
                for weight in SETTINGS["weight"]
            ),
            *({"weight": "min_snr", "gamma": 1}, {"weight": "min_snr", "gamma": 1e-3, "predict": "v"}),
            *({"distance": "huber", "delta": 0.1}, {"distance": "huber", "delta": 1e6, "predict": "x0"}),
        ],
    ),
]
