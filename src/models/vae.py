"""Variational autoencoder of two multi-layer perceptrons."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from ..checks import choice, integer
from .base import ACTIVATIONS, LatentNetwork, hidden_std, linear, linear_weights, widths_of


class VAE(LatentNetwork):
    """(B, C, H, W) -> (B, C, H, W): an encoder with the hidden layers ``widths``, and a decoder with these reversed.

    The encoder gives the mean and the log-variance of each of ``latents`` latents, the decoder a number a pixel, which
    the loss reads. Initial weights are the MLP's: those before mu, log sigma^2 and the outputs are from N(0, 0.01^2),
    so that training starts near q(z | x) = N(0, 1) and, with bernoulli, at ln 2 a pixel.
    Source: Kingma & Welling 2014, arXiv:1312.6114, appendix C.
    """

    inputs = "image"

    def __init__(self, *, input_shape: Sequence[int], widths: Sequence[int], latents: int, activation: str) -> None:
        super().__init__()
        choice("activation", activation, tuple(ACTIVATIONS))
        self.latents = integer("latents", latents, low=1)
        pixels, hidden = math.prod(input_shape), widths_of(widths)
        self.encoder = nn.Sequential(nn.Flatten(), *layers([pixels, *hidden, 2 * latents], activation))
        self.decoder = nn.Sequential(
            *layers([latents, *reversed(hidden), pixels], activation), nn.Unflatten(-1, tuple(input_shape))
        )

    def encode(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = self.encoder(inputs).chunk(2, -1)  # (B, 2 D) -> (B, D), (B, D)
        return mu, log_var

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)

    def hidden_matrices(self) -> list[Tensor]:
        return [*linear_weights(self.encoder)[1:-1], *linear_weights(self.decoder)[1:-1]]


def layers(sizes: Sequence[int], activation: str) -> list[nn.Module]:
    """Linear layers between ``sizes``, each but the last followed by the activation."""
    found: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes[:-1]):
        found += [linear(fan_in, fan_out, std=hidden_std(fan_in, activation)), ACTIVATIONS[activation]()]
    return [*found, linear(sizes[-2], sizes[-1], std=0.01)]
