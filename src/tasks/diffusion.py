"""Diffusion: how images are mixed with noise in steps of time, and how a network goes back."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from ..checks import integer

OFFSET = 0.008  # of the cosine schedule: Nichol & Dhariwal 2021, section 3.2
LARGEST_BETA = 0.999  # so that some of the image is left at the last step: noise says it, if divided by alpha
FINEST = 256  # values of a pixel, from -1 to 1


class Diffusion:
    """Levels of noise at the time steps 0 to T: the cosine schedule. At 0 there is no noise.

    ``alpha``, ``sigma`` and ``snr`` = alpha^2 / sigma^2 of x_t = alpha x0 + sigma noise are (T + 1,), float64, on the
    CPU. ``cost`` (T + 1,) is what a squared error of 1 of a pixel of x0 costs at a step in the variational bound, in
    nats. For t > 1 it is (snr(t - 1) - snr(t)) / 2: KL(q(x_{t-1} | x_t, x0) || p(x_{t-1} | x_t)), where p has q's
    variance. At t = 1 it is 1 / (2 variance) of the decoder p(x0 | x_1), whose ``variance`` is q's at t = 2.
    Sources: Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17; Ho et al. 2020, arXiv:2006.11239, eqs. 6-8;
    gaussian_diffusion.py of improved-diffusion (the decoder's variance).
    """

    def __init__(self, steps: int) -> None:
        self.steps = integer("steps", steps, low=2, high=10_000)
        t = torch.arange(steps + 1, dtype=torch.float64, device="cpu") / steps
        curve = ((t + OFFSET) / (1 + OFFSET) * math.pi / 2).cos().square()
        beta = (1 - curve[1:] / curve[:-1]).clamp(max=LARGEST_BETA)
        kept = torch.cat([torch.ones_like(beta[:1]), (1 - beta).cumprod(0)])  # alpha^2
        self.alpha, self.sigma, self.snr = kept.sqrt(), (1 - kept).sqrt(), kept / (1 - kept)
        self.variance = (beta[1] * (1 - kept[1]) / (1 - kept[2])).item()  # of the decoder
        self.cost = torch.cat([kept.new_zeros(1), (self.snr[:-1] - self.snr[1:]) / 2])
        self.cost[1] = 1 / (2 * self.variance)

    def prior(self, x0: Tensor) -> Tensor:
        """(N, ...) -> (N,) float64: KL(q(x_T | x0) || N(0, 1)), summed over pixels, in nats."""
        kept = self.alpha[-1].item() ** 2
        return (kept * x0.double().flatten(1).square() - kept - math.log1p(-kept)).sum(1) / 2

    def decoded(self, x0: Tensor, mean: Tensor) -> Tensor:
        """(N, ...), (N, ...) -> (N,) float64: -log p(x0 | x_1), summed over pixels, in nats.

        A pixel has one of 256 values from -1 to 1. Each has the probability that N(mean, variance) gives to what is
        nearer to it than to another, the first and the last all that is beyond them.
        """
        x0, mean = x0.double().flatten(1), mean.double().flatten(1)
        half, scale = 1 / (FINEST - 1), math.sqrt(self.variance)
        level = ((x0 + 1) / 2 * (FINEST - 1)).round()
        low = torch.where(level == 0, -torch.inf, (x0 - half - mean) / scale)
        high = torch.where(level == FINEST - 1, torch.inf, (x0 + half - mean) / scale)
        # In the upper tail both are near 1: there the mirrored lower tail has the digits.
        low, high = torch.where(low > 0, -high, low), torch.where(low > 0, -low, high)
        above, below = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
        return -(above + torch.log1p(-(below - above).exp())).sum(1)

    def times(self, count: int) -> list[int]:
        """T = the first of ``count`` + 1 falling time steps, evenly apart, the last of which is 0."""
        return [round(self.steps * (count - i) / count) for i in range(count + 1)]


def chain(
    diffusion: Diffusion, denoised: Callable[[Tensor, Tensor], Tensor], x: Tensor, count: int
) -> Iterator[tuple[int, Tensor]]:
    """The time step and the images, from x_T = noise on, in ``count`` steps of DDIM without noise of their own.

    ``denoised(x, t)`` is the network's x0 for (N, ...) at the steps t (N,), clipped to [-1, 1]: the noise that it
    leaves is what leads back to x. So an error at a step where hardly any image is left does no harm.
    Source: Song et al. 2021, arXiv:2010.02502, eq. 12 with sigma = 0.
    """
    times = diffusion.times(count)
    yield times[0], x
    alpha, sigma = diffusion.alpha.tolist(), diffusion.sigma.tolist()
    for now, then in pairwise(times):
        x0 = denoised(x, torch.full((len(x),), now))
        x = alpha[then] * x0 + sigma[then] * (x - alpha[now] * x0) / sigma[now]
        yield then, x
