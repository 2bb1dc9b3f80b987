"""Negative evidence lower bound."""

from torch import Tensor

from ..checks import number
from .latent import LatentLoss, divergence


class NegativeELBOLoss(LatentLoss):
    """Negative ELBO: -E_q[log p(x | z)] + beta * sum_j KL(q(z_j | x) || N(0, 1)), the KL in closed form.

    The first term is the mean over the latents that were drawn, one in training. beta = 1 bounds -log p(x); beta > 1
    gives up likelihood by construction, for latents that say less: a trade, no improvement. ``free_bits`` lets each
    latent say so many nats at no more cost: it counts as max(free_bits, KL_j), KL_j the mean of the batch, so it is not
    pushed to 0. At outputs 0 bernoulli gives ln 2 a pixel; the KL is 1/2 a latent at mu = 1, sigma = 1, and 0 at
    mu = 0, sigma = 1.
    Use it to learn a density of images and a code for them. Limits: the bound is loose where the true posterior is no
    Gaussian of independent latents, and a strong decoder leaves latents unused; gaussian has variance 1, which is wide
    for standardised pixels.
    Source: Kingma & Welling 2014, arXiv:1312.6114, eq. 10; Higgins et al. 2017, beta-VAE (ICLR), eq. 4; Kingma et al.
    2016, arXiv:1606.04934, eq. 15 (free bits).
    """

    batch_statistic = "free_bits"

    def __init__(self, *, reconstruction: str, beta: float, free_bits: float) -> None:
        super().__init__(reconstruction=reconstruction)
        self.beta = number("beta", beta, low=0)
        self.free_bits = number("free_bits", free_bits, low=0)

    def forward(self, log_p: Tensor, mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
        kl = divergence(mu, log_var)  # (N, D)
        if self.free_bits:
            # An example has a number of its own, and the mean over the batch is that of the formula.
            kl = kl.where(kl.mean(0) > self.free_bits, self.free_bits)
        return self.beta * kl.sum(-1) - log_p.mean(1)
