"""Losses of networks with latent variables: an encoder, a decoder, and what their losses have in common."""

import math

from torch import Tensor
from torch.nn import functional as F

from ..checks import choice
from .base import Loss, upcast

RECONSTRUCTIONS = ("bernoulli", "gaussian")


def latents(mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """(N, D), (N, D), (N, S, D) -> (N, S, D): z = mu + sigma * noise, with log_var = log sigma^2.

    Gradients reach mu and sigma through z. Source: Kingma & Welling 2014, arXiv:1312.6114, section 2.4.
    """
    return mu.unsqueeze(1) + (log_var / 2).exp().unsqueeze(1) * noise


def divergence(mu: Tensor, log_var: Tensor) -> Tensor:
    """(N, D), (N, D) -> (N, D): KL(N(mu, sigma^2) || N(0, 1)) = 1/2 (mu^2 + sigma^2 - 1 - log sigma^2), a latent.

    Source: Kingma & Welling 2014, arXiv:1312.6114, appendix B.
    """
    mu, log_var = upcast(mu), upcast(log_var)
    return (mu.square() + log_var.expm1() - log_var) / 2


def log_weights(log_p: Tensor, mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """(N, S), (N, D), (N, D), (N, S, D) -> (N, S): log w = log p(x | z) + log p(z) - log q(z | x), of each latent.

    The mean of w over latents that are drawn from q(z | x) is p(x).
    """
    return log_p + log_prior_ratio(mu, log_var, noise)


def log_mean(log_w: Tensor) -> Tensor:
    """(N, S) -> (N,): log(1/S sum_s w_s)."""
    return log_w.logsumexp(1) - math.log(log_w.shape[1])


def log_prior_ratio(mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """(N, D), (N, D), (N, S, D) -> (N, S): log p(z) - log q(z | x) of the latents z = mu + sigma * noise."""
    mu, log_var, noise = upcast(mu), upcast(log_var), upcast(noise)
    z = latents(mu, log_var, noise)
    # The constants log(2 pi) / 2 cancel; (z - mu) / sigma is the noise itself.
    return (noise.square() - z.square() + log_var.unsqueeze(1)).sum(-1) / 2


class LatentLoss(Loss):
    """Loss of a decoder p(x | z), an encoder q(z | x) = N(mu, sigma^2) and the prior N(0, 1) of each latent.

    ``forward(log_p (N, S), mu (N, D), log_var (N, D), noise (N, S, D)) -> (N,)``: log_p is ``log_likelihood`` of the
    decoder's outputs for the S latents z = mu + sigma * noise of each example; ``samples`` is the S of training.

    ``reconstruction`` says how the decoder's outputs are read as p(x | z). bernoulli: a pixel is 1 with probability
    sigmoid(output), else 0. gaussian: a pixel is N(output, 1), in the units of the inputs. It is summed over pixels
    and latents: a mean over pixels would be beta-VAE's objective with beta = the number of pixels.
    """

    reads = "latents"
    imitates = True
    samples: int = 1

    def __init__(self, *, reconstruction: str) -> None:
        super().__init__()
        self.reconstruction = choice("reconstruction", reconstruction, RECONSTRUCTIONS)

    def log_likelihood(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        """(N, S, ...), (N, ...) -> (N, S): log p(x | z), summed over pixels, in nats."""
        y, x = upcast(outputs).flatten(2), upcast(inputs).flatten(1).unsqueeze(1)  # (N, S, P), (N, 1, P)
        if self.reconstruction == "bernoulli":
            return (x * y - F.softplus(y)).sum(-1)
        return -((x - y).square() + math.log(2 * math.pi)).sum(-1) / 2

    def mean(self, outputs: Tensor) -> Tensor:
        """The decoder's outputs -> E[x | z], a pixel each."""
        return upcast(outputs).sigmoid() if self.reconstruction == "bernoulli" else upcast(outputs)

    def forward(self, log_p: Tensor, mu: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
        """(N, S), (N, D), (N, D), (N, S, D) -> (N,): one number per example."""
        raise NotImplementedError
