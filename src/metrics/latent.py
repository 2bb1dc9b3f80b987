"""How many latents a network uses."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .sums import Sums, Values

ACTIVE = 0.01  # variance over inputs of a latent's posterior mean, above which it is active: Burda et al. 2016


class LatentScores(Sums):
    """Means over examples by name, and ``active_units``: the latents j whose mean depends on the input x.

    That is Var_x(mu_j) > 0.01, mu_j the mean of q(z_j | x).
    Source: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, section 5.2.
    """

    first: Tensor
    second: Tensor

    def __init__(self, names: Sequence[str], derived: Callable[[dict[str, float]], Values], latents: int) -> None:
        super().__init__(names, derived)
        self.add_sum("first", latents)
        self.add_sum("second", latents)

    def update(self, values: dict[str, Tensor], batches: int = 1) -> None:
        """Add examples: (N,) each, by name, and "mu", (N, latents)."""
        super().update(values, batches)
        for mu in values["mu"].double().chunk(batches):
            self.first += mu.sum(0)
            self.second += mu.square().sum(0)

    def compute(self) -> Values:
        variance = self.second / self.count - (self.first / self.count) ** 2
        return super().compute() | {"active_units": float((variance > ACTIVE).sum())}


def variances(mu: Tensor) -> Tensor:
    """(N, latents) -> (latents,) float64: the variance of each latent's posterior mean over all N inputs."""
    return torch.var(mu.double(), 0, correction=0)
