"""Importance-weighted bound."""

from torch import Tensor

from ..checks import integer
from .latent import LatentLoss, log_mean, log_weights


class ImportanceWeightedLoss(LatentLoss):
    """Importance-weighted bound (IWAE): -log(1/k sum_i w_i), w_i = p(x | z_i) p(z_i) / q(z_i | x), i = 1, ..., k.

    The latents z_i are drawn from q(z | x). A bound of -log p(x) that tightens as k grows. k = 1 is the negative ELBO
    with a sampled KL. If q is the true posterior it is -log p(x) itself for any k.
    Use it for a better likelihood and more latents in use, at k times the decoder's cost. Limits: as k grows, the
    encoder's gradient loses its signal (Rainforth et al. 2018, arXiv:1802.04537).
    Source: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519, eq. 8.
    """

    def __init__(self, *, reconstruction: str, k: int) -> None:
        super().__init__(reconstruction=reconstruction)
        self.samples = integer("k", k, low=1)

    def forward(self, log_p: Tensor, mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
        return -log_mean(log_weights(log_p, mu, log_var, noise))
