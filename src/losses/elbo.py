"""Negative evidence lower bound."""

from torch import Tensor

from ..checks import number
from .latent import LatentLoss, divergence


class NegativeELBOLoss(LatentLoss):
    """Negative ELBO: -E_q[log p(x | z)] + beta * sum_j KL(q(z_j | x) || N(0, 1)), the KL in closed form.

    The first term is the mean over the latents that were drawn, one in training. beta = 1 is a bound of -log p(x);
    another beta gives up likelihood by construction: it buys latents that say less. ``free_bits`` (in nats) frees the
    first ones of each latent: max(free_bits, the batch's mean KL_j), so a latent below it is not pushed to 0; above 0
    it makes the loss a statistic of the batch. At outputs 0 bernoulli gives ln 2 a pixel; the KL is 1/2 a latent at
    mu = 1, sigma = 1, and 0 at mu = 0, sigma = 1.
    Use it to learn a density of images and a code for them. Limits: the bound is loose unless the posterior is
    Gaussian, so rich decoders leave latents unused; gaussian has variance 1, which is wide for standardised pixels.
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
